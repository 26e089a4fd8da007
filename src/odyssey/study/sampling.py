"""The draws of a trial: a function of the study's seed, the variant and the number of the trial.

Nothing else does: not the machine, the order or number of trials, or the other variants. Each is a
function of hashes and of Sobol's points, and so must stay as it is: changing it changes trials.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from odyssey.errors import UserError, did_you_mean
from odyssey.study.search_space import Parameter

SAMPLERS = ("random", "sobol", "tpe")
BITS = 53  # of a float from 0 to below 1
SCRAMBLED = 32  # bits of a point of Sobol's that are scrambled; the rest is random
LEVELS = 8  # bits that one hash scrambles
BLOCK = 256  # points made at once


def check_sampler(sampler: Any) -> None:
    """Raises UserError if there is no such sampler."""
    if sampler not in SAMPLERS:
        near = did_you_mean(sampler, SAMPLERS) if isinstance(sampler, str) else ""
        shown = "null" if sampler is None else sampler
        raise UserError(
            f"hydra.sweeper.sampler={shown} is unknown{near}: type one of {', '.join(SAMPLERS)}"
        )


def uniforms(
    sampler: str, seed: int, variant: str, number: int, keys: Sequence[str]
) -> list[float]:
    """A number from 0 to below 1 for each key, in the order of `keys`.

    sampler: `random`: independent. `sobol`: the trials of a variant are a Sobol sequence (Joe & Kuo
    2008) with a dimension for each key, in alphabetical order, under Owen's nested uniform
    scrambling (1995); any first 2^k trials fill the space evenly.
    variant: the variant's label, or the same text for all variants that are to share their draws.
    number: the trial's, from 0. keys: a name for each; a pair is one key, `a,b`.
    Raises UserError for an unknown sampler, ValueError for `tpe`, which draws otherwise.
    """
    check_sampler(sampler)
    if sampler == "random":
        return [_random(seed, variant, number, key) for key in keys]
    if sampler == "sobol":
        dimensions = {key: i for i, key in enumerate(sorted(set(keys)))}
        if not dimensions:
            return []
        point = _points(len(dimensions), number // BLOCK)[number % BLOCK]
        return [_scrambled(seed, variant, key, point[dimensions[key]]) for key in keys]
    raise ValueError(f"{sampler} has no draws of its own")


def _random(seed: int, variant: str, number: int, key: str) -> float:
    digest = hashlib.sha256(_plain(["random", seed, variant, number, key])).digest()
    return (int.from_bytes(digest[:8], "big") >> (64 - BITS)) / 2**BITS


def _plain(parts: list[Any]) -> bytes:
    """The parts as bytes, such that no two lists of parts have the same."""
    return json.dumps(parts, separators=(",", ":")).encode("ascii")


@lru_cache(maxsize=64)
def _points(dimensions: int, block: int) -> list[list[int]]:
    """One block of Sobol's points, each coordinate as a whole number of 32 bits."""
    from scipy.stats import qmc

    engine = qmc.Sobol(dimensions, scramble=False, bits=SCRAMBLED)
    if block:
        engine.fast_forward(block * BLOCK)
    return [[int(x * 2**SCRAMBLED) for x in point] for point in engine.random(BLOCK)]


def _scrambled(seed: int, variant: str, key: str, x: int) -> float:
    """A coordinate of a point, scrambled: whether a bit is turned depends on all bits above it.

    Below its 32 bits come random ones, so that the values are on no grid.
    """
    turned = 0
    for above in range(0, SCRAMBLED, LEVELS):
        # The 256 bits of a hash are those of a tree of eight levels: node 1 is the root, and
        # below node n are 2n and 2n + 1.
        tree = _hash(seed, variant, key, above, x >> (SCRAMBLED - above))
        node = 1
        for level in range(above, above + LEVELS):
            bit = x >> (SCRAMBLED - 1 - level) & 1
            turned = turned << 1 | (bit ^ (tree >> node & 1))
            node = node << 1 | bit
    below = BITS - SCRAMBLED
    rest = _hash(seed, variant, key, SCRAMBLED, x) & ((1 << below) - 1)
    return (turned << below | rest) / 2**BITS


def _hash(seed: int, variant: str, key: str, above: int, bits: int) -> int:
    """256 random bits for the node below these bits, of which there are `above`."""
    found = _hash_of(seed, variant, key).copy()
    found.update(above.to_bytes(1, "big") + bits.to_bytes(4, "big"))
    return int.from_bytes(found.digest(), "big")


@lru_cache(maxsize=4096)
def _hash_of(seed: int, variant: str, key: str) -> Any:
    return hashlib.sha256(_plain(["sobol", seed, variant, key]))


# What an earlier trial had, by the parameters' names, and its score: smaller is better, infinity
# is the worst, None is not known yet.
Past = tuple[Mapping[str, float], float | None]


def propose(parameters: Sequence[Parameter], past: Sequence[Past], *seed: Any) -> list[str]:
    """The overrides of the next trial: a function of these arguments alone.

    past: the earlier trials, in order. Those that still run are taken to be bad ones, so that
    several that are proposed at once differ. seed: anything that JSON can write.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    whole = {p.name: _distribution(p) for p in parameters}
    known = [score for _, score in past if score is not None and math.isfinite(score)]
    worst = max(known, default=0.0)  # for a trial that diverged
    state = optuna.trial.TrialState
    sampler = optuna.samplers.TPESampler(
        seed=_seed(seed), n_startup_trials=0, multivariate=True, constant_liar=True
    )
    study = optuna.create_study(sampler=sampler)
    for places, score in past:
        study.add_trial(
            optuna.trial.create_trial(
                state=state.RUNNING if score is None else state.COMPLETE,
                value=None if score is None else min(score, worst),
                params={name: at for name, at in places.items() if name in whole},
                distributions={name: d for name, d in whole.items() if name in places},
            )
        )
    found = study.ask(whole).params
    return [word for p in parameters for word in p.words_of(p.near(found[p.name]))]


def place(parameter: Parameter, words: Sequence[str]) -> float | None:
    """Where in its distribution a parameter has these overrides, as Optuna counts.

    That is the value, x where the value is 1 - x, or a choice's number; None where the overrides
    are none of the parameter's.
    """
    if parameter.distribution == "choice":
        all_words = [parameter.words_of(values) for values in parameter.values]
        return all_words.index(tuple(words)) if tuple(words) in all_words else None
    assert parameter.low is not None and parameter.high is not None
    try:
        value = Decimal(words[0].partition("=")[2])
        if parameter.integer:
            return int(value)
    except (InvalidOperation, ValueError, OverflowError):
        return None
    x = float(1 - value if parameter.distribution == "one_minus_log_uniform" else value)
    return min(max(x, parameter.low), parameter.high)


def _distribution(parameter: Parameter) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if parameter.distribution == "choice":
        return CategoricalDistribution(range(len(parameter.values)))
    low, high, log = parameter.low, parameter.high, "log" in parameter.distribution
    assert low is not None and high is not None
    if parameter.integer:
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(low, high, log=log)


def _seed(parts: Sequence[Any]) -> int:
    """32 bits."""
    text = json.dumps(["tpe", *parts], separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode("ascii")).digest()[:4], "big")
