"""What a comparison's studies had planned before their results, and what was chosen after them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from odyssey.errors import UserError, did_you_mean
from odyssey.report.analysis.options import Options
from odyssey.report.analysis.result import SEARCH, Comparison, Variant
from odyssey.report.analysis.settings import format_value
from odyssey.report.io.runs import ReportStudy
from odyssey.study.analysis_plan import KEYS, AnalysisPlan, matches

AFTER = "chosen after the data"


def plan_of(studies: Sequence[ReportStudy]) -> AnalysisPlan | None:
    """The plan that all studies have; None where one has none, or another."""
    plans = [study.plan for study in studies if study.planned]
    first = plans[0] if plans else None
    if first is None or any(plan is None or differing(plan, first) for plan in plans):
        return None
    return first


def differing(one: AnalysisPlan, other: AnalysisPlan) -> list[str]:
    """The parts in which two plans differ."""
    return [key for key in KEYS if getattr(one, key) != getattr(other, key)]


def planned_baseline(plan: AnalysisPlan | None, variants: Sequence[Variant]) -> str | None:
    """Label of the plan's baseline; None where there is no such variant, or several."""
    if plan is None or not plan.baseline:
        return None
    wanted = normalised(plan.baseline)
    found = [variant.label for variant in variants if matches(wanted, variant.settings)]
    return found[0] if len(found) == 1 else None


def planned_metric(plan: AnalysisPlan) -> str:
    """The plan's metric without its part: `accuracy` for `test/accuracy`; empty for none."""
    return (plan.metric or "").removeprefix("valid/").removeprefix("test/")


def normalised(baseline: str) -> str:
    """Settings with their values as the report has them: `optimizer.lr=0.001` for `=1e-3`."""
    pairs = (word.partition("=") for word in baseline.split())
    return " ".join(f"{k}={format_value(v)}" if equals else k for k, equals, v in pairs)


def planned_options(comparison: Comparison, options: Options) -> Options:
    """The options with the plan's margin, level and share, where none were chosen.

    With several looks the level is that of one look, of a chosen level too.
    """
    plan = plan_of(comparison.studies)
    if plan is None:
        return options
    alpha = options.alpha if "alpha" in options.chosen else plan.alpha
    try:
        return replace(
            options,
            margin=options.margin if "margin" in options.chosen else plan.margin,
            share=options.share if "share" in options.chosen else plan.share,
            alpha=replace(plan, alpha=alpha).level,
        )
    except UserError as error:  # somebody has edited it
        files = " and ".join(
            f"{study.path or study.name}/study.json" for study in comparison.studies
        )
        raise UserError(
            *(f"the plan in {files}: {m.replace('--', 'plan.')}" for m in error.messages)
        ) from None


def late_choices(comparison: Comparison, options: Options, metric: str) -> dict[str, str]:
    """What of an analysis was not in the plan before the results: part -> in words.

    options: as asked, not those of `planned_options`.
    Empty where the plan was kept. Where nothing was planned there is nothing to depart from: the
    notes say so.
    """
    plans = [study.plan for study in comparison.studies if study.planned and study.plan]
    plan = plan_of(comparison.studies)
    if plan is None:
        if len(plans) < 2:
            return {}
        parts = dict.fromkeys(part for other in plans for part in differing(plans[0], other))
        return {"plan": f"the studies' plans differ in {', '.join(parts)}"} if parts else {}
    found = {}
    for key, change in plan.chosen_late().items():
        found[key] = f"{key} changed with {change.results} results there"
    base = planned_baseline(plan, comparison.variants)
    if comparison.baseline != base:
        found["baseline"] = f"baseline {AFTER}"
    # A margin speaks of "same" alone, and a stricter level errs less often.
    if "margin" in options.chosen and options.margin != plan.margin:
        found["margin"] = f"margin {AFTER}"
    if "alpha" in options.chosen and options.alpha > plan.alpha:
        found["alpha"] = f"level {AFTER}"
    if comparison.kind == SEARCH and "share" in options.chosen and options.share != plan.share:
        found["share"] = f"share {AFTER}"
    if metric != (planned := planned_metric(plan) or comparison.monitor):
        found["metric"] = f"the plan's metric is {planned}"
    return found


def exploratory(late: Mapping[str, str], same: bool) -> str:
    """Why a verdict is exploratory; empty if it is as planned. same: whether its word is "same"."""
    return ", ".join(why for key, why in late.items() if same or key != "margin")


def plan_notes(comparison: Comparison) -> list[str]:
    """Sentences on the plan of a comparison."""
    if len(comparison.variants) < 2 or not any(study.planned for study in comparison.studies):
        return []
    plan = plan_of(comparison.studies)
    if plan is None:
        return [
            "No plan of the analysis is common to these runs: that baseline, metric and margin "
            "were chosen before the results cannot be shown."
        ]
    metric = planned_metric(plan)
    measured = {name.partition("/")[2] for run in comparison.runs for name in run.metrics}
    missing = (
        f" No run measures the plan's metric, {metric}{did_you_mean(metric, measured)}: no verdict "
        "here is as planned."
        if metric and measured and metric not in measured
        else ""
    )
    when = f" ({plan.time[:10]})" if plan.time else ""
    changes = [
        f"{c.key} from {format_value(c.was)} to {format_value(c.now)} on {c.time[:10]}, with "
        f"{c.results} results there"
        for c in plan.changes
    ]
    late = f" Changed since: {'; '.join(changes)}." if changes else ""
    return [f"Planned before the first run{when}: {plan.original().in_words()}.{late}{missing}"]
