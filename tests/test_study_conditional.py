"""Settings that apply to some choices of a study: set there, left out elsewhere, never twice."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

import random_kit
from grid_kit import records, sweep
from odyssey.config.compose import compose
from odyssey.config.identity import run_name
from odyssey.errors import UserError
from odyssey.report.analysis.grids import find_grid
from odyssey.study.plan import Plan, prepare
from odyssey.study.state import read_study
from odyssey.study.summary import sections

CELL = """
from torch import tanh
from odyssey.cells import Cell

class Decaying(Cell):
    gates = ("n",)

    def __init__(self, *sizes, rate: float = 0.9, **rest):
        self.rate = rate
        super().__init__(*sizes, **rest)

    def step(self, x, R, p, s):
        return self.rate * s.h + (1 - self.rate) * tanh(x.n + R.n(s.h))
"""
MOMENTUM = ("optimizer=sgd,adam", "optimizer.momentum=interval(0,0.9)", "hydra/sweeper=search")
BASIC = "hydra/launcher=basic"  # no server to start
LAYERS = ("model.num_layers=int(interval(1,2))", "model.dropout=interval(0,0.9)")


def plan(*words: str) -> Plan:
    found = prepare(words)
    assert found is not None
    for trial in found.trials:  # each can be repeated alone, and is the run that the plan names
        assert run_name(compose(trial.words)) == trial.run
    return found


def variants(p: Plan) -> list[str]:
    return list(dict.fromkeys(trial.variant for trial in p.trials))


@pytest.fixture
def decaying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A configuration folder with a cell of one's own that has an option."""
    (tmp_path / "cells_with_a_rate.py").write_text(CELL)
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "conf" / "cell"
    folder.mkdir(parents=True)
    (folder / "decaying.yaml").write_text(
        "defaults:\n  - /schema/cell@_here_\n_target_: cells_with_a_rate.Decaying\n"
    )
    return f"hydra.searchpath=[file://{tmp_path / 'conf'}]"


def test_an_option_of_ones_own_cell_beside_a_cell_that_has_none(decaying):
    p = plan(decaying, "cell=decaying,lstm", "cell.options.rate=0.5,0.9", "seed=0,1")
    rates = [f"cell=decaying cell.options.rate={r} seed={s}" for r in (0.5, 0.9) for s in (0, 1)]
    assert [t.variant for t in p.trials] == [*rates, "cell=lstm seed=0", "cell=lstm seed=1"]
    assert len({t.run for t in p.trials}) == 6
    alone = plan("cell=lstm", "seed=0,1")
    assert [t.run for t in alone.trials] == [t.run for t in p.trials[-2:]]
    assert p.notes == (
        "cell.options.rate is not an option of LSTM; it is left out there, and set where it "
        "applies",
    )
    assert p.record().variants == 6
    with pytest.raises(UserError, match="cell.options.rat=0.5 is not an option of"):
        prepare([decaying, "cell=decaying,lstm", "cell.options.rat=0.5,0.9"])


def test_the_note_has_no_question(decaying, tmp_path):
    text = (tmp_path / "cells_with_a_rate.py").read_text()
    other = text.replace("Decaying", "Other").replace("rate", "rates")
    (tmp_path / "other_cells.py").write_text(other)
    cells = "cell._target_=cells_with_a_rate.Decaying,other_cells.Other"
    p = plan("cell=rnn", cells, "cell.options.rate=0.5")
    assert p.notes == (
        "cell.options.rate is not an option of Other; it is left out there, and set where it "
        "applies",
    )


CASES = [
    ("optimizer=sgd,adam optimizer.momentum=0,0.5", ["sgd 0", "sgd 0.5", "adam"]),
    ("optimizer.beta1=0.8 optimizer=rmsprop,adam,sgd", ["rmsprop", "adam", "sgd"]),
    ("cell=rnn,lstm cell.forget_bias=0,2", ["rnn", "lstm 0", "lstm 2"]),
    ("decay=none,plateau decay.patience=1,3", ["none", "plateau 1", "plateau 3"]),
    ("clip=norm,none clip.threshold=1,2", ["norm 1", "norm 2", "none"]),
    ("task=charlm,mnist task.order=rows,pixels", ["charlm", "mnist rows", "mnist pixels"]),
    ("model.num_layers=1,2 model.dropout=0,0.5", ["1 0", "2 0", "2 0.5"]),
    ("model.num_layers=1,2 model.dropout=0.5", ["1", "2"]),
    ("model.init.kind=null,normal model.init.scale=0.1,0.2", ["null", "normal 0.1", "normal 0.2"]),
]


