"""Tables of a report, and their formats: CSV, Markdown and LaTeX (booktabs)."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from odyssey.report.stats.samples import Interval


@dataclass(frozen=True)
class Column:
    """Heading and format of a column."""

    name: str
    kind: str = "text"  # "text", "number", "integer", "share" (0 to 1), "p" or "interval"
    help: str = ""  # a sentence that explains it
    digits: int = 3  # significant digits of numbers and intervals


@dataclass(frozen=True)
class Table:
    """A table whose cells are strings, numbers, Intervals or None."""

    key: str  # for file names
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    note: str = ""  # below the table


NAN_SIGN = "–"
LATEX_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "“": "``",
    "”": "''",
    "²": r"\textsuperscript{2}",
    "±": r"$\pm$",
    "†": r"\dag{}",
    "×": r"$\times$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def to_csv(table: Table) -> str:
    """The table as CSV, with all digits; an interval takes three columns."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    head: list[str] = []
    for column in table.columns:
        head.append(column.name)
        if column.kind == "interval":
            head += [f"{column.name} low", f"{column.name} high"]
    writer.writerow(head)
    for row in table.rows:
        cells: list[Any] = []
        for column, cell in zip(table.columns, row, strict=True):
            if column.kind == "interval":
                ends = (cell.value, cell.low, cell.high) if isinstance(cell, Interval) else ()
                cells += [csv_cell(v) for v in ends] if ends else [""] * 3
            else:
                cells.append(csv_cell(cell))
        writer.writerow(cells)
    return out.getvalue()


def to_markdown(table: Table) -> str:
    """The table as Markdown, with title and note; empty columns are left out."""
    rows = [[format_cell(c, v) for c, v in zip(table.columns, r, strict=True)] for r in table.rows]
    head = [c.name for c in table.columns]
    kept = [i for i, _ in enumerate(head) if any(row[i] for row in rows)]
    lines = [
        _markdown_row(head[i] for i in kept),
        "|"
        + "|".join(" --- " if table.columns[i].kind == "text" else " ---: " for i in kept)
        + "|",
        *(_markdown_row(row[i] for i in kept) for row in rows),
    ]
    note = f"\n\n{table.note}" if table.note else ""
    return f"**{table.title}**\n\n" + "\n".join(lines) + note + "\n"


def to_latex(table: Table) -> str:
    """The table as a LaTeX `table`, which needs the package booktabs."""
    rows = [[format_cell(c, v) for c, v in zip(table.columns, r, strict=True)] for r in table.rows]
    kept = [i for i, _ in enumerate(table.columns) if any(row[i] for row in rows)]
    align = "".join("l" if table.columns[i].kind == "text" else "r" for i in kept)
    body = [" & ".join(_escape_latex(row[i]) for i in kept) + r" \\" for row in rows]
    caption = _escape_latex(f"{table.title}. {table.note}".strip())
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{caption}}}",
            rf"  \label{{tab:{re.sub(r'[^A-Za-z0-9-]', '-', table.key)}}}",
            rf"  \begin{{tabular}}{{{align}}}",
            r"    \toprule",
            "    " + " & ".join(_escape_latex(table.columns[i].name) for i in kept) + r" \\",
            r"    \midrule",
            *(f"    {line}" for line in body),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def format_cell(column: Column, cell: Any) -> str:
    """The text of a cell, rounded; empty for None and nan."""
    if isinstance(cell, Interval):
        value = format_number(cell.value, column.digits)
        if math.isnan(cell.low) or math.isnan(cell.high):
            return value
        low, high = (format_number(end, column.digits) for end in (cell.low, cell.high))
        return f"{value} [{low}, {high}]"
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, bool | str):
        return str(cell)
    if column.kind == "integer" and float(cell).is_integer():
        return f"{int(cell):,}"
    if column.kind == "p":
        return format_p(float(cell))
    if column.kind == "share":
        return f"{cell:.1%}"
    if isinstance(cell, int | float):
        return format_number(float(cell), column.digits)
    return str(cell)


def format_number(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, and an exponent only if it is large or small."""
    if math.isnan(value):
        return NAN_SIGN
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    power = math.floor(math.log10(abs(value)))
    if -4 <= power < 7:
        text = f"{value:.{max(digits - 1 - power, 0)}f}"
        return text.replace("-", "−")
    return f"{value:.{digits - 1}e}".replace("-", "−")


def format_p(p: float) -> str:
    """`0.012`, `<0.001`."""
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def csv_cell(value: Any) -> Any:
    """A value for a cell of a CSV file, all digits of a number.

    A text that a spreadsheet would take for a formula, and run, has an apostrophe before it.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(value)
    if isinstance(value, str) and value[:1] in FORMULA and not NUMBER.fullmatch(value):
        return f"'{value}"
    return "" if value is None else value


# OWASP, "CSV injection": what begins a formula in Excel, LibreOffice and others.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(inf|nan)", re.IGNORECASE)


def _markdown_row(cells: Any) -> str:
    return "| " + " | ".join(map(_markdown_cell, cells)) + " |"


def _markdown_cell(text: str) -> str:
    """Without what would end the cell, and without tags of HTML."""
    return re.sub("<(?=[A-Za-z/!?])", "&lt;", text.replace("|", r"\|").replace("\n", " "))


def _escape_latex(text: str) -> str:
    text = "".join(LATEX_ESCAPES.get(c, c) for c in text)
    return text.replace("−", "$-$").replace("∞", r"$\infty$")
