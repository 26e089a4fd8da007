"""Reading study folders: every run with its configuration, results and learning curves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from odyssey.cli_utils import typed_as
from odyssey.config.seeds import SEED_KEYS, Seeds, without_seeds
from odyssey.errors import UserError
from odyssey.io import Stamp, read_bytes, read_text, stamp_of, write_bytes
from odyssey.report.io.run_files import (
    as_int,
    as_text,
    command_line,
    parse_overrides,
    read_command,
    read_curves,
    read_settings,
)
from odyssey.report.io.runs import Collection, ReportRun, ReportStudy, Series
from odyssey.study.formatting import several
from odyssey.study.state import CONFIRMS, RunState, StudyState, not_a_study, read_study
from odyssey.study.store import StudyRecord, TrialRow
from odyssey.training.record import Code, Data, RunRecord

LONGEST_ERROR = 2000  # characters kept of a run's error, from its end
MOST_NAMED = 3  # runs named in a note
Progress = Callable[[int, int], None]  # called with (runs read, all runs)


@dataclass
class RunFiles:
    """Content of a run's files, with the stamp of each when it was read."""

    state: RunState
    config_stamp: Stamp | None = None
    config: dict[str, Any] | None = None  # None: no file, or none that can be read
    curves_stamp: Stamp | None = None
    curves: dict[str, Series] = field(default_factory=dict)
    damaged_lines: int = 0  # of metrics.csv


def collect(
    folders: Sequence[Path], *, progress: Progress | None = None, curves: bool = True
) -> Collection:
    """All runs of the studies in `folders`, including planned ones that have not begun.

    A run is there whatever its files hold; what cannot be read is noted in its study. The content
    of files is cached in `<study>/report/`, and only changed files are read again.

    progress: called after each run, with the counts of its study.
    curves: whether to read the learning curves.

    Raises UserError where a folder is not a study's.
    """
    found = Collection()
    for name, path in study_folders([Path(folder) for folder in folders]).items():
        study, runs = _read_study(name, path, progress, curves)
        found.studies.append(study)
        found.runs += runs
    return found


def study_folders(folders: Sequence[Path]) -> dict[str, Path]:
    """Name of each study -> its folder. A folder given twice is there once.

    The name is the folder's, preceded by as many parent folders as make all names different.
    Raises UserError with a sentence for each folder that is not a study's.
    """
    if not folders:
        raise UserError(f"no study is given: {example()}")
    messages = [not_a_study(Path(folder), example(), several=True) for folder in folders]
    if any(messages):
        raise UserError(*dict.fromkeys(message for message in messages if message))
    unique: dict[Path, Path] = {}
    for folder in folders:
        unique.setdefault(Path(folder).resolve(), Path(folder))
    paths = list(unique.items())
    for depth in range(1, max(len(path.parts) for path, _ in paths) + 1):
        names = ["/".join(path.parts[-depth:]) for path, _ in paths]
        if len(set(names)) == len(names):
            break
    return {name: typed for name, (_, typed) in zip(names, paths, strict=True)}


def _read_study(
    name: str, path: Path, progress: Progress | None, curves: bool
) -> tuple[ReportStudy, list[ReportRun]]:
    before = load_cache(path)
    state = read_study(path, StudyState(path, runs={n: k.state for n, k in before.items()}))
    record = state.record or StudyRecord()
    rows: dict[str, TrialRow] = {}
    for row in state.trials:
        rows.setdefault(row.run, row)
    read: dict[str, RunFiles] = {}
    runs = []
    changed = False
    for count, run in enumerate(state.runs.values(), 1):
        files = _read_files(run, before.get(run.name), curves)
        if run.state != "missing":
            read[run.name] = files
            changed |= files != before.get(run.name)
        runs.append(make_run(as_text(name), files, rows.get(run.name), record.fixed, curves))
        if progress is not None:
            progress(count, len(state.runs))
    if changed or read.keys() != before.keys():
        save_cache(path, read)
    study = make_study(
        as_text(name),
        as_text(path),
        record,
        notes=[*map(as_text, state.notes), *_damage_notes(read)],
        planned=len(rows),
        to_come=state.to_come,
    )
    return _with_confirmation(study, path), runs


