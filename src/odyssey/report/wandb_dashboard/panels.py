"""The panels of a dashboard, for a workspace and a report alike.

No panel groups the runs itself. Panels follow the table of runs, which is grouped by variant, and
have its colours.
"""

from __future__ import annotations

from typing import Any

import wandb_workspaces.reports.v2.interface as wr

from odyssey.report.analysis.names import name_of_setting
from odyssey.report.wandb_dashboard.subject import Subject
from odyssey.study.state import STATES

STEP = "step"  # updates done, the x axis in place of W&B's count of rows
RUNS = 1000  # most runs in the groups of a panel; W&B's default is about 10
BARS = 100  # most bars in a chart
GRADIENT = ("#009e73", "#e69f00", "#aa3377")  # best to worst


def results(subject: Subject) -> list[Any]:
    """Validation and test values of each variant: median, smallest and largest."""
    name, label = subject.metric.name, f"{subject.metric.label} ({subject.better} is better)"
    found = [_bars(f"valid/{name}", f"Validation, best checkpoint: {label}")]
    if subject.tested:
        found.append(_bars(f"test/{name}", f"Test, same weights: {label}"))
    return found


def curves(subject: Subject) -> list[Any]:
    """Learning curves of each variant: median, and a band from the smallest to the largest."""
    wanted = {
        f"valid/{subject.metric.name}": f"Validation: {subject.metric.label}",
        "train/loss": "Training loss",
    }
    return [_lines(name, title) for name, title in wanted.items()]


def settings(subject: Subject) -> list[Any]:
    """The metric against each setting, the number of parameters and the time; points are runs."""
    y = wr.SummaryMetric(f"valid/{subject.metric.name}")
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
    """Importance of settings for the metric by W&B's random forest, and all settings at once."""
    target = f"valid/{subject.metric.name}"
    columns = [_column(wr.Config(s.key), name_of_setting(s.key), s.log) for s in subject.settings]
    columns.append(_column(wr.Config("params"), "parameters", True))
    columns.append(_column(wr.SummaryMetric(target), subject.metric.label, False))
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
    """How runs ended: counts by status, updates done, and gradient norms."""
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
    """A Markdown table of runs by variant and status, as of when the dashboard is made."""
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
    """Columns of the table of runs, from left to right."""
    found = ["run:displayName", "run:jobType", "summary:status"]
    found.append(f"summary:valid/{subject.metric.name}")
    if subject.tested:
        found.append(f"summary:test/{subject.metric.name}")
    found += [f"config:{backend_key(s.key)}" for s in subject.settings]
    return [*found, "config:params.value", "summary:seconds", "summary:steps", "summary:device"]


def backend_key(key: str) -> str:
    """`optimizer.value.lr` for `optimizer.lr`: W&B keeps each top key's value under `value`."""
    first, dot, rest = key.partition(".")
    return f"{first}.value{dot}{rest}"


def filters(subject: Subject, **summary: str) -> str:
    """Filter expression for the subject's runs, with these values in their summary."""
    found = ['Metric("JobType") != "summary"']  # the tables that status.py --wandb logs
    if subject.study:
        found.append(f'Metric("Group") == {_quoted(subject.study)}')
    found.append(f'Config("task.value.name") == {_quoted(subject.task)}')
    found.append(f'Config("data.value.sha256") == {_quoted(subject.data_hash)}')
    found += [f'Summary("{key}") == {_quoted(value)}' for key, value in summary.items()]
    return " and ".join(found)


def _quoted(text: str) -> str:
    """A string literal; other than plain signs are escaped, since W&B's parser rewrites them."""
    safe = (c if c.isalnum() or c in " -_./" else f"\\U{ord(c):08x}" for c in text)
    return f'"{"".join(safe)}"'


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
