"""Simulated grids of factors: how often their words are wrong, and what they find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from odyssey.report.analysis.decisions import BETTER, SAME, WORSE, Sample
from odyssey.report.analysis.factors import (
    DEPENDS,
    INTERACTION,
    MAIN,
    SIMPLE,
    Effect,
    decide_effects,
)
from odyssey.report.analysis.grids import Grid, find_grid
from odyssey.report.analysis.options import Options
from odyssey.report.calibration.rates import CHUNK, Rate, run_all
from odyssey.report.stats.contrasts import cell_weights

FAMILIES = {MAIN: "averaged", SIMPLE: "within levels", INTERACTION: "interaction"}
FALSE = (BETTER, WORSE, DEPENDS)
SEED_NOISE = 0.1  # standard deviation between seeds


@dataclass(frozen=True)
class GridSetting:
    """A kind of grid: its size, its seeds, and what is true of it.

    The first factor has levels without numbers, the last one doubles, so that it has a trend.
    """

    name: str
    sizes: tuple[int, ...] = (3, 3)  # levels of each factor
    n: int = 5  # seeds
    paired: bool = True
    correlation: float = 0.0  # of runs of one seed
    tail: str = "normal"  # or t3, lognormal
    spread: float = 1.0  # of the last level of the first factor, over the others'
    lost: float = 0.0  # share of the runs that is lost
    shift: float = 0.0  # by which the second level of the first factor is better, everywhere
    only_last: bool = False  # that shift only at the last level of the last factor
    judged: bool = True  # whether the rates of false words have a limit

    @property
    def truth(self) -> np.ndarray:
        """The true means of the cells, over the first one's."""
        means = np.zeros(self.sizes)
        if self.only_last:
            means[1, ..., -1] -= self.shift
        else:
            means[1] -= self.shift
        return means.ravel()

    def grid(self) -> Grid:
        """Its grid, found from the settings of its variants."""
        settings = {}
        for place in product(*map(range, self.sizes)):
            own = {f"factor{i}": f"level{p}" for i, p in enumerate(place[:-1])}
            own["size"] = str(8 * 2 ** place[-1])
            settings[" ".join(own.values())] = own
        found = find_grid(settings, next(iter(settings)))
        assert found is not None and len(found.cells) == len(settings)
        return found

    def draw(self, grid: Grid, random: np.random.Generator) -> dict[str, Sample]:
        """The runs of one study."""
        shape = (self.n, len(grid.cells))
        own = {
            "normal": lambda: random.normal(size=shape),
            "t3": lambda: random.standard_t(3, size=shape) / np.sqrt(3),
            "lognormal": lambda: (random.lognormal(size=shape) - np.exp(0.5)) / 2.16,
        }[self.tail]()
        common = random.normal(size=(self.n, 1))
        noise = np.sqrt(self.correlation) * common + np.sqrt(1 - self.correlation) * own
        scale = np.ones(self.sizes)
        scale[-1] = self.spread
        values = 2 + self.truth + SEED_NOISE * scale.ravel() * noise
        values[random.random(shape) < self.lost] = np.inf
        keys = list(range(self.n))
        return {
            label: Sample(
                values[:, c], values[:, c], keys if self.paired else [(c, k) for k in keys]
            )
            for c, label in enumerate(grid.cells)
        }


@dataclass(frozen=True)
class GridRates:
    """What became of the studies of one setting, by family."""

    wrong: dict[str, Rate]  # with a false word
    held: dict[str, Rate]  # with limits that hold the truth of every effect of the family
    found: dict[str, Rate]  # of the true effects, those that were found with their right sign
    same: dict[str, Rate]  # with a "same" of an effect as large as the margin or larger

    def __add__(self, other: GridRates) -> GridRates:
        pairs = zip(_fields(self), _fields(other), strict=True)
        return GridRates(*({f: a[f] + b[f] for f in a} for a, b in pairs))


def _fields(rates: GridRates) -> list[dict[str, Rate]]:
    return [rates.wrong, rates.held, rates.found, rates.same]


NONE = GridRates(*({family: Rate(0, 0) for family in FAMILIES} for _ in range(4)))


def measure_grid(
    setting: GridSetting,
    studies: int,
    *,
    seed: int = 0,
    margin: float | None = None,
    processes: int | None = None,
    tell: Callable[[int], None] = lambda done: None,
) -> GridRates:
    """The rates over so many simulated grids; the same seed gives the same ones."""
    tasks = [
        (setting, margin, seed, start, min(CHUNK, studies - start))
        for start in range(0, studies, CHUNK)
    ]
    total = NONE
    for part, task in zip(run_all(_measure, tasks, processes), tasks, strict=True):
        total = total + part
        tell(task[-1])
    return total


def _measure(task: tuple[GridSetting, float | None, int, int, int]) -> GridRates:
    setting, margin, seed, start, count = task
    grid, options, total = setting.grid(), Options(margin=margin), NONE
    truths: list[float] | None = None
    for number in range(start, start + count):
        random = np.random.default_rng([seed, number, *setting.name.encode()])
        samples = setting.draw(grid, random)
        effects = decide_effects(grid, samples, setting.paired, "lower", options)
        truths = truths or [_true(effect, setting, grid) for effect in effects]
        total = total + _rates(effects, truths, margin)
    return total


