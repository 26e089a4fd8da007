"""Texts of the user's own, as language models read them: encodings, bytes, folders, no test."""

from __future__ import annotations

import codecs
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch

import random_kit
from odyssey.data import text
from odyssey.data.encoding import PIECE, bytes_as_text, composed, is_composed
from odyssey.data.identity import content_hash
from odyssey.errors import UserError
from odyssey.tasks.language_model import byte_text
from odyssey.tasks.tokenization import Tokenizer
from tasks_kit import lm, make

SPLIT = [0.6, 0.2, 0.2]
HINDI = "लड़की किसान चिड़िया बच्चे नदी राजा शाम को देखते बहती हैं".split()
ACCENTED = "résumé naïve café garçon über schön don’t won’t isn’t".split()
MARKED = "\u0301\u0308\u0327\u0323"


def lines(words: list[str], stop: str, count: int = 200) -> str:
    dice = random_kit.dice(*words)
    return "".join(" ".join(dice.choices(words, k=4)) + stop + "\n" for _ in range(count))


def array(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8)


# -- what a file is -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["charlm", "wordlm"])
def test_an_encoding_is_typed_and_the_numbers_are_those_of_utf8(name: str, tmp_path: Path) -> None:
    content = lines([*ACCENTED, "–"], ".")
    plain = lm(tmp_path, content, name)
    other = tmp_path / "other.txt"
    other.write_bytes(content.replace("\n", "\r\n").encode("cp1252"))
    with pytest.raises(UserError, match="task.encoding=cp1252"):
        make(name, data="file", path=str(other), batch_size=3, split=SPLIT)
    task = make(name, data="file", path=str(other), encoding="cp1252", batch_size=3, split=SPLIT)
    assert task.vocabulary.symbols == plain.vocabulary.symbols
    for split in ("train", "valid", "test"):
        assert abs(len(task._ids[split]) - len(plain._ids[split])) <= 12  # cut at the same share
    assert {"read as cp1252", "line ends CR LF read as LF"} <= set(task.notes)


def test_any_bytes_are_characters_of_their_number(rng: np.random.Generator) -> None:
    for size in (0, 1, 2, 1000):
        content = rng.integers(0, 256, size).astype(np.uint8)
        expected = content.tobytes().decode("latin-1").encode()
        assert bytes_as_text(content).tobytes() == expected
    ascii_only = rng.integers(0, 128, 99).astype(np.uint8)
    assert bytes_as_text(ascii_only) is ascii_only


def test_a_byte_is_printed_as_ascii_that_says_which() -> None:
    printed = [byte_text(chr(b)) for b in range(256)]
    assert codecs.escape_decode("".join(printed))[0] == bytes(range(256))
    assert all(p.isascii() and (p.isprintable() or p in "\n\t") for p in printed)
    assert len(set(printed)) == 256 and printed[65] == "A" and printed[255] == "\\xff"


def test_data_bytes_reads_any_file(rng: np.random.Generator, tmp_path: Path) -> None:
    content = np.append(rng.integers(0, 250, 900), np.arange(250, 256)).astype(np.uint8)
    path = tmp_path / "program.bin"
    path.write_bytes(content.tobytes())
    task = make("charlm", data="bytes", path=str(path), batch_size=3, split=SPLIT)
    assert task.data["sha256"] == content_hash("bytes", path)
    trained = sorted({chr(b) for b in content[: int(900 * 0.55)].tolist()})
    assert set(trained) <= set(task.vocabulary.symbols)
    ids = np.concatenate([task._ids[s].numpy() for s in ("train", "valid", "test")])
    assert len(ids) == len(content)
    unknown = task.vocabulary.unknown
    for byte, i in zip(content.tolist(), ids.tolist(), strict=True):
        assert i == unknown or task.vocabulary.symbols[i] == chr(byte)
    assert task.monitor == "bits_per_byte"
    assert set(task.metrics({"nats": 1.0})) == {m.name for m in task.measures}
    assert list(task.symbols("é")) == ["\xc3", "\xa9"]
    assert all(name.isascii() for name in task.names())
    assert (
        sum(task.names()[i] == task.vocabulary.symbols[i] == "A" for i in range(len(ids[:9]))) < 2
    )


def test_a_wrong_prompt_of_bytes_names_them_in_ascii(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"abcd" * 40)
    with pytest.raises(UserError, match=r"task.sample_prompt has \\xc3, \\xa9"):
        make("charlm", data="bytes", path=str(path), batch_size=3, sample_prompt="aé")


