"""The test scores of each sequence of a run, in `test_items.npz` of its folder.

A metric is a mean over a finite test set. With the scores of each sequence, the difference of two
models can be taken sequence by sequence, and a report can say how much of it is the choice of the
test sequences. A text that is read in windows has no sequences: its items are up to 500 segments of
equal length, the same ones for any truncation length and number of lanes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from odyssey.errors import UserError
from odyssey.io import write_bytes
from odyssey.tasks.base import Batch, Batches, Sums, Task
from odyssey.training.record import TEST_ITEMS

FORMAT = 1
SEGMENTS = 500  # of a text, at most
CLOSE = 1e-3  # relative: by which metrics from the items may differ from those of the whole


class Items:
    """Scores of each test item, collected batch by batch while the test is made."""

    def __init__(self, task: Task, batches: Batches) -> None:
        self.task, self.batches = task, batches
        self.names: list[str] = []
        self.seen = 0  # sequences so far
        self.where: list[np.ndarray] = []  # item of each value
        self.values: list[Tensor] = []  # (n, 2 scores): sums, then counts
        self.length = _segment_length(task, batches)
        self.usable = not task.overfit and (self.length is not None or not task.streamed)

    def add(self, logits: Tensor, batch: Batch, index: int) -> None:
        """Take the scores of batch `index`. A task whose scores cannot be taken apart has none."""
        if not self.usable:
            return
        try:
            with torch.no_grad():
                self._add(logits.detach(), batch, index)
        except Exception:  # whatever a task of the user's own raises for a part of a batch
            self.usable = False

    def _add(self, logits: Tensor, batch: Batch, index: int) -> None:
        each = None if self.task.added else self.task.each_scores(logits, batch)
        if self.task.streamed:
            places = self.batches.places(index) // self.length  # type: ignore[attr-defined]
            places = places.cpu().numpy()
            if each is not None:
                self._keep(each, places.ravel())
                return
            for lane in range(places.shape[1]):
                for start, stop in _stretches(places[:, lane]):
                    part = _part(self.task, logits, batch, lane, slice(start, stop))
                    self._keep(self.task.all_scores(*part), places[start : start + 1, lane])
            return
        count = logits.shape[0 if self.task.spec.head == "last" else 1]
        order = getattr(self.batches, "order", None)
        rows = np.arange(self.seen, self.seen + count) if order is None else order.get(0, index)
        self.seen += count
        if each is not None:
            self._keep(each, rows)
            return
        for column in range(count):
            part = _part(self.task, logits, batch, column, slice(None))
            self._keep(self.task.all_scores(*part), rows[column : column + 1])

    def _keep(self, scores: Sums, where: np.ndarray) -> None:
        self.names = self.names or list(scores)
        sums = [scores[name][0].reshape(-1).double() for name in self.names]
        counts = [
            torch.as_tensor(scores[name][1], device=sums[0].device).reshape(-1).double()
            for name in self.names
        ]
        columns = [column.expand(len(where)) for column in (*sums, *counts)]
        self.where.append(where)
        self.values.append(torch.stack(columns, 1))

    def arrays(self, metrics: Mapping[str, float]) -> dict[str, np.ndarray] | None:
        """What the file holds; None where the items do not make up the metrics of the whole.

        `items` (n): their numbers in the test part. `scores` (K): names; `sums` and `counts`
        (n, K). `metrics` (M): names; `values` (M) of them; `gradient` (M, K) of the metrics by the
        means of the scores. `segment`: the length of an item of a text, 0 for sequences.
        """
        if not self.usable or not self.values:
            return None
        where = np.concatenate(self.where)
        values = torch.cat(self.values).cpu().numpy()
        items, place = np.unique(where, return_inverse=True)
        table = np.stack(
            [np.bincount(place.ravel(), column, len(items)) for column in values.T], axis=1
        )
        sums, counts = np.split(table, 2, axis=1)
        kept = counts.any(axis=1)
        items, sums, counts = items[kept], sums[kept], counts[kept]
        totals, numbers = sums.sum(axis=0), counts.sum(axis=0)
        if not len(items) or not np.isfinite(table).all() or not numbers.all():
            return None
        means = dict(zip(self.names, (totals / numbers).tolist(), strict=True))
        found = self.task.all_metrics(means)
        if any(not math.isclose(found[m], metrics[m], rel_tol=CLOSE, abs_tol=1e-9) for m in found):
            return None
        return {
            "format": np.array(FORMAT),
            "segment": np.array(self.length or 0),
            "items": items.astype(np.int32),
            "scores": np.array(self.names),
            "sums": sums.astype(np.float32),
            "counts": counts.astype(np.float32),
            "metrics": np.array(list(found)),
            "values": np.array(list(found.values())),
            "gradient": self._gradient(means, list(found)),
        }

    def _gradient(self, means: Mapping[str, float], metrics: list[str]) -> np.ndarray:
        """The derivative of each metric by each mean; nan where there is none."""
        found = np.full((len(metrics), len(means)), math.nan)
        for k, (name, mean) in enumerate(means.items()):
            step = 1e-4 * abs(mean) or 1e-6
            try:
                up, down = (self.task.all_metrics({**means, name: mean + s}) for s in (step, -step))
            except (ValueError, OverflowError):  # as of a root at 0
                continue
            found[:, k] = [(up[m] - down[m]) / (2 * step) for m in metrics]
        return found

    def write(self, folder: Path, metrics: Mapping[str, float]) -> None:
        """Write the file into the run's folder, or remove that of an earlier test."""
        arrays = None
        try:
            arrays = self.arrays(metrics)
        except (ValueError, KeyError, TypeError, UserError):
            pass  # of a task of the user's own, whose metrics need more than it has for a part
        if arrays is None:
            (folder / TEST_ITEMS).unlink(missing_ok=True)
            return
        out = BytesIO()
        np.savez_compressed(out, **arrays)  # type: ignore[arg-type]
        write_bytes(folder / TEST_ITEMS, out.getvalue())


def _segment_length(task: Task, batches: Any) -> int | None:
    """The length of a segment of a streamed text; None where its windows have no known places."""
    if not task.streamed or not hasattr(batches, "places"):
        return None
    return max(1, -(-int(batches.positions) // SEGMENTS))


def _stretches(items: np.ndarray) -> Iterator[tuple[int, int]]:
    """Where a row of numbers is the same: start and end of each stretch."""
    edges = [0, *(np.flatnonzero(np.diff(items)) + 1).tolist(), len(items)]
    yield from zip(edges, edges[1:], strict=False)


def _part(
    task: Task, logits: Tensor, batch: Batch, column: int, steps: slice
) -> tuple[Tensor, Batch]:
    """Logits and batch of one sequence, or of some of its steps."""
    one = slice(column, column + 1)

    def cut(value: Tensor) -> Tensor:
        return value[steps, one]

    def of_outputs(value: Tensor) -> Tensor:
        return value[one] if task.spec.head == "last" else cut(value)

    return of_outputs(logits), batch._replace(
        inputs=cut(batch.inputs),
        targets=of_outputs(batch.targets),
        lengths=None if batch.lengths is None else batch.lengths[one],
        decoder=None if batch.decoder is None else cut(batch.decoder),
    )
