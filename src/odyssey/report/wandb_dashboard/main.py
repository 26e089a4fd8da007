"""`python scripts/dashboard.py --entity ENTITY --project PROJECT`: a study as W&B shows it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from odyssey.cli_utils import Parser, exit_status, show, typed_as, typed_path
from odyssey.errors import UserError
from odyssey.report.io.wandb_project import connect, read_project, split_path
from odyssey.report.wandb_dashboard.subject import Subject, make_subjects, read_folder

EXAMPLE = "--entity my-team --project odyssey --study truncation"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make a dashboard; returns 0, 1 if W&B cannot do it, 2 for wrong options, 130 for Ctrl-C."""
    asked: list[argparse.Namespace] = []
    given = sys.argv[1:] if arguments is None else arguments
    wrong = exit_status(lambda: asked.append(_parse_arguments(given)))
    return wrong or exit_status(lambda: _make_dashboard(asked[0]), on_error=1)


def _parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    asked = _parser().parse_args(arguments)
    if not asked.entity:
        raise UserError(
            f"--entity is missing, the W&B user or team: type {typed_as('dashboard')} {EXAMPLE}"
        )
    split_path(f"{asked.entity}/{asked.project}", "--entity/--project")
    return asked


def _parser() -> argparse.ArgumentParser:
    parser = Parser("dashboard", __doc__.partition(": ")[2])
    add = parser.add_argument
    add("--entity", default=os.environ.get("WANDB_ENTITY"), help="W&B user or team")
    add("--project", default="odyssey", help="W&B project (odyssey)")
    add(
        "--study",
        default="",
        metavar="NAME|FOLDER",
        help="one study: its name, or its folder, whose runs are then read from there; all runs of "
        "the project where none is given",
    )
    add("--metric", help="the metric that is compared; the one that chose the checkpoints if none")
    add(
        "--dry-run",
        type=typed_path,
        metavar="FILE",
        help="write what would be saved there as JSON, and save nothing; with a study's folder it "
        "needs neither login nor network",
    )
    return parser


def _make_dashboard(asked: argparse.Namespace) -> None:
    documents = _import_documents()
    entity, project = asked.entity, asked.project
    subjects = _read_subjects(asked)
    if asked.dry_run is not None:
        found = documents.specifications(subjects, entity, project)
        _write_json(asked.dry_run, found)
        views = len(found["views"])
        show(f"{asked.dry_run}: {views} workspace view{'' if views == 1 else 's'} and a report")
        return
    with connect("saving the dashboard at W&B", f"{entity}/{project}") as api:
        for what, again, url in documents.save(api, subjects, entity, project):
            show(f"{'Changed' if again else 'Made'} {what}: {url}")


def _read_subjects(asked: argparse.Namespace) -> list[Subject]:
    """From the study's folder if --study is one, else from W&B. Prints notes on what is left out.

    Raises UserError where no run can be shown.
    """
    folder = Path(asked.study)
    if asked.study and folder.is_dir():
        study, runs = folder.resolve().name, read_folder(folder)
        if not runs:
            raise UserError(f"--study {folder} has no run that has begun: type a study's folder")
    else:
        study, notes = asked.study, list[str]()
        runs = read_project(
            f"{asked.entity}/{asked.project}", group=study or None, notes=notes, curves=False
        )
        for note in notes:
            show(f"note: {note}", sys.stderr)
    return make_subjects(runs, study, asked.metric)


def _import_documents() -> Any:
    """The module that needs wandb-workspaces. Raises UserError where that is not installed."""
    try:
        from odyssey.report.wandb_dashboard import documents
    except ImportError as error:
        if not (error.name or "").startswith("wandb_workspaces"):
            raise
        raise UserError(
            "the dashboard needs wandb-workspaces, which is not installed: type "
            "pip install -e '.[dashboard]'"
        ) from None
    return documents


def _write_json(file: Path, found: dict[str, Any]) -> None:
    try:
        file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"--dry-run {file} cannot be written ({error.strerror}): type another file"
        ) from None
