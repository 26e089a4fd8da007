"""`-m`: every combination is checked, once each, before the first one starts."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from odyssey import cli
from odyssey.cli import main

WRONG = [
    (["cell=lstm,nope", "seed=0,1"], ["cell=nope is unknown"]),
    (["seed=0,abc,-1"], ["seed=abc is not a whole number", "seed=-1 is out of range"]),
    (
        ["cell=lstm,gru", "seed=0,1", "optimizer.lr=abc,-1,0.1"],
        ["optimizer.lr=abc is not a number", "optimizer.lr=-1 is out of range"],
    ),
    (["cell=lstm,rnn", "cell.forget_bias=1"], ["cell.forget_bias=1 is without effect, since Elm"]),
    (["model.num_layers=1,2", "model.dropout=0.5"], ["model.dropout=0.5 is without effect"]),
    (["optimizer=adam,sgd", "optimizer.momentum=0.5"], ["optimizer.momentum=0.5 is not an option"]),
    (["task=charlm,mnist", "task.order=rows"], ["task.order=rows is not an option of task=charlm"]),
    (["seed=range(0,3)", "lr=1", "~clip"], ["lr=1 is not an option", "~clip is not allowed"]),
    (["seed=1", "seed=2,3"], ["seed is given twice, as 1 and 2,3"]),
    (["hydra.foo=3", "seed=0,1"], ["hydra.foo=3 is not a setting that Hydra has"]),
    (["hydra/launcher=nope", "seed=x"], ["hydra/launcher=nope is not", "seed=x is not"]),
    (["optimizer.lr=interval(0,1)", "seed=0,-1"], ["optimizer.lr=interval(0,1) is", "seed=-1 is"]),
    (["--foo", "seed=0,-1"], ["--foo is not an option", "seed=-1 is out of range"]),
]


@pytest.fixture
def started(tmp_path, monkeypatch) -> list[dict]:
    """The runs that were started, with the training itself left out."""
    runs: list[dict] = []

    def train(cfg, overrides):
        runs.append(
            {"cell": cfg.cell._target_, "seed": cfg.seed, "options": dict(cfg.cell.options)}
        )
        if cfg.seed == 13:
            raise RuntimeError("an unlucky run")
        return 0.0

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "_train", train)
    return runs


@pytest.mark.parametrize(("words", "starts"), WRONG, ids=[" ".join(w[0]) for w in WRONG])
def test_a_wrong_sweep_starts_nothing(words, starts, started, capsys):
    assert main(["-m", *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(starts), lines
    for start in starts:
        assert sum(line.startswith(f"error: {start}") for line in lines) == 1, (start, lines)
    assert started == [] and list(Path().iterdir()) == []


def test_a_right_sweep_runs_every_combination(started):
    assert main(["cell=lstm,gru", "-m", "seed=0,7"]) == 0
    assert [(r["cell"].split(".")[-1], r["seed"]) for r in started] == [
        ("LSTM", 0),
        ("LSTM", 7),
        ("GRU", 0),
        ("GRU", 7),
    ]


def test_a_failed_run_stops_no_other_and_is_counted(started, capsys):
    assert main(["-m", "seed=0,13,1"]) == 1
    assert [r["seed"] for r in started] == [0, 13, 1]
    err = capsys.readouterr().err
    assert "1 of the runs failed" in err and "python train.py seed=13" in err


def test_options_of_a_cell_of_ones_own_may_be_swept(started, tmp_path):
    (tmp_path / "swept_cell.py").write_text(
        "from torch import tanh\n\nfrom odyssey.cells import Cell\n\n\n"
        "class Mine(Cell):\n"
        '    gates = ("h",)\n\n'
        "    def __init__(self, *sizes, k=1, **others):\n"
        "        super().__init__(*sizes, **others)\n\n"
        "    def step(self, x, R, p, s):\n"
        "        return tanh(x.h + R.h(s.h))\n"
    )
    words = ["cell=rnn", "cell._target_=swept_cell.Mine", "cell.options.k=1,2"]
    assert main(["-m", *words]) == 0
    assert [r["options"] for r in started] == [{"k": 1}, {"k": 2}]


def test_a_hundred_combinations_are_checked_quickly(started, monkeypatch):
    seen: list[list[str]] = []
    real = cli.compose
    monkeypatch.setattr(cli, "compose", lambda words: (seen.append(list(words)), real(words))[1])
    monkeypatch.setattr(cli, "_through_hydra", lambda arguments: 0)
    start = time.perf_counter()
    assert main(["-m", "cell=lstm,gru,rnn,fgr,mgu", "seed=range(0,20)"]) == 0
    seconds = time.perf_counter() - start
    assert len(seen) == len({tuple(words) for words in seen}) == 100
    assert seconds < 15  # about 2 s; composing each from the files takes four times that
