"""What came of each variant of a study: the numbers of its tables."""

from __future__ import annotations

import math
import shlex
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any

from odyssey.cli_utils import typed_as
from odyssey.config.seeds import SEED_KEYS
from odyssey.io import read_text
from odyssey.streams import clean_line
from odyssey.study.formatting import as_command, duration, number, several, short, words
from odyssey.study.state import LEFT, UNPLANNED, RunState, StudyState
from odyssey.training.record import COMMONEST
from odyssey.yaml_text import safe_load


@dataclass
class Variant:
    """The runs of one combination of compared values, seeds put together."""

    settings: dict[str, str]  # key -> value, as in {"cell": "gru"}; none for unplanned runs
    runs: list[RunState] = field(default_factory=list)

    @property
    def label(self) -> str:
        return " ".join(f"{k}={v}" for k, v in self.settings.items()) or UNPLANNED

    @property
    def counts(self) -> Counter[str]:
        """Runs by state, with `left` for those that are still to be trained."""
        found = Counter(run.state for run in self.runs)
        found["left"] = sum(found[state] for state in (*LEFT, "running"))
        return found

    @property
    def finished(self) -> list[RunState]:
        """Finished runs that have a validation value."""
        return [r for r in self.runs if r.state == "finished" and not math.isnan(r.value)]

    @property
    def best(self) -> RunState | None:
        """The finished run with the best validation value."""
        finished = self.finished
        if not finished:
            return None
        return (max if finished[0].mode == "max" else min)(finished, key=lambda r: r.value)

    @property
    def median(self) -> float:
        """Of the finished runs' validation values; nan if there are none."""
        return median(r.value for r in self.finished) if self.finished else math.nan

    @property
    def seconds(self) -> float:
        """Mean training time of the finished runs; nan if there are none."""
        times = [r.seconds for r in self.runs if r.state == "finished"]
        times = [t for t in times if not math.isnan(t)]
        return fmean(times) if times else math.nan

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        best, counts = self.best, self.counts
        states = ("finished", "diverged", "failed", "running", "left", "damaged")
        return {
            "variant": self.label,
            "planned": len(self.runs),
            **{state: counts[state] for state in states},
            "best": best and {"run": best.name, "valid": best.value, "test": best.test},
            "median": self.median,
            "mean_seconds": self.seconds,
        }


@dataclass
class Section:
    """Variants that can be ranked against each other: one task, data set and metric."""

    task: str
    data: str
    monitor: str
    mode: str
    variants: list[Variant]  # best first
    seeds: bool  # whether runs of a variant differ by their seed alone; then the median ranks

    @property
    def title(self) -> str:
        """`charlm on python: bits_per_char, smaller is better`."""
        on = f" on {self.data}" if self.data else ""
        if not self.monitor:
            return f"{self.task}{on}: nothing validated yet"
        better = "larger" if self.mode == "max" else "smaller"
        return f"{self.task}{on}: {self.monitor}, {better} is better"


Key = tuple[str, str, str, str]


def sections(study: StudyState) -> list[Section]:
    """The variants of a study, ranked among those of the same task, data and metric.

    Compared seeds are no variants of their own: `cell=gru seed=0` and `cell=gru seed=1` are one.
    """
    keys = _keys(study)
    found: dict[Key, dict[str, Variant]] = {}
    compared_seeds = False
    for label, runs in study.variants().items():
        pairs = [w.partition("=") for w in words(label)] if label != UNPLANNED else []
        settings = {k: v for k, _, v in pairs if k not in SEED_KEYS}
        compared_seeds |= len(settings) < len(pairs)
        for run in runs:
            own = settings if settings or not pairs else {"cell": run.cell}
            text = " ".join(f"{k}={v}" for k, v in own.items())
            variant = found.setdefault(keys[run.name], {}).setdefault(text, Variant(own))
            variant.runs.append(run)
    seeds = compared_seeds and not (study.record and study.record.space)
    return [
        Section(*key, _ranked(list(variants.values()), key[3], seeds), seeds)
        for key, variants in sorted(found.items())
    ]


def score(variant: Variant, seeds: bool) -> float:
    """What a variant is ranked by: the median over its seeds, or its best run's value."""
    if seeds:
        return variant.median
    return variant.best.value if variant.best else math.nan


def _ranked(variants: list[Variant], mode: str, seeds: bool) -> list[Variant]:
    """Best first; those without a value, and runs outside the plan, at the end."""
    sign = -1.0 if mode == "max" else 1.0

    def place(variant: Variant) -> tuple[bool, bool, float]:
        value = score(variant, seeds)
        none = math.isnan(value)
        return not variant.settings, none, 0.0 if none else sign * value

    return sorted(variants, key=place)


