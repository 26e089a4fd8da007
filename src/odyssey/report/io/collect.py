"""Studies' folders -> all their runs."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from odyssey.errors import UserError
from odyssey.report.io.run_files import (
    command_in,
    command_of,
    number,
    pairs,
    read_bytes,
    read_curves,
    read_settings,
    table,
    text,
    whole,
)
from odyssey.report.io.runs import Collection, Run, Series, Study
from odyssey.study.formatting import several
from odyssey.study.state import RunState, StudyState, not_a_study, read_study
from odyssey.study.store import Stamp, stamp_of

FORMAT = "odyssey-report-cache-1"  # another number whenever the content below is another
FILE = Path("report", "cache.json")


@dataclass
class Kept:
    """A run's files as they were read, each with its stamp at that moment."""

    state: RunState
    config_stamp: Stamp | None = None
    config: dict[str, Any] | None = None  # None: no file, or none that can be read
    curves_stamp: Stamp | None = None
    curves: dict[str, Series] = field(default_factory=dict)
    damaged_lines: int = 0  # of metrics.csv


def load(study: Path) -> dict[str, Kept]:
    """What was kept of a study's runs, by name; nothing where the file is absent or damaged."""
    try:
        head, _, body = read_bytes(study / FILE).partition(b"\n")
        if head.decode() != _head(body):
            return {}
        return {name: _kept(study / name, entry) for name, entry in json.loads(body).items()}
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return {}


def save(study: Path, runs: dict[str, Kept]) -> None:
    """Keep what was read; a folder that cannot be written to is read again the next time."""
    body = json.dumps({name: _entry(kept) for name, kept in runs.items()}).encode()
    file = study / FILE
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        file.parent.mkdir(exist_ok=True)
        temporary.write_bytes(_head(body).encode() + b"\n" + body)
        os.replace(temporary, file)
    except OSError:
        with suppress(OSError):
            temporary.unlink()


def _head(body: bytes) -> str:
    return f"{FORMAT} {hashlib.sha256(body).hexdigest()}"


def _entry(kept: Kept) -> list[Any]:
    state = kept.state
    return [
        [state.state, state.record, state.changed, state.stamp],
        [kept.config_stamp, kept.config],
        [kept.curves_stamp, kept.curves, kept.damaged_lines],
    ]


def _kept(path: Path, entry: list[Any]) -> Kept:
    (state, record, changed, stamp), (config_stamp, config), (at, curves, damaged) = entry
    run = RunState(path.name, path, state, record, changed, _stamp(stamp))
    series = {name: (steps, values) for name, (steps, values) in curves.items()}
    return Kept(run, _stamp(config_stamp), config, _stamp(at), series, damaged)


def _stamp(found: list[int] | None) -> Stamp | None:
    return (found[0], found[1], found[2]) if found else None


LONGEST = 2000  # characters of an error that are kept, its end
WHOLE = ("seed", "params", "steps", "best_step")
NUMBERS = ("seconds", "epochs")
TABLES = ("data", "metrics", "monitor", "versions", "code", "git")


def run_of(
    study: str, kept: Kept, row: Mapping[str, Any] | None, fixed: Mapping[str, Any], curves: bool
) -> Run:
    """row: its line of trials.csv, None where it is not in the plan. fixed: of the study."""
    state = kept.state
    record = state.record
    metrics = {text(k): number(v) for k, v in table(record.get("metrics")).items()}
    arm = {k: v for k, v in pairs(row["arm"]).items() if k != "seed"} if row else {}
    config = kept.config or {}
    cell = text(state.cell)
    return Run(
        study=study,
        name=text(state.name),
        state=state.state,
        cell=cell,
        task=text(state.task),
        data=text(state.data),
        data_hash=text(table(record.get("data")).get("sha256")),
        seed=_seed(record, config, row, fixed),
        params=whole(record.get("params")),
        monitor=text(state.monitor),
        mode=state.mode,
        metrics=metrics,
        config=config,
        compared=arm or {"cell": cell},
        trial=row["trial"] if row else None,
        seconds=number(record.get("seconds")),
        steps=whole(record.get("steps")),
        epochs=number(record.get("epochs")),
        best_step=whole(record.get("best_step")),
        device=text(record.get("device")),
        versions={text(k): text(v) for k, v in table(record.get("versions")).items()},
        code=text(table(record.get("code")).get("sha256")),
        commit=_commit(table(record.get("git"))),
        started=text(record.get("started")),
        error=text(record.get("error")).strip()[-LONGEST:],
        command=command_of(row["overrides"]) if row else _own_command(state),
        path=text(state.path),
        curves=kept.curves if curves else {},
    )


def odd_values(record: Mapping[str, Any]) -> list[str]:
    """Keys of run.json whose values are of another kind than a run writes."""
    found = [k for k in WHOLE if record.get(k) is not None and whole(record[k]) is None]
    found += [k for k in NUMBERS if record.get(k) is not None and not _is_number(record[k])]
    found += [k for k in TABLES if not isinstance(record.get(k) or {}, Mapping)]
    metrics = table(record.get("metrics"))
    found += [f"metrics.{text(k)}" for k, v in metrics.items() if not _is_number(v)]
    return found


