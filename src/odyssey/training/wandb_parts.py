"""The parts of one run's W&B run: each session, killed or not, leaves a folder of its own.

W&B writes a run's file in blocks, so a killed session's lacks its last seconds, and a session that
goes on repeats updates since the checkpoint. The run folder has every row exactly once. So a new
session logs those rows again, and the earlier parts are put aside: one part holds the whole run.
What was uploaded already is not logged twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from odyssey.training.folder import RunFolder

ASIDE = "earlier"  # a folder that neither `wandb sync` nor `wandb leet` looks into


class Entry(NamedTuple):
    """What was logged at once: a row of history, and the sample made after it, if any."""

    step: int
    epoch: float
    values: dict[str, float]
    sample: Path | None


def entries(folder: RunFolder, after: float) -> Iterator[Entry]:
    """All that the run folder has of updates later than `after`, in order."""
    samples = {
        int(match[1]): path
        for path in sorted(folder.samples.glob("step-*"))
        if (match := re.fullmatch(r"step-(\d+)\.(txt|mid)", path.name))
    }
    rows = (row for row in folder.rows() if int(row["step"]) > after)
    for (step, epoch, _), group in groupby(rows, lambda r: (r["step"], r["epoch"], r["time"])):
        values = {row["name"]: float(row["value"]) for row in group}
        validated = any(name.startswith("valid/") for name in values)
        yield Entry(int(step), float(epoch), values, samples.get(int(step)) if validated else None)


def earlier(wandb_dir: Path, id: str, current: Path) -> list[Path]:
    """The folders of other sessions of the W&B run `id`."""
    found = (path.parent for path in wandb_dir.glob(f"*run-*-{id}*/run-{id}.wandb"))
    return [p for p in sorted(found) if not p.is_symlink() and p.resolve() != current.resolve()]


def uploaded(part: Path) -> bool:
    """Whether its rows are on W&B's server: logged online, or synced."""
    return not part.name.startswith("offline-") or any(part.glob("*.wandb.synced"))


def put_aside(part: Path) -> None:
    """Move a part's folder to `earlier/`; nothing is deleted."""
    place = part.parent / ASIDE
    place.mkdir(exist_ok=True)
    part.rename(place / part.name)
