"""The schema of a configuration: every key with its type, default and help.

Imports nothing but dataclasses, so that the report can read it without Hydra.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, get_type_hints

from odyssey.config.fields import key
from odyssey.config.task_schema import MISSING, TASKS, TaskConfig

# Odyssey's own callbacks, with the option that each of their arguments is set by.
CALLBACKS: dict[str, dict[str, str]] = {
    "metrics": {"every": "trainer.log_every"},
    "early_stopping": {"patience": "trainer.patience"},
    "samples": {"enabled": "trainer.sample"},
    "progress": {"bar": "trainer.progress_bar"},
    "signals": {},
    "checkpoints": {"every": "trainer.checkpoint_every"},
}
# Arguments of Lightning's Trainer that change no result but for rounding.
NEUTRAL_TRAINER_ARGUMENTS = (
    "benchmark",
    "detect_anomaly",
    "deterministic",
    "enable_model_summary",
    "inference_mode",
    "num_sanity_val_steps",
    "profiler",
)


@dataclass
class InitConfig:
    """How a cell's weights start; see odyssey.cells.Init."""

    input: str = key(
        "uniform",
        "W: uniform, normal, orthogonal, identity, zeros, or module.function that fills a tensor",
    )
    input_scale: float | None = key(None, "half width, standard deviation or gain; null: 1/sqrt(H)")
    recurrent: str = key("uniform", "R: the same")
    recurrent_scale: float | None = key(None, "the same for R; null: 1/sqrt(H), or gain 1")
    bias: str = key("zeros", "b: zeros, uniform, normal or module.function")
    bias_scale: float | None = key(None, "the same for b")
    vector: str = key("uniform", "peepholes: zeros, uniform, normal or module.function")
    vector_scale: float | None = key(None, "the same for peepholes")


@dataclass
class CellConfig:
    """The cell."""

    _target_: str = key(MISSING, "class of the cell, module.Class; a file of your own works too")
    forget_bias: float | None = key(
        None, "bias of the forget gate at the start; null: as init.bias"
    )
    init: InitConfig = key(InitConfig, "initial weights")
    options: dict[str, Any] = key(dict, "further keyword arguments of a cell of your own")


@dataclass
class HeadInitConfig:
    """How embedding and output layer start."""

    kind: str | None = key(
        None, "uniform, normal, orthogonal or module.function; null: as torch.nn does"
    )
    scale: float | None = key(None, "half width, standard deviation or gain")
    bias: str = key(
        "zeros",
        "the output layer's bias where kind is given: zeros, uniform, normal or module.function",
    )


@dataclass
class ModelConfig:
    """Layers around the cell."""

    hidden_size: int = key(128, "units in each layer and direction")
    num_layers: int = key(1, "layers, each reading the one below")
    bidirectional: bool = key(False, "a second direction in every layer")
    dropout: float = key(0.0, "dropout between layers, 0 to 1")
    embedding_size: int | None = key(None, "size of a token's embedding; null: one-hot")
    backend: str = key(
        "auto",
        "auto, reference (a plain loop), compiled (derived kernels) or library (torch.nn)",
        neutral=True,
    )
    init: HeadInitConfig = key(HeadInitConfig, "initial weights of embedding and output layer")


@dataclass
class BpttConfig:
    """Truncated backpropagation through time."""

    length: int | None = key(None, "truncation length in time steps; null: the whole sequence")


@dataclass
class OptimizerConfig:
    """What all optimizers have."""

    kind: str = MISSING
    lr: float = key(MISSING, "learning rate")
    weight_decay: float = key(0.0, "L2 penalty (AdamW: decoupled decay)")


@dataclass
class SgdConfig(OptimizerConfig):
    """Stochastic gradient descent."""

    kind: str = "sgd"
    lr: float = key(0.1, "learning rate")
    momentum: float = key(0.9, "momentum")
    nesterov: bool = key(True, "Nesterov's momentum (none where momentum is 0)")
    scale_lr_by_momentum: bool = key(False, "step by lr * (1 - momentum), as Greff et al.")


@dataclass
class AdamConfig(OptimizerConfig):
    """Adam."""

    kind: str = "adam"
    lr: float = key(3e-3, "learning rate")
    beta1: float = key(0.9, "decay of the mean of the gradient")
    beta2: float = key(0.999, "decay of the mean of its square")
    eps: float = key(1e-8, "added to the denominator")


@dataclass
class AdamWConfig(AdamConfig):
    """Adam with decoupled weight decay."""

    kind: str = "adamw"
    weight_decay: float = key(0.01, "decoupled weight decay")


@dataclass
class RmspropConfig(OptimizerConfig):
    """RMSProp."""

    kind: str = "rmsprop"
    lr: float = key(2e-3, "learning rate")
    alpha: float = key(0.95, "decay of the mean of the squared gradient")
    eps: float = key(1e-8, "added to the denominator")
    momentum: float = key(0.0, "momentum")


