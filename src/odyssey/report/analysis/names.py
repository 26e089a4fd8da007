"""Settings and metrics in plain words, for headings, axes and sentences."""

from __future__ import annotations

from collections.abc import Sequence

from odyssey.tasks.metric import Metric

SETTINGS = {
    "cell": "cell",
    "variant": "variant",
    "seed": "seed",
    "seeds.init": "seed of the weights",
    "seeds.order": "seed of the training",
    "seeds.split": "seed of the split",
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

# What a value of a setting counts, for the names of variants.
NOUNS = {
    "model.hidden_size": "units",
    "model.num_layers": "layers",
    "bptt.length": "steps",
    "trainer.max_epochs": "epochs",
    "trainer.max_steps": "updates",
}
# Unit of a setting's values, where its name does not say it.
UNITS = {"bptt.length": "time steps", "task.input_noise": "standard deviation"}


def name_of_setting(key: str) -> str:
    """`learning rate` for `optimizer.lr`; of an unknown key its last part.

    Keys that are set together are joined: `clipping and its threshold` for `clip,clip.threshold`.
    """
    names = [SETTINGS.get(k) or k.rpartition(".")[2].replace("_", " ") for k in key.split(",")]
    first = f"{names[0]} "
    others = [f"its {n[len(first) :]}" if n.startswith(first) else n for n in names[1:]]
    return " and ".join(dict.fromkeys([names[0], *others]))


def name_settings(variants: Sequence[Sequence[tuple[str, str]]]) -> list[list[str]]:
    """The settings of each variant in a few letters each: `gru`, `64 units`, `lr 0.01`.

    variants: the pairs of key and value in which they differ. Where all have the cell and one other
    setting, that needs no name: `64`.
    """
    alone = all(len(own) == 2 and own[0][0] == "cell" for own in variants)
    alone = alone and len({key for own in variants for key, _ in own}) == 2
    return [[_name_setting(key, value, alone) for key, value in own] for own in variants]


def _name_setting(key: str, value: str, alone: bool) -> str:
    if key == "cell":
        return value
    plain = value not in ("true", "false", "null")
    if alone and plain:
        return value
    if key in NOUNS and plain:
        return f"{value} {NOUNS[key].removesuffix('s') if value == '1' else NOUNS[key]}"
    return f"{key.rpartition('.')[2]} {value}"


def axis_of_setting(key: str) -> str:
    """Title of a setting's axis, with its unit: `truncation length (time steps)`."""
    return name_of_setting(key) + (f" ({UNITS[key]})" if key in UNITS else "")


def better_direction(metric: Metric) -> str:
    """Which values of the metric are better: "lower" or "higher"."""
    return "higher" if metric.mode == "max" else "lower"


def axis_of_metric(metric: Metric, part: str) -> str:
    """Title of a metric's axis: `nats per frame, test; lower is better`. part: test or valid."""
    split = {"valid": "validation"}.get(part, part)
    return f"{metric.label}, {split}; {better_direction(metric)} is better"
