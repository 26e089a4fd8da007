"""What precision means for recurrent kernels, as far as it can be seen without a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from odyssey.cells import CELLS
from odyssey.recurrence import library, run
from odyssey.training.module import RecurrentModule
from run_kit import SEQUENCES, STREAMED, folder, metrics, record, train, write_text


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
    assert (
        train(
            tmp_path / "out", *options, f"trainer.precision={precision}", "trainer.loop=lightning"
        )
        == 0
    )
    assert seen == {(allowed, "high" if allowed else "highest")}
    assert before == (torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision())


def values(out: Path) -> list[float]:
    """All numbers of metrics.csv, in their order."""
    return [float(value) for *_, value in metrics(folder(out))]


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["lstm", "gru", "mut1", "lstm_layernorm"])
def test_float64_from_the_data_to_the_record(cell: str, tmp_path: Path) -> None:
    """Kernels against the plain loop, and both near float32, from the same first weights."""
    path = write_text(tmp_path / "text.txt", 1500)
    options = [*STREAMED, f"cell={cell}", "task.data=file", f"task.path={path}"]
    options += ["model.dropout=0", "trainer.max_steps=20", "trainer.val_every=10"]
    double = [*options, "trainer.precision=64"]
    assert train(tmp_path / "auto", *double) == 0
    assert train(tmp_path / "loop", *double, "model.backend=reference") == 0
    assert train(tmp_path / "single", *options) == 0
    run = record(folder(tmp_path / "auto"))
    assert run["precision"] == "64" and run["status"] == "finished"
    assert run["backend"] == ("library" if cell == "lstm" else "reference")  # what has float64
    outs = ["auto"]
    if cell != "lstm_layernorm":  # which has no kernels in any type
        assert train(tmp_path / "compiled", *double, "model.backend=compiled") == 0
        outs.append("compiled")
    for out in outs:
        assert values(tmp_path / out) == pytest.approx(values(tmp_path / "loop"), rel=1e-10)
    first = [values(tmp_path / out)[0] for out in ("auto", "single")]
    assert first[0] == pytest.approx(first[1], rel=1e-5) and first[0] != first[1]
    assert torch.get_default_dtype() == torch.float32
    last = torch.load(folder(tmp_path / "auto") / "checkpoints/last.ckpt", weights_only=True)
    state = last["optimizer"]["state"].values()
    moments = [v for one in state for k, v in one.items() if k != "step"]
    carried = [v for layer in last["carried"] for s in layer for v in s]
    for value in (*last["model"].values(), *moments, *carried, last["losses"]):
        assert value.dtype == torch.float64


@pytest.mark.slow
def test_float64_of_reals_with_noise_and_samples(
    tmp_path: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from odyssey.training.sampling import main

    options = [*SEQUENCES, f"data_dir={shared_data}", "trainer.precision=64", "task.input_noise=0"]
    options += ["trainer.max_steps=6", "trainer.val_every=6", "task.sample_length=8"]
    assert train(tmp_path / "auto", *options) == 0
    assert ", precision 64, cpu" in capsys.readouterr().out
    assert train(tmp_path / "loop", *options, "model.backend=reference") == 0
    assert values(tmp_path / "auto") == pytest.approx(values(tmp_path / "loop"), rel=1e-10)
    run = folder(tmp_path / "auto")
    assert list((run / "samples").glob("*.mid"))
    assert main([str(run), "--length", "4"]) == 0
    assert train(tmp_path / "noise", *options, "task.input_noise=0.3") == 0


@pytest.mark.slow
def test_float64_interrupted_goes_on_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import signal

    from odyssey.training.callbacks import Signals
    from run_kit import assert_same_run

    path = write_text(tmp_path / "text.txt", 1500)
    options = [*STREAMED, "task.data=file", f"task.path={path}", "trainer.precision=64"]
    assert train(tmp_path / "whole", *options) == 0
    real = Signals.on_train_batch_end

    def signalled(self: Signals, trainer: Any, module: Any, *rest: Any) -> None:
        if module.updates == 17:
            signal.raise_signal(signal.SIGINT)
        real(self, trainer, module, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(Signals, "on_train_batch_end", signalled)
        assert train(tmp_path / "broken", *options) == 130
    assert train(tmp_path / "broken", *options) == 0
    assert_same_run(folder(tmp_path / "whole"), folder(tmp_path / "broken"))
