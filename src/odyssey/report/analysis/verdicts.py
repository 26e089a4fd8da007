"""Each variant against the baseline: from outcomes to decisions, and what is said of them."""

from __future__ import annotations

import math
import shlex
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType

import numpy as np

from odyssey.config.schema import NEUTRAL_KEYS
from odyssey.report.analysis.decisions import (
    CANNOT_TELL,
    CROSSED,
    LOSSES,
    NO_DIFFERENCE,
    PAIRED,
    PROMISING,
    RANKS,
    RESELECTION,
    SAME,
    SEARCH,
    SEEDS,
    WELCH,
    Decision,
    Design,
    Sample,
    decide,
    match,
)
from odyssey.report.analysis.options import Options
from odyssey.report.analysis.planned import exploratory, plan_of
from odyssey.report.analysis.replicates import (
    crossed_kinds,
    described,
    has_repeated_trials,
    levels_of,
)
from odyssey.report.analysis.result import Comparison, Outcome, Summary, Verdict
from odyssey.report.analysis.settings import differing_settings, is_under
from odyssey.report.io.runs import ReportStudy
from odyssey.report.stats.effects import (
    hedges_g,
    probability_of_improvement,
    probability_of_paired_improvement,
)
from odyssey.report.stats.posterior import UNKNOWN_CHANCES
from odyssey.report.stats.samples import Interval
from odyssey.report.stats.selection import share_count
from odyssey.report.stats.tests import (
    Paired,
    bonferroni,
    brunner_munzel,
    paired_comparison,
    welch,
)
from odyssey.study.formatting import several

UNKNOWN = Interval(math.nan, math.nan, math.nan)
MOST_NAMED = 4  # settings in a sentence
FEW = 5  # runs, below which the assumptions of a t-test cannot be checked
TEST_NAMES = {
    RESELECTION: "re-selection",
    PAIRED: "paired t",
    WELCH: "Welch",
    RANKS: "ranks",
    LOSSES: "exact test of losses",
    CROSSED: "t over crossed seeds",
}


def make_verdicts(
    comparison: Comparison,
    summaries: Sequence[Summary],
    better: str,
    options: Options,
    unit: str,
    metric: str,
    late: Mapping[str, str] = MappingProxyType({}),
) -> list[Verdict]:
    """One verdict for each variant but the baseline, corrected over all of them.

    late: what was chosen after the data; see `planned.late_choices`.

    The conclusions are those of `decisions.decide`. Beside them stand the numbers that the field
    prints: Welch's test, for a search on the best share "as in the paper", and effect sizes.
    """
    design = design_of(comparison, summaries, better, options, metric)
    samples = {s.variant.label: sample_of(s, design) for s in summaries}
    decided = decide(samples, comparison.baseline, design, options)
    base = next(s for s in summaries if s.variant.label == comparison.baseline)
    others = [s for s in summaries if s is not base]
    tests = [welch(_finite(s.chosen), _finite(base.chosen)) for s in others]
    corrected = bonferroni([test.p for test in tests])
    found = []
    for one, test, bonferroni_p in zip(others, tests, corrected, strict=True):
        label = one.variant.label
        decision = decided[label]
        if reason := undesigned(comparison, one, base):
            decision = replace(
                decision,
                conclusion=CANNOT_TELL,
                reason=reason,
                needed=None,
                chances=UNKNOWN_CHANCES,
            )
        early = preliminary(comparison, one, base)
        after = exploratory(late, decision.conclusion == SAME)
        pairs = match(samples[label], samples[comparison.baseline]) if design.paired else None
        found.append(
            Verdict(
                variant=label,
                baseline=comparison.baseline,
                n=len(one.chosen),
                n_baseline=len(base.chosen),
                decision=decision,
                welch_p=test.p,
                bonferroni_p=float(bonferroni_p),
                brunner_p=brunner_munzel(_tests(one.chosen), _tests(base.chosen)).p,
                hedges_g=hedges_g(_finite(one.chosen), _finite(base.chosen), 1 - options.alpha),
                improvement=_improvement(design, one, base, pairs),
                sentence=sentence(
                    decision, design, comparison.baseline, options, unit, early, after
                ),
                note="; ".join(_notes(comparison, design, one, base, decision, options)),
                preliminary=early,
                exploratory=after,
                paired=_paired_trials(one, base, pairs, design),
            )
        )
    return found


