"""Studies' folders -> all their runs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from odyssey.errors import UserError
from odyssey.report.io.run_files import (
    as_int,
    as_mapping,
    as_number,
    as_text,
    command_line,
    parse_overrides,
    read_bytes,
    read_command,
    read_curves,
    read_settings,
)
from odyssey.report.io.runs import Collection, ReportRun, ReportStudy, Series
from odyssey.study.formatting import several
from odyssey.study.state import RunState, StudyState, not_a_study, read_study
from odyssey.study.store import Stamp, stamp_of
from odyssey.training.record import RunRecord

CACHE_FORMAT = "odyssey-report-cache-2"  # another number whenever the content below is another
CACHE_FILE = Path("report", "cache.json")


@dataclass
class CachedRun:
    """A run's files as they were read, each with its stamp at that moment."""

    state: RunState
    config_stamp: Stamp | None = None
    config: dict[str, Any] | None = None  # None: no file, or none that can be read
    curves_stamp: Stamp | None = None
    curves: dict[str, Series] = field(default_factory=dict)
    damaged_lines: int = 0  # of metrics.csv


def load_cache(study: Path) -> dict[str, CachedRun]:
    """What was kept of a study's runs, by name; nothing where the file is absent or damaged."""
    try:
        head, _, body = read_bytes(study / CACHE_FILE).partition(b"\n")
        if head.decode() != _cache_header(body):
            return {}
        return {name: _from_json(study / name, entry) for name, entry in json.loads(body).items()}
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return {}


def save_cache(study: Path, runs: dict[str, CachedRun]) -> None:
    """Keep what was read; a folder that cannot be written to is read again the next time."""
    body = json.dumps({name: _to_json(kept) for name, kept in runs.items()}).encode()
    file = study / CACHE_FILE
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        file.parent.mkdir(exist_ok=True)
        temporary.write_bytes(_cache_header(body).encode() + b"\n" + body)
        os.replace(temporary, file)
    except OSError:
        with suppress(OSError):
            temporary.unlink()


def _cache_header(body: bytes) -> str:
    return f"{CACHE_FORMAT} {hashlib.sha256(body).hexdigest()}"


def _to_json(kept: CachedRun) -> list[Any]:
    state = kept.state
    return [
        [
            state.state,
            state.record and state.record.as_dict(),
            state.record.odd if state.record else [],
            state.changed,
            state.stamp,
            state.later,
        ],
        [kept.config_stamp, kept.config],
        [kept.curves_stamp, kept.curves, kept.damaged_lines],
    ]


def _from_json(path: Path, entry: list[Any]) -> CachedRun:
    (state, said, odd, changed, stamp, later), (config_stamp, config), (at, curves, damaged) = entry
    record = None
    if said is not None:
        record = RunRecord.from_dict(said)
        record.odd = odd
    run = RunState(path.name, path, state, record, changed, _as_stamp(stamp), later)
    series = {name: (steps, values) for name, (steps, values) in curves.items()}
    return CachedRun(run, _as_stamp(config_stamp), config, _as_stamp(at), series, damaged)


def _as_stamp(found: list[int] | None) -> Stamp | None:
    return (found[0], found[1], found[2]) if found else None


LONGEST_ERROR = 2000  # characters of an error that are kept, its end


