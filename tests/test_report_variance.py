"""The variance budget: components of crossed factors, and what the report makes of them."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import random_kit
from odyssey.report.analysis.analyse import analyse
from odyssey.report.analysis.comparisons import make_comparisons
from odyssey.report.analysis.options import Options
from odyssey.report.analysis.result import Analysis
from odyssey.report.analysis.tables import make_tables
from odyssey.report.calibration.variance import Crossed, variance_rows
from odyssey.report.figures import figures
from odyssey.report.io.collect import collect
from odyssey.report.io.formats import to_csv, to_latex, to_markdown
from odyssey.report.stats.components import REST, _squares, budget
from report_kit import SPACE, plan_of, write_study
from test_report_items import write_items


def _grid(*shape: int) -> np.ndarray:
    return np.indices(shape).reshape(len(shape), -1).T


def test_of_a_balanced_table_it_is_the_analysis_of_variance() -> None:
    rng = random_kit.rng()
    i, j, k = (int(n) for n in rng.integers(2, 5, 3))
    table = rng.normal(size=(i, j, k)) + 2 * rng.normal(size=(i, 1, 1)) + rng.normal(size=(1, j, 1))
    found = budget([(table.ravel(), _grid(i, j, k))], ("a", "b", "c"))
    assert found is not None and found.runs == i * j * k
    mean, n, shape = table.mean(), table.size, table.shape
    effects = [
        table.mean(tuple(a for a in range(3) if a != axis), keepdims=True) - mean
        for axis in range(3)
    ]
    rest = table - mean - sum(effects)
    ms_rest = (rest**2).sum() / (n - 1 - sum(s - 1 for s in shape))
    ms = [n / s * (e**2).sum() / (s - 1) for s, e in zip(shape, effects, strict=True)]
    components = [max(0.0, (m - ms_rest) * s / n) for m, s in zip(ms, shape, strict=True)]
    total = sum(components) + ms_rest
    assert found.variance == pytest.approx(total)
    for name, component in zip(("a", "b", "c", REST), [*components, ms_rest], strict=True):
        share = found.shares[name]
        assert share.value == pytest.approx(component / total, abs=1e-12)
        assert 0 <= share.low <= share.value <= share.high <= 1


def test_of_a_table_with_gaps_the_components_are_unbiased() -> None:
    """Before those below 0 count as 0: their means over many tables, within five errors."""
    rng = random_kit.rng()
    levels = _grid(4, 5)[rng.permutation(20)[:16]]
    truth = np.array([1.5, 0.5, 1.0])
    found = []
    for _ in range(800):
        values = 7 + rng.normal(size=16)
        for k, count in enumerate((4, 5)):
            values += math.sqrt(truth[k]) * rng.normal(size=count)[levels[:, k]]
        s = _squares(values, levels)
        assert s is not None
        rest = s.sums[-1] / s.df[-1]
        found.append([*((s.sums[:-1] - rest * s.df[:-1]) / s.traces), rest])
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / math.sqrt(len(found))
    assert (np.abs(mean - truth) < 5 * error).all(), (mean, error)


def test_what_cannot_be_told_apart_has_no_budget() -> None:
    values = random_kit.rng().normal(size=6)
    each = np.arange(6)
    assert budget([(values, np.stack([each, each // 2], 1))], ("a", "b")) is None  # one seed a run
    assert budget([(values, np.stack([each // 2, each // 2], 1))], ("a", "b")) is None  # the same
    assert budget([(np.ones(6), _grid(2, 3))], ("a", "b")) is None  # nothing scatters
    assert budget([(values[:2], _grid(2, 1))], ("a", "b")) is None
    assert budget([], ("a", "b")) is None


@pytest.mark.parametrize(
    "known", [Crossed((5, 5), (1.0, 1.0, 1.0)), Crossed((10, 10), (2.0, 1.0, 1.0), lost=0.1)]
)
def test_estimates_are_near_the_truth_and_intervals_hold_it(known: Crossed, seed: int) -> None:
    for (name, rates), true in zip(
        variance_rows(known, 100, seed), known.truth.values(), strict=True
    ):
        estimate, held = rates["estimate"], rates["interval holds"]
        assert abs(estimate.value - true) < 0.05 + 4 * estimate.error, (name, estimate)
        assert held.value + 4 * held.error >= 0.93, (name, held)


def _crossed(folder: Path, cells: tuple[str, ...] = ("lstm", "gru")) -> Path:
    """Weights act strongly, the order does not."""
    shape = (4, 4)
    effects = random_kit.rng("effects").normal(size=(len(cells), shape[0])) * 2
    return write_study(
        folder,
        cells=cells,
        kind="single",
        trials=1,
        compare={"seeds.init": range(shape[0]), "seeds.order": range(shape[1])},
        effect={
            f"cell={cell} seeds.init={i} seeds.order={j}": float(effects[c, i])
            for (c, cell), i, j in product(enumerate(cells), range(shape[0]), range(shape[1]))
        },
        seed=random_kit.seed(),
    )


def _analysis(folder: Path) -> Analysis:
    (comparison,) = make_comparisons(collect([folder]))
    return analyse(comparison, "nats_per_frame", Options(draws=100, trees=8))


def test_the_report_has_a_table_and_a_figure_of_it(tmp_path: Path) -> None:
    folder = _crossed(tmp_path / "s")
    rng = random_kit.rng("items")
    for row in plan_of(folder):
        write_items(folder / row["run"], 9 + rng.normal(size=30), np.ones(30))
    analysis = _analysis(folder)
    rows = {row.label: row for row in analysis.variance}
    assert set(rows) == {"all variants", "lstm", "gru", "gru − lstm"}
    assert list(rows["lstm"].budget.shares) == ["init", "order", REST]
    assert rows["all variants"].budget.shares["init"].value > 0.7
    assert rows["gru − lstm"].budget.runs == 16 and rows["gru − lstm"].items > 0
    assert rows["gru − lstm"].items == analysis.items["gru"].error
    (table,) = [t for t in make_tables(analysis) if t.key == "variance"]
    heads = [c.name for c in table.columns]
    assert heads[3:] == [
        *("weights", "order of the data", "remainder", "error, seeds", "error, test sequences")
    ]
    assert to_csv(table).count("\n") == 5
    assert "weights" in to_markdown(table) and "booktabs" in to_latex(table)
    (figure,) = [f for f in figures(analysis, run_index={}) if f.key == "variance"]
    assert [tick.name for tick in figure.panels[0][0].y.ticks] == [*heads[3:5], "remainder"]
    assert {mark.name for mark in figure.marks} == {"lstm", "gru", "all variants"}


def test_one_variant_has_a_budget_of_its_own(tmp_path: Path) -> None:
    analysis = _analysis(_crossed(tmp_path / "s", ("lstm",)))
    assert [row.label for row in analysis.variance] == [analysis.comparison.variants[0].label]
    (figure,) = [f for f in figures(analysis, run_index={}) if f.key == "variance"]
    assert len(figure.marks) == 1 and not figure.legend


def test_a_study_of_one_seed_a_run_has_none(tmp_path: Path) -> None:
    analysis = _analysis(write_study(tmp_path / "s", kind="seeds", trials=5))
    assert analysis.variance == []
    assert "variance" not in [t.key for t in make_tables(analysis)]
    assert "variance" not in [f.key for f in figures(analysis, run_index={})]


def test_a_search_whose_trials_have_several_seeds_has_one_of_the_settings_too(
    tmp_path: Path,
) -> None:
    folder = write_study(
        tmp_path / "s",
        cells=("lstm", "gru"),
        trials=12,
        compare={"seeds.init": [0, 1, 2]},
        space={"optimizer.lr": SPACE["optimizer.lr"]},
        seed=random_kit.seed(),
    )
    analysis = _analysis(folder)
    assert [v.label for v in analysis.comparison.variants] == ["lstm", "gru"]
    assert "trials were run with several seeds each" in analysis.verdicts[0].note
    rows = {row.label: row for row in analysis.variance}
    assert set(rows) == {"all variants", "lstm", "gru"}
    assert list(rows["gru"].budget.shares) == ["settings", "init", REST]
    assert rows["all variants"].budget.shares["settings"].value > 0.5
