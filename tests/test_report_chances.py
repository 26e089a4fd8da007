"""Posterior probabilities of better, same and worse, against independent integrations."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats

import random_kit
from odyssey.errors import UserError
from odyssey.report.analysis.analyse import analyse
from odyssey.report.analysis.comparisons import make_comparisons
from odyssey.report.analysis.decisions import SEARCH, SEEDS, Design, Sample, decide
from odyssey.report.analysis.options import Options
from odyssey.report.io.collect import collect
from odyssey.report.main import main
from odyssey.report.stats.posterior import paired_chances, unpaired_chances
from report_kit import write_study


def drawn(random: np.random.Generator, n: int) -> np.ndarray:
    return random.normal(random.normal(), 10 ** random.uniform(-1.5, 0.5), n)


def posterior(sample: np.ndarray):
    """Of the mean, by a grid over mean and log standard deviation under the prior 1 / s."""
    n, middle, error = len(sample), sample.mean(), sample.std(ddof=1) / math.sqrt(len(sample))
    means = middle + error * np.sinh(np.linspace(-8, 8, 2001))  # far out, and dense in the middle
    # The log likelihood of each mean, its deviation integrated out on a grid of log s.
    squares = ((sample[:, None] - means) ** 2).sum(axis=0)
    logs = np.linspace(-6, 14, 1001)[:, None] + math.log(error)
    dense = np.exp(-n * logs - squares * np.exp(-2 * logs) / 2 + n * math.log(error)).sum(axis=0)
    cumulated = integrate.cumulative_trapezoid(dense, means, initial=0)
    return means, dense / cumulated[-1], cumulated / cumulated[-1]


def test_pairs_are_a_normal_likelihood_with_a_prior_that_says_nothing() -> None:
    random = random_kit.rng()
    for n in (3, 5, 12):
        a, b = drawn(random, n), drawn(random, n)
        margin = float(np.abs(a - b).mean())
        means, _, share = posterior(a - b)
        found = paired_chances(a, b, "lower", margin)
        below, above = np.interp([-margin, margin], means, share)
        assert found.better == pytest.approx(below, abs=5e-4)
        assert found.worse == pytest.approx(1 - above, abs=5e-4)
        assert found.better + found.same + found.worse == pytest.approx(1)


def test_two_samples_are_the_integral_of_behrens_and_fisher() -> None:
    random = random_kit.rng()
    for n, m in ((2, 5), (3, 3), (4, 11), (20, 6)):
        a, b = drawn(random, n), drawn(random, m)
        margin = float(random.uniform(0, 2) * a.std())
        of_a, of_b = (stats.t(len(x) - 1, x.mean(), stats.sem(x)) for x in (a, b))
        found = unpaired_chances(a, b, "lower", margin or None)
        # A sum over a fine grid of quantiles of the one, of the distribution of the other.
        at = of_b.ppf((np.arange(400_000) + 0.5) / 400_000)
        assert found.better == pytest.approx(of_a.cdf(at - margin).mean(), abs=3e-5)
        assert found.worse == pytest.approx(of_a.sf(at + margin).mean(), abs=3e-5)


@pytest.mark.parametrize("find", [paired_chances, unpaired_chances])
def test_direction_order_and_margin(find) -> None:
    random = random_kit.rng()
    a, b = drawn(random, 7), drawn(random, 7)
    one, other = find(a, b, "lower", 0.3), find(a, b, "higher", 0.3)
    assert (one.better, one.same, one.worse) == pytest.approx(
        (other.worse, other.same, other.better)
    )
    turned = find(b, a, "lower", 0.3)
    assert (turned.worse, turned.same) == pytest.approx((one.better, one.same))
    without = find(a, b, "lower")
    assert without.same == 0 and without.better + without.worse == pytest.approx(1)
    assert without.better >= one.better and find(a, b, "lower", 1e9).same == pytest.approx(1)
    assert not find([1.0], [2.0], "lower").known and not find([1, 1], [1, 1], "lower").known
    with pytest.raises(UserError, match="margin"):
        find(a, b, "lower", -1.0)


def test_without_a_margin_it_is_one_minus_the_one_sided_p() -> None:
    random = random_kit.rng()
    a, b = drawn(random, 6), drawn(random, 6)
    p = stats.ttest_rel(a, b, alternative="less").pvalue
    assert paired_chances(a, b, "lower").better == pytest.approx(1 - p)


def test_the_decision_has_them_where_means_tell_all() -> None:
    random = random_kit.rng()
    quantiles = stats.norm.ppf((np.arange(8) + 0.5) / 8)

    def of(*samples: np.ndarray, design: Design) -> list:
        made = {f"v{i}": Sample(x, x, list(range(len(x)))) for i, x in enumerate(samples)}
        return [d.chances for d in decide(made, "v0", design, Options(margin=0.2)).values()]

    base, a, lost = (1 + 0.1 * random.permutation(quantiles) for _ in range(3))
    lost[3] = math.inf
    far = a.copy()
    far[0] = 1e6
    for design in (Design(SEEDS), Design(SEEDS, paired=True)):
        find = paired_chances if design.paired else unpaired_chances
        found = of(base, a, lost, far, design=design)
        assert found[0] == find(a, base, "lower", 0.2)
        assert not found[1].known and not found[2].known
    (search,) = of(base, a, design=Design(SEARCH, share=0.5))
    (resplit,) = of(base, a, design=Design(SEEDS, resplit=True))
    assert not search.known and not resplit.known


def test_runs_that_share_seeds_or_overlap_have_none(tmp_path: Path) -> None:
    for key in ("seeds.split", "seeds.init"):
        axes = {key: range(3), "seeds.order": range(2)} if key == "seeds.init" else {key: range(4)}
        folder = write_study(
            tmp_path / key,
            kind="single",
            trials=1,
            cells=("lstm", "gru"),
            seed=random_kit.seed(key),
            compare=axes,
        )
        (comparison,) = make_comparisons(collect([folder]))
        assert comparison.kind == SEEDS
        (verdict,) = analyse(comparison, comparison.monitor, Options(draws=200)).verdicts
        assert not verdict.decision.chances.known and math.isfinite(verdict.decision.p)


def test_the_report_shows_them(tmp_path: Path, capsys) -> None:
    study = write_study(
        tmp_path / "s", kind="seeds", trials=5, cells=("lstm", "gru"), seed=random_kit.seed()
    )
    assert main([str(study), "--margin", "0.05", "--no-figures", "--format", "json"]) == 0
    (verdict,) = json.loads(capsys.readouterr().out)["comparisons"][0]["metrics"][0]["verdicts"]
    chances = verdict["chances"]
    assert set(chances) == {"better", "same", "worse"}
    if verdict["test"] == "ranks":  # a value lies far out, and means do not tell all
        assert set(chances.values()) == {None}
    else:
        assert sum(chances.values()) == pytest.approx(1)
