"""Drawing from a model's logits, with a generator of its own."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from odyssey.errors import UserError


def generator(length: int, temperature: float, seed: int) -> torch.Generator:
    """A generator for one sample; torch's global one stays untouched.

    Raises UserError for a length or temperature that cannot be.
    """
    if length < 1:
        raise UserError(f"length={length} is out of range: type 1 or more")
    if not (temperature >= 0 and math.isfinite(temperature)):
        raise UserError(f"temperature={temperature} is out of range: type 0 (no chance) or more")
    return torch.Generator().manual_seed(seed)


def finite(logits: Tensor) -> Tensor:
    """Logits in float64 on the CPU. Raises UserError if the model gives no numbers."""
    logits = logits.detach().to("cpu", torch.float64)
    if not bool(logits.isfinite().all()):
        raise UserError("the model's outputs are not finite, so there is nothing to draw from")
    return logits


def draw_one(logits: Tensor, temperature: float, chance: torch.Generator) -> int:
    """One of K by softmax(logits / temperature); logits (K). Temperature 0 takes the likeliest."""
    if temperature == 0:
        return int(logits.argmax())
    shares = torch.softmax((logits - logits.max()) / temperature, 0)
    return int(torch.multinomial(shares, 1, generator=chance))


def draw_each(logits: Tensor, temperature: float, chance: torch.Generator) -> Tensor:
    """K independent yes or no by sigmoid(logits / temperature), as uint8 (K).

    Temperature 0 takes those that are likelier than not.
    """
    if temperature == 0:
        return (logits > 0).to(torch.uint8)
    shares = torch.sigmoid(logits / temperature)
    return torch.bernoulli(shares, generator=chance).to(torch.uint8)
