"""The W&B report: a page of text and panels that can be shared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import wandb_workspaces.reports.v2.interface as wr

from odyssey.report.dashboard import panels
from odyssey.report.dashboard.subject import CELL, Subject
from odyssey.report.names import name_of_metric
from odyssey.report.palette import colour_of

MARK = "Made by Odyssey's scripts/dashboard.py"  # in the description: this report is ours to change
WIDE, HALF, HIGH = 24, 12, 8  # a panel grid has 24 columns
ABOUT = """Each panel is live: it shows what W&B has of the runs now. A variant has the colour that
it has in Odyssey's page. What a study can and cannot tell, with tests, intervals and equivalence,
is in that page: `python scripts/report.py --wandb {path}`. The panels here show every run, put
together by variant; they have no statistics, and a diverged run is not counted as the worst."""


def report(subjects: Sequence[Subject], entity: str, project: str, bound: bool = True) -> wr.Report:
    """A report with a part for each subject, not saved yet.

    bound: whether its sets of runs name their project, which W&B is asked for; else they take the
    report's own.
    """
    study = subjects[0].study
    where = (entity, project) if bound else ("", "")
    blocks: list[Any] = [
        wr.TableOfContents(),
        wr.MarkdownBlock(ABOUT.format(path=f"{entity}/{project}").replace("\n", " ")),
    ]
    for subject in subjects:
        blocks += _part(subject, *where)
    return wr.Report(
        entity=entity,
        project=project,
        title=f"Odyssey: {study or 'all runs'}"[:128],
        description=f"{MARK}. The same command writes it anew.",
        blocks=blocks,
        width="fluid",
    )


def _part(subject: Subject, entity: str, project: str) -> list[Any]:
    where = f"{subject.task} on {subject.data} (SHA-256 {subject.data_hash[:12]})"
    found: list[Any] = [
        wr.H1(f"{subject.task} on {subject.data}"),
        wr.P(f"{where}, by {name_of_metric(subject.metric)}: {subject.better} is better."),
    ]
    everything = {
        "Results by variant": panels.results(subject),
        "Learning curves": panels.curves(subject),
        "Settings": panels.settings(subject),
        "What matters": panels.importance(subject),
        "How runs ended": panels.endings(subject),
    }
    for name, made in everything.items():
        runset = _runs(subject, entity, project, "runs", panels.filters(subject))
        found += [wr.H2(name), _grid(subject, runset, made, hide=name != "Results by variant")]
    diverged = panels.filters(subject, status="diverged")
    runset = _runs(subject, entity, project, "diverged runs", diverged)
    found += [wr.P("The runs that diverged:"), _grid(subject, runset, [], hide=False)]
    return found


def _grid(subject: Subject, runset: wr.Runset, made: list[Any], hide: bool) -> wr.PanelGrid:
    for place, panel in enumerate(made):
        wide = isinstance(panel, wr.ParallelCoordinatesPlot)
        panel.layout = wr.Layout(
            x=0 if wide else HALF * (place % 2),
            y=HIGH * (place if wide else place // 2),
            w=WIDE if wide else HALF,
            h=HIGH,
        )
    return wr.PanelGrid(
        runsets=[runset],
        panels=made,
        hide_run_sets=hide,
        custom_run_colors=_group_colours(subject, runset.name),
    )


def _runs(subject: Subject, entity: str, project: str, name: str, filters: str) -> wr.Runset:
    best_first = wr.OrderBy(
        wr.SummaryMetric(f"valid/{subject.metric}"), ascending=subject.better == "lower"
    )
    return wr.Runset(
        entity=entity,
        project=project,
        name=name,
        filters=filters,
        groupby=["run.jobType" if key == CELL else f"config.{key}" for key in subject.levels],
        order=[best_first],
        run_settings={
            id: wr.RunSettings(color=subject.colour(label)) for id, label in subject.labels.items()
        },
        pinned_columns=panels.columns(subject)[:2],
        visible_columns=panels.columns(subject)[2:],
    )


def _group_colours(subject: Subject, runset: str) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for label, path in subject.paths.items():
        keys = tuple(
            wr.RunsetGroupKey(wr.Metric("JobType") if key == CELL else wr.Config(key), value)
            for key, value in zip(subject.levels, path, strict=True)
        )
        if len(keys) > 1:
            found[wr.RunsetGroup(runset, keys[:1])] = colour_of(path[0])
        found[wr.RunsetGroup(runset, keys)] = subject.colour(label)
    return found
