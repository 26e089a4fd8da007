"""Several comparisons of one report as tasks: which are taken, what is said, and where it is."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import page_kit
import random_kit
from odyssey.report.analysis.comparisons import make_comparisons
from odyssey.report.analysis.options import Options
from odyssey.report.analysis.over_tasks import OverTasks, over_tasks
from odyssey.report.analysis.over_tasks_tables import over_tasks_tables
from odyssey.report.figures import mpl
from odyssey.report.figures.over_tasks import over_tasks_figures
from odyssey.report.figures.plotly import render
from odyssey.report.io.collect import collect
from odyssey.report.main import main
from odyssey.report.pipeline import analyse_all
from report_kit import write_study

CELLS = ("lstm", "gru", "rnn", "cifg")


def write(folder: Path, name: str, **kwargs) -> Path:
    fields = {
        "kind": "seeds",
        "trials": 5,
        "cells": CELLS,
        "data": name,
        "seed": random_kit.seed(name),
    }
    return write_study(folder / name, **(fields | kwargs))


def read(folders: Sequence[Path]) -> OverTasks | None:
    options = Options(draws=200)
    comparisons = make_comparisons(collect(list(folders)))
    return over_tasks(analyse_all(comparisons, options, None, lambda text: None), options)


def test_each_task_is_a_vote_in_its_own_metric_and_direction(tmp_path: Path) -> None:
    # Values of metrics of which higher is better are negative there; these are above 0.
    high = {"lstm": -20.0, "cifg": -20.0, "gru": -23.0, "rnn": -17.0}
    folders = [
        write(tmp_path, "one", effect={"gru": -3.0, "rnn": 3.0}),
        write(tmp_path, "two", metrics=("accuracy",), mode="max", effect=high, trials=7),
        write(tmp_path, "three", cells=("lstm", "mgu", "gru", "rnn"), effect={"gru": -3.0}),
    ]
    found = read(folders)
    assert found is not None and len(found.tasks) == 3
    assert found.labels[0] == "gru" and set(found.labels) == {"lstm", "gru", "rnn"}
    assert found.baseline == "lstm"
    assert any("left out here: cifg, mgu" in note or "mgu, cifg" in note for note in found.notes)
    assert found.ranks["gru"] == [1, 1, 1]
    for task, analysis in enumerate(found.analyses):
        means = [found.mean(task, label).value for label in found.labels]
        sign = 1 if analysis.better == "lower" else -1
        assert [found.ranks[label][task] for label in found.labels] == list(
            stats.rankdata(sign * np.array(means))
        )
    wins = found.wins["gru"]
    assert (wins.wins, wins.ties, wins.losses, wins.p) == (3, 0, 0, 0.25)
    gru = found.ratios["gru"]
    assert gru.mean.high < 1 and gru.iqm.low <= gru.iqm.value <= gru.iqm.high
    assert found.profiles["gru"].share[-1] == 1 and found.profiles["gru"].share[0] == 0
    assert "fewer than 5 cannot tell" in found.agreement() or "Cannot tell" in found.agreement()
    assert "cannot be told from chance" in found.votes()


def test_one_task_or_one_shared_variant_is_no_section(tmp_path: Path) -> None:
    one = write(tmp_path, "one")
    assert read([one]) is None
    other = write(tmp_path, "other", cells=("lstm", "mgu"))
    assert read([one, other]) is None
    third = write(tmp_path, "third", cells=("gru", "lstm"))
    found = read([one, other, third])
    assert found is not None and len(found.tasks) == 2 and set(found.labels) == {"lstm", "gru"}
    assert any("other" in note and "left out" in note for note in found.notes)


def test_lost_runs_are_the_worst_and_take_the_intervals_of_ranks(tmp_path: Path) -> None:
    folders = [write(tmp_path, "one"), write(tmp_path, "two", diverged=0.4)]
    every = write(tmp_path, "gone", diverged=1.0)
    found = read(folders)
    assert found is not None
    assert all(math.isnan(i.low) for i in found.mean_rank.values())
    assert any("lost" in note for note in found.notes)
    place = [a.comparison.data for a in found.analyses].index("two")
    shares = [i[place] for i in found.ranks.values()]
    assert sum(shares) == 1 + 2 + 3 + 4
    none = read([*folders, every])
    assert none is not None and not none.ratios and not none.profiles
    gone = [a.comparison.data for a in none.analyses].index("gone")
    assert {ranks[gone] for ranks in none.ranks.values()} == {2.5}
    assert any("every run of the baseline was lost" in note for note in none.notes)
    assert [figure.key for figure in over_tasks_figures(none)] == ["ranks"]


def test_values_without_a_ratio_and_single_runs(tmp_path: Path) -> None:
    below = {cell: -20.0 for cell in CELLS}
    found = read([write(tmp_path, "one"), write(tmp_path, "two", effect=below)])
    assert found is not None and not found.ratios
    assert any("0 or below" in note for note in found.notes)
    single = [write(tmp_path, n, kind="single", trials=1) for n in ("three", "four")]
    found = read(single)
    assert found is not None and any("one run" in note for note in found.notes)
    assert math.isnan(found.ratios["gru"].mean.low) and np.isnan(found.profiles["gru"].low).all()
    tables = {table.key: table for table in over_tasks_tables(found)}
    assert "No intervals" in tables["ratios"].note
    assert {f.key for f in over_tasks_figures(found)} == {"ranks", "profiles"}


def test_single_runs_beside_a_study_are_no_task_and_runs_to_come_are_told(tmp_path: Path) -> None:
    seeds = write(tmp_path, "one")
    by_hand = write(tmp_path, "two", kind="single", trials=1)
    assert read([seeds, by_hand]) is None
    found = read([seeds, by_hand, write(tmp_path, "three", missing=0.4)])
    assert found is not None and len(found.tasks) == 2
    assert any("has one run of each variant" in note for note in found.notes)
    assert any(note == "Preliminary: 8 runs to come." for note in found.notes)


def test_runs_that_share_seeds_have_no_intervals(tmp_path: Path) -> None:
    crossed = {"seeds.init": range(3), "seeds.order": range(3)}
    folders = [
        write(tmp_path, "one"),
        write(tmp_path, "two", kind="single", trials=1, compare=crossed),
    ]
    found = read(folders)
    assert found is not None and any("vary crosswise" in note for note in found.notes)
    assert all(math.isnan(i.low) for i in found.mean_rank.values())
    assert math.isfinite(found.ratios["gru"].mean.value)
    assert all(math.isnan(a.iqm.low) for a in found.ratios.values())
    assert np.isnan(found.profiles["gru"].low).all()


@pytest.mark.slow
def test_searches_have_ranks_and_no_ratios(tmp_path: Path) -> None:
    rate = {"optimizer.lr": {"distribution": "log_uniform", "low": 1e-6, "high": 1e-2}}
    more = {"kind": "search", "trials": 20, "space": rate, "cells": ("lstm", "gru")}
    found = read([write(tmp_path, n, **more) for n in ("one", "two")])
    assert found is not None and not found.ratios and set(found.labels) == {"lstm", "gru"}
    for interval in found.mean_rank.values():
        assert 1 <= interval.low <= interval.value <= interval.high <= 2
    assert any("no sample" in note for note in found.notes)


def test_many_tasks_can_tell(tmp_path: Path) -> None:
    effect = {"gru": -3.0, "rnn": 3.0}
    folders = [
        write(tmp_path, f"t{i}", effect=effect, trials=3, cells=("lstm", "gru", "rnn"))
        for i in range(7)
    ]
    found = read(folders)
    assert found is not None
    assert "These tasks agree on an order" in found.agreement()
    assert "cannot tell" not in found.agreement()
    assert "gru (7 to 0)" in found.votes() and "rnn (0 to 7)" in found.votes()
    assert [found.mean_rank[label].value for label in ("gru", "lstm", "rnn")] == [1, 2, 3]
    for figure in over_tasks_figures(found):
        assert render(figure).traces


def test_the_report_writes_and_prints_it(tmp_path: Path, capsys) -> None:
    folders = [write(tmp_path, "one"), write(tmp_path, "two", trials=6)]
    out = tmp_path / "report"
    assert main([*map(str, folders), "--out", str(out), "--no-figures"]) == 0
    printed = capsys.readouterr().out
    found = read(folders)
    assert found is not None
    assert printed.startswith("over all tasks\n  Mean rank over 2 tasks: ")
    ranks = out / "tables" / "over-tasks" / "ranks.csv"
    rows = list(csv.DictReader(ranks.open(encoding="utf-8")))
    assert [row["variant"] for row in rows] == found.labels
    for key in ("ranks", "means", "ratios"):
        for suffix in ("csv", "md", "tex"):
            assert (ranks.parent / f"{key}.{suffix}").stat().st_size
    verdict = json.loads((out / "verdict.json").read_text())["over_tasks"]
    assert [v["variant"] for v in verdict["variants"]] == found.labels
    assert verdict["friedman"]["smallest"] == pytest.approx(1 / 24)
    assert len(verdict["sentences"]) == 3


@pytest.mark.slow
def test_the_page_has_the_section_above_whichever_comparison_is_shown(tmp_path: Path) -> None:
    folders = [write(tmp_path, "one"), write(tmp_path, "two", trials=6)]
    out = tmp_path / "report"
    assert main([*map(str, folders), "--out", str(out), "--no-figures"]) == 0
    found = read(folders)
    assert found is not None
    for figure in over_tasks_figures(found):
        mpl.draw(figure).savefig(out / f"{figure.key}.pdf")
        assert (out / f"{figure.key}.pdf").stat().st_size > 5000
    with page_kit.chromium() as browser:
        page = browser.new_page(viewport={"width": 1200, "height": 2400})
        page.goto(f"file://{out / 'index.html'}")
        page.wait_for_selector("html[data-ready=yes]")
        section = page.locator("section#tasks")
        assert section.locator("h2").inner_text() == "Over all tasks"
        assert section.locator("figure").count() == 2
        assert section.locator("table").count() >= 3
        page.wait_for_selector("section#tasks figure .plot[data-drawn=yes]")
        # It stays as it is where another comparison is looked at.
        other = page.locator("#answer .switches button[aria-pressed=false]").first
        name = other.inner_text()
        other.click()
        page.wait_for_function(
            "name => document.querySelector('#answer h2').innerText === name", arg=name
        )
        assert section.locator("figure .plot[data-drawn=yes]").count() >= 1
        page.close()


def test_a_report_of_one_task_says_nothing_of_several(tmp_path: Path, capsys) -> None:
    folder = write(tmp_path, "one", trials=3)
    assert main([str(folder), "--no-figures"]) == 0
    assert "over all tasks" not in capsys.readouterr().out
    report = folder / "report"
    assert json.loads((report / "verdict.json").read_text())["over_tasks"] is None
    assert not (report / "tables" / "over-tasks").exists()
