"""From a collection of runs to files: the page, figures, tables, the runs, the verdicts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from io import BytesIO
from pathlib import Path

from odyssey.report.analyse import analyse
from odyssey.report.export import export
from odyssey.report.figures import figures
from odyssey.report.figures.marks import Figure
from odyssey.report.file_names import file_names
from odyssey.report.formats import as_csv, as_latex, as_markdown
from odyssey.report.make_tables import tables
from odyssey.report.metrics import wanted
from odyssey.report.options import Options
from odyssey.report.page.build import write_page
from odyssey.report.payload import Made, payload
from odyssey.report.result import Analysis, Comparison
from odyssey.report.runs import Collection
from odyssey.report.tables import Table
from odyssey.report.verdict_json import verdict_json

Tell = Callable[[str], None]
Analysed = list[tuple[Comparison, list[Analysis]]]


@dataclass(frozen=True)
class Written:
    """Where things are."""

    folder: Path
    page: Path
    page_bytes: int
    figures: int
    tables: int


def analyse_all(
    comparisons: Sequence[Comparison], options: Options, metric: str | None, tell: Tell
) -> Analysed:
    """Every comparison by every metric, or by the one that is asked for."""
    names = wanted(comparisons, metric)
    return [
        (comparison, [analyse(comparison, name, options, tell) for name in here])
        for comparison, here in zip(comparisons, names, strict=True)
    ]


def steps(comparisons: Sequence[Comparison], metric: str | None) -> int:
    """How often `tell` is called by `analyse_all`, nearly."""
    names = wanted(comparisons, metric)
    return sum(
        len(here) * (2 * len(c.variants) + 1) for c, here in zip(comparisons, names, strict=True)
    )


def write(
    collection: Collection,
    found: Analysed,
    folder: Path,
    title: str,
    with_figures: bool,
    tell: Tell,
) -> Written:
    """All files of the report, into `folder`. What a former report left there is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    index = {(run.study, run.name): i for i, run in enumerate(collection.runs)}
    made: list[tuple[Comparison, list[Made]]] = []
    drawn = written = 0
    for comparison, analyses in found:
        here: list[Made] = []
        names = file_names([analysis.metric for analysis in analyses])
        for analysis, name in zip(analyses, names, strict=True):
            place = Path(comparison.key) / name
            all_tables, all_figures = tables(analysis), figures(analysis, run_index=index)
            written += _write_tables(folder / "tables" / place, all_tables)
            if with_figures:
                drawn += _draw(folder / "figures" / place, all_figures, tell)
            here.append((analysis, all_tables, all_figures))
        made.append((comparison, here))
    export(collection, folder)
    tell("runs.parquet, runs.csv")
    text = json.dumps(verdict_json(found), indent=2, ensure_ascii=False, allow_nan=False)
    with _whole(folder / "verdict.json") as file:
        file.write_text(text + "\n", encoding="utf-8")
    page = folder / "index.html"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    content = payload(title, now, version("rnn-odyssey"), collection, made)
    with _whole(page) as file:
        size = write_page(file, content)
    tell("index.html")
    return Written(folder, page, size, drawn, written)


def _write_tables(folder: Path, made: list[Table]) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    for table in made:
        (folder / f"{table.key}.csv").write_text(as_csv(table), encoding="utf-8")
        (folder / f"{table.key}.md").write_text(as_markdown(table), encoding="utf-8")
        (folder / f"{table.key}.tex").write_text(as_latex(table), encoding="utf-8")
    return len(made)


def _draw(folder: Path, made: list[Figure], tell: Tell) -> int:
    from odyssey.report.figures import mpl

    folder.mkdir(parents=True, exist_ok=True)
    for figure, name in zip(made, file_names([figure.key for figure in made]), strict=True):
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
