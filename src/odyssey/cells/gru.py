"""Gated recurrent units. z = 1 keeps the old state in some of them and takes the new in others."""

from __future__ import annotations

from typing import Any

from torch import Tensor, sigmoid, tanh

from odyssey.cells.cell import Cell


class SimpleGRU(Cell):
    """GRU in the simplified form of lecture notes: an update gate and no reset gate.

        z_t = sigm(W_z x_t + R_z h_{t-1} + b_z)
        n_t = tanh(W_n x_t + R_n h_{t-1} + b_n)
        h_t = z_t * n_t + (1 - z_t) * h_{t-1}

    Shapes: x_t (batch, X); z_t, n_t, h_t (batch, H); W (H, X); R (H, H); b (H).
    Parameters: 2(HX + H² + H)
    Source: A. Ng, lecture notes "Sequence Models", "GRU (simplified)", where h is called c and z
    is called Gamma_u. It simplifies Cho et al. (2014), arXiv 1406.1078.
    Deviations: none. z = 1 takes the new value, so a positive bias forgets: no forget gate.
    """

    label = "GRU (update gate only)"
    state = ("h",)
    gates = ("z", "n")

    def step(self, x: Any, R: Any, p: Any, s: Any) -> tuple[Tensor, ...]:
        z = sigmoid(x.z + R.z(s.h))
        n = tanh(x.n + R.n(s.h))
        h = z * n + (1 - z) * s.h
        return (h,)


class GRU(Cell):
    """Gated recurrent unit; the reset gate acts before the recurrent product.

        r_t = sigm(W_r x_t + R_r h_{t-1} + b_r)
        z_t = sigm(W_z x_t + R_z h_{t-1} + b_z)
        n_t = tanh(W_n x_t + R_n (r_t * h_{t-1}) + b_n)
        h_t = (1 - z_t) * n_t + z_t * h_{t-1}

    Shapes: x_t (batch, X); r_t, z_t, n_t, h_t (batch, H); W (H, X); R (H, H); b (H).
    Parameters: 3(HX + H² + H)
    Source: K. Cho et al. (2014), "Learning Phrase Representations using RNN Encoder-Decoder for
    Statistical Machine Translation", arXiv 1406.1078.
    Deviations: the paper's equations show no biases. Here as there z = 1 keeps the old value, so
    a positive b_z remembers, and `forget_bias` sets it; Chung et al. (2014) have z the other way.
    """

    label = "GRU"
    state = ("h",)
    gates = ("r", "z", "n")
    forget_gate = "z"

    def step(self, x: Any, R: Any, p: Any, s: Any) -> tuple[Tensor, ...]:
        r = sigmoid(x.r + R.r(s.h))
        z = sigmoid(x.z + R.z(s.h))
        n = tanh(x.n + R.n(r * s.h))
        h = (1 - z) * n + z * s.h
        return (h,)


class GRUResetAfter(Cell):
    """GRU whose reset gate acts after the recurrent product; the same function as torch.nn.GRU.

        r_t = sigm(W_r x_t + R_r h_{t-1} + b_r)
        z_t = sigm(W_z x_t + R_z h_{t-1} + b_z)
        n_t = tanh(W_n x_t + r_t * (R_n h_{t-1} + b_Rn) + b_n)
        h_t = (1 - z_t) * n_t + z_t * h_{t-1}

    Shapes: x_t (batch, X); r_t, z_t, n_t, h_t (batch, H); W (H, X); R (H, H); b and b_Rn (H).
    Parameters: 3(HX + H² + H) + H
    Source: the GRU of cuDNN and torch.nn.GRU, after Cho et al. (2014), arXiv 1406.1078.
    Deviations: one b_r and one b_z, where cuDNN adds up two of each. Here as there z = 1 keeps the
    old value, so a positive b_z remembers, and `forget_bias` sets it.
    """

    label = "GRU (reset after)"
    state = ("h",)
    gates = ("r", "z", "n")  # torch's order
    vectors = ("b_Rn",)
    biases = ("b_Rn",)
    forget_gate = "z"

    def step(self, x: Any, R: Any, p: Any, s: Any) -> tuple[Tensor, ...]:
        r = sigmoid(x.r + R.r(s.h))
        z = sigmoid(x.z + R.z(s.h))
        n = tanh(x.n + r * (R.n(s.h) + p.b_Rn))
        h = (1 - z) * n + z * s.h
        return (h,)
