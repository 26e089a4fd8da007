"""The ledger of a study: study.json (what it is) and trials.csv (which trial is which run).

Which runs are done is not kept here: their folders say so.
"""

from __future__ import annotations

import csv
import io
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from odyssey.code_hash import code_version
from odyssey.errors import UserError
from odyssey.io import write_text
from odyssey.study.plan import Plan, Trial, is_under
from odyssey.study.state import StudyState, read_study
from odyssey.training.record import DONE, Code

COLUMNS = ("trial", "run", "arm", "overrides")
# Keys of study.json that are read again: key, its type, the types of the values of a mapping.
SHAPES: tuple[tuple[str, type, tuple[type, ...]], ...] = (
    ("compare", dict, (list,)),
    ("space", dict, (dict,)),
    ("fixed", dict, (str, int, float, bool, list, dict, type(None))),
    ("data", dict, (dict,)),
    ("commands", list, ()),
    ("trials", int, ()),
)
WAIT = 60.0  # seconds for another process that writes the same two files


def check(plan: Plan, state: StudyState) -> None:
    """See whether the plan may be run in its folder.

    Raises UserError where the name is taken by another study, where runs that are there were
    made by other code or from other data, or where resume=never forbids to go on.
    """
    if plan.folder.exists() and not plan.folder.is_dir():
        raise UserError(f"{plan.folder} is a file: type another study=… or output_dir=…")
    if damaged := _damaged(plan.folder, state):
        raise UserError(f"{damaged}; mend it, or delete it to write it anew: the runs stay")
    wrong = _taken(plan, state.definition)
    if not wrong:
        wrong = _mixed(plan, state)
    rows = state.trials if plan.adaptive else [t.row() for t in plan.trials]
    here = [r["run"] for r in rows if r["run"] in state.runs and state.runs[r["run"]].record]
    if not wrong and plan.resume.get("mode") == "never" and here:
        wrong = [
            f"resume=never, but study={plan.study} holds {len(here)} of these runs; type "
            "resume=auto to go on with them, or another study=…"
        ]
    if wrong:
        raise UserError(*wrong)


def _damaged(folder: Path, state: StudyState) -> str:
    """What is wrong with the two files, which a hand or a disk may have changed."""
    path, rows = folder / "study.json", folder / "trials.csv"
    if path.exists() and not state.definition:
        return f"{path} is not readable JSON"
    for key, kind, of in SHAPES:
        value = state.definition.get(key)
        inner = list(value.values()) if isinstance(value, dict) else []
        if value is not None and not (
            isinstance(value, kind) and all(type(v) in of for v in inner)
        ):
            return f"{path} has a {key} that Odyssey has not written so"
    if any(note.startswith(str(rows)) for note in state.notes):
        return f"{rows} is not readable as a table of {', '.join(COLUMNS)}"
    return ""


def _taken(plan: Plan, old: Mapping[str, Any]) -> list[str]:
    """Whether the folder holds a study of other settings; more trials or values are the same."""
    if not old:
        return []
    new = plan.definition()
    way_out = "type another name, as in study=" + plan.study + "2"
    start = f"study={plan.study} is taken by another configuration"
    if old.get("sweeper") != new["sweeper"]:
        return [
            f"{start}: a {old.get('sweeper')} there, a {new['sweeper']} by this command; {way_out}"
        ]
    differing: list[tuple[str, Any, Any]] = []
    for key in ("sampler", "draws", "seed"):
        if old.get(key) != new[key]:
            differing.append((f"hydra.sweeper.{key}", old.get(key), new[key]))
    spaces = old.get("space") or {}, new["space"]
    for key in sorted({*spaces[0], *spaces[1]}):
        if spaces[0].get(key) != spaces[1].get(key):
            name = f"hydra.sweeper.space.{key}"
            differing.append((name, spaces[0].get(key), spaces[1].get(key)))
    entries = [*(old.get("compare") or {}), *new["compare"], *spaces[0], *spaces[1]]
    axes = [key for entry in entries for key in entry.split(",")]
    was = old.get("fixed") or {}
    # What was chosen says more than what came with it.
    for key in sorted({*was, *plan.fixed}, key=lambda k: (not k.endswith((".name", ".kind")), k)):
        both = key in was and key in plan.fixed
        if both and was[key] != plan.fixed[key] and not is_under(key, axes):
            differing.append((key, was[key], plan.fixed[key]))
    if not differing:
        return []
    shown = "; ".join(
        f"{key} is {_short(a)} there and {_short(b)} here" for key, a, b in differing[:4]
    )
    more = f"; and {len(differing) - 4} more" if len(differing) > 4 else ""
    return [f"{start}: {shown}{more}; {way_out}"]


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(str(v) for v in value.values())
        return f"({inner})"
    return "null" if value is None else str(value)


