"""Differences of variants over the test sequences, and their errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import random_kit
from odyssey.report.analysis.analyse import analyse
from odyssey.report.analysis.comparisons import make_comparisons
from odyssey.report.analysis.options import Options
from odyssey.report.analysis.result import Analysis
from odyssey.report.io.collect import collect
from odyssey.report.io.item_files import RunItems, read_items
from odyssey.report.payload import headline
from odyssey.report.pipeline import verdicts_as_json
from odyssey.report.stats.items import ItemsError
from odyssey.training.record import TEST_ITEMS
from report_kit import plan_of, write_study


def write_items(
    folder: Path,
    sums: np.ndarray,
    counts: np.ndarray,
    metric: Callable[[float], float] = lambda mean: mean,
    slope: float = 1.0,
    segment: int = 0,
    name: str = "nats_per_frame",
) -> float:
    """One score and one metric of it; the metric's value."""
    value = metric(sums.sum() / counts.sum())
    np.savez_compressed(
        folder / TEST_ITEMS,
        format=1,
        segment=segment,
        items=np.arange(len(sums), dtype=np.int32),
        scores=np.array(["nats"]),
        sums=sums[:, None].astype(np.float32),
        counts=counts[:, None].astype(np.float32),
        metrics=np.array([name]),
        values=np.array([value]),
        gradient=np.array([[slope]]),
    )
    return value


def test_contributions_make_up_the_metric_and_its_error_is_that_of_a_bootstrap(
    tmp_path: Path,
) -> None:
    """Of perplexity over sequences of unequal length, which is no mean of sequences."""
    rng = random_kit.rng()
    n = 300
    counts = rng.integers(1, 60, n).astype(float)
    sums = counts * (1 + 0.3 * rng.normal(size=n)) + rng.normal(size=n)
    mean = sums.sum() / counts.sum()
    value = write_items(tmp_path, sums, counts, math.exp, math.exp(mean))
    found = read_items(str(tmp_path))
    assert isinstance(found, RunItems)
    values = found.values["nats_per_frame"]
    assert values.mean() == pytest.approx(value, rel=1e-6)
    rows = rng.integers(0, n, (2000, n))
    drawn = np.exp(sums[rows].sum(1) / counts[rows].sum(1))
    assert values.std(ddof=1) / math.sqrt(n) == pytest.approx(drawn.std(), rel=0.1)


def _study(tmp_path: Path, seeds: int = 4) -> tuple[Path, dict[str, Path]]:
    """Two cells with the same seeds; run folders by their variants."""
    folder = write_study(
        tmp_path / "s", cells=("lstm", "gru"), kind="seeds", trials=seeds, seed=random_kit.seed()
    )
    return folder, {row["variant"]: folder / row["run"] for row in plan_of(folder)}


def _analysis(folder: Path) -> Analysis:
    (comparison,) = make_comparisons(collect([folder]))
    return analyse(comparison, "nats_per_frame", Options(draws=100))


def _items_of(runs: Mapping[str, Path], n: int = 50) -> dict[str, np.ndarray]:
    rng = random_kit.rng("items")
    hard = rng.normal(size=n)  # sequences that are hard for both
    found = {}
    for variant, path in runs.items():
        found[variant] = 9 + hard + 0.3 * rng.normal(size=n)
        write_items(path, found[variant], np.ones(n))
    return found


def test_the_error_is_that_of_differences_averaged_over_seeds(tmp_path: Path) -> None:
    folder, runs = _study(tmp_path)
    values = _items_of(runs)
    mean = {
        cell: np.mean([v for name, v in values.items() if f"cell={cell} " in name], axis=0)
        for cell in ("lstm", "gru")
    }
    analysis = _analysis(folder)
    found = analysis.items["gru"]
    each = mean["gru"] - mean["lstm"]
    assert found.difference == pytest.approx(each.mean(), rel=1e-4)
    assert found.error == pytest.approx(stats.sem(each), rel=1e-4)
    assert (found.items, found.pairs) == (50, 4)
    line = next(line for line in headline(analysis) if line["variant"] == "gru")
    assert (
        f"on other test sequences the difference would be {found.difference:+.3g} ± "
        in (line["sentence"])
    )
    said = verdicts_as_json([(analysis.comparison, [analysis])])
    (verdict,) = said["comparisons"][0]["metrics"][0]["verdicts"]
    assert verdict["test_items"]["error"] == found.error


DAMAGES: Mapping[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "text": lambda content: b"not a zip file",
    "flipped": lambda content: content[:60] + bytes(x ^ 255 for x in content[60:90]) + content[90:],
}


@pytest.mark.parametrize("how", [*DAMAGES, "later", "arrays", "folder"])
def test_a_damaged_file_is_a_note(how: str, tmp_path: Path) -> None:
    folder, runs = _study(tmp_path)
    _items_of(runs)
    one = runs["cell=gru seed=2"]
    file = one / TEST_ITEMS
    if how in DAMAGES:
        file.write_bytes(DAMAGES[how](file.read_bytes()))
    elif how == "folder":
        file.unlink()
        file.mkdir()
    else:
        with np.load(file) as arrays:
            content = dict(arrays)
        change = {"later": {"format": 2}, "arrays": {"counts": content["counts"][:-1]}}[how]
        np.savez(file, **{**content, **change})
    assert read_items(str(one)) == "damaged"
    analysis = _analysis(folder)
    assert analysis.items["gru"].pairs == 3
    (note,) = [note for note in analysis.notes if "single test sequences" in note]
    assert note.startswith("1 run has damaged values of single test sequences")
    assert one.name in note


def test_a_missing_file_is_a_note_where_others_have_one(tmp_path: Path) -> None:
    folder, runs = _study(tmp_path)
    assert _analysis(folder).items == {}
    assert not [n for n in _analysis(folder).notes if "single test sequences" in n]
    _items_of(runs)
    (runs["cell=lstm seed=0"] / TEST_ITEMS).unlink()
    analysis = _analysis(folder)
    assert analysis.items["gru"].pairs == 3
    assert [n for n in analysis.notes if "1 run has no values of single test sequences" in n]


def test_runs_with_other_items_are_no_pairs(tmp_path: Path) -> None:
    folder, runs = _study(tmp_path)
    _items_of(runs)
    for variant, path in runs.items():
        if "gru" in variant:
            write_items(path, np.arange(40.0), np.ones(40))
    assert _analysis(folder).items == {}


def test_the_limits_hold_the_difference_of_all_sequences(seed: int) -> None:
    """95% of test sets of 60 sequences, drawn from a population whose difference is known."""
    rng, held, studies = np.random.default_rng(seed), 0, 2000
    for _ in range(studies):
        counts = rng.integers(5, 40, 60).astype(float)
        hard = rng.normal(size=60)
        a, b = (counts * (1 + 0.3 * hard + 0.1 * rng.normal(size=60) + s) for s in (0.05, 0.0))
        total = counts.sum()
        each = [60 * (x - x.sum() / total * counts) / total + x.sum() / total for x in (a, b)]
        d = each[0] - each[1]
        held += abs(d.mean() - 0.05) <= ItemsError(0, stats.sem(d), 60, 1, 0).reach
    assert 0.92 <= held / studies <= 0.965
