"""Sentences that a reader should see before the numbers of a comparison or an analysis."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from odyssey.cli_utils import typed_as
from odyssey.report.analysis.outcomes import ENDED, bounded_value
from odyssey.report.analysis.planned import plan_notes
from odyssey.report.analysis.result import SEARCH, SINGLE, Analysis, Comparison, Variant
from odyssey.report.analysis.settings import configuration
from odyssey.report.io.runs import ReportRun
from odyssey.study.formatting import several
from odyssey.training.record import no_better_than_commonest

MOST_NAMED = 4  # labels or values that a sentence names


# --- of a comparison ---

WITHOUT_END = ("missing", "interrupted", "running", "damaged")  # states


def comparison_notes(comparison: Comparison) -> list[str]:
    """Notes on runs without a result, on chance, and on differing code and hardware."""
    runs = comparison.runs
    return [
        *plan_notes(comparison),
        *_confirmation_notes(comparison),
        *_dropped_notes(comparison),
        *_ending_notes(comparison),
        *_data_notes(runs),
        *_chance_notes(comparison),
        *_commonest_notes(runs),
        *_mixed_notes(runs, "code versions", lambda run: run.code[:12]),
        *_mixed_notes(runs, "torch versions", lambda run: run.versions.get("torch", "")),
        *_mixed_notes(runs, "devices", lambda run: run.device),
    ]


def _confirmation_notes(comparison: Comparison) -> list[str]:
    found = []
    for study in comparison.studies:
        if study.confirms:
            found.append(
                f"Study {study.name} repeats the best settings of each variant of the search "
                f"{study.confirms}, by validation, with fresh seeds: what is better here is "
                "confirmed."
            )
        if study.confirmed:
            found.append(
                f"The best settings of {study.name} were repeated with fresh seeds in study "
                f"{study.confirmed}: its report confirms, or does not, what is promising here."
            )
    return found


def _dropped_notes(comparison: Comparison) -> list[str]:
    """What was left out of the studies, which a reader has to know of: results were there."""
    return [
        f"Of study {study.name}, {said}." for study in comparison.studies for said in study.dropped
    ]


def _ending_notes(comparison: Comparison) -> list[str]:
    runs = comparison.runs
    count = Counter(run.state for run in runs)
    ended = any(count[state] for state in ENDED)
    found = []
    if not ended:
        found.append(f"No run has ended yet: there is nothing to compare ({_join_states(count)}).")
    elif not count["finished"]:
        found.append(f"No run has finished with a result: {_join_states(count)} of {len(runs)}.")
    elif any(count[state] for state in WITHOUT_END):
        rest = {state: count[state] for state in WITHOUT_END}
        found.append(
            f"{sum(rest.values())} of {len(runs)} runs have no result: {_join_states(rest)}."
        )
    if count["finished"]:
        without = [v.label for v in comparison.variants if not _has_finished(v)]
        if without:
            found.append(f"No run of {_join_labels(without)} has finished with a result.")
    if to_come := sum(study.to_come for study in comparison.studies):
        found.append(f"{several(to_come, 'trial')} of an adaptive search are still to be proposed.")
    return found


def _data_notes(runs: Iterable[ReportRun]) -> list[str]:
    """That there is no test, and what the runs say of their own metrics."""
    found = []
    runs = [run for run in runs if run.done]
    if untested := [run for run in runs if run.untested]:
        found.append(
            f"{len(untested)} of {several(len(runs), 'run')} had no test part: their values are "
            "those of the validation, which chose the checkpoint, and so too good."
        )
    caveats = Counter(run.caveat for run in runs if run.caveat)
    for caveat, count in caveats.most_common(MOST_NAMED):
        found.append(f"Of {several(count, 'run')}: {caveat}.")
    return found


def _chance_notes(comparison: Comparison) -> list[str]:
    most = max(len(variant.runs) for variant in comparison.variants)
    if most == 1:
        return ["Each variant has one run: how much of a difference is chance cannot be told."]
    found = []
    if comparison.kind == SINGLE:
        found.append(
            "The runs of a variant have one configuration and one seed: how much of a difference "
            "is chance cannot be told."
        )
    if comparison.kind == SEARCH:
        once = [v.label for v in comparison.variants if _count_configurations(v) == 1]
        if once and len(once) < len(comparison.variants):
            found.append(
                f"{_join_labels(once)} {'has' if len(once) == 1 else 'have'} one configuration, "
                "where the others were searched: the best of many is compared with one."
            )
    return found


def _commonest_notes(runs: Iterable[ReportRun]) -> list[str]:
    """On runs whose test always answering the commonest class would equal."""
    known = [no_better_than_commonest(run.metrics) for run in runs if run.state == "finished"]
    count, of = sum(one is True for one in known), sum(one is not None for one in known)
    if not count:
        return []
    verb = "is" if count == 1 else "are"
    return [
        f"{several(count, 'finished run')} of {of} {verb} no better in the test than always "
        "answering the class that is commonest in training: accuracy alone flatters them."
    ]


def _mixed_notes(
    runs: Iterable[ReportRun], what: str, attribute: Callable[[ReportRun], str]
) -> list[str]:
    """A note if the runs with a result have several values of an attribute, called `what`."""
    count = Counter(value for run in runs if run.done and (value := attribute(run)))
    if len(count) < 2:
        return []
    common = count.most_common(MOST_NAMED)
    words = ", ".join(f"{value}: {several(n, 'run')}" for value, n in common)
    more = f" and {len(count) - MOST_NAMED} more" if len(count) > MOST_NAMED else ""
    return [f"The runs were made with {len(count)} {what} ({words}{more}), and are pooled."]


def _count_configurations(variant: Variant) -> int:
    return len({configuration(run) for run in variant.runs if run.config})


def _has_finished(variant: Variant) -> bool:
    return any(run.state == "finished" for run in variant.runs)


def _join_states(count: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {state}" for state, n in count.items() if n)


def _join_labels(labels: list[str]) -> str:
    more = f" and {len(labels) - MOST_NAMED} more" if len(labels) > MOST_NAMED else ""
    return ", ".join(labels[:MOST_NAMED]) + more


# --- of an analysis ---


def analysis_notes(analysis: Analysis) -> list[str]:
    """Notes on how an analysis treats runs without a value, on what is compared, and on search."""
    search = analysis.comparison.kind == SEARCH
    return [
        *_direction_note(analysis),
        *_lost_runs_note(analysis),
        *_without_value_note(analysis),
        *_validation_note(analysis),
        *(_search_notes(analysis) if search else []),
    ]


def format_percent(share: float) -> str:
    """`10%`, `12.5%`."""
    return f"{100 * share:.3g}%"


def _direction_note(analysis: Analysis) -> list[str]:
    """On a metric whose direction no run records, as those of earlier versions do not."""
    metric, comparison = analysis.metric, analysis.comparison
    recorded = any(metric.name in run.measures for run in comparison.runs)
    if recorded or metric.name == comparison.monitor:
        return []
    return [
        f"These runs do not record which values of {metric.name} are better: {analysis.better} "
        "ones are taken to be."
    ]


def _lost_runs_note(analysis: Analysis) -> list[str]:
    """On runs that count as the worst value."""
    every = [o for s in analysis.summaries for o in s.outcomes]
    lost = Counter(o.run.state for o in every if not math.isfinite(o.valid + o.test))
    endings = {
        "diverged": "diverged",
        "failed": "failed",
        "finished": "finished with an infinite value",
    }
    counts = [f"{lost[state]} {ending}" for state, ending in endings.items() if lost[state]]
    if not counts:
        return []
    if analysis.comparison.kind == SEARCH:
        treatment = (
            "they count in the number of trials of which the best share is taken, and are never "
            "among the best by validation: means and medians over those do not see them. The test "
            "by re-selection does, since a permutation may give either variant any of them. They "
            "are the worst value in medians and interquartile means of all trials, in the "
            "probability of improvement, in tuning curves and trial by trial."
        )
    else:
        treatment = (
            "they count as the worst value in medians, interquartile means and the probability of "
            "improvement. Means and their tests are of the others; whether runs are lost at "
            "another rate is a question of its own, which an exact test answers, and both are "
            "corrected together."
        )
    return [f"{' and '.join(counts)}: {treatment}"]


def _without_value_note(analysis: Analysis) -> list[str]:
    finished = [run for run in analysis.comparison.runs if run.state == "finished"]
    values = [bounded_value(run, analysis.metric.name, analysis.better) for run in finished]
    without = sum(math.isnan(value) for value in values)
    if not without:
        return []
    verb = "has" if without == 1 else "have"
    return [
        f"{several(without, 'finished run')} {verb} no validation value of this metric that "
        "can be read, and no part in what follows."
    ]


def _validation_note(analysis: Analysis) -> list[str]:
    if analysis.part == "test" or not any(o.finite for s in analysis.summaries for o in s.outcomes):
        return []
    return [
        "Not every finished run has a test value of this metric, so validation values are "
        "compared. The checkpoint was chosen by validation: they flatter all variants."
    ]


def _search_notes(analysis: Analysis) -> list[str]:
    found = [
        f"Each variant is represented by the best {format_percent(analysis.share)} of its trials, "
        f"rounded up, by validation {analysis.comparison.monitor}. These have different settings: "
        "they are not repetitions of one configuration, and a test over them says nothing about "
        "one. The verdict's test selects the best anew in each permutation of all trials; Welch's "
        "on the best ones, as in the paper, takes them for a sample and errs far more often than "
        "its level says (docs/calibration.md).",
        "A search promises, it does not prove: the same trials chose the best settings. "
        f"`{typed_as('confirm')} outputs/{analysis.comparison.studies[0].name}` trains each "
        "variant's best ones anew with fresh seeds, and that study's verdict may say “better”.",
    ]
    if analysis.importance:
        found.append(
            "The importance of settings takes values far out on the worse side (beyond three "
            "interquartile ranges from the quartile) as lying there: one run that nearly diverged "
            "would hold all of the variance. Runs without a value are left out; whether a run is "
            "one of them is decomposed by itself."
        )
    if analysis.comparison.shared_draws:
        found.append(
            "Trial n of every variant had the same settings: the test exchanges trials within "
            "such pairs, and all trials are compared pair by pair as well."
        )
    return found
