"""What a run prints: what it is, and what came of it."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from tqdm import tqdm

from odyssey.training.module import RecurrentModule
from odyssey.training.schedule import Schedule


def say(text: str = "") -> None:
    """One line, at once."""
    print(text)
    sys.stdout.flush()


def configuration(cfg: Any, width: int = 100) -> list[str]:
    """The composed configuration, a group a paragraph; keys that are null are left out."""
    whole: Any = OmegaConf.to_container(cfg, resolve=True)
    lines = []
    alone = {name: value for name, value in whole.items() if not isinstance(value, dict)}
    for name, value in [*whole.items(), ("run", alone)]:
        if isinstance(value, dict):
            words = [f"{key}={_short(v)}" for key, v in value.items() if v is not None and v != {}]
            words = words or [f"{key}=null" for key in value]
            text = "  ".join(word.replace(" ", "\0") for word in words)
            indent = " " * 11
            wrapped = textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent)
            wrapped[0] = f"{name:<11}{wrapped[0][11:]}"
            lines += [line.replace("\0", " ") for line in wrapped]
    return lines


def opening(
    cfg: Any,
    record: Mapping[str, Any],
    module: RecurrentModule,
    plan: Schedule,
    folder: Path,
    device: torch.device,
) -> None:
    """The composed configuration and the facts that follow from it."""
    for line in configuration(cfg):
        say(line)
    say()
    stack: Any = module.model.stack
    first = stack.cells()[0]
    say(
        f"{record['cell']} on {record['task']}: {record['params']:,} parameters, "
        f"{len(stack.layers)} layer{'s' if len(stack.layers) > 1 else ''} of {first.hidden_size}"
        f"{' in two directions' if stack.directions == 2 else ''}, backend {record['backend']}, "
        f"{record['device']}"
    )
    why = stack.why_plain(device)
    if why is not None:
        say(f"a plain loop runs it, several times slower than kernels would, because {why}")
    data = record["data"]
    say(
        f"data {data['name']} (sha256 {data['sha256'][:12]}…): {plan.steps_per_epoch:,} updates an "
        f"epoch, {plan.total:,} in all, a validation every {min(plan.val_every, plan.total):,}"
    )
    if module.updates:
        say(f"going on after update {module.updates:,}")
    say(f"run folder {folder}")
    say()


def closing(folder: Path, record: Mapping[str, Any]) -> None:
    """How it ended, the numbers, and where things are."""
    status = record["status"]
    say()
    if status == "interrupted":
        say(f"interrupted after update {record['steps']:,}; the same command goes on from there")
    elif status == "diverged":
        say(f"diverged: {record['error']}; a smaller optimizer.lr or clip.threshold may help")
    else:
        say(
            f"finished: {record['steps']:,} updates in {record['seconds']:.0f} s; best at update "
            f"{record['best_step']:,} (epoch {record['best_epoch']:.2f})"
        )
    _numbers(record)
    texts = sorted((folder / "samples").glob("*.txt"))
    if texts and status == "finished":
        say(f"\nwhat it writes ({texts[-1].name}):\n")
        for line in texts[-1].read_text(encoding="utf-8").splitlines()[:16]:
            say(f"  | {line[:96]}")
        say()
    for label, path in (
        ("metrics", folder / "metrics.csv"),
        ("curves", folder / "figures" / "learning_curves.png"),
        ("samples", folder / "samples"),
        ("checkpoint", folder / "checkpoints" / "best.ckpt"),
        ("W&B", record["wandb"] and record["wandb"]["dir"]),
    ):
        if path and Path(path).exists():
            say(f"  {label:<12}{path}")


def done_already(folder: Path, record: Mapping[str, Any]) -> None:
    """The same command again, and there is nothing left to do."""
    say(f"{record['status']} already: {folder} (resume=force trains it anew)")
    _numbers(record)


def _numbers(record: Mapping[str, Any]) -> None:
    for name, value in record["metrics"].items():
        say(f"  {name:<24}{float(value):.4f}")


def _short(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_short(v)}" for k, v in value.items() if v is not None) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)


class Bar:
    """Updates done out of all, with the loss and the last validation; nothing where there is no
    terminal to draw it on."""

    def __init__(self, plan: Schedule, done: int, show: bool) -> None:
        self.plan = plan
        self._bar: Any = tqdm(
            total=plan.total,
            initial=done,
            unit="step",
            dynamic_ncols=True,
            mininterval=0.2,
            file=sys.stderr,
            disable=None if show else True,
            bar_format="{desc} {percentage:3.0f}%|{bar}| {n}/{total} "
            "[{elapsed}<{remaining}{postfix}]",
        )
        self._shown: dict[str, str] = {}

    def update(self, step: int) -> None:
        """Move to `step` updates."""
        self._bar.update(step - self._bar.n)

    def show(self, step: int, **values: float) -> None:
        """Put numbers beside the bar."""
        self._shown.update({name: f"{value:.4g}" for name, value in values.items()})
        epochs = -(-self.plan.total // self.plan.steps_per_epoch)
        epoch = min(step // self.plan.steps_per_epoch + 1, epochs)
        self._bar.set_description_str(f"epoch {epoch}/{epochs}", refresh=False)
        self._bar.set_postfix(self._shown, refresh=False)

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        self._bar.write(text, file=sys.stdout)
        sys.stdout.flush()

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.close()
