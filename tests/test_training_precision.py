"""What precision means for recurrent kernels, as far as it can be seen without a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from odyssey.cells import CELLS
from odyssey.recurrence import library, run
from odyssey.training.module import RecurrentModule
from run_kit import STREAMED, train, write_text


@pytest.mark.parametrize("name", ["rnn", "elman_relu", "lstm", "np", "gru_reset_after"])
@pytest.mark.parametrize("lengths", [None, [5, 1, 7]])
def test_autocast_takes_kernels_to_its_own_type(name: str, lengths: list[int] | None) -> None:
    """Not to float16, in which gradients would want scaling; and the weights stay float32."""
    cell, x = CELLS[name](4, 6), torch.randn(7, 3, 4)
    given = None if lengths is None else torch.tensor(lengths)
    wanted, _ = run(cell, x, lengths=given, backend="library")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs, state = run(cell, x, lengths=given, truncation=3, backend="library")
        outputs, state = run(cell, x, lengths=given, backend="library")
        again, _ = run(cell, x, state, given, backend="library")
    assert outputs.dtype == again.dtype == torch.bfloat16
    torch.testing.assert_close(outputs.float(), wanted, atol=0.02, rtol=0.02)
    outputs.float().sum().backward()
    assert cell.W.grad is not None and cell.W.grad.dtype == torch.float32


@pytest.mark.parametrize("lengths", [None, [5, 1, 7]])
def test_kernels_keep_what_the_gradient_needs(
    lengths: list[int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cuDNN goes backward only from a call with train=True; on a CPU it changes nothing."""
    function, order = library.FUNCTIONS["odyssey.cells.gru.GRUResetAfter"]
    flags = []

    def spy(*arguments: Any) -> Any:
        # Both forms end in train, bidirectional and, unless packed, batch_first.
        flags.append(arguments[-3 if lengths is None else -2])
        return function(*arguments)

    monkeypatch.setitem(library.FUNCTIONS, "odyssey.cells.gru.GRUResetAfter", (spy, order))
    cell, x = CELLS["gru_reset_after"](4, 6), torch.randn(7, 3, 4)
    given = None if lengths is None else torch.tensor(lengths)
    run(cell, x, lengths=given, backend="library")
    with torch.no_grad():
        run(cell, x, lengths=given, backend="library")
    assert flags == [True, False]


@pytest.mark.parametrize("precision, allowed", [("32", False), ("tf32", True)])
def test_tf32_is_for_those_who_asked(
    precision: str, allowed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In products and in recurrent kernels, for which torch allows it if nobody says no."""
    real, seen = RecurrentModule.training_step, set()

    def look(self: RecurrentModule, *rest: Any) -> Any:
        seen.add((torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()))
        return real(self, *rest)

    monkeypatch.setattr(RecurrentModule, "training_step", look)
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    path = write_text(tmp_path / "text.txt", 1000)
    options = [*STREAMED, "task.data=file", f"task.path={path}", "trainer.max_steps=3"]
    assert train(tmp_path / "out", *options, f"trainer.precision={precision}") == 0
    assert seen == {(allowed, "high" if allowed else "highest")}
    assert before == (torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision())
