"""The hash of a configuration: what determines the result, and nothing else."""

from __future__ import annotations

import copy
import hashlib
import importlib
import inspect
import os
import subprocess
import sys
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer

from odyssey.config.compose import compose
from odyssey.config.identity import config_hash, run_name
from odyssey.config.schema import DECAYS, NEUTRAL_KEYS, OPTIMIZERS, PLACE_KEYS
from odyssey.config.task_schema import TASKS
from odyssey.data import identity
from odyssey.errors import UserError
from odyssey.registry import plain
from own_kit import choose

CONFIGURATIONS = [
    *(choose("task", name) for name in TASKS),
    *(choose("optimizer", name) for name in OPTIMIZERS),
    *(choose("decay", name) for name in DECAYS),
    ["clip=none", "cell=rnn"],
]


def _leaves(cfg: DictConfig, prefix: str = "") -> list[str]:
    found = []
    for name, value in cfg.items():
        key = f"{prefix}{name}"
        found += _leaves(value, f"{key}.") if isinstance(value, DictConfig) else [key]
    return found


def _other(value):
    """A value of the same kind that is not the same."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return value + "x"
    if OmegaConf.is_list(value):
        return [*value, 1.0]
    return 7 if value is None else value + 1


@pytest.mark.slow
@pytest.mark.parametrize("words", CONFIGURATIONS, ids=" ".join)
def test_every_key_counts_but_those_that_change_no_result(words, tmp_path):
    cfg = compose(words)
    before = config_hash(cfg)
    checkpoint = tmp_path / "run" / "checkpoints" / "best.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"weights")
    others = {"plan.looks": [2, 3], "init_from": str(tmp_path / "run")}
    for key in set(_leaves(cfg)).difference(PLACE_KEYS):
        changed = copy.deepcopy(cfg)
        other = others.get(key) or _other(OmegaConf.select(cfg, key))
        OmegaConf.update(changed, key, other, force_add=True)
        free = any(f"{key}.".startswith(f"{name}.") for name in NEUTRAL_KEYS)
        assert (config_hash(changed) == before) is free, key


def test_options_of_a_cell_of_ones_own_count():
    cfg = compose([])
    changed = copy.deepcopy(cfg)
    OmegaConf.update(changed, "cell.options.power", 2, force_add=True)
    assert config_hash(changed) != config_hash(cfg)


def test_the_keys_that_do_not_count_exist():
    tasks = [compose(choose("task", name)) for name in TASKS]
    for key in (*NEUTRAL_KEYS, *PLACE_KEYS):
        parent, _, last = key.rpartition(".")
        sections = [OmegaConf.select(cfg, parent) if parent else cfg for cfg in tasks]
        if parent == "trainer.lightning":  # a section that users fill
            assert last in inspect.signature(Trainer.__init__).parameters
            continue
        assert any(last in section for section in sections), key
        if not key.startswith("task."):
            assert all(last in section for section in sections), key


def test_asking_changes_nothing():
    cfg = compose([])
    before = plain(cfg)
    config_hash(cfg)
    assert plain(cfg) == before


def test_it_is_the_sha256_of_the_sorted_json():
    small = OmegaConf.create(
        {
            "seed": 3,
            "task": {"name": "music", "tempo": 90.0},
            "bptt": {"length": None},
            "model": {"hidden_size": 5, "backend": "auto"},
            "trainer": {"max_steps": 2, "threads": 1},
            "optimizer": {"lr": 0.1, "kind": "sgd"},
        }
    )
    text = (
        '{"bptt":{"length":null},"model":{"hidden_size":5},"optimizer":{"kind":"sgd","lr":0.1},'
        '"seed":3,"task":{"name":"music"},"trainer":{"max_steps":2}}'
    )
    assert config_hash(small) == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.slow
def test_the_same_in_any_order_and_any_process():
    words = ["cell=gru", "optimizer.lr=1e-3", "model.hidden_size=17"]
    here = config_hash(compose(words))
    assert config_hash(compose(words[::-1])) == here
    assert config_hash(compose(["model.hidden_size=17", "optimizer.lr=0.001", "cell=gru"])) == here
    code = (
        "from odyssey.config.compose import compose;"
        "from odyssey.config.identity import config_hash;"
        f"print(config_hash(compose({words!r})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": "77"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == here


def _own(path: object, *others: str) -> DictConfig:
    return compose(["task.data=file", f"task.path={path}", *others])


def test_the_same_content_is_the_same_run_wherever_it_lies(tmp_path, monkeypatch):
    (tmp_path / "plain.txt").write_text("some text\n")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "other.md").write_text("some text\n")
    (tmp_path / "link").symlink_to("plain.txt")
    monkeypatch.chdir(tmp_path)
    places = ["plain.txt", "./plain.txt", tmp_path / "plain.txt", "there/other.md", "link"]
    names = {run_name(_own(path)) for path in places}
    monkeypatch.chdir(tmp_path / "there")
    names.add(run_name(_own("../plain.txt")))
    assert len(names) == 1
    assert _own("../plain.txt").task.path == "../plain.txt"  # the configuration still says it


def test_other_content_at_the_same_place_is_another_run(tmp_path):
    file = tmp_path / "plain.txt"
    names = set()
    for text in ("aaaa\n", "aaab\n", "aaaa", "bbbb\n"):  # of the same size, within a moment
        file.write_text(text)
        names.add(run_name(_own(file)))
    assert len(names) == 4
    file.write_text("aaaa\n")
    assert run_name(_own(file)) in names
    assert run_name(_own(file, "task.split=[0.8,0.1,0.1]")) not in names


def test_the_ending_of_a_table_makes_no_other_run(tmp_path):
    """Its separator is found in the content; parts are known by what they are."""
    names = set()
    for name in ("a.csv", "b.csv", "a.tsv", "a.TXT"):
        (tmp_path / name).write_text("text,label,z\ttext\tlabel\n")
        words = ["task=sentiment", "task.data=csv", f"task.path={tmp_path / name}"]
        names.add(run_name(compose(words)))
    for valid, ending in (("valid", "csv"), ("dev", "tsv"), ("validation", "txt")):
        folder = tmp_path / valid
        folder.mkdir()
        for part in ("train", valid, "test"):
            (folder / f"{part}.{ending}").write_text(f"text,label\n{part[0]},x\n".replace("d", "v"))
        names.add(run_name(compose([*words[:2], f"task.path={folder}"])))
    assert len(names) == 2
    (folder / "test.txt").write_text("text,label\nanother,x\n")
    assert run_name(compose([*words[:2], f"task.path={folder}"])) not in names


def test_a_text_of_python_is_known_by_its_content(tmp_path, monkeypatch):
    """Another version of Python has another standard library under the same name."""
    before = config_hash(compose(["task.data=python"]))
    (tmp_path / "other.py").write_text("x = 1\n" * 100)
    monkeypatch.setattr(os, "__file__", str(tmp_path / "os.py"))
    identity._package_hash.cache_clear()
    try:
        assert config_hash(compose(["task.data=python"])) != before
    finally:
        monkeypatch.undo()
        identity._package_hash.cache_clear()
    assert config_hash(compose(["task.data=python"])) == before


def test_a_file_that_is_gone_is_a_sentence(tmp_path):
    file = tmp_path / "plain.txt"
    file.write_text("some text\n")
    cfg = _own(file)
    file.unlink()
    with pytest.raises(UserError, match="does not exist; name a text file"):
        config_hash(cfg)


CELL = """
from torch import tanh

