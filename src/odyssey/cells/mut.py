"""The three best cells that Jozefowicz et al. found by mutating others, all near the GRU.

In all three z = 1 takes the new value, so a positive b_z forgets: none has a forget gate.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, sigmoid, tanh

from odyssey.cells.cell import Cell


class MUT1(Cell):
    """MUT1: the update gate reads the input alone, the candidate reads it without a matrix.

        z_t = sigm(W_z x_t + b_z)
        r_t = sigm(W_r x_t + R_r h_{t-1} + b_r)
        n_t = tanh(R_n (r_t * h_{t-1}) + tanh(x_t) + b_n)
        h_t = n_t * z_t + h_{t-1} * (1 - z_t)

    Shapes: x_t (batch, X); z_t, r_t, n_t, h_t (batch, H); W (H, X); R (H, H); b (H).
    Parameters: 2HX + 2H² + 3H + HX[X≠H]
    where [X≠H] is 1 if the sizes differ, else 0.
    Source: R. Jozefowicz, W. Zaremba, I. Sutskever (2015), "An Empirical Exploration of Recurrent
    Network Architectures", ICML, section 3 (MUT1).
    Deviations: where X differs from H, the bare x_t is P x_t with a matrix P (H, X).
    """

    label = "MUT1"
    state = ("h",)
    gates = ("z", "r", "n")
    lacks = {"z": "R", "n": "W"}
    bare = ("x",)

    def step(self, x: Any, R: Any, p: Any, s: Any) -> tuple[Tensor, ...]:
        z = sigmoid(x.z)
        r = sigmoid(x.r + R.r(s.h))
        n = tanh(R.n(r * s.h) + tanh(x.x) + x.n)
        h = n * z + s.h * (1 - z)
        return (h,)


class MUT2(Cell):
    """MUT2: the reset gate reads the input without a matrix.

        z_t = sigm(W_z x_t + R_z h_{t-1} + b_z)
        r_t = sigm(x_t + R_r h_{t-1} + b_r)
        n_t = tanh(R_n (r_t * h_{t-1}) + W_n x_t + b_n)
        h_t = n_t * z_t + h_{t-1} * (1 - z_t)

    Shapes: x_t (batch, X); z_t, r_t, n_t, h_t (batch, H); W (H, X); R (H, H); b (H).
    Parameters: 2HX + 3H² + 3H + HX[X≠H]
    where [X≠H] is 1 if the sizes differ, else 0.
    Source: R. Jozefowicz, W. Zaremba, I. Sutskever (2015), "An Empirical Exploration of Recurrent
    Network Architectures", ICML, section 3 (MUT2).
    Deviations: where X differs from H, the bare x_t is P x_t with a matrix P (H, X).
    """

    label = "MUT2"
    state = ("h",)
    gates = ("z", "r", "n")
    lacks = {"r": "W"}
    bare = ("x",)

    def step(self, x: Any, R: Any, p: Any, s: Any) -> tuple[Tensor, ...]:
        z = sigmoid(x.z + R.z(s.h))
        r = sigmoid(x.x + R.r(s.h) + x.r)
        n = tanh(R.n(r * s.h) + x.n)
        h = n * z + s.h * (1 - z)
        return (h,)


class MUT3(Cell):
    """MUT3: a GRU whose update gate reads tanh of the state.

        z_t = sigm(W_z x_t + R_z tanh(h_{t-1}) + b_z)
        r_t = sigm(W_r x_t + R_r h_{t-1} + b_r)
        n_t = tanh(R_n (r_t * h_{t-1}) + W_n x_t + b_n)
        h_t = n_t * z_t + h_{t-1} * (1 - z_t)

    Shapes: x_t (batch, X); z_t, r_t, n_t, h_t (batch, H); W (H, X); R (H, H); b (H).
    Parameters: 3(HX + H² + H)
    Source: R. Jozefowicz, W. Zaremba, I. Sutskever (2015), "An Empirical Exploration of Recurrent
    Network Architectures", ICML, section 3 (MUT3).
    Deviations: none.
    """

    label = "MUT3"
    state = ("h",)
    gates = ("z", "r", "n")

    def step(self, x: Any, R: Any, p: Any, s: Any) -> tuple[Tensor, ...]:
        z = sigmoid(x.z + R.z(tanh(s.h)))
        r = sigmoid(x.r + R.r(s.h))
        n = tanh(R.n(r * s.h) + x.n)
        h = n * z + s.h * (1 - z)
        return (h,)
