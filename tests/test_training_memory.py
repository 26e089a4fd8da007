"""Runs that are too large: refused from their counts, or said in one sentence when memory ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import random_kit
from odyssey.cli import main
from odyssey.config.compose import compose
from odyssey.tasks.base import ModelSpec
from odyssey.training import memory
from odyssey.training.build import build_model

ROOT = Path(__file__).parents[1]
SPEC = ModelSpec(input="tokens", input_size=60, output_size=60, head="step", causal=True)


def words(folder: Path, *more: str) -> list[str]:
    return [*"cell=lstm task=charlm task.data=hello logger.mode=disabled".split(),
            f"output_dir={folder}", *more]  # fmt: skip


def test_a_model_that_cannot_fit_is_refused_before_it_is_made(tmp_path: Path, capsys: Any) -> None:
    assert main(words(tmp_path, "model.hidden_size=100000")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    hidden, symbols = 100_000, 5
    count = 4 * hidden * (symbols + hidden + 1) + (hidden + 1) * symbols
    assert f"the {count:,} parameters take {count * 4 / 1e9:.3g} GB" in line
    assert "this machine has" in line and "make model.hidden_size=100000 smaller" in line
    assert not list(tmp_path.glob("*/*/run.json"))


def test_the_count_is_that_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "LARGE", 0)
    rng = random_kit.rng()
    for cell in ("lstm", "gru", "mut1", "lstm_peephole", "lstm_layernorm"):
        size, layers = int(rng.integers(3, 9)), int(rng.integers(1, 4))
        both = ["model.bidirectional=true", "task=mnist"] if rng.random() < 0.3 else []
        more = ["model.embedding_size=7"] if rng.random() < 0.5 and not both else []
        sizes = [f"cell={cell}", f"model.hidden_size={size}", f"model.num_layers={layers}"]
        cfg = compose([*sizes, *both, *more])
        spec = SPEC if not both else ModelSpec("real", 28, 10, "last")
        before = torch.get_rng_state()
        count = memory.count_weights(cfg, spec)
        assert torch.equal(torch.get_rng_state(), before), "counting draws no number"
        assert count == sum(p.numel() for p in build_model(cfg, spec).parameters()), cell


def test_a_small_model_is_not_counted() -> None:
    assert memory.count_weights(compose(["cell=lstm"]), SPEC) is None


def test_errors_of_memory_are_told_from_others() -> None:
    cfg = compose(["cell=lstm", "model.hidden_size=33"])
    with pytest.raises(RuntimeError) as error:
        torch.empty(1 << 45)
    said = str(memory.too_large(error.value, cfg))
    assert "141 TB more were asked for" in said and "model.hidden_size=33" in said
    assert "model.num_layers" not in said, "there is none to take away"
    with pytest.raises(MemoryError) as numpy_error:
        np.empty(1 << 50)
    assert "8.00 PiB" in str(memory.too_large(numpy_error.value, cfg))
    with pytest.raises(RuntimeError) as overflow:
        torch.empty(1 << 40, 1 << 40)
    assert memory.too_large(overflow.value, cfg) is not None
    gpu = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has …")
    assert "of the GPU (2.00 GiB more" in str(memory.too_large(gpu, cfg))
    assert memory.too_large(RuntimeError("shapes do not match"), cfg) is None
    assert memory.too_large(ValueError("out of memory"), cfg) is None


def test_memory_that_ends_while_data_are_made(tmp_path: Path, capsys: Any) -> None:
    more = [
        "cell=rnn",
        "task=synthetic",
        "task.length=1000000",
        "task.eval_size=100000000",
        "logger.mode=disabled",
    ]
    assert main([*more, f"output_dir={tmp_path}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "does not fit into the memory of this machine" in line
    assert "task.length=1000000" in line and "task.eval_size=100000000" in line


@pytest.mark.slow
def test_memory_that_ends_in_training(tmp_path: Path) -> None:
    """In a process that may have 2 GB more than it starts with."""
    code = (
        "import resource, sys; from odyssey.training.train import train;"
        "from odyssey.config.compose import compose; from odyssey.errors import UserError\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "limit = used + (2 << 30)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "try:\n    train(compose(sys.argv[1:]))\nexcept UserError as error:\n    print(error)\n"
    )
    more = ["cell=rnn", "task=synthetic", "task.length=3000", "task.batch_size=2000"]
    more += ["task.eval_size=10", "task.train_size=2000", "model.hidden_size=500"]
    done = subprocess.run(
        [sys.executable, "-c", code, *more, "logger.mode=disabled", f"output_dir={tmp_path}"],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert "does not fit into the memory" in last and "task.batch_size=2000" in last
    (file,) = tmp_path.glob("*/*/run.json")
    found = json.loads(file.read_text())
    assert (found["status"], found["error"]) == ("failed", last)
