"""The tables of several tasks at once."""

from __future__ import annotations

import math
from typing import Any

from odyssey.report.analysis.over_tasks import OverTasks
from odyssey.report.io.formats import Column, Table
from odyssey.report.stats.over_tasks import LEAST_RUNS
from odyssey.report.stats.ratios import LEAST_PAIRS


def over_tasks_tables(over: OverTasks) -> list[Table]:
    """Every table that has a row."""
    made = [_ranks(over), _means(over), _ratios(over)]
    return [table for table in made if table.rows]


def _ranks(over: OverTasks) -> Table:
    base = over.baseline
    columns = [
        Column("variant"),
        Column("mean rank", "interval", "Each task is one vote; 95% interval", 3),
        *(Column(task, "number", "Rank in this task: 1 is the best") for task in over.tasks),
        Column("wins", "integer", f"Tasks in which it ranks before {base}"),
        Column("ties", "integer"),
        Column("losses", "integer", f"Tasks in which it ranks behind {base}"),
        Column("sign p", "p", "Of as many wins as losses, uncorrected"),
        Column("Holm p", "p", "The same, corrected over all variants"),
    ]
    rows: list[list[Any]] = []
    for label in over.labels:
        won = over.wins.get(label)
        votes = [won.wins, won.ties, won.losses, won.p, won.holm_p] if won else [None] * 5
        rows.append([label, over.mean_rank[label], *over.ranks[label], *votes])
    note = (
        "Ranks in a task are by the share of runs lost, then by the mean of the others. "
        f"{over.agreement()} {over.votes()}"
    )
    return Table("ranks", "Ranks over all tasks", columns, rows, note)


def _means(over: OverTasks) -> Table:
    columns = [Column("variant")]
    for a in over.analyses:
        name = f"{a.comparison.title}, {a.metric.unit}"
        columns.append(Column(name, "interval", f"{a.part}; {a.better} is better", 4))
    rows = [
        [label, *(over.mean(task, label) for task in range(len(over.tasks)))]
        for label in over.labels
    ]
    note = "Means of the runs that are compared and finished, each in its task's own metric."
    return Table("means", "Means in every task", columns, rows, note)


def _ratios(over: OverTasks) -> Table:
    base = over.baseline
    help = f"below 1 is better than {base}; 95% interval"
    columns = [
        Column("variant"),
        Column("geometric mean", "interval", f"Of the tasks' ratios; {help}", 4),
        Column("median", "interval", f"Of the tasks' ratios; {help}", 4),
        Column(
            "interquartile mean", "interval", f"Of all runs, each task of one weight; {help}", 4
        ),
    ]
    ratios = over.ratios
    rows = [
        [label, ratios[label].mean, ratios[label].median, ratios[label].iqm]
        for label in over.labels
        if label in ratios
    ]
    note = (
        f"A run's value over the geometric mean of {base} in the same task, turned over "
        "where higher is better: 0.9 is a tenth less loss. A ratio depends on the unit: perplexity "
        "and nats have different ones."
    )
    if rows and all(math.isnan(own.mean.low) for own in ratios.values()):
        note += (
            f" No intervals: they take {LEAST_RUNS} seeds of each variant in every task "
            f"({LEAST_PAIRS} where all variants have the same ones), and no lost run of {base}."
        )
    return Table("ratios", f"Ratios to {base} over all tasks", columns, rows, note)
