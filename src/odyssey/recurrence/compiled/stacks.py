"""A cell's parameters in the order in which a plan reads them."""

from __future__ import annotations

import torch
from torch import Tensor

from odyssey.recurrence.compiled.plan import Plan


def stacked_biases(plan: Plan, b: Tensor | None, like: Tensor) -> Tensor:
    """b of the gates with W, in their order (#W, H); zero for those without b."""
    hidden = like.shape[-1]
    if b is not None and plan.rows["b"] == plan.gates:
        return b.contiguous().view(-1, hidden)
    if b is None or not plan.biased:
        return like.new_zeros(len(plan.gates), hidden)
    parts = dict(zip(plan.rows["b"], b.split(hidden), strict=True))
    zero = b.new_zeros(hidden)
    return torch.stack([parts.get(k, zero) for k in plan.gates])


def stacked_vectors(plan: Plan, b: Tensor | None, p: Tensor | None, like: Tensor) -> Tensor:
    """The vectors in the plan's order (#, H): a copy."""
    hidden = like.shape[-1]
    if not plan.vectors:
        return like.new_empty(0, hidden)
    if p is not None and plan.vectors_are_p:
        return p.clone(memory_format=torch.contiguous_format)
    parts: dict[str, Tensor] = {}
    if p is not None:
        parts |= {f"p.{k}": v for k, v in zip(plan.rows["p"], p, strict=True)}
    if b is not None:
        parts |= {f"x.{k}": v for k, v in zip(plan.rows["b"], b.split(hidden), strict=True)}
    return torch.stack([parts[k] for k in plan.vectors])


def stacked_matrices(plan: Plan, R: Tensor | None) -> list[Tensor]:
    """Each group's matrices, one above another (n·H, H)."""
    if R is None:
        return []
    R = R.contiguous()
    hidden = R.shape[1]
    found = []
    for group in plan.groups:
        first = _first_row(plan, group.names)
        if first is not None:
            found.append(R[first * hidden : (first + len(group.names)) * hidden])
        else:
            parts = dict(zip(plan.rows["R"], R.split(hidden), strict=True))
            found.append(torch.cat([parts[k] for k in group.names]))
    return found


def _first_row(plan: Plan, names: tuple[str, ...]) -> int | None:
    """Where these matrices lie one after another in R, or None."""
    rows = plan.rows["R"]
    first = rows.index(names[0])
    return first if rows[first : first + len(names)] == names else None
