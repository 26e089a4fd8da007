"""Random inputs of a test, repeated by the seed that pytest prints.

A generator follows from the session's seed, the test's node id and the keys given here, so that the
same call within one test gives the same numbers, and a test alone gives those of the whole suite.
"""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

_of_test: int | None = None  # set by conftest.py around each test


def set_seed(seed: int | None) -> None:
    global _of_test
    _of_test = seed


def seed(*keys: object) -> int:
    """Of 31 bits."""
    if _of_test is None:
        raise RuntimeError(
            "random inputs are drawn in a test or in a fixture of its scope: what is drawn when a "
            "file is imported, or for several tests, would depend on which of them run"
        )
    return derive(_of_test, *keys)


def derive(*keys: object) -> int:
    text = " ".join(map(str, keys))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def rng(*keys: object) -> np.random.Generator:
    return np.random.default_rng(seed(*keys))


def dice(*keys: object) -> random.Random:
    return random.Random(seed(*keys))


def torch_rng(*keys: object) -> torch.Generator:
    import torch

    return torch.Generator().manual_seed(seed(*keys))
