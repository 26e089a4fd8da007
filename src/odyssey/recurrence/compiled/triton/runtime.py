"""Device functions that generated Triton modules import: elementwise functions and the product.

Written out instead of taken from CUDA's library, so that Triton's interpreter runs them too. All
keep NaN, as torch's do. This module needs Triton, and only generated modules import it.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def sigmoid_of(x):  # type: ignore[no-untyped-def]
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def tanh_of(x):  # type: ignore[no-untyped-def]
    """1 - 2 / (exp(2|x|) + 1) with the sign of x; near 0, where digits cancel, a polynomial.

    The polynomial is (tanh(x) / x - 1) / x² in x², fitted at the Chebyshev nodes of |x| < 0.55 to
    minimize the relative error of tanh, which is 1e-9 there before rounding.
    """
    size = tl.abs(x)
    far = 1.0 - 2.0 / (tl.exp(2.0 * size) + 1.0)
    q = x * x
    near = -0.00628247 * q + 0.02107775
    near = near * q - 0.05385386
    near = near * q + 0.13332602
    near = near * q - 0.33333318
    return tl.where(size < 0.55, near * q * x + x, tl.where(x < 0.0, -far, far))


@triton.jit
def relu_of(x):  # type: ignore[no-untyped-def]
    return tl.where(x <= 0.0, 0.0, x)


@triton.jit
def sign_of(x):  # type: ignore[no-untyped-def]
    return tl.where(x > 0.0, 1.0, tl.where(x < 0.0, -1.0, 0.0))


@triton.jit
def pass_of(g, y):  # type: ignore[no-untyped-def]
    return tl.where(y <= 0.0, 0.0, g)


@triton.jit
def add_product(to, x, weights, PRECISION: tl.constexpr):  # type: ignore[no-untyped-def]
    """to + x @ weights, with sums in float32 whatever the operands are rounded to.

    Triton's interpreter cannot multiply bfloat16. There the weights are float32 numbers rounded to
    bfloat16, and x is rounded here.
    """
    if PRECISION == "bf16":
        x = x.to(tl.bfloat16)
    mode: tl.constexpr = "tf32" if PRECISION == "tf32" else "ieee"
    return tl.dot(x.to(weights.dtype), weights, to, input_precision=mode)
