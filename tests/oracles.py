"""One step of every cell in float64 NumPy, transcribed from the papers, gate by gate.

Vectors here are columns of one sequence: x (X), states (H). `w.W["i"] @ x` is W_i x_t.
Nothing in this file calls the package; `Weights` only copies numbers out of a cell.
"""

from __future__ import annotations

from typing import Any

import numpy as np


class Weights:
    """Each gate's own matrices and vectors: W, R, b, p and P, as dicts of float64 arrays."""

    def __init__(self, cell: Any) -> None:
        for letter in "WRbpP":
            empty = getattr(cell, letter) is None
            names = () if empty else cell.rows[letter]
            copies = {k: cell.part(letter, k).detach().double().numpy().copy() for k in names}
            setattr(self, letter, copies)


def sigm(a):
    return 1.0 / (1.0 + np.exp(-a))


def relu(a):
    return np.where(a > 0, a, 0.0)


tanh = np.tanh


def affine(w, k, x, h):
    """W_k x + R_k h + b_k."""
    return w.W[k] @ x + w.R[k] @ h + w.b[k]


# -- simple recurrent networks ---------------------------------------------------------------


def elman(w, x, h):
    """Elman 1990."""
    return (tanh(affine(w, "h", x, h)),)


def elman_relu(w, x, h):
    return (relu(affine(w, "h", x, h)),)


def jordan(w, x, y):
    """Jordan 1986: hidden units read the last output; the output is a layer on top of them."""
    hidden = tanh(affine(w, "h", x, y))
    return (tanh(w.R["y"] @ hidden + w.b["y"]),)


# -- gated recurrent units ---------------------------------------------------------------------


def simple_gru(w, x, h):
    """An update gate and no reset; z is the share of the new."""
    z = sigm(affine(w, "z", x, h))
    n = tanh(affine(w, "n", x, h))
    return ((1 - z) * h + z * n,)


def gru(w, x, h):
    """Cho et al. 2014 (1406.1078), equations 5 to 8; z keeps the old."""
    r = sigm(affine(w, "r", x, h))
    z = sigm(affine(w, "z", x, h))
    n = tanh(w.W["n"] @ x + w.R["n"] @ (r * h) + w.b["n"])
    return (z * h + (1 - z) * n,)


def gru_reset_after(w, x, h):
    """The equations in the documentation of torch.nn.GRU; z keeps the old."""
    (bias,) = w.p.values()
    r = sigm(affine(w, "r", x, h))
    z = sigm(affine(w, "z", x, h))
    n = tanh(w.W["n"] @ x + w.b["n"] + r * (w.R["n"] @ h + bias))
    return ((1 - z) * n + z * h,)


def mgu(w, x, h):
    """Zhou et al. 2016 (1603.09420), table 1."""
    f = sigm(affine(w, "f", x, h))
    n = tanh(w.W["n"] @ x + w.R["n"] @ (f * h) + w.b["n"])
    return ((1 - f) * h + f * n,)


def ugrnn(w, x, h):
    """Collins, Sohl-Dickstein, Sussillo 2017 (1611.09913); g keeps the old."""
    c = tanh(affine(w, "c", x, h))
    g = sigm(affine(w, "g", x, h))
    return (g * h + (1 - g) * c,)


def _bare(w, k, x):
    """The input itself, or projected where its size is not H."""
    return w.P[k] @ x if k in w.P else x


def mut1(w, x, h):
    """Jozefowicz et al. 2015, MUT1."""
    (p,) = w.P if w.P else ("x",)
    z = sigm(w.W["z"] @ x + w.b["z"])
    r = sigm(affine(w, "r", x, h))
    n = tanh(w.R["n"] @ (r * h) + tanh(_bare(w, p, x)) + w.b["n"])
    return (n * z + h * (1 - z),)


def mut2(w, x, h):
    """MUT2."""
    (p,) = w.P if w.P else ("x",)
    z = sigm(affine(w, "z", x, h))
    r = sigm(_bare(w, p, x) + w.R["r"] @ h + w.b["r"])
    n = tanh(w.R["n"] @ (r * h) + w.W["n"] @ x + w.b["n"])
    return (n * z + h * (1 - z),)


def mut3(w, x, h):
    """MUT3."""
    z = sigm(w.W["z"] @ x + w.R["z"] @ tanh(h) + w.b["z"])
    r = sigm(affine(w, "r", x, h))
    n = tanh(w.R["n"] @ (r * h) + w.W["n"] @ x + w.b["n"])
    return (n * z + h * (1 - z),)


# -- long short-term memory --------------------------------------------------------------------


def lstm(w, x, y, c):
    """Gers et al. 2000, without peepholes; also Greff's NP."""
    z = tanh(affine(w, "z", x, y))
    i = sigm(affine(w, "i", x, y))
    f = sigm(affine(w, "f", x, y))
    c = z * i + c * f
    o = sigm(affine(w, "o", x, y))
    return tanh(c) * o, c


def vanilla(w, x, y, c):
    """Greff et al. 2015 (1503.04069), section 2: V. The output gate peeps at the new cell."""
    z = tanh(affine(w, "z", x, y))
    i = sigm(affine(w, "i", x, y) + w.p["p_i"] * c)
    f = sigm(affine(w, "f", x, y) + w.p["p_f"] * c)
    c = z * i + c * f
    o = sigm(affine(w, "o", x, y) + w.p["p_o"] * c)
    return tanh(c) * o, c


