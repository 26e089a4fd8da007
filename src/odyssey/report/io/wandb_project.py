"""The runs of a W&B project, as their run folders would have them.

W&B has of a run the configuration, the history and, once it has ended, all of run.json in its
summary. What it has not: a run that has not ended has no metrics of its best checkpoint.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from odyssey.errors import UserError
from odyssey.report.io.collect import CachedRun, make_run
from odyssey.report.io.run_files import as_int, as_mapping, as_number, as_text, thin
from odyssey.report.io.runs import Collection, ReportRun, ReportStudy
from odyssey.study.formatting import several
from odyssey.study.state import STATES, RunState
from odyssey.training.record import STATUSES, RunRecord, as_float

LOGIN_HINT = "type `wandb login` or set WANDB_API_KEY"


def split_path(text: str, option: str = "--wandb") -> tuple[str, str]:
    """`entity/project` as the two. Raises UserError, which names `option`, for anything else."""
    parts = text.strip().strip("/").split("/")
    if len(parts) != 2 or not all(part.strip() for part in parts):
        raise UserError(
            f"{option} {text} is not a W&B project: type the user or team and the project, as in "
            f"{option} my-team/odyssey"
        )
    return parts[0], parts[1]


@contextmanager
def connect(doing: str, path: str) -> Iterator[Any]:
    """A `wandb.Api` that never asks for a key at the terminal, nor leaves folders behind.

    doing, path: what a sentence about a failure says, `reading W&B's runs`, and of which project.

    Raises UserError where there is no login, it is not accepted, W&B does not answer, there is no
    such project, or it may not be read or written.
    """
    import wandb

    # It makes a folder for each run that it reads.
    with tempfile.TemporaryDirectory() as folder, _environment_variable("WANDB_DIR", folder):
        try:
            wandb.setup(settings=wandb.Settings(silent=True))  # a silent one does not prompt
            yield wandb.Api()
        except UserError:
            raise
        except Exception as error:  # its own, its service's, requests', pydantic's
            raise UserError(_explain(error, doing, path)) from None


def _explain(error: Exception, doing: str, path: str) -> str:
    """What went wrong, and what to type."""
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
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


SAMPLES = 500  # rows of history that are asked for; of longer ones W&B leaves rows out
PAGE = 100  # runs in one answer
AT_ONCE = 8  # runs whose history is asked for at the same time
KEPT = (  # of run.json, as W&B's summary has them
    *("config_hash", "cell", "cell_source", "task", "data", "seed", "params", "monitor"),
    *("best_epoch", "best_step", "steps", "epochs", "seconds", "clipped_share"),
    *("device", "backend", "versions", "code", "git", "started", "error"),
)
ADDED_TO_CONFIG = ("params", "data", "search")  # what the runs' W&B config has beside config.yaml
CURVE_PREFIXES = ("train/", "valid/")


def read_project(
    entity_project: str,
    *,
    group: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    notes: list[str] | None = None,
    curves: bool = True,
) -> list[dict[str, Any]]:
    """The runs of Odyssey in the W&B project `entity/project`, oldest first.

    Each is a dict with the keys of run.json, `metrics` being empty for a run that has not ended,
    and with

    - `config`: flat, with keys as on the command line (`optimizer.lr`);
    - `study`: W&B's group; `name`: the run folder's; `url`;
    - `search`: what a study's run says of its search (`space`, `trial`, `arm`, …), or {};
    - `curves`: {`valid/…` or `train/…`: [steps, values]}, at most about 500 points each.

    group: only the runs of this study.
    progress: called with (histories read, all).
    notes: gets a sentence for each kind of thing that was set apart.
    curves: whether to ask for histories, a request or more for each run.

    Raises UserError for a project that cannot be read, or that has no runs of Odyssey.
    """
    entity, project = split_path(entity_project)
    path = f"{entity}/{project}"
    said: list[str] = [] if notes is None else notes
    with connect("reading runs from W&B", path) as api:
        filters = {} if group is None else {"group": group}
        there = list(api.runs(path, filters=filters, per_page=PAGE, lazy=False))
        kept = _drop_duplicates([run for run in there if _is_odyssey_run(run.config)], said)
        foreign = [run for run in there if not _is_odyssey_run(run.config) and not _is_summary(run)]
        _note_foreign(foreign, said)
        if not kept:
            raise UserError(_no_runs_message(path, group, len(there)))
        found = [record(run) for run in kept]
        if curves:
            _add_curves(kept, found, progress)
    return found


def record(run: Any) -> dict[str, Any]:
    """One run of `wandb.Api`, without its curves."""
    config, summary = run.config, run.summary_metrics
    status = _status(run.state, summary.get("status"))
    found = {key: summary.get(key) for key in KEPT}  # W&B keeps no null
    found |= {
        "status": status,
        "cell": found.get("cell") or run.job_type or "",
        "task": found.get("task") or _section(config, "task")["name"],
        "data": _section(config, "data"),
        "seed": config.get("seed"),
        "params": config.get("params"),
        "started": found.get("started") or run.created_at,
        "metrics": _metrics(summary) if status in ("finished", "diverged") else {},
        "wandb": {"id": run.id, "url": run.url},
    }
    search = config.get("search")
    return found | {
        "study": run.group or "",
        "name": run.name or run.id,
        "url": run.url,
        "config": _flat_config(config),
        "search": search if isinstance(search, dict) else {},
        "curves": {},
    }


def flatten(tree: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested tables with their keys joined by dots; an empty one stays a value."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            found |= flatten(value, f"{before}{key}.")
        else:
            found[f"{before}{key}"] = value
    return found


def _is_odyssey_run(config: Mapping[str, Any]) -> bool:
    """Whether this is the configuration of one of Odyssey's runs."""
    data, task = _section(config, "data"), _section(config, "task")
    return (
        {"name", "sha256"} <= data.keys() and "name" in task and bool(_section(config, "trainer"))
    )


