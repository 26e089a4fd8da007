"""The user's own labelled texts."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from pathlib import Path

import pytest

from odyssey import data
from odyssey.errors import UserError


def parts(d: data.Dataset[data.Labelled]) -> tuple[data.Labelled, data.Labelled, data.Labelled]:
    return d.train, d.valid, d.test


def load(path: Path) -> data.Dataset[data.Labelled]:
    return data.labelled_texts("csv", path=path)


def table(path: Path, rows: list[tuple[str, str]], delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, delimiter=delimiter)
        writer.writerow(["id", "label", "text"])
        writer.writerows([i, label, text] for i, (text, label) in enumerate(rows))
    return path


ROWS = [(f'He said: "ναί, {i}",\nthen left', ("good", "bad", "so so")[i % 3]) for i in range(101)]


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_one_file_is_split_by_class(tmp_path: Path, ending: str) -> None:
    path = table(tmp_path / f"t.{ending}", ROWS, "\t" if ending == "tsv" else ",")
    d = load(path)
    assert d.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert d.train.classes == d.valid.classes == d.test.classes == ("bad", "good", "so so")
    found = [
        (text, part.classes[label])
        for part in parts(d)
        for text, label in zip(part.texts, part.labels, strict=True)
    ]
    assert Counter(found) == Counter(ROWS)
    assert [len(p.texts) for p in parts(d)] == [82, 10, 9] or [len(p.texts) for p in parts(d)] == [
        83,
        9,
        9,
    ]
    assert all(set(p.labels.tolist()) == {0, 1, 2} for p in parts(d))
    again = load(path)
    assert all(a.texts == b.texts for a, b in zip(parts(d), parts(again), strict=True))


def test_copies_stay_together(tmp_path: Path) -> None:
    rows = [(f"text {i % 20}", "ab"[i % 2]) for i in range(200)]
    sets = [set(p.texts) for p in parts(load(table(tmp_path / "t.csv", rows)))]
    assert not sets[0] & sets[1] and not sets[0] & sets[2] and not sets[1] & sets[2]


def test_a_folder_keeps_its_parts(tmp_path: Path) -> None:
    for i, part in enumerate(("train", "valid", "test")):
        table(tmp_path / f"{part}.csv", ROWS[10 * i : 10 * i + 10])
    d = load(tmp_path)
    assert [list(p.texts) for p in parts(d)] == [
        [text for text, _ in ROWS[10 * i : 10 * i + 10]] for i in range(3)
    ]


def test_the_smallest_file_and_long_texts(tmp_path: Path) -> None:
    rows = [("x" * 200_000 + str(i), str(i % 2)) for i in range(6)]
    d = load(table(tmp_path / "t.csv", rows))
    assert [len(p.texts) for p in parts(d)] == [2, 2, 2]
    assert csv.field_size_limit() == 131_072  # as it was


def test_a_byte_order_mark_and_old_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    lines = ["Text , Label", *(f"t{i},{i % 2}" for i in range(6)), ""]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert sorted(t for p in parts(load(path)) for t in p.texts) == [f"t{i}" for i in range(6)]


FINE = "text,label\n" + "".join(f"t{i},{i % 2}\n" for i in range(6))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("text,label\n", "header but no row"),
        ("a,b\n1,2\n", r"line 1: no column named text or label in the header \(a, b\)"),
        ("just a text\nanother\n", r"line 1: one column alone.*\(just a text\)"),
        (FINE + "t8,0\nt8,x\nt9,y\nt10,z\n" * 9, "different texts labelled"),
        ("text,label\n,1\n", "header but no row with a text and a label"),
        (FINE + "only one\n", "line 8: 1 fields"),
        (FINE + "well, that was bad,1\n", "line 8: 3 fields under a header of 2.*double quotes"),
        ("text,Label,TEXT\n", "line 1: the header names text 2 times"),
        (FINE + '"a\nb",1\n"t" x,0\n', "line 10: .*quote"),
        (FINE + '"never closed,1\n', "line 8: unexpected end of data"),
        ("text,label\na,1\nb,1\nc,1\n", "every label in .* is '1'"),
        (FINE + "t8,2\nt9,2\n", "2 different texts labelled '2'"),
    ],
)
def test_a_bad_file_gets_a_sentence(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=words) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_bad_places_get_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs task.path="):
        data.labelled_texts("csv")
    with pytest.raises(UserError, match="does not exist"):
        load(tmp_path / "t.csv")
    with pytest.raises(UserError, match="is a folder without labelled texts .it holds nothing"):
        load(tmp_path)
    latin = tmp_path / "latin.csv"
    latin.write_bytes(FINE.encode() + "müde,1\n".encode("latin-1"))
    with pytest.raises(UserError, match=rf"byte {len(FINE) + 1} \(0xfc\)"):
        load(latin)
    for part in ("train", "valid", "test"):
        (tmp_path / f"{part}.csv").write_text(FINE)
    (tmp_path / "test.csv").write_text(FINE + "t7,maybe\n")
    with pytest.raises(UserError, match="test.csv line 8: the label 'maybe' is not among those"):
        load(tmp_path)