@pytest.mark.parametrize(("words", "expected"), CASES, ids=[words for words, _ in CASES])
def test_each_setting_is_where_it_applies(words, expected):
    typed = words.split()
    random_kit.dice(0).shuffle(typed)
    p = plan(*typed)
    shown = [" ".join(sorted(w.partition("=")[2] for w in v.split())) for v in variants(p)]
    wanted = [" ".join(sorted(one.split())) for one in expected]
    assert sorted(shown) == sorted(wanted)
    assert len(p.trials) == len(expected) == len({t.run for t in p.trials})
    assert len(p.notes) == 1


def test_a_value_that_applies_nowhere_is_a_mistake():
    for words, said in (
        (["optimizer=adam,adagrad", "optimizer.momentum=0"], "optimizer.momentum=0 is not an"),
        (["model.dropout=0,0.5", "cell=rnn,gru"], "model.dropout=0.5 is without effect"),
        (["model.hiden=3", "cell=rnn,gru"], "model.hiden=3 is not an option"),
        (["hydra/sweeper=search", *MOMENTUM[1:2], "cell=rnn,gru"], "optimizer.momentum="),
    ):
        with pytest.raises(UserError) as raised:
            prepare(words)
        (message,) = raised.value.messages
        assert message.startswith(said)


def test_a_searched_setting_is_drawn_where_it_applies(tmp_path):
    lr = "optimizer.lr=tag(log,interval(1e-4,1e-1))"
    for how in ("random", "sobol"):
        words = (*MOMENTUM, lr, "hydra.sweeper.trials=5", f"hydra.sweeper.sampler={how}")
        p = plan(*words, "hydra.sweeper.draws=shared")
        assert variants(p) == ["optimizer=sgd", "optimizer=adam"]
        for trial in p.trials:
            has = any(w.startswith("optimizer.momentum=") for w in trial.words)
            assert has == ("sgd" in trial.variant)
        by_variant = [
            [w for t in p.trials if t.variant == v for w in t.words if ".lr=" in w]
            for v in variants(p)
        ]
        assert by_variant[0] == by_variant[1]  # the other draws are shared as ever
        assert p.active[("optimizer=adam",)] == {"optimizer.lr"}


@pytest.mark.parametrize("draws", ["shared", "independent"])
def test_what_applies_to_some_trials_is_drawn_in_those(draws):
    words = ("hydra/sweeper=search", *LAYERS, f"hydra.sweeper.draws={draws}")
    p = plan(*words, "cell=rnn,gru", "hydra.sweeper.trials=12")
    layers = {
        ("num_layers=1" in " ".join(t.words), "dropout" in " ".join(t.words)) for t in p.trials
    }
    assert layers == {(True, False), (False, True)}
    assert variants(p) == ["cell=rnn", "cell=gru"]


def test_independent_draws_are_those_that_a_variant_has_alone():
    words = (*MOMENTUM[1:], "optimizer.lr=interval(0.1,1)", "hydra.sweeper.draws=independent")
    beside = plan("optimizer=sgd,adam", "clip=norm,none", "clip.threshold=1,2", *words)
    alone = plan("optimizer=adam,sgd", "clip=none,norm", "clip.threshold=2,1", *words)
    assert {t.run for t in beside.trials} == {t.run for t in alone.trials}
    assert len(variants(beside)) == 6


@pytest.mark.slow
def test_a_study_of_conditional_settings(tmp_path, decaying, capsys):
    words = (BASIC, decaying, "cell=decaying,lstm", "cell.options.rate=0.5,0.9", "seed=0,1")
    assert sweep(tmp_path, *words) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "note: cell.options.rate is not an option of LSTM; it is left out there" in said
    assert len(records(tmp_path)) == 6
    study = read_study(tmp_path / "s")
    (section,) = sections(study)
    assert sorted(v.label for v in section.variants) == [
        "cell=decaying cell.options.rate=0.5",
        "cell=decaying cell.options.rate=0.9",
        "cell=lstm",
    ]
    assert sweep(tmp_path, *words) == 0
    assert "6 runs: 6 finished already, 0 to do" in capsys.readouterr().out


