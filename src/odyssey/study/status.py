"""`python scripts/status.py outputs/<study>`: how a study stands, from its folder alone."""

from __future__ import annotations

import argparse
import json
import math
import shlex
import shutil
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from odyssey.cli_utils import Parser, exit_status, paint, show, typed_as, typed_path
from odyssey.errors import UserError
from odyssey.streams import is_lost
from odyssey.study.formatting import as_number, differing, duration, number, several
from odyssey.study.progress import PAUSE, Progress, progress, throughput, time_left
from odyssey.study.state import LEFT, RunState, StudyState, not_a_study, read_study
from odyssey.study.store import StudyRecord
from odyssey.study.summary import alone, closing_table, failures, sections
from odyssey.study.wandb import log_summary, with_mode
from odyssey.training.record import DONE

MOST_COMMANDS = 5  # that are shown
SHOWN = 20  # variants of a table, and running runs, where not all are asked for
# A study's runs as a bar: one letter for each state, in this order.
LETTERS = {"finished": "#", "diverged": "d", "failed": "x", "damaged": "?", "running": ">"}


def text(study: StudyState, now: float, width: int = 80, every: bool = False) -> str:
    """The whole status, in `width` columns; `every` leaves no variant and no failure out."""
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
        "sweeper": study.record and study.record.sweeper,
        "compare": study.record and study.record.compare,
        "space": study.record and study.record.space,
        "plan": study.record and study.record.plan and asdict(study.record.plan),
        "runs": len(study.runs),
        "counts": study.counts(),
        "to_come": study.to_come,
        "commands_left": commands_left(study),
        "runs_an_hour": pace and pace.hourly,
        "time_left": time_left(study, now),
        "sections": [
            {
                "task": s.task,
                "data": s.data,
                "monitor": s.monitor,
                "mode": s.mode,
                "variants": [variant.plain() for variant in s.variants],
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
    record = study.record or StudyRecord()
    if record.compare:
        compared = "  ".join(f"{key}={_values(values)}" for key, values in record.compare.items())
        lines.append(f"compared  {compared}")
    if record.space:
        searched = "  ".join(f"{key} {_range(found)}" for key, found in record.space.items())
        lines.append(f"searched  {searched}  (trials for each variant: {record.trials})")
    if record.plan:
        lines.append(f"plan      {record.plan.in_words()}")
    lines += [f"dropped   {dropped.in_words()}" for dropped in record.dropped]
    wrapped = [
        line
        for long in lines
        for line in textwrap.wrap(long, width, subsequent_indent=" " * 10, break_on_hyphens=False)
    ]
    return "\n".join([*wrapped, *study.notes])


def _values(found: Any) -> str:
    values = found if isinstance(found, list) else [found]
    return ",".join("+".join(map(str, v)) if isinstance(v, list) else str(v) for v in values)


def _range(found: Mapping[str, Any]) -> str:
    """A distribution of the search space."""
    if "low" in found and "high" in found:
        span = f"{as_number(found['low']):g}–{as_number(found['high']):g}"
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
    running, before = counts["running"], len(lines)
    if running:
        least = "unknown until a run is finished" if rest is None else f"about {duration(rest)}"
        lines.append(f"time left {least}, with {several(running, 'run')} at a time")
        lines += _goes_on(study, "what has not begun is")
    elif left:
        start = "time left unknown, since nothing runs; "
        lines += _goes_on(study, start.removesuffix("; ") + ", and what is left is")
        if len(lines) == before:
            lines += [f"{start}the same command goes on:", f"    {_one_command(study)}"]
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


def commands_left(study: StudyState) -> dict[str, int]:
    """Command -> how many of the runs that are left it would train, the latest one first.

    Of a run in the plans of several commands it is the latest. Trials that an adaptive search has
    yet to propose are the last command's. A run outside of every plan has its own command.
    """
    commands = study.record.commands if study.record else []
    last = commands[-1].command if commands else f"{typed_as('train')} -m …"
    rows = {row.run: row for row in reversed(study.trials)}
    for row in study.trials:
        if row.command is not None and row.command >= (rows[row.run].command or -1):
            rows[row.run] = row
    found: Counter[str] = Counter()
    for run in study.runs.values():
        if run.state not in LEFT:
            continue
        if run.name not in rows:
            found[alone(run)] += 1
            continue
        number = rows[run.name].command
        known = number is not None and number < len(commands)
        command = commands[number or 0].command if known else last
        found[_without_dropped(command, study)] += 1
    if study.to_come:
        found[_without_dropped(last, study)] += study.to_come
    order = [_without_dropped(command.command, study) for command in reversed(commands)]
    return {c: found[c] for c in sorted(found, key=lambda c: order.index(c) if c in order else -1)}


def _without_dropped(command: str, study: StudyState) -> str:
    """A command less the compared values that were dropped from the study."""
    compare = study.record.compare if study.record else {}
    try:
        line = shlex.split(command)
    except ValueError:
        return command
    found = []
    for word in line:
        key, equals, text = word.partition("=")
        values = [v.strip() for v in text.split(",")]
        there = {str(value) for value in compare.get(key, [])}
        if len(values) > 1 and there.intersection(values) and not set(text) & set("()[]{}'\""):
            word = f"{key}{equals}{','.join(v for v in values if v in there)}"
        found.append(word)
    return command if found == line else shlex.join(found)


def _one_command(study: StudyState) -> str:
    return next(iter(commands_left(study)))


def _goes_on(study: StudyState, start: str) -> list[str]:
    """The commands of the runs that are left, where these are of more than one."""
    left = commands_left(study)
    if len(left) < 2:
        return []
    lines = [f"{start} of {len(left)} commands:"]
    for command, runs in [*left.items()][:MOST_COMMANDS]:
        lines += [f"  {several(runs, 'run')}:", f"    {command}"]
    if len(left) > MOST_COMMANDS:
        lines.append(f"  and {len(left) - MOST_COMMANDS} more commands (--json has all)")
    return lines


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


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0; 2 wrong input; 130 Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    return exit_status(lambda: _answer(words))


def _answer(words: list[str]) -> None:
    asked = _parser().parse_args(with_mode(_with_seconds(words)))
    if asked.watch is not None and not (asked.watch > 0 and math.isfinite(asked.watch)):
        raise UserError(f"--watch {asked.watch:g} is out of range: type seconds above 0")
    if asked.wandb is None and (asked.project or asked.entity):
        raise UserError("--project and --entity are W&B's: type --wandb too")
    folder = _study_folder(asked.study)
    _show(folder, asked)
    if asked.wandb is not None:
        said = log_summary(folder, asked.wandb, asked.project, asked.entity)
        show(f"\n{said}", sys.stderr if asked.json else sys.stdout)


def _show(folder: Path, asked: argparse.Namespace) -> None:
    terminal = sys.stdout.isatty()
    study = None
    while True:
        study = read_study(folder, study)
        size = shutil.get_terminal_size((100, 24))
        now = time.time()
        if asked.json:
            page = json.dumps(plain(study, now), indent=None if asked.watch else 2)
        else:
            page = text(study, now, min(size.columns, 120), asked.all)
        if asked.watch is None:
            show(page, colours=not asked.json)
            return
        left = any(r.state in (*LEFT, "running") for r in study.runs.values())
        over = not left and not study.to_come
        if asked.json:
            show(page, colours=False)
        elif terminal:
            # The page is whole once it is over: nothing will draw over what scrolls away.
            page = page if over else _fitting(page, size.lines)
            print(f"\x1b[H\x1b[2J{paint(page)}", flush=True)
        else:
            show(page, end="\n\n")
        if over or is_lost(sys.stdout):
            return
        time.sleep(asked.watch)


def _fitting(page: str, height: int) -> str:
    lines = page.splitlines()
    if len(lines) < height:
        return page
    return "\n".join([*lines[: height - 2], f"… {len(lines) - height + 2} lines more"])


def _parser() -> argparse.ArgumentParser:
    parser = Parser("status", __doc__.partition(": ")[2])
    add = parser.add_argument
    add(
        "study",
        metavar="STUDY",
        type=typed_path,
        nargs="?",
        help="a study's folder, outputs/<study>",
    )
    add(
        "--watch",
        type=float,
        metavar="SECONDS",
        help="again every so many seconds (2 if none are given), until nothing is left to do",
    )
    add("--json", action="store_true", help="for other programs; with --watch a line each time")
    add("--all", action="store_true", help="every variant, every running run, every failure")
    add(
        "--wandb",
        metavar="MODE",
        help="also log the tables as a W&B run of the study's group: offline or online; as its "
        "runs are where neither is given. With --watch, at the end",
    )
    add("--project", help="W&B project of --wandb; that of the study's runs where none is given")
    add("--entity", help="W&B user or team of --wandb; that of the study's runs")
    return parser


def _with_seconds(words: list[str]) -> list[str]:
    """`--watch` alone, or before the study's folder, is `--watch 2`."""
    found = []
    for place, word in enumerate(words):
        found.append(word)
        after = words[place + 1] if place + 1 < len(words) else ""
        if word == "--watch" and math.isnan(as_number(after)):
            found.append("2")
    return found


def _study_folder(path: Path | None) -> Path:
    """The folder, if it is a study's. Raises UserError that says what it is else."""
    if path is None:
        raise UserError(f"no study is given: {example()}")
    if wrong := not_a_study(path, example()):
        raise UserError(wrong)
    return path


def example() -> str:
    """What to type where no study, or none that there is, was given."""
    return f"type a study's folder, as in {typed_as('status')} outputs/truncation"
