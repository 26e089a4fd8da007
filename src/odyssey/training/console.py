"""What a run prints: what it is, and what came of it."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from tqdm import tqdm

from odyssey.cli_utils import columns, show
from odyssey.config.compose import changed
from odyssey.config.schema import flat
from odyssey.io import read_text
from odyssey.training.confusion import CLASSES, MATRIX, recalls
from odyssey.training.module import RecurrentModule
from odyssey.training.record import ACCURACY, COMMONEST, RunRecord

MOST_CLASSES = 12  # whose recall is printed
OWN_CALLBACKS = "odyssey.training.callbacks."


def say(text: str = "") -> None:
    """Print a line, at once; training goes on where its reader has left."""
    show(text)


def line(text: str) -> None:
    """Print a line above the progress bar, if there is one."""
    with tqdm.external_write_mode(file=sys.stdout):
        show(text)


def configuration(cfg: Any, width: int | None = None, differences: bool = True) -> list[str]:
    """The composed configuration: what differs from the defaults, then all, a group a paragraph.

    Keys that are null are left out of the latter. width: in characters; None: the terminal's.
    differences: whether to print the former, which takes a tenth of a second to find.
    """
    width = columns() if width is None else width
    whole: Any = OmegaConf.to_container(cfg, resolve=True)
    whole["callbacks"] = _changed_callbacks(whole.get("callbacks", {}))
    lines = []
    if differences and (different := changed(cfg)):
        lines += [*_paragraph("changed", different, width), ""]
    alone = {name: value for name, value in whole.items() if not isinstance(value, dict)}
    for name, value in [*whole.items(), ("run", alone)]:
        if isinstance(value, dict):
            set_ones = {key: v for key, v in flat(value).items() if v is not None and v != {}}
            lines += _paragraph(name, set_ones or dict.fromkeys(value), width)
    return lines


def _paragraph(name: str, values: Mapping[str, Any], width: int) -> list[str]:
    """`name      key=value  key=value …`, broken between the pairs alone."""
    indent = " " * 11
    text = "  ".join(f"{key}={_short(v)}".replace(" ", "\0") for key, v in values.items())
    lines = textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    if lines:
        lines[0] = f"{name:<11}{lines[0][11:]}"
    return [line.replace("\0", " ") for line in lines]


def _changed_callbacks(callbacks: Mapping[str, Any]) -> dict[str, Any]:
    """A user's own callbacks, and ours that are switched off."""
    return {
        name: "null" if value is None else value
        for name, value in callbacks.items()
        if value is None or not str(value.get("_target_")).startswith(OWN_CALLBACKS)
    }


def opening(
    cfg: Any,
    record: RunRecord,
    module: RecurrentModule,
    folder: Path,
    device: torch.device,
    differences: bool = True,
) -> None:
    """Print the composed configuration and the facts that follow from it."""
    for text in configuration(cfg, differences=differences):
        say(text)
    say()
    stack: Any = module.model.stack
    first, schedule, data = stack.cells()[0], module.schedule, record.data
    assert schedule is not None and data is not None
    precision = "" if record.precision == "32" else f", precision {record.precision}"
    say(
        f"{record.cell} on {record.task}: {record.params:,} parameters, "
        f"{len(stack.layers)} layer{'s' if len(stack.layers) > 1 else ''} of {first.hidden_size}"
        f"{' in two directions' if stack.directions == 2 else ''}, backend {record.backend}"
        f"{', updates in C' if record.loop == 'compiled' else ''}"
        f"{precision}, {record.device}"
    )
    why = stack.why_plain(device)
    if why is not None:
        say(f"a plain loop runs it, several times slower than kernels would, because {why}")
    every = min(schedule.val_every, schedule.total)
    say(
        f"data {data.name} (sha256 {data.sha256[:12]}…): {schedule.steps_per_epoch:,} updates an "
        f"epoch, {schedule.total:,} in all, a validation every {every:,}"
    )
    if record.start is not None:
        say(f"begins with the weights of {record.start.run} at update {record.start.step:,}")
        if record.start.fresh:
            names = " and ".join(record.start.fresh)
            say(f"but for {names}: its outputs are others, and begin anew")
    for note in module.task.notes:
        say(note)
    if module.updates:
        say(f"going on after update {module.updates:,}")
    say(f"run folder {folder}")
    say()


def closing(folder: Path, record: RunRecord) -> None:
    """Print how it ended, the numbers, and where things are."""
    say()
    if record.status == "interrupted":
        say(f"interrupted after update {record.steps:,}; the same command goes on from there")
    elif record.status == "diverged":
        say(f"diverged: {record.error}; a smaller optimizer.lr or clip.threshold may help")
    else:
        say(
            f"finished: {record.steps:,} updates in {record.seconds:.0f} s; best at update "
            f"{record.best_step:,} (epoch {record.best_epoch:.2f})"
        )
    _numbers(record, folder)
    texts = sorted((folder / "samples").glob("*.txt"))
    if texts and record.status == "finished":
        say(f"\nwhat it writes ({texts[-1].name}):\n")
        with suppress(OSError, ValueError):  # a hand was at it
            for text in read_text(texts[-1])[0].splitlines()[:16]:
                say(f"  | {text[:96]}")
        say()
    for label, path in (
        ("metrics", folder / "metrics.csv"),
        ("curves", folder / "figures" / "learning_curves.png"),
        ("classes", folder / CLASSES),
        ("confusion", folder / MATRIX),
        ("samples", folder / "samples"),
        ("checkpoint", folder / "checkpoints" / "best.ckpt"),
        ("profile", folder / "profiles"),
        ("W&B", record.wandb and record.wandb.dir),
    ):
        if path and Path(path).exists():
            say(f"  {label:<12}{path}")


def done_already(folder: Path, record: RunRecord) -> None:
    """Print that there is nothing left to do."""
    say(f"{record.status} already: {folder} (resume=force trains it anew)")
    _numbers(record, folder)


def _numbers(record: RunRecord, folder: Path) -> None:
    for name, value in record.metrics.items():
        say(f"  {name:<24}{value:.4f}")
    if found := recalls(folder):
        shown = sorted(found.items(), key=lambda item: (item[1] != item[1], item[1]))
        words = [f"{name} {'-' if v != v else f'{v:.4f}'}" for name, v in shown[:MOST_CLASSES]]
        more = f", and {len(shown) - MOST_CLASSES} more" if len(shown) > MOST_CLASSES else ""
        say(f"  test recall of each class, the lowest first: {', '.join(words)}{more}")
    if record.no_better_than_commonest():
        say(no_better(record))
    if record.metrics and record.caveat:
        say(f"  but {record.caveat}")
    if record.metrics and record.untested:
        say(f"  {record.untested}")


def no_better(record: RunRecord) -> str:
    """The sentence for a run that always answering the commonest class would equal."""
    accuracy, common = (record.metrics[f"test/{name}"] for name in (ACCURACY, COMMONEST))
    macro = record.metrics.get("test/macro_f1")
    return (
        f"test accuracy {accuracy:.4f} is no better than always answering the commonest class, "
        f"which gives {common:.4f}" + ("" if macro is None else f"; macro F1 is {macro:.4f}")
    )


def _short(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_short(v)}" for k, v in value.items() if v is not None) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)
