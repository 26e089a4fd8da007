"""Simple recurrent networks, which have no gates."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, relu, tanh

from odyssey.cells.cell import Cell
from odyssey.cells.init import Init


class Elman(Cell):
    """Simple recurrent network with tanh; the same function as torch.nn.RNN.

        h_t = tanh(W_h x_t + R_h h_{t-1} + b_h)

    Shapes: x_t (batch, X); h_t (batch, H); W (H, X); R (H, H); b (H).
    Parameters: HX + H² + H
    Source: J. L. Elman (1990), "Finding structure in time", Cognitive Science 14, 179-211.
    Deviations: tanh where the paper has the logistic function. The output layer is the model's.
    """

    label = "RNN (tanh)"
    state = ("h",)
    gates = ("h",)

    def step(self, x: Any, R: Any, p: Any, s: Any) -> tuple[Tensor, ...]:
        h = tanh(x.h + R.h(s.h))
        return (h,)


class ElmanReLU(Cell):
    """Simple recurrent network with rectified linear units; the same as torch.nn.RNN with relu.

        h_t = max(0, W_h x_t + R_h h_{t-1} + b_h)

    Shapes: x_t (batch, X); h_t (batch, H); W (H, X); R (H, H); b (H).
    Parameters: HX + H² + H
    Source: J. L. Elman (1990), "Finding structure in time", Cognitive Science 14, 179-211.
    Deviations: rectified linear units where the paper has the logistic function.
    """

    label = "RNN (ReLU)"
    state = ("h",)
    gates = ("h",)

    def step(self, x: Any, R: Any, p: Any, s: Any) -> tuple[Tensor, ...]:
        h = relu(x.h + R.h(s.h))
        return (h,)


class IRNN(ElmanReLU):
    """ReLU network whose recurrent matrix starts as the identity, so that it begins by copying.

        h_t = max(0, W_h x_t + R_h h_{t-1} + b_h),  at first R_h = I, W_h ~ N(0, 0.001²), b_h = 0

    Shapes: x_t (batch, X); h_t (batch, H); W (H, X); R (H, H); b (H).
    Parameters: HX + H² + H
    Source: Q. V. Le, N. Jaitly, G. E. Hinton (2015), "A Simple Way to Initialize Recurrent Networks
    of Rectified Linear Units", arXiv 1504.00941.
    Deviations: none. The paper starts some tasks with a smaller multiple of the identity: that is
    `init.recurrent_scale`.
    """

    label = "IRNN"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        init: Init | None = None,
        forget_bias: float | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        # The initialization makes it an IRNN, so it is the default here too, not in the YAML alone.
        init = init or Init(input="normal", input_scale=0.001, recurrent="identity")
        super().__init__(input_size, hidden_size, init=init, forget_bias=forget_bias, dtype=dtype)


class Jordan(Cell):
    """Network that feeds back its output layer; the hidden layer is not remembered.

        h_t = tanh(W_h x_t + R_h y_{t-1} + b_h)
        y_t = tanh(R_y h_t + b_y)

    Shapes: x_t (batch, X); h_t and y_t (batch, H); W_h (H, X); R_h and R_y (H, H); b (H).
    Parameters: HX + 2H² + 2H
    Source: M. I. Jordan (1986), "Serial order: a parallel distributed processing approach",
    ICS Report 8604, University of California, San Diego.
    Deviations: tanh where the report has the logistic function; the output layer has H units and
    the model's head stands on it; the feedback has no decaying trace (mu = 0).
    """

    label = "Jordan"
    state = ("y",)
    gates = ("h", "y")
    lacks = {"y": "W"}

    def step(self, x: Any, R: Any, p: Any, s: Any) -> tuple[Tensor, ...]:
        h = tanh(x.h + R.h(s.y))
        y = tanh(x.y + R.y(h))
        return (y,)
