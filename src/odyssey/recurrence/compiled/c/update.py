"""Whole updates of a model in C: what `update.h` is given, made from modules of torch.

The library is the same for all models; a cell's two loops over time are those of its own library.
Everything is float32 on the CPU. `training/program.py` puts models, tasks and optimizers into these
structs.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import POINTER, Structure, c_double, c_float, c_int64, c_void_p
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor

from odyssey.cells.cell import Cell
from odyssey.recurrence.compiled.buffers import CannotCompile
from odyssey.recurrence.compiled.c.engine import load_library
from odyssey.recurrence.compiled.schedule import Plan

ENTRIES = ("needed", "train", "gradients", "evaluate")
READERS = ("real", "one_hot", "embedded")
LOSSES = ("bernoulli", "categorical", "squared")
CLIPS = ("none", "norm", "value")
OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop", "adagrad")
OPERANDS = ("before", "after", "gates", "extra")
MOST_LAYERS = 32  # in all directions together
MOST_PARTS = 16  # states of a cell, and groups of its recurrent matrices
NO_MEMORY, OUT_OF_RANGE = -1, -2  # in place of what a function returns
SIZES = (
    *("inputs", "hidden", "gates", "extra", "bare", "states"),
    *("groups", "dgates", "vectors", "sums"),
)
TABLES = (
    *("bias_rows", "vector_rows", "sum_rows"),
    *("group_sizes", "group_rows", "group_first", "operand_kinds", "operand_slots"),
)
LETTERS = ("W", "R", "b", "p", "P")


class Layer(Structure):
    """One layer in one direction, field by field as in update.h."""

    _fields_ = [
        *((name, c_void_p) for name in ("forward", "backward")),
        *((name, c_int64) for name in SIZES),
        *((name, c_void_p) for name in TABLES),
        *((name, c_void_p) for name in (*LETTERS, *(f"d{k}" for k in LETTERS))),
    ]


class Weight(Structure):
    """A parameter, its gradient, and what the optimizer keeps of it."""

    _fields_ = [
        *((name, c_void_p) for name in ("value", "gradient")),
        ("state", c_void_p * 2),
        ("step", c_void_p),
        ("size", c_int64),
    ]


class Model(Structure):
    """A model with its loss and its optimizer."""

    _fields_ = [
        *((name, c_int64) for name in ("layers", "directions", "reader", "inputs", "width")),
        *((name, c_int64) for name in ("outputs", "at_end", "truncation")),
        ("layer", POINTER(Layer)),
        *((name, c_void_p) for name in ("embedding", "head", "head_bias")),
        *((name, c_void_p) for name in ("dembedding", "dhead", "dhead_bias")),
        *((name, c_int64) for name in ("loss", "clip", "optimizer", "weights")),
        ("weight", POINTER(Weight)),
        *((name, c_double) for name in ("threshold", "momentum", "nesterov", "decay")),
        *((name, c_double) for name in ("beta1", "beta2", "eps", "alpha")),
        ("carried", c_void_p),
    ]


class Batch(Structure):
    """One batch, and the factor of its loss and learning rate."""

    _fields_ = [
        *((name, c_int64) for name in ("steps", "batch", "reset")),
        *((name, c_void_p) for name in ("inputs", "targets", "lengths", "masks")),
        *((name, c_double) for name in ("scale", "rate")),
    ]


class Done(Structure):
    """What an update leaves: loss, norm of the gradient before clipping, whether it was clipped."""

    _fields_ = [("loss", c_float), ("norm", c_float), ("clipped", c_float)]


def library() -> ctypes.CDLL | CannotCompile:
    """The library of whole updates, or why there is none."""
    texts = [
        files(__package__).joinpath(name).read_text(encoding="utf-8")
        for name in ("kernel.h", "update.h")
    ]
    loaded = load_library("\n".join(texts))
    if isinstance(loaded, CannotCompile):
        return loaded
    for name in ENTRIES:
        getattr(loaded, name).restype = c_int64
    return loaded


def numbers(values: Sequence[int]) -> Any:
    """An array of int64, of at least one element."""
    return (c_int64 * max(len(values), 1))(*values)


def pointers(tensors: Sequence[Tensor]) -> Any:
    """An array of the tensors' addresses, of at least one element."""
    return (c_void_p * max(len(tensors), 1))(*(v.data_ptr() for v in tensors))


def layer_of(cell: Cell, plan: Plan, loops: Any, gradients: dict[int, Tensor]) -> tuple[Layer, Any]:
    """The struct of a cell, and what must live as long as it does.

    loops: the library of the plan's C. gradients: of each parameter, by its id.
    """
    b_rows, p_rows, r_rows = plan.rows["b"], plan.rows_of_p, plan.rows["R"]

    def vector(name: str) -> int:
        """The row in p, or -1 - row in b."""
        if name in p_rows:
            return p_rows.index(name)
        return -1 - b_rows.index(name.removeprefix("x."))

    biased = [f"x.{name}" for name in plan.biased]
    tables = {
        "bias_rows": [b_rows.index(k) if k in b_rows else -1 for k in plan.gates],
        "vector_rows": [vector(k) for k in plan.vectors],
        "sum_rows": [vector(k) for k in (*plan.vectors, *biased)],
        "group_sizes": [len(group.names) for group in plan.groups],
        "group_rows": [r_rows.index(k) for group in plan.groups for k in group.names],
        "group_first": list(plan.first_adjoint),
        "operand_kinds": [OPERANDS.index(place.kind) for place in plan.operands],
        "operand_slots": [place.slot for place in plan.operands],
    }
    kept: list[Any] = [numbers(tables[name]) for name in TABLES]
    layer = Layer(
        ctypes.cast(loops.forward, c_void_p),
        ctypes.cast(loops.backward, c_void_p),
        cell.input_size,
        cell.hidden_size,
        len(plan.gates),
        plan.extra,
        len(plan.bare),
        len(plan.step.states),
        len(plan.groups),
        plan.dgates,
        len(plan.vectors),
        plan.sums,
        *(ctypes.cast(table, c_void_p) for table in kept),
    )
    for letter in LETTERS:
        weight = getattr(cell, letter)
        if weight is not None:
            setattr(layer, letter, weight.data_ptr())
            setattr(layer, f"d{letter}", gradients[id(weight)].data_ptr())
    return layer, (kept, loops, cell)


def contiguous(tensors: Sequence[Tensor]) -> bool:
    """Whether all are float32 on the CPU, in one piece each."""
    return all(
        v.dtype == torch.float32 and v.device.type == "cpu" and v.is_contiguous() for v in tensors
    )
