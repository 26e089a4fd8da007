"""Saving to W&B: what an earlier run of the same command saved is changed, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import wandb_workspaces.workspaces.interface as ws
from wandb_workspaces.workspaces import internal

from odyssey.report.dashboard.report import MARK, report
from odyssey.report.dashboard.subject import Subject
from odyssey.report.dashboard.workspace import workspace


class Saved(NamedTuple):
    """What was saved, whether it was there before, and its address."""

    what: str
    again: bool
    url: str


def specifications(subjects: Sequence[Subject], entity: str, project: str) -> dict[str, Any]:
    """What would be saved, as JSON: the views and the report. Asks W&B nothing."""
    views = [workspace(subject, entity, project)._to_model() for subject in subjects]
    page = report(subjects, entity, project, bound=False)._to_model()
    return {
        "views": [view.model_dump(mode="json", by_alias=True, exclude_none=True) for view in views],
        "report": page.model_dump(mode="json", by_alias=True, exclude_none=True),
    }


def save(api: Any, subjects: Sequence[Subject], entity: str, project: str) -> list[Saved]:
    """Save a view for each subject and a report of all; raises what W&B's libraries raise."""
    found = []
    for subject in subjects:
        view = workspace(subject, entity, project)
        view._internal_id = _view_id(view)
        again = bool(view._internal_id)
        view.save()
        found.append(Saved(f"the workspace view “{view.name}”", again, view.url))
    page = report(subjects, entity, project)
    page.id = _report_id(api, page)
    again = bool(page.id)
    page.save()
    return [*found, Saved(f"the report “{page.title}”", again, page.url)]


def _view_id(view: ws.Workspace) -> str:
    """Of the view that has this internal name already, or nothing."""
    try:
        name = internal._internal_name_to_url_query_str(view._internal_name)
        there = internal.get_view_dict(view.entity, view.project, name)
    except ValueError as error:
        if "Workspace" in str(error) and "not found" in str(error):
            return ""
        raise
    return str(there["id"])


def _report_id(api: Any, page: Any) -> str:
    """Of the report of this title that an earlier command made, or nothing."""
    for there in api.reports(f"{page.entity}/{page.project}"):
        if there.display_name == page.title and MARK in (there.description or ""):
            return str(there.id)
    return ""
