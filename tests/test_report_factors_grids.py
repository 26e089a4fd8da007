"""Which variants are a grid: factors that go together, levels that are left out, order."""

from __future__ import annotations

import math

import pytest

from factors_kit import settings_of
from odyssey.report.analysis.grids import find_grid
from random_kit import dice

CELLS = ["lstm", "gru", "rnn"]


def test_a_full_grid_in_any_order() -> None:
    settings = settings_of({"cell": CELLS, "model.hidden_size": [32, 8, 16]})
    shuffled = list(settings)
    dice().shuffle(shuffled)
    base = shuffled[4]
    grid = find_grid({label: settings[label] for label in shuffled}, base)
    assert grid is not None and not grid.left_out and not grid.along
    cell, size = grid.factors
    assert set(cell.levels) == set(CELLS) and size.levels == ("8", "16", "32")
    assert size.numbers == (8, 16, 32) and not cell.numbers
    assert cell.levels[cell.reference] == settings[base]["cell"]
    assert size.levels[size.reference] == settings[base]["model.hidden_size"]
    assert grid.name == "cell × hidden units"
    for i, one in enumerate(cell.levels):
        for j, other in enumerate(size.levels):
            assert settings[grid.cell((i, j))] == {"cell": one, "model.hidden_size": other}


def test_ten_by_four_and_three_factors() -> None:
    wide = settings_of({"cell": [f"c{i}" for i in range(10)], "bptt.length": [10, 20, 40, "null"]})
    grid = find_grid(wide, next(iter(wide)))
    assert grid is not None and len(grid.cells) == 40
    assert grid.factors[1].levels == ("10", "20", "40", "whole")
    assert grid.factors[1].numbers[-1] == math.inf
    three = settings_of({"cell": CELLS, "model.num_layers": [1, 2], "model.dropout": [0, 0.5]})
    grid = find_grid(three, next(iter(three)))
    assert grid is not None and [len(f.levels) for f in grid.factors] == [3, 2, 2]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"a": {"cell": "gru"}},
        settings_of({"cell": CELLS}),
        # One factor at a time: no two levels of two factors are combined.
        {"a": {"x": "0", "y": "0"}, "b": {"x": "1", "y": "0"}, "c": {"x": "0", "y": "1"}},
        # Zipped: one factor with two settings.
        {str(i): {"x": str(i), "y": str(2 * i)} for i in range(4)},
        # Each cell has sizes of its own.
        {f"{c}{s}": {"cell": c, "size": str(s)} for c, s in [("a", 1), ("a", 2), ("b", 3)]},
    ],
)
def test_what_is_no_grid(settings: dict[str, dict[str, str]]) -> None:
    assert find_grid(settings, next(iter(settings), "")) is None


def test_settings_that_go_together_are_one_factor() -> None:
    clips = [("none", "null"), ("norm", "1"), ("norm", "5"), ("value", "1")]
    settings = {
        f"{cell} {kind} {threshold}": {"cell": cell, "clip": kind, "clip.threshold": threshold}
        for cell in CELLS
        for kind, threshold in clips
    }
    grid = find_grid(settings, "lstm none null", [("clip", "clip.threshold"), ("cell",)])
    assert grid is not None and len(grid.factors) == 2
    clip = next(f for f in grid.factors if "clip" in f.keys)
    assert clip.keys == ("clip", "clip.threshold")
    assert clip.levels == ("none null", "norm 1", "norm 5", "value 1") and not clip.numbers


def test_a_setting_that_follows_from_a_factor_goes_along() -> None:
    rates = {"lstm": "0.1", "gru": "0.01", "rnn": "0.01"}
    settings = settings_of({"cell": CELLS, "model.hidden_size": [8, 16]})
    with_rates = {
        label: {"optimizer.lr": rates[own["cell"]], **own} for label, own in settings.items()
    }
    grid = find_grid(with_rates, next(iter(settings)))
    assert grid is not None and [f.keys for f in grid.factors] == [
        ("cell",),
        ("model.hidden_size",),
    ]
    assert grid.along == ("learning rate",)
    # One of its own for each combination.
    each = {
        label: {"optimizer.lr": str(i), **own} for i, (label, own) in enumerate(settings.items())
    }
    grid = find_grid(each, next(iter(settings)))
    assert grid is not None and grid.along == ("learning rate",) and len(grid.cells) == 6
    # As many values as the cell has, and a few that two combinations share.
    few = {"lstm": "lll", "gru": "ggx", "rnn": "yzz"}
    for values in (lambda cell, i: cell[0], lambda cell, i: few[cell][i % 3]):
        twins = {
            label: {"optimizer.lr": values(own["cell"], i), **own}
            for i, (label, own) in enumerate(settings.items())
        }
        grid = find_grid(twins, next(iter(settings)))
        assert grid is not None and len(grid.cells) == 6


def test_levels_that_lack_a_combination_are_left_out() -> None:
    settings = settings_of({"cell": CELLS, "model.hidden_size": [8, 16, 32]})
    settings.pop("rnn model.hidden_size=32")
    grid = find_grid(settings, "lstm model.hidden_size=8")
    assert grid is not None and len(grid.cells) == 6 and len(grid.left_out) == 2
    settings.pop("rnn model.hidden_size=16")
    grid = find_grid(settings, "lstm model.hidden_size=8")
    assert grid is not None and grid.left_out == ("rnn model.hidden_size=8",)
    assert find_grid(settings, "rnn model.hidden_size=8") is None  # its level lacks the others


def test_any_part_of_a_grid_that_is_found_is_whole_and_has_the_baseline() -> None:
    random, found = dice(), 0
    for _ in range(60):
        axes = {f"f{i}": list(range(random.randint(2, 4))) for i in range(random.randint(2, 3))}
        settings = settings_of(axes)
        kept = {k: v for k, v in settings.items() if random.random() < 0.85}
        if not kept:
            continue
        base = random.choice(list(kept))
        grid = find_grid(kept, base)
        if grid is None:
            assert len(kept) < len(settings)
            continue
        found += 1
        assert math.prod(len(f.levels) for f in grid.factors) == len(grid.cells)
        assert base in grid.cells and {*grid.cells, *grid.left_out} == set(kept)
        assert len(grid.factors) >= 2 and all(len(f.levels) >= 2 for f in grid.factors)
        assert grid.cell([f.reference for f in grid.factors]) == base
    assert found > 10
