"""What several tests share."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

# The tests' models are so small that a second thread costs more than it brings. Read when torch is
# first loaded, so it must be set before; the processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Kernels that the tests compile: not among the user's, and there at the next run of the tests.
os.environ.setdefault(
    "ODYSSEY_KERNELS", str(Path(__file__).parents[1] / ".pytest_cache" / "kernels")
)

# A shell that starts the suite in the background has it ignore Ctrl-C, and what it starts too; some
# tests are about Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first, so that no worker is left with one at the end."""
    items.sort(key=lambda item: "slow" not in item.keywords)


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