def _with_confirmation(study: ReportStudy, path: Path) -> ReportStudy:
    """The study, with the search that it confirms, or the study that confirms it."""
    beside = path.resolve().parent / f"{path.resolve().name}-confirmed" / CONFIRMS
    return replace(
        study,
        confirms=_confirmed_by(path / CONFIRMS),
        confirmed=beside.parent.name if _confirmed_by(beside) else "",
    )


def _confirmed_by(file: Path) -> str:
    """The search that a confirms.json names; empty where there is none that can be read."""
    with suppress(OSError, ValueError, RecursionError):
        found = json.loads(read_text(file)[0])
        if isinstance(found, dict):
            return as_text(found.get("study", ""))
    return ""


def _read_files(run: RunState, before: RunFiles | None, curves: bool) -> RunFiles:
    """config.yaml and metrics.csv of a run; from `before` where they have not changed."""
    found = RunFiles(run)
    if run.state == "missing":
        return found
    config, metrics = run.path / "config.yaml", run.path / "metrics.csv"
    found.config_stamp = stamp_of(config)
    if before is not None and before.config_stamp == found.config_stamp:
        found.config = before.config
    elif found.config_stamp is not None:
        found.config = read_settings(config)
    stamp = stamp_of(metrics)
    if before is not None and (not curves or before.curves_stamp == stamp):
        found.curves_stamp, found.curves = before.curves_stamp, before.curves
        found.damaged_lines = before.damaged_lines
    elif curves and stamp is not None:
        found.curves_stamp = stamp
        found.curves, found.damaged_lines = read_curves(metrics)
    return found


# --- one run, one study ---

_NOTHING_KNOWN = RunRecord("running", steps=None, seconds=None)


def make_run(
    study: str,
    files: RunFiles,
    row: TrialRow | None,
    fixed: Mapping[str, Any],
    curves: bool,
) -> ReportRun:
    """A run of the report from its files.

    row: its row of trials.csv; None for a run outside the plan.
    fixed: the study's fixed parameters.
    curves: whether the run gets its learning curves.
    """
    state = files.state
    record = state.record or _NOTHING_KNOWN
    config = files.config or {}
    cell = as_text(state.cell)
    variant = parse_overrides(row.variant) if row else {}
    compared = {key: variant[key] for key in without_seeds(variant)}
    seed = _seed(record, config, row, fixed)
    overrides = state.path / "overrides.yaml"
    return ReportRun(
        study=study,
        name=as_text(state.name),
        state=state.state,
        cell=cell,
        task=as_text(state.task),
        data=as_text(state.data),
        data_hash=as_text((record.data or Data()).sha256),
        cell_source=as_text(record.cell_source),
        seed=seed,
        seeds=_seeds(seed, record, config, row, fixed),
        params=as_int(record.params),
        monitor=as_text(state.monitor),
        mode=state.mode,
        metrics={as_text(name): value for name, value in record.metrics.items()},
        measures={as_text(name): record.metric(name) for name in record.metric_info},
        config=config,
        compared=compared or {"cell": cell},
        trial=row.trial if row else None,
        caveat=as_text(record.caveat),
        untested=as_text(record.untested),
        seconds=state.seconds,
        steps=as_int(record.steps),
        epochs=float("nan") if record.epochs is None else record.epochs,
        best_step=as_int(record.best_step),
        device=as_text(record.device),
        versions={as_text(k): as_text(v) for k, v in (record.versions or {}).items()},
        code=as_text((record.code or Code()).sha256),
        commit=_commit(record),
        started=as_text(record.started),
        error=as_text(record.error).strip()[-LONGEST_ERROR:],
        command=command_line(row.overrides) if row else read_command(overrides),
        path=as_text(state.path),
        curves=files.curves if curves else {},
    )


