"""What a reader should know of an analysis before its numbers, in sentences."""

from __future__ import annotations

import math
from collections import Counter

from odyssey.report.outcomes import value_of
from odyssey.report.result import SEARCH, Analysis
from odyssey.study.shown import several


def notes(analysis: Analysis) -> list[str]:
    """How this analysis treats what is unusual about its runs."""
    search = analysis.comparison.kind == SEARCH
    return [
        *_lost(analysis),
        *_left_out(analysis),
        *_part(analysis),
        *(_search(analysis) if search else []),
    ]


def percent(share: float) -> str:
    """`10%`, `12.5%`."""
    return f"{100 * share:.3g}%"


def _lost(analysis: Analysis) -> list[str]:
    """Runs that count as the worst value."""
    every = [o for s in analysis.summaries for o in s.outcomes]
    lost = Counter(o.run.state for o in every if not math.isfinite(o.valid + o.test))
    words = {
        "diverged": "diverged",
        "failed": "failed",
        "finished": "finished with an infinite value",
    }
    said = [f"{lost[state]} {word}" for state, word in words.items() if lost[state]]
    if not said:
        return []
    if analysis.comparison.kind == SEARCH:
        how = (
            "they count in the number of trials of which the best share is taken, and are never "
            "among the best by validation: the tests, means and medians over those do not see "
            "them. They are the worst value in medians and interquartile means of all trials, in "
            "the probability of improvement and trial by trial; and in expected best values as bad "
            "as the worst value that any run had."
        )
    else:
        how = (
            "they count as the worst value in medians, interquartile means, ranks and the "
            "probability of improvement; means and Welch's test cannot hold them and leave them "
            "out, so the Brunner–Munzel test decides there."
        )
    return [f"{' and '.join(said)}: {how}"]


def _left_out(analysis: Analysis) -> list[str]:
    finished = [run for run in analysis.comparison.runs if run.state == "finished"]
    without = [r for r in finished if math.isnan(value_of(r, analysis.metric, analysis.better))]
    if not without:
        return []
    verb = "has" if len(without) == 1 else "have"
    return [
        f"{several(len(without), 'finished run')} {verb} no validation value of this metric that "
        "can be read, and no part in what follows."
    ]


def _part(analysis: Analysis) -> list[str]:
    if analysis.part == "test" or not any(o.finite for s in analysis.summaries for o in s.outcomes):
        return []
    return [
        "Not every finished run has a test value of this metric, so validation values are "
        "compared. The checkpoint was chosen by validation: they flatter all variants."
    ]


def _search(analysis: Analysis) -> list[str]:
    found = [
        f"Each variant is represented by the best {percent(analysis.share)} of its trials, rounded "
        f"up, by validation {analysis.comparison.monitor}. These have different settings: they are "
        "not repetitions of one configuration, and a test over them says nothing about one."
    ]
    if analysis.importance:
        found.append(
            "The importance of settings takes values far out on the worse side (beyond three "
            "interquartile ranges from the quartile), and runs without a value, as lying there: "
            "one run that nearly diverged would hold all of the variance."
        )
    if analysis.comparison.shared_draws:
        found.append(
            "Trial n of every variant had the same settings: the trials of two variants are not "
            "independent of each other, as Welch's test takes them to be. They are compared pair "
            "by pair as well."
        )
    return found
