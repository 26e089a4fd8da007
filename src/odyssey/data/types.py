"""What data functions return: plain arrays in three parts, identified by a hash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from odyssey.errors import UserError, did_you_mean, options

T = TypeVar("T")
S = TypeVar("S")


@dataclass(frozen=True)
class Dataset(Generic[T]):
    """A data set in three separate parts.

    sha256: hex, of the files or the text that it was made from; it identifies the content.
    notes: how files of the user's own were understood, a line each, which a run prints.
    """

    name: str
    sha256: str
    train: T
    valid: T
    test: T
    notes: tuple[str, ...] = field(default=(), kw_only=True)


Text = NDArray[np.uint8]  # UTF-8 bytes, valid and cut between characters
Rolls = Sequence[NDArray[np.uint8]]  # piano rolls, each (frames, 88) of 0 and 1; key 0 is A0


@dataclass(frozen=True)
class Labelled:
    """Texts, and for each the index of its class in `classes`: labels (N)."""

    texts: Sequence[str]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Images:
    """Images of 0 to 255, and for each the index of its class in `classes`: labels (N).

    images: grey (N, H, W), or in colour (N, H, W, 3). classes: what they are called, where they are
    no digits.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...] | None = None


def choose(name: str, sources: Mapping[str, S]) -> S:
    """The source `name`. Raises UserError, with the options, if there is none by that name."""
    if name not in sources:
        hint = did_you_mean(name, sources)
        raise UserError(f"task.data={name} is not a data set here{hint}; use {options(sources)}")
    return sources[name]
