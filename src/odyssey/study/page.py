"""A study's status as a page of text, and as plain values for other programs."""

from __future__ import annotations

import math
import textwrap
from typing import Any

from odyssey.study.arms import sections
from odyssey.study.progress import Progress, progress
from odyssey.study.rates import PAUSE, throughput, time_left
from odyssey.study.records import DONE, LEFT, RunState, StudyState, as_float
from odyssey.study.shown import differing, duration, number, several
from odyssey.study.table import closing_table, failures

SHOWN = 20  # arms of a table, and running runs, where not all are asked for
# A study's runs as a bar: one letter for each state, in this order.
LETTERS = {"finished": "#", "diverged": "d", "failed": "x", "damaged": "?", "running": ">"}


def text(study: StudyState, now: float, width: int = 80, every: bool = False) -> str:
    """The whole status, in `width` columns; `every` leaves no arm and no failure out."""
    parts = [_head(study, width), _state(study, now, width)]
    parts.append(_running(study, now, width, every))
    parts.append(closing_table(study, width, None if every else SHOWN))
    parts.append(failures(study, every))
    return "\n\n".join(part for part in parts if part)


def plain(study: StudyState, now: float) -> dict[str, Any]:
    """The same for other programs; nan and inf are null, times are seconds."""
    pace = throughput(study, now)
    running = [r for r in study.runs.values() if r.state == "running"]
    failed = [r for r in study.runs.values() if r.state in ("failed", "damaged")]
    content = {
        "study": study.name,
        "folder": str(study.folder),
        "sweeper": study.definition.get("sweeper"),
        "compare": study.definition.get("compare"),
        "space": study.definition.get("space"),
        "runs": len(study.runs),
        "counts": study.counts(),
        "to_come": study.to_come,
        "runs_an_hour": pace and pace.hourly,
        "time_left": time_left(study, now),
        "sections": [
            {
                "task": s.task,
                "data": s.data,
                "monitor": s.monitor,
                "mode": s.mode,
                "arms": [arm.plain() for arm in s.arms],
            }
            for s in sections(study)
        ],
        "running": [{"run": r.name, **vars(progress(r))} for r in running],
        "failed": [{"run": r.name, "state": r.state, "error": r.error} for r in failed],
        "notes": study.notes,
    }
    return _finite(content)


def _head(study: StudyState, width: int) -> str:
    """What the study is about."""
    lines = [f"{study.name}: {several(len(study.runs) + study.to_come, 'run')}"]
    compare, space = study.definition.get("compare"), study.definition.get("space")
    if isinstance(compare, dict) and compare:
        said = "  ".join(f"{key}={_values(found)}" for key, found in compare.items())
        lines.append(f"compared  {said}")
    if isinstance(space, dict) and space:
        said = "  ".join(f"{key} {_range(found)}" for key, found in space.items())
        how = f"trials for each arm: {study.definition.get('trials')}"
        lines.append(f"searched  {said}  ({how})")
    wrapped = [
        line
        for long in lines
        for line in textwrap.wrap(long, width, subsequent_indent=" " * 10, break_on_hyphens=False)
    ]
    return "\n".join([*wrapped, *study.notes])


def _values(found: Any) -> str:
    values = found if isinstance(found, list) else [found]
    return ",".join("+".join(map(str, v)) if isinstance(v, list) else str(v) for v in values)


def _range(found: Any) -> str:
    if not isinstance(found, dict):
        return str(found)
    if "low" in found and "high" in found:
        span = f"{as_float(found['low']):g}–{as_float(found['high']):g}"
        return f"{found.get('distribution', '')} {span}".strip()
    rest = [v for k, v in found.items() if k != "distribution"]
    return f"{found.get('distribution', '')} {' '.join(_values(v) for v in rest)}".strip()


def _state(study: StudyState, now: float, width: int) -> str:
    """The bar, what it counts, the pace and the time left."""
    counts = study.counts()
    total = len(study.runs) + study.to_come
    left = sum(counts[s] for s in LEFT) + study.to_come
    done = sum(counts[s] for s in DONE)
    lines = [_bar(counts, total, min(width, 100) - 2)]
    said = [f"{counts[s]:,} {s} ({letter})" for s, letter in LETTERS.items() if counts[s]]
    cut = f" ({counts['interrupted']:,} interrupted)" * (counts["interrupted"] > 0)
    told = f"{done:,} of {total:,} done: " + ", ".join([*said, f"{left:,} left{cut}"])
    lines += _wrapped(told, width)
    pace, rest = throughput(study, now), time_left(study, now)
    if pace:
        lines += _wrapped(
            f"{pace.hourly:,.0f} runs an hour: {pace.runs:,} done in the last "
            f"{duration(pace.seconds)} of work (a pause of over {duration(PAUSE)} ends a period)",
            width,
        )
    running = counts["running"]
    if running:
        least = "unknown until a run is finished" if rest is None else f"about {duration(rest)}"
        lines.append(f"time left {least}, with {several(running, 'run')} at a time")
    elif left:
        command = _last_command(study)
        lines.append("time left unknown, since nothing runs; the same command goes on:")
        lines.append(f"    {command}") if command else lines.append("    python train.py -m …")
    elif total == done:
        lines.append("all done")
    else:
        lines.append("nothing left to do but what failed")
    return "\n".join(lines)


def _wrapped(line: str, width: int) -> list[str]:
    return textwrap.wrap(line, width, subsequent_indent="    ")


def _bar(counts: dict[str, int], total: int, width: int) -> str:
    """Every state that occurs has at least one letter."""
    cells, drawn = "", 0
    for state, letter in LETTERS.items():
        drawn += counts[state]
        upto = round(drawn / max(total, 1) * width)
        cells += letter * max(upto - len(cells), counts[state] > 0)
    return f"[{cells[:width].ljust(width, '.')}]"


def _last_command(study: StudyState) -> str:
    commands = study.definition.get("commands")
    if isinstance(commands, list) and commands and isinstance(commands[-1], dict):
        return str(commands[-1].get("command") or "")
    return ""


def _running(study: StudyState, now: float, width: int, every: bool) -> str:
    running = [r for r in study.runs.values() if r.state == "running"]
    if not running:
        return ""
    names = differing(study.trials)
    lines = [f"running: {len(running)}"]
    for run in running if every else running[:SHOWN]:
        lines.append(f"  {_progress(run, progress(run), now)}  {names.get(run.name, run.name)}")
    if len(lines) <= len(running):
        lines.append(f"  and {len(running) - len(lines) + 1} more (--all)")
    return "\n".join(lines)


def _progress(run: RunState, at: Progress, now: float) -> str:
    if at.step is None:
        return "starting".ljust(49)
    value = "" if at.value is None else f"valid {number(at.value)}"
    ago = "" if at.time is None else f"{duration(max(now - at.time, 0.0))} ago"
    return f"step {at.step:<6,} epoch {at.epoch or 0:<6.2f} {value:<13} {ago:>10}"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
