"""Drawing samples from a model's logits."""

from __future__ import annotations

import math

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


def finite(logits: Tensor) -> Tensor:
    """A copy of the logits in float64 on the CPU. Raises UserError if one is not finite."""
    logits = logits.detach().to("cpu", torch.float64, copy=True)
    if not bool(logits.isfinite().all()):
        raise UserError("the model's outputs are not finite, so there is nothing to draw from")
    return logits


def draw_one(logits: Tensor, temperature: float, generator: torch.Generator) -> int:
    """An index drawn by softmax(logits / temperature), logits (K); temperature 0: the argmax."""
    if temperature == 0:
        return int(logits.argmax())
    probabilities = torch.softmax((logits - logits.max()) / temperature, 0)
    return int(torch.multinomial(probabilities, 1, generator=generator))


def draw_each(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """K independent draws of 0 or 1 by sigmoid(logits / temperature), as uint8 (K).

    Temperature 0: 1 where the probability is above a half.
    """
    if temperature == 0:
        return (logits > 0).to(torch.uint8)
    probabilities = torch.sigmoid(logits / temperature)
    return torch.bernoulli(probabilities, generator=generator).to(torch.uint8)
