"""Reading the runs of a W&B project, as far as W&B knows them.

W&B has the configuration and the history of a run and, once it has ended, all of run.json in its
summary. It has no plan of a study, so that trials which never began are not known, and no metrics
of the best checkpoint of a run that has not ended.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from odyssey.config.schema import flat
from odyssey.errors import UserError
from odyssey.report.io.collect import RunFiles, make_run, make_study
from odyssey.report.io.run_files import as_int, as_mapping, as_text, thin
from odyssey.report.io.runs import Collection, ReportRun, Series
from odyssey.study.formatting import several
from odyssey.study.state import STATES, RunState
from odyssey.study.store import StudyRecord, TrialRow
from odyssey.training.record import STATUSES, RunRecord
from odyssey.typed_json import LaterSchema, as_float, from_values

# --- the connection ---

LOGIN_HINT = "type `wandb login` or set WANDB_API_KEY"


def split_path(text: str, option: str = "--wandb") -> tuple[str, str]:
    """Entity and project of `entity/project`. Raises UserError, naming `option`, if it is none."""
    parts = text.strip().strip("/").split("/")
    if len(parts) != 2 or not all(part.strip() for part in parts):
        raise UserError(
            f"{option} {text} is not a W&B project: type the user or team and the project, as in "
            f"{option} my-team/odyssey"
        )
    return parts[0], parts[1]


@contextmanager
def connect(doing: str, path: str) -> Iterator[Any]:
    """A `wandb.Api` that never asks for a key at the terminal and leaves no folders behind.

    doing, path: what is done, as in `reading runs from W&B`, and with which project; for messages.

    Raises UserError for any error inside the block: no login, one that is not accepted, a server
    that does not answer, a project that is not there or may not be read or written.
    """
    import wandb

    # wandb.Api makes a folder for each run that it reads.
    with tempfile.TemporaryDirectory() as folder, _environment_variable("WANDB_DIR", folder):
        try:
            wandb.setup(settings=wandb.Settings(silent=True))  # a silent one does not prompt
            yield wandb.Api()
        except UserError:
            raise
        except Exception as error:  # of wandb, its service, requests or pydantic
            raise UserError(_explain(error, doing, path)) from None


def _explain(error: Exception, doing: str, path: str) -> str:
    """A sentence on an error of wandb's client: what went wrong, and what to type."""
    import wandb

    why = " ".join(str(error).split()).removeprefix("input: ").rstrip(".") or type(error).__name__
    host = os.environ.get("WANDB_BASE_URL", "its server")
    if isinstance(error, wandb.errors.UsageError):
        return f"{doing} needs a W&B login, and there is none: {LOGIN_HINT}"
    if re.search(r"busy|time[d ]*out|connect|dial tcp|no such host", why, re.IGNORECASE):
        return f"{doing}: W&B at {host} did not answer; check the network and WANDB_BASE_URL"
    if isinstance(error, wandb.errors.AuthenticationError):
        return (
            f"{doing}: W&B at {host} did not accept the login ({why}); type `wandb login --relogin`"
        )
    if re.search(r"not.?find project|project .* not found|\b404\b", why, re.IGNORECASE):
        return (
            f"{doing}: W&B has no project {path} that this login may see ({why}); check the user "
            "or team, the project's name, and `wandb login`"
        )
    if re.search(r"permission|forbidden|unauthori[sz]ed|denied|\b40[13]\b", why, re.IGNORECASE):
        return (
            f"{doing}: this login has no right to do that in {path} ({why}); ask its owner, or "
            "type `wandb login --relogin` with another account"
        )
    return f"{doing}: W&B at {host} could not do it ({why}); the same command tries again"