def nig(w, x, y, c):
    """No input gate."""
    z = tanh(affine(w, "z", x, y))
    f = sigm(affine(w, "f", x, y) + w.p["p_f"] * c)
    c = z + c * f
    o = sigm(affine(w, "o", x, y) + w.p["p_o"] * c)
    return tanh(c) * o, c


def nfg(w, x, y, c):
    """No forget gate."""
    z = tanh(affine(w, "z", x, y))
    i = sigm(affine(w, "i", x, y) + w.p["p_i"] * c)
    c = z * i + c
    o = sigm(affine(w, "o", x, y) + w.p["p_o"] * c)
    return tanh(c) * o, c


def nog(w, x, y, c):
    """No output gate."""
    z = tanh(affine(w, "z", x, y))
    i = sigm(affine(w, "i", x, y) + w.p["p_i"] * c)
    f = sigm(affine(w, "f", x, y) + w.p["p_f"] * c)
    c = z * i + c * f
    return tanh(c), c


def niaf(w, x, y, c):
    """No input activation function."""
    z = affine(w, "z", x, y)
    i = sigm(affine(w, "i", x, y) + w.p["p_i"] * c)
    f = sigm(affine(w, "f", x, y) + w.p["p_f"] * c)
    c = z * i + c * f
    o = sigm(affine(w, "o", x, y) + w.p["p_o"] * c)
    return tanh(c) * o, c


def noaf(w, x, y, c):
    """No output activation function."""
    z = tanh(affine(w, "z", x, y))
    i = sigm(affine(w, "i", x, y) + w.p["p_i"] * c)
    f = sigm(affine(w, "f", x, y) + w.p["p_f"] * c)
    c = z * i + c * f
    o = sigm(affine(w, "o", x, y) + w.p["p_o"] * c)
    return c * o, c


def cifg(w, x, y, c):
    """Coupled input and forget gate."""
    z = tanh(affine(w, "z", x, y))
    i = sigm(affine(w, "i", x, y) + w.p["p_i"] * c)
    f = 1 - i
    c = z * i + c * f
    o = sigm(affine(w, "o", x, y) + w.p["p_o"] * c)
    return tanh(c) * o, c


def fgr(w, x, y, c, i_old, f_old, o_old):
    """Full gate recurrence: R_if, here i_f, leads from i of t-1 to f of t."""

    def back(k):
        R = w.R
        return R["i_" + k] @ i_old + R["f_" + k] @ f_old + R["o_" + k] @ o_old

    z = tanh(affine(w, "z", x, y))
    i = sigm(affine(w, "i", x, y) + w.p["p_i"] * c + back("i"))
    f = sigm(affine(w, "f", x, y) + w.p["p_f"] * c + back("f"))
    c = z * i + c * f
    o = sigm(affine(w, "o", x, y) + w.p["p_o"] * c + back("o"))
    return tanh(c) * o, c, i, f, o


def janet(w, x, h):
    """Van der Westhuizen and Lasenby 2018 (1804.04849), with beta = 1."""
    s = affine(w, "f", x, h)
    n = tanh(affine(w, "c", x, h))
    return (sigm(s) * h + (1 - sigm(s - 1.0)) * n,)


def layer_norm(v, gain, bias):
    """Ba, Kiros, Hinton 2016 (1607.06450), with the cell's 1e-3 under the root."""
    mean = v.sum() / v.size
    variance = ((v - mean) ** 2).sum() / v.size
    return gain * (v - mean) / np.sqrt(variance + 1e-3) + bias


def lstm_layernorm(w, x, h, c):
    """The same paper's supplement, equations 20 to 22: each norm is over all four gates."""

    def stacked(of, letter=""):
        return np.concatenate([of[letter + k] for k in "fioz"])

    reads = layer_norm(stacked(w.W) @ x, stacked(w.p, "g_W"), stacked(w.p, "b_W"))
    remembers = layer_norm(stacked(w.R) @ h, stacked(w.p, "g_R"), stacked(w.p, "b_R"))
    f, i, o, g = np.split(remembers + reads + stacked(w.p, "b_"), 4)
    c = sigm(f) * c + sigm(i) * tanh(g)
    return sigm(o) * tanh(layer_norm(c, w.p["g_c"], w.p["b_c"])), c


ORACLES = {
    "rnn": elman,
    "elman_relu": elman_relu,
    "irnn": elman_relu,
    "jordan": jordan,
    "gru_simple": simple_gru,
    "gru": gru,
    "gru_reset_after": gru_reset_after,
    "lstm": lstm,
    "lstm_peephole": vanilla,
    "lstm_layernorm": lstm_layernorm,
    "nig": nig,
    "nfg": nfg,
    "nog": nog,
    "niaf": niaf,
    "noaf": noaf,
    "cifg": cifg,
    "np": lstm,
    "fgr": fgr,
    "mgu": mgu,
    "mut1": mut1,
    "mut2": mut2,
    "mut3": mut3,
    "janet": janet,
    "ugrnn": ugrnn,
}


def batch(name, w, x, state, lengths=None, reverse=False):
    """x (T, B, X), states (B, H) each -> outputs (T, B, H), the last states (B, H) each."""
    steps, size = x.shape[:2]
    outputs = np.zeros((steps, size, state[0].shape[-1]))
    ends = [np.zeros_like(v) for v in state]
    for b in range(size):
        n = steps if lengths is None else int(lengths[b])
        turn = slice(None, None, -1 if reverse else 1)
        s = tuple(v[b] for v in state)
        for t in range(n)[turn]:
            s = ORACLES[name](w, x[t, b], *s)
            outputs[t, b] = s[0]
        for end, v in zip(ends, s, strict=True):
            end[b] = v
    return outputs, tuple(ends)
