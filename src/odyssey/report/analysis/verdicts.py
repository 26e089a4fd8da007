"""Each variant against the baseline: the tests, and what may be concluded from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from odyssey.report.analysis.options import Options
from odyssey.report.analysis.result import SEARCH, Comparison, Outcome, Summary, Verdict
from odyssey.report.stats.effects import hedges_g, probability_of_improvement
from odyssey.report.stats.estimates import share_count
from odyssey.report.stats.samples import Interval
from odyssey.report.stats.tests import (
    Paired,
    Test,
    bonferroni,
    brunner_munzel,
    holm,
    paired_comparison,
    tost,
    welch,
)

UNKNOWN = Interval(math.nan, math.nan, math.nan)
FEW = 5  # runs, below which the assumptions of a t-test cannot be checked
MEANS, RANKS = "welch", "brunner_munzel"  # the tests that may decide


def make_verdicts(
    comparison: Comparison,
    summaries: Sequence[Summary],
    better: str,
    options: Options,
    unit: str,
) -> list[Verdict]:
    """One verdict for each variant but the baseline, corrected over all of them.

    Welch's test decides; where one of the compared runs has no value, since it diverged or failed,
    the Brunner-Munzel test decides, as a mean cannot include such a run. Holm's correction is over
    the deciding tests, one for each variant: choosing from two corrected families would keep the
    level of neither. "same" takes two one-sided tests, Holm-corrected as well.
    """
    base = next(s for s in summaries if s.variant.label == comparison.baseline)
    others = [s for s in summaries if s is not base]
    tested = [_test(comparison, s, base, better, options) for s in others]
    corrected = zip(
        tested,
        bonferroni([v.welch_p for v, _ in tested]),
        holm([v.welch_p if v.test == MEANS else _bounded_rank_p(v) for v, _ in tested]),
        holm([v.equivalence_p for v, _ in tested]),
        strict=True,
    )
    concluded = []
    for (verdict, by_ranks), bonferroni_p, holm_p, equivalence_p in corrected:
        verdict = replace(
            verdict,
            bonferroni_p=float(bonferroni_p),
            holm_p=float(holm_p),
            equivalence_holm_p=float(equivalence_p),
        )
        concluded.append(_conclude(verdict, by_ranks, better, options, unit))
    return concluded


def _bounded_rank_p(verdict: Verdict) -> float:
    """Brunner and Munzel's p, but at least the smallest that a permutation test could give.

    For a handful of runs it can be far below that: 4e-5 for five against five, while two of the
    252 orders are the most extreme ones.
    """
    if math.isnan(verdict.brunner_p):
        return math.nan
    n, m = verdict.n, verdict.n_baseline
    return max(verdict.brunner_p, 2 / math.comb(n + m, n))


def _test(
    comparison: Comparison, one: Summary, base: Summary, better: str, options: Options
) -> tuple[Verdict, Test]:
    """Uncorrected numbers of a verdict without a conclusion, and the test of ranks."""
    a, b = _test_values(one.chosen), _test_values(base.chosen)
    finite_a, finite_b = a[np.isfinite(a)], b[np.isfinite(b)]
    by_means = welch(finite_a, finite_b)
    by_ranks = brunner_munzel(a, b)
    equivalence = tost(finite_a, finite_b, options.margin, options.alpha)
    lost = (a.size - finite_a.size) + (b.size - finite_b.size)
    notes = [
        *_missing_trials(comparison, one, options),
        *_missing_trials(comparison, base, options),
        *(_lost_note(one, base, lost) if lost else _few_note(a.size, b.size)),
        *_test_notes(by_means, by_ranks),
    ]
    verdict = Verdict(
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
        improvement=_improvement(comparison, one, base, better, options),
        equivalence_p=math.nan if lost else equivalence.p,
        equivalence_holm_p=math.nan,
        smallest_margin=math.nan if lost else equivalence.smallest_margin,
        conclusion="",
        sentence="",
        test=RANKS if lost else MEANS,
        note="; ".join(notes),
        paired=_pair_trials(one, base, better, options) if comparison.shared_draws else None,
    )
    return verdict, by_ranks


def _test_values(outcomes: Sequence[Outcome]) -> np.ndarray:
    return np.array([o.test for o in outcomes], dtype=float)


def _missing_trials(comparison: Comparison, summary: Summary, options: Options) -> list[str]:
    """A note on a search if fewer trials gave a value than are to be compared."""
    found, due = len(summary.chosen), share_count(len(summary.outcomes), options.share)
    if comparison.kind != SEARCH or found == due:
        return []
    return [
        f"of the best {due} of {summary.variant.label} only {found} gave a value: what is compared "
        "are those that survived, which flatters it"
    ]


def _lost_note(one: Summary, base: Summary, lost: int) -> list[str]:
    """A note on compared runs without a value, of which there are `lost`."""
    without = [o for o in (*one.chosen, *base.chosen) if math.isinf(o.test)]
    finished = any(o.run.state == "finished" for o in without)
    infinite = " or gave an infinite value" if finished else ""
    return [
        f"{lost} of the runs that are compared diverged or failed{infinite}: means leave them "
        "out, so the ranks decide, in which they are the worst"
    ]


def _few_note(n: int, m: int) -> list[str]:
    if not 2 <= min(n, m) < FEW:
        return []
    return [f"only {n} and {m} runs: Welch's test takes it on trust that they scatter normally"]


def _test_notes(by_means: Test, by_ranks: Test) -> list[str]:
    if by_means.note == by_ranks.note:
        return [by_means.note] if by_means.note else []
    notes = {"Welch": by_means.note, "Brunner–Munzel": by_ranks.note}
    return [f"{name}: {note}" for name, note in notes.items() if note]


def _improvement(
    comparison: Comparison, one: Summary, base: Summary, better: str, options: Options
) -> Interval:
    """Probability that a run of the variant is better than one of the baseline.

    In a search it is over all trials, by validation.
    """
    a, b = (
        np.array([o.valid for o in s.outcomes], dtype=float)
        if comparison.kind == SEARCH
        else _test_values(s.chosen)
        for s in (one, base)
    )
    if not (a.size and b.size):
        return UNKNOWN
    return probability_of_improvement(a, b, better, draws=options.draws, seed=options.seed)


def _pair_trials(one: Summary, base: Summary, better: str, options: Options) -> Paired | None:
    """Paired comparison by validation of the trials that had the same settings in both."""
    own = {(o.run.study, o.run.trial, o.run.seed): o.valid for o in one.outcomes}
    pairs = [
        (own[key], o.valid)
        for o in base.outcomes
        if (key := (o.run.study, o.run.trial, o.run.seed)) in own and o.run.trial is not None
    ]
    if len(pairs) < 2:
        return None
    a, b = np.array(pairs, dtype=float).T
    return paired_comparison(a, b, better, draws=options.draws, seed=options.seed)


def _conclude(
    verdict: Verdict, by_ranks: Test, better: str, options: Options, unit: str
) -> Verdict:
    """The verdict with its conclusion and sentence, from the corrected p-values."""
    p, difference = verdict.holm_p, verdict.difference
    sign = -1 if better == "lower" else 1
    if verdict.test == RANKS:
        name, size = "Brunner–Munzel", ""
        ahead = sign * (0.5 - by_ranks.difference.value)  # of P(variant < baseline)
    else:
        name = "Welch"
        ahead = sign * difference.value
        limits = f"({difference.low:+.3g} to {difference.high:+.3g})"
        size = f" by {abs(difference.value):.3g} {unit} {limits}"
    evidence = f"{name} with Holm p = {p:.2g}" if not math.isnan(p) else ""
    base = verdict.baseline
    same = verdict.equivalence_holm_p <= options.alpha  # False where it is nan
    different = p <= options.alpha
    if math.isnan(p) and not same:
        conclusion = "cannot tell"
        sentence = f"{verdict.n} and {verdict.n_baseline} runs are too few, or too alike, to tell"
    elif same:
        conclusion = "same"
        sentence = f"the same as {base} within {options.margin:g} {unit}"
        sentence += f", though not equal ({evidence})" if different else ""
    elif different:
        conclusion = "better" if ahead > 0 else "worse"
        sentence = f"{conclusion} than {base}{size}; {evidence}"
    else:
        conclusion = "no difference found"
        sentence = f"no difference from {base} found; {evidence}"
        if not math.isnan(verdict.smallest_margin):
            sentence += f", and one of up to {verdict.smallest_margin:.3g} {unit} is not excluded"
    return replace(verdict, conclusion=conclusion, sentence=sentence)
