"""The hash of a configuration: what determines the result, and nothing else."""

from __future__ import annotations

import copy
import hashlib
import inspect
import os
import subprocess
import sys

import pytest
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer

from odyssey.config.compose import compose
from odyssey.config.identity import config_hash, plain
from odyssey.config.schema import DECAYS, NEUTRAL_KEYS, OPTIMIZERS
from odyssey.config.task_schema import TASKS

CONFIGURATIONS = [
    *([f"task={name}"] for name in TASKS),
    *([f"optimizer={name}"] for name in OPTIMIZERS),
    *([f"decay={name}"] for name in DECAYS),
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


@pytest.mark.parametrize("words", CONFIGURATIONS, ids=" ".join)
def test_every_key_counts_but_those_that_change_no_result(words):
    cfg = compose(words)
    before = config_hash(cfg)
    for key in _leaves(cfg):
        changed = copy.deepcopy(cfg)
        OmegaConf.update(changed, key, _other(OmegaConf.select(cfg, key)), force_add=True)
        free = any(f"{key}.".startswith(f"{name}.") for name in NEUTRAL_KEYS)
        assert (config_hash(changed) == before) is free, key


def test_options_of_a_cell_of_ones_own_count():
    cfg = compose([])
    changed = copy.deepcopy(cfg)
    OmegaConf.update(changed, "cell.options.power", 2, force_add=True)
    assert config_hash(changed) != config_hash(cfg)


def test_the_keys_that_do_not_count_exist():
    tasks = [compose([f"task={name}"]) for name in TASKS]
    for key in NEUTRAL_KEYS:
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
