"""The plan of a study's analysis, in `study.json`: what its verdicts will be about.

It is written before the first run. What is changed once there are results is kept with its time,
so that a report can say what was chosen after the data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from odyssey.errors import UserError

ALPHA = 0.05  # level of significance, where a plan does not say
SHARE = 0.1  # of a search's trials that are compared
DEFAULT_BASELINES = ("lstm_peephole", "lstm")  # cells, in order of preference
KEYS = ("baseline", "metric", "margin", "alpha", "share", "looks")
MOST_NAMED = 4  # variants in a message
NO_BASELINE_OF = ("seed", "seeds", "task")  # keys that tell no variants of one comparison apart


@dataclass
class Change:
    """A change of the plan when there were results."""

    time: str = ""  # ISO 8601
    key: str = ""  # one of KEYS
    was: Any = None
    now: Any = None
    results: int = 0  # runs that had ended


@dataclass
class AnalysisPlan:
    """What is compared with what, by which metric, at which level; and when it is final."""

    baseline: str = ""  # settings of the baseline, as in `cell=lstm bptt.length=64`
    metric: str | None = None  # None: the metric that chooses checkpoints
    margin: float | None = None  # a difference that would not matter, in the metric's unit
    alpha: float = ALPHA
    share: float = SHARE  # of a search's trials that are compared
    looks: list[int] = field(default_factory=list)  # see `level`; empty: when all runs have ended
    time: str = ""  # when it was written, ISO 8601
    changes: list[Change] = field(default_factory=list)  # with results at hand, oldest first

    @property
    def level(self) -> float:
        """The level of a single look.

        Looks are numbers of runs of a variant at which its verdict may be read. By Bonferroni's
        inequality at most a share `alpha` of studies has a false verdict at any of them, whatever
        is decided at one about going on.
        """
        return self.alpha / max(len(self.looks), 1)

    def chosen_late(self) -> dict[str, Change]:
        """The last change of each key that was made with results at hand."""
        return {change.key: change for change in self.changes}

    def original(self) -> AnalysisPlan:
        """The plan before its changes."""
        first = {change.key: change.was for change in reversed(self.changes)}
        return replace(self, **first, changes=[])

    def in_words(self) -> str:
        """The plan, with what to type for another."""
        by = self.metric or "the metric that chooses checkpoints"
        margin = (
            "no margin, so nothing can be shown to be the same (plan.margin=…)"
            if self.margin is None
            else f"margin {self.margin:g}"
        )
        parts = [f"baseline {short(self.baseline) or 'none'}", f"by {by}", f"level {self.alpha:g}"]
        end = "read when all runs have ended"
        if self.looks:
            counts = ", ".join(map(str, self.looks))
            end = f"read at {counts} runs of a variant, at level {self.level:.3g} each"
        return ", ".join([*parts, margin, end])


def short(baseline: str) -> str:
    """The settings of a baseline as a report names them: `lstm bptt.length=64`."""
    return " ".join(word.removeprefix("cell=") for word in baseline.split())


def matches(baseline: str, settings: Mapping[str, str]) -> bool:
    """Whether a variant with these settings has all those of the baseline.

    A word without `=` is the cell's name.
    """
    wanted = (word if "=" in word else f"cell={word}" for word in baseline.split())
    return all(settings.get(k) == v for k, _, v in (word.partition("=") for word in wanted))


def choose_baseline(
    asked: str | None, variants: Sequence[Mapping[str, str]], cells: Sequence[str]
) -> str:
    """The settings of the baseline, as in `cell=lstm bptt.length=64`.

    asked: as typed in plan.baseline; None for the most preferred cell, else the first variant.
    variants: key -> value of each, in the plan's order. cells: the cell's name in each.

    Raises UserError where `asked` is no variant, or several.
    """
    kept = [
        {
            k.removesuffix("._target_"): cell if k == "cell._target_" else v
            for k, v in one.items()
            if k.partition(".")[0] not in NO_BASELINE_OF
        }
        for one, cell in zip(variants, cells, strict=True)
    ]
    labels = [" ".join(f"{k}={v}" for k, v in one.items()) for one in kept]
    if asked is None:
        preferred = (cells.index(cell) for cell in DEFAULT_BASELINES if cell in cells)
        return labels[next(preferred, 0)]
    found = [
        label
        for label, one, cell in zip(labels, kept, cells, strict=True)
        if matches(asked, {"cell": cell, **one})
    ]
    if len(unique := list(dict.fromkeys(found))) == 1:
        return unique[0] or f"cell={cells[0]}"
    names = [short(label) for label in dict.fromkeys(unique or labels) if label]
    what = "several variants" if unique else "no variant"
    if not names:
        raise UserError(f"plan.baseline={asked} is {what} of this study: leave it out")
    typed = sorted(f"'plan.baseline=\"{n}\"'" if "=" in n else f"plan.baseline={n}" for n in names)
    said = " or ".join(typed[:MOST_NAMED])
    more = f", or another of {len(typed)}" if len(typed) > MOST_NAMED else ""
    raise UserError(f"plan.baseline={asked} is {what} of this study: type {said}{more}")


def updated(
    old: AnalysisPlan | None, asked: Mapping[str, Any], baseline: str, now: str, results: int
) -> AnalysisPlan:
    """The plan after a command.

    old: the plan that is there; None at the first command.
    asked: the values that the command sets, of KEYS; None is not set.
    baseline: by `choose_baseline` for `asked`.
    now: the time, ISO 8601. results: runs of the study that have ended.
    """
    given = {key: value for key, value in asked.items() if value is not None}
    if "baseline" in given:
        given["baseline"] = baseline
    if old is None and not results:
        return AnalysisPlan(**{"baseline": baseline, **given, "time": now})
    plan = old or AnalysisPlan(baseline=baseline, time=now)
    other = {key: value for key, value in given.items() if value != getattr(plan, key)}
    changes = [Change(now, k, getattr(plan, k), v, results) for k, v in other.items() if results]
    return replace(plan, **other, changes=[*plan.changes, *changes])
