"""The same numbers on a GPU as on the CPU. Skipped where there is none."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from odyssey.cells import CELLS
from odyssey.recurrence import backends, run
from run_kit import STREAMED, folder, metrics, record, train, write_text

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")


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
    for backend in backends(cell):
        torch.testing.assert_close(numbers("cuda", backend), wanted, rtol=1e-9, atol=1e-10)


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
