"""Labelled texts for classification, from public data sets and from the user's own tables."""

from __future__ import annotations

import csv
import io
import os
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from odyssey.data.download import (
    RemoteFile,
    SourcePackage,
    data_folder,
    fetch,
    fetch_package,
    sha256,
)
from odyssey.data.encoding import read_as_utf8
from odyssey.data.identity import PARTS, table_files, table_hash
from odyssey.data.splits import stratified
from odyssey.data.text import read_bytes
from odyssey.data.types import Dataset, Labelled, Text, choose
from odyssey.errors import UserError

PathLike = str | os.PathLike[str]

CLASSES = ("negative", "positive")
INSTEAD = "task.data=snippets"
SST2_URL = (
    "https://raw.githubusercontent.com/clairett/pytorch-sentiment-classification/master/data/SST2"
)
SST2 = tuple(
    RemoteFile(f"sst2/{part}.tsv", (f"{SST2_URL}/{part}.tsv",), f"sha256:{sha}", INSTEAD)
    for part, sha in (
        ("train", "ec192f833a64da08f475488a77b0d0b47db47acd0f458bd18433fc793b569920"),
        ("dev", "eddea6b39e601dd4e7a672b53cc40fdf6019fa80522f351206c24340ca5d9359"),
        ("test", "831169c7e2e429d6026e1bdbb542f33b636e3e596caad9602ebc953c205928b7"),
    )
)
IMDB = RemoteFile(
    "imdb/aclImdb_v1.tar.gz",
    ("https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",),
    "sha256:c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe",
    INSTEAD,
)
VADER = SourcePackage(  # its wheel lacks the snippets
    name="vaderSentiment",
    version="2.5",
    sha256="b960c954831f5ca58afee61780cc04ed48e551b91e783bfcbfb2c18bb8081a84",
    folder="snippets",
    instead="task.data=csv task.path=… with labelled texts of your own",
)
# An archive inside the archive, and the file in it.
VADER_ARCHIVE = f"{VADER.name}-{VADER.version}/additional_resources/hutto_ICWSM_2014.tar.gz"
VADER_FILE = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"

LEAST_TEXTS = 3  # different texts of a class in a single file: one for each part
LONGEST_FIELD = 1 << 30  # characters; csv's own limit is shorter than a long review


def labelled_texts(
    name: str,
    data_dir: PathLike | None = None,
    *,
    path: PathLike | None = None,
    split_seed: int = 0,
) -> Dataset[Labelled]:
    """Labelled texts by their name, one of `LABELLED_TEXTS`.

    snippets  10,566 snippets of film reviews (Pang & Lee 2005), each rated by 20 people from -4 to
              4; from the source distribution of vaderSentiment 2.5 (Hutto & Gilbert, "VADER: A
              Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text", ICWSM
              2014), which pip fetches. The class is the sign of the mean rating. Left out are a
              mean of exactly 0 (37) and repeated texts; all other ratings count, and about 2% are
              within 0.25 of 0, so no model should be right about everything. 80% train, 10% valid,
              10% test, at random with a fixed seed, stratified
    sst2      Stanford Sentiment Treebank, two classes: 6,920/872/1,821 sentences, the official
              train, dev and test files as they are. ("no" and "what 's next ?" are in both train
              and test there.)
    imdb      50,000 film reviews (Maas et al. 2011): about 22,500/2,500/25,000; valid is drawn
              from the official training half with a fixed seed, stratified, copies together
    csv       the user's own table at `path`; see `read_table`

    split_seed: another one draws other parts of the same sizes, where they are drawn

    Raises UserError.
    """
    source = choose(name, _SOURCES)
    if path is not None and name != "csv":
        raise UserError(
            f"task.path={path} is for task.data=csv only, not {name}; drop it or set that"
        )
    return source(data_folder(data_dir), path, split_seed)


# -- public data sets -----------------------------------------------------------------------------


def _snippets(folder: Path, path: PathLike | None, split_seed: int) -> Dataset[Labelled]:
    texts: dict[str, int] = {}
    for line in _snippet_lines(fetch_package(VADER, folder)):
        _, rating, text = line.split("\t")
        if float(rating) != 0:
            texts.setdefault(text.strip(), int(float(rating) > 0))
    rows = list(texts)
    labels = np.array(list(texts.values()), dtype=np.int64)
    parts = [
        Labelled([rows[i] for i in part], labels[part], CLASSES)
        for part in stratified(labels, (0.8, 0.1, 0.1), seed=split_seed)
    ]
    return Dataset("snippets", VADER.sha256, *parts)


