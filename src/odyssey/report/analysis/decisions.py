"""Which word the numbers of a comparison allow: pure functions of arrays.

`decide` is what the page, the tables and W&B take their words from, and what
`scripts/calibrate.py` calls on simulated studies to measure how often a word is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from odyssey.report.analysis.options import Options
from odyssey.report.stats.crossed import CrossedMean, crossed_difference, crossed_mean
from odyssey.report.stats.losses import loss_test, most_extreme, runs_needed
from odyssey.report.stats.posterior import (
    UNKNOWN_CHANCES,
    Chances,
    paired_chances,
    unpaired_chances,
)
from odyssey.report.stats.power import standard_errors_needed
from odyssey.report.stats.samples import Interval
from odyssey.report.stats.selection import FENCE, Reselection, Trials
from odyssey.report.stats.tests import (
    Test,
    holm,
    holm_factors,
    paired_equivalence,
    paired_t,
    permuted_ranks,
    tost,
    welch,
)

SEARCH = "search"  # the trials of a variant have different settings
SEEDS = "seeds"  # a variant is one configuration, repeated with other seeds
SINGLE = "single"  # one run per variant

BETTER, WORSE, SAME = "better", "worse", "same"
PROMISING = "promising"  # better in a search, and to be confirmed by fresh seeds of its best
NO_DIFFERENCE, CANNOT_TELL = "no difference found", "cannot tell"

# The tests that may decide.
RESELECTION, PAIRED, WELCH, RANKS, LOSSES = "reselection", "paired t", "welch", "ranks", "losses"
CROSSED = "crossed t"
NAN = math.nan
UNKNOWN = Interval(NAN, NAN, NAN)
POWER = 0.8  # of the difference that a study "would have found"
TOO_FEW = "too few runs have a value"
MOST_SEEDS = 100  # beyond which nobody looks for how many are needed


@dataclass(frozen=True)
class Design:
    """What is fixed about a comparison before its results: it decides which tests are made."""

    kind: str  # SEARCH, SEEDS or SINGLE
    better: str = "lower"  # which values of what is compared are better
    paired: bool = False  # whether runs of the same key are pairs, in every variant
    share: float = 1.0  # of a search's trials that are compared
    same_metric: bool = True  # whether a search's trials are chosen by the metric compared
    adaptive: bool = False  # whether a search proposed trials by the results of others
    crossed: tuple[str, ...] = ()  # kinds of seeds that vary crosswise, so that runs share some
    resplit: bool = False  # whether runs have different splits of the data, which overlap


@dataclass(frozen=True)
class Sample:
    """The results of a variant's runs that ended.

    Of a run that was lost, since it diverged or failed, both values are the worst: infinite.
    """

    test: np.ndarray  # (n) what is compared
    chosen_by: np.ndarray  # (n) what a search chooses by: smaller is better, +inf if lost
    keys: Sequence[Hashable] = ()  # (n) equal for runs that are a pair; empty if none are
    levels: np.ndarray | None = None  # (n, kinds) the seeds of a crossed design


@dataclass(frozen=True)
class Decision:
    """A variant against the baseline: the word, and all that it rests on.

    Differences are variant minus baseline in the unit of what is compared.
    """

    conclusion: str
    test: str  # that decided: see the names above
    p: float  # of the values, by the test of the design; uncorrected
    holm_p: float  # corrected over all variants and both questions
    difference: Interval  # with simultaneous limits: they exclude 0 where the values decided
    loss_p: float  # of one rate of loss; nan where it is no question
    loss_holm_p: float
    lost: tuple[int, int]  # of the variant's runs, and of the baseline's
    ended: tuple[int, int]
    equivalence_p: float
    equivalence_holm_p: float
    pairs: int | None  # values compared as pairs; None in a design without
    correlation: float  # of the pairs
    detectable: float  # the difference that this design finds with probability POWER
    needed: int | None = None  # runs of each variant without which no outcome could have decided
    reason: str = ""  # why nothing can be told
    apart: bool = False  # whether every value of one is better than every one of the other
    chances: Chances = UNKNOWN_CHANCES  # that the mean is better, within the margin, worse


Pair = tuple[str, str]  # a variant, and what it is held against


def decide(
    samples: Mapping[str, Sample],
    baseline: str,
    design: Design,
    options: Options,
    *,
    limits: bool = True,
) -> dict[str, Decision]:
    """One decision for each variant but the baseline.

    limits: whether to compute the limits of the differences and the difference that would have
    been found, on which no word rests.
    """
    pairs = [(label, baseline) for label in samples if label != baseline]
    found = decide_pairs(samples, pairs, design, options, limits=limits)
    return {label: decision for (label, _), decision in found.items()}


def decide_pairs(
    samples: Mapping[str, Sample],
    pairs: Sequence[Pair],
    design: Design,
    options: Options,
    *,
    limits: bool = True,
) -> dict[Pair, Decision]:
    """One decision for each pair of variants, the first against the second, as one family.

    Two questions are asked of each pair: do the values differ, and are runs lost at another rate?
    Which test answers the first is fixed by the design: re-selection for a search, Student's t of
    pairs for repeated seeds that all variants share, Welch's t for others; where several seeds
    vary crosswise, t-tests over each kind of seed and over all (stats.crossed). Means cannot be
    trusted where a value lies beyond the outer fence, and where nothing scatters; the permutation
    test of ranks decides there. Boschloo's exact test answers the second; it is asked of all pairs
    where as many runs are lost in one as could have been significant, and of none otherwise, when
    it costs the first question nothing. In a search lost trials are never among the best, and the
    permutations know of them: there is the first question alone.

    All p-values of both questions are corrected together after Holm. Limits of differences are
    those of the same correction, so that they exclude 0 exactly where the values decide.
    """
    # So many permutations that the smallest p is well below the strictest level.
    draws = max(options.draws, math.ceil(8 * len(pairs) / options.alpha))
    options = replace(options, draws=draws)
    values = {(a, b): _compare(samples[a], samples[b], design, options) for a, b in pairs}
    losses = {
        (a, b): _Losses.of(samples[a], samples[b], design, len(pairs), options) for a, b in pairs
    }
    asked = pairs if any(loss.could_decide for loss in losses.values()) else []
    ps = [values[pair].p for pair in pairs] + [losses[pair].p for pair in asked]
    corrected, factors = holm(ps), holm_factors(ps, options.alpha)
    loss_holm = dict(zip(asked, corrected[len(pairs) :], strict=True))
    # The factor by which a p that stands first would be multiplied.
    most = len(ps)
    equivalence = [
        values[pair].equivalence(options)
        if design.kind == SEARCH or losses[pair].lost == (0, 0)
        else NAN
        for pair in pairs
    ]
    equivalence_holm = holm(equivalence)
    found = {}
    for i, pair in enumerate(pairs):
        value, loss = values[pair], losses[pair]
        level = 1 - options.alpha / int(factors[i])
        decision = Decision(
            conclusion="",
            test=value.name,
            p=value.p,
            holm_p=float(corrected[i]),
            difference=value.interval(level) if limits else Interval(value.point(), NAN, NAN),
            loss_p=loss.p,
            loss_holm_p=float(loss_holm.get(pair, NAN)),
            lost=loss.lost,
            ended=loss.ended,
            equivalence_p=equivalence[i],
            equivalence_holm_p=float(equivalence_holm[i]),
            pairs=value.pairs,
            correlation=value.correlation,
            detectable=value.detectable(options.alpha / len(pairs)) if limits else NAN,
            apart=value.apart,
            chances=value.chances(design, options) if loss.lost == (0, 0) else UNKNOWN_CHANCES,
        )
        found[pair] = _conclude(decision, value, design, options, most)
    return found


# --- do the values differ? ---


@dataclass
class _Values:
    """The comparison of the values of two variants, by one test."""

    name: str
    p: float
    ahead: float  # variant minus baseline, in whatever the test compares; its sign is the direction
    n: int
    m: int
    pairs: int | None = None
    correlation: float = NAN
    apart: bool = False
    reason: str = ""

    def interval(self, level: float) -> Interval:
        return Interval(NAN, NAN, NAN, level)

    def point(self) -> float:
        """The difference in the unit of the values; nan where that is not what is compared."""
        return NAN

    def equivalence(self, options: Options) -> float:
        return NAN

    def chances(self, design: Design, options: Options) -> Chances:
        return UNKNOWN_CHANCES

    def detectable(self, alpha: float) -> float:
        return NAN


@dataclass
class _Means(_Values):
    """By means: Welch's t, or Student's t of pairs."""

    a: np.ndarray = field(default_factory=lambda: np.empty(0))
    b: np.ndarray = field(default_factory=lambda: np.empty(0))

    def _test(self, level: float) -> Test:
        return (paired_t if self.pairs is not None else welch)(self.a, self.b, level=level)

    def interval(self, level: float) -> Interval:
        return self._test(level).difference

    def point(self) -> float:
        return self.ahead

    def chances(self, design: Design, options: Options) -> Chances:
        if design.resplit:
            return UNKNOWN_CHANCES
        find = paired_chances if self.pairs is not None else unpaired_chances
        return find(self.a, self.b, design.better, options.margin)

    def equivalence(self, options: Options) -> float:
        if options.margin is None:
            return NAN
        test = paired_equivalence if self.pairs is not None else tost
        return test(self.a, self.b, options.margin, options.alpha).p

    def detectable(self, alpha: float) -> float:
        from scipy import special

        test = self._test(0.95)
        if not math.isfinite(test.df):
            return NAN
        error = (test.difference.high - test.difference.value) / -float(
            special.stdtrit(test.df, 0.025)
        )
        return error * standard_errors_needed(test.df, alpha, POWER)


@dataclass
class _CrossedMeans(_Values):
    """By means of runs that share seeds."""

    mean: CrossedMean = CrossedMean(NAN, ())

    def interval(self, level: float) -> Interval:
        return self.mean.test(level).difference

    def equivalence(self, options: Options) -> float:
        return NAN if options.margin is None else self.mean.not_within(options.margin)

    def detectable(self, alpha: float) -> float:
        sizes = [e * standard_errors_needed(df, alpha, POWER) for e, df in self.mean.errors]
        return max(sizes, default=NAN)


@dataclass
class _Reselected(_Values):
    """By selecting the best share of a search anew in each permutation."""

    test: Reselection | None = None
    sign: float = 1.0

    def interval(self, level: float) -> Interval:
        if self.test is None:
            return Interval(NAN, NAN, NAN, level)
        found = self.test.interval(level)
        if self.sign > 0:
            return found
        return Interval(-found.value, -found.high, -found.low, level)

    def point(self) -> float:
        return NAN if self.test is None else self.sign * self.test.estimate

    def equivalence(self, options: Options) -> float:
        if options.margin is None or self.test is None or self.reason:
            return NAN
        return self.test.not_within(options.margin)

    def detectable(self, alpha: float) -> float:
        return NAN if self.test is None else self.test.detectable(alpha, POWER)


def _compare(one: Sample, base: Sample, design: Design, options: Options) -> _Values:
    if design.kind == SEARCH:
        return _compare_searches(one, base, design, options)
    if design.kind != SEEDS:
        n, m = (int(np.isfinite(s.test).sum()) for s in (one, base))
        return _Values(WELCH, NAN, NAN, n, m, reason="one run of each: chance cannot be told")
    if design.crossed:
        return _compare_crossed(one, base, design)
    return _compare_seeds(one, base, design, options)


def _compare_searches(one: Sample, base: Sample, design: Design, options: Options) -> _Values:
    sign = 1.0 if design.better == "lower" else -1.0
    a, b = (Trials(s.chosen_by, sign * s.test) for s in (one, base))
    n, m = (int(np.isfinite(s.chosen_by).sum()) for s in (one, base))
    if not (len(one.test) and len(base.test)):
        return _Values(RESELECTION, NAN, NAN, n, m, reason="a variant has no trial that ended")
    pairs = match(one, base) if design.paired else None
    test = Reselection(
        a,
        b,
        design.share,
        pairs=pairs,
        same_metric=design.same_metric,
        draws=options.draws,
        seed=options.seed,
    )
    reason = ""
    if design.adaptive:
        reason = (
            "an adaptive search proposes trials by the results of others, so they cannot be "
            "exchanged: confirm the best settings with fresh seeds"
        )
    return _Reselected(
        RESELECTION,
        NAN if reason else test.p(),
        sign * test.difference,
        *test.chosen,
        pairs=None if pairs is None else len(pairs),
        correlation=NAN if pairs is None else _correlation(one.chosen_by, base.chosen_by, pairs),
        reason=reason,
        test=test,
        sign=sign,
    )


def _compare_seeds(one: Sample, base: Sample, design: Design, options: Options) -> _Values:
    a, b = one.test, base.test
    finite_a, finite_b = a[np.isfinite(a)], b[np.isfinite(b)]
    n, m = len(finite_a), len(finite_b)
    pairs, correlation = None, NAN
    if design.paired:
        at = match(one, base)
        at = at[np.isfinite(a[at[:, 0]]) & np.isfinite(b[at[:, 1]])]
        pairs, correlation = len(at), _correlation(a, b, at)
    apart = bool(n and m and (finite_a.max() < finite_b.min() or finite_a.min() > finite_b.max()))
    if min(n, m) < 2 or (pairs is not None and pairs < 2):
        if max(n, m) > 1 and min(len(a), len(b)) > 1:
            return _with_lost_runs(one, base, design, options, pairs)
        ahead = float(finite_a.mean() - finite_b.mean()) if n and m else NAN
        return _Values(PAIRED if design.paired else WELCH, NAN, ahead, n, m, pairs, reason=TOO_FEW)
    means = _Means(PAIRED, NAN, NAN, n, m, pairs, correlation, apart)
    if design.paired:
        means.a, means.b = a[at[:, 0]], b[at[:, 1]]
    else:
        means.name, means.a, means.b = WELCH, finite_a, finite_b
    test = means._test(0.95)
    means.p, means.ahead = test.p, test.difference.value
    far_out = _far_out(finite_a - np.median(finite_a), finite_b - np.median(finite_b))
    if far_out and design.paired:  # of a seed that is bad for both the difference is none
        differences = means.a - means.b
        far_out = _far_out(differences - np.median(differences))
    if math.isnan(test.p) or far_out:
        return _Values(
            RANKS,
            permuted_ranks(finite_a, finite_b, seed=options.seed),
            _rank_difference(finite_a, finite_b),
            n,
            m,
            pairs,
            correlation,
            apart,
        )
    return means


def _with_lost_runs(
    one: Sample, base: Sample, design: Design, options: Options, pairs: int | None
) -> _Values:
    """By ranks of all runs, the lost ones the worst: where hardly any run of one has a value.

    Source: J. M. Lachin, "Worst-rank score analysis with informatively missing observations in
    clinical trials", Controlled Clinical Trials 20 (1999) 408-422.
    """
    a, b = one.test, base.test
    n, m = (int(np.isfinite(values).sum()) for values in (a, b))
    p = permuted_ranks(a, b, seed=options.seed)
    apart = bool(a.max() < b.min() or a.min() > b.max())
    return _Values(RANKS, p, _rank_difference(a, b), n, m, pairs, apart=apart, reason=TOO_FEW)


def _compare_crossed(one: Sample, base: Sample, design: Design) -> _Values:
    """The means of runs that share seeds. n and m are how many of the rarest kind there are."""
    a, b = one.test, base.test
    assert one.levels is not None and base.levels is not None
    kept_a, kept_b = np.isfinite(a), np.isfinite(b)
    pairs, correlation = None, NAN
    if design.paired:
        at = match(one, base)
        at = at[kept_a[at[:, 0]] & kept_b[at[:, 1]]]
        pairs, correlation = len(at), _correlation(a, b, at)
        values, levels = a[at[:, 0]] - b[at[:, 1]], one.levels[at[:, 0]]
        mean = crossed_mean(values, levels)
        n = m = _rarest(levels)
        scatter = [values - np.median(values)] if len(values) else []
    else:
        mean = crossed_difference(
            crossed_mean(a[kept_a], one.levels[kept_a]),
            crossed_mean(b[kept_b], base.levels[kept_b]),
        )
        n, m = _rarest(one.levels[kept_a]), _rarest(base.levels[kept_b])
        scatter = [x[k] - np.median(x[k]) for x, k in ((a, kept_a), (b, kept_b)) if k.any()]
    first, second = a[kept_a], b[kept_b]
    apart = bool(
        len(first) and len(second) and (first.max() < second.min() or first.min() > second.max())
    )
    p, reason = mean.test().p, ""
    if math.isnan(p):
        reason = "too few runs have a value, or none differs from the others"
    elif _far_out(*scatter):
        mean, p = CrossedMean(mean.value, ()), NAN
        reason = (
            "a value lies far out, and runs that share seeds cannot be ranked one by one: repeat "
            "with one seed a run, as in seed=range(0,10)"
        )
    return _CrossedMeans(CROSSED, p, mean.value, n, m, pairs, correlation, apart, reason, mean=mean)


def _rarest(levels: np.ndarray) -> int:
    """How many seeds there are of the kind that has the fewest."""
    return min((len(np.unique(column)) for column in levels.T), default=0) if len(levels) else 0


def match(one: Sample, base: Sample) -> np.ndarray:
    """Indices (i, j), (pairs, 2), of runs of one and of the other that have one key."""
    place = {key: j for j, key in enumerate(base.keys)}
    found = [(i, place[key]) for i, key in enumerate(one.keys) if key in place]
    return np.array(found, dtype=int).reshape(-1, 2)


def _correlation(a: np.ndarray, b: np.ndarray, pairs: np.ndarray) -> float:
    """Pearson's correlation of the pairs of finite values; nan for fewer than three."""
    first, second = a[pairs[:, 0]], b[pairs[:, 1]]
    kept = np.isfinite(first) & np.isfinite(second)
    first, second = first[kept], second[kept]
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return NAN
    return float(np.corrcoef(first, second)[0, 1])


