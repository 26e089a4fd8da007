"""An LSTM with layer normalization, the one cell whose step has reductions over its units."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, sigmoid, tanh
from torch.nn.functional import layer_norm

from odyssey.cells.cell import Cell

# Where all is zero, as at the blank first rows of a digit, each norm
# multiplies the gradient by EPSILON ** -0.5, and there are two of them in a row in each step: with
# 1e-5 its norm is infinite in float32 after five steps.
EPSILON = 1e-3


def LN(*parts: Tensor, g: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """g * (v - mean(v)) / sqrt(var(v) + 1e-3) + b over all units of all parts, each (batch, H)."""
    v, gain, bias = torch.cat(parts, -1), torch.cat(g), torch.cat(b)
    return layer_norm(v, gain.shape, gain, bias, eps=EPSILON).chunk(len(parts), -1)


class LayerNormLSTM(Cell):
    """LSTM with layer normalization of what it reads, of what it remembers, and of its cell state.

        (r_i, r_f, r_z, r_o) = LN(R_i h_{t-1}, R_f h_{t-1}, R_z h_{t-1}, R_o h_{t-1}; g_R, b_R)
        (w_i, w_f, w_z, w_o) = LN(W_i x_t, W_f x_t, W_z x_t, W_o x_t; g_W, b_W)
        g_R = (g_Ri, g_Rf, g_Rz, g_Ro), b_R = (b_Ri, b_Rf, b_Rz, b_Ro)
        g_W = (g_Wi, g_Wf, g_Wz, g_Wo), b_W = (b_Wi, b_Wf, b_Wz, b_Wo)
        i_t = sigm(r_i + w_i + b_i)
        f_t = sigm(r_f + w_f + b_f)
        z_t = tanh(r_z + w_z + b_z)
        o_t = sigm(r_o + w_o + b_o)
        c_t = z_t * i_t + c_{t-1} * f_t
        h_t = tanh(LN(c_t; g_c, b_c)) * o_t

        LN(v; g, b) = g * (v - mean(v)) / sqrt(var(v) + 1e-3) + b

    The first two norms are each over the 4H values of all four gates at once, the third is over the
    H units of c_t. The gains g start at 1, the biases b as the option init.bias says. The state
    that is carried is c_t, not normalised. Of the three biases of a gate, each in its own place in
    the paper, only the sum matters to the output.

    Shapes: x_t (batch, X); the gates, c_t and h_t (batch, H); W (H, X); R (H, H); g_c, b_c and the
    four parts of g_R, b_R, g_W, b_W and b (H).
    Parameters: 4(HX + H²) + 22H
    Source: J. L. Ba, J. R. Kiros, G. E. Hinton (2016), "Layer Normalization", arXiv 1607.06450,
    supplementary material, equations 20 to 22. It calls z g, gains alpha and biases beta.
    Deviations: 1e-3 under the root, as in TensorFlow Addons' cell of these equations. The paper has
    nothing there and its authors' code 1e-5, with which gradients through steps at which all is
    zero become infinite in float32 (see EPSILON).
    """

    label = "LSTM (layer norm)"
    state = ("h", "c")
    gates = ("i", "f", "z", "o")
    lacks = {"i": "b", "f": "b", "z": "b", "o": "b"}
    ones = ("g_Ri", "g_Rf", "g_Rz", "g_Ro", "g_Wi", "g_Wf", "g_Wz", "g_Wo", "g_c")
    biases = (
        *("b_Ri", "b_Rf", "b_Rz", "b_Ro", "b_Wi", "b_Wf", "b_Wz", "b_Wo", "b_c"),
        *("b_i", "b_f", "b_z", "b_o"),
    )
    vectors = ones + biases
    forget_gate = "b_f"

    def step(self, x: Any, R: Any, p: Any, s: Any) -> tuple[Tensor, ...]:
        r_i, r_f, r_z, r_o = LN(
            *(R.i(s.h), R.f(s.h), R.z(s.h), R.o(s.h)),
            g=(p.g_Ri, p.g_Rf, p.g_Rz, p.g_Ro),
            b=(p.b_Ri, p.b_Rf, p.b_Rz, p.b_Ro),
        )
        w_i, w_f, w_z, w_o = LN(
            *(x.i, x.f, x.z, x.o),
            g=(p.g_Wi, p.g_Wf, p.g_Wz, p.g_Wo),
            b=(p.b_Wi, p.b_Wf, p.b_Wz, p.b_Wo),
        )
        i = sigmoid(r_i + w_i + p.b_i)
        f = sigmoid(r_f + w_f + p.b_f)
        z = tanh(r_z + w_z + p.b_z)
        o = sigmoid(r_o + w_o + p.b_o)
        c = z * i + s.c * f
        (n,) = LN(c, g=(p.g_c,), b=(p.b_c,))
        return tanh(n) * o, c
