"""Each variant against the baseline: the tests, and what may be said after them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from odyssey.report.options import Options
from odyssey.report.result import SEARCH, Comparison, Outcome, Summary, Verdict
from odyssey.report.statistics.correction import bonferroni, holm
from odyssey.report.statistics.effect import hedges_g
from odyssey.report.statistics.equivalence import tost
from odyssey.report.statistics.improvement import probability
from odyssey.report.statistics.interval import Interval
from odyssey.report.statistics.paired import Paired, paired
from odyssey.report.statistics.tests import brunner_munzel, welch

NONE = Interval(math.nan, math.nan, math.nan)
FEW = 5  # chosen runs, below which a test leans on what it cannot check


def verdicts(
    comparison: Comparison,
    summaries: Sequence[Summary],
    better: str,
    options: Options,
    unit: str,
) -> list[Verdict]:
    """One verdict for each variant but the baseline, corrected over all of them.

    Decided by Welch's test with Holm's correction; by Brunner and Munzel's, with the same
    correction, where one of the chosen runs diverged or failed, since a mean cannot hold it.
    `same` takes the two one-sided tests, Holm-corrected as well.
    """
    base = next(s for s in summaries if s.variant.label == comparison.baseline)
    others = [s for s in summaries if s is not base]
    found = [_tested(comparison, s, base, better, options) for s in others]
    welch_p = [v.welch_p for v in found]
    corrected = zip(
        found,
        bonferroni(welch_p),
        holm(welch_p),
        holm([v.brunner_p for v in found]),
        holm([v.equivalence_p for v in found]),
        strict=True,
    )
    judged = []
    for verdict, by_bonferroni, by_holm, ranks, equivalence in corrected:
        verdict = replace(
            verdict,
            bonferroni_p=float(by_bonferroni),
            holm_p=float(by_holm),
            equivalence_holm_p=float(equivalence),
        )
        judged.append(_judged(verdict, float(ranks), better, options, unit))
    return judged


def _tested(
    comparison: Comparison, one: Summary, base: Summary, better: str, options: Options
) -> Verdict:
    """The uncorrected numbers; no word yet."""
    a, b = _tests(one.chosen), _tests(base.chosen)
    finite_a, finite_b = a[np.isfinite(a)], b[np.isfinite(b)]
    by_means = welch(finite_a, finite_b)
    by_ranks = brunner_munzel(a, b)
    same = tost(finite_a, finite_b, options.margin, options.alpha)
    lost = (a.size - finite_a.size) + (b.size - finite_b.size)
    notes = []
    if lost:
        notes.append(
            f"{lost} of the runs that are compared diverged or failed: means leave them out, so "
            "the ranks decide, in which they are the worst"
        )
    if 2 <= min(a.size, b.size) < FEW:
        notes.append(f"only {a.size} and {b.size} runs: the test takes it on trust that they "
                     "scatter normally")  # fmt: skip
    for note in dict.fromkeys((by_means.note, by_ranks.note)):
        if note:
            notes.append(note)
    drawn = {"draws": options.draws, "seed": options.seed}
    every_a, every_b = _compared(comparison, one), _compared(comparison, base)
    return Verdict(
        variant=one.variant.label,
        baseline=base.variant.label,
        n=a.size,
        n_baseline=b.size,
        difference=by_means.difference,
        welch_p=by_means.p,
        bonferroni_p=math.nan,
        holm_p=math.nan,
        brunner_p=by_ranks.p,
        hedges_g=hedges_g(finite_a, finite_b, 1 - options.alpha),
        improvement=probability(every_a, every_b, better, **drawn)
        if every_a.size and every_b.size
        else NONE,
        equivalence_p=math.nan if lost else same.p,
        equivalence_holm_p=math.nan,
        smallest_margin=math.nan if lost else same.smallest_margin,
        word="",
        sentence="",
        note="; ".join(notes),
        paired=_paired(one, base, better, options) if comparison.shared_draws else None,
    )


def _judged(verdict: Verdict, ranks_p: float, better: str, options: Options, unit: str) -> Verdict:
    """The verdict with its word and sentence."""
    lost = "diverged or failed" in verdict.note
    p = ranks_p if lost else verdict.holm_p
    d = verdict.difference
    sign = -1 if better == "lower" else 1
    if lost:
        name, size = "Brunner–Munzel", ""
        ahead = verdict.improvement.value - 0.5
    else:
        name = "Welch"
        ahead = sign * d.value
        size = f"{abs(d.value):.3g} {unit} ({d.low:+.3g} to {d.high:+.3g})"
    ratio = f"{name} with Holm p = {p:.2g}" if not math.isnan(p) else ""
    base = verdict.baseline
    same = verdict.equivalence_holm_p <= options.alpha  # False where it is nan
    different = p <= options.alpha
    if math.isnan(p) and not same:
        word = "cannot tell"
        sentence = f"{verdict.n} and {verdict.n_baseline} runs are too few, or too alike, to tell"
    elif same:
        word = "same"
        sentence = f"the same as {base} within {options.margin:g} {unit}"
        sentence += f", though not equal ({ratio})" if different else ""
    elif different:
        word = "better" if ahead > 0 else "worse"
        sentence = f"{word} than {base}" + (f" by {size}" if size else "") + f"; {ratio}"
    else:
        word = "no difference found"
        sentence = f"no difference from {base} found; {ratio}"
        if not math.isnan(verdict.smallest_margin):
            sentence += f", and one of up to {verdict.smallest_margin:.3g} {unit} is not excluded"
    return replace(verdict, word=word, sentence=sentence)


def _tests(chosen: Sequence[Outcome]) -> np.ndarray:
    return np.array([o.test for o in chosen], dtype=float)


def _compared(comparison: Comparison, summary: Summary) -> np.ndarray:
    """What the probability of improvement is over: all trials of a search, by validation."""
    if comparison.kind == SEARCH:
        return np.array([o.valid for o in summary.outcomes], dtype=float)
    return _tests(summary.chosen)


def _paired(one: Summary, base: Summary, better: str, options: Options) -> Paired | None:
    """Trials of both that had the same settings, by validation value."""
    own = {(o.run.study, o.run.trial, o.run.seed): o.valid for o in one.outcomes}
    pairs = [
        (own[key], o.valid)
        for o in base.outcomes
        if (key := (o.run.study, o.run.trial, o.run.seed)) in own and o.run.trial is not None
    ]
    if len(pairs) < 2:
        return None
    a, b = np.array(pairs, dtype=float).T
    return paired(a, b, better, draws=options.draws, seed=options.seed)
