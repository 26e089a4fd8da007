"""The user's own labelled texts, from tables and folders as they are found.

What a file is, is seen in its content and not in its ending: compressed by gzip, Parquet, JSON
lines, or fields with a comma, a semicolon, a tab or a bar between them.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from odyssey.data.columns import Columns, find_columns, has_both, shown
from odyssey.data.encoding import read_as_utf8
from odyssey.data.identity import labelled_hash
from odyssey.data.splits import stratified
from odyssey.data.table_files import TableFile, table_files
from odyssey.data.text import read_bytes
from odyssey.data.types import Dataset, Labelled, Text
from odyssey.errors import UserError

PathLike = str | os.PathLike[str]

# Rarest in prose first: where two would do, the first is it.
SEPARATORS = {"\t": "tabs", "|": "bars", ";": "semicolons", ",": "commas"}
SAMPLE = 200_000  # characters of a file in which the separator is looked for
LEAST_TEXTS = 3  # different texts of a class in data that are split: one for each part
LONGEST_FIELD = 1 << 30  # characters; csv's own limit is shorter than a long review
GZIP, PARQUET, ZIP = b"\x1f\x8b", b"PAR1", b"PK\x03\x04"
VALID_SHARE = 0.1  # of the training part, where a folder has no validation part


@dataclass
class Raw:
    """A file's rows as text.

    named: whether the first row is a header for certain. form: what it is, in a few words.
    lines: the line that each row ends on.
    """

    form: str
    rows: list[list[str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    named: bool = False
    notes: list[str] = field(default_factory=list)
    row: str = "line"  # what a message counts by


@dataclass
class Table:
    """A file's texts, their labels, and where each row is, for messages."""

    name: str
    texts: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    skipped: int = 0  # rows without a text or without a label
    file: str = ""  # its name alone
    notes: list[str] = field(default_factory=list)  # how it was understood, a phrase each