def _far_out(*samples: np.ndarray) -> bool:
    """Whether a value lies beyond the outer fence of all samples' distances from their medians.

    They are taken together, since the scatter of a handful is known too badly by itself.
    """
    around = np.concatenate(samples)
    low, high = np.quantile(around, [0.25, 0.75])
    reach = FENCE * (high - low)
    return bool((around > high + reach).any() or (around < low - reach).any())


def _rank_difference(a: np.ndarray, b: np.ndarray) -> float:
    """P(a > b) - P(a < b): above 0 where the values of `a` are larger."""
    above, below = a[:, None] > b[None, :], a[:, None] < b[None, :]
    return float(above.mean() - below.mean())


# --- are runs lost at another rate? ---


@dataclass(frozen=True)
class _Losses:
    p: float
    lost: tuple[int, int]
    ended: tuple[int, int]
    could_decide: bool  # whether so many lost runs, all on one side, would be significant

    @classmethod
    def of(
        cls, one: Sample, base: Sample, design: Design, variants: int, options: Options
    ) -> _Losses:
        lost = tuple(int(np.isinf(s.test).sum()) for s in (one, base))
        ended = (len(one.test), len(base.test))
        if design.kind != SEEDS or not sum(lost):
            return cls(NAN, (lost[0], lost[1]), ended, False)
        if design.crossed:
            return cls(*_loss_of_blocks(one, base, variants, options))
        p = loss_test(lost[0], ended[0], lost[1], ended[1])
        # As Tarone leaves out tests that cannot be significant (Biometrics 46 (1990) 515-522). With
        # all pairs or none, since the number lost in a pair says something of how they are split.
        could_decide = most_extreme(sum(lost), *ended) <= options.alpha / variants
        return cls(p, (lost[0], lost[1]), ended, could_decide)


