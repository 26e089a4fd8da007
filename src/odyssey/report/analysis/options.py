"""Options of the analysis, as on the command line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from odyssey.errors import UserError
from odyssey.study.analysis_plan import ALPHA, SHARE

MOST_DRAWS = 1_000_000  # of the bootstrap: more take hours, and change no digit that is shown


@dataclass(frozen=True)
class Options:
    """Options of the analysis. Raises UserError for what is out of range."""

    baseline: str | None = None  # label of a variant
    margin: float | None = None  # of equivalence, in the metric's unit
    share: float = SHARE  # of a search's trials that are compared, the best by validation
    alpha: float = ALPHA  # level of significance
    draws: int = 2000  # permutations and bootstrap resamples
    seed: int = 0  # of those, and of the forests
    trees: int = 64  # of a forest
    chosen: frozenset[str] = frozenset()  # which of the first four go before a study's plan

    @classmethod
    def asked(cls, *, draws: int = 2000, seed: int = 0, **given: Any) -> Options:
        """Options of which some are chosen: those of `given` that are not None."""
        if draws > MOST_DRAWS:  # here, since rare levels take more of themselves
            raise UserError(f"--draws {draws} is out of range: type {MOST_DRAWS} or fewer")
        chosen = {key: value for key, value in given.items() if value is not None}
        return cls(**chosen, draws=draws, seed=seed, chosen=frozenset(chosen))

    def __post_init__(self) -> None:
        messages = []
        if self.margin is not None and not (0 < self.margin < math.inf):
            messages.append(
                f"--margin {self.margin:g} is out of range: type a difference above 0 that would "
                "not matter to you, in the metric's unit, such as 0.05"
            )
        if not 0 < self.share <= 1:
            messages.append(
                f"--share {self.share:g} is out of range: type the share of the trials that are "
                "compared, above 0 and at most 1, such as 0.1"
            )
        if not 1e-9 <= self.alpha < 0.5:
            messages.append(
                f"--alpha {self.alpha:g} is out of range: type a level of significance from 1e-9 "
                "to below 0.5, such as 0.05"
            )
        if not 0 <= self.seed < 2**32:
            messages.append(
                f"--seed {self.seed} is out of range: type 0 or a number up to {2**32 - 1}"
            )
        if self.draws < 100:
            messages.append(f"--draws {self.draws} is too few for an interval: type 100 or more")
        if messages:
            raise UserError(*messages)
