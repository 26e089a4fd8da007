"""The tables of an analysis."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from odyssey.report.analysis.analyse import OVERALL
from odyssey.report.analysis.factor_table import factors_table
from odyssey.report.analysis.names import name_of_setting
from odyssey.report.analysis.notes import format_percent
from odyssey.report.analysis.result import SEARCH, Analysis, Verdict
from odyssey.report.analysis.variance_table import variance_table
from odyssey.report.analysis.verdicts import TEST_NAMES
from odyssey.report.io.formats import Column, Table
from odyssey.report.stats.estimates import TABLE_COUNTS
from odyssey.report.stats.samples import Interval
from odyssey.study.state import STATES


def make_tables(analysis: Analysis) -> list[Table]:
    """Every table that has a row, the verdicts first."""
    made = [
        _verdicts(analysis),
        factors_table(analysis),
        _all_pairs(analysis),
        _variants(analysis),
        _paper(analysis),
        _paired(analysis),
        variance_table(analysis),
        _endings(analysis),
        _best(analysis),
        _tuning(analysis),
        _importance(analysis),
        _pairs(analysis),
    ]
    return [table for table in made if table is not None and table.rows]


def _describe_chosen(analysis: Analysis) -> str:
    """Which runs are compared, as a phrase."""
    if analysis.comparison.kind == SEARCH:
        return f"best {format_percent(analysis.share)} of the trials by validation, rounded up"
    return "all runs that ended"


def _verdicts(analysis: Analysis) -> Table:
    unit, base = analysis.metric.unit, analysis.comparison.baseline
    decisions = [v.decision for v in analysis.verdicts]
    search = analysis.comparison.kind == SEARCH
    better = (
        "Of all trials, by validation: one of the variant" if search else "A run of the variant"
    )
    errs = (
        "; it takes the best trials for a sample, and errs far more often than it says"
        if search
        else ""
    )

    def over_items(verdict: Verdict) -> Interval | None:
        found = analysis.items.get(verdict.variant)
        return None if found is None else found.interval

    shown: list[tuple[Column, Callable[[Verdict], Any]]] = [
        (
            Column(
                "difference",
                "interval",
                f"of the means, variant minus {base}; limits hold for all variants at once",
            ),
            lambda v: v.decision.difference,
        ),
        (
            Column("Holm p", "p", "Of the test that decides, corrected for all that were made"),
            lambda v: v.decision.holm_p,
        ),
        (Column("test", help="That answers whether the values differ"), _test_name),
    ]
    if any(sum(d.lost) for d in decisions) and not search:
        shown += [
            (
                Column("lost", "integer", "Runs that diverged or failed"),
                lambda v: v.decision.lost[0],
            ),
            (
                Column("p of losses", "p", "Exact test of one rate of loss, uncorrected"),
                lambda v: v.decision.loss_p,
            ),
        ]
    if any(d.pairs is not None for d in decisions):
        help = "Of the pairs: runs of one seed, or trials of the same settings"
        shown.append((Column("correlation", "number", help, 2), lambda v: v.decision.correlation))
    if any(d.chances.known for d in decisions):
        shown += _chances(analysis)
    if analysis.items:
        help = "The difference and what the choice of the test sequences leaves open: 95%"
        shown.append((Column("over test sequences", "interval", help), over_items))
    shown += [
        (
            Column("P(better)", "interval", f"{better} is better than one of {base}"),
            lambda v: v.improvement,
        ),
        (
            Column(
                "would find",
                "number",
                "The difference that this design finds in four of five studies",
            ),
            lambda v: v.decision.detectable,
        ),
        (
            Column("Hedges' g", "interval", "Difference in standard deviations, with its interval"),
            lambda v: v.hedges_g,
        ),
        (Column("Welch p", "p", f"Two-sided, uncorrected{errs}"), lambda v: v.welch_p),
        (
            Column("Bonferroni p", "p", "Welch's, times the number of variants tested"),
            lambda v: v.bonferroni_p,
        ),
        (
            Column("Brunner–Munzel p", "p", "Of ranks; uncorrected; lost runs are the worst"),
            lambda v: v.brunner_p,
        ),
    ]
    if analysis.margin is not None:
        name = f"equivalence p ({analysis.margin:g})"
        help = "Two one-sided tests with that margin, Holm-corrected"
        shown.append((Column(name, "p", help), lambda v: v.decision.equivalence_holm_p))
    columns = [
        Column("variant"),
        Column("verdict", help=f"At the level {analysis.alpha:g}, over all variants"),
        Column("n", "integer", f"Runs compared: {_describe_chosen(analysis)}"),
        Column(f"mean {unit}", "interval", f"{analysis.part} value; 95% interval", 4),
        *(column for column, _ in shown),
        Column("note"),
    ]
    rows: list[list[Any]] = []
    verdicts = {v.variant: v for v in analysis.verdicts}
    for s in analysis.summaries:
        if (v := verdicts.get(s.variant.label)) is not None:
            word = v.conclusion if v.conclusion != "same" else f"same within {analysis.margin:g}"
            rows.append([v.variant, word, v.n, s.mean, *(take(v) for _, take in shown), v.note])
        elif s.variant.label == base:
            first: list[Any] = [base, "baseline", len(s.chosen), s.mean]
            rows.append(first + [None] * (len(columns) - 4))
    title = f"Verdicts against {base}"
    note = (
        f"“No difference found” is not “the same”: the latter takes an equivalence test"
        f"{'' if analysis.margin is not None else ' with a margin of your choice (plan.margin)'}."
    )
    if any(d.chances.known for d in decisions):
        note += (
            " P(mean …) are posterior probabilities, each of one variant alone: not error rates, "
            "and not corrected for the number of variants."
        )
    if search:
        note += (
            " Welch p and Bonferroni p are the paper's test, for comparison: it errs. A search has "
            "no posterior probabilities: its best trials are no sample of which there is a model."
        )
    return Table("verdicts", title, columns, rows if analysis.verdicts else [], note)


def _chances(analysis: Analysis) -> list[tuple[Column, Callable[[Verdict], Any]]]:
    """Posterior probabilities of the mean; that of "the same" where there is a margin."""
    base, margin = analysis.comparison.baseline, analysis.margin
    by = "" if margin is None else f" by more than {margin:g}"

    def column(word: str, help: str) -> Column:
        return Column(f"P(mean {word})", "share", f"Posterior probability that the mean {help}")

    found: list[tuple[Column, Callable[[Verdict], Any]]] = [
        (
            column("better", f"is better than that of {base}{by}"),
            lambda v: v.decision.chances.better,
        )
    ]
    if margin is not None:
        near = column("same", f"is within {margin:g} of that of {base}")
        found.append((near, lambda v: v.decision.chances.same))
    worse = column("worse", f"is worse than that of {base}{by}")
    return [*found, (worse, lambda v: v.decision.chances.worse)]


def _test_name(verdict: Verdict) -> str:
    return TEST_NAMES[verdict.decision.test]


def _all_pairs(analysis: Analysis) -> Table | None:
    found = analysis.all_pairs
    if found is None or not found.decisions:
        return None
    decisions = found.decisions
    limits = any(math.isfinite(d.difference.low) for d in decisions.values())
    means = "of the means, variant minus the other"
    help = f"{means}; limits hold for all pairs at once" if limits else means
    columns = [
        Column("variant"),
        Column("against"),
        Column("verdict", help=f"At the level {analysis.alpha:g}, over all pairs"),
        Column("difference", "interval" if limits else "number", help),
        Column("p", "p", "Of the test that decides, uncorrected"),
        Column("Holm p", "p", "The same, corrected for all pairs"),
        Column("test", help="That answers whether the values differ"),
    ]
    rows = []
    for (one, other), d in decisions.items():
        difference: Any = d.difference if limits else d.difference.value
        word = d.conclusion if d.conclusion != "same" else f"same within {analysis.margin:g}"
        rows.append([one, other, word, difference, d.p, d.holm_p, TEST_NAMES[d.test]])
    note = (
        f"{found.sentence()} Holm's correction is over these pairs alone; the verdicts above are a "
        "family of their own, and stricter here does not mean wrong there."
    )
    return Table("all-pairs", "All pairs of variants", columns, rows, note)


def _variants(analysis: Analysis) -> Table:
    part, search = analysis.part, analysis.comparison.kind == SEARCH
    columns = [
        Column("variant"),
        Column("runs", "integer", "that ended"),
        Column("compared", "integer", _describe_chosen(analysis)),
        Column("mean", "interval", f"{part}, of those that are compared and finished", 4),
        Column("median", "interval", f"{part}, of those that are compared", 4),
        Column("interquartile mean", "interval", f"{part}, of those that are compared", 4),
    ]
    if search:
        columns += [
            Column("median of all", "interval", "validation, of every trial", 4),
            Column("interquartile mean of all", "interval", "validation, of every trial", 4),
        ]
    columns += [
        Column("parameters", help="least and most of those that are compared"),
        Column("seconds", "number", "of training, median"),
    ]
    rows = []
    for s in analysis.summaries:
        row: list[Any] = [s.variant.label, len(s.outcomes), len(s.chosen), s.mean, s.median, s.iqm]
        row += [s.all_median, s.all_iqm] if search else []
        rows.append([*row, _format_range(s.params), s.seconds])
    title = f"Variants, {analysis.metric.unit}"
    note = "Intervals: 95%; none where there are too few runs for one that holds."
    if search:
        note += (
            " That of a mean selects the best anew in each resample; it is about such trials, not "
            "about one configuration."
        )
    return Table("variants", title, columns, rows, note)


MARKS = {"better": "*", "promising": "*", "worse": "†", "same": "="}


def _paper(analysis: Analysis) -> Table:
    """Four columns for a paper: variant, parameters, mean ± standard deviation, number of runs."""
    words = {v.variant: v.conclusion for v in analysis.verdicts}
    rows = []
    for s in analysis.summaries:
        values = np.array([o.test for o in s.chosen if math.isfinite(o.test)])
        cell = ""
        if len(values):
            # Two digits of the deviation, and as many places of the mean.
            deviation = float(values.std(ddof=1)) if len(values) > 1 else 0.0
            places = max(0, 1 - math.floor(math.log10(deviation))) if deviation > 0 else 3
            cell = f"{values.mean():.{places}f}"
            cell += f" ± {deviation:.{places}f}" if len(values) > 1 else ""
            cell += MARKS.get(words.get(s.variant.label, ""), "")
        lost = f" of {len(s.chosen)}" if len(values) < len(s.chosen) else ""
        rows.append([s.variant.label, _format_range(s.params), cell, f"{len(values)}{lost}"])
    unit, base = analysis.metric.unit, analysis.comparison.baseline
    columns = [Column("variant"), Column("parameters"), Column(unit), Column("n")]
    kept = f", of the {_describe_chosen(analysis)}" if analysis.comparison.kind == SEARCH else ""
    note = (
        f"Mean ± standard deviation, {analysis.part}{kept}. Against {base}, at {analysis.alpha:g} "
        "over all variants: * better, † worse"
        f"{', = the same within ' + format(analysis.margin, 'g') if analysis.margin else ''}."
    )
    return Table("paper", f"{analysis.comparison.title}: {unit}", columns, rows, note)


def _paired(analysis: Analysis) -> Table | None:
    pairs = [(v, v.paired) for v in analysis.verdicts if v.paired is not None]
    if not pairs:
        return None
    base = analysis.comparison.baseline
    columns = [
        Column("variant"),
        Column("pairs", "integer", "Trials with the same settings in both"),
        Column("wins", "integer", f"in which the variant is better than {base}"),
        Column("ties", "integer"),
        Column("median difference", "interval", f"variant minus {base}, validation"),
        Column("Wilcoxon p", "p", "signed ranks, two-sided, uncorrected"),
    ]
    rows = [[v.variant, p.n, p.wins, p.ties, p.median_difference, p.p] for v, p in pairs]
    title = f"Trial by trial against {base}"
    note = (
        "Over all trials, good settings and bad ones alike: how the cells fare over the whole "
        "search space, not how they fare at their best."
    )
    return Table("paired", title, columns, rows, note)


def _endings(analysis: Analysis) -> Table:
    columns = [Column("variant"), Column("runs", "integer", "planned, and any besides")]
    columns += [Column(state, "integer") for state in STATES]
    columns += [
        Column("share diverged", "interval", "of the runs that ended; Wilson's 95% interval"),
        Column("share failed", "interval", "of the runs that ended; Wilson's 95% interval"),
    ]
    rows = []
    for s in analysis.summaries:
        counts = [s.counts.get(state, 0) for state in STATES]
        rows.append([s.variant.label, sum(counts), *counts, s.diverged, s.failed])
    return Table("endings", "How the runs ended", columns, rows)


def _best(analysis: Analysis) -> Table:
    keys = [k for k in analysis.comparison.searched if "," not in k]
    columns = [
        Column("variant"),
        Column("run"),
        Column("validation", "number", digits=5),
        Column("test", "number", digits=5),
        Column("parameters", "integer"),
        *(Column(name_of_setting(key), "number", help=key, digits=4) for key in keys),
    ]
    rows: list[Sequence[Any]] = []
    for s in analysis.summaries:
        if s.best is None:
            continue
        run = s.best.run
        valid, test = (run.value(analysis.metric.name, part) for part in ("valid", "test"))
        settings = [run.config.get(key) for key in keys]
        rows.append([s.variant.label, run.name, valid, test, run.params, *settings])
    note = "The best of many trials is a lucky one as well: its test value is the fairer figure."
    title = f"The best run of each variant by validation {analysis.comparison.monitor}".rstrip()
    return Table("best", title, columns, rows, note)


def _tuning(analysis: Analysis) -> Table | None:
    most = max((len(s.outcomes) for s in analysis.summaries), default=0)
    if analysis.comparison.kind != SEARCH or most < 2:
        return None
    found: dict[str, dict[int, Interval]] = {}
    for s in analysis.summaries:
        if (t := s.tuning) is not None:
            points = zip(t.counts, t.median, t.low, t.high, strict=True)
            found[s.variant.label] = {
                int(n): Interval(float(m), float(low), float(high)) for n, m, low, high in points
            }
    counts = [n for n in TABLE_COUNTS if any(n in known for known in found.values())]
    if not counts:
        return None
    columns = [Column("variant"), *(Column(f"{n} trials", "interval", digits=4) for n in counts)]
    if counts[0] == 1:
        columns[1] = Column("1 trial", "interval", digits=4)
    labels = [s.variant.label for s in analysis.summaries]
    rows = [[label, *(found.get(label, {}).get(n) for n in counts)] for label in labels]
    title = f"Median best validation {analysis.metric.unit} after so many trials"
    note = (
        "With limits that hold for the whole curve at once, whatever the distribution (Lourie et "
        "al. 2024); none for more trials than these can tell of."
    )
    return Table("tuning", title, columns, rows, note)


def _importance(analysis: Analysis) -> Table | None:
    found = analysis.importance
    if not found:
        return None
    names = list(dict.fromkeys(name for d in found.values() for name in d.singles))
    columns = [Column("variant"), Column("trials", "integer")]
    for n in names:
        of_outcome = "share times R²: of the variance of the outcome, noise included"
        columns.append(Column(name_of_setting(n), "interval", help=n, digits=2))
        columns.append(Column(f"{name_of_setting(n)} × R²", "number", of_outcome, 2))
    columns += [
        Column("pairs", "interval", "all interactions of two settings", 2),
        Column("rest", "interval", "interactions of three and more", 2),
        Column("R²", "number", "of the model, for trials it has not seen", 2),
        Column("model", help="the one of two that better predicts trials it has not seen"),
        Column("note"),
    ]
    every = []
    for label, d in found.items():
        of_variant = label if label != OVERALL else "all variants"
        every.append((of_variant, d))
        if d.lost is not None:
            every.append((f"{of_variant}: lost or not", d.lost))
    rows = []
    for of_variant, d in every:
        row: list[Any] = [of_variant, d.n]
        for name in names:
            share = _rounded(d.singles.get(name))
            row += [share, None if share is None else d.of_outcome(share.value)]
        rows.append([*row, _rounded(d.all_pairs), _rounded(d.rest), d.r2, d.model, d.note])
    title = "Share of the variance that each setting explains"
    note = (
        "Functional ANOVA (Hutter et al. 2014), on the scale of the search, with 95% intervals. A "
        "share is one of the model's variance over this search space, and says nothing outside it."
    )
    return Table("importance", title, columns, rows, note)


def _pairs(analysis: Analysis) -> Table | None:
    overall = analysis.importance.get(OVERALL) or next(iter(analysis.importance.values()), None)
    if overall is None or not overall.pairs:
        return None
    ordered = sorted(overall.pairs.items(), key=lambda item: -_nan_last(item[1].value))
    columns = [Column("setting"), Column("with"), Column("share", "interval", digits=2)]
    rows = [[name_of_setting(a), name_of_setting(b), _rounded(share)] for (a, b), share in ordered]
    source = "all variants" if OVERALL in analysis.importance else next(iter(analysis.importance))
    note = "Of the model's variance, beyond what either setting explains alone; 95% intervals."
    return Table("pairs", f"Interactions of two settings, {source}", columns, rows, note)


def _rounded(share: Interval | None) -> Interval | None:
    """A share to four decimals; smaller differences are rounding errors of the model."""
    if share is None:
        return None
    return Interval(round(share.value, 4), round(share.low, 4), round(share.high, 4), share.level)


def _nan_last(value: float) -> float:
    return -1.0 if math.isnan(value) else value


def _format_range(ends: tuple[float, float]) -> str:
    low, high = ends
    if math.isnan(low):
        return ""
    return f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"