@pytest.mark.slow
def test_what_is_typed_for_all_and_applies_to_some_stays_as_it_was(tmp_path, capsys):
    assert sweep(tmp_path, BASIC, "cell=rnn,lstm", "cell.forget_bias=1") == 0
    fixed = json.loads((tmp_path / "s" / "study.json").read_text())["fixed"]
    assert fixed["cell.forget_bias"] == 1.0
    assert sweep(tmp_path, BASIC, "cell=lstm,gru", "cell.forget_bias=2") == 2
    assert "cell.forget_bias is 1.0 there and 2.0 here" in capsys.readouterr().err
    assert sweep(tmp_path, BASIC, "cell=lstm,gru", "cell.forget_bias=1") == 0


@pytest.mark.slow
def test_an_adaptive_search_proposes_what_applies(tmp_path, capsys):
    pytest.importorskip("optuna")
    words = (*MOMENTUM, "optimizer.lr=tag(log,interval(1e-4,1e-1))", *LAYERS)
    words += ("hydra.sweeper.sampler=tpe", "hydra.sweeper.trials=13", BASIC)
    assert sweep(tmp_path, *words) == 0
    study = read_study(tmp_path / "s")
    assert len(study.trials) == 26 and study.to_come == 0
    for row in study.trials:
        assert ("optimizer.momentum=" in row.overrides) == ("sgd" in row.variant)
        assert ("model.dropout=" in row.overrides) == ("model.num_layers=2" in row.overrides)
    before = (tmp_path / "s" / "trials.csv").read_text()
    capsys.readouterr()
    assert sweep(tmp_path, *words) == 0
    said = capsys.readouterr().out
    assert re.search(r"26 trials, \d+ runs: \d+ finished already, 0 to do|26 runs: 26 fin", said)
    assert (tmp_path / "s" / "trials.csv").read_text().count("\n") == before.count("\n")


@pytest.mark.slow
def test_a_fixed_setting_that_applies_to_some_choices(tmp_path):
    """Hydra itself would refuse it beside the default optimizer."""
    assert sweep(tmp_path, BASIC, "optimizer=sgd,adam", "optimizer.momentum=0.3") == 0
    given = {row.variant: row.overrides for row in read_study(tmp_path / "s").trials}
    assert "optimizer.momentum=0.3" in given["optimizer=sgd"]
    assert "optimizer.momentum" not in given["optimizer=adam"]


@pytest.mark.slow
def test_a_search_of_conditional_settings_is_reported_and_confirmed(tmp_path):
    from odyssey.confirm import main as confirm
    from odyssey.report.main import main as report

    lr = "optimizer.lr=tag(log,interval(1e-3,1e-1))"
    assert sweep(tmp_path, *MOMENTUM, lr, "hydra.sweeper.trials=12", BASIC) == 0
    assert report([str(tmp_path / "s")]) == 0
    (file,) = (tmp_path / "s" / "report" / "tables").glob("*/bits_per_char/importance.csv")
    head, *rows = csv.reader(file.open())
    by_name = {row[0]: row for row in rows}
    momentum = [place for place, column in enumerate(head) if column.startswith("momentum")]
    adam, sgd, both = (
        [by_name[name][place] for place in momentum]
        for name in ("optimizer adam", "optimizer sgd", "all variants")
    )
    assert momentum and not any(adam) and not any(both) and all(sgd)
    assert [row[1] for row in rows] == ["12", "12", "24"]
    assert "optimizer.momentum is no setting of all variants" in by_name["all variants"][-1]

    assert confirm([str(tmp_path / "s"), "--seeds", "2", BASIC]) == 0
    found = read_study(tmp_path / "s-confirmed")
    assert found.counts()["finished"] == 4
    for row in found.trials:
        assert ("optimizer.momentum=" in row.overrides) == ("sgd" in row.variant)


def test_no_factor_is_claimed_of_a_setting_that_one_level_has():
    cells = {f"decaying {r}": {"cell": "decaying", "rate": str(r)} for r in (0.5, 0.9)}
    alone = cells | {"lstm": {"cell": "lstm"}}
    assert find_grid(alone, "lstm") is None
    both = {f"{label} {c}": s | {"clip": c} for label, s in alone.items() for c in ("norm", "none")}
    both |= {f"gru {c}": {"cell": "gru", "clip": c} for c in ("norm", "none")}
    grid = find_grid(both, "lstm norm")
    assert grid is not None and [f.keys for f in grid.factors] == [("cell",), ("clip",)]
    assert set(grid.left_out) == {label for label in both if label.startswith("decaying")}
