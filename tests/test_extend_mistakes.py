"""Parts of a user's own that are wrong inside: one sentence each, and never a wrong number."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from odyssey.cells import Cell
from odyssey.cli import main
from odyssey.config.task_schema import OwnTaskConfig
from odyssey.errors import UserError
from odyssey.tasks.arrays import SPLITS, ArrayTask, Examples

X = [np.ones((3, 2)), np.zeros((1, 2))]
FILE = """
import numpy as np
import torch
from odyssey.tasks.arrays import ArrayTask, Examples
from odyssey.tasks.base import TaskMetric
from pytorch_lightning import Callback
from pytorch_lightning.loggers import Logger
from torch.optim import SGD, Optimizer

class Good(ArrayTask):
    def parts(self):
        rng = np.random.default_rng(0)
        some = Examples([rng.normal(size=(3, 2)) for _ in range(4)], [[1.0], [2.0]] * 2)
        return dict.fromkeys(("train", "valid", "test"), some)

class Number(Good):
    def loss(self, logits, batch): return 3.0
class Several(Good):
    def loss(self, logits, batch): return logits.sum(-1)
class Constant(Good):
    def loss(self, logits, batch): return torch.tensor(3.0)
class NoDict(Good):
    def scores(self, logits, batch): return 3
class NoPair(Good):
    def scores(self, logits, batch): return {"squared": 3}
class OneOfTwo(Good):
    def metrics(self, means): return {"rmse": 1.0}

class Metric(TaskMetric):
    def scores(self, logits, batch): return logits.sum(), 2
class Single(Metric):
    def scores(self, logits, batch): return 3
class Vector(Metric):
    def scores(self, logits, batch): return torch.ones(3), 3
class Larger(Metric):
    mode = "larger"
class Numbered(Metric):
    label = 3
class Floats(Metric):
    def scores(self, logits, batch): return 3.0, 2

class NoRate(SGD):
    def __init__(self, params): super().__init__(params, lr=0.1)
class NoStep(Optimizer):
    def __init__(self, params, lr): super().__init__(params, {"lr": lr})
class NoClosure(NoStep):
    def step(self): pass
class Uncalled(NoStep):
    def step(self, closure=None): pass
class Raising(SGD):
    def __init__(self, params, lr): raise ValueError("not\\ntoday")

class NoMethods(Logger):
    name, version = "l", 0

class Local(Callback):
    def state_dict(self): return {"f": lambda: 0}

