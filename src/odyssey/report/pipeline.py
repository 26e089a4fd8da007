"""From a collection of runs to a report: analyses, files, JSON and the text in the terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

from odyssey.io import write_bytes, write_text
from odyssey.report.analysis.analyse import analyse
from odyssey.report.analysis.factor_words import factors_as_plain, headlines
from odyssey.report.analysis.options import Options
from odyssey.report.analysis.outcomes import select_metrics
from odyssey.report.analysis.over_tasks import OverTasks
from odyssey.report.analysis.over_tasks_tables import over_tasks_tables
from odyssey.report.analysis.result import Analysis, Comparison, Verdict
from odyssey.report.analysis.tables import make_tables
from odyssey.report.figures import FIGURES, Maker, figures
from odyssey.report.figures.marks import Figure
from odyssey.report.figures.over_tasks import over_tasks_figures
from odyssey.report.io.export import export_runs
from odyssey.report.io.formats import Table, to_csv, to_latex, to_markdown
from odyssey.report.io.runs import Collection
from odyssey.report.page.build import write_page
from odyssey.report.payload import Made, MadeOverTasks, headline, payload, plain
from odyssey.report.stats.items import ItemsError
from odyssey.study.formatting import duration, several

LONGEST_NAME = 80  # characters of a file name
MOST_VARIANTS = 30  # of a comparison in the terminal
OVER_TASKS = "over-tasks"  # folder of what several comparisons say together
Progress = Callable[[str], None]  # called with what has been done
AnalysedComparisons = list[tuple[Comparison, list[Analysis]]]


def analyse_all(
    comparisons: Sequence[Comparison], options: Options, metric: str | None, progress: Progress
) -> AnalysedComparisons:
    """Every comparison by every metric, or by the one that is asked for."""
    names = select_metrics(comparisons, metric)
    return [
        (comparison, [analyse(comparison, name, options, progress) for name in here])
        for comparison, here in zip(comparisons, names, strict=True)
    ]


def count_steps(comparisons: Sequence[Comparison], metric: str | None) -> int:
    """About how often `analyse_all` calls `progress`."""
    names = select_metrics(comparisons, metric)
    return sum(
        len(here) * (2 * len(c.variants) + 1) for c, here in zip(comparisons, names, strict=True)
    )


# --- files ---


@dataclass(frozen=True)
class WrittenReport:
    """Where a report was written, and how much."""

    folder: Path
    page: Path
    page_bytes: int
    figures: int
    tables: int


def write_report(
    collection: Collection,
    analysed: AnalysedComparisons,
    folder: Path,
    title: str,
    with_figures: bool,
    progress: Progress,
    own: Sequence[Maker] = (),
    over: OverTasks | None = None,
) -> WrittenReport:
    """Write all files of the report into `folder`, over those of an earlier one.

    over: what the comparisons say together.
    with_figures: whether to write the PDF and PNG files; the page has its figures in any case.
    own: figures of the user's own, which come after the others.
    Raises OSError or UserError where a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    index = {(run.study, run.name): i for i, run in enumerate(collection.runs)}
    made: list[tuple[Comparison, list[Made]]] = []
    n_figures = n_tables = 0
    for comparison, analyses in analysed:
        here: list[Made] = []
        names = safe_file_names([analysis.metric.name for analysis in analyses])
        for analysis, name in zip(analyses, names, strict=True):
            place = Path(comparison.key) / name
            all_tables = make_tables(analysis)
            all_figures = figures(analysis, run_index=index, makers=(*FIGURES, *own))
            n_tables += _write_tables(folder / "tables" / place, all_tables)
            if with_figures:
                n_figures += _draw(folder / "figures" / place, all_figures, progress)
            here.append((analysis, all_tables, all_figures))
        made.append((comparison, here))
    together: MadeOverTasks | None = None
    if over is not None:
        together = over, over_tasks_tables(over), over_tasks_figures(over)
        n_tables += _write_tables(folder / "tables" / OVER_TASKS, together[1])
        if with_figures:
            n_figures += _draw(folder / "figures" / OVER_TASKS, together[2], progress)
    export_runs(collection, folder)
    progress("runs.parquet, runs.csv")
    text = json.dumps(
        verdicts_as_json(analysed, over), indent=2, ensure_ascii=False, allow_nan=False
    )
    write_text(folder / "verdict.json", text + "\n", sync=False)
    page = folder / "index.html"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    size = write_page(page, payload(title, now, version("rnn-odyssey"), collection, made, together))
    progress("index.html")
    return WrittenReport(folder, page, size, n_figures, n_tables)