def _seed(
    record: RunRecord,
    config: Mapping[str, Any],
    row: TrialRow | None,
    fixed: Mapping[str, Any],
) -> int | None:
    """The seed of run.json, else of config.yaml, else of the plan."""
    if record.seed is not None or "seed" in record.odd:
        return as_int(record.seed)
    if config.get("seed") is not None:
        return as_int(config["seed"])
    if row is None:
        return None
    typed = parse_overrides(row.overrides).get("seed", "")
    return as_int(int(typed) if typed.isdecimal() and len(typed) < 17 else fixed.get("seed"))


def _seeds(
    seed: int | None,
    record: RunRecord,
    config: Mapping[str, Any],
    row: TrialRow | None,
    fixed: Mapping[str, Any],
) -> Seeds | None:
    """The seeds of run.json, else of config.yaml and the plan; None where all follow `seed`."""
    if (found := record.seeds) is not None:
        known = [as_int(value) for value in (found.init, found.order, found.split)]
        if None not in known:
            return Seeds(*(value or 0 for value in known))
    typed = parse_overrides(row.overrides) if row else {}
    own: dict[str, int] = {}
    for key in SEED_KEYS[1:]:
        for value in (config.get(key), typed.get(key), fixed.get(key)):
            if isinstance(value, str):
                value = int(value) if value.isdecimal() and len(value) < 17 else None
            if (number := as_int(value)) is not None:
                own.setdefault(key.rpartition(".")[2], number)
    return Seeds(**{"init": seed or 0, "order": seed or 0, **own}) if own else None


def _commit(record: RunRecord) -> str:
    if record.git is None:
        return ""
    commit = as_text(record.git.commit)
    return f"{commit}+" if commit and record.git.dirty else commit


def make_study(
    name: str,
    path: str,
    record: StudyRecord,
    *,
    notes: Sequence[str],
    planned: int,
    to_come: int = 0,
) -> ReportStudy:
    """A study of the report from the record of study.json, or from the search that W&B has."""
    if odd := dict.fromkeys(key.partition(".")[0] for key in record.odd):
        notes = [*notes, f"study.json has a {' and a '.join(odd)} that no study writes so"]
    return ReportStudy(
        name=name,
        path=path,
        compare={as_text(key): values for key, values in record.compare.items()},
        space={as_text(key): described for key, described in record.space.items() if described},
        fixed={as_text(key): value for key, value in record.fixed.items()},
        trials=record.trials,
        sampler=as_text(record.sampler),
        draws=as_text(record.draws),
        seed=record.seed,
        commands=tuple(
            {"time": as_text(c.time), "command": as_text(c.command)} for c in record.commands
        ),
        notes=tuple(notes),
        planned=planned,
        to_come=to_come,
        plan=record.plan,
        dropped=tuple(as_text(dropped.in_words()) for dropped in record.dropped),
    )


# --- notes on damage ---


def _damage_notes(read: Mapping[str, RunFiles]) -> list[str]:
    """A sentence for each kind of damage, naming the runs that have it."""
    return [*_unreadable_notes(read), *_odd_note(read), *_config_note(read), *_curves_note(read)]


def _unreadable_notes(read: Mapping[str, RunFiles]) -> list[str]:
    states = [files.state for files in read.values() if files.state.state == "damaged"]
    damaged = [state.name for state in states if not state.later]
    later = [state.name for state in states if state.later]
    notes = []
    if damaged:
        notes.append(f"{_runs_are(damaged)} damaged: run.json cannot be read as one")
    if later:
        notes.append(f"{_runs_are(later)} of a later version of Odyssey: update this one")
    return notes


