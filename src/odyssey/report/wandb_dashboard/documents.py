"""The W&B workspace view and the W&B report of a dashboard, and saving them.

Typed again, the same command replaces what it saved before, and nothing else.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

import wandb_workspaces.reports.v2.interface as wr
import wandb_workspaces.workspaces.interface as ws
from wandb_workspaces import expr
from wandb_workspaces.workspaces import internal

from odyssey.report.palette import colour_of
from odyssey.report.wandb_dashboard import panels
from odyssey.report.wandb_dashboard.subject import CELL, Subject


def make_workspace(subject: Subject, entity: str, project: str) -> ws.Workspace:
    """The view of one subject, not saved yet.

    Its internal name depends on the subject alone, so that saving it again replaces it.
    """
    sections = [
        _section("Results by variant", panels.results(subject), columns=2, pinned=True),
        _section("Learning curves: median, least and most", panels.curves(subject), columns=2),
        _section("Settings", panels.settings(subject), columns=3),
        _section("What matters", panels.importance(subject), columns=2),
        _section("How runs ended", panels.endings(subject), columns=3),
    ]
    made = ws.Workspace(
        entity=entity,
        project=project,
        name=_without_symbols(f"Odyssey, {subject.title}"),
        sections=sections,
        settings=ws.WorkspaceSettings(x_axis=panels.STEP, max_runs=panels.RUNS),
        runset_settings=_workspace_runset(subject),
    )
    made._internal_name = view_name(subject)
    # Colours of groups refer to the set of runs by this id, which would be random.
    made._internal_runset_id = _digest(subject, "runs")
    return made


def view_name(subject: Subject) -> str:
    """W&B's internal name of the view, `nw-…-v`, which does not depend on its title."""
    return f"nw-{_digest(subject, 'view')}-v"


def _workspace_runset(subject: Subject) -> ws.RunsetSettings:
    """The table of runs: the subject's, grouped by variant, best first, in the page's colours."""
    best_first = expr.Ordering(
        expr.Summary(f"valid/{subject.metric.name}"), ascending=subject.better == "lower"
    )
    return ws.RunsetSettings(
        filters=panels.filters(subject),
        groupby=[_level(key) for key in subject.levels],
        order=[best_first],
        group_colors=_workspace_colours(subject),
        run_settings={
            id: ws.RunSettings(color=subject.colour(label)) for id, label in subject.labels.items()
        },
        pinned_columns=panels.columns(subject),
    )


def _level(key: str) -> Any:
    return expr.Metric("JobType") if key == CELL else expr.Config(key)


def _workspace_colours(subject: Subject) -> dict[Any, Any]:
    """Colours of variants, and of cells with several variants, which are a group above them."""
    found: dict[Any, Any] = {}
    for label, path in subject.paths.items():
        if len(path) > 1:
            found[path[0]] = colour_of(path[0])
        found[path[0] if len(path) == 1 else ws.GroupPath(*path)] = subject.colour(label)
    return found


