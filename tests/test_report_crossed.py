"""Studies whose seeds of weights, order and split vary: replicates, pairs, and crossed means."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import random_kit
from odyssey.config.seeds import Seeds
from odyssey.report.analysis.analyse import analyse
from odyssey.report.analysis.comparisons import make_comparisons
from odyssey.report.analysis.decisions import CANNOT_TELL, CROSSED, Sample, decide
from odyssey.report.analysis.options import Options
from odyssey.report.analysis.replicates import crossed_kinds
from odyssey.report.analysis.result import Variant
from odyssey.report.calibration.landscapes import CROSSED_DESIGN
from odyssey.report.calibration.rates import measure
from odyssey.report.calibration.tables import crossed_settings
from odyssey.report.io.collect import collect
from odyssey.report.io.runs import ReportRun
from odyssey.report.stats.crossed import crossed_difference, crossed_mean
from report_kit import write_study
from report_run_kit import CONFIG, write_run


def _grid(*shape: int) -> np.ndarray:
    return np.indices(shape).reshape(len(shape), -1).T


def test_the_errors_are_those_of_a_two_way_table() -> None:
    rng = random_kit.rng()
    i, j = (int(n) for n in rng.integers(2, 7, 2))
    table = rng.normal(size=(i, j)) + rng.normal(size=(i, 1)) + rng.normal(size=(1, j))
    found = crossed_mean(table.ravel(), _grid(i, j))
    rows, columns = table.mean(1), table.mean(0)
    residual = table - rows[:, None] - columns + table.mean()
    v_i, v_j = rows.var(ddof=1) / i, columns.var(ddof=1) / j
    rest = (residual**2).sum() / ((i - 1) * (j - 1)) / (i * j)
    errors = [math.sqrt(v) for v in (v_i, v_j, max(v_i, v_j, v_i + v_j - rest))]
    assert np.allclose([error for error, _ in found.errors], errors)
    df = (v_i + v_j) ** 2 / (v_i**2 / (i - 1) + v_j**2 / (j - 1))
    assert np.allclose([d for _, d in found.errors], [i - 1, j - 1, df])
    # The test is the worst of three t-tests; alone, each is scipy's.
    test = found.test()
    alone = [stats.ttest_1samp(m, 0).pvalue for m in (rows, columns)]
    joint = 2 * stats.t.sf(abs(table.mean()) / errors[2], df)
    assert test.p == pytest.approx(max(*alone, joint))
    for level in (0.5, 1 - test.p):  # the interval ends at 0 exactly at the level of p
        interval = found.test(level).difference
        assert interval.high - interval.value == pytest.approx(interval.value - interval.low)
    edge = min(abs(found.test(1 - test.p).difference.low), abs(interval.high))
    assert edge == pytest.approx(0, abs=1e-9) or test.p > 0.999


def test_equivalence_is_the_worst_of_two_one_sided_tests() -> None:
    rng = random_kit.rng()
    found = crossed_mean(rng.normal(0.1, 0.2, 12), _grid(3, 4))
    margin = 0.5
    ps = [stats.t.cdf((abs(found.value) - margin) / e, df) for e, df in found.errors]
    assert found.not_within(margin) == pytest.approx(max(ps))


def test_one_seed_a_run_is_an_ordinary_t_test() -> None:
    rng = random_kit.rng()
    a, b = rng.normal(size=7), rng.normal(size=5)
    levels = [np.arange(n)[:, None] for n in (7, 5)]
    one, two = crossed_mean(a, levels[0]), crossed_mean(b, levels[1])
    assert one.test().p == pytest.approx(stats.ttest_1samp(a, 0).pvalue)
    welch = stats.ttest_ind(a, b, equal_var=False)
    found = crossed_difference(one, two).test()
    assert (found.p, found.df) == (pytest.approx(welch.pvalue), pytest.approx(welch.df))


@pytest.mark.parametrize("shape", [(1, 4), (3, 1)])
def test_a_kind_with_one_seed_left_has_no_error(shape: tuple[int, int]) -> None:
    found = crossed_mean(random_kit.rng().normal(size=math.prod(shape)), _grid(*shape))
    assert math.isnan(found.test().p) and math.isnan(found.test().difference.low)
    assert math.isnan(crossed_mean(np.ones(6), _grid(2, 3)).test().p)  # nothing scatters


def _runs(seeds: list[tuple[int, ...]]) -> list[ReportRun]:
    return [ReportRun("s", f"r{i}", "finished", seeds=Seeds(*s)) for i, s in enumerate(seeds)]


def test_which_seeds_are_crossed() -> None:
    def kinds(*seeds: list[tuple[int, ...]]) -> tuple[str, ...]:
        return crossed_kinds(Variant("v", {}, "lstm", _runs(s)) for s in seeds)

    assert kinds(list(product(range(3), range(2)))) == ("init", "order")
    assert kinds(list(product(range(2), range(2), range(2)))) == ("init", "order", "split")
    assert kinds([(n, n) for n in range(4)]) == ()  # one seed a run
    assert kinds([(n, 0) for n in range(4)]) == ()  # the weights alone
    assert kinds([(0, 0, n) for n in range(4)]) == ()
    assert kinds([(n // 2, n) for n in range(4)]) == ("init", "order")  # nested
    assert kinds([(0, 0)], list(product(range(2), range(2)))) == ("init", "order")
    plain = [ReportRun("s", f"r{n}", "finished", seed=n) for n in range(3)]
    assert crossed_kinds([Variant("v", {}, "lstm", plain)]) == ()


def _crossed_study(folder: Path, effect: float, shape: tuple[int, int] = (4, 5)) -> Path:
    write_study(
        folder,
        cells=("lstm", "gru"),
        kind="single",
        trials=1,
        compare={"seeds.init": range(shape[0]), "seeds.order": range(shape[1])},
        effect={
            f"cell=gru seeds.init={i} seeds.order={j}": effect
            for i, j in product(range(shape[0]), range(shape[1]))
        },
        seed=random_kit.seed(),
    )
    return folder


def test_a_study_of_crossed_seeds_has_variants_of_cells_and_pairs(tmp_path: Path) -> None:
    collection = collect([_crossed_study(tmp_path / "s", -3.0)])
    assert collection.runs[0].drawn_from == Seeds(0, 0)
    (comparison,) = make_comparisons(collection)
    assert [v.label for v in comparison.variants] == ["lstm", "gru"]
    assert [len(v.runs) for v in comparison.variants] == [20, 20]
    assert comparison.kind == "seeds" and not comparison.searched
    analysis = analyse(comparison, "nats_per_frame", Options(draws=100, margin=0.01))
    (verdict,) = analysis.verdicts
    assert verdict.decision.test == CROSSED and verdict.decision.pairs == 20
    assert verdict.conclusion == "better", verdict.sentence
    assert "t over crossed seeds over 20 pairs" in verdict.sentence
    assert "weights and order of the data vary crosswise" in verdict.note
    low = analysis.summaries[0]
    assert math.isnan(low.median.low) and low.mean.low < low.mean.value < low.mean.high


def test_two_seeds_of_a_kind_are_not_enough_to_tell(tmp_path: Path) -> None:
    rng = random_kit.rng()
    levels = _grid(2, 2)
    keys = [tuple(row) for row in levels.tolist()]
    base = rng.normal(size=4) * 0.01
    one = base - 1 + np.array([0.4, -0.4])[levels[:, 0]]
    samples = {"b": Sample(base, base, keys, levels), "v": Sample(one, one, keys, levels)}
    decision = decide(samples, "b", CROSSED_DESIGN, Options())["v"]
    assert decision.conclusion == CANNOT_TELL and decision.needed == 4
    assert "the seeds of a kind are too few" in decision.reason


def test_runs_lost_with_a_seed_count_once(tmp_path: Path) -> None:
    """All five orders of one initialisation diverge: one seed of five, and not five of 25 runs."""
    rng = random_kit.rng()
    levels = _grid(5, 5)
    keys = [tuple(row) for row in levels.tolist()]
    base, one = rng.normal(size=25), rng.normal(size=25)
    one[levels[:, 0] < 2] = math.inf
    samples = {"b": Sample(base, base, keys, levels), "v": Sample(one, one, keys, levels)}
    decision = decide(samples, "b", CROSSED_DESIGN, Options())["v"]
    assert decision.lost == (10, 0) and decision.ended == (25, 25)
    assert decision.loss_p > 0.05  # of 10 of 25 runs it would be 0.0005
    assert decision.pairs == 15 and math.isfinite(decision.p)


def test_a_value_far_out_is_no_verdict() -> None:
    rng = random_kit.rng()
    levels = _grid(5, 5)
    keys = [tuple(row) for row in levels.tolist()]
    base, one = rng.normal(size=25), rng.normal(size=25)
    one[7] += 1e4
    samples = {"b": Sample(base, base, keys, levels), "v": Sample(one, one, keys, levels)}
    decision = decide(samples, "b", CROSSED_DESIGN, Options())["v"]
    assert decision.conclusion == CANNOT_TELL and "far out" in decision.reason
    assert math.isnan(decision.difference.low)


@pytest.mark.parametrize("place", [0, 4, 8, 12, 13])
def test_a_false_word_is_rare_where_seeds_act_strongly(place: int, seed: int) -> None:
    setting = crossed_settings()[place]
    found = measure(setting, 120, seed=seed, processes=1)
    assert found.wrong.value - 4 * found.wrong.error <= 0.06, (setting.name, found.wrong)
    if "both act" in setting.name and "unpaired" not in setting.name:
        assert found.paper.value > 0.15  # the runs taken for independent


def test_an_earlier_run_without_seeds_of_its_own_is_a_pair(tmp_path: Path) -> None:
    """`seed=3` and `seeds.init=3 seeds.order=3` saw the same weights and the same order."""
    config = CONFIG | {"seed": 3, "study": "s"}
    write_run(tmp_path / "s" / "lstm-music-00000001", config)
    apart = config | {"seed": 0, "seeds.init": 3, "seeds.order": 3, "seeds.split": None}
    write_run(tmp_path / "s" / "lstm-music-00000002", apart)
    runs = collect([tmp_path / "s"]).runs
    assert [run.drawn_from for run in runs] == [Seeds(3, 3), Seeds(3, 3)]
