"""Running a cell: chained windows, many models, determinism, the choice of a backend, refusals."""

from __future__ import annotations

import logging

import pytest
import torch
from torch.func import functional_call, stack_module_state, vmap

from cell_cases import NAMES, PAIRS, able, assert_same, inputs, make, results
from odyssey.cells import CELLS, LSTM
from odyssey.errors import UserError
from odyssey.nn.stack import Stack
from odyssey.recurrence import backends, choose, run
from odyssey.recurrence.compiled import dispatch


@pytest.mark.parametrize(("name", "backend"), PAIRS)
def test_chained_windows_equal_one_pass(name, backend):
    cell = make(name, 3, 5)
    x, state = inputs(cell, 11, 4)
    whole, last = run(cell, x, state, backend=backend)
    for windows in [(1,) * 11, (11,), (5, 6), (7, 1, 3), (2, 2, 2, 2, 2, 1)]:
        carried, pieces = state, []
        for window in x.split(windows):
            y, carried = run(cell, window, carried, backend=backend)
            pieces.append(y)
        torch.testing.assert_close(torch.cat(pieces), whole, rtol=0, atol=1e-12)
        torch.testing.assert_close(tuple(carried), tuple(last), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "backend"), PAIRS)
def test_chained_windows_equal_one_pass_backwards(name, backend):
    cell = make(name, 3, 5)
    x, state = inputs(cell, 11, 4)
    whole, last = run(cell, x, state, reverse=True, backend=backend)
    carried, pieces = state, []
    for window in reversed(x.split((7, 1, 3))):
        y, carried = run(cell, window, carried, reverse=True, backend=backend)
        pieces.insert(0, y)
    torch.testing.assert_close(torch.cat(pieces), whole, rtol=0, atol=1e-12)
    torch.testing.assert_close(tuple(carried), tuple(last), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_reverse_is_forward_over_the_flipped_input(name):
    cell = make(name, 3, 5)
    x, state = inputs(cell, 7, 2)
    y, last = run(cell, x, state, reverse=True, backend="reference")
    z, end = run(cell, x.flip(0), state, backend="reference")
    assert torch.equal(y, z.flip(0))
    assert all(torch.equal(a, b) for a, b in zip(last, end, strict=True))


@pytest.mark.parametrize("name", able("library"))
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("lengths", [None, [3, 7, 1, 5], [7, 7, 7, 7], [2, 2, 2, 2]], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_backends_agree(name, reverse, lengths, dtype):
    cell = make(name, 3, 5).to(dtype)
    x, state = inputs(cell, 7, 4)
    x, state = x.to(dtype), tuple(v.to(dtype) for v in state)
    n = None if lengths is None else torch.tensor(lengths)
    a = results(cell, x, state, n, reverse=reverse, backend="library")
    b = results(cell, x, state, n, reverse=reverse, backend="reference")
    assert_same(a, b, 1e-10 if dtype == torch.float64 else 1e-5)


@pytest.mark.parametrize(("name", "backend"), PAIRS)
def test_the_same_input_twice_gives_the_same_bits(name, backend):
    cell = make(name, 3, 5)
    x, state = inputs(cell, 7, 4)
    lengths = torch.tensor([3, 7, 1, 5])
    first, second = (results(cell, x, state, lengths, backend=backend) for _ in range(2))
    assert all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize(("name", "backend"), PAIRS)
def test_the_arguments_are_left_as_they_were(name, backend):
    cell = make(name, 3, 5)
    x, state = inputs(cell, 7, 4)
    lengths = torch.tensor([3, 7, 1, 5])
    given = [x, *state, lengths]
    before = [v.clone() for v in given]
    run(cell, x, state, lengths, reverse=True, truncation=2, backend=backend)
    assert all(torch.equal(a, b) for a, b in zip(given, before, strict=True))


class Runner(torch.nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, x, state, lengths):
        outputs, last = run(self.cell, x, state, lengths, backend="reference")
        return outputs, tuple(last)


@pytest.mark.parametrize("name", ["lstm", "gru", "fgr"])
@pytest.mark.parametrize("lengths", [None, [2, 5, 1]], ids=str)
def test_vmap_over_models(name, lengths):
    models = [Runner(make(name, 3, 4, seed=seed)) for seed in range(5)]
    weights, buffers = stack_module_state(models)
    x, state = inputs(models[0].cell, 5, 3)
    n = None if lengths is None else torch.tensor(lengths)

    def one(weights, buffers):
        return functional_call(models[0], (weights, buffers), (x, state, n))

    outputs, last = vmap(one)(weights, buffers)
    for k, model in enumerate(models):
        y, end = model(x, state, n)
        torch.testing.assert_close(outputs[k], y, rtol=0, atol=1e-12)
        torch.testing.assert_close(tuple(v[k] for v in last), end, rtol=0, atol=1e-12)


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["reference", "compiled", "library"])
@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"truncation": 2}, {"lengths": True}])
def test_results_can_be_changed_in_place(backend, options):
    cell = LSTM(3, 5)
    x = torch.randn(6, 4, 3, requires_grad=True)
    options = dict(options)
    if "lengths" in options:
        options["lengths"] = torch.tensor([3, 6, 1, 5])

    def gradients(change):
        outputs, (h, c) = run(cell, x, backend=backend, **options)
        loss = sum((change(v) ** 3).sum() for v in (outputs, h, c))
        return torch.autograd.grad(loss, [x, *cell.parameters()])

    changed, other = gradients(lambda v: v.mul_(2).add_(1)), gradients(lambda v: v * 2 + 1)
    for a, b in zip(changed, other, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("backend", ["reference", "compiled", "library"])
def test_other_dtypes_are_refused_but_under_autocast(backend):
    cell, x = LSTM(3, 5), torch.randn(6, 4, 3)
    state = (torch.zeros(4, 5), torch.zeros(4, 5, dtype=torch.float64))
    says = r"are torch\.float32: convert one"
    for wrong in (x.double(), x.half(), x.long()):
        with pytest.raises(ValueError, match=rf"x is {wrong.dtype} and the weights {says}"):
            run(cell, wrong, backend=backend)
        with pytest.raises(ValueError, match=rf"x is {wrong.dtype} and the weights {says}"):
            cell(wrong[0])
    for call in (lambda: run(cell, x, state, backend=backend), lambda: cell(x[0], state)):
        with pytest.raises(ValueError, match=rf"the state c is torch\.float64 and the .*{says}"):
            call()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs, _ = run(cell, x.bfloat16(), backend=backend)
    torch.testing.assert_close(outputs.float(), run(cell, x)[0], atol=0.05, rtol=0.05)


def test_library_refuses_a_cell_it_cannot_run():
    refused = [name for name in NAMES if name not in able("library")]
    assert {"gru", "lstm_peephole", "fgr", "mgu"} <= set(refused)
    for name in refused:
        cell = CELLS[name](2, 3)
        assert set(backends(cell)) <= {"reference", "compiled"}
        with pytest.raises(UserError) as caught:
            run(cell, torch.zeros(1, 1, 2), backend="library")
        for word in (type(cell).__name__, "library", "reference"):
            assert word in str(caught.value)


def test_an_unknown_backend_is_refused_with_the_names():
    with pytest.raises(UserError, match="libary.*did you mean 'library'.*reference"):
        run(CELLS["lstm"](2, 3), torch.zeros(1, 1, 2), backend="libary")


def test_library_refuses_a_cell_that_only_inherits():
    class Mine(CELLS["lstm"]):
        def step(self, x, R, p, s):
            h, c = super().step(x, R, p, s)
            return 1 + h * 0, c

    assert backends(Mine(2, 3)) == ("reference", "compiled")
    outputs, _ = run(Mine(2, 3), torch.randn(4, 1, 2))
    assert torch.equal(outputs, torch.ones(4, 1, 3))


def _zeros(*shapes):
    return tuple(torch.zeros(shape) for shape in shapes)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"x": torch.zeros(5, 4)}, r"x must be"),
        ({"x": torch.zeros(5, 4, 7)}, r"x must be.*2"),
        ({"x": torch.zeros(0, 4, 2)}, r"x must be"),
        ({"state": _zeros((4, 3))}, r"h, c"),
        ({"state": _zeros((4, 3), (4, 2))}, r"h, c"),
        ({"state": _zeros((3, 3), (3, 3))}, r"h, c"),
        ({"state": _zeros((1, 4, 3), (1, 4, 3))}, r"h, c"),
        ({"lengths": torch.tensor([1, 0, 5, 5])}, r"1 to 5"),
        ({"lengths": torch.tensor([1, 6, 5, 5])}, r"1 to 5"),
        ({"lengths": torch.tensor([1, -1, 5, 5])}, r"1 to 5"),
        ({"lengths": torch.tensor([1, 5, 5])}, r"\(4,\)"),
        ({"lengths": torch.tensor([1.0, 2.0, 5.0, 5.0])}, r"int64"),
        ({"truncation": 0}, r"truncation.*1"),
        ({"truncation": -3}, r"truncation.*1"),
    ],
)
@pytest.mark.parametrize("backend", ["reference", "library"])
def test_wrong_arguments_are_refused(change, says, backend):
    arguments = {"x": torch.zeros(5, 4, 2), "state": None, "lengths": None} | change
    with pytest.raises((UserError, ValueError), match=says):
        run(CELLS["lstm"](2, 3), **arguments, backend=backend)


