"""Metrics and settings in plain words, for headings, axes and sentences."""

from __future__ import annotations

# What a metric is, and the unit of its differences.
METRICS = {
    "nats_per_frame": ("nats per frame", "nats per frame"),
    "nats_per_char": ("nats per character", "nats per character"),
    "bits_per_char": ("bits per character", "bits per character"),
    "nats_per_word": ("nats per word", "nats per word"),
    "nats_per_step": ("nats per step", "nats per step"),
    "nats": ("cross-entropy in nats", "nats"),
    "mse": ("mean squared error", "mean squared error"),
    "recalled": ("share of symbols recalled", "of the symbols"),
}

SETTINGS = {
    "cell": "cell",
    "variant": "variant",
    "seed": "seed",
    "task": "task",
    "task.data": "data",
    "task.batch_size": "batch size",
    "task.input_noise": "input noise",
    "model.hidden_size": "hidden units",
    "model.num_layers": "layers",
    "model.dropout": "dropout",
    "model.bidirectional": "both directions",
    "model.embedding_size": "embedding size",
    "bptt.length": "truncation length",
    "clip": "clipping",
    "clip.kind": "clipping",
    "clip.threshold": "clipping threshold",
    "optimizer": "optimizer",
    "optimizer.lr": "learning rate",
    "optimizer.momentum": "momentum",
    "optimizer.weight_decay": "weight decay",
    "optimizer.scale_lr_by_momentum": "step scaled by momentum",
    "decay": "learning-rate decay",
    "trainer.max_epochs": "epochs at most",
    "trainer.max_steps": "updates at most",
    "trainer.patience": "patience",
    "cell.forget_bias": "forget bias",
}

# What a setting's values are counted in, where that is not plain from its name.
UNITS = {"bptt.length": "time steps", "task.input_noise": "standard deviation"}


def name_of_metric(metric: str) -> str:
    """`nats per frame` for `nats_per_frame`; an unknown metric with its underscores as spaces."""
    return METRICS[metric][0] if metric in METRICS else _spaced(metric)


def unit_of(metric: str) -> str:
    """What differences of a metric are in, as in `0.12 nats per frame`."""
    return METRICS[metric][1] if metric in METRICS else _spaced(metric)


def name_of_setting(key: str) -> str:
    """`learning rate` for `optimizer.lr`; an unknown key without its section.

    Keys that are set together are joined: `clipping and its threshold` for `clip,clip.threshold`.
    """
    names = [SETTINGS.get(k) or _spaced(k.rpartition(".")[2]) for k in key.split(",")]
    first = f"{names[0]} "
    others = [f"its {n[len(first) :]}" if n.startswith(first) else n for n in names[1:]]
    return " and ".join(dict.fromkeys([names[0], *others]))


def axis_of_setting(key: str) -> str:
    """The name with its unit, if it needs one: `truncation length (time steps)`."""
    return name_of_setting(key) + (f" ({UNITS[key]})" if key in UNITS else "")


def axis_of_metric(metric: str, part: str, better: str) -> str:
    """`nats per frame, test; lower is better`. part: `test` or `valid`."""
    where = {"valid": "validation"}.get(part, part)
    return f"{name_of_metric(metric)}, {where}; {better} is better"


def _spaced(word: str) -> str:
    return word.replace("_", " ")
