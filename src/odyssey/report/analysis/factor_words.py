"""The factors of an analysis in sentences, and where the analysis gets them from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from odyssey.report.analysis.decisions import (
    BETTER,
    CANNOT_TELL,
    NO_DIFFERENCE,
    SAME,
    SEARCH,
    SINGLE,
    WORSE,
    Sample,
)
from odyssey.report.analysis.factors import (
    DEPENDS,
    DOUBLING,
    INTERACTION,
    MAIN,
    NO_INTERACTION,
    SIMPLE,
    Effect,
    Factors,
    decide_effects,
)
from odyssey.report.analysis.grids import Grid, find_grid
from odyssey.report.analysis.options import Options
from odyssey.report.analysis.planned import exploratory
from odyssey.report.analysis.result import Analysis, Comparison, Summary
from odyssey.report.analysis.verdicts import design_of, marks, preliminary, undesigned
from odyssey.report.stats.samples import Interval
from odyssey.study.formatting import several

MOST_NAMED = 4  # effects of one word with their numbers in a sentence, the largest first
WHY = {
    SEARCH: (
        "this is a search, and which trials of a combination are its best follows from all of "
        "them: means of such are no sample to average over levels. Repeat the best settings with "
        "fresh seeds, and that study's report has the effects"
    ),
    SINGLE: (
        "each combination has one run, and chance cannot be told from an effect: add seeds, as in "
        "seed=0,1,2,3,4"
    ),
}


CROSSED_SEEDS = (
    "the seeds vary crosswise, so that runs share some of them and are no independent draws; "
    "repeat with one seed a run, as in seed=range(0,5)"
)


def analyse_factors(analysis: Analysis, options: Options) -> Factors | None:
    """The factors of a grid of variants, with their effects if seeds were repeated, or None."""
    comparison = analysis.comparison
    grid = grid_of(comparison)
    if grid is None:
        return None
    by_label = {s.variant.label: s for s in analysis.summaries}
    cells = [by_label[label] for label in grid.cells]
    design = design_of(
        comparison, analysis.summaries, analysis.better, options, analysis.metric.name
    )
    why = WHY.get(comparison.kind) or _why_not(comparison, cells)
    why = why or (CROSSED_SEEDS if design.crossed else "")
    effects: Sequence[Effect] = ()
    if not why:
        samples = {s.variant.label: _sample(s) for s in cells}
        effects = decide_effects(grid, samples, design.paired, analysis.better, options)
    return Factors(
        grid=grid,
        effects=effects,
        paired=design.paired,
        alpha=options.alpha,
        margin=options.margin,
        why=why,
        preliminary="" if why else preliminary(comparison, *cells),
        exploratory=exploratory(analysis.late, any(e.conclusion == SAME for e in effects)),
    )


def grid_of(comparison: Comparison) -> Grid | None:
    """The grid of a comparison's variants; None where they are none."""
    together = [tuple(entry.split(",")) for study in comparison.studies for entry in study.compare]
    settings = {v.label: v.settings for v in comparison.variants}
    return find_grid(settings, comparison.baseline, together)


def _why_not(comparison: Comparison, cells: Sequence[Summary]) -> str:
    """Why the runs of a grid were not made to be compared; empty if they were."""
    base = next(s for s in cells if s.variant.label == comparison.baseline)
    reasons = (undesigned(comparison, one, base) for one in cells if one is not base)
    return next(filter(None, reasons), "")


def _sample(summary: Summary) -> Sample:
    test = np.array([o.test for o in summary.outcomes], dtype=float)
    return Sample(test, test, [o.run.drawn_from for o in summary.outcomes])


# --- sentences ---


def sentences(factors: Factors, unit: str) -> list[tuple[str, str]]:
    """What the factors do: what each sentence is about, and the sentence."""
    grid = factors.grid
    if factors.why:
        return [(grid.name, f"no effects are told: {factors.why}")]
    found = []
    for i, factor in enumerate(grid.factors):
        over = " and ".join(f.name for f in grid.factors if f is not factor)
        said = _said(factors.of(MAIN, i), factor.levels[factor.reference], factors, unit)
        found.append((factor.name, f"averaged over {over}: {said}"))
    for i, factor in enumerate(grid.factors):
        if simple := factors.of(SIMPLE, i):
            over = " and ".join(f.name for f in grid.factors if f is not factor)
            reference = factor.levels[factor.reference]
            found.append((f"{factor.name} within {over}", _within(simple, reference, unit)))
    for effects in _pairs(factors):
        first, second = (grid.factors[i].name for i in effects[0].factors)
        found.append((f"{first} by {second}", _interaction(effects, factors, unit)))
    before = marks(factors.preliminary, factors.exploratory)
    return [(what, before + said) for what, said in found]


