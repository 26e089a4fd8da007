"""A study's tables as one W&B run beside its runs: `python scripts/status.py STUDY --wandb`.

The run's id is kept in the study's folder, so that each further summary goes on with the same W&B
run: its newest tables are what W&B shows, and earlier ones are earlier versions of them.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from odyssey.errors import UserError
from odyssey.study.files import read_definition, read_text
from odyssey.study.records import StudyState, read_study
from odyssey.study.search import described
from odyssey.study.shown import several
from odyssey.study.wandb_tables import Table, arms_table, runs_table, summary

MODES = ("offline", "online")
FILE = "wandb_summary.json"  # in the study's folder: id, dir and url of the W&B run
# What a sentence of the runs' own logging is called here.
OPTIONS = {
    "logger.mode=disabled to go without W&B": "the command without --wandb",
    "logger.mode=": "--wandb ",
    "logger.": "--",
}


def with_mode(words: Sequence[str]) -> list[str]:
    """`--wandb` without a mode gets an empty one, for that of the study's runs."""
    return [
        "--wandb=" if word == "--wandb" and after not in MODES else word
        for word, after in zip(words, [*words[1:], ""][: len(words)], strict=True)
    ]


def log_summary(
    folder: Path, mode: str = "", project: str | None = None, entity: str | None = None
) -> str:
    """Log the study's tables to W&B; returns a sentence that says where they are.

    mode, project, entity: as the study's runs have them, where none are given.

    Raises UserError where there is nothing to log or W&B cannot do it.
    """
    if mode and mode not in MODES:
        raise UserError(f"--wandb {mode} is not there: type one of {' or '.join(MODES)}")
    study = read_study(folder)
    logger = _logger(study)
    if not mode:
        mode = "online" if logger.get("mode") == "online" else "offline"
    project, entity = project or logger.get("project"), entity or logger.get("entity")
    with _options_of_status():
        return _log(study, mode, project or "odyssey", entity)


def _log(study: StudyState, mode: str, project: str, entity: str | None) -> str:
    from odyssey.training import wandb as odyssey_wandb

    if mode == "online":
        odyssey_wandb.check_login()
    known, _ = read_definition(study.folder / FILE)
    runs, arms = runs_table(study), arms_table(study)
    out = study.folder.resolve().parent
    with _quiet(out / "wandb"):
        run = odyssey_wandb.begin(
            mode,
            output_dir=str(out),
            project=project,
            entity=entity,
            name=f"{study.name}-summary",
            group=study.name,
            job_type="summary",
            config={"study": study.name, "search": described(study.definition)},
            id=str(known.get("id") or secrets.token_hex(6)),
        )
        try:
            run.log({"runs": _table(runs), "arms": _table(arms)})
            run.summary.update(summary(study))
            run.finish()
        except Exception as error:  # whatever breaks in W&B
            raise UserError(
                f"logger.mode={mode}: W&B did not take the summary ({error}); the same command "
                "tries again"
            ) from None
    return _said(study, run, mode)


def _said(study: StudyState, run: Any, mode: str) -> str:
    """Note which W&B run it is, put aside what it stands in for, and say where it is."""
    from odyssey.io import write_text
    from odyssey.training import wandb as odyssey_wandb

    part = Path(run.dir).parent
    note = {"id": run.id, "dir": str(part)} | ({"url": run.url} if mode == "online" else {})
    try:
        write_text(study.folder / FILE, json.dumps(note, indent=2) + "\n")
    except OSError as error:
        raise UserError(
            f"{study.folder} cannot be written to ({error.strerror}), so that the next summary "
            "would be another W&B run"
        ) from None
    for other in odyssey_wandb.earlier_parts(part.parent, run.id, part):
        if not odyssey_wandb.is_uploaded(other):
            odyssey_wandb.put_aside(other)
    what = f"The summary of {several(len(study.runs), 'run')}"
    if mode == "online":
        return f"{what} is at {run.url}"
    here = min(os.path.relpath(part), str(part), key=len)
    return f"{what} is in {here}; `wandb sync {here}` uploads it"


def _table(table: Table) -> Any:
    import wandb

    columns, rows = table
    return wandb.Table(columns=[*columns], data=rows)


def _logger(study: StudyState) -> Mapping[str, Any]:
    """How the study's runs log, as the first of their configurations says that can be read."""
    import yaml  # type: ignore[import-untyped]

    for run in study.runs.values():
        try:
            found = yaml.safe_load(read_text(run.path / "config.yaml")[0])
        except (OSError, ValueError, yaml.YAMLError):
            continue
        if isinstance(found, dict) and isinstance(found.get("logger"), dict):
            return found["logger"]
    raise UserError(f"{study.folder} has no run that has begun: nothing to log to W&B yet")


@contextmanager
def _options_of_status() -> Iterator[None]:
    """Sentences name the options of this command."""
    try:
        yield
    except UserError as error:
        messages = list(error.messages)
        for here, there in OPTIONS.items():
            messages = [m.replace(here, there) for m in messages]
        raise UserError(*messages) from None


@contextmanager
def _quiet(folder: Path) -> Iterator[None]:
    """W&B says nothing, and keeps what waits to be uploaded there instead of in the user's home."""
    ours = {"WANDB_DATA_DIR": str(folder), "WANDB_SILENT": "true"}
    ours = {name: value for name, value in ours.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
