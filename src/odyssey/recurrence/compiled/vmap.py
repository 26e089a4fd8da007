"""What autograd's operations share: a dimension that `vmap` adds, as rows or run by run."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

Function = TypeVar("Function", bound=Callable[..., Any])
Mapped = tuple[tuple[Any, ...], tuple[int | None, ...]]  # results, the mapped dimension of each


def folded(
    size: int, dims: tuple[Any, ...], operands: tuple[Any, ...], axes: tuple[int | None, ...]
) -> list[Any]:
    """The operands with their mapped dimension (`dims`; None is the same for all) in the batch.

    `axes` says where each operand has its batch; None is nowhere.
    """
    made = []
    for value, dim, axis in zip(operands, dims, axes, strict=True):
        if axis is not None and value is not None:
            if dim is None:
                shape = (*value.shape[:axis], size, *value.shape[axis:])
                value = value.unsqueeze(axis).expand(shape)
            else:
                value = value.movedim(dim, axis)
            value = value.flatten(axis, axis + 1)
        made.append(value)
    return made


def unfolded(size: int, results: tuple[Tensor, ...], axes: tuple[int | None, ...]) -> Mapped:
    """The results with the mapped dimension out of the batch again, before it."""
    split = tuple(
        v if axis is None else v.unflatten(axis, (size, v.shape[axis] // size))
        for v, axis in zip(results, axes, strict=True)
    )
    return split, axes


def one_by_one(
    function: type[torch.autograd.Function],
    size: int,
    dims: tuple[Any, ...],
    operands: tuple[Any, ...],
) -> Mapped:
    """The function applied once for each index of the mapped dimension."""
    results = []
    for i in range(size):
        own = [v if d is None else v.select(d, i) for v, d in zip(operands, dims, strict=True)]
        results.append(function.apply(*own))
    stacked = tuple(torch.stack(v) for v in zip(*results, strict=True))
    return stacked, (0,) * len(stacked)


def signed(forward: Function) -> Function:
    """`forward` with its signature made: torch asks for it at each call, and making takes 20 us."""
    forward.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]
    return forward
