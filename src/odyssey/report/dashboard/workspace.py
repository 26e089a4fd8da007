"""The saved view of a W&B workspace."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Any

import wandb_workspaces.workspaces.interface as ws
from wandb_workspaces import expr

from odyssey.report.dashboard import panels
from odyssey.report.dashboard.subject import CELL, Subject
from odyssey.report.palette import colour_of


def workspace(subject: Subject, entity: str, project: str) -> ws.Workspace:
    """The view of one subject, not saved yet.

    It has the same internal name each time, so that the same command changes the view that it made.
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
        name=_plain(f"Odyssey, {subject.title}"),
        sections=sections,
        settings=ws.WorkspaceSettings(x_axis=panels.STEP, max_runs=panels.RUNS),
        runset_settings=_runs(subject),
    )
    made._internal_name = view_name(subject)
    # The groups' colours name the set of runs, whose identity is random otherwise.
    made._internal_runset_id = _digest(subject, "runs")
    return made


def view_name(subject: Subject) -> str:
    """How W&B calls the view, whatever its title: `nw-…-v`."""
    return f"nw-{_digest(subject, 'view')}-v"


def _runs(subject: Subject) -> ws.RunsetSettings:
    """The table of runs: which, grouped by variant, best first, in the page's colours."""
    best_first = expr.Ordering(
        expr.Summary(f"valid/{subject.metric}"), ascending=subject.better == "lower"
    )
    return ws.RunsetSettings(
        filters=panels.filters(subject),
        groupby=[_level(key) for key in subject.levels],
        order=[best_first],
        group_colors=_group_colours(subject),
        run_settings={
            id: ws.RunSettings(color=subject.colour(label)) for id, label in subject.labels.items()
        },
        pinned_columns=panels.columns(subject),
    )


def _level(key: str) -> Any:
    return expr.Metric("JobType") if key == CELL else expr.Config(key)


def _group_colours(subject: Subject) -> dict[Any, Any]:
    """Of each variant; a cell that has several is a group above them, in its own colour."""
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
    key = (what, subject.study, subject.task, subject.data, subject.data_hash, subject.metric)
    return hashlib.sha256(repr(key).encode()).hexdigest()[:11]


def _plain(title: str) -> str:
    """W&B refuses symbols in a view's name: pictures, and signs such as `=`, `+` and `|` too."""
    return "".join("-" if unicodedata.category(c)[0] == "S" else c for c in title)