def design_of(
    comparison: Comparison,
    summaries: Sequence[Summary],
    better: str,
    options: Options,
    metric: str,
) -> Design:
    """What is fixed about the comparison before its results."""
    search = comparison.kind == SEARCH
    return Design(
        kind=comparison.kind,
        better=better,
        paired=comparison.shared_draws if search else _same_seeds(summaries),
        share=options.share if search else 1.0,
        same_metric=metric == comparison.monitor,
        adaptive=search and any(study.sampler == "tpe" for study in comparison.studies),
        crossed=() if search else crossed_kinds(s.variant for s in summaries),
        resplit=len({run.drawn_from.split for run in comparison.runs}) > 1,
    )


def _same_seeds(summaries: Sequence[Summary]) -> bool:
    """Whether every variant was planned with the same seeds, each once."""
    seeds = [sorted(run.drawn_from for run in s.variant.runs) for s in summaries]
    return bool(seeds) and len(set(seeds[0])) == len(seeds[0]) and all(s == seeds[0] for s in seeds)


def sample_of(summary: Summary, design: Design) -> Sample:
    outcomes = summary.outcomes
    return Sample(
        test=_tests(outcomes),
        chosen_by=np.array([o.chosen_by for o in outcomes], dtype=float),
        keys=[_key(o, design) for o in outcomes],
        levels=levels_of(outcomes, design.crossed) if design.crossed else None,
    )


def _key(outcome: Outcome, design: Design) -> Hashable:
    """What a run shares with its pair in another variant."""
    run = outcome.run
    return (run.study, run.trial, run.drawn_from) if design.kind == SEARCH else run.drawn_from


def _tests(outcomes: Sequence[Outcome]) -> np.ndarray:
    return np.array([o.test for o in outcomes], dtype=float)


def _finite(outcomes: Sequence[Outcome]) -> np.ndarray:
    values = _tests(outcomes)
    return values[np.isfinite(values)]


# --- what was planned ---

TO_COME = ("missing", "interrupted", "running")  # states of runs whose result is still to come


def undesigned(comparison: Comparison, one: Summary, base: Summary) -> str:
    """Why the runs of two variants were not made to be compared; empty if they were.

    Runs of a plan were. Others are fair where nothing but the cell and the seed differs.
    """
    by_name = {study.name: study for study in comparison.studies}
    runs = [*one.variant.runs, *base.variant.runs]
    if all(by_name[run.study].planned for run in runs):
        return ""
    if comparison.kind == SEARCH:
        varied = ", ".join(comparison.searched[:MOST_NAMED])
        return f"no study planned these runs, in which {varied} vary: they are not a search"
    compared = {key for s in (one, base) for key in s.variant.settings}
    if not (found := differing_settings(one.variant.runs, base.variant.runs, compared)):
        return ""
    return f"no study planned these runs, which differ in {_settings(found)}"


def _settings(found: Mapping[str, tuple[str, str]]) -> str:
    named = [f"{key} ({a} against {b})" for key, (a, b) in list(found.items())[:MOST_NAMED]]
    more = [f"{len(found) - MOST_NAMED} more"] if len(found) > MOST_NAMED else []
    return ", ".join(named + more)