def _section(name: str, made: list[Any], columns: int, pinned: bool = False) -> ws.Section:
    rows = -(-len(made) // columns)
    return ws.Section(
        name=name,
        panels=made,
        is_open=True,
        pinned=pinned,
        layout_settings=ws.SectionLayoutSettings(columns=columns, rows=rows),
        panel_settings=ws.SectionPanelSettings(x_axis=panels.STEP),
    )


def _digest(subject: Subject, what: str) -> str:
    key = (what, subject.study, subject.task, subject.data, subject.data_hash, subject.metric.name)
    return hashlib.sha256(repr(key).encode()).hexdigest()[:11]


def _without_symbols(title: str) -> str:
    """The title without symbols such as `=` or `|`, which W&B refuses in a view's name."""
    return "".join("-" if unicodedata.category(c)[0] == "S" else c for c in title)


OWN_REPORT = "Made by Odyssey's scripts/dashboard.py"  # in the description of reports made here
WIDE, HALF, HIGH = 24, 12, 8  # a panel grid has 24 columns
ABOUT = """Each panel is live: it shows what W&B has of the runs now. A variant has the colour that
it has in Odyssey's page. What a study can and cannot tell, with tests, intervals and equivalence,
is in that page: `python scripts/report.py --wandb {path}`. The panels here show every run, put
together by variant; they have no statistics, and a diverged run is not counted as the worst."""


def make_report(
    subjects: Sequence[Subject], entity: str, project: str, bound: bool = True
) -> wr.Report:
    """A report with a part for each subject, not saved yet.

    bound: whether its sets of runs name their project, which takes a request to W&B; otherwise
    they are of the report's own project.
    """
    study = subjects[0].study
    where = (entity, project) if bound else ("", "")
    blocks: list[Any] = [
        wr.TableOfContents(),
        wr.MarkdownBlock(ABOUT.format(path=f"{entity}/{project}").replace("\n", " ")),
    ]
    for subject in subjects:
        blocks += _report_part(subject, *where)
    return wr.Report(
        entity=entity,
        project=project,
        title=f"Odyssey: {study or 'all runs'}"[:128],
        description=f"{OWN_REPORT}. The same command writes it anew.",
        blocks=blocks,
        width="fluid",
    )


def _report_part(subject: Subject, entity: str, project: str) -> list[Any]:
    where = f"{subject.task} on {subject.data} (SHA-256 {subject.data_hash[:12]})"
    found: list[Any] = [
        wr.H1(f"{subject.task} on {subject.data}"),
        wr.P(f"{where}, by {subject.metric.label}: {subject.better} is better."),
    ]
    everything = {
        "Results by variant": panels.results(subject),
        "Learning curves": panels.curves(subject),
        "Settings": panels.settings(subject),
        "What matters": panels.importance(subject),
        "How runs ended": panels.endings(subject),
    }
    for name, made in everything.items():
        runset = _report_runset(subject, entity, project, "runs", panels.filters(subject))
        found += [wr.H2(name), _grid(subject, runset, made, hide=name != "Results by variant")]
    diverged = panels.filters(subject, status="diverged")
    runset = _report_runset(subject, entity, project, "diverged runs", diverged)
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
        custom_run_colors=_report_colours(subject, runset.name),
    )


def _report_runset(
    subject: Subject, entity: str, project: str, name: str, filters: str
) -> wr.Runset:
    best_first = wr.OrderBy(
        wr.SummaryMetric(f"valid/{subject.metric.name}"), ascending=subject.better == "lower"
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


def _report_colours(subject: Subject, runset: str) -> dict[Any, Any]:
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


class Saved(NamedTuple):
    """A view or report that was saved."""

    what: str  # as in a sentence: `the report “…”`
    again: bool  # whether an earlier one was replaced
    url: str


def specifications(subjects: Sequence[Subject], entity: str, project: str) -> dict[str, Any]:
    """The views and the report as plain JSON. Makes no request to W&B."""
    views = [make_workspace(subject, entity, project)._to_model() for subject in subjects]
    page = make_report(subjects, entity, project, bound=False)._to_model()
    return {
        "views": [view.model_dump(mode="json", by_alias=True, exclude_none=True) for view in views],
        "report": page.model_dump(mode="json", by_alias=True, exclude_none=True),
    }


def save(api: Any, subjects: Sequence[Subject], entity: str, project: str) -> list[Saved]:
    """Save a view for each subject and one report. Raises what W&B's libraries raise."""
    found = []
    for subject in subjects:
        view = make_workspace(subject, entity, project)
        view._internal_id = _view_id(view)
        again = bool(view._internal_id)
        view.save()
        found.append(Saved(f"the workspace view “{view.name}”", again, view.url))
    page = make_report(subjects, entity, project)
    page.id = _report_id(api, page)
    again = bool(page.id)
    page.save()
    return [*found, Saved(f"the report “{page.title}”", again, page.url)]


def _view_id(view: ws.Workspace) -> str:
    """W&B's id of the view with this internal name; empty if there is none."""
    try:
        name = internal._internal_name_to_url_query_str(view._internal_name)
        there = internal.get_view_dict(view.entity, view.project, name)
    except ValueError as error:
        if "Workspace" in str(error) and "not found" in str(error):
            return ""
        raise
    return str(there["id"])


def _report_id(api: Any, page: Any) -> str:
    """W&B's id of a report of this title that an earlier command made; empty if there is none."""
    for there in api.reports(f"{page.entity}/{page.project}"):
        if there.display_name == page.title and OWN_REPORT in (there.description or ""):
            return str(there.id)
    return ""
