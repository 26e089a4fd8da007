"""Mistakes in a user's own cell are sentences, found before anything is built or written."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from odyssey.cli import main
from odyssey.config.compose import compose
from odyssey.config.validate import CHOICES
from odyssey.errors import UserError

MINE = '''
from torch import tanh

from odyssey.cells import LSTM, Cell


class Good(Cell):
    gates = ("h",)

    def __init__(self, *sizes, power=1, **others):
        if power < 1:
            raise ValueError("Good: power must be at least 1")
        super().__init__(*sizes, **others)

    def step(self, x, R, p, s):
        return tanh(x.h + R.h(s.h))


class Same(Good):
    """As many inputs as units."""

    def __init__(self, input_size, hidden_size, **others):
        if input_size != hidden_size:
            raise ValueError("Same wants as many inputs as units")
        super().__init__(input_size, hidden_size, **others)


class Even(Good):
    """An even number of units."""

    def __init__(self, input_size, hidden_size, **others):
        if hidden_size % 2:
            raise ValueError(f"Even cannot halve {hidden_size} units")
        super().__init__(input_size, hidden_size, **others)


class Unused(Cell):
    gates = ("h",)

    def step(self, x, R, p, s):
        return tanh(x.h)


class Undeclared(Cell):
    gates = ("h",)

    def step(self, x, R, p, s):
        return tanh(x.h + R.h(s.h) * p.q)


class TooMany(Good):
    def step(self, x, R, p, s):
        return tanh(x.h + R.h(s.h)), x.h


class NoStep(Cell):
    gates = ("h",)


class NoWeights(Cell):
    def step(self, x, R, p, s):
        return s.h


class Bug(Cell):
    gates = ("h",)

    def step(self, x, R, p, s):
        return tanh(x.h + R.h(s.h)) / (1 // 0)


class MyLSTM(LSTM):
    pass


not_a_class = 3
'''

WRONG = [
    ("nope", "cell._target_=nope is not module.Class", "my_cells.MyCell"),
    ("nope.Nope", "cell._target_=nope.Nope is not there", "nope.py"),
    ("nope.more.Nope", "cell._target_=nope.more.Nope is not there", "nope.py"),
    ("os.path.join", "cell._target_=os.path.join is not a cell", "subclass of odyssey.cells.Cell"),
    ("odyssey.cells.Nope", "cell._target_=odyssey.cells.Nope is not a cell", "JANET, Jordan"),
    ("odyssey.cells.Lstm", "cell._target_=odyssey.cells.Lstm is not a cell (did you", "'LSTM'"),
    ("odyssey.cells.Cell", "cell._target_=odyssey.cells.Cell is not a cell", "Elman"),
    ("torch.nn.LSTM", "cell._target_=torch.nn.LSTM is not a cell", "subclass"),
    ("wrong_mine.Goood", "cell._target_=wrong_mine.Goood is not a cell (did you", "'Good'"),
    ("wrong_mine.not_a_class", "cell._target_=wrong_mine.not_a_class is not a cell", "Good"),
    ("wrong_syntax.A", "cell._target_=wrong_syntax.A is not importable", "wrong_syntax.py, line 3"),
    ("wrong_import.A", "cell._target_=wrong_import.A is not importable", "'no_such_thing'"),
    ("wrong_gates.A", "cell._target_=wrong_gates.A is not importable", 'A: gates = "h" must be'),
    ("wrong_raise.A", "cell._target_=wrong_raise.A is not importable", "wrong_raise.py, line 2"),
    ("wrong_mine.Unused", "cell._target_=wrong_mine.Unused is not usable", "never uses R.h"),
    ("wrong_mine.Undeclared", "cell._target_=wrong_mine.Undeclared is not usable", ".q, which"),
    ("wrong_mine.TooMany", "cell._target_=wrong_mine.TooMany is not usable", "returns 2 values"),
    ("wrong_mine.NoStep", "cell._target_=wrong_mine.NoStep is not usable", "must define step"),
    ("wrong_mine.NoWeights", "cell._target_=wrong_mine.NoWeights is not usable", "has no weights"),
    ("wrong_mine.Bug", "cell._target_=wrong_mine.Bug is not usable", "ZeroDivisionError"),
    (
        "wrong_mine.Good cell.options.power=0",
        "cell._target_=wrong_mine.Good is not usable with cell.options.power=0",
        "Good: power must be at least 1 (wrong_mine.py, line",
    ),
    (
        "wrong_mine.Good cell.options.pover=2",
        "cell.options.pover=2 is not an option of Good (did you mean 'power'?)",
        "type one of power",
    ),
    ("odyssey.cells.Elman cell.options.k=2", "cell.options.k=2 is not an option of Elman", "leave"),
    (
        "wrong_mine.Good cell.forget_bias=1",
        "cell.forget_bias=1 is without effect, since Good has no forget gate",
        "type cell.forget_bias=null",
    ),
    ("wrong_mine.Even model.hidden_size=7", "cell._target_=wrong_mine.Even is not", "halve 7"),
    # A user's own LSTM may have a step of its own, so torch's is not taken for it.
    ("wrong_mine.MyLSTM model.backend=library", "model.backend=library is not possible", "MyLSTM"),
]


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "wrong_mine.py").write_text(MINE)
    (tmp_path / "wrong_syntax.py").write_text("import os\n\ndef (:\n")
    (tmp_path / "wrong_import.py").write_text("import no_such_thing\n")
    (tmp_path / "wrong_raise.py").write_text("x = {}\nx['a']\n")
    (tmp_path / "wrong_gates.py").write_text(
        'from odyssey.cells import Cell\n\n\nclass A(Cell):\n    gates = "h"\n'
    )


@pytest.mark.parametrize(("target", "start", "holds"), WRONG, ids=[w[0] for w in WRONG])
def test_a_wrong_cell_is_one_sentence(target, start, holds, capsys):
    before = sorted(Path().iterdir())
    assert main(shlex.split(f"cell=rnn cell._target_={target}")) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    assert err.startswith(f"error: {start}"), err
    assert holds in err and "Traceback" not in err
    assert [p for p in sorted(Path().iterdir()) if p.name != "__pycache__"] == before


@pytest.mark.parametrize(
    "words",
    [
        ["cell._target_=wrong_mine.Good"],
        ["cell._target_=wrong_mine.Good", "cell.options.power=2"],
        ["cell._target_=wrong_mine.Good", "+cell.options.power=2"],
        ["cell._target_=wrong_mine.Good", "cell.options={power:2}"],
        ["cell._target_=wrong_mine.Same"],
        ["cell._target_=wrong_mine.Even", "model.hidden_size=6"],
    ],
    ids=" ".join,
)
def test_a_right_cell_is_not_refused(words):
    cfg = compose(["cell=rnn", *words])
    assert dict(cfg.cell.options) in ({}, {"power": 2})


def test_a_wrong_size_is_not_blamed_on_the_cell():
    with pytest.raises(UserError) as caught:
        compose(["cell=rnn", "cell._target_=wrong_mine.Even", "model.hidden_size=0"])
    assert len(caught.value.messages) == 1 and "model.hidden_size=0" in str(caught.value)


def test_looking_at_a_cell_leaves_the_random_numbers_alone(seed: int):
    import torch

    torch.manual_seed(seed)
    expected = torch.rand(4)
    torch.manual_seed(seed)
    compose(["cell=rnn", "cell._target_=wrong_mine.Good", "model.hidden_size=11"])
    assert torch.equal(torch.rand(4), expected)


def test_choices_are_those_of_the_cells_and_backends():
    from odyssey.cells.init import KINDS
    from odyssey.recurrence.run import BACKENDS

    for name, kinds in KINDS.items():
        assert set(CHOICES[f"cell.init.{name}"]) == set(kinds)
    assert set(CHOICES["model.backend"]) == {"auto", *BACKENDS}