def preliminary(comparison: Comparison, *compared: Summary) -> str:
    """Why a verdict of these variants may not be the last one; empty where it is."""
    by_name = {study.name: study for study in comparison.studies}
    runs = [run for summary in compared for run in summary.variant.runs]
    studies = [by_name[name] for name in dict.fromkeys(run.study for run in runs)]
    left = sum(run.state in TO_COME for run in runs) + sum(study.to_come for study in studies)
    if left:
        return f"{several(left, 'run')} to come"
    plan = plan_of(studies)
    if plan is not None and plan.looks and "looks" not in plan.chosen_late():
        n = min(len(summary.variant.runs) for summary in compared)
        counts = ", ".join(map(str, plan.looks))
        return "" if n in plan.looks else f"{n} runs of each, and the plan looks at {counts}"
    if grown := [study.name for study in studies if _grew(study, comparison)]:
        return f"study {grown[0]} grew after its first results"
    return ""


def _grew(study: ReportStudy, comparison: Comparison) -> bool:
    """Whether a later command of the study added runs when there were runs of an earlier one.

    A command that was typed again is no other one, nor is one that differs in what changes no
    result, such as the number of workers.
    """
    first: dict[frozenset[str], datetime] = {}  # what was asked for -> when for the first time
    for entry in study.commands:
        if (typed := _moment(entry.get("time", ""))) is not None:
            asked = _asked(entry.get("command", ""))
            first[asked] = min(typed, first.get(asked, typed))
    if len(first) < 2:
        return False
    moments = [_moment(run.started) for run in comparison.runs if run.study == study.name]
    begun = [moment for moment in moments if moment is not None]
    return bool(begun) and min(begun) < max(first.values()) <= max(begun)


def _asked(command: str) -> frozenset[str]:
    """The words of a command that may change which runs there are, or their results."""
    try:
        words = shlex.split(command)
    except ValueError:  # not written by a command
        words = command.split()
    neutral = (*NEUTRAL_KEYS, "hydra.launcher", "hydra/launcher")
    return frozenset(w for w in words if "=" in w and not is_under(w.partition("=")[0], neutral))


def _moment(text: str) -> datetime | None:
    """A time of ISO 8601; without a zone it is UTC. None where it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


# --- numbers beside the decision ---


def _improvement(design: Design, one: Summary, base: Summary, pairs: np.ndarray | None) -> Interval:
    """Probability that a run of the variant is better than one of the baseline.

    In a search it is over all trials, by validation.
    """
    if design.kind == SEARCH:
        a, b = (np.array([o.valid for o in s.outcomes], dtype=float) for s in (one, base))
    else:
        a, b = _tests(one.outcomes), _tests(base.outcomes)
    if not (a.size and b.size):
        return UNKNOWN
    if pairs is not None:
        return probability_of_paired_improvement(a[pairs[:, 0]], b[pairs[:, 1]], design.better)
    return probability_of_improvement(a, b, design.better)


def _paired_trials(
    one: Summary, base: Summary, pairs: np.ndarray | None, design: Design
) -> Paired | None:
    """Wilcoxon's comparison, by validation, of all trials that had the same settings in both."""
    if pairs is None or design.kind != SEARCH or len(pairs) < 2:
        return None
    a, b = (np.array([o.valid for o in s.outcomes], dtype=float) for s in (one, base))
    return paired_comparison(a[pairs[:, 0]], b[pairs[:, 1]], design.better)


# --- words ---


def marks(preliminary: str, exploratory: str) -> str:
    """What goes before a sentence: `preliminary (3 runs to come): `; empty where nothing does."""
    found = {"preliminary": preliminary, "exploratory": exploratory}
    said = ", ".join(f"{mark} ({why})" for mark, why in found.items() if why)
    return f"{said}: " if said else ""


def sentence(
    decision: Decision,
    design: Design,
    baseline: str,
    options: Options,
    unit: str,
    preliminary: str = "",
    exploratory: str = "",
) -> str:
    """The decision in full.

    preliminary: why it may not be the last one. exploratory: what was chosen after the data.
    """
    text = _sentence(decision, design, baseline, options, unit)
    return text if decision.conclusion == CANNOT_TELL else marks(preliminary, exploratory) + text