def _write_tables(folder: Path, tables: Sequence[Table]) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    for table in tables:
        for suffix, convert in (("csv", to_csv), ("md", to_markdown), ("tex", to_latex)):
            write_text(folder / f"{table.key}.{suffix}", convert(table), sync=False)
    return len(tables)


def _draw(folder: Path, made: Sequence[Figure], progress: Progress) -> int:
    from odyssey.report.figures import mpl  # late: a report without these files needs none of it

    folder.mkdir(parents=True, exist_ok=True)
    for figure, name in zip(made, safe_file_names([figure.key for figure in made]), strict=True):
        paper = mpl.draw(figure)
        for suffix in ("pdf", "png"):
            # In memory first: matplotlib's PDF writer turns a full disk into another error.
            content = BytesIO()
            paper.savefig(content, format=suffix, dpi=200)
            write_bytes(folder / f"{name}.{suffix}", content.getvalue(), sync=False)
        progress(f"figure {figure.key}")
    return len(made)


def safe_file_names(labels: Sequence[str]) -> list[str]:
    """A file name for each label, all different even where case does not count.

    Of a label, anything but letters, digits and `_.=-` is replaced. No name is a path or hidden.
    """
    found: list[str] = []
    taken: set[str] = set()
    for label in labels:
        first = re.sub(r"[^A-Za-z0-9_.=-]+", "-", label).strip(".-")[:LONGEST_NAME] or "unnamed"
        name, number = first, 2
        while name.lower() in taken:
            name, number = f"{first}-{number}", number + 1
        taken.add(name.lower())
        found.append(name)
    return found


# --- JSON ---


def verdicts_as_json(
    analysed: Sequence[tuple[Comparison, Sequence[Analysis]]],
    over: OverTasks | None = None,
) -> dict[str, Any]:
    """All verdicts with their numbers and notes; numbers that JSON does not have are null."""
    return {
        "over_tasks": None if over is None else _over_tasks_as_json(over),
        "comparisons": [
            {
                "title": c.title,
                "task": c.task,
                "data": {"name": c.data, "sha256": c.data_hash},
                "design": c.kind,
                "baseline": c.baseline,
                "studies": [study.name for study in c.studies],
                "plans": {s.name: s.plan and asdict(s.plan) for s in c.studies},
                "notes": c.notes,
                "set_apart": c.apart,
                "not_read": [note for study in c.studies for note in study.notes],
                "metrics": [_analysis_as_json(a) for a in analyses],
            }
            for c, analyses in analysed
        ],
    }


def _over_tasks_as_json(over: OverTasks) -> dict[str, Any]:
    return {
        "tasks": over.tasks,
        "baseline": over.baseline,
        "sentences": over.sentences(),
        "notes": over.notes,
        "friedman": plain(asdict(over.friedman)),
        "variants": [
            {
                "variant": label,
                "mean_rank": plain(over.mean_rank[label]),
                "ranks": over.ranks[label],
                "wins": plain(asdict(over.wins[label])) if label in over.wins else None,
                "ratios": plain(asdict(over.ratios[label])) if label in over.ratios else None,
            }
            for label in over.labels
        ],
    }


