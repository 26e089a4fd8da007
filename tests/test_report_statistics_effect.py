"""Effect size, equivalence and correction, against statsmodels and worked examples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from statsmodels.stats.effect_size import _noncentrality_t
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_ind

import random_kit
from odyssey.errors import UserError
from odyssey.report.stats.effects import hedges_g
from odyssey.report.stats.tests import bonferroni, holm, tost, welch

NAN = math.nan
SIZES = [(2, 2), (3, 5), (20, 20), (7, 31)]


def samples(n: int, m: int, shift: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    random = random_kit.rng(n, m)
    return random.normal(8.5 + shift, 0.3, n), random.normal(8.5, 0.6, m)


# --- Hedges' g ---


@pytest.mark.parametrize(("n", "m"), SIZES)
@pytest.mark.parametrize("shift", [0.0, 0.3, -4.0])
def test_hedges_g_and_its_limits(n: int, m: int, shift: float) -> None:
    a, b = samples(n, m, shift)
    df = n + m - 2
    t = stats.ttest_ind(a, b).statistic
    unbias = math.gamma(df / 2) / (math.sqrt(df / 2) * math.gamma((df - 1) / 2))
    scale = unbias * math.sqrt(1 / n + 1 / m)
    found = hedges_g(a, b)
    assert found.value == pytest.approx(t * scale, rel=1e-10)
    # The definition of the limits: the effects that put t at a tail of 2.5%.
    assert below(t, df, found.low / scale) == pytest.approx(0.975, rel=1e-5)
    assert below(t, df, found.high / scale) == pytest.approx(0.025, rel=1e-4)
    if abs(t) < 10:
        low, high = _noncentrality_t(t, df).confint
        assert (found.low, found.high) == pytest.approx((low * scale, high * scale), rel=1e-5)


def below(t: float, df: int, noncentrality: float) -> float:
    """P(T < t) for a noncentral t: a normal divided by a chi, integrated over the chi."""

    def part(s: float) -> float:
        return stats.norm.cdf(t * s - noncentrality) * stats.chi.pdf(s * root, df) * root

    root = math.sqrt(df)
    return quad(part, 0, 1 + 12 / root, limit=400, points=[min(1.0, abs(noncentrality / t))])[0]


def test_the_correction_is_the_exact_one() -> None:
    """For df = 2 it is 1 / gamma(1/2) = 1 / sqrt(pi); the usual 1 - 3 / (4 df - 1) is not."""
    a, b = np.array([0.0, 2.0]), np.array([3.0, 5.0])  # d = -3 / sqrt(2)
    assert hedges_g(a, b).value == pytest.approx(-3 / math.sqrt(2 * math.pi), rel=1e-12)


@pytest.mark.slow
def test_hedges_g_is_unbiased_where_cohens_d_is_not() -> None:
    random = random_kit.rng()
    n, effect = 4, 0.8
    found = []
    for _ in range(500):
        a, b = random.normal(size=n), random.normal(size=n)
        # With the signs turned, what is left of both is the spread's estimate, which is biased.
        found.append((hedges_g(effect + a, b).value + hedges_g(effect - a, -b).value) / 2)
    error = np.std(found) / math.sqrt(len(found))
    assert abs(np.mean(found) - effect) < 5 * error  # less than one false alarm in 100,000
    assert error * 5 < effect * 0.15  # Cohen's d is larger by 15% here: that would have shown


def test_hedges_g_turns_and_scales() -> None:
    a, b = samples(9, 12)
    one, other, moved = hedges_g(a, b), hedges_g(b, a), hedges_g(5 * a - 2, 5 * b - 2)
    assert (other.value, other.low, other.high) == pytest.approx((-one.value, -one.high, -one.low))
    assert (moved.value, moved.low, moved.high) == pytest.approx((one.value, one.low, one.high))


def test_hedges_g_with_nothing_to_divide_by() -> None:
    for a, b in [([], []), ([1.0], [1.0, 2.0]), ([0.1] * 3, [0.1] * 3), ([1.0, 1.0], [2.0, 2.0])]:
        found = hedges_g(a, b)
        assert math.isnan(found.value) and math.isnan(found.low) and math.isnan(found.high)
    with pytest.raises(ValueError, match="infinite"):
        hedges_g([1.0, math.inf], [1.0, 2.0])


def test_hedges_g_of_an_enormous_effect_has_limits_or_none() -> None:
    a, b = samples(20, 20, 300.0)
    found = hedges_g(a, b)
    assert found.value > 100
    assert math.isnan(found.low) or found.low < found.value < found.high


# --- Equivalence ---


@pytest.mark.parametrize(("n", "m"), SIZES)
@pytest.mark.parametrize("shift", [0.0, 0.2, -0.2])
@pytest.mark.parametrize("margin", [0.05, 0.5, 3.0])
def test_tost_is_statsmodels(n: int, m: int, shift: float, margin: float) -> None:
    a, b = samples(n, m, shift)
    found = tost(a, b, margin)
    theirs = ttost_ind(a, b, -margin, margin, usevar="unequal")[0]
    assert found.p == pytest.approx(theirs, rel=1e-9)
    assert found.equivalent == (theirs <= 0.05)


@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.2])
def test_the_smallest_margin_is_where_it_turns(alpha: float) -> None:
    a, b = samples(13, 17, 0.1)
    smallest = tost(a, b, None, alpha).smallest_margin
    limits = welch(a, b, level=1 - 2 * alpha).difference
    assert smallest == pytest.approx(max(abs(limits.low), abs(limits.high)), rel=1e-12)
    at = tost(a, b, smallest, alpha)
    assert at.equivalent and at.p == pytest.approx(alpha, rel=1e-9)
    assert tost(a, b, smallest * 1.001, alpha).equivalent
    assert not tost(a, b, smallest * 0.999, alpha).equivalent
    assert (at.interval.low, at.interval.high) == pytest.approx((limits.low, limits.high))
    assert at.interval.level == limits.level


def test_no_difference_found_is_not_the_same() -> None:
    a, b = [8.2, 8.9, 8.6, 8.4], [8.0, 9.1, 8.3, 8.8]
    assert welch(a, b).p > 0.05 and not tost(a, b, 0.05).equivalent


def test_tost_without_a_margin_or_enough_values() -> None:
    a, b = samples(5, 6)
    without = tost(a, b, None)
    assert math.isnan(without.p) and not without.equivalent and without.smallest_margin > 0
    for pair in [([], []), ([1.0], [1.0, 2.0]), ([0.1] * 3, [0.1] * 3)]:
        found = tost(*pair, 0.5)
        assert math.isnan(found.p) and not found.equivalent and found.note
        assert math.isnan(found.smallest_margin)
    with pytest.raises(ValueError, match="infinite"):
        tost([1.0, math.inf], [1.0, 2.0], 0.5)
    with pytest.raises(ValueError, match="alpha"):
        tost(a, b, 0.5, alpha=0.5)


@pytest.mark.parametrize("margin", [0, 0.0, -0.05, NAN, math.inf])
def test_a_bad_margin_is_a_sentence(margin: float) -> None:
    with pytest.raises(UserError, match=r"margin=.*--margin") as raised:
        tost([1.0, 2.0], [1.0, 2.0], margin)
    assert len(raised.value.messages) == 1


def test_tost_turns_and_scales() -> None:
    a, b = samples(8, 9)
    one, other, moved = tost(a, b, 0.4), tost(b, a, 0.4), tost(10 * a + 3, 10 * b + 3, 4)
    assert other.p == pytest.approx(one.p) and moved.p == pytest.approx(one.p)
    assert moved.smallest_margin == pytest.approx(10 * one.smallest_margin)


# --- Correction ---


@pytest.mark.slow
@pytest.mark.parametrize("m", [0, 1, 2, 7, 8])
def test_corrections_are_statsmodels(m: int) -> None:
    ps = random_kit.rng().uniform(size=m) ** 3
    if m > 3:
        ps[2] = ps[0]  # a tie
    for ours, name in [(bonferroni, "bonferroni"), (holm, "holm")]:
        theirs = multipletests(ps, method=name)[1] if m else ps
        assert ours(ps) == pytest.approx(theirs, rel=1e-12)
    assert (holm(ps) <= bonferroni(ps)).all()


def test_a_test_that_could_not_be_made_still_counts() -> None:
    ps = [0.01, NAN, 0.04, 0.03]
    assert bonferroni(ps) == pytest.approx([0.04, NAN, 0.16, 0.12], nan_ok=True)
    assert holm(ps) == pytest.approx([0.04, NAN, 0.09, 0.09], nan_ok=True)
    filled = multipletests([0.01, 1.0, 0.04, 0.03], method="holm")[1]
    assert np.delete(holm(ps), 1) == pytest.approx(np.delete(filled, 1))
    assert np.isnan(holm([NAN, NAN])).all() and np.isnan(bonferroni([NAN])).all()


def test_corrections_do_not_mind_the_order() -> None:
    random = random_kit.rng()
    ps = random.uniform(size=9)
    order = random.permutation(9)
    assert holm(ps[order]) == pytest.approx(holm(ps)[order])


@pytest.mark.parametrize("ps", [[-0.1], [0.5, 1.1], [[0.5]]])
def test_what_is_no_p_value_is_refused(ps: list) -> None:
    for correction in (bonferroni, holm):
        with pytest.raises(ValueError, match="p-values"):
            correction(ps)