# -- backend=auto: the fastest that there is, and which one is logged ------------------------------


CPU = torch.device("cpu")


@pytest.fixture
def no_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setenv("ODYSSEY_KERNELS", str(tmp_path))
    dispatch.clear_cache()
    yield
    dispatch.clear_cache()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_in_single_precision_it_takes_the_cells_own_kernels(name):
    cell = make(name, 3, 5).float()
    chosen = choose(cell, "auto")
    assert chosen == ("compiled" if name in able("compiled") else "reference")
    x, state = inputs(cell, 7, 4)
    x, state = x.float(), tuple(v.float() for v in state)
    a, b = (run(cell, x, state, backend=k)[0] for k in ("auto", chosen))
    assert torch.equal(a, b)


@pytest.mark.parametrize("name", NAMES)
def test_in_double_precision_it_takes_torchs_kernels_or_the_loop(name):
    cell = make(name, 3, 5)
    chosen = choose(cell, "auto", "cpu", torch.float64)
    assert chosen == ("library" if name in able("library") else "reference")
    x, state = inputs(cell, 7, 4)
    a, b = (run(cell, x, state, backend=k)[0] for k in ("auto", chosen))
    assert torch.equal(a, b)


@pytest.mark.parametrize(("name", "chosen"), [("lstm", "library"), ("mgu", "reference")])
def test_without_a_compiler(name, chosen, no_compiler):
    assert choose(make(name, 2, 3).float(), "auto") == chosen