def _true(effect: Effect, setting: GridSetting, grid: Grid) -> float:
    """The true value of an effect: means of the cells with these levels, minus those without."""
    # By hand, and not from the weights that the analysis made.
    means = setting.truth.reshape(setting.sizes)
    logs = [np.log2(f.numbers) if f.numbers else None for f in grid.factors]
    parts, others = [], iter(effect.at)
    for i, factor in enumerate(grid.factors):
        row = np.zeros(len(factor.levels))
        if i not in effect.factors:
            at = next(others, None)
            row = np.full(len(row), 1 / len(row)) if at is None else row
            if at is not None:
                row[factor.levels.index(at)] = 1
        else:
            level = effect.levels[effect.factors.index(i)]
            own = logs[i]
            if level in factor.levels:
                row[factor.levels.index(level)] += 1
                row[factor.reference] -= 1
            elif own is not None:
                row = np.linalg.pinv(np.stack([np.ones(len(own)), own]).T)[1]
        parts.append(row)
    return float(cell_weights(parts) @ means.ravel())


TINY = 1e-12  # of a true effect, from sums that do not round to 0


def _rates(effects: list[Effect], truths: list[float], margin: float | None) -> GridRates:
    wrong: dict[str, Rate] = {}
    held, found, same = dict(wrong), dict(wrong), dict(wrong)
    for family in FAMILIES:
        here = [(e, t) for e, t in zip(effects, truths, strict=True) if e.family == family]
        null = [e for e, t in here if abs(t) < TINY]
        real = [(e, t) for e, t in here if abs(t) >= TINY]
        wrong[family] = Rate(any(e.conclusion in FALSE for e in null), 1 if null else 0)
        known = [(e.difference, t) for e, t in here if not np.isnan(e.difference.low)]
        held[family] = Rate(all(d.low - TINY <= t <= d.high + TINY for d, t in known), 1)
        right = [e.conclusion in FALSE and e.difference.value * t > 0 for e, t in real]
        found[family] = Rate(sum(right), len(right))
        large = [e for e, t in real if margin is not None and abs(t) >= margin - TINY]
        same[family] = Rate(any(e.conclusion == SAME for e in large), 1 if large else 0)
    return GridRates(wrong, held, found, same)


def _short(value: float) -> str:
    """`0`, `.6`."""
    return f"{value:g}".removeprefix("0") or "0"


def null_grids() -> list[GridSetting]:
    """Grids in which no factor has an effect."""
    found = []
    for n in (3, 5, 10):
        for correlation in (0.0, 0.6):
            name = f"3 x 3, correlation {_short(correlation)}, {n}"
            found.append(GridSetting(name, n=n, correlation=correlation))
        for tail in ("t3", "lognormal"):
            name = f"3 x 3, correlation .6, {tail}, {n}"
            found.append(GridSetting(name, n=n, correlation=0.6, tail=tail))
        name = f"3 x 3, correlation .6, one level scatters 3 times, {n}"
        found.append(GridSetting(name, n=n, correlation=0.6, spread=3.0))
        name = f"3 x 3, correlation .6, lognormal, one level scatters 3 times, {n}"
        found.append(GridSetting(name, n=n, correlation=0.6, tail="lognormal", spread=3.0))
        name = f"3 x 3, correlation .6, 10% lost, {n}"
        found.append(GridSetting(name, n=n, correlation=0.6, lost=0.1))
    found.append(GridSetting("10 x 4, correlation .6, 5", sizes=(10, 4), correlation=0.6))
    found.append(GridSetting("3 x 2 x 3, correlation .6, 5", sizes=(3, 2, 3), correlation=0.6))
    for n in (3, 5, 10):
        found.append(GridSetting(f"3 x 3, other seeds, {n}", n=n, paired=False))
        for tail in ("t3", "lognormal"):
            found.append(
                GridSetting(f"3 x 3, other seeds, {tail}, {n}", n=n, paired=False, tail=tail)
            )
        name = f"3 x 3, other seeds, one level scatters 3 times, {n}"
        found.append(GridSetting(name, n=n, paired=False, spread=3.0))
        name = f"3 x 3, other seeds, lognormal, one level scatters 3 times, {n}"
        found.append(
            GridSetting(name, n=n, paired=False, tail="lognormal", spread=3.0, judged=False)
        )
    return found


def margin_grids() -> list[GridSetting]:
    """Grids with effects of exactly `SEED_NOISE`, which is then the margin."""
    found = []
    for n in (5, 10):
        base = GridSetting("", n=n, correlation=0.9, shift=SEED_NOISE)
        found.append(replace(base, name=f"3 x 3, everywhere, correlation .9, {n}"))
        name = f"3 x 3, at the last level, correlation .9, {n}"
        found.append(replace(base, name=name, only_last=True))
    return found


def real_grids() -> list[GridSetting]:
    """Grids in which the second level of the first factor is better by so much."""
    found = []
    for n in (3, 5, 10):
        for correlation in (0.0, 0.6):
            for size in (1.0, 2.0):
                base = GridSetting("", n=n, correlation=correlation, shift=size * SEED_NOISE)
                tail = f"correlation {_short(correlation)}, {n}, {size:g} sd"
                found.append(replace(base, name=f"3 x 3, everywhere, {tail}"))
                if size == 2:
                    name = f"3 x 3, at the last level, {tail}"
                    found.append(replace(base, name=name, only_last=True))
        for size in (1.0, 2.0):
            name = f"3 x 3, other seeds, everywhere, {n}, {size:g} sd"
            found.append(GridSetting(name, n=n, paired=False, shift=size * SEED_NOISE))
    return found
