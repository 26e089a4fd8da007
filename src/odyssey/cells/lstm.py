"""Long short-term memory, without and with peepholes."""

from __future__ import annotations

from typing import Any

from torch import Tensor, sigmoid, tanh

from odyssey.cells.cell import Cell


class LSTM(Cell):
    """LSTM with a forget gate and no peepholes; the same function as torch.nn.LSTM.

        i_t = sigm(W_i x_t + R_i h_{t-1} + b_i)
        f_t = sigm(W_f x_t + R_f h_{t-1} + b_f)
        z_t = tanh(W_z x_t + R_z h_{t-1} + b_z)
        c_t = z_t * i_t + c_{t-1} * f_t
        o_t = sigm(W_o x_t + R_o h_{t-1} + b_o)
        h_t = tanh(c_t) * o_t

    Shapes: x_t (batch, X); the gates, c_t and h_t (batch, H); W (H, X); R (H, H); b (H).
    Parameters: 4(HX + H² + H)
    Source: S. Hochreiter, J. Schmidhuber (1997), "Long short-term memory", Neural Computation 9(8);
    the forget gate: F. A. Gers, J. Schmidhuber, F. Cummins (2000), "Learning to forget: continual
    prediction with LSTM", Neural Computation 12(10).
    Deviations: one bias a gate, where torch adds up two.
    """

    label = "LSTM"
    state = ("h", "c")
    gates = ("i", "f", "z", "o")  # torch's order, which calls z g
    forget_gate = "f"

    def step(self, x: Any, R: Any, p: Any, s: Any) -> tuple[Tensor, ...]:
        i = sigmoid(x.i + R.i(s.h))
        f = sigmoid(x.f + R.f(s.h))
        z = tanh(x.z + R.z(s.h))
        c = z * i + s.c * f
        o = sigmoid(x.o + R.o(s.h))
        h = tanh(c) * o
        return h, c


class PeepholeLSTM(Cell):
    """Vanilla LSTM (V) of Greff et al.: forget gate and peephole connections.

        z_t = tanh(W_z x_t + R_z h_{t-1} + b_z)
        i_t = sigm(W_i x_t + R_i h_{t-1} + p_i * c_{t-1} + b_i)
        f_t = sigm(W_f x_t + R_f h_{t-1} + p_f * c_{t-1} + b_f)
        c_t = z_t * i_t + c_{t-1} * f_t
        o_t = sigm(W_o x_t + R_o h_{t-1} + p_o * c_t + b_o)
        h_t = tanh(c_t) * o_t

    The output gate reads the new cell state. The paper calls h y.

    Shapes: x_t (batch, X); the gates, c_t and h_t (batch, H); W (H, X); R (H, H); b and p (H).
    Parameters: 4(HX + H² + H) + 3H
    Source: K. Greff, R. K. Srivastava, J. Koutnik, B. R. Steunebrink, J. Schmidhuber (2015), "LSTM:
    A Search Space Odyssey", arXiv 1503.04069, section II; peepholes: F. A. Gers, J. Schmidhuber
    (2000), "Recurrent nets that time and count".
    Deviations: none.
    """

    label = "LSTM (peepholes)"
    state = ("h", "c")
    gates = ("z", "i", "f", "o")
    vectors = ("p_i", "p_f", "p_o")
    forget_gate = "f"

    def step(self, x: Any, R: Any, p: Any, s: Any) -> tuple[Tensor, ...]:
        z = tanh(x.z + R.z(s.h))
        i = sigmoid(x.i + R.i(s.h) + p.p_i * s.c)
        f = sigmoid(x.f + R.f(s.h) + p.p_f * s.c)
        c = z * i + s.c * f
        o = sigmoid(x.o + R.o(s.h) + p.p_o * c)
        h = tanh(c) * o
        return h, c
