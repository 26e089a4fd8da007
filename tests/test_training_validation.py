"""A streamed text is validated over the whole split, once, whatever the window's length."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from pytorch_lightning import Trainer

from training_kit import TEXT, charlm, cross_entropy, forward, module, settings, weights

SPLIT = [0.4, 0.35, 0.25]


def _evaluate(net, what):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        run = trainer.validate if what == "valid" else trainer.test
        run(net, datamodule=net.task, verbose=False)
    return net.evaluated


def _net(tmp_path, length, lanes, *more):
    cfg = charlm(
        tmp_path,
        f"bptt.length={'null' if length is None else length}",
        f"task.eval_batch_size={lanes}",
        f"task.split=[{','.join(map(str, SPLIT))}]",
        *more,
    )
    return module(cfg)


def _part(net, split):
    """The ids of the text's middle or last part."""
    a = round(SPLIT[0] * len(TEXT))
    b = round((SPLIT[0] + SPLIT[1]) * len(TEXT))
    text = TEXT[a:b] if split == "valid" else TEXT[b:]
    unknown = net.task.vocabulary.unknown
    return np.array([net.task.vocabulary.ids.get(c, unknown) for c in text])


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [1, 3, 4])
@pytest.mark.parametrize("split", ["valid", "test"])
def test_one_number_for_all_window_lengths(tmp_path, split, lanes):
    """By NumPy over each lane in one go, every target counted once."""
    found = {}
    for length in (1, 7, 50, 1000, None):
        net = _net(tmp_path, length, lanes)
        found[length] = _evaluate(net, split)["nats_per_char"]
    w, ids = weights(net.model), _part(net, split)
    eye, total, count = np.eye(len(net.task.vocabulary)), 0.0, 0
    for places in np.array_split(np.arange(len(ids) - 1), lanes):
        _, logits = forward(w, eye[ids[places], None], np.zeros((1, 6)))
        nats, _ = cross_entropy(logits[:, 0], ids[places + 1])
        total, count = total + nats.sum(), count + len(nats)
    assert count == len(ids) - 1
    for value in found.values():
        assert value == pytest.approx(total / count, rel=1e-11)


@pytest.mark.parametrize("cell", ["lstm", "gru", "fgr"])
def test_deep_models_too(tmp_path, cell):
    values = [
        _evaluate(_net(tmp_path, n, 2, f"cell={cell}", "model.num_layers=2"), "valid")
        for n in (7, 50, None)
    ]
    for value in values[1:]:
        assert value == pytest.approx(values[0], rel=1e-11)
    nats = values[0]["nats_per_char"]
    assert values[0]["bits_per_char"] == pytest.approx(nats / math.log(2), rel=1e-14)


def test_validations_are_alike_and_draw_nothing(tmp_path):
    """The second starts as the first did, dropout is off, no generator moves."""
    net = _net(tmp_path, 7, 2, "cell=lstm", "model.num_layers=2", "model.dropout=0.5")
    before = torch.get_rng_state()
    first, second = _evaluate(net, "valid"), _evaluate(net, "valid")
    assert first == second and torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    "overrides",
    [
        ("task=synthetic", "task.kind=adding", "task.length=9"),
        ("task=synthetic", "task.kind=reversal", "task.length=5"),
    ],
    ids=["adding", "reversal"],
)
def test_sequences_by_any_batch_size(overrides):
    """The last, smaller batch weighs by its sequences; the mean is over the whole split."""
    values = []
    for size in (1, 7, 60, 1000):
        cfg = settings(
            "cell=rnn",
            "model.hidden_size=6",
            "task.eval_size=60",
            f"task.eval_batch_size={size}",
            *overrides,
        )
        net = module(cfg)
        net.task._fixed = {
            split: {k: v.astype(np.float64) if v.dtype.kind == "f" else v for k, v in part.items()}
            for split, part in net.task._fixed.items()
        }
        torch.set_default_dtype(torch.float64)
        try:
            values.append(_evaluate(net, "valid"))
        finally:
            torch.set_default_dtype(torch.float32)
    for value in values[1:]:
        assert value == pytest.approx(values[0], rel=1e-11)