def headlines(factors: Factors, unit: str) -> list[tuple[str, str]]:
    """The sentences without those on single cells: main effects and interactions."""
    return [(what, said) for what, said in sentences(factors, unit) if " within " not in what]


def about(factors: Factors) -> str:
    """How the sentences are to be read: what was corrected, what was left out."""
    grid, found = factors.grid, []
    if factors.effects:
        counts = [
            f"{len(factors.of(MAIN))} effects averaged over the other factors",
            f"{len(factors.of(SIMPLE))} within single levels of them",
            f"{len(factors.of(INTERACTION))} interactions",
        ]
        how = (
            "Student's t over seeds, each of which gives one value of an effect"
            if factors.paired
            else "Welch's t, since the seeds are not shared"
        )
        found.append(
            f"By {how}. Three families of tests, {counts[0]}, {counts[1]} and {counts[2]}, are "
            f"corrected each by itself (Holm, level {factors.alpha:g}); limits in brackets hold "
            "for a family at once."
        )
        lost = sorted({e.dropped for e in factors.effects if e.dropped})
        if lost:
            found.append(
                "A seed that lacks a value in one of the cells of an effect is left out of it: "
                f"up to {several(lost[-1], 'seed')}. Runs that were lost favour the cell that lost "
                "them here; the verdicts tell whether they differ."
            )
    if grid.left_out:
        names = ", ".join(grid.left_out[:MOST_NAMED])
        more = f" and {len(grid.left_out) - MOST_NAMED} more" * (len(grid.left_out) > MOST_NAMED)
        found.append(f"Not in the grid, as combinations of them are missing: {names}{more}.")
    if grid.along:
        found.append(f"With the factors goes {' and '.join(grid.along)}.")
    return " ".join(found)


def factors_as_plain(factors: Factors | None, unit: str) -> dict[str, Any] | None:
    """For verdict.json: the grid, the sentences, and every effect with its numbers."""
    if factors is None:
        return None
    grid = factors.grid
    return {
        "factors": [
            {
                "name": f.name,
                "settings": list(f.keys),
                "levels": list(f.levels),
                "reference": f.levels[f.reference],
            }
            for f in grid.factors
        ],
        "left_out": list(grid.left_out),
        "why_not": factors.why,
        "preliminary": factors.preliminary,
        "test": "" if factors.why else test_name(factors),
        "sentences": [f"{what}: {said}" for what, said in sentences(factors, unit)],
        "effects": [_effect_as_plain(effect, grid) for effect in factors.effects],
    }


def _effect_as_plain(effect: Effect, grid: Grid) -> dict[str, Any]:
    found = {k: v for k, v in vars(effect).items() if k not in ("conclusion", "factors", "levels")}
    return {
        "word": effect.conclusion,
        "factors": [grid.factors[i].name for i in effect.factors],
        "contrast": contrast_name(effect, grid),
        **found,
        "at": where(effect, grid),
    }


def test_name(factors: Factors) -> str:
    """Of the test that decides."""
    return "t over seeds" if factors.paired else "Welch"


def contrast_name(effect: Effect, grid: Grid) -> str:
    """`gru - rnn`, `each doubling`, `(gru - rnn) × (32 - 8)`."""
    parts = []
    for place, level in zip(effect.factors, effect.levels, strict=True):
        factor = grid.factors[place]
        reference = factor.levels[factor.reference]
        parts.append(level if level == DOUBLING else f"{level} − {reference}")
    return parts[0] if len(parts) == 1 else " × ".join(f"({part})" for part in parts)


def where(effect: Effect, grid: Grid) -> str:
    """Of a simple effect, the levels of the other factors: `hidden units 32`."""
    others = [f for i, f in enumerate(grid.factors) if i not in effect.factors]
    if effect.family == SIMPLE:
        pairs = zip(others, effect.at, strict=True)
        return ", ".join(f"{factor.name} {level}" for factor, level in pairs)
    return f"mean over {' and '.join(f.name for f in others)}" if others else ""


def _pairs(factors: Factors) -> list[list[Effect]]:
    """The interactions, those of each pair of factors together."""
    found: dict[tuple[int, ...], list[Effect]] = {}
    for effect in factors.of(INTERACTION):
        found.setdefault(effect.factors, []).append(effect)
    return list(found.values())


def _said(effects: Sequence[Effect], reference: str, factors: Factors, unit: str) -> str:
    """The main effects of one factor, by their words."""
    parts = []
    for word in (BETTER, WORSE):
        here = _largest([e for e in effects if e.conclusion == word and not e.trend])
        if here:
            named = [f"{e.levels[0]} by {_size(e, unit)}" for e in here[:MOST_NAMED]]
            named += [f"{len(here) - MOST_NAMED} more"] * (len(here) > MOST_NAMED)
            parts.append(f"{word} than {reference}: {', '.join(named)}")
    for word in (SAME, NO_DIFFERENCE, CANNOT_TELL):
        here = [e for e in effects if e.conclusion == word and not e.trend]
        if here:
            parts.append(_undecided(word, here, reference, factors, unit))
    parts += [_doubling(e, unit) for e in effects if e.trend]
    return "; ".join(parts)