def _snippet_lines(archive: Path) -> list[str]:
    """Lines of number, tab, mean rating, tab, text."""
    try:
        with tarfile.open(archive) as outer:
            member = outer.extractfile(VADER_ARCHIVE)
            assert member is not None
            with tarfile.open(fileobj=member, mode="r:gz") as inner:
                file = inner.extractfile(VADER_FILE)
                assert file is not None
                return file.read().decode().splitlines()
    except OSError as error:
        raise UserError(f"{archive} cannot be read ({error}); move it away and try again") from None


def _sst2(folder: Path, path: PathLike | None, split_seed: int) -> Dataset[Labelled]:
    contents = [fetch(file, folder).read_bytes() for file in SST2]
    train, valid, test = (_read_sst2(content.decode()) for content in contents)
    return Dataset("sst2", sha256(contents), train, valid, test)


def _read_sst2(content: str) -> Labelled:
    """From lines of text, tab, 0 or 1."""
    rows = [line.split("\t") for line in content.split("\n") if line]
    labels = np.array([int(label) for _, label in rows], dtype=np.int64)
    return Labelled([text for text, _ in rows], labels, CLASSES)


def _imdb(folder: Path, path: PathLike | None, split_seed: int) -> Dataset[Labelled]:
    halves = read_imdb(fetch(IMDB, folder))
    half = halves["train"]
    train, valid = (
        Labelled([half.texts[i] for i in part], half.labels[part], CLASSES)
        for part in stratified(half.labels, (0.9, 0.1), seed=split_seed, texts=half.texts)
    )
    return Dataset("imdb", IMDB.hash.removeprefix("sha256:"), train, valid, halves["test"])