def _keys(study: StudyState) -> dict[str, Key]:
    """What each run is about; one that has not begun is as others of its variant, then its task."""
    known = {r.name: _key(r) for r in study.runs.values() if r.monitor}
    by_task: dict[str, Key] = {}
    for key in known.values():
        by_task.setdefault(key[0], key)
    found = {}
    for runs in study.variants().values():
        mates: dict[str, Key] = {}
        for run in runs:
            if run.name in known:
                mates.setdefault(run.task, known[run.name])
        for run in runs:
            other = mates.get(run.task) or by_task.get(run.task) or (run.task, "", "", "min")
            found[run.name] = known.get(run.name, other)
    return found


def _key(run: RunState) -> Key:
    return run.task, run.data, run.monitor, run.mode


FEW = 10  # failed runs that are all shown with their commands
BESIDE = ("diverged", "failed", "damaged", "left")  # said of a variant where there are such runs
WIDEST = 28  # characters of a value of an override


def closing_table(study: StudyState, width: int = 80, limit: int | None = None) -> str:
    """For each variant its runs, best run, median and time; the best variant first, with a star.

    width: of the terminal, in characters, for the notes and the names of long keys.
    limit: at most so many variants of each task.
    """
    found = sections(study)
    parts = [_section(section, width, limit) for section in found]
    if not any(variant.finished for section in found for variant in section.variants):
        return "\n\n".join(parts)
    notes = (
        "runs: finished of all; best: validation value of the best finished run, with its test "
        "value; median: of the finished runs' validation values. Diverged runs are in neither."
    )
    if any(s.seeds for s in found):
        notes += " Seeds of a variant are put together, and variants are ranked by the median."
    return "\n\n".join([*parts, textwrap.fill(notes, min(width, 100))])


def failures(study: StudyState, every: bool = False, width: int = 80) -> str:
    """Each failed or damaged run with its error, its log and the command that trains it alone.

    Of more than ten, those with the same error are one entry, unless `every` one is asked for.
    """
    failed = [r for r in study.runs.values() if r.state in ("failed", "damaged")]
    if not failed:
        return ""
    commands = {row.run: row.overrides for row in reversed(study.trials)}
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
    if run.later:
        return (
            "run.json is of a later version of Odyssey; update this one, or begin the run anew "
            "with this command"
        )
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
    parts = words(line)
    if run.state == "damaged":
        parts = [*(w for w in parts if not w.startswith("resume=")), "resume=force"]
    return f"{typed_as('train')} {as_command(parts)}".rstrip()


def alone(run: RunState) -> str:
    """What trains a run alone that is in no plan."""
    line = _overrides(run)
    return typed_as("train") + (" …" if line is None else f" {line}")


def _overrides(run: RunState) -> str | None:
    """The words that the run was started with, from its own folder."""
    import yaml  # type: ignore[import-untyped]

    try:
        found = safe_load(read_text(run.path / "overrides.yaml")[0])
    except (OSError, ValueError, yaml.YAMLError):
        return None
    return shlex.join(str(word) for word in found) if isinstance(found, list) else None


def _section(section: Section, width: int, limit: int | None) -> str:
    variants = section.variants[:limit]
    lines = _grid(section, variants, width)
    if len(variants) < len(section.variants):
        lines.append(
            f"  and {several(len(section.variants) - len(variants), 'variant')} more (--all)"
        )
    lines += [textwrap.fill(note, min(width, 100)) for note in _commonest_note(section)]
    return "\n".join([section.title, "", *lines])


def _commonest_note(section: Section) -> list[str]:
    """On runs whose test always answering the commonest class would equal."""
    records = [r.record for v in section.variants for r in v.finished if r.record is not None]
    known = [r for r in records if r.no_better_than_commonest() is not None]
    count = sum(r.no_better_than_commonest() is True for r in known)
    if not count:
        return []
    values = sorted({number(r.metrics[f"test/{COMMONEST}"]) for r in known})
    span = values[0] if len(values) == 1 else f"{values[0]} to {values[-1]}"
    return [
        f"{several(count, 'finished run')} of {len(known)} {'is' if count == 1 else 'are'} no "
        f"better in the test than always answering the commonest class (accuracy {span})."
    ]


def _grid(section: Section, variants: Sequence[Variant], width: int) -> list[str]:
    keys = list(dict.fromkeys(key for variant in variants for key in variant.settings))
    heads = [*keys, "runs", "best", "test", "median", "a run"]
    rows = []
    for place, variant in enumerate(variants):
        best, counts = variant.best, variant.counts
        star = "*" if place == 0 and best and len(section.variants) > 1 else " "
        named = [_value(variant, key) for key in keys]
        if keys and not variant.settings:
            named[0] = "(unplanned)"
        rows.append(
            [
                star,
                *named,
                f"{counts['finished']}/{len(variant.runs)}",
                *((number(best.value), number(best.test)) if best else ("-", "-")),
                number(variant.median),
                duration(variant.seconds),
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


def _value(variant: Variant, key: str) -> str:
    if key not in variant.settings:
        return ""
    value = clean_line(short(f"{key}={variant.settings[key]}")[len(key) + 1 :])
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
