"""The files of conf/: each composes, as Hydra itself would; a wrong one of the user's is named."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import OmegaConf

from launchers_kit import skip_without_extra
from odyssey.cells import CELLS
from odyssey.config import compose as composing
from odyssey.config import keys, sources
from odyssey.config.compose import compose, finish
from odyssey.config.schema import DECAYS, OPTIMIZERS, register
from odyssey.config.task_schema import TASKS
from odyssey.errors import UserError
from odyssey.registry import entry_of
from odyssey.study.plan import prepare
from own_kit import choose

FILES = sorted(p.relative_to(sources.CONF) for p in sources.CONF.rglob("*.yaml"))
# Of a run's configuration; sweep/ and hydra/ are about studies.
CHOICES = [p for p in FILES if len(p.parts) == 2 and p.parent.name != "sweep"]


@pytest.mark.parametrize("path", CHOICES, ids=str)
def test_every_choice_composes_without_a_mistake(path):
    cfg = compose(choose(path.parent.name, path.stem))
    if path.parent.name == "cell":
        assert cfg.cell._target_ == f"odyssey.cells.{CELLS[path.stem].__name__}"
    elif path.parent.name in ("optimizer", "decay", "clip"):
        assert cfg[path.parent.name].kind == ("own" if path.stem == "nadam" else path.stem)
    elif path.parent.name == "task":
        assert cfg.task.name == path.stem or path.stem == "own"


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=str)
def test_every_file_begins_with_a_command_that_runs_it(path):
    commands = _commands(path)
    assert commands, "no `# python train.py …` at the top"
    for command in commands:
        words = shlex.split(command)[2:]
        skip_without_extra(words)
        if "-m" in words:
            words = [w for w in words if w != "-m"]
            if "sweep=greff" in words:  # 1,800 trials take long to plan
                words.append("hydra.sweeper.trials=2")
            assert prepare(words).trials
        elif "my_" not in command:  # a file of the reader's own
            compose(words)
        if len(path.parts) == 2:
            assert f"{path.parent}={path.stem}" in words or path.parent.name == "experiment"
    if len(path.parts) == 2 or path.parts[0] == "hydra":
        assert f"{path.parent}={path.stem}" in shlex.split(commands[0])


def _commands(path: Path) -> list[str]:
    text = (sources.CONF / path).read_text(encoding="utf-8")
    head = re.match(r"(#.*\n)+", text)
    return re.findall(r"^# (python train\.py .+?)\s*$", head.group() if head else "", re.MULTILINE)


def test_groups_and_choices_are_those_of_the_code():
    folders = {p.name for p in sources.CONF.iterdir() if p.is_dir()} - {"hydra"}
    assert folders <= set(keys.GROUPS)
    assert set(sources.choices("cell")) == set(CELLS)
    for name, kind in CELLS.items():
        entry = entry_of(f"odyssey.cells.{kind.__name__}")
        assert entry is not None and entry.forget_gate == (kind.forget_gate is not None), name
    assert set(sources.choices("optimizer")) == {*OPTIMIZERS, "nadam"}  # which no code names
    assert set(sources.choices("decay")) == set(DECAYS)
    assert set(sources.choices("task")) == {*TASKS, "series"}  # which no code names


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        [],
        ["cell=gru", "task=mnist", "task.order=permuted", "bptt.length=100", "clip=value"],
        ["optimizer=sgd", "optimizer.momentum=0.5", "optimizer.nesterov=no", "decay=plateau"],
        ["task=wordlm", "task.split=[0.8,0.1,0.1]", "model.hidden_size=${task.batch_size}"],
        ["model={hidden_size:7,num_layers:2}", "model.dropout=0.25", "bptt.length=null"],
        ["debug=overfit", "task=sentiment", "cell=fgr", "cell.init={recurrent:identity}"],
        ["study='a b'", "seed=int(3.0)", "trainer.max_steps=5", "data_dir='there'"],
    ],
    ids=" ".join,
)
def test_the_configuration_is_the_one_that_hydra_makes(words):
    register()
    with initialize_config_dir(str(sources.CONF), version_base="1.3"):
        expected = finish(hydra_compose("config", overrides=words))
    got = compose(words)
    assert OmegaConf.to_yaml(got) == OmegaConf.to_yaml(expected)
    assert OmegaConf.is_struct(got) == OmegaConf.is_struct(expected)
    assert OmegaConf.get_type(got.task) is OmegaConf.get_type(expected.task)


def test_one_composition_does_not_change_the_next():
    first = compose(["model.hidden_size=3", "cell.init={bias:normal}"])
    first.seed = 99
    second = compose([])
    assert second.model.hidden_size != 3 and second.seed == 0 and second.cell.init.bias == "zeros"


@pytest.fixture
def own_conf(tmp_path, monkeypatch):
    """A copy of conf/, without its experiments, to which a test adds files of its own."""
    shutil.copytree(
        sources.CONF,
        tmp_path / "conf",
        ignore=lambda folder, names: names if Path(folder).name == "experiment" else [],
    )
    monkeypatch.setattr(sources, "CONF", tmp_path / "conf")
    composing._base.cache_clear()
    yield tmp_path / "conf"
    composing._base.cache_clear()


GLOBAL = "# @package _global_\n"
OWN = [
    ("cell/own", "defaults: [/schema/cell@_here_]\nforget_bia: 1\n", "cell.forget_bia", "bias"),
    ("cell/own", "defaults: [/schema/cell@_here_]\nforget_bias: x\n", "cell.forget_bias to x", ""),
    ("cell/own", "defaults: [/schema/cell@_here_]\n", "cell._target_ is not set", ""),
    ("cell/own", "a: {b\nc: ]\n", "not readable as YAML", "own.yaml, line 2"),
    ("experiment/own", "defaults: [{override /cell: lstm}]\n", "# @package _global_", ""),
    ("experiment/own", f"{GLOBAL}defaults: [{{override /cell: lstmm}}]\n", "cell=lstmm", "'lstm'"),
    ("experiment/own", f"{GLOBAL}defaults: [{{override /cel: lstm}}]\n", "overrides cel", ""),
    ("experiment/own", f"{GLOBAL}model: {{hidden_sise: 3}}\n", "model.hidden_sise", ""),
    ("experiment/own", f"{GLOBAL}model: {{hidden_size: 0}}\n", "hidden_size=0 is", ""),
    ("experiment/own", f"{GLOBAL}model: 3\n", "conf/experiment/own.yaml", ""),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "text", "holds", "too"), OWN, ids=[o[2] for o in OWN])
def test_a_wrong_file_of_the_users_is_named(own_conf, name, text, holds, too):
    (own_conf / f"{name}.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        compose([name.replace("/", "="), "seed=-1"])
    said, seed = sorted(caught.value.messages, key=lambda m: m.startswith("seed"))
    assert holds in said and too in said, said
    assert "\n" not in said and seed.startswith("seed=-1 is out of range")


@pytest.mark.slow
def test_a_choice_that_does_not_go_with_an_experiment(own_conf):
    (own_conf / "experiment" / "own.yaml").write_text(
        "# @package _global_\ndefaults: [{override /optimizer: sgd}]\noptimizer: {momentum: 0.5}\n"
    )
    assert compose(["experiment=own"]).optimizer.momentum == 0.5
    with pytest.raises(UserError) as caught:
        compose(["optimizer=adam", "experiment=own", "seed=x"])
    said, seed = caught.value.messages
    assert said.startswith("optimizer=adam is not possible with experiment=own")
    assert "optimizer.momentum" in said and seed.startswith("seed=x is not")
    # An experiment that does not exist may have been one that has the key.
    with pytest.raises(UserError) as caught:
        compose(["experiment=ovn", "optimizer.momentum=0.1"])
    assert len(caught.value.messages) == 1 and "'own'" in str(caught.value)
