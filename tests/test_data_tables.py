"""Labelled texts in the layouts that people have: each is read right, or refused with what to type.

The files are made anew; where `shared/faults` is there, small files with the same faults are read.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from collections import Counter
from pathlib import Path

import pytest

import random_kit
from odyssey import data
from odyssey.config.task_schema import SentimentConfig
from odyssey.data.identity import content_hash
from odyssey.errors import UserError

Rows = list[tuple[str, str]]


def load(path: Path, **options: str) -> data.Dataset[data.Labelled]:
    found = data.labelled_texts("csv", path=path, **options)
    assert found.sha256 == content_hash("csv", path)
    return found


def rows_of(found: data.Dataset[data.Labelled]) -> Counter[tuple[str, str]]:
    parts = (found.train, found.valid, found.test)
    return Counter(
        (text, part.classes[y])
        for part in parts
        for text, y in zip(part.texts, part.labels, strict=True)
    )


def some_rows(classes: tuple[str, ...] = ("0", "1"), accent: str = "") -> Rows:
    """Texts with commas, all different, each class at least three times."""
    chance = random_kit.rng()
    count = int(chance.integers(12, 90))
    kinds = list(classes) * 3 + chance.choice(classes, count).tolist()
    adjectives = ("grim", "bright", "dull", "lovely")
    return [
        (f"a {chance.choice(adjectives)} film, truly no. {i}{accent}", kind)
        for i, kind in enumerate(kinds)
    ]


def written(rows: list[list[str]], separator: str = ",", end: str = "\r\n") -> str:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=separator, lineterminator=end).writerows(rows)
    return out.getvalue()


def two_columns(rows: Rows, *header: str) -> list[list[str]]:
    return [list(header or ("text", "label")), *map(list, rows)]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["a.csv", "A.TSV", "a.TXT", "a.dat"])
def test_the_separator_is_found_by_the_content(tmp_path: Path, separator: str, name: str) -> None:
    rows = some_rows()
    path = tmp_path / name
    path.write_text(written(two_columns(rows), separator), newline="")
    assert rows_of(load(path)) == Counter(rows)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_name_of_the_file_is_no_part_of_what_it_is(tmp_path: Path, separator: str) -> None:
    content = written(two_columns(some_rows()), separator)
    hashes = set()
    for name in ("a.csv", "b.TSV", "c.txt"):
        (tmp_path / name).write_text(content, newline="")
        hashes.add(load(tmp_path / name).sha256)
    assert hashes == {hashlib.sha256(content.encode()).hexdigest()}


@pytest.mark.parametrize(
    "header",
    [
        ("review", "sentiment"),
        ("Sentence", "Class Index"),
        ("tweet_text", "airline_sentiment"),
        ("content", "category"),
        ("Text ", " LABEL"),
    ],
)
def test_usual_names_of_columns(tmp_path: Path, header: tuple[str, str]) -> None:
    rows = some_rows(("negative", "neutral", "positive"))
    path = tmp_path / "a.csv"
    path.write_text(written([["id", *header], *([str(i), *r] for i, r in enumerate(rows))]))
    found = load(path)
    assert rows_of(found) == Counter(rows)
    assert f"texts in {header[0].strip()} (column 2)" in found.notes[0]
    assert f"labels in {header[1].strip()} (column 3)" in found.notes[0]


def test_columns_by_name_and_by_number(tmp_path: Path) -> None:
    """Of a table with two of each, that is refused without a word from the user."""
    rows = some_rows()
    table = [["title", "what", "said", "how"], *([f"on {t}", y, t, f"k{y}"] for t, y in rows)]
    path = tmp_path / "a.csv"
    path.write_text(written(table))
    with pytest.raises(UserError) as caught:
        load(path)
    assert "header (title, what, said, how)" in str(caught.value)
    assert "task.text_column=" in str(caught.value) and "task.label_column=" in str(caught.value)
    assert rows_of(load(path, text_column="said", label_column="what")) == Counter(rows)
    assert rows_of(load(path, text_column="3", label_column="2")) == Counter(rows)
    assert rows_of(load(path, text_column="SAID", label_column="2")) == Counter(rows)
    for options, words in [
        ({"text_column": "sayd"}, r"task.text_column=sayd is not a column.*\(title, what, said"),
        ({"label_column": "5"}, "task.label_column=5 .*a number from 1 to 4"),
        ({"label_column": "0"}, "task.label_column=0 .*a number from 1 to 4"),
        ({"text_column": "2", "label_column": "what"}, "are the same column"),
        ({"text_column": "said", "label_column": "title"}, "different labels in .*label_column"),
    ]:
        with pytest.raises(UserError, match=words):
            load(path, **options)


def test_what_a_refusal_says_to_type_works(tmp_path: Path) -> None:
    """Without a header, with a second column of long values: dates."""
    rows = some_rows(("0", "4"))
    table = [
        [y, str(1467810369 + i), f"Mon Apr 06 22:{i:02}:45 PDT 2009", "NO_QUERY", "someone", t]
        for i, (t, y) in enumerate(rows)
    ]
    path = tmp_path / "a.csv"
    path.write_text(written(table))
    with pytest.raises(UserError) as caught:
        load(path)
    said = str(caught.value).partition("as in ")[2].split()
    options = dict(word.removeprefix("task.").split("=") for word in said)
    assert set(options) <= {"text_column", "label_column"} and options["text_column"] in "36"
    found = load(path, text_column="6", label_column="1")
    assert rows_of(found) == Counter(rows) and "no header" in found.notes[0]
    table = [[*row[:2], "Mon Apr 06", *row[3:]] for row in table]  # then it is clear
    path.write_text(written(table))
    assert rows_of(load(path)) == Counter(rows)


@pytest.mark.parametrize("header", [True, False])
def test_columns_that_no_name_tells(tmp_path: Path, header: bool) -> None:
    rows = some_rows(("ham", "spam"), accent=" £5")
    table = [[y, t, "", "", ""] for t, y in rows]
    path = tmp_path / "a.csv"
    path.write_text(written([["v1", "v2", "", "", ""]] * header + table), encoding="cp1252")
    with pytest.raises(UserError, match=r"0xa3.*type task.encoding=cp1252"):
        load(path)
    found = load(path, encoding="cp1252")
    assert rows_of(found) == Counter(rows) and "found by what they hold" in found.notes[0]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends(tmp_path: Path, encoding: str, end: str) -> None:
    rows = some_rows(accent=" – naïve 好")
    path = tmp_path / "a.csv"
    path.write_bytes(written(two_columns(rows), ";", end).encode(encoding))
    assert rows_of(load(path)) == Counter(rows)


def test_empty_rows_are_skipped_and_counted(tmp_path: Path) -> None:
    rows = some_rows()
    table = two_columns(rows)
    for at, row in ((5, ["", "1"]), (7, ["  ", ""]), (3, ["a text", " "]), (4, [])):
        table.insert(at, row)
    path = tmp_path / "a.csv"
    path.write_text(written(table) + "\n\n")
    found = load(path)
    assert rows_of(found) == Counter(rows)
    assert "4 rows without a text or a label skipped" in found.notes[0]


def test_quotes_in_a_table_with_tabs(tmp_path: Path) -> None:
    """Written by a program that quotes, and by one to which a quote is a letter."""
    rows = [(f'"{t}" he\tsaid,\nand "went"', y) for t, y in some_rows()]
    path = tmp_path / "a.tsv"
    path.write_text(written(two_columns(rows), "\t"))
    assert rows_of(load(path)) == Counter(rows)
    rows = [(f'"{t}' + ' "so"' * (i % 2), y) for i, (t, y) in enumerate(some_rows())]
    path.write_text("".join(f"{t}\t{y}\n" for t, y in [("text", "label"), *rows]))
    found = load(path)
    assert rows_of(found) == Counter(rows) and "quotes are part of the texts" in found.notes[0]


def test_json_lines_parquet_and_gzip(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    rows = some_rows(("0", "1", "2"), accent=" 好")
    lines = "".join(
        json.dumps({"id": i, "text": t, "stars": int(y)}, ensure_ascii=bool(i % 2)) + "\n"
        for i, (t, y) in enumerate(rows)
    )
    lines += '{"text": null, "stars": 1}\n\n'
    (tmp_path / "a.JSONL").write_text(lines, encoding="utf-8")
    table = pa.table({"stars": [float(y) for _, y in rows], "text": [t for t, _ in rows]})
    parquet.write_table(table, tmp_path / "a.parquet")
    plain = written(two_columns(rows)).encode()
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(plain))
    (tmp_path / "b.jsonl.GZ").write_bytes(gzip.compress(lines.encode()))
    for path in tmp_path.iterdir():
        assert rows_of(load(path)) == Counter(rows), path
    for name, content, words in [
        ("x.gz", gzip.compress(plain)[:-20], "damaged gzip"),
        ("x.parquet", b"PAR1 and no more", "cannot be read as Parquet"),
        ("x.xlsx", b"PK\x03\x04....", "Excel workbook.*save the sheet as CSV"),
        ("x.jsonl", lines.encode() + b"{]\n", f"line {len(rows) + 3}: not JSON"),
        ("x.jsonl", lines.encode() + b"[1]\n", f"line {len(rows) + 3}: not an object"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=words):
            load(tmp_path / name)


@pytest.mark.parametrize("valid", ["valid", "validation", "dev", "VAL"])
@pytest.mark.parametrize("ending", ["csv", "tsv", "TXT", "csv.gz"])
def test_a_table_for_each_part(tmp_path: Path, valid: str, ending: str) -> None:
    rows = some_rows()
    third = len(rows) // 3
    parts = {"Train": rows, valid: rows[:third], "test": rows[third : 2 * third]}
    for name, part in parts.items():
        content = written(two_columns(part)).encode()
        content = gzip.compress(content) if ending.endswith("gz") else content
        (tmp_path / f"{name}.{ending}").write_bytes(content)
    (tmp_path / "README.md").write_text("of no interest")
    found = load(tmp_path)
    for part, expected in zip((found.train, found.valid, found.test), parts.values(), strict=True):
        assert list(part.texts) == [t for t, _ in expected]
        assert [part.classes[y] for y in part.labels] == [y for _, y in expected]
    assert SentimentConfig(data="csv", path=str(tmp_path)).without_split() != ""


def test_a_missing_validation_part_is_drawn(tmp_path: Path) -> None:
    rows, others = some_rows(), [("another text", "0"), ("one more", "1")]
    for name, part in (("train", rows), ("test", others)):
        (tmp_path / f"{name}.csv").write_text(written(two_columns(part)))
    found, other = load(tmp_path), data.labelled_texts("csv", path=tmp_path, split_seed=1)
    assert list(found.test.texts) == [t for t, _ in others]
    assert rows_of(found) == Counter(rows + others)
    assert set(found.valid.labels.tolist()) == {0, 1} and len(found.valid.texts) < len(rows) / 2
    assert list(found.valid.texts) != list(other.valid.texts) or len(rows) < 40
    assert "no part for validation" in found.notes[1]
    assert SentimentConfig(data="csv", path=str(tmp_path)).without_split() == ""
    (tmp_path / "test.tsv").write_text("text\tlabel\n")
    with pytest.raises(UserError, match="both test.csv and test.tsv for the part test"):
        load(tmp_path)
    (tmp_path / "test.tsv").unlink()
    (tmp_path / "test.csv").unlink()
    with pytest.raises(UserError, match="none for the part test: add test.csv"):
        load(tmp_path)


def test_labels_that_the_training_part_lacks_are_one_sentence(tmp_path: Path) -> None:
    rows = some_rows()
    for name, part in (("train", rows), ("val", rows), ("test", [*rows, *[("t", "maybe")] * 3])):
        (tmp_path / f"{name}.csv").write_text(written(two_columns(part)))
    with pytest.raises(UserError) as caught:
        load(tmp_path)
    said = str(caught.value)
    assert f"test.csv line {len(rows) + 2}: the label 'maybe' is not among" in said
    assert "(0, 1), nor are those of 2 other rows" in said and len(caught.value.messages) == 1


def class_folders(path: Path, rows: Rows) -> None:
    for i, (text, label) in enumerate(rows):
        (path / label).mkdir(parents=True, exist_ok=True)
        (path / label / f"{i}.txt").write_text(text + "\n", encoding="utf-8")


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    rows = some_rows(("neg", "pos", "so so"), accent=" ü")
    class_folders(tmp_path, rows)
    (tmp_path / "neg" / "empty.txt").touch()
    (tmp_path / "neg" / ".DS_Store").write_bytes(b"\xff\x00")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "README").write_text("of no interest")
    found = load(tmp_path)
    assert rows_of(found) == Counter(rows) and "1 empty files skipped" in found.notes[0]
    assert found.train.classes == ("neg", "pos", "so so")
    (tmp_path / "neg" / "0.txt").rename(tmp_path / "pos" / "x.txt")  # another class: other data
    assert content_hash("csv", tmp_path) != found.sha256
    with pytest.raises(UserError, match="has no columns: leave out task.text_column"):
        load(tmp_path, text_column="text")
    (tmp_path / "neg" / "old.txt").write_bytes(b"caf\xe9")
    with pytest.raises(UserError, match="old.txt is not UTF-8.*task.encoding=cp1252"):
        load(tmp_path)


def test_folders_of_classes_for_each_part(tmp_path: Path) -> None:
    """As the archive of IMDB reviews is unpacked, with its texts that have no label."""
    rows, others = some_rows(("neg", "pos")), [("one", "pos"), ("two", "neg")]
    class_folders(tmp_path / "train", rows)
    class_folders(tmp_path / "train", [("no label", "unsup")])
    class_folders(tmp_path / "test", others)
    (tmp_path / "train" / "urls_pos.txt").write_text("http://…")
    found = load(tmp_path)
    assert rows_of(found) == Counter(rows + others) and sorted(found.test.texts) == ["one", "two"]
    (tmp_path / "dev").mkdir()
    class_folders(tmp_path / "dev", others)
    assert Counter(load(tmp_path).train.texts) == Counter(t for t, _ in rows)


def test_options_of_tables_are_for_tables() -> None:
    for name in ("text_column", "label_column", "encoding"):
        (said,) = SentimentConfig(**{name: "x"}).errors()
        assert said.startswith(f"task.{name}=x is not read with task.data=snippets")
    (said,) = SentimentConfig(class_weights="balance").errors()
    assert "task.class_weights=balance is unknown" in said and "balanced" in said


# -- the files themselves -------------------------------------------------------------------------

FILES = {  # name -> rows, classes, and the options that it takes
    "UPPER.TSV": (240, ("0", "1"), {}),
    "chinese.csv": (600, ("negative", "positive"), {}),
    "class_folders": (40, ("neg", "pos"), {}),
    "imbalanced_5_95.csv": (400, ("ham", "spam"), {}),
    "no_header.csv": (240, ("0", "4"), {}),
    "review_sentiment.csv": (240, ("negative", "positive"), {}),
    "semicolon_bom.csv": (240, ("0", "1"), {}),
    "some_empty.csv": (234, ("0", "1"), {}),
    "stars.csv": (240, ("1", "2", "4", "5"), {}),
    "tabs.TXT": (240, ("0", "1"), {}),
    "three_files": (240, ("0", "1"), {}),
    "v1_v2_empty_columns.csv": (240, ("ham", "spam"), {"encoding": "cp1252"}),
}


@pytest.mark.parametrize("name", FILES)
def test_the_files_with_faults(faults: Path, name: str) -> None:
    count, classes, options = FILES[name]
    if options:
        with pytest.raises(UserError, match="type task.encoding=cp1252"):
            load(faults / name)
    found = load(faults / name, **options)
    rows = rows_of(found)
    assert rows.total() == count and found.train.classes == classes
    texts = [text for text, _ in rows]
    assert all(text == text.strip() and len(text) > 8 for text in texts)
    if "," in texts[0]:  # whole, and not up to the first separator
        assert all(" no. " in text for text in texts)


def test_a_text_in_an_old_encoding_is_told_from_a_table(faults: Path) -> None:
    with pytest.raises(UserError, match="type task.encoding=cp1252"):
        load(faults / "cp1252.txt")
    with pytest.raises(UserError, match=r"one column alone.*\(It’s a plain text – typed"):
        load(faults / "cp1252.txt", encoding="cp1252")