def _sentence(d: Decision, design: Design, baseline: str, options: Options, unit: str) -> str:
    evidence = _evidence(d, design)
    if d.conclusion == SAME:
        text = f"the same as {baseline} within {options.margin:g} {unit}"
        return text + (f", though not equal ({evidence})" if d.holm_p <= options.alpha else "")
    if d.conclusion == CANNOT_TELL:
        needs = f" (needs {d.needed} of each)" if d.needed is not None else ""
        return f"cannot tell{needs}: {d.reason}{_lost(d, design)}"
    if d.conclusion == NO_DIFFERENCE:
        text = f"no difference from {baseline} found; {evidence}{_lost(d, design)}"
        if math.isfinite(d.detectable):
            text += f"; this study would have found one of {d.detectable:.2g} {unit}"
        return text
    if d.test == LOSSES:
        return (
            f"{d.conclusion} than {baseline}: {d.lost[0]} of {d.ended[0]} runs lost, against "
            f"{d.lost[1]} of {d.ended[1]}; {TEST_NAMES[LOSSES]} with Holm p = {d.loss_holm_p:.2g}"
        )
    size, search = "", ""
    word = d.conclusion
    if design.kind == SEARCH:
        search = " in this search"
        word = "promising: better" if word == PROMISING else word
    if math.isfinite(d.difference.value):
        limits = f"({d.difference.low:+.3g} to {d.difference.high:+.3g})"
        size = f" by {abs(d.difference.value):.3g} {unit} {limits}"
    return f"{word} than {baseline}{size}{search}; {evidence}{_lost(d, design)}"


def _evidence(d: Decision, design: Design) -> str:
    if math.isnan(d.holm_p):
        return "no test could be made"
    of_values = CROSSED if design.crossed else PAIRED if design.paired else WELCH
    test = d.test if d.test != LOSSES else of_values
    paired = test in (PAIRED, CROSSED) and d.pairs is not None
    pairs = f" over {several(d.pairs or 0, 'pair')}" if paired else ""
    return f"{TEST_NAMES[test]}{pairs} with Holm p = {d.holm_p:.2g}"


def _lost(d: Decision, design: Design) -> str:
    """What was lost, where that is not the decision."""
    if not sum(d.lost):
        return ""
    what = "trials" if design.kind == SEARCH else "runs"
    return f"; {d.lost[0]} of {d.ended[0]} {what} lost, against {d.lost[1]} of {d.ended[1]}"


def _notes(
    comparison: Comparison,
    design: Design,
    one: Summary,
    base: Summary,
    d: Decision,
    options: Options,
) -> list[str]:
    found = []
    compared = {key for s in (one, base) for key in s.variant.settings}
    runs = one.variant.runs, base.variant.runs
    if also := differing_settings(*runs, [*compared, *comparison.searched]):
        found.append(f"also differs in {_settings(also)}")
    if design.kind == SEARCH:
        if has_repeated_trials([one.variant, base.variant]):
            found.append(
                "trials were run with several seeds each: the test takes these runs for trials of "
                "their own, and finds a difference too easily"
            )
        for summary in (one, base):
            due = share_count(len(summary.outcomes), options.share)
            if len(summary.chosen) < due:
                found.append(
                    f"of the best {due} of {summary.variant.label} only {len(summary.chosen)} "
                    "gave a value: what is compared are those that survived, which flatters it"
                )
        if len(one.outcomes) != len(base.outcomes):
            found.append(
                f"{len(one.outcomes)} and {len(base.outcomes)} trials: the difference is corrected "
                "for the unequal numbers, Welch's test is not"
            )
    elif design.kind == SEEDS:
        if design.crossed:
            found.append(
                f"the seeds of {described(design.crossed)} vary crosswise, so that runs share some "
                "and are no independent draws: the test is over the seeds of each kind; P(better), "
                "Hedges' g, Welch and Brunner–Munzel take the runs for independent"
            )
        elif d.test == RANKS:
            found.append("a value lies far out, or nothing scatters: ranks decide")
        elif 2 <= min(len(one.chosen), len(base.chosen)) < FEW:
            found.append("so few runs that it is taken on trust that they scatter normally")
    return found
