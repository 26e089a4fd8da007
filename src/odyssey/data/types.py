"""What the data room hands out: plain arrays, split in three, tied to a hash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from odyssey.errors import UserError, did_you_mean, options

T = TypeVar("T")


@dataclass(frozen=True)
class Dataset(Generic[T]):
    """A data set: `name`, the SHA-256 of what it was made from, and its three separate parts."""

    name: str
    sha256: str
    train: T
    valid: T
    test: T


Text = NDArray[np.uint8]  # UTF-8 bytes, valid and cut between characters
Rolls = Sequence[NDArray[np.uint8]]  # piano rolls, each (frames, 88) of 0 and 1; key 0 is A0


@dataclass(frozen=True)
class Labelled:
    """Texts with the index of their class in `classes`."""

    texts: Sequence[str]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Images:
    """Grey images (N, 28, 28) of 0..255 and their digits (N)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


S = TypeVar("S")


def choose(name: str, sources: Mapping[str, S]) -> S:
    """The source called `name`; a UserError with the options if there is none."""
    if name not in sources:
        hint = did_you_mean(name, sources)
        raise UserError(f"task.data={name} is not a data set here{hint}; use {options(sources)}")
    return sources[name]
