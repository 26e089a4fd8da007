"""Tree-structured Parzen estimators (Bergstra et al. 2011), as Optuna has them.

What a trial has had is found in its overrides, and what is proposed becomes overrides, so that
Optuna knows the very values that ran.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from odyssey.study.distributions import Parameter

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
                params=dict(places),
                distributions=whole,
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