@dataclass
class AdagradConfig(OptimizerConfig):
    """Adagrad."""

    kind: str = "adagrad"
    lr: float = key(0.1, "learning rate")
    eps: float = key(1e-10, "added to the square root")
    initial_accumulator: float = key(0.0, "where the sum of squares starts (under the root)")


@dataclass
class OwnOptimizerConfig(OptimizerConfig):
    """Any of torch.optim, or one of the user's own."""

    kind: str = "own"
    _target_: str = key(MISSING, "class of the optimizer, module.Class, as torch.optim.NAdam")
    lr: float = key(1e-3, "learning rate")
    options: dict[str, Any] = key(dict, "its further arguments, as optimizer.options.eps=1e-6")


@dataclass
class DecayConfig:
    """How the learning rate falls."""

    kind: str = key("none", "none, exponential, cosine or plateau")


@dataclass
class ExponentialConfig(DecayConfig):
    """lr * factor for each epoch after the first `after`."""

    kind: str = "exponential"
    factor: float = key(0.97, "factor an epoch")
    after: int = key(1, "epochs before the first decay")


@dataclass
class CosineConfig(DecayConfig):
    """Half a cosine over the run."""

    kind: str = "cosine"
    final: float = key(0.0, "share of the learning rate left at the end")


@dataclass
class PlateauConfig(DecayConfig):
    """Falls when the monitored metric stops improving."""

    kind: str = "plateau"
    factor: float = key(0.5, "factor at each fall")
    patience: int = key(2, "validations without improvement before a fall")


@dataclass
class OwnDecayConfig(DecayConfig):
    """Any of torch.optim.lr_scheduler, or one of the user's own."""

    kind: str = "own"
    _target_: str = key(MISSING, "class of the schedule, as torch.optim.lr_scheduler.OneCycleLR")
    every: str = key("update", "when it makes a step: update, epoch or validation")
    options: dict[str, Any] = key(
        dict, "its arguments; total and epoch stand for the steps of the run and of an epoch"
    )


@dataclass
class ClipConfig:
    """Gradient clipping."""

    kind: str = key("norm", "norm, value or none")
    threshold: float | None = key(5.0, "largest norm of the whole gradient, or of any entry")


@dataclass
class TrainerConfig:
    """How long, how often."""

    max_epochs: int | None = key(5, "passes over the training data; null: no limit")
    max_steps: int | None = key(None, "updates; null: no limit")
    val_every: int | None = key(None, "updates between validations; null: each epoch")
    val_within: int | None = key(
        None,
        "with val_every=null: the most updates between validations, of which there are then 50 at "
        "most where epochs are short; null: each epoch whatever its length",
    )
    patience: int | None = key(None, "stop after so many validations without a better one")
    precision: str = key("32", "64, 32, tf32 (a GPU's faster 32-bit products) or bf16-mixed")
    overfit_batch: bool = key(False, "train and validate on the first batch alone")
    log_every: int = key(20, "updates between two lines of metrics", neutral=True)
    checkpoint_every: int | None = key(
        200, "updates between checkpoints inside an epoch", neutral=True
    )
    sample: bool = key(
        True, "write a sample at each validation where the task has samples", neutral=True
    )
    progress_bar: bool = key(True, "show a progress bar", neutral=True)
    threads: int | None = key(None, "CPU threads; null: torch's own choice", neutral=True)
    loop: str = key(
        "auto",
        "compiled: whole updates in C; lightning: by Lightning's Trainer and torch; auto: compiled "
        "where it is possible, with one thread or small batches",
        neutral=True,
    )
    lightning: dict[str, Any] = key(
        dict, "further arguments of Lightning's Trainer, as trainer.lightning.profiler=simple"
    )


@dataclass
class SeedsConfig:
    """Seeds of single kinds of random choices, where they are not to follow `seed`."""

    init: int | None = key(None, "seed of the initial weights; null: seed")
    order: int | None = key(
        None,
        "seed of what is drawn in training: order of batches, generated sequences, noise, dropout; "
        "null: seed",
    )
    split: int | None = key(
        None,
        "seed of which items are train, valid and test, where they are split at random; null: the "
        "fixed split, as 0",
    )


@dataclass
class LoggerConfig:
    """Weights & Biases."""

    mode: str | None = key(
        None, "offline, online (needs a login) or disabled; null: WANDB_MODE, else offline"
    )
    project: str | None = key(None, "W&B project; null: WANDB_PROJECT, else odyssey")
    entity: str | None = key(None, "W&B user or team; null: WANDB_ENTITY, else your default")
    tags: list[str] | None = key(None, "tags of the run, as [first, second]; null: WANDB_TAGS")
    notes: str | None = key(None, "a text about the run; null: WANDB_NOTES")
    dir: str | None = key(
        None, "where W&B makes its folder `wandb`; null: WANDB_DIR, else output_dir"
    )


@dataclass
class ResumeConfig:
    """What becomes of runs that are there already."""

    mode: str = key("auto", "auto, never or force")
    failed: bool = key(False, "a study tries its failed runs again")
    mixed: bool = key(False, "a study may mix runs of different code, torch or data")


