"""The same numbers on a GPU as on the CPU. Skipped where there is none."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from odyssey.cells import CELLS
from odyssey.nn import RNN
from odyssey.recurrence import backends, choose, run
from odyssey.recurrence.compiled import dispatch
from odyssey.recurrence.compiled.triton.engine import TritonEngine
from odyssey.recurrence.library import supports
from run_kit import STREAMED, folder, metrics, record, train, write_text

if not torch.cuda.is_available():
    pytest.skip("torch sees no GPU here", allow_module_level=True)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("ragged", [False, True])
def test_outputs_and_gradients_equal_the_cpus(name: str, ragged: bool) -> None:
    T, B, X, H = 11, 5, 7, 13
    cell = CELLS[name](X, H, dtype=torch.float64)
    x = torch.randn(T, B, X, dtype=torch.float64)
    lengths = torch.tensor([11, 3, 1, 7, 11]) if ragged else None
    weight = torch.randn(T, B, H, dtype=torch.float64)

    def numbers(device: str, backend: str) -> list[torch.Tensor]:
        cell.to(device).zero_grad()
        given = x.clone().to(device).requires_grad_()
        y, last = run(cell, given, lengths=lengths, truncation=4, backend=backend)
        ((y * weight.to(device)).sum() + sum(s.sum() for s in last)).backward()
        grads = [p.grad for p in cell.parameters()]
        return [v.detach().cpu().clone() for v in (y, *last, given.grad, *grads)]

    wanted = numbers("cpu", "reference")
    for each in backends(cell):
        torch.testing.assert_close(numbers("cuda", each), wanted, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", ["gru", "lstm", "lstm_peephole"])
def test_the_layer_equals_the_cpus(name: str) -> None:
    """odyssey.RNN with lengths on the GPU, and with a PackedSequence there."""
    rnn = RNN(name, 7, 13, num_layers=2, bidirectional=True, dtype=torch.float64)
    x, lengths = torch.randn(11, 5, 7, dtype=torch.float64), torch.tensor([11, 3, 1, 7, 11])
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    wanted, end = rnn(x, lengths=lengths)
    data = rnn(packed)[0].data
    rnn.cuda()
    y, last = rnn(x.cuda(), lengths=lengths.cuda())
    found, _ = rnn(packed.to("cuda"))
    for a, b in [(y, wanted), (found.data, data), *zip(last, end, strict=True)]:
        torch.testing.assert_close(a.cpu(), b, rtol=1e-9, atol=1e-10)
    if name == "lstm":
        module = rnn.to_torch()
        torch.testing.assert_close(module(x.cuda())[0], rnn(x.cuda())[0], rtol=1e-9, atol=1e-10)
        assert RNN.from_torch(module).stack.grid()[0][0].W.device.type == "cuda"


# What rounding the operands of products costs in a few steps: 2^-11 each in TF32, 2^-9 in bfloat16.
TOLERANCE = {"ieee": 1e-5, "tf32": 2**-7, "bf16": 2**-5}


@pytest.mark.parametrize(
    "name", [name for name in CELLS if "compiled" in backends(CELLS[name](1, 1))]
)
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("form", ["persistent", "step"])
@pytest.mark.parametrize("precision", TOLERANCE)
def test_generated_kernels_equal_the_reference(
    name: str, ragged: bool, form: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three runs: in the step form one of launches, one that is recorded and one replayed."""
    T, B, X, H = 9, 5, 7, 37
    torch.manual_seed(0)
    cell = CELLS[name](X, H)
    x, weight = torch.randn(T, B, X), torch.randn(T, B, H)
    lengths = torch.tensor([9, 3, 1, 7, 9]) if ragged else None

    def numbers(device: str, dtype: torch.dtype, backend: str, factor: float) -> list[torch.Tensor]:
        cell.to(device, dtype).zero_grad()
        given = (x * factor).to(device, dtype).requires_grad_()
        y, last = run(cell, given, lengths=lengths, truncation=4, backend=backend)
        ((y * weight.to(device, dtype)).sum() + sum(s.sum() for s in last)).backward()
        grads = [p.grad for p in cell.parameters()]
        return [v.detach().float().cpu().clone() for v in (y, *last, given.grad, *grads)]

    engine = TritonEngine(dispatch.plan_of(cell), precision, form)
    for factor in (1.0, 0.5, 2.0):
        wanted = numbers("cpu", torch.float64, "reference", factor)
        with monkeypatch.context() as patch:
            patch.setattr(dispatch, "engine_for", lambda *_: engine)
            found = numbers("cuda", torch.float32, "compiled", factor)
        for a, b in zip(found, wanted, strict=True):
            limit = TOLERANCE[precision] * max(1.0, float(b.abs().max()))
            torch.testing.assert_close(a, b, rtol=0, atol=limit)


@pytest.mark.parametrize("precision", ["ieee", "tf32", "bf16"])
def test_the_setting_of_precision_reaches_the_kernels(precision: str) -> None:
    x = torch.randn(3, 2, 4, device="cuda")
    cell = CELLS["lstm_peephole"](4, 5).cuda()
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=precision == "bf16"):
            run(cell, x, backend="compiled")
    finally:
        torch.set_float32_matmul_precision(before)
    plan = dispatch.plan_of(cell)
    engine = dispatch.engine_for(plan, x.device, x.dtype, precision)
    assert isinstance(engine, TritonEngine) and engine.precision == precision
    assert list(dispatch.built_engines(plan)) == [("cuda", precision)]


@pytest.mark.parametrize("name", CELLS)
def test_auto_trusts_the_kernels_after_their_trial(name: str) -> None:
    cell = CELLS[name](7, 37).cuda()
    expected = "reference" if name == "lstm_layernorm" else "compiled"
    assert choose(cell, "auto", "cuda") == ("library" if supports(cell) else expected)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["32", "tf32", "bf16-mixed"])
@pytest.mark.parametrize("cell", ["lstm", "lstm_peephole"])
def test_a_run_trains(cell: str, precision: str, tmp_path: Path) -> None:
    path = write_text(tmp_path / "text.txt")
    options = [*STREAMED, f"cell={cell}", "task.data=file", f"task.path={path}", "device=cuda"]
    assert train(tmp_path / "out", *options, f"trainer.precision={precision}") == 0
    run_folder = folder(tmp_path / "out")
    losses = [float(r[3]) for r in metrics(run_folder) if r[2] == "train/loss"]
    assert record(run_folder)["status"] == "finished"
    assert math.isfinite(losses[-1]) and losses[-1] < losses[0]
