"""What the page holds, as plain JSON: analyses, runs, how they came to be."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from odyssey.config.seeds import Seeds
from odyssey.report.analysis.factor_words import about, sentences
from odyssey.report.analysis.names import name_of_setting
from odyssey.report.analysis.over_tasks import OverTasks
from odyssey.report.analysis.provenance import provenance
from odyssey.report.analysis.result import SEARCH, SEEDS, Analysis, Comparison, Summary
from odyssey.report.figures.marks import Figure
from odyssey.report.figures.plotly import render
from odyssey.report.io.formats import Table
from odyssey.report.io.runs import Collection, ReportRun, find_metric
from odyssey.report.palette import colour_of
from odyssey.report.stats.methods import METHODS
from odyssey.report.stats.samples import Interval
from odyssey.study.formatting import several

Made = tuple[Analysis, list[Table], list[Figure]]
MadeOverTasks = tuple[OverTasks, list[Table], list[Figure]]


def payload(
    title: str,
    made_at: str,
    version: str,
    collection: Collection,
    comparisons: Sequence[tuple[Comparison, Sequence[Made]]],
    over: MadeOverTasks | None = None,
) -> dict[str, Any]:
    """The page's content. Numbers that JSON has not are None, "inf" or "-inf"."""
    place = {
        (run.study, run.name): index
        for index, (comparison, _) in enumerate(comparisons)
        for run in comparison.runs
    }
    where = [place.get((run.study, run.name)) for run in collection.runs]
    labels = {
        (run.study, run.name): variant.label
        for comparison, _ in comparisons
        for variant in comparison.variants
        for run in variant.runs
    }
    return {
        "title": title,
        "made": made_at,
        "version": version,
        "over": None if over is None else _over_tasks(*over),
        "comparisons": [_comparison(c, made) for c, made in comparisons],
        "runs": {**_runs(collection.runs, labels, comparisons), "comparison": where},
        "details": _details(collection.runs, where, len(comparisons)),
        "palette": {
            v.label: colour_of(v.label, [w.label for w in c.variants])
            for c, _ in comparisons
            for v in c.variants
        },
        "how": provenance(collection),
        "methods": [
            {"name": m.name, "says": m.says, "cannot": m.cannot, "source": m.source}
            for m in METHODS.values()
        ],
    }


def plain(value: Any) -> Any:
    """A value that JSON can hold."""
    if isinstance(value, Interval):
        return {"value": plain(value.value), "low": plain(value.low), "high": plain(value.high)}
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if math.isinf(value):
            return "inf" if value > 0 else "-inf"
        return value
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):  # of NumPy
        return plain(value.tolist())
    return str(value)


def _over_tasks(over: OverTasks, tables: list[Table], figures: list[Figure]) -> dict[str, Any]:
    return {
        "tasks": over.tasks,
        "sentences": over.sentences(),
        "notes": over.notes,
        "tables": [_table(table) for table in tables],
        "figures": [figure_data(figure) for figure in figures],
    }


def _comparison(comparison: Comparison, made: Sequence[Made]) -> dict[str, Any]:
    return {
        "key": comparison.key,
        "title": comparison.title,
        "better_note": "",
        "facts": _facts(comparison),
        "notes": comparison.notes,
        "apart": comparison.apart,
        "metrics": [_metric(*one) for one in made],
    }


def _facts(comparison: Comparison) -> list[list[str]]:
    count = Counter(run.state for run in comparison.runs)
    states = ", ".join(f"{n:,} {state}" for state, n in count.most_common())
    kinds = {
        SEARCH: f"search over {', '.join(map(name_of_setting, comparison.searched))}",
        SEEDS: "repeated seeds of each configuration",
    }
    return [
        ["task", comparison.task],
        ["data", f"{comparison.data} {comparison.data_hash[:12]}"],
        ["studies", ", ".join(study.name for study in comparison.studies)],
        ["design", kinds.get(comparison.kind, "one run of each variant")],
        ["variants", f"{len(comparison.variants)}, against {comparison.baseline}"],
        ["runs", f"{len(comparison.runs):,}: {states}" if comparison.runs else "none"],
    ]


def headline(analysis: Analysis) -> list[dict[str, str]]:
    """The answer in ten seconds: a line for each variant, best first."""
    found = {v.variant: (v.conclusion, v.sentence) for v in analysis.verdicts}
    found[analysis.comparison.baseline] = ("baseline", "the baseline")
    lines = []
    for s in analysis.summaries:
        if s.variant.label in found:
            word, said = found[s.variant.label]
            parts = [_mean_of(s), said]
            if items := analysis.items.get(s.variant.label):
                parts.append(items.sentence(analysis.metric.unit))
            lines.append({"variant": s.variant.label, "word": word, "sentence": "; ".join(parts)})
    labels = [v.label for v in analysis.comparison.variants]
    return [{**line, "colour": colour_of(line["variant"], labels)} for line in lines]


def _mean_of(summary: Summary) -> str:
    """`mean 8.21 of 5 runs`, `mean 8.21 of 3 of 5 runs, 2 lost`."""
    runs, n = several(len(summary.chosen), "run"), len(summary.chosen)
    valued = sum(math.isfinite(o.test) for o in summary.chosen)
    if not valued:
        return f"{runs}, all lost" if n else "no run that can be compared"
    part = f"{runs}" if valued == n else f"{valued} of {runs}, {n - valued} lost"
    return f"mean {summary.mean.value:.4g} of {part}"


def _metric(analysis: Analysis, tables: list[Table], figures: list[Figure]) -> dict[str, Any]:
    return {
        "key": analysis.metric.name,
        "name": analysis.metric.label,
        "better": analysis.better,
        "part": analysis.part,
        "headline": headline(analysis),
        "factors": _factors(analysis),
        "notes": analysis.notes,
        "tables": [_table(table) for table in tables],
        "figures": [figure_data(figure) for figure in figures],
    }