def _loss_of_blocks(
    one: Sample, base: Sample, variants: int, options: Options
) -> tuple[float, tuple[int, int], tuple[int, int], bool]:
    """The arguments of `_Losses` where runs share seeds, and so are lost together.

    For each kind of seed, a seed is lost where more than half of its runs are; the largest p of all
    kinds counts.
    """
    ps, could = [], True
    assert one.levels is not None and base.levels is not None
    for kind in range(one.levels.shape[1]):
        counts = []
        for sample in (one, base):
            assert sample.levels is not None
            _, place = np.unique(sample.levels[:, kind], return_inverse=True)
            shares = np.bincount(place, np.isinf(sample.test)) / np.maximum(np.bincount(place), 1)
            counts += [int((shares > 0.5).sum()), len(shares)]
        if not (counts[1] and counts[3]):
            return NAN, (0, 0), (len(one.test), len(base.test)), False
        ps.append(loss_test(*counts) if counts[0] + counts[2] else 1.0)
        most = most_extreme(counts[0] + counts[2], counts[1], counts[3])
        could &= bool(counts[0] + counts[2]) and most <= options.alpha / variants
    lost = tuple(int(np.isinf(s.test).sum()) for s in (one, base))
    return max(ps), (lost[0], lost[1]), (len(one.test), len(base.test)), could