def _analysis_as_json(analysis: Analysis) -> dict[str, Any]:
    return {
        "metric": analysis.metric.name,
        "better": analysis.better,
        "part": analysis.part,
        "share_of_trials": analysis.share,
        "margin": analysis.margin,
        "alpha": analysis.alpha,
        "chosen_late": analysis.late,
        "notes": analysis.notes,
        "variants": [
            {
                "variant": s.variant.label,
                "settings": dict(s.variant.settings),
                "counts": dict(s.counts),
                "compared": [o.run.name for o in s.chosen],
                "mean": plain(s.mean),
                "median": plain(s.median),
                "iqm": plain(s.iqm),
                "best": s.best.run.name if s.best else None,
            }
            for s in analysis.summaries
        ],
        "verdicts": [_verdict_as_json(v, analysis.items.get(v.variant)) for v in analysis.verdicts],
        "factors": plain(factors_as_plain(analysis.factors, analysis.metric.unit)),
        "all_pairs": _pairs_as_json(analysis),
    }


def _pairs_as_json(analysis: Analysis) -> dict[str, Any]:
    """The second family: every pair, and the groups that are not told apart."""
    found = analysis.all_pairs
    if found is None:
        return {"missing": "", "groups": [], "pairs": []}
    pairs = [
        {
            "variant": one,
            "against": other,
            "word": d.conclusion,
            "difference": plain(d.difference),
            "p": plain(d.p),
            "holm_p": plain(d.holm_p),
            "test": d.test,
        }
        for (one, other), d in found.decisions.items()
    ]
    return {
        "missing": found.missing,
        "groups": found.groups if pairs else [],
        "pairs": pairs,
    }


def _verdict_as_json(verdict: Verdict, items: ItemsError | None) -> dict[str, Any]:
    """All fields, the conclusion under the key `word`; what the test sequences leave open."""
    fields = asdict(verdict)
    decision = fields.pop("decision")
    word = decision.pop("conclusion")
    more = {"test_items": None if items is None else asdict(items)}
    return {"word": word, **{k: plain(v) for k, v in {**fields, **decision, **more}.items()}}


# --- terminal ---


def terminal_summary(
    collection: Collection,
    analysed: AnalysedComparisons,
    written: WrittenReport,
    seconds: float,
    over: OverTasks | None = None,
) -> str:
    """The verdicts by the first metric of each comparison, and where the files are.

    seconds: how long the report took. over: what the comparisons say together.
    """
    lines = []
    if over is not None:
        lines += ["over all tasks", *(f"  {said}" for said in over.sentences())]
        lines += [*(f"  note: {note}" for note in over.notes), ""]
    for comparison, analyses in analysed:
        if not analyses:
            lines += [f"{comparison.title}: no run has a result yet", ""]
            continue
        first = analyses[0]
        better = f"{first.better} is better"
        lines.append(f"{comparison.title}: {first.metric.label}, {first.part}, {better}")
        verdicts = headline(first)
        width = max((len(line["variant"]) for line in verdicts), default=0)
        for line in verdicts[:MOST_VARIANTS]:
            lines.append(f"  {line['variant']:<{width}}  {line['sentence']}")
        if len(verdicts) > MOST_VARIANTS:
            lines.append(f"  … {len(verdicts) - MOST_VARIANTS} more on the page")
        if first.factors is not None:
            effects = headlines(first.factors, first.metric.unit)
            lines += [f"  factors: {what}, {text}" for what, text in effects]
        if first.all_pairs is not None and (said := first.all_pairs.sentence()):
            lines.append(f"  all pairs: {said}")
        lines += [f"  note: {note}" for note in comparison.notes]
        lines += [f"  set apart: {note}" for note in comparison.apart]
        lines.append("")
    runs = several(len(collection.runs), "run")
    made = f"{several(written.tables, 'table')} and {several(written.figures, 'figure')}"
    lines += [
        f"{runs} read, {made} written in {duration(seconds)}",
        f"page    {written.page} ({written.page_bytes / 1e6:.1f} MB; opens without a network)",
        f"files   {written.folder}: figures/, tables/, runs.parquet, runs.csv, verdict.json",
    ]
    return "\n".join(_printable(line) for line in lines)


def _printable(line: str) -> str:
    """The line without control characters, which a label read from a file may hold."""
    return "".join(sign if sign.isprintable() else "?" for sign in line)
