"""Tables as files: what is written can be read back, by programs and by TeX."""

from __future__ import annotations

import csv
import io
import math
import shutil
import subprocess
from pathlib import Path

import pytest

from odyssey.report.io.formats import (
    Column,
    Table,
    format_number,
    format_p,
    to_csv,
    to_latex,
    to_markdown,
)
from odyssey.report.stats.samples import Interval

HOSTILE = r"a_b & 50% #1 {x} ~ ^ \end{table} $m$ <b> | “q”"
TABLE = Table(
    "made",
    "A title with 10% & more",
    [
        Column("variant"),
        Column("n", "integer"),
        Column("mean", "interval", digits=4),
        Column("p", "p"),
        Column("value", "number"),
        Column("empty"),
    ],
    [
        [HOSTILE, 1234, Interval(8.5, 8.25, 8.75), 0.00012, -0.001234, ""],
        ["plain", None, Interval(math.nan, math.nan, math.nan), math.nan, math.inf, None],
        ["one run", 1, Interval(3.0, math.nan, math.nan), 0.5, 0, ""],
    ],
    "A note.",
)


def test_csv_gives_every_digit_back():
    rows = list(csv.DictReader(io.StringIO(to_csv(TABLE))))
    assert rows[0]["variant"] == HOSTILE
    assert [float(rows[0][k]) for k in ("mean", "mean low", "mean high")] == [8.5, 8.25, 8.75]
    assert float(rows[0]["p"]) == 0.00012 and float(rows[0]["value"]) == -0.001234
    assert rows[1]["n"] == rows[1]["mean"] == rows[1]["p"] == ""
    assert float(rows[1]["value"]) == math.inf
    assert rows[2]["mean"] == "3.0" and rows[2]["mean low"] == ""


def test_markdown_has_a_cell_for_each_column_and_leaves_out_what_is_empty():
    lines = to_markdown(TABLE).splitlines()
    assert lines[2] == "| variant | n | mean | p | value |"
    assert {line.replace(r"\|", "").count("|") for line in lines[2:7]} == {6}
    assert "8.500 [8.250, 8.750]" in lines[4] and "<0.001" in lines[4] and "1,234" in lines[4]
    assert lines[6].startswith("| one run | 1 | 3.000 |")


def test_latex_says_what_it_needs_and_has_nothing_that_tex_would_take_for_its_own():
    text = to_latex(TABLE)
    assert r"\toprule" in text and r"\usepackage{booktabs}" in text
    row = next(line for line in text.splitlines() if "50" in line)
    assert r"a\_b \& 50\% \#1 \{x\}" in row and r"\textbackslash{}end\{table\} \$m\$" in row
    body = text[text.index("midrule") : text.index("bottomrule")]
    cells = [line.replace(r"\&", "").count("&") for line in body.splitlines() if "&" in line]
    assert cells == [4, 4, 4]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex here")
def test_latex_compiles(tmp_path: Path):
    start = r"\documentclass{article}\usepackage{booktabs}\begin{document}"
    (tmp_path / "t.tex").write_text(start + to_latex(TABLE) + r"\end{document}")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (8.38214, "8.38"),
        (0.0, "0"),
        (-0.5, "−0.500"),
        (1234567.0, "1234567"),
        (12345678.0, "1.23e+07"),
        (0.000123, "0.000123"),
        (0.00000123, "1.23e−06"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (math.nan, "–"),
    ],
)
def test_numbers_have_three_digits(value: float, shown: str):
    assert format_number(value) == shown


def test_p_values():
    assert [format_p(p) for p in (0.0001, 0.012, 0.12, 1.0)] == ["<0.001", "0.012", "0.12", "1.00"]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ('=HYPERLINK("http://a","b")', '\'=HYPERLINK("http://a","b")'),
        ("+1+2", "'+1+2"),
        ("-a", "'-a"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("-1.5e-3", "-1.5e-3"),
        ("-inf", "-inf"),
        ("cell=gru", "cell=gru"),
        (True, "true"),
        (None, ""),
        (math.nan, ""),
        (-0.25, "-0.25"),
    ],
)
def test_no_text_is_a_formula_of_a_spreadsheet(value, cell):
    table = Table("t", "T", [Column("a"), Column("b")], [[value, "x"]])
    (row,) = list(csv.reader(io.StringIO(to_csv(table))))[1:]
    assert row == [cell, "x"]


def test_markdown_has_no_tags_of_html():
    table = Table("t", "T", [Column("a")], [["<img src=x onerror=alert(1)> < 0.001 </b> <!-- -->"]])
    line = to_markdown(table).splitlines()[4]
    assert line == "| &lt;img src=x onerror=alert(1)> < 0.001 &lt;/b> &lt;!-- --> |"
