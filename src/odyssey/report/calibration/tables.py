"""The tables of the calibration: which studies are simulated, and what may come of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy import special

from odyssey.report.analysis.decisions import SEARCH
from odyssey.report.calibration.grids import (
    FAMILIES,
    margin_grids,
    measure_grid,
    null_grids,
    real_grids,
)
from odyssey.report.calibration.grids import (
    SEED_NOISE as GRID_NOISE,
)
from odyssey.report.calibration.importance import KNOWN, TRIALS, importance_rows
from odyssey.report.calibration.landscapes import (
    CROSSED_DESIGN,
    PAIRED_DESIGN,
    SEARCH_DESIGN,
    SEED_NOISE,
    SEEDS_DESIGN,
    SHARED_DESIGN,
    SURFACES,
    Setting,
)
from odyssey.report.calibration.pairs import (
    chances_settings,
    false_chances,
    false_pairs,
    pairs_settings,
)
from odyssey.report.calibration.rates import Rate, Statistic, coverage, measure, measure_detectable
from odyssey.report.calibration.tasks import AGREE, PLAIN, rates_over_tasks, tasks_settings
from odyssey.report.calibration.variance import KNOWN as COMPONENTS
from odyssey.report.calibration.variance import variance_rows
from odyssey.report.stats.effects import (
    probability_of_improvement,
    probability_of_paired_improvement,
)
from odyssey.report.stats.estimates import (
    iqm_interval,
    mean_interval,
    median_interval,
    tuning_curve,
    wilson,
)
from odyssey.report.stats.samples import Interval
from odyssey.report.stats.selection import Trials, mean_of_best

LIMIT = 0.055  # of a family-wise false word, at the level 0.05
COVER = 0.93  # of an interval that says 95%
Tell = Callable[[int], None]
Begin = Callable[[str, int], Tell]  # starts the bar of a row


@dataclass(frozen=True)
class Row:
    """One row: its name, its rates by column, and what is beyond its limit."""

    name: str
    rates: dict[str, Rate]
    beyond: str = ""


@dataclass(frozen=True)
class Table:
    """The rows of a part."""

    part: str
    title: str
    rows: list[Row] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(name for row in self.rows for name in row.rates))

    def cells(self) -> list[list[str]]:
        """The table as text, the header first."""
        lines = [[self.title, *self.columns]]
        for row in self.rows:
            found = [row.rates.get(name) for name in self.columns]
            lines.append([row.name, *(str(rate) if rate else "" for rate in found)])
        return lines

    def text(self) -> str:
        cells = self.cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in cells
        )

    def markdown(self) -> str:
        head, *rows = self.cells()
        lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def beyond(self) -> list[str]:
        """The rows that are beyond their limit by more than chance."""
        return [f"{self.part}, {row.name}: {row.beyond}" for row in self.rows if row.beyond]

    def plain(self) -> list[dict[str, Any]]:
        """For JSON."""
        return [
            {"row": row.name, **{k: [r.hits, r.studies] for k, r in row.rates.items()}}
            for row in self.rows
        ]


def _above(rate: Rate, limit: float, what: str) -> str:
    """A sentence where the rate is above the limit by more than three of its errors."""
    return f"{what} {rate}, limit {limit:g}" if rate.value - 3 * rate.error > limit else ""


def _below(rate: Rate, limit: float, what: str) -> str:
    if math.isnan(rate.value):
        return ""
    return f"{what} {rate}, limit {limit:g}" if rate.value + 3 * rate.error < limit else ""


# --- studies ---


def null_settings() -> list[Setting]:
    """Studies in which no variant differs."""
    found = []
    for n in (3, 5, 10, 20):
        found.append(Setting(f"seeds, {n}", SEEDS_DESIGN, n=n))
    for n in (3, 5, 10, 20):
        found.append(Setting(f"seeds, paired, {n}", PAIRED_DESIGN, n=n))
        name = f"seeds, paired, correlation .7, {n}"
        found.append(Setting(name, PAIRED_DESIGN, n=n, correlation=0.7))
    for tail in ("t3", "lognormal"):
        for n in (5, 20):
            found.append(Setting(f"seeds, {tail}, {n}", SEEDS_DESIGN, n=n, tail=tail))
            found.append(Setting(f"seeds, paired, {tail}, {n}", PAIRED_DESIGN, n=n, tail=tail))
    found.append(Setting("seeds, one variant scatters 3 times, 5", SEEDS_DESIGN, n=5, spread=3.0))
    found.append(Setting("seeds, 5 and 10 runs", SEEDS_DESIGN, n=5, n_first=10))
    for share in (0.1, 0.2, 0.5, 0.7):
        for n in (3, 5, 10, 20)[: 4 if share < 0.7 else 2]:
            name = f"seeds, paired, {share:.0%} lost, {n}"
            found.append(Setting(name, PAIRED_DESIGN, n=n, lost=share))
    found += crossed_settings()
    for surface in SURFACES:
        for n in (20, 50, 200):
            name = f"search, {surface}, {n}"
            found.append(Setting(name, SEARCH_DESIGN, n=n, surface=surface))
            name = f"search, {surface}, shared, {n}"
            found.append(Setting(name, SHARED_DESIGN, n=n, surface=surface, shared=True))
    for n, first in ((20, 21), (50, 200)):
        name = f"search, valley, {n} and {first}"
        found.append(Setting(name, SEARCH_DESIGN, n=n, n_first=first, surface="valley"))
    for n in (20, 50, 200):
        found.append(Setting(f"search, real A/A, {n}", SEARCH_DESIGN, n=n, surface="jsb"))
    for n in (20, 30, 60):
        name = f"search, real A/A, one variant, {n}"
        found.append(Setting(name, SEARCH_DESIGN, variants=1, n=n, surface="jsb"))
    return found


# Standard deviations of the effects of weights, order and the rest.
ACTS = {
    "both act": (1.0, 1.0, 1.0),
    "weights act": (1.0, 0.0, 1.0),
    "both act, no rest": (1.0, 1.0, 0.0),
    "neither acts": (0.0, 0.0, 1.0),
}


def crossed_settings() -> list[Setting]:
    """Studies of crossed seeds in which no variant differs."""
    found = [
        Setting(
            f"seeds, crossed, {shape[0]} x {shape[1]}, {acts}",
            CROSSED_DESIGN,
            shape=shape,
            parts=parts,
        )
        for shape in ((3, 3), (5, 5), (3, 10))
        for acts, parts in ACTS.items()
    ]
    both = Setting("", CROSSED_DESIGN, shape=(5, 5), parts=ACTS["both act"])
    alone = replace(CROSSED_DESIGN, paired=False)
    found.append(replace(both, name="seeds, crossed, 5 x 5, unpaired", design=alone))
    found.append(replace(both, name="seeds, crossed, 5 x 5, 10% lost", lost=0.1))
    found.append(replace(both, name="seeds, crossed, 5 x 5, one variant", variants=1))
    three = replace(CROSSED_DESIGN, crossed=("init", "order", "split"))
    name = "seeds, crossed, 3 x 3 x 3, all act"
    return [*found, Setting(name, three, shape=(3, 3, 3), parts=(1.0, 1.0, 1.0, 1.0))]


def _null(studies: int, seed: int, processes: int | None, begin: Begin) -> Table:
    table = Table("null", "no variant differs: a false word")
    for setting in null_settings():
        tell = begin(setting.name, studies)
        found = measure(setting, studies, seed=seed, processes=processes, tell=tell)
        rates = {"the page": found.wrong, "Welch and Holm, as in the paper": found.paper}
        table.rows.append(Row(setting.name, rates, _above(found.wrong, LIMIT, "false words")))
    return table


SAME_MARGIN = 0.1


def _same(studies: int, seed: int, processes: int | None, begin: Begin) -> Table:
    """Variants that differ by exactly the margin, so that "the same" is false."""
    table = Table("same", "a variant differs by the margin: a false “same”")
    settings = [
        *(Setting(f"seeds, {n}", SEEDS_DESIGN, n=n) for n in (5, 20)),
        *(Setting(f"seeds, paired, {n}", PAIRED_DESIGN, n=n, correlation=0.5) for n in (5, 20)),
        *(
            Setting(f"search, {surface}, {n}", SEARCH_DESIGN, n=n, surface=surface)
            for surface in SURFACES
            for n in (20, 50, 200)
        ),
        *(
            Setting(
                f"search, valley, shared, {n}", SHARED_DESIGN, n=n, surface="valley", shared=True
            )
            for n in (20, 50, 200)
        ),
    ]
    for setting in settings:
        setting = replace(setting, variants=1, shift=SAME_MARGIN)
        found = measure(
            setting,
            studies,
            seed=seed,
            margin=SAME_MARGIN,
            processes=processes,
            tell=begin(setting.name, studies),
        )
        rates = {"false “same”": found.same}
        table.rows.append(Row(setting.name, rates, _above(found.same, LIMIT, "false “same”")))
    return table


def _power(studies: int, seed: int, processes: int | None, begin: Begin) -> Table:
    table = Table("power", "one of eight variants is better: found")
    settings = []
    for n in (3, 5, 10, 20):
        for size in (1.0, 2.0):
            for design, correlation in ((SEEDS_DESIGN, 0.0), (PAIRED_DESIGN, 0.7)):
                kind = "seeds" if design is SEEDS_DESIGN else "seeds, paired, correlation .7"
                name, shift = f"{kind}, {n}, {size:g} sd", size * SEED_NOISE
                settings.append(Setting(name, design, n=n, correlation=correlation, shift=shift))
    settings += [
        Setting(
            f"seeds, crossed, {shape[0]} x {shape[1]}, both act, 3 sd",
            CROSSED_DESIGN,
            shape=shape,
            parts=ACTS["both act"],
            shift=3 * SEED_NOISE,
        )
        for shape in ((5, 5), (10, 10))
    ]
    settings.append(
        Setting("seeds, paired, correlation 0, 5, 2 sd", PAIRED_DESIGN, n=5, shift=2 * SEED_NOISE)
    )
    for shared in (False, True):
        design = SHARED_DESIGN if shared else SEARCH_DESIGN
        for n in (20, 50, 200):
            name = f"search, valley{', shared' if shared else ''}, {n}"
            setting = Setting(name, design, n=n, surface="valley", shared=shared)
            shift = 2 * _error_of_a_best_mean(setting, seed)
            settings.append(replace(setting, name=f"{name}, 2 sd", shift=shift))
            alone = f"{name}, 2 sd, one variant"
            settings.append(replace(setting, name=alone, shift=shift, variants=1))
    for setting in settings:
        tell = begin(setting.name, studies)
        found = measure(setting, studies, seed=seed, processes=processes, tell=tell)
        paper = {"Welch and Holm, as in the paper": found.found_by_paper}
        table.rows.append(Row(setting.name, {"the page": found.found, **paper}))
    return table


FOUND = (0.6, 0.9)  # of differences that a study says it would have found in 0.8


def _detectable(studies: int, seed: int, processes: int | None, begin: Begin) -> Table:
    """How often a study finds a difference as large as one before it says it would have found."""
    table = Table("detectable", "“this study would have found …”: found")
    settings = [
        *(Setting(f"seeds, {n}", SEEDS_DESIGN, n=n) for n in (3, 5, 10)),
        *(Setting(f"seeds, paired, {n}", PAIRED_DESIGN, n=n, correlation=0.5) for n in (3, 5, 10)),
        *(
            Setting(f"search, valley, {n}", SEARCH_DESIGN, n=n, surface="valley")
            for n in (20, 50, 200)
        ),
        *(
            Setting(f"search, {s}, shared, {n}", SHARED_DESIGN, n=n, surface=s, shared=True)
            for s in SURFACES
            for n in (20, 50, 200)
        ),
    ]
    for setting in settings:
        setting = replace(setting, variants=2)
        tell = begin(setting.name, studies)
        rate = measure_detectable(setting, studies, seed=seed, processes=processes, tell=tell)
        beyond = _below(rate, FOUND[0], "found") or _above(rate, FOUND[1], "found")
        table.rows.append(Row(setting.name, {"found": rate}, beyond))
    return table


def _error_of_a_best_mean(setting: Setting, seed: int) -> float:
    """The standard deviation of the mean of a best share, from search to search."""
    random, found = np.random.default_rng([seed, setting.n]), []
    for _ in range(200):
        (sample, *_) = replace(setting, variants=1).draw(random).values()
        best = mean_of_best(Trials(sample.chosen_by, sample.test), setting.design.share, draws=1)
        found.append(best.value)
    return float(np.std(found))


# --- intervals ---


def _holds(interval: Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high


def _interval_rows() -> list[tuple[str, Statistic]]:
    """The name of each row, and a function that simulates one interval."""
    rows: list[tuple[str, Statistic]] = []
    for n in (3, 5, 10, 50):
        rows += [
            (f"mean, normal, {n}", _of_normal(mean_interval, n)),
            (f"mean, lognormal, {n}", _of_lognormal(mean_interval, n, math.exp(0.5))),
        ]
    for n in (4, 5, 10, 50):
        rows += [
            (f"P(better), truth .5, {n}", _improvement(n, 0.5)),
            (f"P(better), truth .9, {n}", _improvement(n, 0.9)),
        ]
    for n in (6, 10, 50):
        rows.append((f"median, lognormal, {n}", _of_lognormal(median_interval, n, 1.0)))
    for n in (8, 10, 20, 50):
        rows.append((f"iqm, normal, {n}", _of_normal(iqm_interval, n)))
    for n in (5, 10, 50):
        rows.append((f"P(better), paired, truth .7, {n}", _paired_improvement(n, 0.7)))
    for n in (10, 50):
        rows.append((f"share lost, truth .1, {n}", _share_lost(n, 0.1)))
    return sorted(rows, key=lambda row: row[0].rpartition(",")[0])


def _of_normal(interval: Callable[[np.ndarray], Interval], n: int) -> Statistic:
    return lambda random: _holds(interval(random.normal(size=n)), 0.0)


def _of_lognormal(interval: Callable[[np.ndarray], Interval], n: int, truth: float) -> Statistic:
    return lambda random: _holds(interval(random.lognormal(size=n)), truth)


def _improvement(n: int, truth: float) -> Statistic:
    shift = math.sqrt(2) * float(special.ndtri(truth))  # then P(a < b) is the truth

    def one(random: np.random.Generator) -> bool:
        a, b = random.normal(-shift, 1, n), random.normal(0, 1, n)
        return _holds(probability_of_improvement(a, b, "lower"), truth)

    return one


def _paired_improvement(n: int, truth: float) -> Statistic:
    shift = float(special.ndtri(truth))

    def one(random: np.random.Generator) -> bool:
        found = probability_of_paired_improvement(random.normal(-shift, 1, n), np.zeros(n), "lower")
        return _holds(found, truth)

    return one


def _share_lost(n: int, truth: float) -> Statistic:
    return lambda random: _holds(wilson(int(random.binomial(n, truth)), n), truth)


def _best_share(surface: str, n: int, truth: float) -> Statistic:
    setting = Setting("", SEARCH_DESIGN, variants=1, n=n, surface=surface)

    def one(random: np.random.Generator) -> bool:
        (sample, *_) = setting.draw(random).values()
        trials = Trials(sample.chosen_by, sample.test)
        return _holds(mean_of_best(trials, 0.1, draws=500), truth)

    return one


def _true_best_share(surface: str, n: int) -> float:
    """The expectation of the mean of the best share of n trials."""
    setting = Setting("", SEARCH_DESIGN, variants=1, n=n, surface=surface)
    random, found = np.random.default_rng(n), []
    for _ in range(4000):
        (sample, *_) = setting.draw(random).values()
        best = mean_of_best(Trials(sample.chosen_by, sample.test), 0.1, draws=1)
        found.append(best.value)
    return float(np.mean(found))


def _tuning(n: int) -> Statistic:
    """Whether the whole band holds; of uniform values the median best of k is 1 - 0.5 ** (1/k)."""

    def one(random: np.random.Generator) -> bool:
        curve = tuning_curve(random.random(n), "lower")
        truth = 1 - 0.5 ** (1 / curve.counts)
        return bool(((curve.low <= truth) & (truth <= curve.high)).all())

    return one


def _coverage(studies: int, seed: int, processes: int | None, begin: Begin) -> Table:
    table = Table("coverage", "a 95% interval holds the truth")
    rows = _interval_rows()
    for surface in SURFACES:
        for n in (50, 200):
            name = f"mean of the best share, {surface}, {n}"
            rows.append((name, _best_share(surface, n, _true_best_share(surface, n))))
    rows += [(f"tuning curve, {n}", _tuning(n)) for n in (20, 50, 200)]
    for name, one in rows:
        tell = begin(name, studies)
        rate = coverage(one, studies, seed)
        tell(studies)
        # A mean of skewed values is not what the t interval promises to hold.
        told = "" if "lognormal" in name and "mean" in name else _below(rate, COVER, "coverage")
        table.rows.append(Row(name, {"held": rate}, told))
    for setting in difference_settings():
        tell = begin(setting.name, studies)
        found = measure(
            setting, studies, seed=seed, limits=True, draws=500, processes=processes, tell=tell
        )
        told = _below(found.held, COVER, "coverage")
        table.rows.append(Row(f"difference: {setting.name}", {"held": found.held}, told))
    return table


def difference_settings() -> list[Setting]:
    """Studies of one variant that differs by two standard deviations of a run."""
    shift = 0.1
    found = [Setting(f"seeds, {n}", SEEDS_DESIGN, variants=1, n=n, shift=shift) for n in (3, 5, 10)]
    found += [
        Setting(f"seeds, paired, {n}", PAIRED_DESIGN, variants=1, n=n, correlation=0.5, shift=shift)
        for n in (3, 5, 10)
    ]
    found += [
        Setting(
            f"seeds, crossed, {shape[0]} x {shape[1]}",
            CROSSED_DESIGN,
            variants=1,
            shape=shape,
            parts=ACTS["both act"],
            shift=shift,
        )
        for shape in ((3, 3), (5, 5))
    ]
    for surface in SURFACES:
        for n in (20, 50, 200):
            found.append(
                Setting(
                    f"search, {surface}, {n}",
                    SEARCH_DESIGN,
                    variants=1,
                    n=n,
                    surface=surface,
                    shift=shift,
                )
            )
    for n in (20, 50, 200):
        found.append(
            Setting(
                f"search, valley, shared, {n}",
                SHARED_DESIGN,
                variants=1,
                n=n,
                surface="valley",
                shared=True,
                shift=shift,
            )
        )
    found.append(
        Setting(
            "search, valley, 20 and 50",
            SEARCH_DESIGN,
            variants=1,
            n=20,
            n_first=50,
            surface="valley",
        )
    )
    return found


STUDIES_OF_A_FOREST = 20  # studies of other rows for one of these, which take a second each


def _importance(studies: int, seed: int, processes: int | None, begin: Begin) -> Table:
    table = Table("importance", "the share of the variance, by functional ANOVA")
    count = max(1, studies // STUDIES_OF_A_FOREST)
    tell = begin("functions and numbers of trials", len(KNOWN) * len(TRIALS))
    for row in importance_rows(count, seed, lambda what: tell(1)):
        printed = round(row.printed * row.studies)
        held, order = (
            Rate(0 if math.isnan(share) else round(share * printed), printed)
            for share in (row.coverage, row.order)
        )
        rates = {"interval holds": held, "order right": order}
        rates["told"] = Rate(round(row.told * row.studies), row.studies)
        name = f"{row.function}, {row.share}, true {row.true:.2f}, {row.trials}"
        told = _below(held, 0.9, "coverage") or _below(order, 0.9, "right order")
        table.rows.append(Row(name, rates, told))
    return table


def _factors(studies: int, seed: int, processes: int | None, begin: Begin) -> Table:
    """False words of grids without effects; of others what is found, and whether limits hold."""
    table = Table("factors", "effects in a grid of factors")

    def add(name: str, rates: dict[str, Rate], told: list[str]) -> None:
        known = {FAMILIES[f]: rate for f, rate in rates.items() if rate.studies}
        table.rows.append(Row(name, known, "; ".join(filter(None, told))))

    for setting in null_grids():
        tell = begin(setting.name, studies)
        wrong = measure_grid(setting, studies, seed=seed, processes=processes, tell=tell).wrong
        limit = LIMIT if setting.judged else 1.0
        add(setting.name, wrong, [_above(rate, limit, "false words") for rate in wrong.values()])
    real, shown = real_grids(), []
    for setting in real:
        tell = begin(setting.name, studies)
        found = measure_grid(setting, studies, seed=seed, processes=processes, tell=tell)
        add(f"found: {setting.name}", found.found, [])
        shown.append((setting.name, found.held))
    for name, held in shown:
        add(f"limits hold: {name}", held, [_below(r, COVER, "coverage") for r in held.values()])
    for setting in margin_grids():
        name = f"false “same”: {setting.name}"
        tell = begin(name, studies)
        same = measure_grid(
            setting, studies, seed=seed, margin=GRID_NOISE, processes=processes, tell=tell
        ).same
        add(name, same, [_above(rate, LIMIT, "false “same”") for rate in same.values()])
    return table


SEARCHES_OF_PAIRS = 4  # studies of other rows for a search of all pairs, which takes a second


def _pairs(studies: int, seed: int, processes: int | None, begin: Begin) -> Table:
    """The family of all pairs, where no variant differs."""
    table = Table("pairs", "no variant differs: any pair told apart")
    for setting in pairs_settings():
        search = setting.design.kind == SEARCH
        count = max(1, studies // SEARCHES_OF_PAIRS) if search else studies
        rate = false_pairs(setting, count, seed, processes, begin(setting.name, count))
        table.rows.append(
            Row(setting.name, {"all pairs": rate}, _above(rate, LIMIT, "false pairs"))
        )
    return table


def _chances(studies: int, seed: int, processes: int | None, begin: Begin) -> Table:
    """Posterior probabilities promise no error rate, so that nothing is beyond a limit."""
    table = Table("chances", "a probability above 0.95 of what is not so")
    for setting in chances_settings():
        tell = begin(setting.name, studies)
        rates = false_chances(setting, studies, seed, processes, tell)
        table.rows.append(Row(setting.name, rates))
    return table


STUDIES_OF_TASKS = 2  # studies of other rows for one of several tasks


def _tasks(studies: int, seed: int, processes: int | None, begin: Begin) -> Table:
    """Several tasks at once."""
    table = Table("tasks", "several tasks: a 95% interval holds the truth")
    count = max(1, studies // STUDIES_OF_TASKS)
    for setting in tasks_settings():
        tell = begin(setting.name, count)
        rates = rates_over_tasks(setting, count, seed, processes, tell)
        promised = {name: rate for name, rate in rates.items() if name not in (AGREE, PLAIN)}
        told = [_below(rate, COVER, name) for name, rate in promised.items()]
        told.append(_above(rates[AGREE], LIMIT, AGREE))
        table.rows.append(Row(setting.name, rates, "; ".join(filter(None, told))))
    return table


def _variance(studies: int, seed: int, processes: int | None, begin: Begin) -> Table:
    table = Table("variance", "where the scatter comes from: the share of the variance")
    for known in COMPONENTS:
        tell = begin(known.name, studies)
        for name, rates in variance_rows(known, studies, seed):
            table.rows.append(Row(name, rates, _below(rates["interval holds"], COVER, "coverage")))
        tell(studies)
    return table


PARTS: dict[str, Callable[[int, int, int | None, Begin], Table]] = {
    "null": _null,
    "same": _same,
    "pairs": _pairs,
    "chances": _chances,
    "tasks": _tasks,
    "power": _power,
    "detectable": _detectable,
    "coverage": _coverage,
    "importance": _importance,
    "factors": _factors,
    "variance": _variance,
}


def make(part: str, studies: int, seed: int, processes: int | None, begin: Begin) -> Table:
    """Simulate the studies of a part."""
    return PARTS[part](studies, seed, processes, begin)
