"""Cells with a single gate: MGU, JANET, UGRNN."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, sigmoid, tanh

from odyssey.cells.cell import Cell


class MGU(Cell):
    """Minimal gated unit: a GRU whose one gate both resets and updates.

        f_t = sigm(W_f x_t + R_f h_{t-1} + b_f)
        n_t = tanh(W_n x_t + R_n (f_t * h_{t-1}) + b_n)
        h_t = (1 - f_t) * h_{t-1} + f_t * n_t

    Shapes: x_t (batch, X); f_t, n_t, h_t (batch, H); W (H, X); R (H, H); b (H).
    Parameters: 2(HX + H² + H)
    Source: G.-B. Zhou, J. Wu, C.-L. Zhang, Z.-H. Zhou (2016), "Minimal Gated Unit for Recurrent
    Neural Networks", arXiv 1603.09420. n is its h with a tilde.
    Deviations: none. The paper calls f the forget gate, but f = 1 takes the new value, so that a
    positive bias forgets: `forget_bias` does not apply.
    """

    label = "MGU"
    state = ("h",)
    gates = ("f", "n")

    def step(self, x: Any, R: Any, p: Any, s: Any) -> tuple[Tensor, ...]:
        f = sigmoid(x.f + R.f(s.h))
        n = tanh(x.n + R.n(f * s.h))
        h = (1 - f) * s.h + f * n
        return (h,)


class JANET(Cell):
    """LSTM reduced to its forget gate.

        s_t = W_f x_t + R_f h_{t-1} + b_f
        n_t = tanh(W_c x_t + R_c h_{t-1} + b_c)
        h_t = sigm(s_t) * h_{t-1} + (1 - sigm(s_t - beta)) * n_t,  beta = 1

    Subtracting beta lets a little more be stored than is forgotten. h is also the cell state c, and
    n is the paper's c with a tilde.

    Shapes: x_t (batch, X); s_t, n_t, h_t (batch, H); W (H, X); R (H, H); b (H).
    Parameters: 2(HX + H² + H)
    Source: J. van der Westhuizen, J. Lasenby (2018), "The unreasonable effectiveness of the forget
    gate", arXiv 1804.04849, section 3, with the beta of its experiments. The first form there, with
    f_t = sigm(s_t) and 1 - f_t, is a subclass with beta = 0.
    Deviations: the paper draws b_f by chrono initialization, from the longest time lag that is
    expected; here it is the constant `forget_bias`.
    """

    label = "JANET"
    state = ("h",)
    gates = ("f", "c")
    forget_gate = "f"
    beta: ClassVar[float] = 1.0

    def step(self, x: Any, R: Any, p: Any, s: Any) -> tuple[Tensor, ...]:
        f = x.f + R.f(s.h)
        n = tanh(x.c + R.c(s.h))
        h = sigmoid(f) * s.h + (1 - sigmoid(f - self.beta)) * n
        return (h,)


class UGRNN(Cell):
    """Update-gate RNN: one gate weighs the old state against a simple recurrent network's.

        g_t = sigm(W_g x_t + R_g h_{t-1} + b_g)
        c_t = tanh(W_c x_t + R_c h_{t-1} + b_c)
        h_t = g_t * h_{t-1} + (1 - g_t) * c_t

    Shapes: x_t (batch, X); g_t, c_t, h_t (batch, H); W (H, X); R (H, H); b (H).
    Parameters: 2(HX + H² + H)
    Source: J. Collins, J. Sohl-Dickstein, D. Sussillo (2017), "Capacity and Trainability in
    Recurrent Neural Networks", ICLR, arXiv 1611.09913.
    Deviations: none; the paper leaves c's function open, and tanh is one that it tries. g = 1
    keeps the old value, so a positive b_g remembers, and `forget_bias` sets it.
    """

    label = "UGRNN"
    state = ("h",)
    gates = ("g", "c")
    forget_gate = "g"

    def step(self, x: Any, R: Any, p: Any, s: Any) -> tuple[Tensor, ...]:
        g = sigmoid(x.g + R.g(s.h))
        c = tanh(x.c + R.c(s.h))
        h = g * s.h + (1 - g) * c
        return (h,)
