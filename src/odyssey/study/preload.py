"""All that a run imports, so that a process forked after it starts at once.

Importing this starts no thread and touches no GPU: neither would survive the fork.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

RUN = (
    "hydra._internal.hydra",
    "hydra.core.plugins",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "multiprocessing.synchronize",
    "odyssey.config.compose",
    "odyssey.config.validate",
    "odyssey.study.job",
    "odyssey.study.ledger",
    "odyssey.tasks.language_model",
    "odyssey.training.failure",
    "odyssey.training.train",
    # What others put off to their first use, at which each trial would import it again.
    "PIL.BmpImagePlugin",
    "PIL.GifImagePlugin",
    "PIL.JpegImagePlugin",
    "PIL.PngImagePlugin",
    "PIL.PpmImagePlugin",
    "mido",
    "pooch",
    "torch.profiler",
    "torch.utils.serialization.config",
    "tqdm.auto",
)
WANDB = (  # half a second, which not all need
    "wandb",
    "wandb.apis.public",
    "wandb.sdk.launch.inputs.internal",
    "wandb.sdk.launch.inputs.schema",
    "pandas",
    "requests",
)


def load(names: Sequence[str]) -> None:
    """Import those that are there: a later version of a package may have moved its parts."""
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            if name.startswith("odyssey."):
                raise