# --- the word ---


def _conclude(
    decision: Decision, value: _Values, design: Design, options: Options, tests: int
) -> Decision:
    """The decision with its conclusion. `tests`: how many were corrected together."""
    alpha = options.alpha
    sign = -1.0 if design.better == "lower" else 1.0
    words = []  # of the questions that are answered
    if decision.holm_p <= alpha:
        words.append((BETTER if sign * value.ahead > 0 else WORSE, value.name))
    if decision.loss_holm_p <= alpha:
        shares = [k / n for k, n in zip(decision.lost, decision.ended, strict=True)]
        words.append((WORSE if shares[0] > shares[1] else BETTER, LOSSES))
    same = decision.equivalence_holm_p <= alpha
    words.sort(key=lambda word: decision.loss_holm_p if word[1] == LOSSES else decision.holm_p)
    if len({word for word, _ in words}) > 1:
        reason = "its values and its lost runs point in different directions"
        return replace(decision, conclusion=CANNOT_TELL, reason=reason)
    if same:
        return replace(decision, conclusion=SAME)
    if words:
        word, test = words[0]
        if design.kind == SEARCH and word == BETTER:
            word = PROMISING
        return replace(decision, conclusion=word, test=test)
    if value.reason or math.isnan(decision.p):
        needed = None if design.crossed else _needed(decision, design, alpha / tests)
        reason = value.reason or TOO_FEW
        return replace(decision, conclusion=CANNOT_TELL, reason=reason, needed=needed)
    if design.kind == SEARCH:
        # Trials without a partner stay where they are.
        ways = 2**value.pairs if value.pairs is not None else math.comb(*_sizes(decision))
        if 2 / ways > alpha / tests:
            needed = _trials_needed(alpha / tests, value.pairs is not None)
            reason = "whatever so few trials had given, chance could have given it"
            return replace(decision, conclusion=CANNOT_TELL, reason=reason, needed=needed)
    if design.kind == SEEDS and (value.apart or value.name == RANKS):
        needed = _ranks_needed(alpha / tests)
        if needed is not None and min(value.n, value.m) < needed:
            reason = (
                "every run of one is better than every run of the other, and "
                f"{'the seeds of a kind' if design.crossed else 'they'} are too few"
                if value.apart
                else "a value lies far out, and the runs are too few for a test of ranks"
            )
            return replace(decision, conclusion=CANNOT_TELL, reason=reason, needed=needed)
    return replace(decision, conclusion=NO_DIFFERENCE)


def _sizes(decision: Decision) -> tuple[int, int]:
    return sum(decision.ended), decision.ended[0]


def _trials_needed(alpha: float, paired: bool) -> int | None:
    """The least number of trials of each at which a search could decide."""
    if not paired:
        return _ranks_needed(alpha)
    return math.ceil(math.log2(2 / alpha))


def _needed(decision: Decision, design: Design, alpha: float) -> int | None:
    """Runs of each at which losses at the rates found, or values, could have decided."""
    if design.kind == SEARCH:
        return None
    lost, ended = decision.lost, decision.ended
    if design.kind == SEEDS and all(ended) and lost[0] / ended[0] != lost[1] / ended[1]:
        return runs_needed(lost[0] / ended[0], lost[1] / ended[1], alpha)
    return _ranks_needed(alpha)


def _ranks_needed(alpha: float) -> int | None:
    """The least number of runs of each at which two samples without overlap differ by ranks."""
    for n in range(2, MOST_SEEDS + 1):
        if 2 / math.comb(2 * n, n) <= alpha:
            return n
    return None
