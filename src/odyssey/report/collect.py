"""Studies' folders -> all their runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from odyssey.report import cache
from odyssey.report.cache import Kept
from odyssey.report.curves import read_curves
from odyssey.report.folders import study_folders
from odyssey.report.reading import table, text, whole
from odyssey.report.run_of import odd_values, run_of
from odyssey.report.runs import Collection, Run, Study
from odyssey.report.settings_of import read_settings
from odyssey.study.files import stamp_of
from odyssey.study.records import RunState, StudyState, read_study
from odyssey.study.shown import several

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
    before = cache.load(path)
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
        cache.save(path, kept)
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
