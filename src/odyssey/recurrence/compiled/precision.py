"""Precision of matrix products: float32, TF32, or bfloat16 with sums in float32.

Everything else, elementwise work and states, is float32 in all three. `dispatch` decides, the
engines and `autograd` multiply.
"""

from __future__ import annotations

import torch
from torch import Tensor

PRECISIONS = ("ieee", "tf32", "bf16")


def precision_for(kind: str, dtype: torch.dtype) -> str:
    """The precision of products on a device type, by torch's settings (see trainer.precision).

    Autocast to bfloat16 is `bf16`; torch.set_float32_matmul_precision other than "highest" is
    `tf32`. On the CPU, and in float64, always `ieee`.
    """
    if kind == "cpu" or dtype != torch.float32:
        return "ieee"
    if torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.bfloat16:
        return "bf16"
    return "ieee" if torch.get_float32_matmul_precision() == "highest" else "tf32"


def multiply(a: Tensor, b: Tensor, precision: str) -> Tensor:
    """a @ b of float32 matrices, or of stacks of them. TF32 is left to torch's own setting."""
    if precision != "bf16":
        return a @ b
    a, b = a.bfloat16(), b.bfloat16()
    if a.device.type == "cpu":  # where torch would round a product of bfloat16 to bfloat16
        return a.float() @ b.float()
    product = torch.mm if a.dim() == 2 else torch.bmm
    return product(a, b, out_dtype=torch.float32)
