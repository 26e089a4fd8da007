"""odyssey.RNN through torch.export, torch.onnx and torch.jit.trace, which see the plain loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.export import Dim
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils._pytree import tree_leaves

import odyssey
from cell_cases import NAMES, normal
from model_kit import randomize

X, H, T, B = 3, 4, 4, 3
BATCH = Dim("B")


def layer(name: str, **options) -> odyssey.RNN:
    """A random layer in float32, in which the backend auto would run kernels."""
    return randomize(odyssey.RNN(name, X, H, **options)).float().eval()


def values(*shape: int, seed: int) -> torch.Tensor:
    return normal(*shape, seed=seed).float()


def same(found, wanted) -> None:
    torch.testing.assert_close(tree_leaves(found), tree_leaves(wanted), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_cell_can_be_exported(name):
    rnn = layer(name, bidirectional=True, batch_first=True)
    program = torch.export.export(rnn, (values(B, T, X, seed=1),))
    x = values(B, T, X, seed=2)
    same(program.module()(x), rnn(x))


@pytest.mark.parametrize("backend", ["auto", "reference", "compiled", "library"])
def test_whatever_the_backend_it_is_the_plain_loop_that_is_exported(backend):
    rnn = layer("lstm", num_layers=2, backend=backend)
    program = torch.export.export(rnn, (values(T, B, X, seed=1),))
    x = values(T, B, X, seed=2)
    same(program.module()(x), rnn(x))
    called = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert "aten.sigmoid.default" in called, "a step's own operations"
    assert not any("lstm" in name or "Recurrence" in name for name in called)


@pytest.mark.slow
def test_states_lengths_and_the_size_of_the_batch_may_vary():
    rnn = layer("lstm_peephole", num_layers=2, bidirectional=True)

    def inputs(size: int, seed: int):
        states = tuple(values(4, size, H, seed=seed + k) for k in range(2))
        generator = torch.Generator().manual_seed(seed)
        return (
            values(T, size, X, seed=seed),
            states,
            torch.randint(1, T + 1, (size,), generator=generator),
        )

    program = torch.export.export(
        rnn,
        inputs(B, 10),
        dynamic_shapes={"input": {1: BATCH}, "hx": ({1: BATCH}, {1: BATCH}), "lengths": {0: BATCH}},
    )
    for size, seed in ((5, 20), (2, 30)):
        given = inputs(size, seed)
        same(program.module()(*given), rnn(*given))


def test_one_step_can_be_exported_for_any_number_of_steps():
    cell = layer("lstm_peephole").stack.cells()[0]
    given = (values(B, X, seed=1), (values(B, H, seed=2), values(B, H, seed=3)))
    step = torch.export.export(cell, given).module()
    state = rest = given[1]
    for t in range(9):
        x = values(B, X, seed=10 + t)
        state, rest = step(x, state), cell(x, rest)
    same(state, rest)


def test_the_number_of_steps_is_fixed_and_torch_says_so():
    with pytest.raises(Exception, match="marked T as dynamic but your code specialized it"):
        torch.export.export(
            layer("lstm"), (values(T, B, X, seed=1),), dynamic_shapes={"input": {0: Dim("T")}}
        )


def test_a_packed_sequence_is_refused_in_a_sentence():
    packed = pack_padded_sequence(values(T, B, X, seed=1), [4, 2, 1])
    with pytest.raises(TypeError, match="cannot be exported: give x, and the lengths as a tensor"):
        torch.export.export(layer("lstm"), (packed,))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_torch_jit_trace():
    rnn = layer("gru", bidirectional=True)
    x = values(T, B, X, seed=2)
    same(torch.jit.trace(rnn, (values(T, B, X, seed=1),))(x), rnn(x))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch's exporter
@pytest.mark.parametrize(
    ("name", "with_lengths", "layers"),
    [("lstm_peephole", False, 2), ("mut1", True, 2), ("lstm_layernorm", False, 1)],
)
def test_onnx(name, with_lengths, layers):
    """The file's numbers, by the evaluator of the package onnx, for another size of the batch."""
    pytest.importorskip("onnxscript")
    evaluator = pytest.importorskip("onnx.reference")

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = layer(name, num_layers=layers, bidirectional=True, batch_first=True)

        def forward(self, x, lengths):
            return self.rnn(x, lengths=lengths)

    def inputs(size: int, seed: int):
        n = torch.arange(size) % T + 1 if with_lengths else None
        return values(size, T, X, seed=seed), n

    model = Model().eval()
    shapes = {"x": {0: BATCH}, "lengths": {0: BATCH} if with_lengths else None}
    program = torch.onnx.export(
        model, inputs(B, 1), dynamo=True, dynamic_shapes=shapes, verbose=False
    )
    file = program.model_proto
    x, n = inputs(5, 2)
    given = {"x": x.numpy()} | ({"lengths": n.numpy()} if with_lengths else {})
    assert [v.name for v in file.graph.input] == list(given)
    found = evaluator.ReferenceEvaluator(file).run(None, given)
    for a, b in zip(found, tree_leaves(model(x, n)), strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_onnx_by_the_older_exporter(tmp_path):
    onnx = pytest.importorskip("onnx")
    evaluator = pytest.importorskip("onnx.reference")
    rnn = layer("lstm_peephole")
    path = tmp_path / "rnn.onnx"
    torch.onnx.export(rnn, (values(T, B, X, seed=1),), path, dynamo=False, input_names=["x"])
    x = values(T, B, X, seed=2)
    found = evaluator.ReferenceEvaluator(onnx.load(path)).run(None, {"x": x.numpy()})
    for a, b in zip(found, tree_leaves(rnn(x)), strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=1e-4, atol=1e-5)
