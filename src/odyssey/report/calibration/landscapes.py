"""Simulated studies with a known truth, and real trials of one cell split at random.

Losses are in nats; smaller is better. A search's trial draws a learning rate and a hidden size,
both on [0, 1] of the searched range, and its loss follows from them, the noise of a run (the same
in validation and test) and the noise of an evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

import numpy as np

from odyssey.report.analysis.decisions import SEARCH, SEEDS, Design, Sample

Study = dict[str, Sample]  # variants by label, the baseline first
RUN_NOISE, EVALUATION_NOISE = 0.06, 0.04
LOST = 0.06  # share of a search's trials that is lost
SEED_NOISE = 0.1  # standard deviation between seeds
Surface = Callable[[np.ndarray, np.ndarray], np.ndarray]


def valley(rate: np.ndarray, size: np.ndarray) -> np.ndarray:
    """An optimum of the learning rate inside the range, which moves with the hidden size."""
    return 9 + 30 * (rate - 0.55 - 0.2 * (size - 0.5)) ** 2 + (size - 0.6) ** 2


def edge(rate: np.ndarray, size: np.ndarray) -> np.ndarray:
    """A loss that rises with the learning rate: the optimum is at the end of the range."""
    return 9 + 2 * rate + 0.2 * size


SURFACES: Mapping[str, Surface] = {"valley": valley, "edge": edge}


@dataclass(frozen=True)
class Setting:
    """A kind of study: its design, its size, and how its variants differ from the baseline."""

    name: str
    design: Design
    variants: int = 8  # beside the baseline
    n: int = 5  # seeds or trials of each
    n_first: int | None = None  # of the first variant, where it differs
    surface: str = ""  # of a search: valley, edge, or "jsb" for real trials
    shared: bool = False  # of a search: whether trials of all variants share their settings
    correlation: float = 0.0  # of the seeds
    lost: float = 0.0  # share of the seeds that is lost, in every variant
    tail: str = "normal"  # distribution of seeds: normal, t3 or lognormal
    spread: float = 1.0  # of the first variant's seeds, over the others'
    shift: float = 0.0  # by which the first variant is better, in the unit of the values
    # Of a crossed design: how many seeds there are of each kind, and the standard deviations of
    # their effects and of the rest, over that of a seed.
    shape: tuple[int, ...] = ()
    parts: tuple[float, ...] = ()

    def draw(self, random: np.random.Generator) -> Study:
        """One study."""
        if self.shape:
            return _crossed(self, random)
        return _search(self, random) if self.design.kind == SEARCH else _seeds(self, random)


def _labels(setting: Setting) -> list[str]:
    return ["baseline", *(f"variant {i + 1}" for i in range(setting.variants))]


def _size(setting: Setting, place: int) -> int:
    return setting.n_first if place == 1 and setting.n_first is not None else setting.n


def _seeds(setting: Setting, random: np.random.Generator) -> Study:
    found = {}
    common = random.normal(size=setting.n)
    for place, label in enumerate(_labels(setting)):
        n = _size(setting, place)
        own = {
            "normal": lambda n=n: random.normal(size=n),
            "t3": lambda n=n: random.standard_t(3, size=n) / np.sqrt(3),
            "lognormal": lambda n=n: (random.lognormal(size=n) - np.exp(0.5)) / 2.16,
        }[setting.tail]()
        share = np.sqrt(setting.correlation) if n == setting.n else 0.0
        noise = share * common[:n] + np.sqrt(1 - share**2) * own if share else own
        scale = SEED_NOISE * (setting.spread if place == 1 else 1.0)
        test = 2 + scale * noise - (setting.shift if place == 1 else 0.0)
        test[random.random(n) < setting.lost] = np.inf
        found[label] = Sample(test, test, list(range(n)))
    return found


def _crossed(setting: Setting, random: np.random.Generator) -> Study:
    """Runs of all combinations of the seeds; a seed acts on every variant in a way of its own."""
    levels = np.indices(setting.shape).reshape(len(setting.shape), -1).T
    found = {}
    for place, label in enumerate(_labels(setting)):
        noise = setting.parts[-1] * random.normal(size=len(levels))
        for kind, (count, part) in enumerate(zip(setting.shape, setting.parts, strict=False)):
            noise += part * random.normal(size=count)[levels[:, kind]]
        test = 2 + SEED_NOISE * noise - (setting.shift if place == 1 else 0.0)
        test[random.random(len(test)) < setting.lost] = np.inf
        own = levels if setting.design.paired else levels + 100 * place
        found[label] = Sample(test, test, [tuple(row) for row in own.tolist()], own)
    return found


def _search(setting: Setting, random: np.random.Generator) -> Study:
    if setting.surface == "jsb":
        return _real(setting, random)
    surface, found = SURFACES[setting.surface], {}
    drawn = random.random((2, max(setting.n, setting.n_first or 0)))
    for place, label in enumerate(_labels(setting)):
        n = _size(setting, place)
        rate, size = drawn[:, :n] if setting.shared else random.random((2, n))
        truth = surface(rate, size) + random.normal(0, RUN_NOISE, n)
        truth -= setting.shift if place == 1 else 0.0
        valid, test = (truth + random.normal(0, EVALUATION_NOISE, n) for _ in range(2))
        lost = random.random(n) < LOST
        valid[lost] = test[lost] = np.inf
        found[label] = Sample(test, valid, list(range(n)))
    return found


def _real(setting: Setting, random: np.random.Generator) -> Study:
    """Trials of one and the same cell, drawn with replacement into variants."""
    trials = real_trials()
    found = {}
    for place, label in enumerate(_labels(setting)):
        chosen = random.integers(0, len(trials), size=_size(setting, place))
        found[label] = Sample(trials[chosen, 1], trials[chosen, 0], [])
    if setting.variants == 1:  # a split in halves, without replacement
        order = random.permutation(len(trials))[: 2 * setting.n]
        halves = np.split(trials[order], 2)
        return {
            label: Sample(half[:, 1], half[:, 0], [])
            for label, half in zip(_labels(setting), halves, strict=True)
        }
    return found


@cache
def real_trials() -> np.ndarray:
    """Validation and test nats a frame of the trials of one cell in a real search; inf if lost.

    160 trials of `cell=lstm_peephole sweep=greff experiment=jsb_greff trainer.max_epochs=3`.
    """
    text = files(__package__).joinpath("jsb_trials.csv").read_text(encoding="utf-8")
    rows = [line.split(",") for line in text.splitlines() if line and not line.startswith("#")]
    return np.array([[float(v) for v in row] for row in rows[1:]])


SEEDS_DESIGN = Design(SEEDS)
PAIRED_DESIGN = Design(SEEDS, paired=True)
CROSSED_DESIGN = Design(SEEDS, paired=True, crossed=("init", "order"))
SEARCH_DESIGN = Design(SEARCH, share=0.1)
SHARED_DESIGN = replace(SEARCH_DESIGN, paired=True)
