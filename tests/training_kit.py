"""What the tests of training share: configurations, modules, and an Elman network in NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, open_dict
from torch import Tensor

from model_kit import randomize
from odyssey.config.compose import compose
from odyssey.tasks import build
from odyssey.training.build import build_model
from odyssey.training.module import RecurrentModule

TEXT = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the "
    "age of foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the "
    "season of Light, it was the season of Darkness, it was ..."
)  # 240 characters


def settings(*overrides: str) -> DictConfig:
    """A checked configuration that logs nowhere, without a bar; of a key given twice, the last."""
    quiet = ("logger.mode=disabled", "trainer.progress_bar=false", "device=cpu")
    return compose(list({o.split("=")[0]: o for o in (*quiet, *overrides)}.values()))


def charlm(tmp_path: Path, *overrides: str, text: str = TEXT) -> DictConfig:
    """A small Elman network on a text of one's own."""
    path = tmp_path / "text.txt"
    path.write_text(text, encoding="utf-8", newline="")
    return settings(
        "cell=rnn",
        "task.data=file",
        f"task.path={path}",
        "task.batch_size=3",
        "model.hidden_size=6",
        "bptt.length=5",
        f"output_dir={tmp_path / 'outputs'}",
        *overrides,
    )


def module(cfg: DictConfig, seed: int = 0, **changed: Any) -> RecurrentModule:
    """The task, loaded, and a random float64 model in the module that trains it.

    `changed` are keys of the task that the configuration does not have, with their values.
    """
    if changed:
        with open_dict(cfg):
            cfg.task.update(changed)
    task = build(cfg.task, data_dir=cfg.data_dir, seed=cfg.seed, window=cfg.bptt.length)
    task.load()
    model = randomize(build_model(cfg, task.spec), seed)
    return RecurrentModule(model, task, cfg)


def double(batch):
    """The same batch with its reals in float64."""
    return batch._make(
        v.double() if isinstance(v, Tensor) and v.is_floating_point() else v for v in batch
    )


# -- an Elman network and its gradient by hand -------------------------------------------------

Weights = dict[str, np.ndarray]


def weights(model: torch.nn.Module) -> Weights:
    """Copies of the weights of a one-layer Elman SequenceModel."""
    (cell,) = model.stack.cells()
    of = {"W": cell.W, "R": cell.R, "b": cell.b, "V": model.head.weight, "c": model.head.bias}
    return {k: v.detach().numpy().copy() for k, v in of.items()}


def gradients(model: torch.nn.Module) -> Weights:
    """The gradients under the same names."""
    (cell,) = model.stack.cells()
    of = {"W": cell.W, "R": cell.R, "b": cell.b, "V": model.head.weight, "c": model.head.bias}
    return {k: v.grad.numpy().copy() for k, v in of.items()}


def forward(w: Weights, x: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x (T, B, X), h (B, H) -> the states h_0 … h_T (T + 1, B, H) and logits (T, B, K)."""
    states = [h]
    for t in range(len(x)):
        states.append(np.tanh(x[t] @ w["W"].T + states[-1] @ w["R"].T + w["b"]))
    hs = np.stack(states)
    return hs, hs[1:] @ w["V"].T + w["c"]


def backward(
    w: Weights, x: np.ndarray, hs: np.ndarray, dlogits: np.ndarray, cut: int | None = None
) -> Weights:
    """The gradient by the weights from that by the logits, not passed on across every `cut` steps.

    Step t hands its part of dh to step t - 1 unless a new stretch of `cut` steps begins at t.
    """
    found = {k: np.zeros_like(v) for k, v in w.items()}
    dh = np.zeros_like(hs[0])
    for t in reversed(range(len(x))):
        found["V"] += dlogits[t].T @ hs[t + 1]
        found["c"] += dlogits[t].sum(0)
        da = (dlogits[t] @ w["V"] + dh) * (1 - hs[t + 1] ** 2)
        found["W"] += da.T @ x[t]
        found["R"] += da.T @ hs[t]
        found["b"] += da.sum(0)
        dh = da @ w["R"]
        if cut is not None and t % cut == 0:
            dh = np.zeros_like(dh)
    return found


def softmax(logits: np.ndarray) -> np.ndarray:
    p = np.exp(logits - logits.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def cross_entropy(logits: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nats of each target (...), and the gradient by the logits (..., K) of their sum."""
    p = softmax(logits)
    hit = np.eye(logits.shape[-1])[targets]
    return -np.log((p * hit).sum(-1)), p - hit


def assert_close(a: Weights, b: Weights, tolerance: float = 1e-10) -> None:
    for key in b:
        np.testing.assert_allclose(a[key], b[key], rtol=tolerance, atol=tolerance, err_msg=key)
