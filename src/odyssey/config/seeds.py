"""The seeds of a run: which random choices each of them decides, and their values.

Imports nothing, so that the report can use it without Hydra.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

# Every key of the configuration that holds a seed of the run. Runs that differ in these alone are
# repetitions of one configuration.
SEED_KEYS = ("seed", "seeds.init", "seeds.order", "seeds.split")


class Seeds(NamedTuple):
    """What the random choices of a run are drawn from."""

    init: int  # the initial weights
    order: int  # all that is drawn during training: order of batches, sequences, noise, dropout
    split: int = 0  # which items are for training, validation and test; 0: the fixed split


def seeds_of(cfg: Any) -> Seeds:
    """The seeds of a run's configuration, nested; those that are not set follow `seed`."""
    own = _own(cfg)
    plain = int(cfg["seed"])
    init, order = own.get("init"), own.get("order")
    return Seeds(
        plain if init is None else init, plain if order is None else order, own.get("split") or 0
    )


def are_apart(cfg: Any) -> bool:
    """Whether the weights and the training have a seed of their own.

    If so, the generator is seeded anew once the weights are drawn. Otherwise noise and dropout are
    what the one generator gives after the weights, so that both depend on `seed` alone.
    """
    own = _own(cfg)
    return own.get("init") is not None or own.get("order") is not None


def identify(content: dict[str, Any]) -> None:
    """Leave of a configuration's seeds, as plain values, those that determine the result."""
    if "seeds" not in content:
        return
    found, apart = seeds_of(content), are_apart(content)
    del content["seeds"]
    kept = {"split": found.split} if found.split else {}
    if apart:  # then `seed` itself decides nothing
        del content["seed"]
        kept |= {"init": found.init, "order": found.order}
    if kept:
        content["seeds"] = kept


def without_seeds(keys: Iterable[str]) -> list[str]:
    """The keys that hold no seed of a run, in order."""
    return [key for key in keys if key not in SEED_KEYS]


def _own(cfg: Any) -> Mapping[str, Any]:
    """The section `seeds`; empty in a configuration of an earlier version, which has none."""
    return (cfg["seeds"] if "seeds" in cfg else None) or {}
