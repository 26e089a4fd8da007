"""Random wrong words on every command line: each ends with sentences, and never with a traceback.

`pytest tests/test_fuzz_commands.py --fuzz 500` tries more of them than a run of all tests does.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import random_kit
from odyssey import cli
from odyssey.__main__ import COMMANDS
from odyssey.config.compose import compose
from odyssey.config.schema import flat
from odyssey.registry import plain

ROOT = Path(__file__).parents[1]
KEYS = [*flat(plain(compose())), "cell", "task", "optimizer", "clip", "decay", "sweep", "resume"]
KEYS += ["hydra/launcher", "hydra/sweeper", "hydra.launcher.n_jobs", "hydra.sweeper.trials"]
KEYS += ["hydra.verbose", "hydra.searchpath", "hydra.callbacks", "hydra.job.chdir", "task.path"]
KEYS += ["cell.options.k", "callbacks.mine._target_", "trainer.lightning.limit_train_batches"]
KEYS += ["experiment", "debug", "callbacks", "hydra", "cell.init", "a.b.c", "task.labels"]
VALUES = ["", "0", "-1", "1", "1e400", "9" * 40, "1e-400", "nan", "inf", "null", "true", "None"]
VALUES += ["[1,2", "[", "]", "{a:1}", "{a:", "${seed}", "${nowhere}", "${oc.env:NOWHERE}", "a,b"]
VALUES += ["range(0,3)", "range(3", "interval(0,1)", "choice(a", "tag(log,interval(1,2))", "1,2,1"]
VALUES += [
    "'",
    '"',
    "\\",
    "é漢🙂",
    "\x1b[31mx",
    "\u202etxt",
    "\udcff",
    "a b",
    "x" * 200,
    "x" * 5000,
    "=",
    "%s",
]
VALUES += [
    ".",
    "..",
    "~",
    "/",
    "/dev/null",
    "folder",
    "fifo",
    "file",
    "missing",
    "lstm",
    "os.system",
]
VALUES += [
    "os.system",
    "%s",
    "odyssey.cells.LSTM",
    "my.Cell",
    "[0.9,0.1]",
    "0.5",
    "a" * 300 + "/b",
    "\t",
    "a\nb",
]
FLAGS = ["-m", "--cfg", "job", "--resolve", "--info", "--package", "model", "--config-dir", "-cn"]
FLAGS += ["--nope", "-", "--", "-x", "--cell=lstm", "-sc", "--hydra-help", "--seed", "=", "lstm"]
OPTIONS = {
    "status": "--watch --json --all --project --entity".split(),
    "report": "--baseline --metric --margin --share --alpha --draws --seed --out --format --group "
    "--no-figures --figure".split(),
    "sample": "--prompt --length --temperature --top-k --top-p --stop --seed --checkpoint --device "
    "--output".split(),
    "evaluate": "--data --split --checkpoint --device --trust --output test .".split(),
    "predict": "--text --file - --lines --surprise --top --steps --format csv jsonl".split(),
    "export": "--to onnx torchscript safetensors --output --checkpoint --trust".split(),
    "explain": "cell= cell=lstm hidden=8 hidden= input= batch= source= source=c cell=mut1".split(),
    "benchmark": "--pairs --cells --torch-compile --output --figure step".split(),
    "dashboard": "--entity --project --study --metric --dry-run".split(),
    "confirm": "--seeds --runner-up seed=3 study=x optimizer.lr=1".split(),
    "study": "drop rename merge --delete --dry-run --yes --mixed cell=rnn seed=0 folder".split(),
    "plan": "--sd --difference --alpha --power --correlation --variants --seeds".split(),
    "calibrate": "null factors --studies --seed --processes --markdown --figure --output".split(),
}
# What costs minutes or the network where nothing is wrong: something always is.
WRONG = {"benchmark": ["--pairs", "0"], "calibrate": ["--studies", "0"], "dashboard": ["--x"]}


def misspelt(rng: np.random.Generator, word: str) -> str:
    if not word:
        return word
    at = int(rng.integers(len(word)))
    kind = rng.integers(5)
    if kind == 0:
        return word[:at] + word[at + 1 :]
    if kind == 1:
        return word[:at] + word[at] + word[at:]
    if kind == 2:
        return word[:at] + chr(int(rng.integers(1, 0x300))) + word[at:]
    return word.upper() if kind == 3 else word[::-1]


def a_setting(rng: np.random.Generator) -> str:
    key, value = str(rng.choice(KEYS)), str(rng.choice(VALUES))
    if rng.random() < 0.3:
        key = misspelt(rng, key)
    if rng.random() < 0.2:
        value = misspelt(rng, value)
    return f"{rng.choice(['', '', '', '', '+', '++', '~', '--'])}{key}={value}"


def for_training(rng: np.random.Generator) -> list[str]:
    words = [a_setting(rng) for _ in range(rng.integers(1, 5))]
    if rng.random() < 0.5:
        words.append("-m")
    words += [str(w) for w in rng.choice(FLAGS, rng.integers(0, 3))] * (rng.random() < 0.4)
    if rng.random() < 0.2:
        words.append(str(rng.choice(words)))
    return [str(w).replace("\0", "") for w in rng.permutation(np.array(words, dtype=object))]


def for_a_script(rng: np.random.Generator, name: str) -> list[str]:
    words = []
    for _ in range(rng.integers(0, 5)):
        option = str(rng.choice(OPTIONS[name]))
        words.append(misspelt(rng, option) if rng.random() < 0.15 else option)
        if rng.random() < 0.7:
            words.append(str(rng.choice(VALUES)))
    if name != "calibrate" and rng.random() < 0.6:
        words.append(str(rng.choice(VALUES)))
    return [w.replace("\0", "") for w in [*words, *WRONG.get(name, [])]]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a folder, a FIFO and a file."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("some text")
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ODYSSEY_DATA", str(tmp_path / "folder"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    return tmp_path


def check(words: list[str], main: Any) -> None:
    """Run the command in this process, and look at its end and its sentences."""
    out, err = io.StringIO(), io.StringIO()
    stdin = sys.stdin
    try:
        sys.stdin = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                status = main(list(words))
            except SystemExit as end:  # --help of argparse
                status = end.code or 0
    except BaseException as error:
        raise AssertionError(f"{words!r} ended with {type(error).__name__}: {error}") from error
    finally:
        sys.stdin = stdin
    said = err.getvalue()
    assert status in (0, 1, 2), words
    assert "Traceback" not in said, words
    if status == 2:
        lines = said.splitlines()
        assert lines and all(line.strip() for line in lines), (words, said)
        assert lines[0].startswith("error: "), (words, said)
    assert not any(ord(c) < 32 and c not in "\n\t" for c in said), (words, said)


def test_words_for_training(place: Path, fuzz_draws: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the training itself and what Hydra prints."""
    monkeypatch.setattr(cli, "_train", lambda *_: None)
    monkeypatch.setattr(cli, "_through_hydra", lambda *_: None)
    monkeypatch.setattr("odyssey.study.launchers.local.warm", lambda: None)
    before = sorted(place.rglob("*"))
    rng = random_kit.rng()
    for _ in range(10 * fuzz_draws):
        check(for_training(rng), cli.main)
        assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize("name", OPTIONS)
def test_words_for_scripts(name: str, place: Path, fuzz_draws: int) -> None:
    main = importlib.import_module(COMMANDS[name][0]).main
    before = {p for p in place.rglob("*") if "folder" not in p.parts}
    rng = random_kit.rng()
    for _ in range(3 * fuzz_draws):
        words = for_a_script(rng, name)
        check(words, main)
        declared = any(w.startswith(("--out", "--figure", "--dry-run")) for w in words)
        there = {p for p in place.rglob("*") if "folder" not in p.parts}
        assert declared or there == before, words


@pytest.mark.slow
def test_processes(place: Path, fuzz_draws: int) -> None:
    rng = random_kit.rng()
    for _ in range(max(2, fuzz_draws // 4)):
        name = str(rng.choice(list(COMMANDS)))
        words = for_training(rng) if name == "train" else for_a_script(rng, name)
        if name == "train":
            words.append("trainer.nope=1")  # so that nothing is trained
        done = subprocess.run(
            [sys.executable, "-m", "odyssey", name, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
        )
        assert b"Traceback" not in done.stderr, (name, words, done.stderr.decode())
        assert done.returncode in (0, 1, 2), (name, words, done.returncode)