def _undecided(
    word: str, effects: Sequence[Effect], reference: str, factors: Factors, unit: str
) -> str:
    names = _names([e.levels[0] for e in effects])
    if word == SAME:
        return f"the same as {reference} within {factors.margin:g} {unit}: {names}"
    if word == CANNOT_TELL:
        return f"cannot tell for {names}{_needs(effects[0])}: {effects[0].reason}"
    return f"no difference from {reference} found for {names}{_would(effects, unit)}"


def _doubling(effect: Effect, unit: str) -> str:
    if effect.conclusion in (BETTER, WORSE):
        return f"{DOUBLING}: {effect.conclusion} by {_size(effect, unit)}"
    if effect.conclusion == CANNOT_TELL:
        return f"whether a doubling matters cannot be told{_needs(effect)}"
    return f"no trend over doublings found{_would([effect], f'{unit} a doubling')}"


def _within(effects: Sequence[Effect], reference: str, unit: str) -> str:
    """The simple effects of one factor: which levels differ where."""
    parts = []
    for word in (BETTER, WORSE, SAME, CANNOT_TELL):
        here = [e for e in effects if e.conclusion == word]
        places: dict[str, list[str]] = {}
        for e in here:
            places.setdefault(e.levels[0], []).append(" and ".join(e.at))
        named = [f"{level} at {_names(at)}" for level, at in places.items()]
        lead = {
            BETTER: f"better than {reference}: ",
            WORSE: f"worse than {reference}: ",
            SAME: f"the same as {reference}: ",
            CANNOT_TELL: "cannot tell: ",
        }[word]
        if named:
            parts.append(lead + ", ".join(named))
    none = [e for e in effects if e.conclusion == NO_DIFFERENCE]
    if none:
        rest = "the others" if parts else f"any of {len(effects)}"
        parts.append(f"no difference from {reference} found in {rest}{_would(none, unit)}")
    return "; ".join(parts)


def _interaction(effects: Sequence[Effect], factors: Factors, unit: str) -> str:
    """Whether the effect of one factor depends on the level of another."""
    grid = factors.grid
    first, second = (grid.factors[i].name for i in effects[0].factors)
    found = _largest([e for e in effects if e.conclusion == DEPENDS])
    if found:
        named = [
            f"{contrast_name(e, grid)}: {e.difference.value:+.3g} {unit} "
            f"{_limits(e.difference)}, Holm p = {e.holm_p:.2g}"
            for e in found[:MOST_NAMED]
        ]
        more = f", and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
        return f"the effect of {first} depends on {second}: {'; '.join(named)}{more}"
    levels = [e for e in effects if not e.trend]
    if all(e.conclusion == SAME for e in levels):
        return f"no interaction larger than {factors.margin:g} {unit}"
    if all(e.conclusion == CANNOT_TELL for e in levels):
        return f"cannot tell whether they interact{_needs(levels[0])}: {levels[0].reason}"
    return f"{NO_INTERACTION}{_would(levels, unit)}"


def _largest(effects: Sequence[Effect]) -> list[Effect]:
    """The largest few first, in the order of their levels; then the rest."""
    by_size = sorted(effects, key=lambda e: -abs(e.difference.value))
    first = by_size[:MOST_NAMED]
    return [*(e for e in effects if e in first), *by_size[MOST_NAMED:]]


def _names(names: Sequence[str]) -> str:
    kept = list(names[:MOST_NAMED])
    if len(names) > MOST_NAMED + 1:
        return f"{', '.join(kept)} and {len(names) - MOST_NAMED} more"
    kept = list(names)
    return f"{', '.join(kept[:-1])} and {kept[-1]}" if len(kept) > 1 else kept[0]


def _size(effect: Effect, unit: str) -> str:
    d = effect.difference
    text = f"{abs(d.value):.3g} {unit} {_limits(d)}, Holm p = {effect.holm_p:.2g}"
    if effect.dropped:
        text += f", without {effect.dropped} of {effect.n + effect.dropped} seeds"
    return text


def _limits(interval: Interval) -> str:
    return f"({interval.low:+.3g} to {interval.high:+.3g})"


def _would(effects: Sequence[Effect], unit: str) -> str:
    """The least difference that would have been found wherever it was."""
    sizes = [e.detectable for e in effects if math.isfinite(e.detectable)]
    return f"; this study would have found one of {max(sizes):.2g} {unit}" if sizes else ""


def _needs(effect: Effect) -> str:
    return f" (needs {effect.needed} seeds)" if effect.needed is not None else ""