def read_imdb(archive: Path) -> dict[str, Labelled]:
    """The halves `train` and `test`, read from the archive in one pass, nothing unpacked.

    Reviews are in the order of their file names; `<br />` stands for a line break in them.
    """
    halves: dict[str, dict[str, str]] = {"train": {}, "test": {}}  # name in the half -> review
    try:
        # A stream: the archive holds 100,000 files, of which half are not labelled.
        with tarfile.open(archive, "r|gz") as tar:
            for member in tar:
                place = member.name.split("/")
                if len(place) == 4 and place[1] in halves and place[2] in ("neg", "pos"):
                    content = tar.extractfile(member)
                    if content is not None:
                        halves[place[1]]["/".join(place[2:])] = content.read().decode()
    except (tarfile.TarError, OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise UserError(
            f"{archive} is not the archive of IMDB reviews ({error}); move it away and try again"
        ) from None
    if not all(halves.values()):
        raise UserError(f"{archive} holds no labelled reviews; move it away and try again")
    return {half: _by_file_name(reviews) for half, reviews in halves.items()}


def _by_file_name(reviews: dict[str, str]) -> Labelled:
    names = sorted(reviews)
    labels = np.array([int(name.startswith("pos/")) for name in names], dtype=np.int64)
    return Labelled([reviews[name] for name in names], labels, CLASSES)


# -- the user's own table -------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """A table that was read: of each row the text, the label, and the line that it ends on."""

    name: str  # of the file, for messages
    texts: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


def read_table(path: PathLike | None, split_seed: int = 0) -> Dataset[Labelled]:
    """The user's labelled texts: a .csv or .tsv file, or a folder with train, valid and test.csv.

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
    files = table_files(path)
    contents = [read_bytes(file) for file in files]
    tables = [_parse(file, content) for file, content in zip(files, contents, strict=True)]
    classes = tuple(sorted(set(tables[0].labels)))
    if len(classes) < 2:
        raise UserError(
            f"task.path={path}: every label in {tables[0].name} is '{classes[0]}'; "
            "at least two classes are needed"
        )
    parts = [_with_class_indices(table, classes) for table in tables]
    if len(parts) == 1:
        parts = _split(tables[0].name, parts[0], split_seed)
    hashes = {file: sha256([content]) for file, content in zip(files, contents, strict=True)}
    return Dataset("csv", table_hash(hashes), *parts)


def other_rows(
    path: PathLike, classes: tuple[str, ...], split: str
) -> tuple[Labelled, str, tuple[str, ...]]:
    """All rows of another table for a model of these classes: rows, SHA-256 and notes.

    split: which file of a folder is taken. Raises UserError.
    """
    files = table_files(path)
    file = files[0] if len(files) == 1 else files[PARTS.index(split)]
    content = read_bytes(file, "data")
    return _with_class_indices(_parse(file, content), classes), sha256([content]), ()


def _parse(path: Path, content: Text) -> Table:
    """The rows of a file. A UserError names the line of the first mistake."""
    text = read_as_utf8(content, str(path))[0].tobytes().decode()
    limit = csv.field_size_limit(LONGEST_FIELD)
    delimiter = "\t" if path.suffix == ".tsv" else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    table = Table(str(path))
    try:
        header = next(reader, [])
        columns = _columns(path, header, delimiter)
        for row in reader:
            if row:
                _add_row(table, row, columns, len(header), reader.line_num)
    except csv.Error as error:
        raise UserError(
            f"{path} line {reader.line_num}: {error}; quote a field that holds a quote or a line "
            "break, and double the quotes in it"
        ) from None
    finally:
        csv.field_size_limit(limit)
    if not table.texts:
        raise UserError(f"{path} has a header but no rows; add labelled texts")
    return table


def _columns(path: Path, header: list[str], delimiter: str) -> tuple[int, int]:
    """The indices of the columns `text` and `label`."""
    names = [name.strip().lower() for name in header]
    lacking = [name for name in ("text", "label") if name not in names]
    if lacking:
        kind = "tabs" if delimiter == "\t" else "commas"
        first = ", ".join(header[:6])[:80]
        raise UserError(
            f"{path} line 1: no column named {' or '.join(lacking)} in the header ({first}); "
            f"the first line names the columns, text and label among them, with {kind} between"
        )
    for name in ("text", "label"):
        if names.count(name) > 1:
            raise UserError(
                f"{path} line 1: the header names {name} {names.count(name)} times; "
                "rename those that are not meant"
            )
    return names.index("text"), names.index("label")


def _add_row(table: Table, row: list[str], columns: tuple[int, int], width: int, line: int) -> None:
    if len(row) <= max(columns):
        raise UserError(
            f"{table.name} line {line}: {len(row)} fields, too few to hold text and label; "
            "complete the line or delete it"
        )
    if len(row) > width:  # a text that was not quoted: the field `label` is a piece of it
        raise UserError(
            f"{table.name} line {line}: {len(row)} fields under a header of {width}; "
            "put double quotes around a text that holds the separator"
        )
    text, label = (row[column].strip() for column in columns)
    if not text or not label:
        raise UserError(
            f"{table.name} line {line}: the {'label' if text else 'text'} is empty; "
            "fill it in or delete the line"
        )
    table.texts.append(text)
    table.labels.append(label)
    table.lines.append(line)


def _with_class_indices(table: Table, classes: tuple[str, ...]) -> Labelled:
    """The table's texts, their labels as indices of the training part's classes."""
    index = {name: i for i, name in enumerate(classes)}
    for label, line in zip(table.labels, table.lines, strict=True):
        if label not in index:
            raise UserError(
                f"{table.name} line {line}: the label '{label}' is not among those of the training "
                f"part ({', '.join(classes[:10])}); correct it or add training rows"
            )
    labels = np.array([index[label] for label in table.labels], dtype=np.int64)
    return Labelled(table.texts, labels, classes)


def _split(name: str, rows: Labelled, seed: int) -> list[Labelled]:
    """Three parts of the single file `name`."""
    for i, label in enumerate(rows.classes):
        distinct = {t for t, y in zip(rows.texts, rows.labels, strict=True) if y == i}
        if len(distinct) < LEAST_TEXTS:
            raise UserError(
                f"{name} has {len(distinct)} different texts labelled '{label}', at least "
                f"{LEAST_TEXTS} are needed: one each to train, validate and test; "
                "add some or drop it"
            )
    return [
        Labelled([rows.texts[i] for i in part], rows.labels[part], rows.classes)
        for part in stratified(rows.labels, (0.8, 0.1, 0.1), seed=seed, texts=rows.texts)
    ]


def _csv(folder: Path, path: PathLike | None, split_seed: int) -> Dataset[Labelled]:
    return read_table(path, split_seed)


_SOURCES: dict[str, Callable[[Path, PathLike | None, int], Dataset[Labelled]]] = {
    "snippets": _snippets,
    "sst2": _sst2,
    "imdb": _imdb,
    "csv": _csv,
}
LABELLED_TEXTS = tuple(_SOURCES)
