"""A study's command under `wandb agent`, which starts one command for each W&B run of a sweep.

W&B takes the agent's run for whatever run such a command begins, and its project for any other.
"""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odyssey.errors import UserError
from odyssey.io import read_text, write_text
from odyssey.study.formatting import several, words
from odyssey.study.state import RunState, StudyState, read_study
from odyssey.study.store import StudyRecord, TrialRow, search_of
from odyssey.study.summary import sections
from odyssey.training.record import WandbRun
from odyssey.typed_json import from_values, to_text
from odyssey.yaml_text import read_values

if TYPE_CHECKING:
    from odyssey.study.plan import Plan
    from odyssey.study.state import StudyState


EXAMPLE = "docs/wandb_sweep_greff.yaml"


def under_agent(plan: Plan) -> bool:
    """Whether an agent of W&B has started this command."""
    return plan.logger_mode != "disabled" and bool(os.environ.get("WANDB_SWEEP_ID"))


def check_agent(plan: Plan) -> None:
    """Raises UserError where an agent's one W&B run would have to hold several runs."""
    if not under_agent(plan):
        return
    count = (plan.settings.trials or 1) * len(plan.variants)
    if plan.trials:
        count = len({trial.run for trial in plan.trials})
    if count > 1:
        raise UserError(
            f"a command of `wandb agent` is one W&B run, and this one has {count:,} runs: give "
            "each its cell and its trial, as in cell=nig hydra.sweeper.only=17, or type "
            f"logger.mode=disabled; {EXAMPLE} is an example"
        )


def fill_agent_run(plan: Plan, state: StudyState, launched: Collection[str]) -> None:
    """Fill the agent's W&B run from the run's folder, where the run was done before."""
    if not under_agent(plan) or launched:
        return
    from odyssey.training.wandb import mirror

    for name in {trial.run for trial in plan.trials}:
        run = state.runs[name]
        if run.state in ("finished", "diverged"):
            mirror(run.path, plan.logger_mode, search_of(run.path))


Table = tuple[list[str], list[list[Any]]]  # columns, rows

FIRST = ("run", "trial", "variant", "cell", "task", "state")
LAST = ("metric", "valid", "test", "seconds", "params", "config_hash", "error")


def runs_table(study: StudyState) -> Table:
    """A row for each run, with a column for each value that is compared or searched.

    valid, test: of `metric`, at the best checkpoint; seconds: of training.
    """
    trials: dict[str, TrialRow] = {}
    for trial in study.trials:
        trials.setdefault(trial.run, trial)
    keys = [key for key in _keys(study) if key not in FIRST]
    rows = []
    for run in study.runs.values():
        row = trials.get(run.name)
        given = _values(row.overrides) if row else {}
        rows.append(
            [
                *(run.name, row.trial if row else None, row.variant if row else ""),
                *(run.cell, run.task, run.state),
                *(given.get(key) for key in keys),
                *(run.monitor, run.value, run.test, run.seconds),
                *(run.record and run.record.params, run.record and run.record.config_hash),
                run.error,
            ]
        )
    return [*FIRST, *keys, *LAST], _columns_of_one_type(rows)


def variants_table(study: StudyState) -> Table:
    """A row for each variant, best first within a task; mean_seconds: of a finished run."""
    rows = []
    for section in sections(study):
        about = {"task": section.task, "data": section.data, "metric": section.monitor}
        for variant in section.variants:
            plain = variant.plain()
            best = plain.pop("best") or {}
            row = about | plain
            row |= {f"best_{key}": best.get(key) for key in ("run", "valid", "test")}
            rows.append(row)
    columns = list(rows[0]) if rows else []
    return columns, _columns_of_one_type([list(row.values()) for row in rows])


def summary(study: StudyState) -> dict[str, Any]:
    """How many runs there are in each state, and the best of each task."""
    found: dict[str, Any] = {"count/runs": len(study.runs)}
    found |= {f"count/{state}": number for state, number in study.counts().items()}
    there = sections(study)
    for section in there:
        best = _best([variant.best for variant in section.variants])
        if best is not None:
            name = "best" if len(there) == 1 else f"best/{section.task}-{section.data}"
            (variant,) = [a for a in section.variants if best in a.runs][:1]
            found |= {
                f"{name}/run": best.name,
                f"{name}/variant": variant.label,
                f"{name}/valid": best.value,
                f"{name}/test": best.test,
            }
    return {key: value for key, value in found.items() if _plain(value) is not None}


def _best(runs: Sequence[RunState | None]) -> RunState | None:
    there = [run for run in runs if run is not None]
    if not there:
        return None
    return (max if there[0].mode == "max" else min)(there, key=lambda run: run.value)


def _keys(study: StudyState) -> list[str]:
    """What is compared or searched, as study.json says it, and as the variants' labels do."""
    entries = [*study.record.compare, *study.record.space] if study.record else []
    labels = dict.fromkeys(row.variant for row in study.trials)
    named = [word.partition("=")[0] for label in labels for word in words(label)]
    return list(dict.fromkeys([*(k for e in entries for k in e.split(",")), *named]))


def _values(overrides: str) -> dict[str, Any]:
    found = {}
    for word in words(overrides):
        key, _, text = word.partition("=")
        found[key.lstrip("+")] = None if text == "null" else _number(text)
    return found


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _columns_of_one_type(rows: list[list[Any]]) -> list[list[Any]]:
    """W&B takes one type in a column, and none: numbers, or else text."""
    texts = [any(isinstance(v, str) for v in column) for column in zip(*rows, strict=True)]
    return [
        [
            _plain(value) if not text or value is None else str(value)
            for value, text in zip(row, texts, strict=True)
        ]
        for row in rows
    ]


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


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
        return _log(study, mode, project or "odyssey", entity, logger.get("dir"))


def _log(study: StudyState, mode: str, project: str, entity: str | None, folder: str | None) -> str:
    from odyssey.training import wandb as odyssey_wandb

    if mode == "online":
        odyssey_wandb.check_login()
    known = _earlier(study)
    runs, variants = runs_table(study), variants_table(study)
    out = Path(folder) if folder else study.folder.resolve().parent
    with _quiet(out / "wandb"):
        run = odyssey_wandb.begin(
            mode,
            folder=str(out),
            project=project,
            entity=entity,
            name=f"{study.name}-summary",
            group=study.name,
            job_type="summary",
            config={"study": study.name, "search": (study.record or StudyRecord()).search()},
            id=known.id or secrets.token_hex(6),
        )
        try:
            run.log({"runs": _table(runs), "variants": _table(variants)})
            run.summary.update(summary(study))
            run.finish()
        except Exception as error:  # whatever breaks in W&B
            raise UserError(
                f"logger.mode={mode}: W&B did not take the summary ({error}); the same command "
                "tries again"
            ) from None
    return _said(study, run, mode)


def _earlier(study: StudyState) -> WandbRun:
    """The W&B run of an earlier summary; one without an id where there was none."""
    try:
        return from_values(WandbRun, json.loads(read_text(study.folder / FILE)[0]))[0]
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return WandbRun()


def _said(study: StudyState, run: Any, mode: str) -> str:
    """Note which W&B run it is, put aside what it stands in for, and say where it is."""
    from odyssey.training import wandb as odyssey_wandb

    part = Path(run.dir).parent
    note = WandbRun(run.id, str(part), run.url if mode == "online" else None)
    try:
        write_text(study.folder / FILE, to_text(note))
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

    for run in study.runs.values():
        found = read_values(run.path / "config.yaml")
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
