"""Which GPUs this machine has, and which trial gets which. Without torch."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

VISIBLE = "CUDA_VISIBLE_DEVICES"
ORDER = "CUDA_DEVICE_ORDER"


def visible() -> list[str]:
    """The GPUs that this process may use, by number or by name; those of CUDA_VISIBLE_DEVICES."""
    allowed = os.environ.get(VISIBLE)
    if allowed is None:
        return _counted()
    names = [name.strip() for name in allowed.split(",")]
    # CUDA itself reads the list up to the first entry that names no GPU.
    end = next((i for i, name in enumerate(names) if name in ("", "-1")), len(names))
    return names[:end]


def _counted() -> list[str]:
    """The numbers of this machine's GPUs; none without NVIDIA's driver."""
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.split() if done.returncode == 0 else []


def environment(slot: int, gpus: Sequence[str] | None) -> dict[str, str]:
    """The variables that give the trial in `slot` (0, 1, …) its GPU, of those in turn.

    gpus: the numbers or names to hand out; [] hides every GPU, None leaves all as it is.
    """
    if gpus is None:
        return {}
    given = {VISIBLE: gpus[slot % len(gpus)] if gpus else ""}
    if ORDER not in os.environ:
        given[ORDER] = "PCI_BUS_ID"  # the numbers of nvidia-smi, which CUDA's own may not be
    return given
