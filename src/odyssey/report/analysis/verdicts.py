"""Each variant against the baseline: the tests, and what may be said after them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from odyssey.report.analysis.result import SEARCH, Comparison, Options, Outcome, Summary, Verdict
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
FEW = 5  # chosen runs, below which a test leans on what it cannot check
MEANS, RANKS = "welch", "brunner_munzel"


def make_verdicts(
    comparison: Comparison,
    summaries: Sequence[Summary],
    better: str,
    options: Options,
    unit: str,
) -> list[Verdict]:
    """One verdict for each variant but the baseline, corrected over all of them.

    Decided by Welch's test; by Brunner and Munzel's where one of the chosen runs has no value, as
    it diverged or failed, since a mean cannot hold it. Holm's correction is over the tests that
    decide, one for each variant: picking from two corrected families would keep neither promise.
    `same` takes the two one-sided tests, Holm-corrected as well.
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
    judged = []
    for (verdict, by_ranks), by_bonferroni, by_holm, equivalence in corrected:
        verdict = replace(
            verdict,
            bonferroni_p=float(by_bonferroni),
            holm_p=float(by_holm),
            equivalence_holm_p=float(equivalence),
        )
        judged.append(_conclude(verdict, by_ranks, better, options, unit))
    return judged


def _bounded_rank_p(verdict: Verdict) -> float:
    """Brunner and Munzel's p, but none that so few runs could not give in a permutation test.

    For a handful of runs it can be far below that: 4e-5 for five against five, of whose 252
    orders two are the most extreme ones.
    """
    if math.isnan(verdict.brunner_p):
        return math.nan
    n, m = verdict.n, verdict.n_baseline
    return max(verdict.brunner_p, 2 / math.comb(n + m, n))


def _test(
    comparison: Comparison, one: Summary, base: Summary, better: str, options: Options
) -> tuple[Verdict, Test]:
    """The uncorrected numbers, with no word yet, and the test of the ranks."""
    a, b = _test_values(one.chosen), _test_values(base.chosen)
    finite_a, finite_b = a[np.isfinite(a)], b[np.isfinite(b)]
    by_means = welch(finite_a, finite_b)
    by_ranks = brunner_munzel(a, b)
    same = tost(finite_a, finite_b, options.margin, options.alpha)
    lost = (a.size - finite_a.size) + (b.size - finite_b.size)
    notes = _missing_trials(comparison, one, options) + _missing_trials(comparison, base, options)
    if lost:
        ended = [o.run.state == "finished" for o in (*one.chosen, *base.chosen) if _is_lost(o)]
        infinite = " or gave an infinite value" if any(ended) else ""
        notes.append(
            f"{lost} of the runs that are compared diverged or failed{infinite}: means leave them "
            "out, so the ranks decide, in which they are the worst"
        )
    elif 2 <= min(a.size, b.size) < FEW:
        notes.append(f"only {a.size} and {b.size} runs: Welch's test takes it on trust that they "
                     "scatter normally")  # fmt: skip
    if by_means.note == by_ranks.note:
        notes.append(by_means.note)
    else:
        said = {"Welch": by_means.note, "Brunner–Munzel": by_ranks.note}
        notes += [f"{name}: {note}" for name, note in said.items() if note]
    drawn = {"draws": options.draws, "seed": options.seed}
    every_a, every_b = _improvement_values(comparison, one), _improvement_values(comparison, base)
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
        improvement=probability_of_improvement(every_a, every_b, better, **drawn)
        if every_a.size and every_b.size
        else UNKNOWN,
        equivalence_p=math.nan if lost else same.p,
        equivalence_holm_p=math.nan,
        smallest_margin=math.nan if lost else same.smallest_margin,
        word="",
        sentence="",
        test=RANKS if lost else MEANS,
        note="; ".join(note for note in notes if note),
        paired=_pair_trials(one, base, better, options) if comparison.shared_draws else None,
    )
    return verdict, by_ranks


def _missing_trials(comparison: Comparison, summary: Summary, options: Options) -> list[str]:
    """A note on a search of which fewer trials gave a value than the share that is compared."""
    there, due = len(summary.chosen), share_count(len(summary.outcomes), options.share)
    if comparison.kind != SEARCH or there == due:
        return []
    return [
        f"of the best {due} of {summary.variant.label} only {there} gave a value: what is compared "
        "are those that survived, which flatters it"
    ]


def _conclude(
    verdict: Verdict, by_ranks: Test, better: str, options: Options, unit: str
) -> Verdict:
    """The verdict with its word and sentence."""
    p, d = verdict.holm_p, verdict.difference
    sign = -1 if better == "lower" else 1
    if verdict.test == RANKS:
        name, size = "Brunner–Munzel", ""
        ahead = sign * (0.5 - by_ranks.difference.value)  # of P(variant < baseline)
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


def _is_lost(outcome: Outcome) -> bool:
    return math.isinf(outcome.test)


def _test_values(chosen: Sequence[Outcome]) -> np.ndarray:
    return np.array([o.test for o in chosen], dtype=float)


def _improvement_values(comparison: Comparison, summary: Summary) -> np.ndarray:
    """What the probability of improvement is over: all trials of a search, by validation."""
    if comparison.kind == SEARCH:
        return np.array([o.valid for o in summary.outcomes], dtype=float)
    return _test_values(summary.chosen)


def _pair_trials(one: Summary, base: Summary, better: str, options: Options) -> Paired | None:
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
    return paired_comparison(a, b, better, draws=options.draws, seed=options.seed)
