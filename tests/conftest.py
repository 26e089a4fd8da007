"""What several tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Threads that spin while they wait make each other wait, on a machine that does other things too.
# Read when torch is first loaded, so it must be set before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data files, beside the checkout or where ODYSSEY_TEST_DATA says."""
    path = Path(os.environ.get("ODYSSEY_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip("the real data files are not here; set ODYSSEY_TEST_DATA to their folder")
    return path
