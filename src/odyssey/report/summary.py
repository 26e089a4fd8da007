"""What the terminal says once a report is made."""

from __future__ import annotations

from odyssey.report.make import Analysed, Written
from odyssey.report.names import name_of_metric
from odyssey.report.payload import headline
from odyssey.report.runs import Collection
from odyssey.study.shown import duration, several

MOST = 30  # variants in the terminal


def summary(collection: Collection, found: Analysed, made: Written, seconds: float) -> str:
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
        for line in said[:MOST]:
            lines.append(f"  {line['variant']:<{width}}  {line['sentence']}")
        if len(said) > MOST:
            lines.append(f"  … {len(said) - MOST} more on the page")
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
