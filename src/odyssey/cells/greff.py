"""The eight variants of Greff et al.: each is `PeepholeLSTM` (V) with one thing changed.

K. Greff, R. K. Srivastava, J. Koutnik, B. R. Steunebrink, J. Schmidhuber (2015), "LSTM: A Search
Space Odyssey", arXiv 1503.04069, whose y is h here. None deviates from the paper. Every class is
written out whole, so that one can be read, or compared with V line by line, by itself.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, sigmoid, tanh

from odyssey.cells.cell import Cell


class NIG(Cell):
    """No input gate: V with i = 1.

        z_t = tanh(W_z x_t + R_z h_{t-1} + b_z)
        f_t = sigm(W_f x_t + R_f h_{t-1} + p_f * c_{t-1} + b_f)
        c_t = z_t + c_{t-1} * f_t
        o_t = sigm(W_o x_t + R_o h_{t-1} + p_o * c_t + b_o)
        h_t = tanh(c_t) * o_t

    Shapes: x_t (batch, X); the gates, c_t and h_t (batch, H); W (H, X); R (H, H); b and p (H).
    Parameters: 3(HX + H² + H) + 2H
    Source: Greff et al. (2015), "LSTM: A Search Space Odyssey", arXiv 1503.04069 (NIG).
    """

    label = "NIG"
    state = ("h", "c")
    gates = ("z", "f", "o")
    vectors = ("p_f", "p_o")
    forget_gate = "f"

    def step(self, x: Any, R: Any, p: Any, s: Any) -> tuple[Tensor, ...]:
        z = tanh(x.z + R.z(s.h))
        f = sigmoid(x.f + R.f(s.h) + p.p_f * s.c)
        c = z + s.c * f
        o = sigmoid(x.o + R.o(s.h) + p.p_o * c)
        h = tanh(c) * o
        return h, c


class NFG(Cell):
    """No forget gate: V with f = 1.

        z_t = tanh(W_z x_t + R_z h_{t-1} + b_z)
        i_t = sigm(W_i x_t + R_i h_{t-1} + p_i * c_{t-1} + b_i)
        c_t = z_t * i_t + c_{t-1}
        o_t = sigm(W_o x_t + R_o h_{t-1} + p_o * c_t + b_o)
        h_t = tanh(c_t) * o_t

    Shapes: x_t (batch, X); the gates, c_t and h_t (batch, H); W (H, X); R (H, H); b and p (H).
    Parameters: 3(HX + H² + H) + 2H
    Source: Greff et al. (2015), "LSTM: A Search Space Odyssey", arXiv 1503.04069 (NFG).
    """

    label = "NFG"
    state = ("h", "c")
    gates = ("z", "i", "o")
    vectors = ("p_i", "p_o")

    def step(self, x: Any, R: Any, p: Any, s: Any) -> tuple[Tensor, ...]:
        z = tanh(x.z + R.z(s.h))
        i = sigmoid(x.i + R.i(s.h) + p.p_i * s.c)
        c = z * i + s.c
        o = sigmoid(x.o + R.o(s.h) + p.p_o * c)
        h = tanh(c) * o
        return h, c


class NOG(Cell):
    """No output gate: V with o = 1.

        z_t = tanh(W_z x_t + R_z h_{t-1} + b_z)
        i_t = sigm(W_i x_t + R_i h_{t-1} + p_i * c_{t-1} + b_i)
        f_t = sigm(W_f x_t + R_f h_{t-1} + p_f * c_{t-1} + b_f)
        c_t = z_t * i_t + c_{t-1} * f_t
        h_t = tanh(c_t)

    Shapes: x_t (batch, X); the gates, c_t and h_t (batch, H); W (H, X); R (H, H); b and p (H).
    Parameters: 3(HX + H² + H) + 2H
    Source: Greff et al. (2015), "LSTM: A Search Space Odyssey", arXiv 1503.04069 (NOG).
    """

    label = "NOG"
    state = ("h", "c")
    gates = ("z", "i", "f")
    vectors = ("p_i", "p_f")
    forget_gate = "f"

    def step(self, x: Any, R: Any, p: Any, s: Any) -> tuple[Tensor, ...]:
        z = tanh(x.z + R.z(s.h))
        i = sigmoid(x.i + R.i(s.h) + p.p_i * s.c)
        f = sigmoid(x.f + R.f(s.h) + p.p_f * s.c)
        c = z * i + s.c * f
        h = tanh(c)
        return h, c


class NIAF(Cell):
    """No input activation function: V with a linear z.

        z_t = W_z x_t + R_z h_{t-1} + b_z
        i_t = sigm(W_i x_t + R_i h_{t-1} + p_i * c_{t-1} + b_i)
        f_t = sigm(W_f x_t + R_f h_{t-1} + p_f * c_{t-1} + b_f)
        c_t = z_t * i_t + c_{t-1} * f_t
        o_t = sigm(W_o x_t + R_o h_{t-1} + p_o * c_t + b_o)
        h_t = tanh(c_t) * o_t

    Shapes: x_t (batch, X); the gates, c_t and h_t (batch, H); W (H, X); R (H, H); b and p (H).
    Parameters: 4(HX + H² + H) + 3H
    Source: Greff et al. (2015), "LSTM: A Search Space Odyssey", arXiv 1503.04069 (NIAF).
    """

    label = "NIAF"
    state = ("h", "c")
    gates = ("z", "i", "f", "o")
    vectors = ("p_i", "p_f", "p_o")
    forget_gate = "f"

    def step(self, x: Any, R: Any, p: Any, s: Any) -> tuple[Tensor, ...]:
        z = x.z + R.z(s.h)
        i = sigmoid(x.i + R.i(s.h) + p.p_i * s.c)
        f = sigmoid(x.f + R.f(s.h) + p.p_f * s.c)
        c = z * i + s.c * f
        o = sigmoid(x.o + R.o(s.h) + p.p_o * c)
        h = tanh(c) * o
        return h, c


class NOAF(Cell):
    """No output activation function: V with a linear output of the cell.

        z_t = tanh(W_z x_t + R_z h_{t-1} + b_z)
        i_t = sigm(W_i x_t + R_i h_{t-1} + p_i * c_{t-1} + b_i)
        f_t = sigm(W_f x_t + R_f h_{t-1} + p_f * c_{t-1} + b_f)
        c_t = z_t * i_t + c_{t-1} * f_t
        o_t = sigm(W_o x_t + R_o h_{t-1} + p_o * c_t + b_o)
        h_t = c_t * o_t

    Shapes: x_t (batch, X); the gates, c_t and h_t (batch, H); W (H, X); R (H, H); b and p (H).
    Parameters: 4(HX + H² + H) + 3H
    Source: Greff et al. (2015), "LSTM: A Search Space Odyssey", arXiv 1503.04069 (NOAF).
    """

    label = "NOAF"
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
        h = c * o
        return h, c


class CIFG(Cell):
    """Coupled input and forget gate: V with f = 1 - i, as in the GRU.

        z_t = tanh(W_z x_t + R_z h_{t-1} + b_z)
        i_t = sigm(W_i x_t + R_i h_{t-1} + p_i * c_{t-1} + b_i)
        f_t = 1 - i_t
        c_t = z_t * i_t + c_{t-1} * f_t
        o_t = sigm(W_o x_t + R_o h_{t-1} + p_o * c_t + b_o)
        h_t = tanh(c_t) * o_t

    A positive b_i forgets, so that it is no forget gate's bias and `forget_bias` does not apply.

    Shapes: x_t (batch, X); the gates, c_t and h_t (batch, H); W (H, X); R (H, H); b and p (H).
    Parameters: 3(HX + H² + H) + 2H
    Source: Greff et al. (2015), "LSTM: A Search Space Odyssey", arXiv 1503.04069 (CIFG).
    """

    label = "CIFG"
    state = ("h", "c")
    gates = ("z", "i", "o")
    vectors = ("p_i", "p_o")

    def step(self, x: Any, R: Any, p: Any, s: Any) -> tuple[Tensor, ...]:
        z = tanh(x.z + R.z(s.h))
        i = sigmoid(x.i + R.i(s.h) + p.p_i * s.c)
        f = 1 - i
        c = z * i + s.c * f
        o = sigmoid(x.o + R.o(s.h) + p.p_o * c)
        h = tanh(c) * o
        return h, c


class NP(Cell):
    """No peepholes: V without p. The function is that of `LSTM`; the order of its gates is V's.

        z_t = tanh(W_z x_t + R_z h_{t-1} + b_z)
        i_t = sigm(W_i x_t + R_i h_{t-1} + b_i)
        f_t = sigm(W_f x_t + R_f h_{t-1} + b_f)
        c_t = z_t * i_t + c_{t-1} * f_t
        o_t = sigm(W_o x_t + R_o h_{t-1} + b_o)
        h_t = tanh(c_t) * o_t

    Shapes: x_t (batch, X); the gates, c_t and h_t (batch, H); W (H, X); R (H, H); b (H).
    Parameters: 4(HX + H² + H)
    Source: Greff et al. (2015), "LSTM: A Search Space Odyssey", arXiv 1503.04069 (NP).
    """

    label = "NP"
    state = ("h", "c")
    gates = ("z", "i", "f", "o")
    forget_gate = "f"

    def step(self, x: Any, R: Any, p: Any, s: Any) -> tuple[Tensor, ...]:
        z = tanh(x.z + R.z(s.h))
        i = sigmoid(x.i + R.i(s.h))
        f = sigmoid(x.f + R.f(s.h))
        c = z * i + s.c * f
        o = sigmoid(x.o + R.o(s.h))
        h = tanh(c) * o
        return h, c


class FGR(Cell):
    """Full gate recurrence: V whose gates also read all three gates of the step before.

        z_t = tanh(W_z x_t + R_z h_{t-1} + b_z)
        i_t = sigm(W_i x_t + R_i h_{t-1} + p_i * c_{t-1} + b_i
                   + R_ii i_{t-1} + R_fi f_{t-1} + R_oi o_{t-1})
        f_t = sigm(W_f x_t + R_f h_{t-1} + p_f * c_{t-1} + b_f
                   + R_if i_{t-1} + R_ff f_{t-1} + R_of o_{t-1})
        c_t = z_t * i_t + c_{t-1} * f_t
        o_t = sigm(W_o x_t + R_o h_{t-1} + p_o * c_t + b_o
                   + R_io i_{t-1} + R_fo f_{t-1} + R_oo o_{t-1})
        h_t = tanh(c_t) * o_t

    The matrix R_fi, from f to i, is R.f_i in the code, and so on. The gates are part of the state
    and are 0 before the first step.

    Shapes: x_t (batch, X); the gates, c_t and h_t (batch, H); W (H, X); R (H, H); b and p (H).
    Parameters: 4(HX + H² + H) + 3H + 9H²
    Source: Greff et al. (2015), "LSTM: A Search Space Odyssey", arXiv 1503.04069 (FGR).
    """

    label = "FGR"
    state = ("h", "c", "i", "f", "o")
    gates = ("z", "i", "f", "o")
    # From one gate to all three, together: they are one product.
    recurrent = ("i_i", "i_f", "i_o", "f_i", "f_f", "f_o", "o_i", "o_f", "o_o")
    vectors = ("p_i", "p_f", "p_o")
    forget_gate = "f"

    def step(self, x: Any, R: Any, p: Any, s: Any) -> tuple[Tensor, ...]:
        z = tanh(x.z + R.z(s.h))
        i = sigmoid(x.i + R.i(s.h) + p.p_i * s.c + R.i_i(s.i) + R.f_i(s.f) + R.o_i(s.o))
        f = sigmoid(x.f + R.f(s.h) + p.p_f * s.c + R.i_f(s.i) + R.f_f(s.f) + R.o_f(s.o))
        c = z * i + s.c * f
        o = sigmoid(x.o + R.o(s.h) + p.p_o * c + R.i_o(s.i) + R.f_o(s.f) + R.o_o(s.o))
        h = tanh(c) * o
        return h, c, i, f, o