def make_run(
    study: str,
    kept: CachedRun,
    row: Mapping[str, Any] | None,
    fixed: Mapping[str, Any],
    curves: bool,
) -> ReportRun:
    """row: its line of trials.csv, None where it is not in the plan. fixed: of the study."""
    state = kept.state
    record = state.record
    metrics = {as_text(k): v for k, v in record.metrics.items()} if record else {}
    arm = {k: v for k, v in parse_overrides(row["arm"]).items() if k != "seed"} if row else {}
    config = kept.config or {}
    cell = as_text(state.cell)
    return ReportRun(
        study=study,
        name=as_text(state.name),
        state=state.state,
        cell=cell,
        task=as_text(state.task),
        data=as_text(state.data),
        data_hash=as_text(record.data.sha256) if record and record.data else "",
        seed=_seed(record, config, row, fixed),
        params=as_int(record and record.params),
        monitor=as_text(state.monitor),
        mode=state.mode,
        metrics=metrics,
        config=config,
        compared=arm or {"cell": cell},
        trial=row["trial"] if row else None,
        seconds=state.seconds,
        steps=as_int(record and record.steps),
        epochs=as_number(record and record.epochs),
        best_step=as_int(record and record.best_step),
        device=as_text(record and record.device),
        versions=(
            {as_text(k): as_text(v) for k, v in (record.versions or {}).items()} if record else {}
        ),
        code=as_text(record.code.sha256) if record and record.code else "",
        commit=_commit(record),
        started=as_text(record and record.started),
        error=as_text(record and record.error).strip()[-LONGEST_ERROR:],
        command=command_line(row["overrides"]) if row else _command_in_folder(state),
        path=as_text(state.path),
        curves=kept.curves if curves else {},
    )


def _seed(
    record: RunRecord | None,
    config: Mapping[str, Any],
    row: Mapping[str, Any] | None,
    fixed: Mapping[str, Any],
) -> int | None:
    """As run.json has it; else as the run was configured, or is to be."""
    if record is not None and (record.seed is not None or "seed" in record.odd):
        return as_int(record.seed)
    if config.get("seed") is not None:
        return as_int(config["seed"])
    if row is None:
        return None
    typed = parse_overrides(row["overrides"]).get("seed", "")
    return (
        as_int(int(typed)) if typed.isdecimal() and len(typed) < 17 else as_int(fixed.get("seed"))
    )


def _commit(record: RunRecord | None) -> str:
    if record is None or record.git is None:
        return ""
    commit = as_text(record.git.commit)
    return f"{commit}+" if commit and record.git.dirty else commit


def _command_in_folder(state: RunState) -> str:
    return read_command(state.path / "overrides.yaml")


EXAMPLE = "type a study's folder, as in python scripts/report.py outputs/truncation"


def study_folders(folders: Sequence[Path]) -> dict[str, Path]:
    """The name of each study -> its folder; a folder that is given twice is there once.

    Two studies of one name are told apart by the folders that hold them.
    Raises UserError with a sentence for each folder that is no study's.
    """
    if not folders:
        raise UserError(f"no study is given: {EXAMPLE}")
    wrong = [
        said for folder in folders if (said := not_a_study(Path(folder), EXAMPLE, several=True))
    ]
    if wrong:
        raise UserError(*dict.fromkeys(wrong))
    unique: dict[Path, Path] = {}
    for folder in folders:
        unique.setdefault(Path(folder).resolve(), Path(folder))
    paths = list(unique.items())
    for depth in range(1, max(len(path.parts) for path, _ in paths) + 1):
        names = ["/".join(path.parts[-depth:]) for path, _ in paths]
        if len(set(names)) == len(names):
            break
    return {name: typed for name, (_, typed) in zip(names, paths, strict=True)}


MOST_NAMED = 3  # runs that a note names
Progress = Callable[[int, int], None]  # runs read so far, and in all


def collect(
    folders: Sequence[Path], *, progress: Progress | None = None, curves: bool = True
) -> Collection:
    """All runs of the studies in `folders`, planned ones that are missing too.

    Whatever is in a run's files, it is a run; what cannot be read is said in its study's notes.
    What was read is kept in `<study>/report/`, and read again only where it has changed.
    progress: called after each run of a study. curves: whether to read the learning curves.
    Raises UserError where a folder is no study's.
    """
    found = Collection()
    for name, path in study_folders([Path(folder) for folder in folders]).items():
        study, runs = _read_study(name, path, progress, curves)
        found.studies.append(study)
        found.runs += runs
    return found