def test_a_models_backend_follows_its_weights():
    stack = Stack(CELLS["lstm"], 3, 5)
    assert stack.chosen(CPU) == "compiled"
    assert stack.double().chosen(CPU) == "library"


def test_a_model_knows_why_it_has_only_the_plain_loop(no_compiler):
    assert (
        Stack(CELLS["lstm_layernorm"], 3, 5).why_plain(CPU)
        == "its step calls cat, which has no rule here"
    )
    assert Stack(CELLS["lstm_layernorm"], 3, 5, backend="reference").why_plain(CPU) is None
    assert Stack(CELLS["mgu"], 3, 5).why_plain(CPU) is None  # which a warning of its own says


def test_a_batch_of_nothing():
    for backend in ("reference", "compiled"):
        x, lengths = torch.zeros(4, 0, 3), torch.zeros(0, dtype=torch.int64)
        outputs, _ = run(make("lstm", 3, 5).float(), x, None, lengths, backend=backend)
        assert outputs.shape == (4, 0, 5)


def says(caplog, cell, dtype, times=3):
    with caplog.at_level(logging.INFO, logger="odyssey"):
        for _ in range(times):
            run(cell.to(dtype), torch.zeros(2, 1, 2, dtype=dtype))
    name = type(cell).__name__
    return [r.getMessage() for r in caplog.records if name in r.getMessage()]


def test_it_says_what_it_took_once_for_each_kind(caplog):
    class Once(CELLS["mgu"]):
        pass

    class Layered(CELLS["lstm_layernorm"]):
        pass

    class Other(CELLS["mgu"]):
        pass

    begin = "model.backend=auto runs"
    assert says(caplog, Once(2, 3), torch.float32) == [f"{begin} Once on the backend compiled"]
    (line,) = says(caplog, Layered(2, 3), torch.float32)
    assert line.startswith(f"{begin} Layered on the backend reference, because its step ")
    assert says(caplog, Other(2, 3), torch.float64) == [
        f"{begin} Other on the backend reference, because there are no kernels for float64 on cpu"
    ]


def test_without_a_compiler_it_says_what_to_install(caplog, no_compiler):
    with caplog.at_level(logging.WARNING, logger="odyssey"):
        for name in ("mgu", "lstm", "mgu"):
            run(make(name, 2, 3).float(), torch.zeros(2, 1, 2))
    (record,) = caplog.records
    assert "because there is no C compiler (no-such-compiler); install" in record.getMessage()
