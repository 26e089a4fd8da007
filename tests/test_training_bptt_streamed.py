"""Truncated BPTT over a streamed text against a derivation by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training_kit import (
    TEXT,
    assert_close,
    backward,
    charlm,
    cross_entropy,
    forward,
    gradients,
    module,
    weights,
)


def _lanes(ids: np.ndarray, count: int) -> list[np.ndarray]:
    """Contiguous stretches, the first ones a target longer where they cannot be equal; each with
    the symbol after its last input."""
    sizes = [len(part) for part in np.array_split(np.arange(len(ids) - 1), count)]
    starts = np.cumsum([0, *sizes])
    return [ids[s : s + n + 1] for s, n in zip(starts, sizes, strict=False)]


def _train_part(cfg, task) -> np.ndarray:
    """The training text's ids, by the task's own alphabet."""
    text = TEXT[: round(cfg.task.split[0] * len(TEXT))]
    return np.array([task.vocabulary.ids[c] for c in text])


@pytest.mark.parametrize("backend", ["reference", "library"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("lanes", "window"), [(1, 25), (3, 5), (4, 7), (2, 1), (3, None)])
def test_each_window_by_hand(tmp_path, backend, reduction, lanes, window):
    """Forward over the whole text in one go; backward inside each window only."""
    cfg = charlm(
        tmp_path,
        f"task.batch_size={lanes}",
        f"bptt.length={'null' if window is None else window}",
        f"task.reduction={reduction}",
        f"model.backend={backend}",
    )
    net = module(cfg)
    w, ids = weights(net.model), _train_part(cfg, net.task)
    stretches = _lanes(ids, lanes)
    size, longest = len(net.task.vocabulary), max(map(len, stretches)) - 1
    eye = np.eye(size)

    # Every lane by itself, from zeros to its own end.
    runs = [forward(w, eye[s[:-1], None], np.zeros((1, 6))) for s in stretches]
    seen, windows = 0, net.task.batches("train")
    assert len(windows) == -(-longest // (window or longest))
    for k in range(len(windows)):
        start, stop = k * (window or longest), min((k + 1) * (window or longest), longest)
        total, targets, found = 0.0, 0, {key: np.zeros_like(v) for key, v in w.items()}
        for s, (hs, logits) in zip(stretches, runs, strict=True):
            end = min(stop, len(s) - 1)
            nats, slope = cross_entropy(logits[start:end, 0], s[start + 1 : end + 1])
            part = backward(w, eye[s[start:end], None], hs[start : end + 1], slope[:, None])
            found = {key: found[key] + part[key] for key in found}
            total, targets = total + nats.sum(), targets + len(nats)
        by = targets if reduction == "mean" else lanes
        seen += targets

        net.zero_grad()
        loss = net.training_step(windows.get(0, k), k)
        loss.backward()
        assert float(loss.detach()) == pytest.approx(total / by, rel=1e-12)
        assert_close(gradients(net.model), {key: v / by for key, v in found.items()})
        # What is carried: the states after the window, without a past to go back through.
        ((state,),) = net.carried
        assert not state.h.requires_grad and state.h.grad_fn is None
        for b, (hs, _) in enumerate(runs):
            if stop < len(hs):
                np.testing.assert_allclose(state.h[b].numpy(), hs[stop, 0], rtol=0, atol=1e-12)
    assert seen == len(ids) - 1


def test_a_window_knows_the_one_before_only_through_the_state(tmp_path):
    """The text before the window matters to its loss, and its gradient stays inside."""
    net = module(charlm(tmp_path))
    windows = net.task.batches("train")
    net.training_step(windows.get(0, 0), 0)
    ((carried,),) = net.carried
    leaf = carried.h.clone().requires_grad_()
    net.carried = [(carried._replace(h=leaf),)]
    net.training_step(windows.get(0, 1), 1).backward()
    assert leaf.grad is not None and leaf.grad.abs().max() > 1e-6


@pytest.mark.parametrize("cell", ["rnn", "lstm", "fgr", "gru"])
def test_the_state_starts_anew_at_the_text_alone(tmp_path, cell):
    """Window 0 of every epoch reads zeros whatever was carried; the others read what was."""
    net = module(charlm(tmp_path, f"cell={cell}", "model.num_layers=2"))
    windows = net.task.batches("train")

    def poison():
        zero = net.model(windows.get(0, 0).inputs)[1]
        net.carried = [
            tuple(type(s)(*(torch.randn_like(v) for v in s)) for s in layer) for layer in zero
        ]

    for k in range(len(windows)):
        for epoch in (0, 1, 5):
            net.carried = None
            fresh = net.training_step(windows.get(epoch, k)._replace(reset=True), k).detach()
            poison()
            poisoned = net.training_step(windows.get(epoch, k), k).detach()
            assert (fresh == poisoned) == (k == 0), (k, epoch)


def test_two_epochs_of_training_start_alike(tmp_path):
    """A pass over two epochs with weights that stay: the second gives the losses of the first."""
    net = module(charlm(tmp_path, "cell=lstm"))
    n = len(net.task.batches("train"))
    net.task.round = lambda: (0, 2 * n)
    losses = [net.training_step(b, i).item() for i, b in enumerate(net.task.train_dataloader())]
    assert losses[:n] == losses[n:] and len(set(losses[:n])) == n


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru_reset_after"])
def test_evaluation_leaves_the_carried_state_alone(tmp_path, cell):
    """A validation in the middle of an epoch: training goes on as if there had been none."""

    def losses(validate):
        net = module(charlm(tmp_path, f"cell={cell}"))
        windows, found = net.task.batches("train"), []
        for k in range(len(windows)):
            found.append(net.training_step(windows.get(0, k), k).item())
            if validate and k in (2, 5):
                for i, batch in enumerate(net.task.val_dataloader()):
                    net.validation_step(batch, i)
                net.on_test_epoch_end()
        return found

    assert losses(True) == losses(False)
