"""Rules of `torch.func.vmap` for the operations of `autograd`: how a mapped dimension is handled.

It either joins the batch (`fold_into_batch`, `unfold_from_batch`), or the operation is run once for
each of its indices (`run_for_each`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

Function = TypeVar("Function", bound=Callable[..., Any])
Mapped = tuple[tuple[Any, ...], tuple[int | None, ...]]  # results, the mapped dimension of each


def fold_into_batch(
    size: int, dims: tuple[Any, ...], operands: tuple[Any, ...], axes: tuple[int | None, ...]
) -> list[Any]:
    """The operands with their mapped dimension merged into the batch.

    size: of the mapped dimension. dims: which it is in each operand, None where the operand is not
    mapped. axes: which dimension is the batch of each operand, None where it has no batch.
    """
    folded = []
    for value, dim, axis in zip(operands, dims, axes, strict=True):
        if axis is not None and value is not None:
            if dim is None:
                shape = (*value.shape[:axis], size, *value.shape[axis:])
                value = value.unsqueeze(axis).expand(shape)
            else:
                value = value.movedim(dim, axis)
            value = value.flatten(axis, axis + 1)
        folded.append(value)
    return folded


def unfold_from_batch(
    size: int, results: tuple[Tensor, ...], axes: tuple[int | None, ...]
) -> Mapped:
    """The inverse: results with the mapped dimension separate, right before the batch."""
    split = tuple(
        v if axis is None else v.unflatten(axis, (size, v.shape[axis] // size))
        for v, axis in zip(results, axes, strict=True)
    )
    return split, axes


def run_for_each(
    function: type[torch.autograd.Function],
    size: int,
    dims: tuple[Any, ...],
    operands: tuple[Any, ...],
) -> Mapped:
    """The function applied once for each index of the mapped dimension, results stacked."""
    results = []
    for i in range(size):
        own = [v if d is None else v.select(d, i) for v, d in zip(operands, dims, strict=True)]
        results.append(function.apply(*own))
    stacked = tuple(torch.stack(v) for v in zip(*results, strict=True))
    return stacked, (0,) * len(stacked)


def cache_signature(forward: Function) -> Function:
    """Set `forward.__signature__`, which torch reads at every call and takes 20 us to compute."""
    forward.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]
    return forward
