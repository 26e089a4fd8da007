"""Parts of a user's own, as docs/extend.md has them: each example is run as it is printed."""

from __future__ import annotations

import json
import math
import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from odyssey.cli import main
from odyssey.config.compose import compose
from odyssey.config.identity import run_name
from odyssey.config.task_schema import OwnTaskConfig
from odyssey.errors import UserError
from odyssey.report.main import main as report
from odyssey.study.plan import forget
from odyssey.tasks.arrays import SPLITS, ArrayTask, Examples
from odyssey.training.module import Meter
from run_kit import ROOT

PAGE = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n# (my_\w+\.py)\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"^    python train\.py (.+)$", PAGE, re.MULTILINE)
SMALL = ["logger.mode=disabled", "trainer.progress_bar=false", "trainer.sample=false"]
SMALL += ["trainer.max_steps=4", "trainer.log_every=1", "model.hidden_size=6"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of the page, from which commands are started."""
    for name, code in BLOCKS:
        (tmp_path / name).write_text(code)
    (conf,) = re.findall(r"`(my_conf/\S+\.yaml)`:\n\n```yaml\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / conf[0]
    file.parent.mkdir(parents=True)
    file.write_text(conf[1])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, _ in BLOCKS:  # those of another test's folder
        monkeypatch.delitem(__import__("sys").modules, name.removesuffix(".py"), raising=False)
    forget()
    return tmp_path


def train(command: str) -> Path:
    """Run a command of the page in small; the folder of its run, or of its study."""
    words = shlex.split(command)
    small = list(SMALL)
    if not any(w.startswith("task=") for w in words):
        small.append("task.data=hello")
    assert main([*words, *small]) == 0
    study = next((w.partition("=")[2] for w in words if w.startswith("study=")), None)
    if study:
        return Path("outputs") / study
    (run,) = [p for p in Path("outputs/default").iterdir() if (p / "run.json").exists()]
    return run


def test_the_page_has_what_it_says() -> None:
    assert len(BLOCKS) == 5 and len(COMMANDS) == 10
    assert "train.py --config-dir my_conf optimizer=radam" in PAGE


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_of_the_page_runs(command: str, here: Path) -> None:
    folder = train(command)
    if "-m" in command:
        assert len(list(folder.glob("lstm-charlm-*"))) == 4
        assert report([str(folder), "--no-figures", "--figure", "my_figures.runs"]) == 0
        assert (folder / "report" / "index.html").exists()
        return
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "finished"
    if "metrics." in command:
        assert 0 < record["metrics"]["test/top3"] <= 1
        assert record["metric_info"]["top3"]["mode"] == "max"
    if "loggers." in command:
        (other,) = (folder / "loggers").rglob("metrics.csv")
        lines = other.read_text().splitlines()
        assert "train/loss" in lines[0] and len(lines) >= 4
    if "my_tasks" in command:
        assert folder.name.startswith("lstm-sine-")


def rates(folder: Path) -> list[float]:
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    return [float(value) for _, _, name, value, _ in rows[1:] if name == "train/lr"]


@pytest.mark.slow
def test_a_schedule_makes_its_steps(here: Path) -> None:
    text = here / "a.txt"
    text.write_text("abcdefgh" * 400)
    words = "task.data=file task.path=a.txt task.batch_size=4 bptt.length=20 decay=own "
    words += "decay._target_=my_optim.Halving trainer.max_epochs=3 optimizer.lr=0.008 "
    words += "logger.mode=disabled trainer.progress_bar=false trainer.sample=false "
    words += "trainer.log_every=1 trainer.val_every=10 model.hidden_size=6"
    for every, expected in (
        ("epoch", lambda step, epoch: step // epoch),
        ("update", lambda step, epoch: step),
        ("validation", lambda step, epoch: step // 10),
    ):
        assert main([*words.split(), f"decay.every={every}", f"study={every}"]) == 0
        (run,) = Path("outputs", every).glob("lstm-*")
        found, epoch = rates(run), json.loads((run / "run.json").read_text())["steps"] // 3
        wanted = [0.008 * 0.5 ** expected(step, epoch) for step in range(3 * epoch)]
        assert found == pytest.approx(wanted, rel=1e-9)


def test_the_source_of_each_part_is_in_the_name_of_a_run(here: Path) -> None:
    """Another source is another run; a comment, and where it lies, are not."""
    import importlib
    import sys

    words = {
        "my_optim": ["optimizer=own", "optimizer._target_=my_optim.SignSGD"],
        "my_init": ["cell.init.recurrent=my_init.block_orthogonal"],
        "my_init.head": ["model.init.kind=my_init.block_orthogonal"],
        "my_metrics": ["metrics.a._target_=my_metrics.AmongTheLikeliest"],
        "my_tasks": ["task=own", "task._target_=my_tasks.Sine"],
    }
    changes = {
        "my_optim": ("p.grad.sign()", "p.grad"),
        "my_init": ("gain=scale", "gain=2 * scale"),
        "my_init.head": ("gain=scale", "gain=2 * scale"),
        "my_metrics": ("self.k = k", "self.k = k + 1"),
        "my_tasks": ("0.3 * time", "0.4 * time"),
    }
    for module, chosen in words.items():
        name = module.partition(".")[0]
        file = here / f"{name}.py"
        code = file.read_text()
        names = []
        for text in (code, code + "# a remark\n", code.replace(*changes[module])):
            file.write_text(text)
            sys.modules.pop(name, None)
            importlib.invalidate_caches()
            names.append(run_name(compose(chosen)))
        file.write_text(code)
        assert names[0] == names[1] != names[2], module


def test_a_logger_is_no_part_of_a_run(here: Path) -> None:
    logger = "loggers.csv._target_=pytorch_lightning.loggers.CSVLogger"
    assert run_name(compose([logger])) == run_name(compose([]))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            "optimizer=own optimizer._target_=torch.optim.Nadam",
            "optimizer._target_=torch.optim.Nadam is not an optimizer (did you mean 'NAdam'?)",
        ),
        ("optimizer=own", "optimizer._target_ is not set: type optimizer._target_= and a value"),
        (
            "optimizer=own optimizer._target_=torch.optim.LBFGS",
            "torch.optim.LBFGS is not possible, since it evaluates the loss several times",
        ),
        (
            "optimizer=own optimizer._target_=torch.optim.NAdam optimizer.options.epz=1",
            "optimizer.options.epz=1 is not an option of NAdam (did you mean 'eps'?)",
        ),
        (
            "optimizer=own optimizer._target_=torch.optim.NAdam optimizer.options.lr=1",
            "optimizer.options.lr=1 has a key of its own: type optimizer.lr=1",
        ),
        (
            "optimizer=own optimizer._target_=my_optim.Nope",
            "optimizer._target_=my_optim.Nope is not an optimizer: type my_optim. and one of",
        ),
        (
            "decay=own decay._target_=torch.optim.lr_scheduler.ReduceLROnPlateau",
            "decay.every=update is not possible with ReduceLROnPlateau",
        ),
        (
            "decay=own decay._target_=torch.optim.lr_scheduler.StepLR",
            "decay.options.step_size is not set",
        ),
        ("decay=own decay._target_=my_optim.Halving decay.every=day", "decay.every=day is unknown"),
        ("cell.init.recurrent=my_init.nope", "cell.init.recurrent=my_init.nope is not a function"),
        ("cell.init.recurrent=orthogonl", "is unknown (did you mean 'orthogonal'?)"),
        ("model.init.kind=my_init.nope", "model.init.kind=my_init.nope is not a function"),
        ("model.init.kind=orthogonl", "is unknown (did you mean 'orthogonal'?)"),
        ("metrics.a._target_=my_tasks.Sine", "metrics.a._target_=my_tasks.Sine is not a metric"),
        ("metrics.a.k=3", "metrics.a={k:3} is not a metric: type metrics.a._target_=my_metrics"),
        (
            "metrics.a._target_=my_metrics.AmongTheLikeliest metrics.a.kk=3",
            "metrics.a.kk=3 is not an option of AmongTheLikeliest (did you mean 'k'?)",
        ),
        ("loggers.a._target_=my_metrics.AmongTheLikeliest", "is not a logger: type a subclass"),
        ("task=own task._target_=my_tasks.Cosine", "is not a task"),
        (
            "task=own task._target_=my_tasks.Sine task.options.step=3",
            "task.options.step=3 is not an option of Sine (did you mean 'steps'?)",
        ),
        (
            "task=own task._target_=odyssey.tasks.arrays.ArrayTask",
            "odyssey.tasks.arrays.ArrayTask is not usable, since ArrayTask does not define parts",
        ),
        ("task=own task._target_=my_tasks.Sine task.name=A-b", "task.name=A-b is not"),
        ("task.options.x=1", "task.options.x=1 is not an option of task=charlm: type task=own"),
        ("optimizer.options.x=1", "optimizer.options.x=1 is not an option of optimizer=adam"),
        ("decay.options.x=1", "decay.options.x=1 is not an option of decay=none: type decay=own"),
    ],
)
def test_what_is_wrong_is_one_sentence(words: str, sentence: str, here: Path) -> None:
    with pytest.raises(UserError) as raised:
        compose(words.split())
    (message,) = raised.value.messages
    assert sentence in message


@pytest.mark.slow
def test_a_logger_whose_package_is_missing_is_said_before_a_run_begins(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if find_spec("mlflow") or find_spec("mlflow_skinny"):
        pytest.skip("MLflow is installed")
    word = "loggers.m._target_=pytorch_lightning.loggers.MLFlowLogger"
    assert main([word, "task.data=hello", *SMALL]) == 2
    assert f"{word} cannot be made: " in capsys.readouterr().err
    assert not list(Path("outputs").glob("*/*/run.json"))


@pytest.mark.slow
def test_a_metric_may_not_take_the_name_of_the_tasks(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "task=mnist metrics.accuracy._target_=my_metrics.AmongTheLikeliest"
    assert main([*words.split(), *SMALL]) != 0
    assert "metrics.accuracy has the name of a metric of task=mnist" in capsys.readouterr().err


@pytest.mark.slow
def test_a_metric_that_does_not_go_with_the_task(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "task=music metrics.top._target_=my_metrics.AmongTheLikeliest"
    assert main([*words.split(), *SMALL]) != 0
    said = capsys.readouterr().err
    assert "metrics.top, AmongTheLikeliest, cannot be computed on task=music" in said
    assert "Traceback" not in said


def task_of(parts: dict[str, Examples], **attributes: Any) -> ArrayTask:
    """A task with these parts; others than `train` are as that where they are not given."""
    kind = type("Given", (ArrayTask,), {"parts": lambda self: parts, **attributes})
    cfg = OwnTaskConfig(name="given", _target_="x.Given", batch_size=2)
    return kind(cfg, data_dir=None, seed=0, window=3)


GOOD = Examples([np.ones((3, 2)), np.ones((1, 2))], [[1.0], [2.0]])
ONE = Examples([np.ones((3, 2))], [1])
STEPS = Examples([np.array([0, 2, 1])], [np.array([1, 0, -1])])


@pytest.mark.parametrize(
    ("parts", "attributes", "sentence"),
    [
        ({"train": GOOD}, {}, "has no valid data"),
        ({"valid": Examples([], [])}, {}, "has no valid data"),
        ({"valid": Examples([np.ones((3, 2))], [])}, {}, "has 1 sequences and 0 targets"),
        ({"train": Examples([np.ones(3)], [[1.0]])}, {}, "a sequence of shape (3,) and type float"),
        ({"test": Examples([np.ones((0, 2))], [[1.0]])}, {}, "a sequence of shape (0, 2)"),
        ({"test": Examples([np.ones((3, 4))], [[1.0]])}, {}, "(3, 4) beside others of another"),
        ({"valid": Examples([np.full((3, 2), np.nan)], [[1.0]])}, {}, "not a finite number"),
        (
            {"train": Examples([np.array([0, -1])], [[1.0]])},
            {},
            "has the input -1, where whole numbers",
        ),
        ({}, {"each_step": True}, "a sequence of 3 steps with targets of shape (1,)"),
        ({}, {"target": "class"}, "targets of type float64, where classes are whole numbers"),
        (
            {"train": ONE, "valid": ONE, "test": Examples([np.ones((3, 2))], [4])},
            {"target": "class"},
            "the class 4, where there are 2, from 0, by the training part or by `classes`, in its",
        ),
    ],
)
def test_parts_that_do_not_fit_are_one_sentence(
    parts: dict[str, Examples], attributes: dict[str, Any], sentence: str
) -> None:
    others = {} if list(parts) == ["train"] and "valid" in sentence else dict.fromkeys(SPLITS, GOOD)
    with pytest.raises(UserError) as raised:
        task_of(others | parts, **attributes).load()
    assert sentence in str(raised.value) and str(raised.value).startswith("task=given ")


def test_a_step_may_be_without_a_class() -> None:
    task = task_of(dict.fromkeys(SPLITS, STEPS), target="class", each_step=True)
    task.load()
    batch = task.batches("train").get(0, 0)
    logits = torch.zeros(3, 1, 2)
    logits[0, 0, 1], logits[1, 0, 0] = 9.0, -9.0  # right, wrong
    scores = {name: (float(a), float(b)) for name, (a, b) in task.scores(logits, batch).items()}
    assert scores["right"] == (1, 2) and task.spec.input_size == 3
    assert float(task.loss(logits, batch)) == pytest.approx(scores["nats"][0] / 2)


@pytest.mark.slow
def test_interrupted_with_own_parts_it_goes_on_bit_for_bit(here: Path) -> None:
    """Optimizer and schedule of one's own: two sessions equal one."""
    words = (
        "task=own task._target_=my_tasks.Sine optimizer=own optimizer._target_=torch.optim.NAdam "
    )
    words += (
        "decay=own decay._target_=torch.optim.lr_scheduler.OneCycleLR decay.options.max_lr=0.01 "
    )
    words += "decay.options.total_steps=total trainer.max_epochs=null trainer.max_steps=12 "
    words += "logger.mode=disabled trainer.progress_bar=false model.hidden_size=6 "
    words += "trainer.log_every=1 trainer.checkpoint_every=1"
    (here / "my_callbacks.py").write_text(
        "from pytorch_lightning import Callback\n\n\n"
        "class Stop(Callback):\n"
        "    def on_train_batch_end(self, trainer, module, *rest):\n"
        "        import os\n"
        "        if module.updates == 5 and not os.path.exists('stopped'):\n"
        "            open('stopped', 'w').close()\n"
        "            raise KeyboardInterrupt\n"
    )
    stop = "callbacks.stop._target_=my_callbacks.Stop"
    one = [*words.split(), stop, "study=one"]
    assert main(one) == 130 and main(one) == 0
    assert main([*words.split(), stop, "study=two"]) == 0
    files = [next(Path("outputs", s).glob("lstm-sine-*/metrics.csv")) for s in ("one", "two")]
    lines = [[line.split(",")[:4] for line in f.read_text().splitlines()] for f in files]
    rows = [[line for line in part if not line[2].startswith("time/")] for part in lines]
    assert rows[0] == rows[1] and len(rows[0]) > 30


def test_names_are_those_of_the_configuration(here: Path) -> None:
    cfg = compose(["task=own", "task._target_=my_tasks.Sine", "task.options.steps=5"])
    assert cfg.task.name == "sine" and OmegaConf.to_container(cfg.task.options) == {"steps": 5}
    assert compose(["task=series"]).task.name == "series"


def test_a_metric_of_nothing_is_no_number() -> None:
    """Not 0, which would look best where smaller is better."""
    meter = Meter()
    meter.add({"a": (torch.tensor(3.0), 2.0), "b": (torch.tensor(0.0), torch.tensor(0.0))})
    means = meter.means(math.nan)
    assert means["a"] == 1.5 and math.isnan(means["b"])
