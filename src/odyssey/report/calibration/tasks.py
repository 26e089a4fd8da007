"""How often the intervals over several tasks hold, and Friedman's test sees what is not there."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from odyssey.report.calibration.landscapes import SEARCH_DESIGN, SHARED_DESIGN, Setting
from odyssey.report.calibration.rates import CHUNK, Rate, run_all
from odyssey.report.stats.over_tasks import Runs, Task, friedman, mean_ranks, rank_rows
from odyssey.report.stats.ratios import aggregate, profile, weighted_iqm
from odyssey.report.stats.samples import Interval

CLOSE = 0.05  # standard deviation of the variants' true means in a task, of log values
NOISE = (0.03, 0.12)  # of runs, from the quietest task to the loudest
CLOSE_SEARCHES = 0.08  # the same of searches, whose landscapes have noise of their own
QUANTILES = special.ndtri((np.arange(400) + 0.5) / 400)
HELD, PLAIN, MEAN, MEDIAN, IQM, PROFILE, AGREE = (
    "mean rank",
    "by plain percentiles",
    "ratio: mean",
    "median",
    "interquartile mean",
    "profile",
    "Friedman p ≤ 0.05, none differs",
)
COLUMNS = (HELD, PLAIN, MEAN, MEDIAN, IQM, PROFILE, AGREE)
Tell = Callable[[int], None]


@dataclass(frozen=True)
class TasksSetting:
    """A kind of study of several tasks. In every second study no variant differs."""

    name: str
    variants: int
    tasks: int
    n: int  # seeds or trials of each variant in each task
    correlation: float = 0.0  # of runs of one seed
    surface: str = ""  # of searches
    shared: bool = False  # whether trials of all variants share their settings


def tasks_settings() -> list[TasksSetting]:
    found = []
    for variants in (4, 9):
        for tasks in (2, 5):
            for n in (3, 5, 10):
                name = f"{variants} variants, {tasks} tasks, {n}"
                found.append(TasksSetting(name, variants, tasks, n))
    for tasks in (2, 3, 5):
        for n in (3, 4, 5, 10):
            name = f"paired, correlation .7, 4 variants, {tasks} tasks, {n}"
            found.append(TasksSetting(name, 4, tasks, n, correlation=0.7))
    for n in (20, 50):
        for surface in ("valley", "edge"):
            name = f"search, {surface}, 9 variants, 3 tasks, {n}"
            found.append(TasksSetting(name, 9, 3, n, surface=surface))
    name = "search, valley, shared, 9 variants, 3 tasks, 50"
    found.append(TasksSetting(name, 9, 3, 50, surface="valley", shared=True))
    return found


def rates_over_tasks(
    setting: TasksSetting, studies: int, seed: int, processes: int | None, tell: Tell
) -> dict[str, Rate]:
    """The share of intervals that hold the truth, and of studies with a false agreement."""
    tasks = [
        (setting, seed, start, min(CHUNK, studies - start)) for start in range(0, studies, CHUNK)
    ]
    total = dict.fromkeys(COLUMNS, Rate(0, 0))
    for part in run_all(_rates, tasks, processes):
        total = {name: total[name] + part[name] for name in COLUMNS}
        tell(CHUNK)
    return {name: rate for name, rate in total.items() if rate.studies}


def _rates(task: tuple[TasksSetting, int, int, int]) -> dict[str, Rate]:
    setting, seed, start, count = task
    total = dict.fromkeys(COLUMNS, Rate(0, 0))
    for number in range(start, start + count):
        random = np.random.default_rng([seed, number, *setting.name.encode()])
        one = (_searches if setting.surface else _seeds)(setting, random, number)
        total = {name: total[name] + one.get(name, Rate(0, 0)) for name in COLUMNS}
    return total


def _true_means(setting: TasksSetting, random: np.random.Generator, number: int) -> np.ndarray:
    """(tasks, variants); all equal in every second study."""
    scale = (CLOSE_SEARCHES if setting.surface else CLOSE) * (number % 2)
    return random.normal(0, 1, (setting.tasks, setting.variants)) * scale


def _held(interval: Interval, truth: float) -> Rate:
    """Whether a limit that is shown is on the right side of the truth."""
    held = interval.low - 1e-9 <= truth <= interval.high + 1e-9
    return Rate(held, int(not math.isnan(interval.low)))


def _of_ranks(
    tasks: list[Task], ranks: np.ndarray, truth: np.ndarray, number: int
) -> dict[str, Rate]:
    """Whether each interval of a mean rank holds the true one."""
    wanted = rank_rows(np.zeros_like(truth), truth).mean(axis=0)
    rates = {}
    for name, farther in ((HELD, True), (PLAIN, False)):
        found = mean_ranks(tasks, ranks, draws=500, seed=number, farther=farther)
        held = [_held(interval, w) for interval, w in zip(found, wanted, strict=True)]
        rates[name] = sum(held, Rate(0, 0))
    return rates


def _agreement(ranks: np.ndarray, number: int) -> Rate:
    return Rate(0, 0) if number % 2 else Rate(friedman(ranks, number).p <= 0.05, 1)


def _seeds(setting: TasksSetting, random: np.random.Generator, number: int) -> dict[str, Rate]:
    truth = _true_means(setting, random, number)
    noise = random.uniform(*NOISE, setting.tasks)
    shape = (setting.tasks, setting.variants, setting.n)
    common = random.normal(size=(setting.tasks, 1, setting.n))
    own = random.normal(size=shape)
    scatter = math.sqrt(setting.correlation) * common + math.sqrt(1 - setting.correlation) * own
    values = np.exp(truth[..., None] + noise[:, None, None] * scatter)
    paired = setting.correlation > 0
    # The means that are ranked are of the values, of which a variant's all have the same factor.
    means = values.mean(axis=2)
    ranks = rank_rows(np.zeros_like(means), means)
    tasks = [Task([Runs(runs) for runs in of_task], paired) for of_task in values]
    made = aggregate(
        [list(of_task) for of_task in values], 0, [paired] * setting.tasks, draws=500, seed=number
    )
    apart = truth - truth[:, :1]
    found = _of_ranks(tasks, ranks, truth, number) | {AGREE: _agreement(ranks, number)}
    for place in range(1, setting.variants):
        runs = np.concatenate([apart[t, place] + s * QUANTILES for t, s in enumerate(noise)])
        middle = float(weighted_iqm(runs[None], np.full(len(runs), 1 / len(runs)))[0])
        wanted = {
            MEAN: (made[place].mean, float(apart[:, place].mean())),
            MEDIAN: (made[place].median, float(np.median(apart[:, place]))),
            IQM: (made[place].iqm, middle),
        }
        for name, (interval, one) in wanted.items():
            found[name] = found.get(name, Rate(0, 0)) + _held(interval, math.exp(one))
    at = float(random.normal(0, 0.1))
    drawn = profile(list(values[:, 1] / np.exp(truth[:, :1])), [math.exp(at)])
    share = float(special.ndtr((at - apart[:, 1]) / noise).mean())
    found[PROFILE] = Rate(bool(drawn.low[0] <= share <= drawn.high[0]), 1)
    return found


def _searches(setting: TasksSetting, random: np.random.Generator, number: int) -> dict[str, Rate]:
    truth = _true_means(setting, random, number)
    design = SHARED_DESIGN if setting.shared else SEARCH_DESIGN
    one = Setting(
        "",
        design,
        variants=setting.variants - 1,
        n=setting.n,
        surface=setting.surface,
        shared=setting.shared,
    )
    tasks, ranks = [], []
    for row in truth:
        study = one.draw(random).values()
        runs = [Runs(s.test + by, s.chosen_by + by) for s, by in zip(study, row, strict=True)]
        task = Task(runs, setting.shared, design.share)
        tasks.append(task)
        ranks.append(rank_rows(np.zeros(len(runs)), task.means()))
    found = np.array(ranks)
    return _of_ranks(tasks, found, truth, number) | {AGREE: _agreement(found, number)}
