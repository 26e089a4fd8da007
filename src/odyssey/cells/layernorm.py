"""An LSTM with layer normalization, the one cell whose step has a reduction over its units."""

from __future__ import annotations

from typing import Any

from torch import Tensor, sigmoid, tanh
from torch.nn.functional import layer_norm

from odyssey.cells.cell import Cell


def LN(v: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    """gain * (v - mean) / sqrt(var + 1e-5) + bias over the H units of v (batch, H)."""
    return layer_norm(v, gain.shape, gain, bias, eps=1e-5)


class LayerNormLSTM(Cell):
    """LSTM with layer normalization of every gate, and of the cell state that the output reads.

        i_t = sigm(LN(W_i x_t + R_i h_{t-1}; g_i, b_i))
        f_t = sigm(LN(W_f x_t + R_f h_{t-1}; g_f, b_f))
        z_t = tanh(LN(W_z x_t + R_z h_{t-1}; g_z, b_z))
        c_t = z_t * i_t + c_{t-1} * f_t
        o_t = sigm(LN(W_o x_t + R_o h_{t-1}; g_o, b_o))
        h_t = tanh(LN(c_t; g_c, b_c)) * o_t

        LN(v; g, b) = g * (v - mean(v)) / sqrt(var(v) + 1e-5) + b, over the H units of each sequence

    The gains g start at 1, the biases b as the option init.bias says. The state that is carried is
    c_t, not normalised. With H = 1 nothing is left of v.

    Shapes: x_t (batch, X); the gates, c_t and h_t (batch, H); W (H, X); R (H, H); g and b (H).
    Parameters: 4(HX + H²) + 10H
    Source: J. L. Ba, J. R. Kiros, G. E. Hinton (2016), "Layer Normalization", arXiv 1607.06450,
    supplementary material.
    Deviations: the paper normalises W x_t and R h_{t-1} apart, each over all four gates at once,
    and adds b to their sum; here each gate's sum is normalised by itself. It calls z g, and the
    paper's gains and biases are alpha and beta.
    """

    label = "LSTM (layer norm)"
    state = ("h", "c")
    gates = ("i", "f", "z", "o")
    lacks = {"i": "b", "f": "b", "z": "b", "o": "b"}
    vectors = ("g_i", "g_f", "g_z", "g_o", "g_c", "b_i", "b_f", "b_z", "b_o", "b_c")
    ones = ("g_i", "g_f", "g_z", "g_o", "g_c")
    biases = ("b_i", "b_f", "b_z", "b_o", "b_c")
    forget_gate = "b_f"

    def step(self, x: Any, R: Any, p: Any, s: Any) -> tuple[Tensor, ...]:
        i = sigmoid(LN(x.i + R.i(s.h), p.g_i, p.b_i))
        f = sigmoid(LN(x.f + R.f(s.h), p.g_f, p.b_f))
        z = tanh(LN(x.z + R.z(s.h), p.g_z, p.b_z))
        c = z * i + s.c * f
        o = sigmoid(LN(x.o + R.o(s.h), p.g_o, p.b_o))
        h = tanh(LN(c, p.g_c, p.b_c)) * o
        return h, c
