"""From a collection of runs to files: the page, figures, tables, the runs, the verdicts."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

from odyssey.report.analysis.analyse import analyse
from odyssey.report.analysis.names import name_of_metric
from odyssey.report.analysis.outcomes import select_metrics
from odyssey.report.analysis.result import Analysis, Comparison, Options
from odyssey.report.analysis.tables import make_tables
from odyssey.report.figures import figures
from odyssey.report.figures.marks import Figure
from odyssey.report.io.export import export_runs
from odyssey.report.io.formats import Table, to_csv, to_latex, to_markdown
from odyssey.report.io.runs import Collection
from odyssey.report.page.build import write_page
from odyssey.report.payload import Made, headline, payload, plain
from odyssey.study.formatting import duration, several

LONGEST_NAME = 80


def safe_file_names(labels: Sequence[str]) -> list[str]:
    """A name of plain letters for each label, no two alike, also where case does not count.

    A label of letters, digits and `_.=-` is its own name; no name is a path or hidden.
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


def verdicts_as_json(
    comparisons: Sequence[tuple[Comparison, Sequence[Analysis]]],
) -> dict[str, Any]:
    """Every verdict with its numbers and what it rests on; numbers that JSON has not are null."""
    return {
        "comparisons": [
            {
                "title": c.title,
                "task": c.task,
                "data": {"name": c.data, "sha256": c.data_hash},
                "design": c.kind,
                "baseline": c.baseline,
                "studies": [study.name for study in c.studies],
                "notes": c.notes,
                "set_apart": c.apart,
                "not_read": [note for study in c.studies for note in study.notes],
                "metrics": [_analysis(a) for a in analyses],
            }
            for c, analyses in comparisons
        ]
    }


def _analysis(analysis: Analysis) -> dict[str, Any]:
    return {
        "metric": analysis.metric,
        "better": analysis.better,
        "part": analysis.part,
        "share_of_trials": analysis.share,
        "margin": analysis.margin,
        "alpha": analysis.alpha,
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
        "verdicts": [
            {key: plain(value) for key, value in asdict(v).items()} for v in analysis.verdicts
        ],
    }


Progress = Callable[[str], None]
AnalysedComparisons = list[tuple[Comparison, list[Analysis]]]


@dataclass(frozen=True)
class WrittenReport:
    """Where things are."""

    folder: Path
    page: Path
    page_bytes: int
    figures: int
    tables: int


def analyse_all(
    comparisons: Sequence[Comparison], options: Options, metric: str | None, tell: Progress
) -> AnalysedComparisons:
    """Every comparison by every metric, or by the one that is asked for."""
    names = select_metrics(comparisons, metric)
    return [
        (comparison, [analyse(comparison, name, options, tell) for name in here])
        for comparison, here in zip(comparisons, names, strict=True)
    ]


def count_steps(comparisons: Sequence[Comparison], metric: str | None) -> int:
    """How often `tell` is called by `analyse_all`, nearly."""
    names = select_metrics(comparisons, metric)
    return sum(
        len(here) * (2 * len(c.variants) + 1) for c, here in zip(comparisons, names, strict=True)
    )


def write_report(
    collection: Collection,
    found: AnalysedComparisons,
    folder: Path,
    title: str,
    with_figures: bool,
    tell: Progress,
) -> WrittenReport:
    """All files of the report, into `folder`. What a former report left there is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    index = {(run.study, run.name): i for i, run in enumerate(collection.runs)}
    made: list[tuple[Comparison, list[Made]]] = []
    drawn = written = 0
    for comparison, analyses in found:
        here: list[Made] = []
        names = safe_file_names([analysis.metric for analysis in analyses])
        for analysis, name in zip(analyses, names, strict=True):
            place = Path(comparison.key) / name
            all_tables, all_figures = make_tables(analysis), figures(analysis, run_index=index)
            written += _write_tables(folder / "tables" / place, all_tables)
            if with_figures:
                drawn += _draw(folder / "figures" / place, all_figures, tell)
            here.append((analysis, all_tables, all_figures))
        made.append((comparison, here))
    export_runs(collection, folder)
    tell("runs.parquet, runs.csv")
    text = json.dumps(verdicts_as_json(found), indent=2, ensure_ascii=False, allow_nan=False)
    with _whole(folder / "verdict.json") as file:
        file.write_text(text + "\n", encoding="utf-8")
    page = folder / "index.html"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    content = payload(title, now, version("rnn-odyssey"), collection, made)
    with _whole(page) as file:
        size = write_page(file, content)
    tell("index.html")
    return WrittenReport(folder, page, size, drawn, written)


def _write_tables(folder: Path, made: list[Table]) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    for table in made:
        (folder / f"{table.key}.csv").write_text(to_csv(table), encoding="utf-8")
        (folder / f"{table.key}.md").write_text(to_markdown(table), encoding="utf-8")
        (folder / f"{table.key}.tex").write_text(to_latex(table), encoding="utf-8")
    return len(made)


def _draw(folder: Path, made: list[Figure], tell: Progress) -> int:
    from odyssey.report.figures import mpl  # late: a report without these files needs none of it

    folder.mkdir(parents=True, exist_ok=True)
    for figure, name in zip(made, safe_file_names([figure.key for figure in made]), strict=True):
        paper = mpl.draw(figure)
        for form in ("pdf", "png"):
            # In memory first: matplotlib's PDF writer turns a full disk into another error.
            drawn = BytesIO()
            paper.savefig(drawn, format=form, dpi=200)
            (folder / f"{name}.{form}").write_bytes(drawn.getvalue())
        tell(f"figure {figure.key}")
    return len(made)


@contextmanager
def _whole(file: Path) -> Iterator[Path]:
    """A name to write to; the file is replaced once all of it is there."""
    part = file.with_name(f".{file.name}.part")
    try:
        yield part
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


MOST_VARIANTS = 30  # variants in the terminal


def terminal_summary(
    collection: Collection, found: AnalysedComparisons, made: WrittenReport, seconds: float
) -> str:
    """The verdicts by each comparison's first metric, and where things are."""
    lines = []
    for comparison, analyses in found:
        if not analyses:
            lines += [f"{comparison.title}: no run has a result yet", ""]
            continue
        first = analyses[0]
        name = name_of_metric(first.metric)
        lines.append(f"{comparison.title}: {name}, {first.part}, {first.better} is better")
        said = headline(first)
        width = max((len(line["variant"]) for line in said), default=0)
        for line in said[:MOST_VARIANTS]:
            lines.append(f"  {line['variant']:<{width}}  {line['sentence']}")
        if len(said) > MOST_VARIANTS:
            lines.append(f"  … {len(said) - MOST_VARIANTS} more on the page")
        lines += [f"  note: {note}" for note in comparison.notes]
        lines += [f"  set apart: {note}" for note in comparison.apart]
        lines.append("")
    runs = several(len(collection.runs), "run")
    lines += [
        f"{runs} read, {several(made.tables, 'table')} and {several(made.figures, 'figure')} "
        f"written in {duration(seconds)}",
        f"page    {made.page} ({made.page_bytes / 1e6:.1f} MB; opens without a network)",
        f"files   {made.folder}: figures/, tables/, runs.parquet, runs.csv, verdict.json",
    ]
    return "\n".join(_printable(line) for line in lines)


def _printable(line: str) -> str:
    """Without signs that would steer the terminal, which a label of a run's file may hold."""
    return "".join(sign if sign.isprintable() else "?" for sign in line)
