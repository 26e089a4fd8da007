"""Drawing samples from a model's logits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from odyssey.errors import UserError


def sample_generator(length: int, temperature: float, seed: int) -> torch.Generator:
    """The random generator of one sample; torch's global one stays untouched.

    Raises UserError if `length` or `temperature` is out of range.
    """
    if length < 1:
        raise UserError(f"length={length} is out of range: type 1 or more")
    if not (temperature >= 0 and math.isfinite(temperature)):
        raise UserError(f"temperature={temperature} is out of range: type 0 (no chance) or more")
    return torch.Generator().manual_seed(seed)


@dataclass(frozen=True)
class Nucleus:
    """Which outputs are drawn from: the likeliest `top_k`, or those that have `top_p` together.

    top_p: the fewest of the likeliest whose probabilities, after the temperature, add up to it
    (Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration"). None: all. With both,
    `top_p` is a part of what the likeliest `top_k` have together.

    Raises UserError for values out of range.
    """

    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top_k={self.top_k} is out of range: type 1 or more")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UserError(f"top_p={self.top_p:g} is out of range: type more than 0, at most 1")

    def __bool__(self) -> bool:
        return self.top_k is not None or self.top_p is not None

    def of(self, probabilities: Tensor) -> Tensor:
        """The probabilities (K) with those that are not drawn set to 0, in proportion else.

        Of equal ones at the edge the first is kept.
        """
        kept, places = probabilities.sort(descending=True, stable=True)
        if self.top_k is not None:
            kept[self.top_k :] = 0
        if self.top_p is not None:
            before = kept.cumsum(0) - kept  # what the likelier ones have together
            kept[before >= self.top_p * kept.sum()] = 0
        return torch.zeros_like(probabilities).scatter(0, places, kept / kept.sum())


ALL = Nucleus()


def until(pieces: Iterable[str], stop: str) -> Iterator[str]:
    """The pieces up to before the first `stop` in their text, which may span several of them.

    What may be the beginning of it is held back until more is known.
    """
    held = ""
    for piece in pieces:
        held += piece
        at = held.find(stop)
        if at >= 0:
            yield held[:at]
            return
        keep = next(
            n for n in range(min(len(stop) - 1, len(held)), -1, -1) if held.endswith(stop[:n])
        )
        if len(held) > keep:
            yield held[: len(held) - keep]
            held = held[len(held) - keep :]
    yield held


def finite(logits: Tensor) -> Tensor:
    """A copy of the logits in float64 on the CPU. Raises UserError if one is not finite."""
    logits = logits.detach().to("cpu", torch.float64, copy=True)
    if not bool(logits.isfinite().all()):
        raise UserError("the model's outputs are not finite, so there is nothing to draw from")
    return logits


def draw_one(
    logits: Tensor, temperature: float, generator: torch.Generator, nucleus: Nucleus = ALL
) -> int:
    """An index drawn by softmax(logits / temperature), logits (K); temperature 0: the argmax."""
    if temperature == 0:
        return int(logits.argmax())
    probabilities = torch.softmax((logits - logits.max()) / temperature, 0)
    if nucleus:
        probabilities = nucleus.of(probabilities)
    return int(torch.multinomial(probabilities, 1, generator=generator))


def draw_each(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """K independent draws of 0 or 1 by sigmoid(logits / temperature), as uint8 (K).

    Temperature 0: 1 where the probability is above a half.
    """
    if temperature == 0:
        return (logits > 0).to(torch.uint8)
    probabilities = torch.sigmoid(logits / temperature)
    return torch.bernoulli(probabilities, generator=generator).to(torch.uint8)
