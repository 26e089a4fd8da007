"""Gradient clipping, and what the gradient was before it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def clip_gradients(
    parameters: Iterable[nn.Parameter], kind: str, threshold: float | None
) -> tuple[Tensor, Tensor]:
    """Clip in place; returns the L2 norm before clipping and whether the step was clipped.

    kind `norm` scales the whole gradient down to `threshold` (Pascanu et al. 2013, arXiv
    1211.5063); `value` clips every entry to [-threshold, threshold]; `none` leaves it. Both
    results are tensors on the parameters' device (the second 0 or 1), so nothing waits for a GPU.
    """
    params = [p for p in parameters if p.grad is not None]
    grads = [p.grad for p in params if p.grad is not None]
    norm = nn.utils.get_total_norm(grads)
    if kind == "none" or threshold is None or not grads:
        return norm, torch.zeros_like(norm)
    if kind == "norm":
        # Not torch's clip_grads_with_norm_, which divides by norm + 1e-6: that clips a norm at or
        # just below the threshold too, and clips to too little where the threshold is small.
        factor = (threshold / norm).clamp(max=1.0)
        for grad in grads:
            grad.mul_(factor)
        return norm, (norm > threshold).to(norm.dtype)
    largest = nn.utils.get_total_norm(grads, norm_type=float("inf"))
    nn.utils.clip_grad_value_(params, threshold)
    return norm, (largest > threshold).to(norm.dtype)