@pytest.mark.parametrize("size", [10, PIECE - 3, PIECE + 5])
def test_text_is_composed_piece_by_piece(size: int) -> None:
    dice = random_kit.dice(size)
    letters = "aeoun" + MARKED + " \n한각क़" + unicodedata.normalize("NFD", "한각")
    content = "".join(dice.choices(letters, k=size // 2)) + "é"
    content = unicodedata.normalize("NFD", content)
    assert not is_composed(array(content.encode()))
    found = composed(array(content.encode()))
    assert found.tobytes().decode() == unicodedata.normalize("NFC", content)
    assert is_composed(found) and composed(found) is found


# -- parts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [("train", "valid", "test"), ("TRAIN", "dev", "Test")])
@pytest.mark.parametrize("name", ["charlm", "wordlm"])
def test_a_folder_has_a_file_for_each_part(name: str, names, tmp_path: Path) -> None:
    contents = [lines(["one", "two", "three", word], "", 30) for word in ("four", "five", "six")]
    for part, content in zip(names, contents, strict=True):
        (tmp_path / f"{part}.txt").write_text(content)
    (tmp_path / "README").write_text("not one of them")
    task = make(name, data="file", path=str(tmp_path), batch_size=3)
    assert task.data["sha256"] == content_hash("file", tmp_path)
    parts = text("file", path=tmp_path)
    read = [p.tobytes().decode() for p in (parts.train, parts.valid, parts.test)]
    assert read == contents
    assert any(f"test ({names[2]}.txt)" in note for note in task.notes)
    (tmp_path / f"{names[1]}.txt").write_text(contents[1] + "more\n")
    assert content_hash("file", tmp_path) != task.data["sha256"]
    (tmp_path / "val.txt").write_text("a second one")
    for refused in (content_hash, lambda data, path: text(data, path=path)):
        with pytest.raises(UserError, match="has both"):
            refused("file", tmp_path)


def test_a_split_is_not_read_with_a_folder(tmp_path: Path) -> None:
    from odyssey.config.task_schema import CharLMConfig

    cfg = CharLMConfig(data="file", path=str(tmp_path), split=[0.8, 0.1, 0.1])
    (told,) = cfg.errors()
    assert "task.split=[0.8,0.1,0.1] is not read with the folder" in told


@pytest.mark.parametrize("how", ["split", "folder"])
def test_there_may_be_no_test_part(how: str, tmp_path: Path) -> None:
    content = lines(["one", "two"], "", 60)
    if how == "split":
        task = lm(tmp_path, content, split=[0.9, 0.1, 0.0])
        assert len(task._ids["train"]) + len(task._ids["valid"]) == len(content)
    else:
        for part in ("train", "valid"):
            (tmp_path / f"{part}.txt").write_text(content)
        task = make("charlm", data="file", path=str(tmp_path), batch_size=3)
    assert len(task.ready("valid")) and len(task.ready("train"))
    with pytest.raises(UserError, match="there is no test part, since task"):
        task.ready("test")


# -- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("लड़की शाम को हैं।", ["लड़की", "शाम", "को", "हैं", "।"]),
        ("don’t isn't ‘so’ dogs’", ["don't", "isn't", "‘", "so", "’", "dogs", "’"]),
        ("re\u0301sume\u0301.", ["résumé", "."]),
        ("x\u0323\u0301y", ["x\u0323\u0301y"]),  # a letter that has no composed form
        ("می\u200cخواهم क्\u200dष", ["می\u200cخواهم", "क्\u200dष"]),
        ("我不知道ok 23", ["我", "不", "知", "道", "ok", "23"]),
        ("カタカナと漢字、", [*"カタカナと漢字、"]),
        ("ที่ดี ๑๒", ["ที่", "ดี", "๑๒"]),
        ("한국어 text_1 ❤️", ["한국어", "text_1", "❤️"]),
        ("<unk> a<unk>é", ["<unk>", "a", "<unk>", "é"]),
    ],
)
def test_words_follow_unicode(written: str, words: list[str]) -> None:
    tokenizer = Tokenizer("words")
    expected = [unicodedata.normalize("NFC", word) for word in words]
    for form in ("NFC", "NFD"):
        assert tokenizer.split(unicodedata.normalize(form, written)) == expected


def test_scripts_without_blanks_are_printed_without() -> None:
    tokenizer, out, before = Tokenizer("words"), "", None
    written = "我不知道。 ok 好"
    for word in tokenizer.split(written):
        out += tokenizer.join(word, before)
        before = word
    assert out == "我不知道。 ok 好"


def test_both_tokenizers_agree_where_signs_stand_alone() -> None:
    """As in the accents' files: letters with marks, ’ inside words, blanks before the stop."""
    for words in (ACCENTED, HINDI):
        content = lines(words, " .")
        for form in ("NFC", "NFD"):
            read = [Tokenizer(kind).split(unicodedata.normalize(form, content)) for kind in KINDS]
            read[1] = [word.replace("’", "'") for word in read[1]]
            assert read[0] == read[1] == Tokenizer("words").split(content)


KINDS = ("words", "whitespace")


@pytest.mark.parametrize("kind", [*KINDS, "characters"])
@pytest.mark.parametrize("words", [ACCENTED, HINDI], ids=["accents", "hindi"])
def test_composed_or_not_the_numbers_are_the_same(kind: str, words, tmp_path: Path) -> None:
    content = lines(words, " ।")
    read = []
    for form in ("NFC", "NFD"):
        options = {} if kind == "characters" else {"tokenizer": kind}
        name = "charlm" if kind == "characters" else "wordlm"
        task = lm(tmp_path, unicodedata.normalize(form, content), name, **options)
        read.append((task.vocabulary.symbols, *(ids.tolist() for ids in task._ids.values())))
    assert read[0] == read[1]


