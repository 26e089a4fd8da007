"""The tasks' options: defaults that compose, and one sentence for each wrong value."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from odyssey import data
from odyssey.config import task_schema as config
from odyssey.config.task_schema import TASKS
from odyssey.errors import UserError
from odyssey.tasks import TASKS as MADE
from odyssey.tasks import build

WRONG = [
    ("charlm", {"name": "wordlm"}, ["task.name"]),
    ("charlm", {"data": "pyton"}, ["did you mean 'python'"]),
    ("charlm", {"data": "sst2"}, ["task.data=sst2", "ptb"]),
    ("charlm", {"batch_size": 0}, ["task.batch_size=0"]),
    ("charlm", {"batch_size": -3, "eval_batch_size": 0}, ["task.batch_size", "task.eval_batch"]),
    ("charlm", {"data": "file"}, ["task.path"]),
    ("charlm", {"path": "a.txt"}, ["task.path=a.txt"]),
    ("charlm", {"split": [0.5, 0.5]}, ["task.split=[0.5,0.5]"]),
    ("charlm", {"split": [0.5, 0.0, 0.5]}, ["empty"]),
    ("charlm", {"split": [0.0, 0.5, 0.5]}, ["empty"]),
    ("charlm", {"split": [0.5, 0.6, -0.1]}, ["empty"]),
    ("charlm", {"split": [0.5, 0.2, 0.2]}, ["0.9"]),
    ("charlm", {"split": [0.8, 0.1, 0.1], "data": "text8"}, ["text8"]),
    ("charlm", {"split": [math.nan, 0.5, 0.5]}, ["task.split"]),
    ("wordlm", {"encoding": "klingon"}, ["task.encoding=klingon", "task.encoding=klingon is not"]),
    ("charlm", {"encoding": "cp1252"}, ["task.data=kjv", "task.data=file"]),
    ("charlm", {"encoding": "cp1252", "data": "bytes", "path": "a"}, ["bytes as they are"]),
    ("charlm", {"documents": " "}, ["task.documents is blank"]),
    ("charlm", {"documents": "lines", "drop_last": True}, ["task.drop_last=true"]),
    ("wordlm", {"data": "bytes", "path": "a"}, ["task.data=bytes is unknown", "task.path=a"]),
    ("charlm", {"data": "bytes"}, ["task.path"]),
    ("charlm", {"min_count": 0}, ["task.min_count=0"]),
    ("charlm", {"min_count": 2, "unknown": False}, ["task.unknown"]),
    ("charlm", {"reduction": "total"}, ["task.reduction=total", "mean, sum"]),
    ("charlm", {"sample_length": 0}, ["task.sample_length"]),
    ("charlm", {"sample_temperature": -0.1}, ["task.sample_temperature"]),
    ("charlm", {"sample_temperature": math.inf}, ["task.sample_temperature"]),
    ("wordlm", {"tokenizer": "word"}, ["did you mean 'words'"]),
    ("wordlm", {"max_size": 1}, ["task.max_size=1"]),
    ("sentiment", {"tokens": "chars"}, ["task.tokens=chars"]),
    ("sentiment", {"data": "csv"}, ["task.path"]),
    ("sentiment", {"path": "x.csv", "data": "sst2"}, ["task.data=csv"]),
    ("sentiment", {"max_length": 0}, ["task.max_length=0"]),
    ("sentiment", {"keep": "middle"}, ["task.keep=middle"]),
    ("sentiment", {"max_size": 0, "min_count": 0}, ["task.max_size", "task.min_count"]),
    ("mnist", {"order": "columns"}, ["task.order=columns", "permuted"]),
    ("mnist", {"permutation_seed": -1}, ["task.permutation_seed"]),
    ("mnist", {"normalization": "none"}, ["task.normalization=none"]),
    ("music", {"data": "bach"}, ["task.data=bach", "jsb"]),
    ("music", {"input_noise": -1.0}, ["task.input_noise"]),
    ("music", {"input_noise": math.nan}, ["task.input_noise"]),
    ("music", {"min_length": 0}, ["task.min_length"]),
    ("music", {"tempo": 0.0}, ["task.tempo"]),
    ("music", {"tempo": math.nan, "sample_length": 0}, ["task.sample_length", "task.tempo"]),
    ("synthetic", {"kind": "reverse"}, ["did you mean 'reversal'"]),
    ("synthetic", {"length": 1}, ["task.length=1"]),
    ("synthetic", {"kind": "reversal", "min_length": 11}, ["task.min_length=11"]),
    ("synthetic", {"kind": "reversal", "symbols": 1}, ["task.symbols"]),
    ("synthetic", {"train_size": 0, "eval_size": 0}, ["task.train_size", "task.eval_size"]),
]


@pytest.mark.parametrize(("name", "options", "words"), WRONG)
def test_each_mistake_is_one_sentence(name, options, words):
    found = TASKS[name](**options).errors()
    assert len(found) in (1, len(words))
    text = "\n".join(found)
    assert all(word in text for word in words), text
    assert all("\n" not in sentence and ":" in sentence for sentence in found)


@pytest.mark.parametrize("name", [name for name in TASKS if name != "own"])
def test_defaults_are_right_and_fit_omegaconf(name):
    cfg = OmegaConf.structured(TASKS[name])
    assert cfg.name == name
    assert OmegaConf.to_object(cfg) == TASKS[name]()
    assert TASKS[name]().errors() == []


def test_names_are_those_of_the_data_room():
    for names in ("TEXTS", "LABELLED_TEXTS", "IMAGES", "ROLLS"):
        assert set(getattr(config, names)) == set(getattr(data, names))


def test_every_task_can_be_made_and_a_wrong_name_says_so():
    assert {*MADE, "own"} == set(TASKS)
    for name, cfg in TASKS.items():
        if name == "own":
            continue
        assert build(cfg(), data_dir=None, seed=0, window=10).name == name
    with pytest.raises(UserError, match="did you mean 'charlm'"):
        build(TASKS["charlm"](name="charml"), data_dir=None, seed=0, window=1)


def test_options_cost_no_slow_import():
    code = (
        "import sys, odyssey.config.task_schema, odyssey.tasks;"
        "assert not {'torch', 'numpy', 'pytorch_lightning'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