@contextmanager
def _environment_variable(name: str, value: str) -> Iterator[None]:
    """Set an environment variable for the duration of a block."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


# --- the runs ---

SAMPLES = 500  # rows of history asked for at once; W&B samples longer histories
PAGE = 100  # runs in one answer
AT_ONCE = 8  # runs whose history is asked for in parallel
ADDED_TO_CONFIG = ("params", "data", "search")  # keys of W&B's config that config.yaml has not
CURVE_PREFIXES = ("train/", "valid/")
COUNTS = ("seed", "params", "steps", "best_step")


@dataclass
class ProjectRun:
    """A run as a W&B project has it, or its folder."""

    name: str  # of the run folder
    study: str  # W&B's group
    record: RunRecord  # without metrics if the run has not ended
    url: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)  # flat keys, as on the command line
    search: Mapping[str, Any] = field(default_factory=dict)  # the plan, its trial and variant
    curves: Mapping[str, Series] = field(default_factory=dict)  # `valid/…`, `train/…`


def read_project(
    entity_project: str,
    *,
    group: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    notes: list[str] | None = None,
    curves: bool = True,
) -> list[ProjectRun]:
    """The runs of Odyssey in the W&B project `entity/project`, oldest first.

    group: a study, to read only its runs.
    progress: called with (histories read, all runs).
    notes: gets a sentence for each kind of run that is left out.
    curves: whether to read learning curves, of about 500 points at most; takes a request or more
        for each run.

    Raises UserError for a project that cannot be read, or that has no runs of Odyssey.
    """
    entity, project = split_path(entity_project)
    path = f"{entity}/{project}"
    notes = [] if notes is None else notes
    with connect("reading runs from W&B", path) as api:
        filters = {} if group is None else {"group": group}
        every = list(api.runs(path, filters=filters, per_page=PAGE, lazy=False))
        ours = [run for run in every if _is_odyssey_run(run.config)]
        others = [run for run in every if not _is_odyssey_run(run.config)]
        ours = _drop_duplicates(ours, notes)
        _note_foreign([run for run in others if not _is_summary(run)], notes)
        if not ours:
            raise UserError(_no_runs_message(path, group, len(every)))
        found = _project_runs(ours, notes)
        if curves:
            _add_curves(found, progress)
    return [run for _, run in found]


def _project_runs(runs: Iterable[Any], notes: list[str]) -> list[tuple[Any, ProjectRun]]:
    """Runs of `wandb.Api`, each with what it is here, without curves."""
    found: list[tuple[Any, ProjectRun]] = []
    later = 0
    for run in runs:
        try:
            record = record_from_wandb(run)
        except LaterSchema:
            later += 1
            continue
        search = run.config.get("search")
        own = ProjectRun(
            name=run.name or run.id,
            study=run.group or "",
            record=record,
            url=run.url,
            config=_flat_config(run.config),
            search=search if isinstance(search, dict) else {},
        )
        found.append((run, own))
    if later:
        notes.append(
            f"{several(later, 'run')} of the W&B project {'is' if later == 1 else 'are'} of a "
            "later version of Odyssey and left out: update this one"
        )
    return found


def record_from_wandb(run: Any) -> RunRecord:
    """The record of a run of `wandb.Api`, from its summary and its configuration.

    Raises LaterSchema where a later version of Odyssey wrote it.
    """
    config, summary = run.config, run.summary_metrics
    status = _status(run.state, summary.get("status"))
    names = {f.name for f in fields(RunRecord)} - {"status", "metrics", "odd"}
    values = {name: summary[name] for name in names if summary.get(name) is not None}
    values |= {
        "status": status,
        "cell": values.get("cell") or run.job_type or "",
        "task": values.get("task") or _section(config, "task")["name"],
        "data": _section(config, "data"),
        "seed": config.get("seed"),
        "params": config.get("params"),
        "steps": summary.get("steps"),
        "seconds": summary.get("seconds"),
        "started": values.get("started") or run.created_at,
        "metrics": _metrics(summary) if status in ("finished", "diverged") else {},
        "wandb": {"id": run.id, "url": run.url},
    }
    return RunRecord.from_dict(values | {name: as_int(values.get(name)) for name in COUNTS})


def _is_odyssey_run(config: Mapping[str, Any]) -> bool:
    """Whether this is the configuration of a run of Odyssey."""
    data, task = _section(config, "data"), _section(config, "task")
    return (
        {"name", "sha256"} <= data.keys() and "name" in task and bool(_section(config, "trainer"))
    )


def _section(config: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A table of the configuration; empty if there is none.

    Under a W&B sweep a value of the sweep may have the section's key, and the section `…_config`.
    """
    for name in (key, f"{key}_config"):
        if isinstance(config.get(name), dict):
            return dict(config[name])
    return {}


def _is_summary(run: Any) -> bool:
    """Whether it holds a study's tables, logged by `scripts/status.py --wandb`."""
    return run.job_type == "summary" and "study" in run.config


def _note_foreign(runs: Sequence[Any], notes: list[str]) -> None:
    if runs:
        some = ", ".join(str(run.name or run.id) for run in runs[:3])
        more = f" and {len(runs) - 3} more" if len(runs) > 3 else ""
        notes.append(
            f"{several(len(runs), 'run')} of the W&B project {'is' if len(runs) == 1 else 'are'} "
            f"not Odyssey's and left out: {some}{more}"
        )


def _no_runs_message(path: str, group: str | None, count: int) -> str:
    """count: runs in the project that are not Odyssey's."""
    if group is not None:
        return (
            f"{path} has no runs of the study {group}: check its name, which is W&B's group of "
            "the runs, or leave it out to take all"
        )
    if count:
        return f"{path}: none of its {several(count, 'run')} is Odyssey's; check the project's name"
    return (
        f"{path} has no runs: upload them with `wandb sync outputs/wandb`, or check the "
        "project's name"
    )