def _is_number(value: Any) -> bool:
    return not math.isnan(number(value)) or value == "nan" or isinstance(value, float)


def _seed(
    record: Mapping[str, Any],
    config: Mapping[str, Any],
    row: Mapping[str, Any] | None,
    fixed: Mapping[str, Any],
) -> int | None:
    """As run.json has it; else as the run was configured, or is to be."""
    if record.get("seed") is not None:
        return whole(record["seed"])
    if config.get("seed") is not None:
        return whole(config["seed"])
    if row is None:
        return None
    typed = pairs(row["overrides"]).get("seed", "")
    return whole(int(typed)) if typed.isdecimal() and len(typed) < 17 else whole(fixed.get("seed"))


def _commit(git: Mapping[str, Any]) -> str:
    commit = text(git.get("commit"))
    return f"{commit}+" if commit and git.get("dirty") is True else commit


def _own_command(state: RunState) -> str:
    return command_in(state.path / "overrides.yaml")


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


NAMED = 3  # runs that a note names
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
        study, runs = _study(name, path, progress, curves)
        found.studies.append(study)
        found.runs += runs
    return found


def _study(
    name: str, path: Path, progress: Progress | None, curves: bool
) -> tuple[Study, list[Run]]:
    before = load(path)
    state = read_study(path, StudyState(path, runs={n: k.state for n, k in before.items()}))
    fixed = table(state.definition.get("fixed"))
    rows: dict[str, Mapping[str, Any]] = {}
    for row in state.trials:
        rows.setdefault(row["run"], row)
    kept: dict[str, Kept] = {}
    runs = []
    changed = False
    for count, run in enumerate(state.runs.values(), 1):
        new = _read(run, before.get(run.name), curves)
        if run.state != "missing":
            kept[run.name] = new
            changed |= new != before.get(run.name)
        runs.append(run_of(text(name), new, rows.get(run.name), fixed, curves))
        if progress is not None:
            progress(count, len(state.runs))
    if changed or kept.keys() != before.keys():
        save(path, kept)
    notes = [*map(text, state.notes), *_notes(kept)]
    return _described(text(name), path, state, len(rows), notes), runs


def _read(run: RunState, before: Kept | None, curves: bool) -> Kept:
    """A run's other files, as they were read before where they are the same."""
    found = Kept(run)
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


def _notes(kept: Mapping[str, Kept]) -> list[str]:
    """A sentence for each kind of damage, with the runs that have it."""
    damaged = [name for name, k in kept.items() if k.state.state == "damaged"]
    whole_ = {name: k for name, k in kept.items() if k.state.state != "damaged"}
    odd = {name: keys for name, k in whole_.items() if (keys := odd_values(k.state.record))}
    bare = [name for name, k in whole_.items() if k.state.state != "running" and not k.config]
    ended = {name: k for name, k in kept.items() if k.state.state != "running"}
    lines = {name: k.damaged_lines for name, k in ended.items() if k.damaged_lines}
    notes = []
    if damaged:
        notes.append(f"{_runs(damaged)} damaged: run.json cannot be read as one")
    if odd:
        keys = sorted({key for of_run in odd.values() for key in of_run})
        notes.append(
            f"{_runs(list(odd))} edited or damaged: run.json has values that are no numbers or "
            f"tables ({_some(keys)}), which are taken as unknown"
        )
    if bare:
        notes.append(f"{_runs(bare)} without settings: config.yaml is absent or cannot be read")
    if lines:
        count = several(sum(lines.values()), "line")
        notes.append(
            f"{count} of metrics.csv in {several(len(lines), 'run')} cannot be read, so learning "
            f"curves are drawn without them ({_some(list(lines))})"
        )
    return notes


def _runs(names: Sequence[str]) -> str:
    """`2 runs (a, b) are`."""
    return f"{several(len(names), 'run')} ({_some(names)}) {'is' if len(names) == 1 else 'are'}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(text, names[:NAMED])) + more


def _described(
    name: str, path: Path, state: StudyState, planned: int, notes: Sequence[str]
) -> Study:
    """What study.json says, as far as it is what a study writes."""
    found = state.definition
    compare = {text(k): list(v) for k, v in table(found.get("compare")).items() if _is_list(v)}
    space = {text(k): dict(v) for k, v in table(found.get("space")).items() if table(v)}
    read = {"compare": compare, "space": space, "fixed": table(found.get("fixed"))}
    odd = [key for key, value in read.items() if found.get(key) and value != found[key]]
    if odd:
        notes = [*notes, f"study.json has a {' and a '.join(odd)} that no study writes so"]
    commands = found.get("commands")
    written = [c for c in commands if isinstance(c, Mapping)] if _is_list(commands) else []
    return Study(
        name=name,
        path=text(path),
        compare=compare,
        space=space,
        fixed={text(k): v for k, v in table(found.get("fixed")).items()},
        trials=whole(found.get("trials")),
        sampler=text(found.get("sampler")),
        draws=text(found.get("draws")),
        seed=whole(found.get("seed")),
        commands=tuple({k: text(c.get(k)) for k in ("time", "command")} for c in written),
        notes=tuple(notes),
        planned=planned,
        to_come=state.to_come,
    )


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)