def _odd_note(read: Mapping[str, RunFiles]) -> list[str]:
    records = {name: files.state.record for name, files in read.items()}
    odd = {name: record.odd for name, record in records.items() if record and record.odd}
    if not odd:
        return []
    keys = sorted({key for keys in odd.values() for key in keys})
    return [
        f"{_runs_are(list(odd))} edited or damaged: run.json has values of another kind than "
        f"runs write ({_join_names(keys)}), which are taken as unknown"
    ]


def _config_note(read: Mapping[str, RunFiles]) -> list[str]:
    ignored = ("damaged", "running")  # noted otherwise, or not written yet
    without = [n for n, files in read.items() if files.state.state not in ignored]
    without = [name for name in without if not read[name].config]
    if not without:
        return []
    return [f"{_runs_are(without)} without settings: config.yaml is absent or cannot be read"]


def _curves_note(read: Mapping[str, RunFiles]) -> list[str]:
    ended = {name: files for name, files in read.items() if files.state.state != "running"}
    lines = {name: f.damaged_lines for name, f in ended.items() if f.damaged_lines}
    if not lines:
        return []
    return [
        f"{several(sum(lines.values()), 'line')} of metrics.csv in {several(len(lines), 'run')} "
        "cannot be read, so learning curves are drawn without them "
        f"({_join_names(list(lines))})"
    ]


def _runs_are(names: Sequence[str]) -> str:
    """`2 runs (a, b) are`."""
    verb = "is" if len(names) == 1 else "are"
    return f"{several(len(names), 'run')} ({_join_names(names)}) {verb}"


def _join_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(map(as_text, names[:MOST_NAMED])) + more


# --- cache: a header line with a hash, then JSON ---

CACHE_FORMAT = "odyssey-report-cache-4"  # to be changed with the content
CACHE_FILE = Path("report", "cache.json")


def load_cache(study: Path) -> dict[str, RunFiles]:
    """Files of a study's runs as they were read last; empty if the cache is absent or damaged."""
    try:
        content, _ = read_bytes(study / CACHE_FILE)
        header, _, body = content.partition(b"\n")
        if header.decode() != _cache_header(body):
            return {}
        return {name: _from_json(study / name, entry) for name, entry in json.loads(body).items()}
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return {}


def save_cache(study: Path, read: Mapping[str, RunFiles]) -> None:
    """Write the cache; without one, as in a read-only folder, files are read again next time."""
    body = json.dumps({name: _to_json(files) for name, files in read.items()}).encode()
    file = study / CACHE_FILE
    with suppress(OSError):
        file.parent.mkdir(exist_ok=True)
        write_bytes(file, _cache_header(body).encode() + b"\n" + body, sync=False)


def _cache_header(body: bytes) -> str:
    return f"{CACHE_FORMAT} {hashlib.sha256(body).hexdigest()}"


def _to_json(files: RunFiles) -> list[Any]:
    state, record = files.state, files.state.record
    values = (record.as_dict(), record.odd) if record else None
    return [
        [state.state, values, state.changed, state.stamp, state.later],
        [files.config_stamp, files.config],
        [files.curves_stamp, files.curves, files.damaged_lines],
    ]


def _from_json(path: Path, entry: list[Any]) -> RunFiles:
    (name, values, changed, stamp, later), (config_stamp, config), curves = entry
    record = None
    if values is not None:
        record = RunRecord.from_dict(values[0])
        record.odd = values[1]
    state = RunState(path.name, path, name, record, changed, _as_stamp(stamp), later)
    curves_stamp, series, damaged_lines = curves
    pairs = {metric: (steps, values) for metric, (steps, values) in series.items()}
    return RunFiles(
        state, _as_stamp(config_stamp), config, _as_stamp(curves_stamp), pairs, damaged_lines
    )


def _as_stamp(found: list[int] | None) -> Stamp | None:
    return (found[0], found[1], found[2]) if found else None


def example() -> str:
    """What to type where no study, or none that there is, was given."""
    return f"type a study's folder, as in {typed_as('report')} outputs/truncation"
