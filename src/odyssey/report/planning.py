"""`python scripts/plan.py`: how many seeds a comparison needs, by a former study's scatter."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from odyssey.cli_utils import Parser, check_count, exit_status, show, typed_as, typed_path
from odyssey.errors import UserError
from odyssey.study.formatting import several

if TYPE_CHECKING:
    from odyssey.report.analysis.result import Analysis

COUNTS = (3, 5, 10, 20, 50, 100)  # seeds that the table shows


@dataclass(frozen=True)
class Scatter:
    """How the runs of a variant scatter, and where that is from."""

    sd: float  # of a variant's seeds
    correlation: float | None  # of runs of the same seed; None where seeds differ
    unit: str = ""
    variants: int | None = None  # beside the baseline
    source: str = "as given"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what designs can find; the exit status is 0, or 2 for misuse."""
    return exit_status(lambda: _run(sys.argv[1:] if arguments is None else arguments))


def _run(arguments: Sequence[str]) -> None:
    asked = _parser().parse_args(arguments)
    _check(asked)
    found = _scatter(asked)
    variants = asked.variants or found.variants or 1
    show(text(found, variants, asked.alpha, asked.power, asked.difference, asked.seeds))


def text(
    found: Scatter,
    variants: int,
    alpha: float,
    wanted: float,
    difference: float | None,
    seeds: Sequence[int] = (),
) -> str:
    """The answer: what so many seeds find, and how many find the difference."""
    from odyssey.report.stats.power import detectable, power, seeds_needed

    level, unit = alpha / variants, f" {found.unit}".rstrip()
    pairs = "seeds differ between variants"
    if found.correlation is not None:
        pairs = f"the same seeds in all, correlation {found.correlation:.2f}"
    lines = [
        f"standard deviation of a variant's seeds {found.sd:.3g}{unit} ({found.source}); {pairs}",
        f"{several(variants, 'variant')} against a baseline, level {alpha:g} after Holm",
        "",
        f"  seeds  finds with {wanted:.0%}",
    ]
    for n in sorted({*COUNTS, *seeds}):
        size = detectable(found.sd, n, level, found.correlation, wanted)
        in_sd = f" ({size / found.sd:.2g} sd)" if found.sd else ""
        lines.append(f"  {n:>5}  {size:.3g}{unit}{in_sd}")
    if difference is not None:
        enough = seeds_needed(difference, found.sd, level, found.correlation, wanted)
        count = f"{enough} seeds of each" if enough else "more seeds than anybody trains"
        few = power(difference, found.sd, COUNTS[1], level, found.correlation)
        lines += [
            "",
            f"a difference of {difference:g}{unit} needs {count}; {COUNTS[1]} seeds find it "
            f"with {few:.0%}",
        ]
    return "\n".join(lines)


def _check(asked: argparse.Namespace) -> None:
    ranges = (
        ("--sd", asked.sd, 0, math.inf),
        ("--difference", asked.difference, 0, math.inf),
        ("--alpha", asked.alpha, 0, 0.5),
        ("--power", asked.power, 0, 1),
        ("--correlation", asked.correlation, -1, 1),
    )
    for option, value, low, high in ranges:
        if value is not None and not low < value < high:
            most = f" and below {high:g}" if math.isfinite(high) else ""
            raise UserError(f"{option} {value:g} is out of range: type a number above {low}{most}")
    check_count("--variants", asked.variants, 1, 100_000)
    for count in asked.seeds:
        check_count("--seeds", count, 2, 100_000)
    if (asked.study is None) == (asked.sd is None):
        raise UserError(
            f"a study or --sd says how runs scatter: type {typed_as('plan')} outputs/STUDY, or "
            "--sd 0.1 with the standard deviation of a variant's seeds"
        )


def _scatter(asked: argparse.Namespace) -> Scatter:
    if asked.study is None:
        return Scatter(asked.sd, asked.correlation)
    found = scatter_of(asked.study, asked.metric)
    if asked.correlation is None:
        return found
    return Scatter(found.sd, asked.correlation, found.unit, found.variants, found.source)


def scatter_of(study: Path, metric: str | None) -> Scatter:
    """The scatter of a study of repeated seeds, pooled over its variants.

    Raises UserError for what is no study, and for one without repeated seeds.
    """
    import numpy as np

    from odyssey.report.analysis.analyse import analyse
    from odyssey.report.analysis.comparisons import make_comparisons
    from odyssey.report.analysis.options import Options
    from odyssey.report.analysis.outcomes import select_metrics
    from odyssey.report.analysis.result import SEEDS
    from odyssey.report.io.collect import collect

    comparisons = make_comparisons(collect([study], curves=False))
    names = select_metrics(comparisons, metric)
    for comparison, here in zip(comparisons, names, strict=True):
        if comparison.kind != SEEDS or not here:
            continue
        analysis = analyse(comparison, here[0], Options(draws=100))
        values = [
            np.array([o.test for o in s.outcomes if math.isfinite(o.test)])
            for s in analysis.summaries
        ]
        values = [v for v in values if len(v) > 1]
        if not values:
            continue
        df = sum(len(v) - 1 for v in values)
        sd = math.sqrt(sum(float(v.var(ddof=1)) * (len(v) - 1) for v in values) / df)
        decisions = [v.decision for v in analysis.verdicts]
        paired = any(d.pairs is not None for d in decisions)
        known = [d.correlation for d in decisions if not math.isnan(d.correlation)]
        correlation = (float(np.mean(known)) if known else 0.0) if paired else None
        source = f"{comparison.title}, {several(len(values), 'variant')}"
        if analysis.variance:
            sd, correlation = _of_budget(analysis)
            source += ", crossed seeds"
        return Scatter(sd, correlation, analysis.metric.unit, len(decisions) or None, source)
    raise UserError(
        f"{study} has no variant with two seeds that finished: give a study of repeated seeds, "
        "as of seed=0,1,2,3,4, or --sd 0.1"
    )


def _of_budget(analysis: Analysis) -> tuple[float, float | None]:
    """The standard deviation of runs with one seed each, and the correlation of pairs.

    From the components of the variance: runs that share seeds scatter less than such runs.
    """
    own = next(row for row in analysis.variance if not row.of_difference)
    differences = [row.budget.variance for row in analysis.variance if row.of_difference]
    variance = own.budget.variance
    if not differences:
        return math.sqrt(variance), None
    mean = sum(differences) / len(differences)
    return math.sqrt(variance), min(max(1 - mean / (2 * variance), -0.999), 0.999)


def _parser() -> argparse.ArgumentParser:
    parser = Parser("plan", __doc__.partition(": ")[2])
    add = parser.add_argument
    add("study", nargs="?", type=typed_path, help="a former study of repeated seeds, or a pilot")
    add("--sd", type=float, help="standard deviation of a variant's seeds, in place of a study")
    add("--correlation", type=float, help="of runs of the same seed in two variants")
    add("--variants", type=int, help="beside the baseline: those of the study, else 1")
    add("--difference", type=float, help="that you want to find, in the metric's unit")
    add("--seeds", type=int, nargs="*", default=[], help="further numbers of seeds to show")
    add("--metric", help="of the study: that which chose its checkpoints if none is given")
    add("--alpha", type=float, default=0.05, help="level of significance: 0.05")
    add("--power", type=float, default=0.8, help="probability to find the difference: 0.8")
    return parser
