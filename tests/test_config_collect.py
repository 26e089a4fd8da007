"""Several mistakes: a line for each, none twice, and none that is there only through another."""

from __future__ import annotations

import itertools
import shlex
from pathlib import Path

import pytest

from odyssey.cli import main
from odyssey.config import compose as composing
from odyssey.config.compose import compose
from odyssey.errors import UserError

# The command line, and how each of its lines begins, in any order.
SEVERAL = [
    ("seed=-1 device=tpu", ["seed=-1 is out", "device=tpu is unknown"]),
    ("seed=x optimizer.lr=abc", ["seed=x is not", "optimizer.lr=abc is not"]),
    (
        "cell=nope optimizer.lr=abc seed=-1",
        ["cell=nope is unknown", "optimizer.lr=abc is not", "seed=-1 is out"],
    ),
    ("cell=rnn cell.forget_bias=1 seed=-1", ["cell.forget_bias=1 is without", "seed=-1 is out"]),
    ("cell._target_=os.path.join seed=x", ["cell._target_=os.path.join is not", "seed=x is not"]),
    ("foo +seed=1 =3", ["foo is not a setting", "+seed=1 is not allowed", "=3 is not a setting"]),
    ("--foo seed=-1 lr=1", ["--foo is not an option", "seed=-1 is out", "lr=1 is not an option"]),
    (
        "task.batch_size=0 model.hidden_size=0 bptt=3 ~clip",
        [
            "task.batch_size=0 is out",
            "model.hidden_size=0 is out",
            "bptt=3 is not",
            "~clip is not",
        ],
    ),
    (
        "model.init.kind=foo cell.init.bias=bar",
        ["model.init.kind=foo is unknown", "cell.init.bias=bar is unknown"],
    ),
    # an unknown group, and a key of it that is wrong with any choice
    ("optimizer=adamm optimizer.lr=abc", ["optimizer=adamm is unknown", "optimizer.lr=abc is not"]),
    ("optimizer=sdg optimizer.lr=-1", ["optimizer=sdg is unknown", "optimizer.lr=-1 is out"]),
    (
        "optimizer=adamm optimizer.momentum=2",
        ["optimizer=adamm is unknown", "optimizer.momentum=2 is out"],
    ),
    (
        "optimizer=adamm optimizer.momentumm=2",
        ["optimizer=adamm is unknown", "optimizer.momentumm=2 is not an option"],
    ),
    ("task=mnits task.order=rowss", ["task=mnits is unknown", "task.order=rowss is unknown"]),
    ("clip=normm clip.threshold=-1", ["clip=normm is unknown", "clip.threshold=-1 is out"]),
    (
        "cell=lsmt task=chralm optimizer=sdg optimizer.momentum=2 seed=x",
        [
            "cell=lsmt is",
            "task=chralm is",
            "optimizer=sdg is",
            "optimizer.momentum=2 is out",
            "seed=x is not",
        ],
    ),
]
# The command line, and how its one line begins: the rest follows from it.
ONE = [
    ("optimizer=sdg optimizer.momentum=0.5", "optimizer=sdg is unknown"),
    ("task=mnits task.order=rows", "task=mnits is unknown"),
    ("task=mnits model.bidirectional=true", "task=mnits is unknown"),
    ("clip=normm clip.threshold=3", "clip=normm is unknown"),
    ("decay=exp decay.factor=0.5", "decay=exp is unknown"),
    ("cell=nope cell.forget_bias=2 model.backend=library", "cell=nope is unknown"),
    ("task=charlm task=mnist task.order=rows", "task is given twice"),
    ("task=charlm,mnist task.order=rows", "task=charlm,mnist is several values"),
    ("cell = rnn cell.forget_bias=1", "cell = rnn is in pieces"),
    ("model.dropout=1", "model.dropout=1 is out of range"),
    ("clip=none clip.threshold=-1", "clip.threshold=-1 is out of range"),
    ("trainer.max_epochs=null trainer.max_steps=abc", "trainer.max_steps=abc is not"),
    ("model.num_layers=x model.dropout=0.5", "model.num_layers=x is not"),
    ("model.init.kind=uniform model.init.scale=x", "model.init.scale=x is not"),
    ("task.data=fil task.path=.", "task.data=fil is unknown"),
    ("task.data=file task.path=é.txt", "task.path=é.txt is not readable"),
    ("cell.init.recurrent=orthogonall", "cell.init.recurrent=orthogonall is unknown"),
    ("cell._target_=os.path.join cell.forget_bias=1", "cell._target_=os.path.join is not"),
    ("cell._target_=null cell.forget_bias=1", "cell._target_=null is not"),
]


def _lines(command: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(shlex.split(command)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("error: ") for line in lines)
    return [line.removeprefix("error: ") for line in lines]


@pytest.mark.parametrize(("command", "starts"), SEVERAL, ids=[s[0] for s in SEVERAL])
def test_each_mistake_has_its_line(command, starts, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = _lines(command, capsys)
    assert len(lines) == len(starts), lines
    for start in starts:
        assert sum(line.startswith(start) for line in lines) == 1, (start, lines)
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(("command", "start"), ONE, ids=[o[0] for o in ONE])
def test_what_follows_from_a_mistake_is_not_said(command, start, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = _lines(command, capsys)
    assert len(lines) == 1 and lines[0].startswith(start), lines


KINDS = [
    "cell=lstmm",
    "optimizer=sdg",
    "seed=abc",
    "trainer.max_epochs=null",
    "clip=none",  # right by itself; the next one is wrong beside it
    "clip.threshold=2",
    "~debug",
    "task.data=shakespear",
]


@pytest.mark.parametrize("three", list(itertools.combinations(KINDS, 3)), ids=" ".join)
def test_any_three_kinds_together_say_what_each_says(three, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    alone = {line for word in three for line in _said([word])}
    if {"clip=none", "clip.threshold=2"} <= set(three):
        alone |= set(_said(["clip=none", "clip.threshold=2"]))
    together = _said(three)
    assert len(together) == len(set(together))
    assert set(together) == alone


def _said(words) -> tuple[str, ...]:
    try:
        compose(words)
    except UserError as error:
        return error.messages
    return ()


@pytest.mark.parametrize(
    "command", ["task=mnits task.order=rowss", "optimizer=sdg task=xyz seed=x", "experiment=jsb"]
)
def test_not_every_choice_is_composed_to_find_what_is_wrong(command, monkeypatch):
    """The likeliest one stands in for a wrong choice."""
    composing._base.cache_clear()
    composed = []
    real = composing.hydra_compose
    monkeypatch.setattr(
        composing, "hydra_compose", lambda *a, **k: composed.append(k) or real(*a, **k)
    )
    assert _said(shlex.split(command))
    assert len(composed) <= 2


def test_a_data_set_says_which_task_was_meant():
    """Its name is not wrong where only the task's is."""
    assert len(_said(["task=xyz", "task.data=ptb"])) == 1
    (_, wrong) = _said(["task=xyz", "task.data=ptbb"])
    assert wrong.startswith("task.data=ptbb is unknown (did you mean 'ptb'?)")
