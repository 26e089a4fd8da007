"""The user's own labelled texts, as a table with the columns `text` and `label`."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from odyssey.data import utf8
from odyssey.data.fetch import sha256
from odyssey.data.split import stratified
from odyssey.data.types import Dataset, Labelled, Text
from odyssey.errors import UserError

PARTS = ("train", "valid", "test")
LEAST = 3  # different texts of a class in a single file: one for each part
LONGEST = 1 << 30  # characters in a field; csv's own limit is shorter than a long review


@dataclass(frozen=True)
class Rows:
    """A table that was read, with the line each row ends on."""

    name: str
    texts: list[str]
    labels: list[str]
    lines: list[int]


def csv_texts(path: str | os.PathLike[str] | None) -> Dataset[Labelled]:
    """A .csv or .tsv file, or a folder with train, valid and test.csv (or .tsv), at `path`.

    The first line names the columns, two of which are `text` and `label`; fields may stand in
    double quotes. The classes are the labels of the training part, sorted. One file is split
    80/10/10 at random with a fixed seed, the same shares of each class, rows of the same text
    together. A folder's parts are taken as they are. Raises UserError.
    """
    if path is None:
        raise UserError(
            "task.data=csv needs task.path=… to name a .csv or .tsv file with the columns text and "
            "label, or a folder with train.csv, valid.csv and test.csv"
        )
    where = Path(path).expanduser()
    files = _parts(where) if where.is_dir() else [where]
    contents = [utf8.read_bytes(file) for file in files]
    tables = [_read(file, content) for file, content in zip(files, contents, strict=True)]
    classes = tuple(sorted(set(tables[0].labels)))
    if len(classes) < 2:
        raise UserError(
            f"task.path={path}: every label in {tables[0].name} is '{classes[0]}'; "
            "at least two classes are needed"
        )
    indexed = [_indexed(table, classes) for table in tables]
    if len(indexed) == 1:
        indexed = _split(tables[0], indexed[0])
    return Dataset("csv", sha256(contents), *indexed)


def _parts(folder: Path) -> list[Path]:
    """The three files of a folder."""
    for ending in ("csv", "tsv"):
        files = [folder / f"{part}.{ending}" for part in PARTS]
        if all(file.is_file() for file in files):
            return files
    raise UserError(
        f"task.path={folder} is a folder without all of train.csv, valid.csv and test.csv "
        "(or .tsv); add them, or name a single file"
    )


def _read(path: Path, content: Text) -> Rows:
    """The rows of a file, its mistakes told with their lines."""
    text = utf8.check(content, str(path)).tobytes().decode()
    limit = csv.field_size_limit(LONGEST)
    delimiter = "\t" if path.suffix == ".tsv" else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = Rows(str(path), [], [], [])
    try:
        header = next(reader, [])
        columns = _columns(path, header, delimiter)
        for row in reader:
            if row:
                _add(rows, row, columns, len(header), reader.line_num)
    except csv.Error as error:
        raise UserError(
            f"{path} line {reader.line_num}: {error}; quote a field that holds a quote or a line "
            "break, and double the quotes in it"
        ) from None
    finally:
        csv.field_size_limit(limit)
    if not rows.texts:
        raise UserError(f"{path} has a header but no rows; add labelled texts")
    return rows


def _columns(path: Path, header: list[str], delimiter: str) -> tuple[int, int]:
    """Where the text and the label stand."""
    names = [name.strip().lower() for name in header]
    lacking = [name for name in ("text", "label") if name not in names]
    if lacking:
        kind = "tabs" if delimiter == "\t" else "commas"
        shown = ", ".join(header[:6])[:80]
        raise UserError(
            f"{path} line 1: no column named {' or '.join(lacking)} in the header ({shown}); "
            f"the first line names the columns, text and label among them, with {kind} between"
        )
    for name in ("text", "label"):
        if names.count(name) > 1:
            raise UserError(
                f"{path} line 1: the header names {name} {names.count(name)} times; "
                "rename those that are not meant"
            )
    return names.index("text"), names.index("label")


def _add(rows: Rows, row: list[str], columns: tuple[int, int], width: int, line: int) -> None:
    if len(row) <= max(columns):
        raise UserError(
            f"{rows.name} line {line}: {len(row)} fields, too few to hold text and label; "
            "complete the line or delete it"
        )
    if len(row) > width:  # a text that was not quoted: what stands in `label` is a piece of it
        raise UserError(
            f"{rows.name} line {line}: {len(row)} fields under a header of {width}; "
            "put double quotes around a text that holds the separator"
        )
    text, label = (row[column].strip() for column in columns)
    if not text or not label:
        raise UserError(
            f"{rows.name} line {line}: the {'label' if text else 'text'} is empty; "
            "fill it in or delete the line"
        )
    rows.texts.append(text)
    rows.labels.append(label)
    rows.lines.append(line)


def _indexed(table: Rows, classes: tuple[str, ...]) -> Labelled:
    """The labels as indices of the training part's classes."""
    index = {name: i for i, name in enumerate(classes)}
    for label, line in zip(table.labels, table.lines, strict=True):
        if label not in index:
            raise UserError(
                f"{table.name} line {line}: the label '{label}' is not among those of the training "
                f"part ({', '.join(classes[:10])}); correct it or add training rows"
            )
    labels = np.array([index[label] for label in table.labels], dtype=np.int64)
    return Labelled(table.texts, labels, classes)


def _split(table: Rows, rows: Labelled) -> list[Labelled]:
    """Three parts of a single file."""
    for i, name in enumerate(rows.classes):
        distinct = {t for t, label in zip(rows.texts, rows.labels, strict=True) if label == i}
        if len(distinct) < LEAST:
            raise UserError(
                f"{table.name} has {len(distinct)} different texts labelled '{name}', at least "
                f"{LEAST} are needed: one each to train, validate and test; add some or drop it"
            )
    return [
        Labelled([rows.texts[i] for i in part], rows.labels[part], rows.classes)
        for part in stratified(rows.labels, (0.8, 0.1, 0.1), seed=0, texts=rows.texts)
    ]
