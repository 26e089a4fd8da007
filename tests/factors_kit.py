"""Grids of variants with made-up results, for the tests of the factors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product

import numpy as np

from odyssey.report.analysis.decisions import Sample
from odyssey.report.analysis.grids import Grid, find_grid
from odyssey.report.analysis.result import SEEDS, Comparison, Variant
from odyssey.report.io.runs import ReportRun, ReportStudy

Value = Callable[[Mapping[str, str], int], float | str]  # settings, seed -> value or state


def settings_of(axes: Mapping[str, Sequence[object]]) -> dict[str, dict[str, str]]:
    """The settings of every combination, by a label."""
    found = {}
    for values in product(*axes.values()):
        own = {key: str(value) for key, value in zip(axes, values, strict=True)}
        found[label_of(own)] = own
    return found


def label_of(settings: Mapping[str, str]) -> str:
    """`gru model.hidden_size=8`."""
    return " ".join(v if k == "cell" else f"{k}={v}" for k, v in settings.items())


def grid_of_sizes(*sizes: int) -> Grid:
    """A grid with so many levels of each factor; those of the last double from 8 on."""
    axes: dict[str, list[object]] = {
        f"f{i}": [f"l{j}" for j in range(n)] for i, n in enumerate(sizes[:-1])
    }
    axes["size"] = [8 * 2**j for j in range(sizes[-1])]
    settings = settings_of(axes)
    found = find_grid(settings, next(iter(settings)))
    assert found is not None
    return found


def samples_of(grid: Grid, table: np.ndarray, shared: bool = True) -> dict[str, Sample]:
    """The columns of a table (seeds, cells) as the runs of the cells; nan is no run."""
    found = {}
    for c, label in enumerate(grid.cells):
        there = np.flatnonzero(~np.isnan(table[:, c]))
        keys = [int(s) if shared else (c, int(s)) for s in there]
        found[label] = Sample(table[there, c], table[there, c], keys)
    return found


def comparison_of(
    axes: Mapping[str, Sequence[object]],
    value: Value,
    seeds: int = 3,
    *,
    kind: str = SEEDS,
    mode: str = "min",
    without: Sequence[str] = (),
    planned: int = 1,
) -> Comparison:
    """A comparison of every combination, but for those labelled `without`."""
    variants = []
    for label, own in settings_of(axes).items():
        if label in without:
            continue
        runs = []
        for seed in range(seeds):
            found = value(own, seed)
            number = 0.0 if isinstance(found, str) else found
            state = found if isinstance(found, str) else "finished"
            metrics = {} if isinstance(found, str) else {"valid/nats": number, "test/nats": number}
            runs.append(
                ReportRun(
                    study="s",
                    name=f"{label}-{seed}",
                    state=state,
                    cell=own.get("cell", "lstm"),
                    seed=seed,
                    trial=0,
                    params=100,
                    monitor="nats",
                    mode=mode,
                    metrics=metrics,
                    config={},
                )
            )
        variants.append(Variant(label, own, own.get("cell", "lstm"), runs))
    study = ReportStudy("s", planned=planned)
    return Comparison(
        "music-jsb", "music on jsb", "music", "jsb", "ab", "nats", mode, kind, [study], variants,
        variants[0].label, [], False,
    )  # fmt: skip