@pytest.mark.parametrize("file", ["hindi", "accents_nfc", "accents_nfd"])
def test_real_words_are_found(file: str) -> None:
    """`words` has hardly more symbols than there are blanks: signs alone come off."""
    path = Path(__file__).parents[2] / "shared" / "faults" / f"{file}.txt"
    if not path.exists():
        pytest.skip("shared/faults is not here")
    content = unicodedata.normalize("NFC", path.read_text(encoding="utf-8"))
    words, chunks = (Tokenizer(kind, lines=False).split(content) for kind in KINDS)
    assert "".join(words) == "".join(chunks).replace("’", "'")
    signs = sum(not any(c.isalnum() for c in word) for word in words)
    alone = sum(not any(c.isalnum() for c in chunk) for chunk in chunks)
    assert len(words) - signs == len(chunks) - alone
    tasks = [
        make("wordlm", data="file", path=str(path), tokenizer=kind, batch_size=3) for kind in KINDS
    ]
    assert abs(len(tasks[0].vocabulary) - len(tasks[1].vocabulary)) <= 3
    assert not any(task.caveat for task in tasks)


# -- what is unknown ------------------------------------------------------------------------------


def test_the_share_of_unknown_is_told_in_each_part(rng, tmp_path: Path) -> None:
    known = [*"abcdefgh"]
    words = list(rng.choice(known, 1000))
    for i in rng.choice(np.arange(600, 1000), 30, replace=False):
        words[i] = f"new{i}"  # of the last 40% alone
    task = lm(tmp_path, " ".join(words), "wordlm", batch_size=3, min_count=1, split=SPLIT)
    (told,) = [note for note in task.notes if "vocabulary of" in note]
    assert f"vocabulary of {len(task.vocabulary)} words" in told
    for split in ("valid", "test"):
        share = (task._ids[split] == task.vocabulary.unknown).double().mean()
        assert f"{share:.1%}" in told
    assert not task.caveat and "warning" not in " ".join(task.notes)


@pytest.mark.parametrize(
    ("options", "way"),
    [
        ({"min_count": 2}, "task.min_count=1 instead of 2"),
        ({"min_count": 1, "max_size": 3}, "a larger task.max_size than 3"),
        ({"tokenizer": "whitespace"}, "task.tokenizer=words"),
    ],
)
def test_much_of_it_is_a_warning_with_a_way_out(options, way: str, tmp_path: Path) -> None:
    content = " ".join(f"a{i % 5 if i % 2 else i}" for i in range(600))
    task = lm(tmp_path, content, "wordlm", **options)
    (warning,) = [note for note in task.notes if note.startswith("warning: ")]
    assert way in warning and "task=charlm" in warning and task.caveat in warning
    assert "perplexity is not that of the text" in task.caveat


def test_characters_are_told_only_where_some_are_unknown(tmp_path: Path) -> None:
    assert not lm(tmp_path, "abcd" * 50).notes
    (told,) = lm(tmp_path, "abcd" * 50 + "é").notes
    assert "<unk> is 0.0% of the training" in told and "of the test part" in told
    _, warning = lm(tmp_path, "abcd" * 50 + "漢字" * 10).notes
    assert "task.data=bytes" in warning


@pytest.mark.parametrize(
    ("file", "words", "whitespace"),
    [("hindi.txt", 24, 23), ("accents_nfc.txt", 13, 13), ("accents_nfd.txt", 13, 13)],
)
def test_the_words_of_the_files_with_faults_are_found(
    faults: Path, file: str, words: int, whitespace: int
) -> None:
    sizes, texts = [], []
    for tokenizer in ("words", "whitespace"):
        task = make("wordlm", data="file", path=str(faults / file), tokenizer=tokenizer)
        sizes.append(len(task.vocabulary))
        texts.append([task._ids[split] for split in ("train", "valid", "test")])
        for ids in texts[-1]:
            assert (ids == task.vocabulary.unknown).double().mean() < 0.01
    assert sizes == [words, whitespace]
    if file.startswith("accents"):  # blanks stand around each word and sign there
        other = make("wordlm", data="file", path=str(faults / "accents_nfc.txt"))
        for split, ids, alone in zip(other._ids, *texts, strict=True):
            assert torch.equal(ids, other._ids[split]) and len(alone) == len(ids)


@pytest.mark.parametrize(
    ("file", "options", "notes"),
    [
        ("latin1_cr_only.txt", {}, ("line ends CR read as LF",)),
        ("cp1252.txt", {"encoding": "cp1252"}, ("read as cp1252", "line ends CR LF read as LF")),
        ("three_texts", {}, ("parts train (train.txt), valid (valid.txt), test (test.txt)",)),
    ],
)
def test_the_texts_with_faults_are_read_and_it_is_said(
    faults: Path, file: str, options: dict[str, str], notes: tuple[str, ...]
) -> None:
    task = make("charlm", data="file", path=str(faults / file), batch_size=4, **options)
    assert task.notes == notes
    assert "\r" not in task.vocabulary.symbols and "\n" in task.vocabulary.symbols