def _read_study(
    name: str, path: Path, progress: Progress | None, curves: bool
) -> tuple[ReportStudy, list[ReportRun]]:
    before = load_cache(path)
    state = read_study(path, StudyState(path, runs={n: k.state for n, k in before.items()}))
    fixed = as_mapping(state.definition.get("fixed"))
    rows: dict[str, Mapping[str, Any]] = {}
    for row in state.trials:
        rows.setdefault(row["run"], row)
    kept: dict[str, CachedRun] = {}
    runs = []
    changed = False
    for count, run in enumerate(state.runs.values(), 1):
        new = _read_files(run, before.get(run.name), curves)
        if run.state != "missing":
            kept[run.name] = new
            changed |= new != before.get(run.name)
        runs.append(make_run(as_text(name), new, rows.get(run.name), fixed, curves))
        if progress is not None:
            progress(count, len(state.runs))
    if changed or kept.keys() != before.keys():
        save_cache(path, kept)
    notes = [*map(as_text, state.notes), *_damage_notes(kept)]
    return _make_study(as_text(name), path, state, len(rows), notes), runs


def _read_files(run: RunState, before: CachedRun | None, curves: bool) -> CachedRun:
    """A run's other files, as they were read before where they are the same."""
    found = CachedRun(run)
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


def _damage_notes(kept: Mapping[str, CachedRun]) -> list[str]:
    """A sentence for each kind of damage, with the runs that have it."""
    damaged = [name for name, k in kept.items() if k.state.state == "damaged"]
    whole_ = {name: k for name, k in kept.items() if k.state.state != "damaged"}
    records = {name: k.state.record for name, k in whole_.items()}
    odd = {name: record.odd for name, record in records.items() if record and record.odd}
    bare = [name for name, k in whole_.items() if k.state.state != "running" and not k.config]
    ended = {name: k for name, k in kept.items() if k.state.state != "running"}
    lines = {name: k.damaged_lines for name, k in ended.items() if k.damaged_lines}
    notes = []
    if damaged:
        notes.append(f"{_runs_are(damaged)} damaged: run.json cannot be read as one")
    if odd:
        keys = sorted({key for of_run in odd.values() for key in of_run})
        notes.append(
            f"{_runs_are(list(odd))} edited or damaged: run.json has values that are no numbers or "
            f"tables ({_names(keys)}), which are taken as unknown"
        )
    if bare:
        notes.append(f"{_runs_are(bare)} without settings: config.yaml is absent or cannot be read")
    if lines:
        count = several(sum(lines.values()), "line")
        notes.append(
            f"{count} of metrics.csv in {several(len(lines), 'run')} cannot be read, so learning "
            f"curves are drawn without them ({_names(list(lines))})"
        )
    return notes


def _runs_are(names: Sequence[str]) -> str:
    """`2 runs (a, b) are`."""
    return f"{several(len(names), 'run')} ({_names(names)}) {'is' if len(names) == 1 else 'are'}"


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(map(as_text, names[:MOST_NAMED])) + more


def _make_study(
    name: str, path: Path, state: StudyState, planned: int, notes: Sequence[str]
) -> ReportStudy:
    """What study.json says, as far as it is what a study writes."""
    found = state.definition
    compare = {
        as_text(k): list(v) for k, v in as_mapping(found.get("compare")).items() if _is_list(v)
    }
    space = {
        as_text(k): dict(v) for k, v in as_mapping(found.get("space")).items() if as_mapping(v)
    }
    read = {"compare": compare, "space": space, "fixed": as_mapping(found.get("fixed"))}
    odd = [key for key, value in read.items() if found.get(key) and value != found[key]]
    if odd:
        notes = [*notes, f"study.json has a {' and a '.join(odd)} that no study writes so"]
    commands = found.get("commands")
    written = [c for c in commands if isinstance(c, Mapping)] if _is_list(commands) else []
    return ReportStudy(
        name=name,
        path=as_text(path),
        compare=compare,
        space=space,
        fixed={as_text(k): v for k, v in as_mapping(found.get("fixed")).items()},
        trials=as_int(found.get("trials")),
        sampler=as_text(found.get("sampler")),
        draws=as_text(found.get("draws")),
        seed=as_int(found.get("seed")),
        commands=tuple({k: as_text(c.get(k)) for k in ("time", "command")} for c in written),
        notes=tuple(notes),
        planned=planned,
        to_come=state.to_come,
    )


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)
