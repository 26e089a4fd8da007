"""What several tests share: the random seed, the environment, real data, a small disk."""

from __future__ import annotations

import os
import random
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import random_kit

# The tests' models are so small that a second thread costs more than it brings. Read when torch is
# first loaded, so it must be set before; the processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
for _name in [name for name in os.environ if name.startswith("WANDB_")]:
    del os.environ[_name]  # which would change what the tests log

# Kernels that the tests compile: not among the user's, and there at the next run of the tests.
os.environ.setdefault(
    "ODYSSEY_KERNELS", str(Path(__file__).parents[1] / ".pytest_cache" / "kernels")
)

# A shell that starts the suite in the background has it ignore Ctrl-C, and what it starts too; some
# tests are about Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]


SEED = "ODYSSEY_TEST_SEED"
FUZZ = 6  # draws of each fuzz test, unless --fuzz says otherwise


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--seed",
        type=int,
        default=os.environ.get(SEED),
        help=f"seed of the tests' random inputs (default: ${SEED}, or drawn anew and printed)",
    )
    parser.addoption(
        "--fuzz",
        type=int,
        default=FUZZ,
        metavar="N",
        help="random draws of each fuzz test, tests/test_fuzz_*.py (default: %(default)s)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Draw the seed of this session, once: workers of pytest-xdist get that of their controller."""
    if hasattr(config, "workerinput"):
        config.option.seed = config.workerinput["seed"]
    elif config.option.seed is None:
        config.option.seed = secrets.randbelow(2**31)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_configure_node(node: Any) -> None:
    node.workerinput["seed"] = node.config.option.seed


def _print_seed(config: pytest.Config) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and not hasattr(config, "workerinput"):
        seed = config.option.seed
        reporter.write_line(f"random inputs: --seed={seed} (or {SEED}={seed}) repeats them")


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """In the header, which -q would leave out if this were `pytest_report_header`."""
    _print_seed(session.config)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(exitstatus: int, config: pytest.Config) -> None:
    if exitstatus in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED):
        _print_seed(config)


@pytest.fixture(autouse=True)
def _random_inputs(request: pytest.FixtureRequest) -> Iterator[None]:
    """Seed random_kit, and the global generators, whose draws are repeated too."""
    seed = random_kit.derive(request.config.option.seed, request.node.nodeid)
    random_kit.set_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)
    yield
    random_kit.set_seed(None)


@pytest.fixture
def seed() -> int:
    """A seed of this test's own: the same in any order and number of processes, and alone."""
    return random_kit.seed()


@pytest.fixture
def fuzz_draws(request: pytest.FixtureRequest) -> int:
    """How many random inputs a fuzz test tries: --fuzz."""
    return int(request.config.getoption("--fuzz"))


@pytest.fixture
def rng() -> np.random.Generator:
    """Random inputs of this test; see random_kit for more generators."""
    return random_kit.rng()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first, so that no worker is left with one at the end."""
    items.sort(key=lambda item: "slow" not in item.keywords)


@pytest.fixture(scope="session")
def faults() -> Path:
    """Small files, each with a fault that files of users have."""
    path = Path(__file__).parents[2] / "shared" / "faults"
    if not path.is_dir():
        pytest.skip("the files with faults are not here: shared/faults, beside the checkout")
    return path


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data files, beside the checkout or where ODYSSEY_TEST_DATA says."""
    path = Path(os.environ.get("ODYSSEY_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip("the real data files are not here; set ODYSSEY_TEST_DATA to their folder")
    return path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mounting, capture_output=True).returncode:
        pytest.skip("a file system of its own takes the right to mount one")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(autouse=True)
def _own_sources() -> Iterator[None]:
    """No test finds the configuration folders of another that ran in the same process."""
    yield
    sources = sys.modules.get("odyssey.config.sources")
    if sources is not None and sources.current() != sources.Sources():
        sources.use(())
