"""Karpathy's min-char-rnn in float64 NumPy, from a description of what it computes.

A tanh network reads one character at a time and says the next. The text is read in windows of
`window` characters; each window is one update; the loss is the sum of the nats of its characters.
The hidden state goes from window to window and is zero at the start of the text, to which reading
returns when less than a window with one character to spare is left. Every entry of the gradient
is clipped to [-5, 5]; the step is Adagrad's, with 1e-8 under the root.
Nothing in this file calls the package.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LIMIT = 5.0


class MinCharRnn:
    """`weights`: W (H, V) reads characters, R (H, H) the state, b (H); U (V, H), c (V) say."""

    def __init__(
        self, weights: dict[str, Array], ids: NDArray[np.int64], window: int = 25, lr: float = 0.1
    ) -> None:
        self.weights = {k: np.array(v, dtype=np.float64) for k, v in weights.items()}
        self.squares = {k: np.zeros_like(v) for k, v in self.weights.items()}
        self.ids, self.window, self.lr = ids, window, lr
        self.place, self.state = 0, np.zeros(len(self.weights["b"]))

    @property
    def at_start(self) -> bool:
        """Whether the next update reads the start of the text, with a state of zeros."""
        return self.place == 0 or self.place + self.window + 1 >= len(self.ids)

    def update(self) -> float:
        """Read one window and learn from it; the loss."""
        if self.at_start:
            self.place, self.state = 0, np.zeros_like(self.state)
        piece = self.ids[self.place : self.place + self.window + 1]
        loss, gradient, self.state = self.window_loss(piece, self.state)
        for name, g in gradient.items():
            g = np.minimum(np.maximum(g, -LIMIT), LIMIT)
            self.squares[name] += g**2
            self.weights[name] -= self.lr * g / np.sqrt(self.squares[name] + 1e-8)
        self.place += self.window
        return loss

    def window_loss(
        self, piece: NDArray[np.int64], state: Array
    ) -> tuple[float, dict[str, Array], Array]:
        """Nats of piece[1:], each said after the one before it; the gradient; the last state."""
        w = self.weights
        hidden, odds, loss = [state], [], 0.0
        for seen, said in zip(piece[:-1], piece[1:], strict=True):
            hidden.append(np.tanh(w["W"][:, seen] + w["R"] @ hidden[-1] + w["b"]))
            scores = w["U"] @ hidden[-1] + w["c"]
            scores -= scores.max()
            odds.append(np.exp(scores) / np.exp(scores).sum())
            loss -= float(scores[said] - np.log(np.exp(scores).sum()))
        gradient = {k: np.zeros_like(v) for k, v in w.items()}
        later = np.zeros_like(state)  # what the steps after this one say about its state
        for t in range(len(piece) - 2, -1, -1):
            error = odds[t].copy()
            error[piece[t + 1]] -= 1.0
            gradient["U"] += error[:, None] * hidden[t + 1]
            gradient["c"] += error
            inside = (w["U"].T @ error + later) * (1.0 - hidden[t + 1] ** 2)
            gradient["W"][:, piece[t]] += inside
            gradient["R"] += inside[:, None] * hidden[t]
            gradient["b"] += inside
            later = w["R"].T @ inside
        return loss, gradient, hidden[-1]


def smoothed(losses: list[float], characters: int, window: int = 25) -> list[float]:
    """The running mean that min-char-rnn prints: it starts at the loss of guessing evenly."""
    mean, found = np.log(characters) * window, []
    for loss in losses:
        mean = 0.999 * mean + 0.001 * loss
        found.append(float(mean))
    return found
