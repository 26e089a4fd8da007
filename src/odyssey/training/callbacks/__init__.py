"""What happens around the updates of a run: Lightning callbacks, composed from `callbacks`.

`ORDER` is the order in which they are called at each hook, and it matters: the metrics are written
before a callback stops the run for them; a user's own callbacks come before the checkpoint, which
holds their state too; and the checkpoint is last, so that what it says is done has been done.
"""

from odyssey.training.callbacks.checkpoints import Checkpoints
from odyssey.training.callbacks.early_stopping import EarlyStopping
from odyssey.training.callbacks.metrics import Metrics
from odyssey.training.callbacks.progress import Progress
from odyssey.training.callbacks.samples import Samples
from odyssey.training.callbacks.signals import Interrupted, Signals

ORDER = ("signals", "metrics", "early_stopping", "samples", "*", "progress", "checkpoints")

__all__ = [
    "ORDER",
    "Checkpoints",
    "EarlyStopping",
    "Interrupted",
    "Metrics",
    "Progress",
    "Samples",
    "Signals",
]
