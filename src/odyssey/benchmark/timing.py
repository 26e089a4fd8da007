"""Timing two things in turn, so that a machine that speeds up or slows down does it to both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Row:
    """One comparison: seconds are medians, the ratio is the median of the pairs' ratios."""

    what: str
    ours: float
    against: str
    other: float
    ratio: float
    low: float
    high: float
    pairs: int
    limit: float | None = None

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def synchronize(device: torch.device) -> None:
    """Wait for a GPU, so that what was asked for is what is timed."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def summarize(
    what: str, against: str, pairs: list[tuple[float, float]], limit: float | None = None
) -> Row:
    """A row from pairs of (ours, other) seconds."""
    ratios = sorted(a / b for a, b in pairs)
    return Row(
        what,
        statistics.median(a for a, _ in pairs),
        against,
        statistics.median(b for _, b in pairs),
        statistics.median(ratios),
        ratios[len(ratios) // 4],
        ratios[-1 - len(ratios) // 4],
        len(pairs),
        limit,
    )


def rounds(
    works: dict[str, Callable[[], None]], *, device: torch.device, count: int, warmup: int = 3
) -> dict[str, list[float]]:
    """Seconds of each of `works` in each of `count` rounds; every other round goes backwards.

    Each is run once before it is timed: what was run before it has left caches and memory in a
    state that differs by half of a short work's time.
    """

    def seconds(work: Callable[[], None]) -> float:
        work()
        synchronize(device)
        start = time.perf_counter()
        work()
        synchronize(device)
        return time.perf_counter() - start

    for _ in range(warmup):
        for work in works.values():
            work()
    times: dict[str, list[float]] = {what: [] for what in works}
    for i in range(count):
        for what, work in reversed(works.items()) if i % 2 else works.items():
            times[what].append(seconds(work))
    return times


def compare(
    what: str,
    ours: Callable[[], None],
    against: str,
    other: Callable[[], None],
    *,
    device: torch.device,
    pairs: int = 15,
    warmup: int = 3,
    limit: float | None = None,
) -> Row:
    """Time `ours` and `other` in turn, the first of each pair changing."""
    works = {"ours": ours, "other": other}
    times = rounds(works, device=device, count=pairs, warmup=warmup)
    return summarize(what, against, list(zip(times["ours"], times["other"], strict=True)), limit)


def table(rows: list[Row]) -> str:
    """The rows as text, times in milliseconds."""
    head = f"{'what':<52}{'ms':>9}  {'against':<24}{'ms':>9}{'ratio':>8}  {'middle half':<13}limit"
    lines = [head, "-" * len(head)]
    for r in rows:
        lines.append(
            f"{r.what:<52}{1e3 * r.ours:>9.2f}  {r.against:<24}{1e3 * r.other:>9.2f}{r.ratio:>8.2f}"
            f"  {f'{r.low:.2f} - {r.high:.2f}':<13}{r.limit or ''}"
        )
    return "\n".join(lines)
