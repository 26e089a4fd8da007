"""The compiled backend as a part of torch: frozen weights, autocast, types, threads, copies."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading

import pytest
import torch
from torch.utils.checkpoint import checkpoint

import random_kit
from cell_cases import able, assert_same, cotangent, inputs, leaves, make, results
from model_kit import model
from odyssey.errors import UserError
from odyssey.recurrence import run

LENGTHS = torch.tensor([3, 7, 1])


def setting(name, dtype=torch.float32):
    cell = make(name, 3, 5).to(dtype)
    x, state = inputs(cell, 7, 3)
    return cell, x.to(dtype), tuple(v.to(dtype) for v in state)


def by_backend(name, work):
    """work(backend, cell, x, state) with the compiled backend and with the reference."""
    return [work(k, *setting(name)) for k in ("compiled", "reference")]


# -- what is asked for, and what is not -----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("lstm_peephole", k) for k in ("x", "state", "W", "R", "b", "p")]
    + [("mut1", k) for k in ("x", "R", "b", "P")]
    + [("gru_reset_after", k) for k in ("R", "b", "p")],
)
def test_a_gradient_by_one_thing_alone(name, wanted):
    def work(backend, cell, x, state):
        values = {"x": x, "state": state[-1]} | dict(cell.named_parameters())
        for weight in cell.parameters():
            weight.requires_grad_(False)
        values[wanted].requires_grad_()
        outputs, last = run(cell, x, state, LENGTHS, truncation=2, backend=backend)
        (found,) = torch.autograd.grad(cotangent(outputs, last), [values[wanted]])
        return {wanted: found}

    assert_same(*by_backend(name, work), 1e-5)


@pytest.mark.parametrize("used", ["outputs", "last h", "last c", "one step"])
def test_only_some_of_the_results_are_used(used):
    def work(backend, cell, x, state):
        x, *state = leaves(x, *state)
        outputs, (h, c) = run(cell, x, tuple(state), backend=backend)
        value = {"outputs": outputs, "last h": h, "last c": c, "one step": outputs[2]}[used]
        names = ["x", "h", "c", *dict(cell.named_parameters())]
        given = [x, *state, *cell.parameters()]
        found = torch.autograd.grad(value.sum(), given, materialize_grads=True)
        return dict(zip(names, found, strict=True))

    assert_same(*by_backend("lstm_peephole", work), 1e-5)


def test_results_that_nobody_uses_leave_no_gradient():
    cell, x, state = setting("lstm")
    run(cell, x, state, backend="compiled")
    outputs, last = run(cell, x, state, backend="compiled")
    (outputs.detach().sum() + last.c.detach().sum() + cell.W.sum()).backward()
    assert cell.R.grad is None and torch.equal(cell.W.grad, torch.ones_like(cell.W))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", ["lstm_peephole", "gru"])
def test_without_gradients(name, mode):
    cell, x, state = setting(name)
    want, want_last = run(cell, x, state, LENGTHS, backend="compiled")
    with mode():
        outputs, last = run(cell, x, state, LENGTHS, backend="compiled")
    assert torch.equal(outputs, want) and not outputs.requires_grad and outputs.grad_fn is None
    assert all(torch.equal(a, b) for a, b in zip(last, want_last, strict=True))


# -- types ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", able("compiled"))
@pytest.mark.parametrize("given", [torch.float32, torch.bfloat16], ids=str)
def test_autocast_leaves_a_compiled_cell_in_the_type_of_its_weights(name, given):
    cell, x, state = setting(name)
    x = x.to(torch.bfloat16)
    want = results(cell, x.float(), state, LENGTHS, truncation=3, backend="compiled")
    assert_same(
        want, results(cell, x.float(), state, LENGTHS, truncation=3, backend="reference"), 1e-5
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):  # backward too, as in a training step
        got = results(cell, x.to(given), state, LENGTHS, truncation=3, backend="compiled")
    for key, value in got.items():
        is_given = key == "grad x"
        assert value.dtype == (given if is_given else torch.float32), key
        assert torch.equal(value, want[key].to(value.dtype)), key


def test_autocast_backward_outside_of_it():
    cell, x, state = setting("gru")
    found = []
    for enabled in (True, False):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            outputs, _ = run(cell, x, state, backend="compiled")
        found.append(torch.autograd.grad(outputs.sum(), list(cell.parameters())))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("name", ["lstm_peephole", "gru", "mut1"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_short_types_are_as_near_to_the_truth_as_the_reference(name, dtype):
    cell, x, state = setting(name, dtype)
    got = results(cell, x, state, LENGTHS, truncation=3, backend="compiled")
    other = results(cell, x, state, LENGTHS, truncation=3, backend="reference")
    cell, x, state = cell.double(), x.double(), tuple(v.double() for v in state)
    truth = results(cell, x, state, LENGTHS, truncation=3, backend="reference")
    for key, value in truth.items():
        assert got[key].dtype == dtype
        error, usual = (float((v[key].double() - value).abs().max()) for v in (got, other))
        size = max(1.0, float(value.abs().max()))
        assert error <= 2 * usual + 2 * torch.finfo(dtype).eps * size, key


# -- second derivatives ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_penalty_on_gradients_is_refused_with_a_sentence(dtype):
    cell, x, state = setting("gru", dtype)
    x.requires_grad_()
    outputs, _ = run(cell, x, state, backend="compiled")
    (gradient,) = torch.autograd.grad(outputs.square().sum(), [x], create_graph=True)
    with pytest.raises(UserError, match=r"type model\.backend=reference for second derivatives"):
        gradient.square().sum().backward()


def test_forward_mode_is_refused_with_a_sentence():
    cell, x, state = setting("gru")
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, torch.ones_like(x))
        with pytest.raises(UserError, match=r"type model\.backend=reference for .*forward mode"):
            run(cell, dual, state, backend="compiled")


# -- models ---------------------------------------------------------------------------------------


def gradients(net, x, call):
    logits, _ = call(x)
    found = torch.autograd.grad(logits.square().sum(), list(net.parameters()))
    return [logits.detach(), *found]


def assert_equal(a, b):
    assert all(torch.equal(v, w) for v, w in zip(a, b, strict=True))


def two_layers(name="lstm_peephole"):
    net = model(name, num_layers=2, bidirectional=True, backend="compiled").float()
    return net, torch.randn(7, 3, 3, generator=random_kit.torch_rng())


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoints(reentrant):
    net, x = two_layers()
    x.requires_grad_()

    def call(x):
        return checkpoint(net, x, use_reentrant=reentrant)

    found = []
    for kind in (net, call):
        net.zero_grad()
        kind(x)[0].square().sum().backward()
        found.append([x.grad.clone(), *(w.grad.clone() for w in net.parameters())])
        x.grad = None
    assert_equal(*found)


def test_what_is_kept_can_be_moved_away_and_back():
    net, x = two_layers()
    want = gradients(net, x, net)
    with torch.autograd.graph.save_on_cpu():
        assert_equal(gradients(net, x, net), want)


@pytest.mark.parametrize("way", [copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))])
def test_copies_of_a_model_that_has_run(way):
    net, x = two_layers()
    want = gradients(net, x, net)
    twin = way(net)
    assert_equal(gradients(twin, x, twin), want)
    with torch.no_grad():
        for weight in twin.parameters():
            weight.mul_(0.5)
    assert_equal(gradients(net, x, net), want)
    assert not torch.equal(gradients(twin, x, twin)[0], want[0])


def test_a_replica_without_parameters_of_its_own():
    """What torch.nn.DataParallel gives to each of its threads."""
    cell, x, state = setting("lstm_peephole")
    replica = cell._replicate_for_data_parallel()
    for key, weight in cell._parameters.items():
        if weight is None:
            replica._parameters[key] = None
        else:
            setattr(replica, key, weight * 1)
    want = results(cell, x, state, backend="compiled")
    outputs, last = run(replica, x, state, backend="compiled")
    assert torch.equal(outputs, want["outputs"])
    found = torch.autograd.grad(cotangent(outputs, last), list(cell.parameters()))
    for key, value in zip(dict(cell.named_parameters()), found, strict=True):
        assert torch.equal(value, want[f"grad {key}"])


def test_several_threads_in_one_cell_at_once():
    cell, _, _ = setting("lstm_peephole")
    xs = [inputs(cell, 50, 3, seed=k)[0].float() for k in range(4)]
    want = [results(cell, x, (x.new_zeros(3, 5),) * 2, backend="compiled") for x in xs]
    new = copy.deepcopy(cell)  # one that no thread has a kernel for yet
    found = [None] * len(xs)
    start = threading.Barrier(len(xs))

    def work(k):
        start.wait()
        for _ in range(20):
            found[k] = results(new, xs[k], (xs[k].new_zeros(3, 5),) * 2, backend="compiled")

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(xs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for got, expected in zip(found, want, strict=True):
        assert_equal(got.values(), expected.values())


@pytest.mark.slow
def test_torch_compile_of_a_model_leaves_the_cell_to_its_kernel():
    net, x = two_layers("mut1")
    want = gradients(net, x, net)
    seen = []

    def as_they_are(graph, _):
        seen.extend(node.stack_trace or "" for node in graph.graph.nodes)
        return graph.forward

    whole = torch.compile(net, backend=as_they_are)
    assert_equal(gradients(net, x, whole), want)
    assert any("sequence.py" in lines for lines in seen)
    assert not any("recurrence/compiled" in lines for lines in seen)


@pytest.mark.slow
def test_running_a_cell_loads_neither_torchs_compiler_nor_other_engines():
    code = """
import sys, torch
from odyssey.cells import CELLS
from odyssey.recurrence import run
engines = {"odyssey.recurrence.compiled.c.engine", "odyssey.recurrence.compiled.triton.engine"}
assert not engines & set(sys.modules)
run(CELLS["gru"](3, 5), torch.zeros(2, 1, 3), backend="compiled")[0].sum().backward()
assert engines & set(sys.modules) == {"odyssey.recurrence.compiled.c.engine"}
sys.exit("torch._dynamo" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