from odyssey.cells import Cell
from own_functions import {module}

POWER = {power}


def twice(x):
    return {twice}


class Mine(Cell):
    gates = ("h",)

    def step(self, x, R, p, s):
        return tanh(x.h + R.h(s.h)) ** POWER + squash(twice(x.h))


class Another(Cell):
    gates = ("{gate}",)
"""
FUNCTIONS = """
SCALE = {scale}


def squash(x):
    return x * SCALE


def not_used(x):
    return {unused}
"""


def test_a_cell_of_ones_own_is_known_by_its_source(tmp_path, monkeypatch):
    """By what its class uses too; not by its module, and by nothing else that stands there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    given = {"module": "squash", "power": 2, "twice": "x + x", "gate": "h"}
    names = []

    def name(scale: int = 3, unused: int = 0, module: str = "own_cells", **changed: Any) -> str:
        for loaded in ("own_cells", "moved_cells", "own_functions"):
            sys.modules.pop(loaded, None)
        importlib.invalidate_caches()
        functions = FUNCTIONS.format(scale=scale, unused=unused)
        (tmp_path / "own_functions.py").write_text(functions)
        (tmp_path / f"{module}.py").write_text(CELL.format(**given | changed))
        cfg = compose(["cell=rnn"])
        cfg.cell._target_ = f"{module}.Mine"
        names.append(run_name(cfg))
        return names[-1]

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    first = name()
    assert first.startswith("mine-charlm-")
    assert name(gate="g") == name(unused=1) == name(module="moved_cells") == first
    assert len({first, name(power=3), name(twice="2 * x"), name(scale=4)}) == 4
    assert name() == first


def test_a_cell_is_the_same_by_each_of_its_addresses():
    cfg = compose(["cell=lstm_peephole"])
    before = run_name(cfg)
    cfg.cell._target_ = "odyssey.cells.lstm.PeepholeLSTM"
    assert run_name(cfg) == before


def test_every_argument_of_a_part_of_ones_own_counts(tmp_path, monkeypatch):
    """Whatever it is called, and in a list too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_watch.py").write_text("class Watch:\n    x = 1\n")
    cfg = compose([])
    hashes = set()
    for section in (
        {"_target_": "own_watch.Watch", "source": "a"},
        {"_target_": "own_watch.Watch", "source": "b"},
        {"parts": [{"_target_": "own_watch.Watch"}]},
    ):
        changed = copy.deepcopy(cfg)
        OmegaConf.update(changed, "cell.options", {"watch": section}, force_add=True)
        hashes.add(config_hash(changed))
    (tmp_path / "own_watch.py").write_text("class Watch:\n    x = 2\n")
    hashes.add(config_hash(changed))
    assert len(hashes) == 4
