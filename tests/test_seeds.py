"""Random inputs of the tests: drawn once, printed, and repeated by the seed that is printed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import random_kit
from run_kit import ROOT

INNER = """
import random, numpy, pytest, random_kit

@pytest.mark.parametrize("i", range(4))
def test_inner(i, seed, rng):
    assert rng.random() == random_kit.rng().random() != random_kit.rng("other").random()
    dice = random_kit.dice(1).random()
    print("drew", i, seed, rng.random(), dice, random.random(), numpy.random.random())
    assert i < 3
"""


def run(where: Path, *words: str, variable: str | None = None) -> tuple[str, list[str]]:
    """What pytest prints on a copy of these tests' conftest.py; what the inner tests drew."""
    for name in ("conftest.py", "random_kit.py"):
        shutil.copy(ROOT / "tests" / name, where / name)
    (where / "test_inner.py").write_text(INNER)
    (where / "pytest.ini").write_text("[pytest]\naddopts = -q\n")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    environment.pop("ODYSSEY_TEST_SEED", None)
    if variable is not None:
        environment["ODYSSEY_TEST_SEED"] = variable
    command = [sys.executable, "-m", "pytest", "-rP", "-p", "no:cacheprovider", *words]
    done = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr  # the last one fails
    return done.stdout, sorted(re.findall(r"^drew .*$", done.stdout, re.MULTILINE))


@pytest.mark.slow
def test_one_seed_for_all_workers_repeats_everything(tmp_path: Path) -> None:
    printed, drawn = run(tmp_path, "-n", "2")
    (seed,) = set(re.findall(r"--seed=(\d+)", printed))
    assert printed.count(f"--seed={seed}") == 2  # in the header, and again for the failure
    assert len(set(drawn)) == 4
    assert run(tmp_path, "-p", "no:xdist", f"--seed={seed}")[1] == drawn
    alone = run(tmp_path, "-p", "no:xdist", "test_inner.py::test_inner[3]", variable=seed)[1]
    assert alone == drawn[3:]
    other = run(tmp_path, "-p", "no:xdist", f"--seed={int(seed) ^ 1}")[1]
    assert not set(other) & set(drawn)


def test_nothing_is_drawn_outside_a_test() -> None:
    code = "import random_kit; random_kit.rng()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "tests", capture_output=True, text=True
    )
    assert done.returncode == 1 and "drawn in a test" in done.stderr


def test_keys_tell_generators_apart(seed: int) -> None:
    assert random_kit.seed() == seed
    seeds = [random_kit.seed(*keys) for keys in ((), (0,), (1,), (0, 1), ("a",))]
    assert len(set(seeds)) == 5 and all(0 <= s < 2**31 for s in seeds)
    assert random_kit.dice(3).random() == random_kit.dice(3).random()
    torch = pytest.importorskip("torch")
    one, two = (torch.rand(3, generator=random_kit.torch_rng(3)) for _ in range(2))
    assert torch.equal(one, two)