def read_labelled(
    path: PathLike | None,
    split_seed: int = 0,
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    encoding: str | None = None,
) -> Dataset[Labelled]:
    """The user's labelled texts, and in `notes` how they were understood.

    path: a table (CSV with commas, semicolons, tabs or bars, JSON lines, Parquet; each may be
        compressed by gzip), a folder with a table for each part, or one with a folder of text files
        for each class, also within train and test
    text_column, label_column: the name of a column, or its number from 1; None: found where the
        header or the content leaves one possibility
    encoding: of text files; None: found as `read_as_utf8` does

    The classes are the labels of the training part, sorted. What comes as one is split 80/10/10 at
    random with a fixed seed, the same shares of each class, rows of the same text together. Parts
    are taken as they are; a tenth of the training part becomes the validation part that is missing.
    Rows with an empty text or label are skipped. Raises UserError.
    """
    if path is None:
        raise UserError(
            "task.data=csv needs task.path=… to name a file of labelled texts, a folder with the "
            "files train, valid and test, or a folder with one folder for each class"
        )
    files = table_files(path)
    tables = _tables(path, files, Columns(text_column, label_column), encoding)
    first = tables[files[0].part]
    classes = tuple(sorted(set(first.labels)))
    if len(classes) < 2:
        raise UserError(
            f"task.path={path}: every label in {first.name} is '{classes[0]}'; "
            "at least two classes are needed"
        )
    if len(classes) > max(2, len(first.labels) // 2):
        raise UserError(
            f"{first.name} has {len(classes):,} different labels in {len(first.labels):,} rows, "
            "which are no classes: name the column that holds them by task.label_column=…"
        )
    parts = {part: _with_class_indices(table, classes) for part, table in tables.items()}
    notes = [_understood(list(tables.values()))]
    if "" in parts:
        train, valid, test = _split(first.name, parts[""], split_seed)
        notes.append("split at random: 80% train, 10% valid, 10% test, the same shares of a class")
    elif "valid" not in parts:
        shares = (1 - VALID_SHARE, VALID_SHARE)
        train, valid = _drawn(first.name, parts["train"], shares, split_seed)
        test = parts["test"]
        notes.append(
            f"no part for validation: {len(valid.texts):,} of the {len(first.texts):,} training "
            "texts are drawn for it, the same shares of a class"
        )
    else:
        train, valid, test = parts["train"], parts["valid"], parts["test"]
    return Dataset("csv", labelled_hash(path), train, valid, test, notes=tuple(notes))


def _tables(
    path: PathLike, files: Sequence[TableFile], wanted: Columns, encoding: str | None
) -> dict[str, Table]:
    """What the files hold, by part; under an empty name where they are of no part."""
    if not files[0].label:
        return {file.part: _read_table(file.path, wanted, encoding) for file in files}
    if wanted.text or wanted.label:
        raise UserError(
            f"task.path={path} is a folder for each class, which has no columns: leave out "
            "task.text_column and task.label_column"
        )
    return _read_folders(Path(path).expanduser(), files, encoding)


def other_rows(
    path: PathLike,
    classes: tuple[str, ...],
    split: str,
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    encoding: str | None = None,
) -> tuple[Labelled, str, tuple[str, ...]]:
    """All rows of other labelled texts for a model of these classes: rows, SHA-256 and notes.

    split: which part is taken where they come in parts. The options are as for `read_labelled`.
    Raises UserError.
    """
    files = table_files(path)
    files = [file for file in files if file.part in ("", split)]
    if not files:
        raise UserError(f"data={path} has no {split} part: type another split")
    (table,) = _tables(path, files, Columns(text_column, label_column), encoding).values()
    return _with_class_indices(table, classes), labelled_hash(path), (_understood([table]),)


def _understood(tables: Sequence[Table]) -> str:
    """How the files were understood, those that are alike together."""
    alike: dict[str, list[str]] = {}
    for table in tables:
        if table.notes:
            alike.setdefault(", ".join(table.notes), []).append(table.file)
    return "; ".join(f"{', '.join(files)}: {how}" for how, files in alike.items())


# -- tables ---------------------------------------------------------------------------------------


def _read_table(path: Path, wanted: Columns, encoding: str | None) -> Table:
    raw = _read(path, wanted, encoding)
    if not raw.rows:
        raise UserError(f"{path} has no rows; add labelled texts")
    found = find_columns(str(path), raw.rows, wanted, named=raw.named)
    header = raw.rows[0] if found.header else None
    width = len(header) if header else Counter(map(len, raw.rows)).most_common(1)[0][0]
    table = Table(str(path))
    start = 1 if found.header else 0
    for row, line in zip(raw.rows[start:], raw.lines[start:], strict=True):
        place = f"{raw.row} {line}"
        if not any(cell.strip() for cell in row):
            table.skipped += 1
            continue
        if len(row) <= max(found.text, found.label):
            raise UserError(
                f"{path} {place}: {len(row)} fields, too few to hold text and label; "
                "complete the line or delete it"
            )
        # A text that was not quoted: what follows is a piece of it.
        if len(row) > width and any(cell.strip() for cell in row[width:]):
            under = f"under a header of {width}" if header else f"where others have {width}"
            raise UserError(
                f"{path} {place}: {len(row)} fields {under}; "
                "put double quotes around a text that holds the separator"
            )
        text, label = row[found.text].strip(), row[found.label].strip()
        if not text or not label:
            table.skipped += 1
            continue
        table.texts.append(text)
        table.labels.append(label)
        table.places.append(place)
    if not table.texts:
        what = "a header but no row" if header else "no row"
        raise UserError(f"{path} has {what} with a text and a label; add labelled texts")
    columns = f"texts in {shown(header, found.text)}, labels in {shown(header, found.label)}"
    guessed = " (found by what they hold)" if found.guessed else ""
    first = "" if header else ", no header"
    table.file = path.name
    table.notes = [f"{raw.form}{first}, {columns}{guessed}", *raw.notes]
    if table.skipped:
        rows = "row" if table.skipped == 1 else "rows"
        table.notes.append(f"{table.skipped:,} {rows} without a text or a label skipped")
    return table


def _read(path: Path, wanted: Columns, encoding: str | None) -> Raw:
    """The rows of a file of any kind. Raises UserError."""
    content = read_bytes(path)
    if content[:2].tobytes() == GZIP:
        try:
            content = np.frombuffer(gzip.decompress(content.tobytes()), np.uint8)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{path} is a damaged gzip file ({error}): bring it anew") from None
    head = content[:4].tobytes()
    if head == PARQUET:
        return _parquet(path, content)
    if head == ZIP:
        raise UserError(
            f"{path} is a zip archive or an Excel workbook: unpack it, or save the sheet as CSV"
        )
    data, done = read_as_utf8(content, str(path), encoding)
    text = data.tobytes().decode()
    notes = [what for what in done if not what.startswith("line ends")]  # CR LF is usual in CSV
    raw = _json_lines(path, text) or _separated(path, text, wanted)
    raw.notes = notes + raw.notes
    return raw


def _parquet(path: Path, content: Text) -> Raw:
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise UserError(
            f"{path} is a Parquet file, which needs pyarrow: pip install pyarrow, or save it as CSV"
        ) from None
    try:
        table = parquet.read_table(io.BytesIO(content.tobytes()))
        columns = [[_cell(v) for v in column.to_pylist()] for column in table.columns]
    except Exception as error:  # whatever pyarrow says of a damaged file
        why = " ".join(str(error).split())[:120]
        raise UserError(f"{path} cannot be read as Parquet ({why}): save it anew") from None
    rows = [list(table.column_names), *map(list, zip(*columns, strict=True))]
    return Raw("Parquet", rows, list(range(len(rows))), named=True, row="row")


def _cell(value: Any) -> str:
    """A value as the text that a table would hold; whole numbers without a fraction."""
    if value is None:
        return ""
    if isinstance(value, float):
        return "" if value != value else str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def _json_lines(path: Path, text: str) -> Raw | None:
    """The rows of JSON lines; None where the first line is no JSON object."""
    lines = [(i, line) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines or not lines[0][1].lstrip().startswith("{"):
        return None
    objects: list[dict[str, Any]] = []
    for number, line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            if not objects:
                return None
            raise UserError(
                f"{path} line {number}: not JSON ({error}); write one object a line"
            ) from None
        if not isinstance(value, dict):
            raise UserError(f"{path} line {number}: not an object; write one as on line 1")
        objects.append(value)
    names = list(dict.fromkeys(name for value in objects for name in value))
    rows = [names, *([_cell(value.get(name)) for name in names] for value in objects)]
    return Raw("JSON lines", rows, [0, *(number for number, _ in lines)], named=True)


def _separated(path: Path, text: str, wanted: Columns) -> Raw:
    """The rows of a file with separators. A UserError names the line of the first mistake."""
    limit = csv.field_size_limit(LONGEST_FIELD)
    try:
        separator = _separator(path, text, wanted)
        raw = Raw(f"fields with {SEPARATORS[separator]} between")
        plain = _plain_rows(text, separator) if separator == "\t" else None
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        try:
            for row in reader:
                raw.rows.append(row)
                raw.lines.append(reader.line_num)
        except csv.Error as error:
            if plain is None:
                raise UserError(
                    f"{path} line {reader.line_num}: {error}; quote a field that holds a quote or "
                    "a line break, and double the quotes in it"
                ) from None
            # As of programs to which a quote is a letter: each line is a row, of the same size.
            raw.rows, raw.lines = plain, list(range(1, len(plain) + 1))
            raw.notes.append("quotes are part of the texts")
    finally:
        csv.field_size_limit(limit)
    while raw.rows and not raw.rows[0]:  # blank lines above the header
        del raw.rows[0], raw.lines[0]
    while raw.rows and not raw.rows[-1]:  # and at the end, as editors leave them
        del raw.rows[-1], raw.lines[-1]
    return raw


def _plain_rows(text: str, separator: str) -> list[list[str]] | None:
    """The rows where quotes mean nothing; None where they have not all the same size."""
    lines = text.removesuffix("\n").split("\n")
    rows = [line.split(separator) if line.strip() else [] for line in lines]
    return rows if len({len(row) for row in rows if row}) == 1 else None


def _separator(path: Path, text: str, wanted: Columns) -> str:
    """The separator by which the first rows have the wanted columns and as many fields each."""
    sample = text[:SAMPLE]
    if len(text) > SAMPLE and "\n" in sample:
        sample = sample[: sample.rindex("\n")]
    marks = {}
    for separator in SEPARATORS:
        rows = [row for row in csv.reader(io.StringIO(sample), delimiter=separator) if row]
        if not rows or len(rows[0]) < 2:
            continue
        named = has_both(rows[0], wanted)
        share = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
        try:
            find_columns("", rows, wanted)
            clear = True
        except UserError:
            clear = False
        marks[separator] = (named, share > 0.9, clear, share)
    if not marks:
        first = text.lstrip("\n").split("\n", 1)[0][:80]
        raise UserError(
            f"{path} line 1: one column alone, as no comma, semicolon, tab or bar separates its "
            f"header ({first}): a table needs a column of texts and one of labels"
        )
    return max(marks, key=lambda separator: marks[separator])


# -- folders of classes ---------------------------------------------------------------------------


def _read_folders(
    where: Path, files: Sequence[TableFile], encoding: str | None
) -> dict[str, Table]:
    """A table for each part of a folder of classes."""
    tables: dict[str, Table] = {}
    done: Counter[str] = Counter()
    for file in files:
        table = tables.setdefault(file.part, Table(str(where / file.part)))
        text = ""
        if file.path.stat().st_size:
            data, notes = read_as_utf8(read_bytes(file.path), str(file.path), encoding)
            text = data.tobytes().decode().strip()
            done.update(notes)
        if not text:
            table.skipped += 1
            continue
        table.texts.append(text)
        table.labels.append(file.label)
        table.places.append(file.key)
    for part, table in tables.items():
        if not table.texts:
            raise UserError(f"task.path={where / part} has no text that is not empty")
    skipped = sum(table.skipped for table in tables.values())
    notes = ["a folder of text files for each class"]
    notes += [f"{count:,} files {what}" for what, count in done.items()]
    notes += [f"{skipped:,} empty files skipped"] if skipped else []
    tables[files[0].part].notes, tables[files[0].part].file = notes, where.resolve().name
    return tables


# -- parts ----------------------------------------------------------------------------------------


def _with_class_indices(table: Table, classes: tuple[str, ...]) -> Labelled:
    """The table's texts, their labels as indices of the training part's classes."""
    index = {name: i for i, name in enumerate(classes)}
    strange = [i for i, label in enumerate(table.labels) if label not in index]
    if strange:
        first, more = strange[0], len(strange) - 1
        others = f", nor are those of {more:,} other rows" if more else ""
        raise UserError(
            f"{table.name} {table.places[first]}: the label '{table.labels[first]}' is not among "
            f"those of the training part ({', '.join(classes[:10])}{', …' * (len(classes) > 10)})"
            f"{others}; correct it or add training rows"
        )
    labels = np.array([index[label] for label in table.labels], dtype=np.int64)
    return Labelled(table.texts, labels, classes)


def _split(name: str, rows: Labelled, seed: int) -> list[Labelled]:
    """Three parts of the single table `name`."""
    for i, count in enumerate(_different_texts(rows)):
        if count < LEAST_TEXTS:
            raise UserError(
                f"{name} has {count} different texts labelled '{rows.classes[i]}', at least "
                f"{LEAST_TEXTS} are needed: one each to train, validate and test; "
                "add some or drop it"
            )
    return list(_parts(rows, (0.8, 0.1, 0.1), seed))


def _drawn(name: str, rows: Labelled, shares: tuple[float, ...], seed: int) -> list[Labelled]:
    """The training and the validation part of the table `name`."""
    for i, count in enumerate(_different_texts(rows)):
        if count < len(shares):
            raise UserError(
                f"{name} has {count} different text labelled '{rows.classes[i]}', at least "
                f"{len(shares)} are needed to draw a validation part; add some or a part valid"
            )
    return list(_parts(rows, shares, seed))


def _different_texts(rows: Labelled) -> list[int]:
    """The number of different texts of each class."""
    found: list[set[str]] = [set() for _ in rows.classes]
    for text, label in zip(rows.texts, rows.labels.tolist(), strict=True):
        found[label].add(text)
    return [len(texts) for texts in found]


def _parts(rows: Labelled, shares: Sequence[float], seed: int) -> Iterator[Labelled]:
    for part in stratified(rows.labels, shares, seed=seed, texts=rows.texts):
        yield Labelled([rows.texts[i] for i in part], rows.labels[part], rows.classes)
