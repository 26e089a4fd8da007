"""How often the family of all pairs, and the posterior probabilities, see what is not there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np

from odyssey.report.analysis.decisions import BETTER, PROMISING, WORSE, decide, decide_pairs
from odyssey.report.analysis.options import Options
from odyssey.report.calibration.landscapes import (
    PAIRED_DESIGN,
    SEARCH_DESIGN,
    SEEDS_DESIGN,
    Setting,
)
from odyssey.report.calibration.rates import CHUNK, Rate, run_all

SURE = 0.95  # above which a reader would take a probability for an answer
MARGIN = 0.1  # of equivalence: one standard deviation of a seed
Tell = Callable[[int], None]


def pairs_settings() -> list[Setting]:
    """Studies in which no variant differs, of 4 and of 9 variants with the baseline."""
    found = []
    for variants in (4, 9):
        for n in (5, 10):
            for design, kind in ((SEEDS_DESIGN, "seeds"), (PAIRED_DESIGN, "seeds, paired")):
                name = f"{kind}, {variants} variants, {n}"
                found.append(Setting(name, design, variants=variants - 1, n=n))
        for surface, kind in (("valley", "search, valley"), ("jsb", "search, real A/A")):
            name = f"{kind}, {variants} variants, 50"
            found.append(Setting(name, SEARCH_DESIGN, variants=variants - 1, n=50, surface=surface))
    return found


def false_pairs(
    setting: Setting, studies: int, seed: int, processes: int | None, tell: Tell
) -> Rate:
    """The share of studies in which any pair is told apart."""
    tasks = [
        (setting, seed, start, min(CHUNK, studies - start)) for start in range(0, studies, CHUNK)
    ]
    total = Rate(0, 0)
    for rate in run_all(_false_pairs, tasks, processes):
        total = total + rate
        tell(rate.studies)
    return total


def _false_pairs(task: tuple[Setting, int, int, int]) -> Rate:
    setting, seed, start, count = task
    total = Rate(0, 0)
    for number in range(start, start + count):
        study = setting.draw(np.random.default_rng([seed, number, *setting.name.encode()]))
        options = Options(draws=1000, seed=number)
        pairs = list(combinations(study, 2))
        found = decide_pairs(study, pairs, setting.design, options, limits=False)
        wrong = any(d.conclusion in (BETTER, PROMISING, WORSE) for d in found.values())
        total = total + Rate(wrong, 1)
    return total


def chances_settings() -> list[Setting]:
    """Studies of repeated seeds, of a baseline and eight variants."""
    found = []
    for n in (3, 5, 10, 20):
        found.append(Setting(f"seeds, {n}", SEEDS_DESIGN, n=n))
        found.append(Setting(f"seeds, paired, {n}", PAIRED_DESIGN, n=n, correlation=0.5))
    found.append(Setting("seeds, lognormal, 10", SEEDS_DESIGN, n=10, tail="lognormal"))
    found.append(Setting("seeds, paired, t3, 10", PAIRED_DESIGN, n=10, tail="t3"))
    return found


def false_chances(
    setting: Setting, studies: int, seed: int, processes: int | None, tell: Tell
) -> dict[str, Rate]:
    """How often probabilities above `SURE` are of what is not so.

    Of the variants of studies in which none differs, and of one that differs by the margin.
    """
    tasks = [
        (setting, seed, start, min(CHUNK, studies - start)) for start in range(0, studies, CHUNK)
    ]
    names = ("P(better) > 0.95, of a variant", "of any of eight", "P(same) > 0.95, at the margin")
    totals = [Rate(0, 0)] * 3
    for part in run_all(_false_chances, tasks, processes):
        totals = [total + rate for total, rate in zip(totals, part, strict=True)]
        tell(part[1].studies)
    return dict(zip(names, totals, strict=True))


def _false_chances(task: tuple[Setting, int, int, int]) -> list[Rate]:
    setting, seed, start, count = task
    totals = [Rate(0, 0)] * 3
    for number in range(start, start + count):
        random = np.random.default_rng([seed, number, *setting.name.encode()])
        study = setting.draw(random)
        baseline, *_ = study
        found = decide(study, baseline, setting.design, Options(seed=number), limits=False)
        sure = [d.chances.better > SURE for d in found.values() if d.chances.known]
        shifted = replace(setting, variants=1, shift=MARGIN).draw(random)
        options = Options(seed=number, margin=MARGIN)
        (differs,) = decide(shifted, baseline, setting.design, options, limits=False).values()
        one = [
            Rate(sum(sure), len(sure)),
            Rate(any(sure), 1),
            Rate(differs.chances.same > SURE, int(differs.chances.known)),
        ]
        totals = [total + rate for total, rate in zip(totals, one, strict=True)]
    return totals