def _section(config: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A table of the configuration, which a value of a W&B sweep may hide; else an empty one."""
    for name in (key, f"{key}_config"):
        if isinstance(config.get(name), dict):
            return dict(config[name])
    return {}


def _is_summary(run: Any) -> bool:
    """Whether it is a study's tables, logged by `scripts/status.py --wandb`."""
    return run.job_type == "summary" and "study" in run.config


def _note_foreign(runs: list[Any], notes: list[str]) -> None:
    if runs:
        some = ", ".join(str(run.name or run.id) for run in runs[:3])
        more = f" and {len(runs) - 3} more" if len(runs) > 3 else ""
        notes.append(
            f"{several(len(runs), 'run')} of the W&B project {'is' if len(runs) == 1 else 'are'} "
            f"not Odyssey's and left out: {some}{more}"
        )


def _no_runs_message(path: str, group: str | None, there: int) -> str:
    if group is not None:
        return (
            f"{path} has no runs of the study {group}: check its name, which is W&B's group of "
            "the runs, or leave it out to take all"
        )
    if there:
        return f"{path}: none of its {several(there, 'run')} is Odyssey's; check the project's name"
    return (
        f"{path} has no runs: upload them with `wandb sync outputs/wandb`, or check the "
        "project's name"
    )


def _drop_duplicates(runs: list[Any], notes: list[str]) -> list[Any]:
    """A run folder that W&B has several times, once: one that ended, else the newest."""
    best: dict[tuple[str, str], Any] = {}
    for run in runs:  # oldest first
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


def _status(state: str, said: Any) -> str:
    """The run's status by W&B's state and what its summary says.

    A run that goes on has the summary of the session before; one that W&B lost has none.
    """
    if state in ("running", "pending", "preempting"):
        return "running"
    if said in STATUSES and said != "running":
        return str(said)
    return "failed" if state == "failed" else "interrupted"


def _metrics(summary: Mapping[str, Any]) -> dict[str, float]:
    """Of the best checkpoint. Where there was none, W&B has the last values under these names."""
    if summary.get("best_step") is None:
        return {}
    return {
        name: as_float(value)
        for name, value in summary.items()
        if name.startswith(("valid/", "test/"))
    }


def _flat_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """As in config.yaml, flat. A W&B sweep's own values hide sections, kept as `…_config`."""
    hidden = {key.removesuffix("_config"): key for key in config if key.endswith("_config")}
    hidden = {key: there for key, there in hidden.items() if isinstance(config[there], dict)}
    own = {
        key: config[hidden.get(key, key)]
        for key in config
        if key not in ADDED_TO_CONFIG and key not in hidden.values() and "." not in key
    }
    return flatten(own)


def _add_curves(
    runs: list[Any], records: list[dict[str, Any]], progress: Callable[[int, int], None] | None
) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done, (one, curves) in enumerate(
            zip(records, pool.map(_curves, runs), strict=True), start=1
        ):
            one["curves"] = curves
            if progress is not None:
                progress(done, len(runs))


def _curves(run: Any) -> dict[str, list[list[float]]]:
    """Each metric by updates done; a row that was uploaded twice counts once."""
    if (run.history_line_count or 0) <= SAMPLES:
        rows: Iterable[Mapping[str, Any]] = run.history(samples=SAMPLES, pandas=False)
    else:  # a metric alone, or the few rows of validation would be left out
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
    return {name: _sorted(found) for name, found in sorted(points.items())}


def _sorted(points: Mapping[float, float]) -> list[list[float]]:
    steps = sorted(points)
    return [steps, [points[step] for step in steps]]


def collect_project(
    entity_project: str,
    group: str | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Collection:
    """The runs of a W&B project `entity/project`, or of one group (study) of it.

    W&B has no plan of a study: trials that never began are not known. Raises UserError where the
    project cannot be read.
    """
    notes: list[str] = []
    found = read_project(entity_project, group=group, progress=progress, notes=notes)
    return make_collection(found, notes)


def make_collection(records: Sequence[Mapping[str, Any]], notes: Sequence[str]) -> Collection:
    """Of runs as `read_project` gives them."""
    studies: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        studies.setdefault(as_text(record.get("study")), []).append(record)
    made = Collection()
    for place, (name, members) in enumerate(studies.items()):
        search = next((s for r in members if (s := as_mapping(r.get("search")))), {})
        where = as_text(members[0].get("url")).rpartition("/runs/")[0]
        made.studies.append(_study(name, search, len(members), () if place else notes, where))
        made.runs += [_run(name, record) for record in members]
    return made


def _run(study: str, record: Mapping[str, Any]) -> ReportRun:
    search = as_mapping(record.get("search"))
    name = as_text(record.get("name"))
    state = RunState(name, Path(name), str(record["status"]), RunRecord.from_dict(record))
    curves = {
        as_text(metric): thin({as_number(s): as_number(v) for s, v in zip(*series, strict=True)})
        for metric, series in as_mapping(record.get("curves")).items()
    }
    kept = CachedRun(state, config=dict(as_mapping(record.get("config"))), curves=curves)
    row = {"arm": as_text(search.get("arm")), "trial": as_int(search.get("trial")), "overrides": ""}
    run = make_run(study, kept, row if search else None, {}, True)
    return replace(run, path=as_text(record.get("url")), command="")


def _study(
    name: str, search: Mapping[str, Any], count: int, notes: Sequence[str], where: str
) -> ReportStudy:
    space = {
        as_text(k): dict(v) for k, v in as_mapping(search.get("space")).items() if as_mapping(v)
    }
    compare = {
        as_text(k): list(v)
        for k, v in as_mapping(search.get("compare")).items()
        if isinstance(v, list)
    }
    return ReportStudy(
        name=name,
        path=where,
        compare=compare,
        space=space,
        trials=as_int(search.get("trials")),
        sampler=as_text(search.get("sampler")),
        draws=as_text(search.get("draws")),
        seed=as_int(search.get("seed")),
        notes=(
            *notes,
            f"{name or 'runs of no study'}: read from W&B, which knows no trials that never began.",
        ),
        planned=count,
    )