def _mixed(plan: Plan, state: StudyState) -> list[str]:
    """Whether runs that are there were made by other code than is here now."""
    if plan.resume.get("mixed") or plan.resume.get("mode") == "force":
        return []
    now = Code(**code_version())
    others: dict[str, int] = {}
    for run in state.runs.values():
        was = run.record.code if run.record else None
        if was is not None and was != now and run.state in (*DONE, "interrupted", "running"):
            what = _difference(was, now)
            others[what] = others.get(what, 0) + 1
    return [
        f"study={plan.study} holds {count} run{'s' * (count > 1)} of {what}; type another study=…, "
        "resume.mixed=true to have both in one study, or resume=force to train all anew"
        for what, count in others.items()
    ]


def _difference(was: Code, now: Code) -> str:
    """In what two versions of the code differ, as in `other torch (2.1 there, 2.2 here)`."""
    pairs = {"code": (was.sha256[:12], now.sha256[:12]), "torch": (was.torch, now.torch)}
    return " and ".join(
        f"other {name} ({there} there, {here} here)"
        for name, (there, here) in pairs.items()
        if there != here
    )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process writes the ledger meanwhile."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".study.lock", timeout=WAIT):
            yield
    except Timeout:
        raise UserError(
            f"{folder / '.study.lock'} is held by another process for more than a minute; wait "
            "for it or end it"
        ) from None
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written to ({error.strerror or error}): mend that, or type "
            "another study=… or output_dir=…"
        ) from None


def begin(plan: Plan) -> StudyState:
    """Write the plan into the study's folder, beside what is there; returns what is there now.

    Raises UserError as `check` does: another process may have come first.
    """
    with _alone(plan.folder):
        state = read_study(plan.folder)
        check(plan, state)
        old = state.definition
        definition = plan.definition()
        compare = definition["compare"]
        for key, values in (old.get("compare") or {}).items():
            compare[key] = values + [v for v in compare.get(key, []) if v not in values]
        if definition["trials"] is not None:
            numbers = [definition["trials"], old.get("trials") or 0]
            definition["trials"] = max(numbers)
        command = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "command": shlex.join(["python", *(sys.argv if _is_command() else [])]),
        }
        definition["commands"] = [*(old.get("commands") or []), command]
        definition["code"] = code_version()
        definition["data"] = old.get("data") or {}
        text = json.dumps(definition, indent=2, ensure_ascii=False)
        write_text(plan.folder / "study.json", text + "\n")
        _write_trials(plan.folder, [*state.trials, *(t.row() for t in plan.trials)])
        return read_study(plan.folder, before=state)


def _is_command() -> bool:
    return bool(sys.argv and sys.argv[0])


def add(plan: Plan, before: StudyState, find: Callable[[StudyState], Sequence[Trial]]) -> None:
    """Write further trials, which `find` makes of the study as it is now, into trials.csv.

    No other process adds any meanwhile. before: an earlier look at the study.
    """
    with _alone(plan.folder):
        state = read_study(plan.folder, before=before)
        trials = find(state)
        if trials:
            _write_trials(plan.folder, [*state.trials, *(t.row() for t in trials)])


def _write_trials(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """All rows, each trial once, numbers in order."""
    unique = {(str(r["trial"]), r["arm"], r["run"]): r for r in rows}
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(sorted(unique.values(), key=lambda r: int(r["trial"] or 0)))
    write_text(folder / "trials.csv", out.getvalue())


def claim_data(folder: Path, key: str, data: Mapping[str, str], mixed: bool) -> None:
    """See that a run's data are those of the study's other runs.

    key: the settings that choose the data. The first run that has read them says what they are.
    Raises UserError where this run's are others and the study is not to be mixed.
    """
    path = folder / "study.json"

    def known() -> dict[str, Any]:
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    was = (known().get("data") or {}).get(key)
    if was is None:
        with _alone(folder):
            definition = known()
            if not definition:
                return
            was = definition.setdefault("data", {}).setdefault(key, dict(data))
            text = json.dumps(definition, indent=2, ensure_ascii=False)
            write_text(path, text + "\n")
    if was != dict(data) and not mixed:
        raise UserError(
            f"study={folder.name} has runs of {key} with sha256 {str(was.get('sha256'))[:12]}…, "
            f"which is now {data['sha256'][:12]}…; put the old data back, type another study=…, or "
            "resume.mixed=true resume.failed=true to have both in one study"
        )
