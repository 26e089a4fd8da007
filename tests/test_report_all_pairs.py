"""Every pair of variants: the family, the groups, the table and the figure."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

import random_kit
from odyssey.report.analysis.all_pairs import AllPairs, groups, opposite
from odyssey.report.analysis.analyse import analyse
from odyssey.report.analysis.compare_pairs import compare_all
from odyssey.report.analysis.comparisons import make_comparisons
from odyssey.report.analysis.decisions import (
    BETTER,
    NO_DIFFERENCE,
    PROMISING,
    SAME,
    SEARCH,
    SEEDS,
    WORSE,
    Design,
    Sample,
    decide,
    decide_pairs,
)
from odyssey.report.analysis.options import Options
from odyssey.report.analysis.result import Analysis
from odyssey.report.analysis.tables import make_tables
from odyssey.report.figures.all_pairs import all_pairs
from odyssey.report.figures.view import View
from odyssey.report.io.collect import collect
from odyssey.report.main import main
from odyssey.report.stats.tests import holm, paired_t, welch
from report_kit import SPACE, write_study

CELLS = ("lstm", "gru", "rnn", "cifg")


def study(folder: Path, **kwargs) -> Analysis:
    fields = {"kind": "seeds", "trials": 6, "cells": CELLS, "seed": random_kit.seed()}
    write_study(folder, **(fields | kwargs))
    (comparison,) = make_comparisons(collect([folder]))
    return analyse(comparison, comparison.monitor, Options(draws=200))


@pytest.mark.parametrize("paired", [False, True])
def test_the_family_is_all_pairs_after_holm(paired: bool) -> None:
    random = random_kit.rng(paired)
    samples = {}
    for i in range(5):
        values = random.permutation(np.linspace(-1, 1, 7)) + 0.6 * i
        samples[f"v{i}"] = Sample(values, values, list(range(7)))
    pairs = list(combinations(samples, 2))
    found = decide_pairs(samples, pairs, Design(SEEDS, paired=paired), Options())
    test = paired_t if paired else welch
    ps = [test(samples[a].test, samples[b].test).p for a, b in pairs]
    assert [d.p for d in found.values()] == pytest.approx(ps)
    assert [d.holm_p for d in found.values()] == pytest.approx(list(holm(ps)))
    for d in found.values():
        excluded = not d.difference.low <= 0 <= d.difference.high
        assert excluded == (d.conclusion in (BETTER, WORSE))


def test_the_pairs_with_the_baseline_are_its_own_family() -> None:
    random = random_kit.rng()
    samples = {f"v{i}": Sample(x, x) for i, x in enumerate(random.normal(size=(4, 6)))}
    alone = decide(samples, "v0", Design(SEEDS), Options())
    pairs = [(label, "v0") for label in samples if label != "v0"]
    same = decide_pairs(samples, pairs, Design(SEEDS), Options())
    assert [d.holm_p for d in alone.values()] == [d.holm_p for d in same.values()]
    assert list(alone) == [a for a, _ in same]


def test_groups_are_the_largest_sets_without_a_different_pair() -> None:
    """Against all subsets, one by one."""
    random = random_kit.rng()
    for _ in range(40):
        labels = [f"v{i}" for i in range(int(random.integers(1, 8)))]
        pairs = [pair for pair in combinations(labels, 2) if random.random() < 0.4]
        wanted = []
        for size in range(len(labels), 0, -1):
            for chosen in combinations(labels, size):
                alone = not any(a in chosen and b in chosen for a, b in pairs)
                if alone and not any(set(chosen) < set(other) for other in wanted):
                    wanted.append(chosen)
        found = groups(labels, pairs)
        assert sorted(map(tuple, found)) == sorted(wanted)
        assert all(group == sorted(group) for group in found)


def test_words_and_differences_turn_round() -> None:
    random = random_kit.rng()
    a, b = (random.permutation(np.linspace(0, 1, 8)) + by for by in (0, 2))
    samples = {"a": Sample(a, a), "b": Sample(b, b)}
    decided = decide_pairs(samples, [("a", "b")], Design(SEEDS), Options())
    found = AllPairs(["a", "b"], decided)
    assert (found.word("a", "b"), found.word("b", "a"), found.word("a", "a")) == (BETTER, WORSE, "")
    assert (
        found.difference("a", "b")
        == -found.difference("b", "a")
        == decided["a", "b"].p * 0 + (a.mean() - b.mean())
    )
    assert found.decision("b", "a") is decided["a", "b"]
    assert [opposite(w, True) for w in (PROMISING, WORSE, SAME, NO_DIFFERENCE)] == [
        WORSE, PROMISING, SAME, NO_DIFFERENCE,
    ]  # fmt: skip


def test_a_report_has_the_table_the_figure_and_the_sentence(tmp_path: Path, capsys) -> None:
    effect = {"gru": 5.0, "rnn": 5.0}
    folder = tmp_path / "s"
    analysis = study(folder, effect=effect)
    found = analysis.all_pairs
    assert found is not None and len(found.decisions) == 6
    assert set(found.labels[:2]) == {"lstm", "cifg"}
    assert {tuple(sorted(pair)) for pair in found.different} >= {
        ("cifg", "gru"), ("cifg", "rnn"), ("gru", "lstm"), ("lstm", "rnn"),
    }  # fmt: skip
    (table,) = [t for t in make_tables(analysis) if t.key == "all-pairs"]
    assert len(table.rows) == 6 and found.sentence() in table.note
    figure = all_pairs(View(analysis, {}))
    assert figure is not None
    (heat,) = figure.marks
    place = {label: i for i, label in enumerate(heat.rows)}
    assert heat.texts[place["lstm"]][place["gru"]] == "better"
    assert heat.short[place["gru"]][place["cifg"]] == "−"
    assert heat.values[place["lstm"]][place["gru"]] < 0
    assert all(math.isnan(heat.values[i][i]) for i in range(4))

    assert main([str(folder), "--no-figures"]) == 0
    assert f"all pairs: {found.sentence()}" in capsys.readouterr().out
    (file,) = (folder / "report" / "tables").rglob("all-pairs.csv")
    rows = list(csv.DictReader(file.open(encoding="utf-8")))
    assert [(row["variant"], row["against"]) for row in rows] == list(found.decisions)
    verdict = json.loads((folder / "report" / "verdict.json").read_text())
    pairs = verdict["comparisons"][0]["metrics"][0]["all_pairs"]
    assert len(pairs["pairs"]) == 6 and pairs["groups"] == found.groups


def test_lost_runs_and_variants_without_a_run(tmp_path: Path) -> None:
    analysis = study(tmp_path / "s", trials=10, diverged=1.0, cells=("lstm", "gru", "rnn"))
    found = analysis.all_pairs
    assert found is not None and not found.different
    assert all_pairs(View(analysis, {})) is not None
    missing = study(tmp_path / "m", missing=1.0)
    assert missing.all_pairs is not None and not missing.all_pairs.decisions
    two = study(tmp_path / "t", cells=("lstm", "gru"))
    assert two.all_pairs is not None and not two.all_pairs.sentence()


def test_a_search_that_would_take_minutes_has_none(tmp_path: Path) -> None:
    rate = {"optimizer.lr": SPACE["optimizer.lr"]}  # importance takes its time
    write_study(tmp_path / "s", trials=8, cells=CELLS, seed=random_kit.seed(), space=rate)
    (comparison,) = make_comparisons(collect([tmp_path / "s"]))
    analysis = analyse(comparison, comparison.monitor, Options(draws=200))
    found = analysis.all_pairs
    assert found is not None and found.search and len(found.decisions) == 6
    many = Options(draws=20_000_000)
    none = compare_all(comparison, analysis.summaries, "lower", many, comparison.monitor)
    assert not none.decisions and "20,000,000 permutations" in none.sentence()
    adaptive = [replace(study, sampler="tpe") for study in comparison.studies]
    told = replace(comparison, studies=adaptive)
    none = compare_all(told, analysis.summaries, "lower", Options(), comparison.monitor)
    assert comparison.kind == SEARCH and "adaptive" in none.sentence()