@dataclass
class PlanConfig:
    """The plan of a study's analysis. null: as study.json has it, else the default."""

    baseline: str | None = key(
        None, "with -m: the variant that the others are compared with; null: an LSTM, or the first"
    )
    metric: str | None = key(
        None, "with -m: what verdicts are about; null: what chooses checkpoints"
    )
    margin: float | None = key(
        None, "with -m: a difference that would not matter, in the metric's unit; null: none"
    )
    alpha: float | None = key(None, "with -m: level of significance; null: 0.05")
    share: float | None = key(
        None, "with -m: share of a search's trials that is compared, the best; null: 0.1"
    )
    looks: list[int] | None = key(
        None,
        "with -m: numbers of seeds (or trials) at which verdicts are read, as [5,10,20]; null: "
        "when all runs have ended",
    )


@dataclass
class Config:
    """A whole run."""

    cell: CellConfig = MISSING
    task: TaskConfig = MISSING
    model: ModelConfig = key(ModelConfig, "model")
    bptt: BpttConfig = key(BpttConfig, "truncation")
    optimizer: OptimizerConfig = MISSING
    decay: DecayConfig = MISSING
    clip: ClipConfig = MISSING
    trainer: TrainerConfig = key(TrainerConfig, "training")
    callbacks: dict[str, Any] = key(dict, "what happens around the updates")
    metrics: dict[str, Any] = key(
        dict, "metrics added to the task's, as metrics.mine._target_=my_metrics.Mine"
    )
    logger: LoggerConfig = key(LoggerConfig, "W&B", neutral=True)
    loggers: dict[str, Any] = key(
        dict,
        "Lightning's loggers beside W&B, as "
        "loggers.csv._target_=pytorch_lightning.loggers.CSVLogger",
        neutral=True,
    )
    seed: int = key(0, "seed of weights, data order, noise and dropout")
    seeds: SeedsConfig = key(SeedsConfig, "seeds of single kinds of random choices")
    init_from: str | None = key(
        None, "a run's folder, whose weights and vocabulary the run begins with (fine-tuning)"
    )
    study: str = key(
        "default", "name of the study: the folder of its runs, and the W&B group", neutral=True
    )
    plan: PlanConfig = key(PlanConfig, "plan of a study's analysis", neutral=True)
    output_dir: str = key("outputs", "where studies lie", neutral=True)
    data_dir: str | None = key(
        None, "where data files lie; null: $ODYSSEY_DATA, or a cache folder", neutral=True
    )
    device: str = key("auto", "auto, cpu or cuda", neutral=True)
    resume: ResumeConfig = key(MISSING, "resuming", neutral=True)


OPTIMIZERS = {
    "sgd": SgdConfig,
    "adam": AdamConfig,
    "adamw": AdamWConfig,
    "rmsprop": RmspropConfig,
    "adagrad": AdagradConfig,
    "own": OwnOptimizerConfig,
}
DECAYS = {
    "none": DecayConfig,
    "exponential": ExponentialConfig,
    "cosine": CosineConfig,
    "plateau": PlateauConfig,
    "own": OwnDecayConfig,
}


def _marked(mark: str, schema: Any, prefix: str = "") -> Iterator[str]:
    types = get_type_hints(schema)
    for field in dataclasses.fields(schema):
        if field.metadata.get(mark):
            yield prefix + field.name
        elif dataclasses.is_dataclass(types[field.name]):
            yield from _marked(mark, types[field.name], f"{prefix}{field.name}.")


def _all_marked(mark: str) -> tuple[str, ...]:
    keys = [*_marked(mark, Config)]
    for task in TASKS.values():
        keys += _marked(mark, task, "task.")
    return tuple(dict.fromkeys(keys))


# Keys and sections of keys that do not change what a run computes: where and how it is computed,
# stored and printed. They are not part of a run's identity.
NEUTRAL_KEYS = (
    *_all_marked("neutral"),
    # Odyssey's own callbacks: what they are told that matters is said by trainer.patience.
    *(f"callbacks.{name}" for name in CALLBACKS),
    *(f"trainer.lightning.{name}" for name in NEUTRAL_TRAINER_ARGUMENTS),
)
# Keys that say where something lies. Its content is part of a run's identity, the place is not.
PLACE_KEYS = _all_marked("place")


def flat(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as one, with dotted keys; an empty section stays a value."""
    found: dict[str, Any] = {}
    for name, value in section.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


@cache
def register() -> None:
    """Store the schemas with Hydra under `schema/`."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    store.store(group="schema", name="config", node=Config)
    store.store(group="schema", name="cell", node=CellConfig)
    store.store(group="schema", name="clip", node=ClipConfig)
    store.store(group="schema", name="resume", node=ResumeConfig)
    for group, nodes in (("optimizer", OPTIMIZERS), ("decay", DECAYS), ("task", TASKS)):
        for name, node in nodes.items():
            store.store(group=f"schema/{group}", name=name, node=node)
