"""The learning curves of a run, from its metrics.csv."""

from __future__ import annotations

import math
import re
from pathlib import Path

from odyssey.report.reading import read_bytes
from odyssey.report.runs import Series

POINTS = 40  # of a curve that are kept: a figure of many runs shows no more
WANTED = re.compile(rb"^([^,\n]*),[^,\n]*,(valid/[^,\n]*|train/loss),([^,\n]*),[^,\n]*$", re.M)
WHOLE = re.compile(rb"^[^,\n]*(?:,[^,\n]*){4}$", re.M)


def read_curves(file: Path, most: int = POINTS) -> tuple[dict[str, Series], int]:
    """Validation metrics and training loss against updates, and how many lines are damaged.

    Each has at most `most` points, evenly chosen, the first and the last among them. A value that
    is not finite stays what it is. Of two lines on one update the later counts.
    """
    try:
        content = read_bytes(file)
    except OSError:
        return {}, 0
    damaged = _not_whole(content)
    found: dict[str, dict[float, float]] = {}
    for step, name, value in WANTED.findall(content):
        try:
            at, is_ = float(step), float(value)
            key = name.decode()
        except ValueError:
            damaged += 1
            continue
        if math.isfinite(at):
            found.setdefault(key, {})[at] = is_
        else:
            damaged += 1
    return {name: thinned(points, most) for name, points in found.items()}, damaged


def _not_whole(content: bytes) -> int:
    """How many lines do not have five fields; a last one that was cut short is one."""
    if not content:
        return 0
    lines = content.count(b"\n") + (not content.endswith(b"\n"))
    if content.count(b",") == 4 * lines and content.endswith(b"\n"):
        return 0
    filled = len([line for line in content.split(b"\n") if line.strip()])
    return filled - len(WHOLE.findall(content))


def thinned(points: dict[float, float], most: int = POINTS) -> Series:
    """So many points at most, evenly over the steps, the first and the last among them."""
    steps = sorted(points)
    if len(steps) > most:
        last = len(steps) - 1
        steps = [steps[round(i * last / (most - 1))] for i in range(most)]
    return steps, [points[step] for step in steps]
