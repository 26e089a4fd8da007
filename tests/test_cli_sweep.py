"""`-m`: every combination is checked before the first one starts, and each mistake said once."""

from __future__ import annotations

from pathlib import Path

import pytest

from odyssey.cli import main
from odyssey.study import conditional
from odyssey.study.plan import prepare

WRONG = [
    (["cell=lstm,nope", "seed=0,1"], ["cell=nope is unknown"]),
    (["seed=0,abc,-1"], ["seed=abc is not a whole number", "seed=-1 is out of range"]),
    (
        ["cell=lstm,gru", "seed=0,1", "optimizer.lr=abc,-1,0.1"],
        ["optimizer.lr=abc is not a number", "optimizer.lr=-1 is out of range"],
    ),
    (["cell=rnn,irnn", "cell.forget_bias=1"], ["cell.forget_bias=1 is without effect, since"]),
    (["bptt.length=5,9", "model.dropout=0,0.5"], ["model.dropout=0.5 is without effect"]),
    (["optimizer=adam,adagrad", "optimizer.momentum=0.5"], ["optimizer.momentum=0.5 is not an"]),
    (["optimizer=adam,sgd", "optimizer.momentum=0,2"], ["optimizer.momentum=2 is out of range"]),
    (
        ["optimizer=adam,sgd", "optimizer.momentun=0"],
        ["optimizer.momentun=0 is not an option (did"],
    ),
    (["task=charlm,music", "task.order=rows"], ["task.order=rows is not an option of task=charlm"]),
    (["seed=range(0,3)", "lr=1", "~clip"], ["lr=1 is not an option", "~clip is not allowed"]),
    (["seed=1", "seed=2,3"], ["seed is given twice, as 1 and 2,3"]),
    (["hydra.foo=3", "seed=0,1"], ["hydra.foo=3 is not a setting that Hydra has"]),
    (["hydra/launcher=nope", "seed=x"], ["hydra/launcher=nope is not there"]),
    (["hydra/sweeper=serch"], ["hydra/sweeper=serch is not there (did you mean 'search'?)"]),
    (["hydra.sweeper.trails=5"], ["hydra.sweeper.trails=5 is not an option (did you mean"]),
    (["hydra.sweeper.trials=5"], ["hydra.sweeper.trials=5 is without effect"]),
    (["hydra.sweeper.dry_run=yess", "seed=0,1"], ["hydra.sweeper.dry_run=yess is unknown"]),
    (["hydra.sweeper.on_failure=halt", "seed=0,1"], ["hydra.sweeper.on_failure=halt is unknown"]),
    (["on_failure=stop"], ["on_failure=stop is not an option: type hydra.sweeper.on_failure=stop"]),
    (["hydra.launcher.n_jobs=0"], ["hydra.launcher.n_jobs=0 is not a number of processes"]),
    (["hydra.launcher.fuse=0"], ["hydra.launcher.fuse=0 is not a number of trials"]),
    (["hydra.launcher.fuse=all"], ["hydra.launcher.fuse=all is not a number of trials"]),
    (["n_jobs=4"], ["n_jobs=4 is not an option: type hydra.launcher.n_jobs=4"]),
    (["optimizer.lr=interval(0,1)"], ["optimizer.lr=interval(0,1) is not countable"]),
    (["device=auto,cpu"], ["device=auto,cpu changes no result"]),
    (["study=a,b"], ["study=a,b changes no result"]),
    (["model.backend=auto,reference"], ["model.backend=auto,reference changes no result"]),
    (["--foo", "seed=0,-1"], ["--foo is not an option", "seed=-1 is out of range"]),
    (["sweep=gref"], ["sweep=gref is unknown (did you mean 'greff'?)"]),
    (["sweep=greff,learning_rate"], ["sweep=greff,learning_rate is several studies"]),
    (["hydra/sweeper=search", "cell=gru"], ["hydra/sweeper=search has nothing to search"]),
    (
        ["hydra/sweeper=search", "optimizer.lr=interval(1,1e-3)", "hydra.sweeper.trials=0"],
        ["hydra.sweeper.trials=0 is out of range", "optimizer.lr is upside down"],
    ),
    (
        ["hydra/sweeper=search", "model.hiden=interval(1,3)"],
        ["model.hiden="],
    ),
    (
        ["hydra/sweeper=search", "optimizer.lr=interval(0.1,1)", "hydra.sweeper.sampler=grid"],
        ["hydra.sweeper.sampler=grid is unknown"],
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("words", "starts"), WRONG, ids=[" ".join(w[0]) for w in WRONG])
def test_a_wrong_sweep_starts_nothing(words, starts, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["-m", *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(starts), lines
    for start in starts:
        assert sum(line.startswith(f"error: {start}") for line in lines) == 1, (start, lines)
    assert list(Path().iterdir()) == []


def test_a_sweep_is_no_run(capsys):
    assert main(["sweep=greff"]) == 2
    assert "sweep=greff is for studies: leave it out, or type -m too" in capsys.readouterr().err


def test_every_combination_is_composed_once(monkeypatch):
    seen: list[tuple[str, ...]] = []
    real = conditional.compose
    monkeypatch.setattr(
        conditional, "compose", lambda words: (seen.append(tuple(words)), real(words))[1]
    )
    plan = prepare(["cell=lstm,gru,rnn,fgr,mgu", "seed=range(0,7)"])
    assert plan is not None and len(plan.trials) == 35
    assert len(seen) == len(set(seen)) == 35


@pytest.mark.slow
def test_options_of_a_cell_of_ones_own_may_be_swept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
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
    tiny = ["task.data=hello", "model.hidden_size=3", "trainer.max_steps=2", "logger.mode=disabled"]
    assert main(["-m", *words, *tiny, "study=own"]) == 0
    configs = [p.read_text() for p in Path("outputs/own").glob("*/config.yaml")]
    assert sorted("k: 1" in text for text in configs) == [False, True]
    assert sum("k: 2" in text for text in configs) == 1
