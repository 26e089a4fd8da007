"""The panels of a dashboard, for a workspace and a report alike.

None groups the runs itself: they follow the table of runs, which is grouped by variant, and so
have its colours.
"""

from __future__ import annotations

from typing import Any

import wandb_workspaces.reports.v2.interface as wr

from odyssey.report.analysis.names import name_of_metric, name_of_setting
from odyssey.report.wandb_dashboard.subject import Subject
from odyssey.study.state import STATES

STEP = "step"  # updates done: what our rows are placed by, instead of W&B's count of rows
RUNS = 1000  # that a panel takes into its groups, W&B's own limit being 10 or so
BARS = 100
GRADIENT = ("#009e73", "#e69f00", "#aa3377")  # best to worst


def results(subject: Subject) -> list[Any]:
    """Validation and test values by variant: medians, from the least to the most."""
    metric, name = subject.metric, name_of_metric(subject.metric)
    found = [_bars(f"valid/{metric}", f"Validation, best checkpoint: {name} ({_way(subject)})")]
    if subject.tested:
        found.append(_bars(f"test/{metric}", f"Test, same weights: {name} ({_way(subject)})"))
    return found


def curves(subject: Subject) -> list[Any]:
    """Learning curves, a median and a band from least to most for each variant."""
    wanted = {
        f"valid/{subject.metric}": f"Validation: {name_of_metric(subject.metric)}",
        "train/loss": "Training loss",
    }
    return [_lines(name, title) for name, title in wanted.items()]


def settings(subject: Subject) -> list[Any]:
    """The metric against each setting, parameters and time: a point is a run."""
    y = wr.SummaryMetric(f"valid/{subject.metric}")
    x: list[tuple[Any, str, bool]] = [
        (wr.Config(s.key), name_of_setting(s.key), s.log) for s in subject.settings
    ]
    x.append((wr.Config("params"), "trainable parameters", True))
    x.append((wr.SummaryMetric("seconds"), "seconds of training", True))
    return [
        wr.ScatterPlot(title=f"Validation against {name}", x=key, y=y, log_x=log)
        for key, name, log in x
    ]


def importance(subject: Subject) -> list[Any]:
    """What matters for the metric, by W&B's own random forest, and all settings at once."""
    target = f"valid/{subject.metric}"
    columns = [_column(wr.Config(s.key), name_of_setting(s.key), s.log) for s in subject.settings]
    columns.append(_column(wr.Config("params"), "parameters", True))
    columns.append(_column(wr.SummaryMetric(target), name_of_metric(subject.metric), False))
    colours = GRADIENT if subject.better == "lower" else GRADIENT[::-1]
    return [
        wr.ParameterImportancePlot(with_respect_to=target),
        wr.ParallelCoordinatesPlot(
            title="All settings: a line is a run",
            columns=columns,
            gradient=[
                wr.GradientPoint(color=colour, offset=offset)
                for colour, offset in zip(colours, (0, 50, 100), strict=True)
            ],
        ),
    ]


def endings(subject: Subject) -> list[Any]:
    """How runs ended: counts, how far they came, and the gradients before that."""
    return [
        wr.MarkdownPanel(markdown=counts(subject)),
        wr.ScatterPlot(
            title="Updates done against learning rate: a diverged run stops early",
            x=wr.Config("optimizer.lr"),
            y=wr.SummaryMetric("steps"),
            log_x=True,
        ),
        _lines("train/grad_norm", "Gradient norm before clipping", log=True),
    ]


def counts(subject: Subject) -> str:
    """A table of the runs by status, as they were when the dashboard was made."""
    states = [s for s in STATES if any(c[s] for c in subject.counts.values())]
    lines = [
        "Runs when this was made, by variant and status (`status` in the table of runs):\n",
        "| variant | runs | " + " | ".join(states) + " |",
        "|---|" + "---:|" * (len(states) + 1),
    ]
    for label, count in subject.counts.items():
        cells = [label, count.total(), *(count[state] for state in states)]
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def columns(subject: Subject) -> list[str]:
    """What the table of runs shows, left to right."""
    found = ["run:displayName", "run:jobType", "summary:status"]
    found.append(f"summary:valid/{subject.metric}")
    if subject.tested:
        found.append(f"summary:test/{subject.metric}")
    found += [f"config:{backend_key(s.key)}" for s in subject.settings]
    return [*found, "config:params.value", "summary:seconds", "summary:steps", "summary:device"]


def backend_key(key: str) -> str:
    """`optimizer.value.lr` for `optimizer.lr`: W&B keeps each top key's value under `value`."""
    first, dot, rest = key.partition(".")
    return f"{first}.value{dot}{rest}"


def filters(subject: Subject, **summary: str) -> str:
    """The expression that picks the subject's runs, and among these the summary's values."""
    found = ['Metric("JobType") != "summary"']  # the tables that status.py --wandb logs
    if subject.study:
        found.append(f'Metric("Group") == {_quoted(subject.study)}')
    found.append(f'Config("task.value.name") == {_quoted(subject.task)}')
    found.append(f'Config("data.value.sha256") == {_quoted(subject.data_hash)}')
    found += [f'Summary("{key}") == {_quoted(value)}' for key, value in summary.items()]
    return " and ".join(found)


def _quoted(text: str) -> str:
    """A string of the expression; W&B's parser rewrites `=`, `<` and `>` even inside of one."""
    safe = (c if c.isalnum() or c in " -_./" else f"\\U{ord(c):08x}" for c in text)
    return f'"{"".join(safe)}"'


def _way(subject: Subject) -> str:
    return f"{subject.better} is better"


def _bars(metric: str, title: str) -> Any:
    return wr.BarPlot(
        title=title,
        metrics=[metric],
        orientation="h",
        groupby_aggfunc="median",
        groupby_rangefunc="minmax",
        aggregate=True,
        max_runs_to_show=RUNS,
        max_bars_to_show=BARS,
    )


def _lines(metric: str, title: str, log: bool | None = None) -> Any:
    return wr.LinePlot(
        title=title,
        x=STEP,
        y=[metric],
        title_x="updates",
        log_y=log,
        groupby_aggfunc="median",
        groupby_rangefunc="minmax",
        aggregate=True,
        max_runs_to_show=RUNS,
    )


def _column(metric: Any, name: str, log: bool) -> Any:
    return wr.ParallelCoordinatesPlotColumn(metric=metric, display_name=name, log=log)
