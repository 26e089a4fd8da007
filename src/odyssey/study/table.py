"""A study's tables, in plain text: the arms with their best runs, and what failed."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Sequence

from odyssey.study.arms import Arm, Section, sections
from odyssey.study.records import RunState, StudyState
from odyssey.study.shown import duration, number, several, short, words

FEW = 10  # failed runs that are all shown with their commands
BESIDE = ("diverged", "failed", "damaged", "left")  # said of an arm where there are such runs
WIDEST = 28  # characters of a value of an override


def closing_table(study: StudyState, width: int = 80, limit: int | None = None) -> str:
    """For each arm its runs, its best run, its median and its time; best arm first, with a star.

    width: of the terminal, in characters, for the notes and the names of long keys.
    limit: at most so many arms of each task.
    """
    found = sections(study)
    parts = [_section(section, width, limit) for section in found]
    if not any(arm.finished for section in found for arm in section.arms):
        return "\n\n".join(parts)
    notes = (
        "runs: finished of all; best: validation value of the best finished run, with its test "
        "value; median: of the finished runs' validation values. Diverged runs are in neither."
    )
    if any(s.seeds for s in found):
        notes += " Seeds of an arm are put together, and arms are ranked by the median."
    return "\n\n".join([*parts, textwrap.fill(notes, min(width, 100))])


def failures(study: StudyState, every: bool = False, width: int = 80) -> str:
    """Each failed or damaged run with its error, its log and the command that trains it alone.

    Of more than ten, those with the same error are one entry, unless `every` one is asked for.
    """
    failed = [r for r in study.runs.values() if r.state in ("failed", "damaged")]
    if not failed:
        return ""
    commands = {trial["run"]: trial["overrides"] for trial in reversed(study.trials)}
    same: dict[str, list[RunState]] = {}
    for run in failed:
        alone = every or len(failed) <= FEW
        same.setdefault(f"{run.name if alone else ''} {_why(run)}", []).append(run)
    lines = [f"{several(len(failed), 'run')} failed:"]
    for runs in same.values():
        first = runs[0]
        lines += [f"  {first.name}", textwrap.shorten(_why(first), 400)]
        log = study.folder / "logs" / f"{first.name}.log"
        if log.exists():
            lines.append(f"log {log}")
        lines.append(_command(first, commands))
        if len(runs) > 1:
            lines.append(f"and {len(runs) - 1} more with the same error (--all shows each)")
    # A command is never wrapped: it is there to be copied.
    return "\n".join(
        line if line[0] == " " or line is lines[0] else f"    {line}" for line in lines
    )


def _why(run: RunState) -> str:
    if run.state == "damaged":
        return "run.json is not readable; mend it, or begin the run anew with this command"
    return run.error or "no error is recorded"


def _command(run: RunState, commands: dict[str, str]) -> str:
    """What trains the run alone."""
    line = commands.get(run.name)
    if line is None:
        line = _overrides(run)
    if line is None:
        return "its overrides.yaml is not readable, so no command can be given"
    if run.state == "damaged":
        kept = [w for w in words(line) if not w.startswith("resume=")]
        line = shlex.join([*kept, "resume=force"])
    return f"python train.py {line}".rstrip()


def _overrides(run: RunState) -> str | None:
    """The words that the run was started with, from its own folder."""
    import yaml  # type: ignore[import-untyped]

    try:
        found = yaml.safe_load((run.path / "overrides.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None
    return shlex.join(str(word) for word in found) if isinstance(found, list) else None


def _section(section: Section, width: int, limit: int | None) -> str:
    arms = section.arms[:limit]
    lines = _grid(section, arms, width)
    if len(arms) < len(section.arms):
        lines.append(f"  and {several(len(section.arms) - len(arms), 'arm')} more (--all)")
    return "\n".join([section.title, "", *lines])


def _grid(section: Section, arms: Sequence[Arm], width: int) -> list[str]:
    keys = list(dict.fromkeys(key for arm in arms for key in arm.settings))
    heads = [*keys, "runs", "best", "test", "median", "a run"]
    rows = []
    for place, arm in enumerate(arms):
        best, counts = arm.best, arm.counts
        star = "*" if place == 0 and best and len(section.arms) > 1 else " "
        named = [_value(arm, key) for key in keys]
        if keys and not arm.settings:
            named[0] = "(unplanned)"
        rows.append(
            [
                star,
                *named,
                f"{counts['finished']}/{len(arm.runs)}",
                *((number(best.value), number(best.test)) if best else ("-", "-")),
                number(arm.median),
                duration(arm.seconds),
                ", ".join(f"{counts[state]} {state}" for state in BESIDE if counts[state]),
            ]
        )
    heads.append("")
    lines = _aligned([["", *heads], *rows], len(keys))
    if max(map(len, lines)) > width:
        last = [key.rpartition(".")[2] for key in keys]
        heads[: len(keys)] = last if len(set(last)) == len(last) else keys
        lines = _aligned([["", *heads], *rows], len(keys))
    return lines


def _value(arm: Arm, key: str) -> str:
    if key not in arm.settings:
        return ""
    value = short(f"{key}={arm.settings[key]}")[len(key) + 1 :]
    return value if len(value) <= WIDEST else f"{value[: WIDEST - 1]}…"


def _aligned(rows: list[list[str]], texts: int) -> list[str]:
    """Columns, two spaces between them: star, `texts` and the last to the left, numbers right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            c.ljust(w) if i <= texts or i == len(row) - 1 else c.rjust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(f"{cells[0]} {'  '.join(cells[1:])}".rstrip())
    return lines
