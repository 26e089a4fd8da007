"""The engine that calls compiled C, for float32 on the CPU; the last stage of this package."""

from __future__ import annotations

import ctypes
import functools
from ctypes import POINTER, Structure, c_int64, c_void_p
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from odyssey.recurrence.compiled.buffers import Adjoints, CannotCompile, Engine, Memory
from odyssey.recurrence.compiled.c.build import load
from odyssey.recurrence.compiled.c.codegen import generate
from odyssey.recurrence.compiled.schedule import Plan


class Run(Structure):
    """The struct `Run` of kernel.h, field by field."""

    _fields_ = [
        *((name, c_int64) for name in ("steps", "batch", "hidden", "truncation", "threads")),
        *((name, c_void_p) for name in ("lengths", "gates", "extra", "bare")),
        ("states", POINTER(c_void_p)),
        ("biases", c_void_p),
        ("vectors", c_void_p),
        ("weights", POINTER(c_void_p)),
        ("output", c_void_p),
        ("last", POINTER(c_void_p)),
        ("first", POINTER(c_void_p)),
        ("dgates", c_void_p),
        ("sums", c_void_p),
        ("parallel", c_void_p),
    ]


@functools.cache
def openmp_entry() -> int | None:
    """Address of GOMP_parallel in the OpenMP library that torch is linked to, or None."""
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        return ctypes.cast(library.GOMP_parallel, c_void_p).value
    except (OSError, AttributeError):
        return None


@functools.cache  # for all layers of one kind of cell, failures too
def load_library(source: str) -> ctypes.CDLL | CannotCompile:
    """The compiled library, or why there is none."""
    try:
        return load(source)
    except CannotCompile as error:
        return error


class CEngine(Engine):
    """Calls the two functions compiled for one plan. Building one raises CannotCompile."""

    def __init__(self, plan: Plan) -> None:
        library = load_library(generate(plan))
        if isinstance(library, CannotCompile):
            raise CannotCompile(*library.args)
        self.library = library  # with the functions `forward` and `backward`
        self._forward, self._backward = library.forward, library.backward

    def forward(self, plan: Plan, memory: Memory) -> None:
        _call(self._forward, _run(memory))

    def backward(self, plan: Plan, memory: Memory, adjoints: Adjoints) -> None:
        run = _run(memory)
        run.output = adjoints.output.data_ptr()
        run.last, run.first = _pointers(adjoints.last), _pointers(adjoints.first)
        run.dgates, run.sums = adjoints.dgates.data_ptr(), adjoints.sums.data_ptr()
        _call(self._backward, run)


def _run(memory: Memory) -> Run:
    steps, batch, hidden = memory.states[0].shape
    run = Run(steps - 1, batch, hidden, memory.truncation, torch.get_num_threads())
    if memory.lengths is not None:
        run.lengths = memory.lengths.data_ptr()
    for name in ("gates", "biases", "extra", "bare", "vectors"):
        setattr(run, name, getattr(memory, name).data_ptr())
    run.parallel = openmp_entry()
    run.states, run.weights = _pointers(memory.states), _pointers(memory.weights)
    return run


def _pointers(tensors: list[Tensor]) -> Any:
    return (c_void_p * max(len(tensors), 1))(*(v.data_ptr() for v in tensors))


def _call(function: Any, run: Run) -> None:
    if function(ctypes.byref(run)):
        raise MemoryError("a compiled cell found no memory for its loop")