def _factors(analysis: Analysis) -> dict[str, Any] | None:
    """The effects of a grid's factors in sentences."""
    factors = analysis.factors
    if factors is None:
        return None
    said = sentences(factors, analysis.metric.unit)
    return {"name": factors.grid.name, "sentences": said, "about": about(factors)}


def figure_data(figure: Figure) -> dict[str, Any]:
    """A figure as the page has it."""
    drawn = render(figure)
    return {
        "key": figure.key,
        "title": figure.title,
        "caption": figure.caption,
        "wide": figure.wide,
        "traces": plain(drawn.traces),
        "layout": plain(drawn.layout),
    }


def _table(table: Table) -> dict[str, Any]:
    rows = [[plain(cell) for cell in row] for row in table.rows]
    columns = [
        {"name": c.name, "kind": c.kind, "help": c.help, "digits": c.digits} for c in table.columns
    ]
    return {
        "key": table.key,
        "title": table.title,
        "columns": columns,
        "rows": rows,
        "note": table.note,
    }


def _runs(
    runs: Sequence[ReportRun],
    labels: Mapping[tuple[str, str], str],
    comparisons: Sequence[tuple[Comparison, Sequence[Made]]],
) -> dict[str, Any]:
    """The run table: what tells runs apart, and what came of them."""
    several_studies = len({run.study for run in runs}) > 1
    several_tasks = len({(run.task, run.data) for run in runs if run.data}) > 1
    searched = list(dict.fromkeys(k for c, _ in comparisons for k in c.searched if "," not in k))
    names = list(dict.fromkeys(name for run in runs for name in run.metrics))
    monitors = {c.monitor for c, _ in comparisons}
    apart = any(run.drawn_from != (run.seed, run.seed, 0) for run in runs if run.seeds)
    columns: list[tuple[str, str, str, bool, Any]] = [
        ("study", "study", "text", several_studies, lambda r: r.study),
        ("variant", "variant", "text", True, lambda r: labels.get((r.study, r.name), r.cell)),
        ("state", "state", "text", True, lambda r: r.state),
        ("task", "task", "text", several_tasks, lambda r: r.task),
        ("data", "data", "text", several_tasks, lambda r: r.data),
        ("trial", "trial", "integer", True, lambda r: r.trial),
        ("seed", "seed", "integer", not apart, lambda r: r.seed),
    ]
    for kind in Seeds._fields if apart else ():
        key = f"seeds.{kind}"
        columns.append(
            (key, name_of_setting(key), "integer", True, lambda r, k=kind: getattr(r.drawn_from, k))
        )
    for name in names:
        shown = name.partition("/")[2] in monitors
        part, _, metric = name.partition("/")
        title = f"{find_metric(runs, metric).label}, {part}"
        columns.append((name, title, "number", shown, lambda r, n=name: r.metrics.get(n)))
    for key in searched:
        columns.append(
            (key, name_of_setting(key), _kind(runs, key), True, lambda r, k=key: r.config.get(k))
        )
    columns += [
        ("params", "parameters", "integer", True, lambda r: r.params),
        ("seconds", "seconds", "number", True, lambda r: r.seconds),
        ("steps", "updates", "integer", False, lambda r: r.steps),
        ("epochs", "epochs", "number", False, lambda r: r.epochs),
        ("device", "device", "text", False, lambda r: r.device),
        ("name", "run", "text", True, lambda r: r.name),
    ]
    return {
        "columns": [{"key": k, "name": n, "kind": d, "shown": s} for k, n, d, s, _ in columns],
        "rows": [[_short(take(run)) for *_, take in columns] for run in runs],
    }


def _kind(runs: Sequence[ReportRun], key: str) -> str:
    values = [v for run in runs if (v := run.config.get(key)) is not None]
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return "number" if values and numbers else "text"


def _short(value: Any) -> Any:
    value = plain(value)
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _details(runs: Sequence[ReportRun], where: Sequence[int | None], n: int) -> dict[str, Any]:
    """What a run's drawer shows; settings that most runs of a comparison share are held once."""
    bases: list[dict[str, Any]] = []
    for place in range(n):
        here = [run for run, at in zip(runs, where, strict=True) if at == place and run.config]
        count: dict[str, Counter[str]] = {}
        values: dict[tuple[str, str], Any] = {}
        for run in here:
            for key, value in run.config.items():
                said = repr(value)
                count.setdefault(key, Counter())[said] += 1
                values[key, said] = value
        common = {key: said for key, c in count.items() for said, _ in [c.most_common(1)[0]]}
        bases.append({key: plain(values[key, said]) for key, said in common.items()})
    changed = []
    for run, at in zip(runs, where, strict=True):
        base = bases[at] if at is not None else {}
        own = {k: v for k, value in run.config.items() if (v := plain(value)) != base.get(k, ())}
        gone = {k: "–" for k in base if run.config and k not in run.config}
        changed.append({**own, **gone})
    return {
        "base": bases,
        "changed": changed,
        "command": [run.command for run in runs],
        "error": [run.error for run in runs],
        "path": [run.path for run in runs],
        "state": [run.state for run in runs],
        "curves": [_curves(run) for run in runs],
    }


def _curves(run: ReportRun) -> dict[str, Any]:
    return {
        name: [[_short(s) for s in steps], [_four(v) for v in values]]
        for name, (steps, values) in run.curves.items()
    }


def _four(value: float) -> Any:
    value = plain(value)
    return float(f"{value:.4g}") if isinstance(value, float) else value