def _drop_duplicates(runs: Sequence[Any], notes: list[str]) -> list[Any]:
    """One run of each name and study: one that ended, else the newest. runs: oldest first."""
    best: dict[tuple[str, str], Any] = {}
    for run in runs:
        key = (run.group or "", run.name or run.id)
        if key not in best or _rank(run) <= _rank(best[key]):
            best[key] = run
    more = len(runs) - len(best)
    if more:
        notes.append(
            f"{several(more, 'run')} of the W&B project {'has' if more == 1 else 'have'} the name "
            "and study of another, and only one of each was taken: one that ended, else the newest"
        )
    return list(best.values())


def _rank(run: Any) -> int:
    return STATES.index(_status(run.state, run.summary_metrics.get("status")))


def _status(state: str, recorded: Any) -> str:
    """Status of a run from W&B's state and the status in its summary.

    The summary of a running one may be that of an earlier session; a run that W&B lost has none.
    """
    if state in ("running", "pending", "preempting"):
        return "running"
    if recorded in STATUSES and recorded != "running":
        return str(recorded)
    return "failed" if state == "failed" else "interrupted"


def _metrics(summary: Mapping[str, Any]) -> dict[str, float]:
    """Metrics of the best checkpoint. Without one, W&B has the last values under these names."""
    if summary.get("best_step") is None:
        return {}
    return {
        name: as_float(value)
        for name, value in summary.items()
        if name.startswith(("valid/", "test/"))
    }


def variant_of(search: Mapping[str, Any]) -> str:
    """The label of a run's variant: `cell=gru bptt.length=25`; of earlier versions under `arm`."""
    return as_text(search.get("variant") or search.get("arm"))


def _flat_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as in config.yaml, with flat keys; see `_section` for W&B sweeps."""
    hidden = {key.removesuffix("_config"): key for key in config if key.endswith("_config")}
    hidden = {key: section for key, section in hidden.items() if isinstance(config[section], dict)}
    own = {
        key: config[hidden.get(key, key)]
        for key in config
        if key not in ADDED_TO_CONFIG and key not in hidden.values() and "." not in key
    }
    return flat(own)


def _add_curves(
    found: Sequence[tuple[Any, ProjectRun]], progress: Callable[[int, int], None] | None
) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        histories = pool.map(_curves, (run for run, _ in found))
        for count, ((_, own), curves) in enumerate(zip(found, histories, strict=True), start=1):
            own.curves = curves
            if progress is not None:
                progress(count, len(found))


def _curves(run: Any) -> dict[str, Series]:
    """Each metric against updates done; a row that was uploaded twice counts once."""
    if (run.history_line_count or 0) <= SAMPLES:
        rows: Iterable[Mapping[str, Any]] = run.history(samples=SAMPLES, pandas=False)
    else:  # one metric at a time: sampled rows would miss the few with validation values
        rows = [
            row
            for name in (run.history_keys or {}).get("keys", {})
            if name.startswith(CURVE_PREFIXES)
            for row in run.history(samples=SAMPLES, keys=[name], x_axis="step", pandas=False)
        ]
    points: dict[str, dict[float, float]] = {}
    for row in rows:
        step = row.get("step")
        if isinstance(step, (int, float)):
            for name, value in row.items():
                if name.startswith(CURVE_PREFIXES):
                    points.setdefault(name, {})[float(step)] = as_float(value)
    return {name: thin(series, len(series)) for name, series in sorted(points.items())}


# --- runs and studies of the report ---


def collect_project(
    entity_project: str,
    group: str | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Collection:
    """The runs of a W&B project `entity/project`, or of one group (study) of it.

    Raises UserError where the project cannot be read.
    """
    notes: list[str] = []
    runs = read_project(entity_project, group=group, progress=progress, notes=notes)
    return make_collection(runs, notes)


def make_collection(runs: Sequence[ProjectRun], notes: Sequence[str]) -> Collection:
    """The report's runs and studies of a project; the first study gets the notes."""
    studies: dict[str, list[ProjectRun]] = {}
    for run in runs:
        studies.setdefault(as_text(run.study), []).append(run)
    found = Collection()
    for number, (name, members) in enumerate(studies.items()):
        search = next((run.search for run in members if run.search), {})
        plan, _ = from_values(StudyRecord, search)
        source = (
            f"{name or 'runs of no study'}: read from W&B, which knows no trials that never began."
        )
        found.studies.append(
            make_study(
                name,
                as_text(members[0].url).rpartition("/runs/")[0],
                plan,
                notes=[*(() if number else notes), source],
                planned=len(members),
            )
        )
        found.runs += [_report_run(name, run) for run in members]
    return found


def _report_run(study: str, run: ProjectRun) -> ReportRun:
    name = as_text(run.name)
    curves = {as_text(metric): thin(dict(zip(*s, strict=True))) for metric, s in run.curves.items()}
    state = RunState(name, Path(name), run.record.status, run.record)
    files = RunFiles(state, config=dict(as_mapping(run.config)), curves=curves)
    row = TrialRow(as_int(run.search.get("trial")), name, variant_of(run.search), "")
    made = make_run(study, files, row if run.search else None, {}, curves=True)
    return replace(made, path=as_text(run.url), command="")