def elsewhere(weight): return weight * 2
def nan(weight): weight.fill_(float("nan"))
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the parts, from which commands are started."""
    (tmp_path / "wrong_parts.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "wrong_parts", raising=False)
    return tmp_path


def train(*words: str, task: str = "Good") -> int:
    small = "logger.mode=disabled trainer.max_steps=2 model.hidden_size=3 callbacks=quiet"
    own = ["task=own", f"task._target_=wrong_parts.{task}", "device=cpu"]
    return main([*own, *words, *small.split()])


OPTIMIZER = "optimizer=own optimizer.weight_decay=0 optimizer._target_=wrong_parts."


@pytest.mark.parametrize(
    ("task", "words", "sentence"),
    [
        ("Number", "", "task=number has a loss of float: loss() must return a tensor"),
        ("Several", "", "task=several has a loss of (4,): loss() must"),
        ("Constant", "", "task=constant has a loss without a gradient: loss() must"),
        ("NoDict", "", "task=no_dict has scores() that return int: return a dict"),
        ("NoPair", "", "task=no_pair, score squared, has no sum with a count: scores() must"),
        ("OneOfTwo", "", "task=one_of_two has metrics() without mae"),
        ("Good", "metrics.m._target_=wrong_parts.Single", "metrics.m, Single, has no sum with a"),
        ("Good", "metrics.m._target_=wrong_parts.Vector", "metrics.m, Vector, has no sum with a"),
        ("Good", "metrics.m._target_=wrong_parts.Larger", "has mode = 'larger': set it to \"min\""),
        ("Good", "metrics.m._target_=wrong_parts.Numbered", "has label = 3: set it to a text"),
        ("Good", "metrics.größe._target_=wrong_parts.Metric", "has a letter that no key may have"),
        ("Good", f"{OPTIMIZER}NoRate", "is not usable: let NoRate take the learning rate"),
        ("Good", f"{OPTIMIZER}NoStep", "is not usable: define step(self, closure=None) in NoStep"),
        ("Good", f"{OPTIMIZER}NoClosure", "is not usable: let its step take the closure"),
        ("Good", f"{OPTIMIZER}Uncalled", "Uncalled does not call the closure that its step is"),
        ("Good", f"{OPTIMIZER}Raising", "Raising cannot be made: not today"),
        ("Good", "loggers.l._target_=wrong_parts.NoMethods", "NoMethods does not define log_hyper"),
        ("Good", "callbacks.c._target_=wrong_parts.Local", "callbacks.c: what its state_dict()"),
        (
            "Good",
            "cell=rnn cell.init.recurrent=wrong_parts.elsewhere",
            "init.recurrent=wrong_parts.elsewhere leaves",
        ),
        (
            "Good",
            "model.init.kind=wrong_parts.nan",
            "nan leaves weights (1, 3) that are not finite",
        ),
    ],
)
def test_a_part_that_is_wrong_inside_is_one_sentence(
    task: str, words: str, sentence: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(*words.split(), task=task) == 2
    said = capsys.readouterr().err
    assert sentence in said and "Traceback" not in said


def test_scores_may_be_plain_numbers(here: Path) -> None:
    assert train("metrics.m._target_=wrong_parts.Floats") == 0
    (found,) = Path("outputs").glob("*/*/metrics.csv")
    lines = [line.split(",") for line in found.read_text().splitlines()]
    assert {line[3] for line in lines if line[2] == "valid/m"} == {"1.5"}


def load(parts: Any, **attributes: Any) -> None:
    kind = type("Given", (ArrayTask,), {"parts": lambda self: parts, **attributes})
    cfg = OwnTaskConfig(name="given", _target_="x.Given", batch_size=2)
    kind(cfg, data_dir=None, seed=0, window=3).load()


@pytest.mark.parametrize(
    ("inputs", "targets", "fields", "sentence"),
    [
        (X, [[1.0, 2.0], [1.0]], {}, "a target of shape (1,) beside others of another form"),
        (X, ["a", "b"], {}, "a target that is no array of numbers (<U1)"),
        (X, [{"a": 1}, {}], {}, "a target that is no array of numbers (dict)"),
        (X, [1j, 2j], {}, "a target that is no array of numbers (complex128)"),
        (X, [np.inf, 1.0], {}, "a target that is infinite"),
        (X, [np.nan, np.nan], {}, "no target in its train part"),
        (X, [[], []], {}, "no target in its train part"),
        (X, [7.0, 1.0], {"target": "bits"}, "a target other than 0, 1 and nan among its bits"),
        (X, [[0], [1]], {"target": "class"}, "classes of shape (1,), and not (),"),
        (X, [0, 1], {"target": "klass"}, "has target = 'klass': set it to one of bits, class, v"),
        (X, [0.0, 1.0], {"streamed": True}, "is streamed, and has one target only: set each_step"),
        ([[[1, 2], [3]], X[0]], [0.0, 1.0], {}, "a sequence that is no array of numbers (list)"),
        ([np.array([["a", "b"]])] * 2, [0.0, 1.0], {}, "a sequence that is no array of numbers"),
        ([np.ones((3, 0))] * 2, [0.0, 1.0], {}, "a sequence of shape (3, 0)"),
    ],
)
def test_arrays_of_another_form(
    inputs: list[Any], targets: list[Any], fields: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError) as raised:
        load(dict.fromkeys(SPLITS, Examples(inputs, targets)), **fields)
    assert sentence in str(raised.value) and str(raised.value).startswith("task=given ")


@pytest.mark.parametrize("parts", [None, [1], dict.fromkeys(SPLITS, (X, [1.0, 2.0]))])
def test_parts_that_are_no_examples(parts: Any) -> None:
    with pytest.raises(UserError, match=r"parts\(\) must return .'train': Examples\(inputs"):
        load(parts)


def test_tensors_with_a_gradient_are_arrays_too() -> None:
    tensors = [torch.ones(3, 2, requires_grad=True)] * 2
    load(dict.fromkeys(SPLITS, Examples(tensors, [torch.tensor([1.0])] * 2)))


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        (lambda x, R, s: (x.n + R.n(s.h)).sum(), r"returns h of shape \(\) for one sequence"),
        (
            lambda x, R, s: (x.n + R.n(s.h)).double(),
            "returns h as torch.float64, not torch.float32",
        ),
        (lambda x, R, s: (x.n + R.n(s.h)).numpy(), "returns ndarray as h: no tensor"),
        (lambda x, R, s: None if R.n(s.h) is None else 1, "returns int as h: no tensor"),
    ],
)
def test_a_step_that_returns_no_state(step: Any, sentence: str) -> None:
    kind = type("Wrong", (Cell,), {"gates": ("n",), "step": lambda self, x, R, p, s: step(x, R, s)})
    with pytest.raises(ValueError, match=f"Wrong.step {sentence}"):
        kind(2, 3)


def test_names_of_a_cell_are_texts() -> None:
    with pytest.raises(TypeError, match="gates holds 3, which cannot be used as a name in step"):
        type("Wrong", (Cell,), {"gates": (3,)})
