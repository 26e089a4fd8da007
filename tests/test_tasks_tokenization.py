"""Characters and words to numbers and back."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

import numpy as np
import pytest

from odyssey.errors import UserError
from odyssey.tasks.tokenization import (
    END,
    UNKNOWN,
    Tokenizer,
    Vocabulary,
    count_characters,
    encode_characters,
)
from tasks_kit import bytes_of

TEXTS = ["a", "hello\nworld", "naïve café — 我們 🎼🎹\n" * 50, "é" * 99, "🎼", "a\x00b\r\n\tz"]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 1 << 20])
def test_characters_round_trip_whatever_the_pieces(text, chunk, monkeypatch):
    monkeypatch.setattr("odyssey.tasks.tokenization.CHUNK", chunk)
    data = bytes_of(text)
    counts = count_characters(data)
    assert counts == Counter(text)
    vocabulary = Vocabulary.build(counts, unknown=False)
    ids = encode_characters(data, vocabulary, "training")
    assert ids.dtype == np.uint8
    assert "".join(vocabulary.symbols[i] for i in ids) == text


@pytest.mark.parametrize("kinds", [100, 254, 255, 256, 5000, 40000])
def test_ids_take_the_smallest_type_that_fits(kinds):
    text = "".join(chr(0x10000 + i) for i in range(kinds))
    vocabulary = Vocabulary.build(count_characters(bytes_of(text)))
    ids = encode_characters(bytes_of(text), vocabulary, "training")
    size = len(vocabulary)
    assert size == kinds + 1
    assert ids.dtype == (np.uint8 if size <= 255 else np.int16 if size <= 32767 else np.int32)
    assert sorted(ids.tolist()) == sorted(set(range(size)) - {vocabulary.unknown})


def test_rare_and_unseen_become_unknown():
    vocabulary = Vocabulary.build(count_characters(bytes_of("aaabbc")), min_count=2)
    assert vocabulary.symbols == ("a", "b", UNKNOWN)
    assert encode_characters(bytes_of("abcé"), vocabulary, "test").tolist() == [0, 1, 2, 2]


def test_unseen_is_an_error_that_names_it_where_there_is_no_unknown():
    vocabulary = Vocabulary.build(Counter("ab\n"), unknown=False)
    assert UNKNOWN not in vocabulary.symbols
    with pytest.raises(UserError, match="test part has 'c', 'é'.*task.unknown=false"):
        encode_characters(bytes_of("abéc"), vocabulary, "test")


def test_sizes_limits_and_an_empty_vocabulary():
    counts = Counter("aaaabbbccd")
    assert Vocabulary.build(counts, max_size=3).symbols == ("a", "b", UNKNOWN)
    assert len(Vocabulary.build(counts)) == 5
    with pytest.raises(UserError, match="task.min_count=5.*4 times"):
        Vocabulary.build(counts, min_count=5)


def test_vocabulary_is_restored():
    vocabulary = Vocabulary.build(Counter("hello\n"), start="\n")
    again = Vocabulary.restore(vocabulary.export())
    assert again.export() == vocabulary.export()
    assert again.symbols[again.start] == "\n"
    assert again.unknown == vocabulary.unknown == 5


def test_prompt_names_what_is_not_known():
    vocabulary = Vocabulary.build(Counter("hello"))
    assert [vocabulary.symbols[i] for i in vocabulary.prompt("hole")] == list("hole")
    with pytest.raises(UserError, match="'x', 'é'"):
        vocabulary.prompt("hxéx")


def test_whitespace_words_are_those_of_the_treebank():
    text = " no it was n't <unk> \n the N cats \n"
    split = Tokenizer("whitespace").split(text)
    assert split == "no it was n't <unk> <eos> the N cats <eos>".split()
    counts = Tokenizer("whitespace").count(bytes_of(text))
    vocabulary = Vocabulary.build(counts, start=END)
    assert len(vocabulary) == len(counts)  # <unk> of the text is our own


def test_words_split_punctuation_off():
    text = "Don't (ever) say: naïve_x, 3.5!\n"
    expected = "Don't ( ever ) say : naïve_x , 3 . 5 ! <eos>".split()
    assert Tokenizer("words").split(text) == expected
    assert Tokenizer("words", lower=True).split("ABC É") == ["abc", "é"]
    assert Tokenizer("words", lines=False).split("a\nb") == ["a", "b"]


@pytest.mark.parametrize("kind", ["words", "whitespace"])
@pytest.mark.parametrize("chunk", [1, 5, 64, 1 << 20])
def test_words_in_pieces_are_those_of_the_whole(kind, chunk, monkeypatch):
    monkeypatch.setattr("odyssey.tasks.tokenization.CHUNK", chunk)
    monkeypatch.setattr("odyssey.tasks.tokenization.REMEMBERED", 3)
    text = "Der naïve Bär — it's 我們,\u00a0(🎼) x=[1,2];\r\n\n  don't <unk>stop\ttabs " * 7
    tokenizer = Tokenizer(kind)
    whole = tokenizer.split(text)
    counts = tokenizer.count(bytes_of(text))
    assert counts == Counter(whole)
    vocabulary = Vocabulary.build(counts)
    ids = tokenizer.encode(bytes_of(text), vocabulary)
    assert [vocabulary.symbols[i] for i in ids] == whole
    if kind == "words":
        pattern = r"\n|<unk>|[我們]|\w+(?:'\w+)*|[^\w\s]"
        assert [w.replace("\n", "<eos>") for w in re.findall(pattern, text)] == whole


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("किसान शाम को उड़ती हैं।", "किसान शाम को उड़ती हैं ।"),  # vowel signs are marks
        ("über isn’t ‘so’ résumé’s l’été", "über isn't ‘ so ’ résumé's l'été"),
        ("这首歌太难看abc好23。", "这 首 歌 太 难 看 abc 好 23 。"),
        ("ひらガナ漢字ー々", "ひ ら ガ ナ 漢 字 ー 々"),
        ("ไก่ น้ำ", "ไ ก่ น้ ำ"),  # a tone sign stays with its letter
        ("ဗမာ ខ្មែរ", "ဗ မာ ខ្ មែ រ"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # a joiner inside a word
        ("ok❤️👍🏽👩\u200d🔬!", "ok ❤️ 👍🏽 👩\u200d🔬 !"),
        ("שָׁלוֹם عَرَبِيّ", "שָׁלוֹם عَرَبِيّ"),
        ("\u0301 x", "\u0301 x"),  # a mark without a letter is not lost
    ],
)
def test_words_follow_unicode(text, words):
    tokenizer = Tokenizer("words", lines=False)
    expected = unicodedata.normalize("NFC", words).split()
    assert tokenizer.split(text) == expected
    for form in ("NFC", "NFD"):
        same = unicodedata.normalize(form, text)
        assert tokenizer.split(same) == expected
        assert Tokenizer("whitespace").split(same) == unicodedata.normalize("NFC", text).split()
    # No letter is lost, whatever the text.
    assert "".join(expected).replace("'", "’") == "".join(text.split()).replace("'", "’")


def test_no_sign_of_unicode_is_lost(rng):
    points = [i for i in range(0x20, 0x20000) if not 0xD800 <= i < 0xE000]
    text = "".join(map(chr, rng.choice(points, 5000)))
    for lower in (False, True):
        words = Tokenizer("words", lower=lower).split(text)
        plain = unicodedata.normalize("NFC", text.lower() if lower else text)
        assert "".join(words).replace("’", "'") == "".join(plain.split()).replace("’", "'")


def test_words_are_joined_as_they_are_printed():
    tokenizer = Tokenizer("words")
    before, out = None, ""
    for word in ["Hello", ",", "(", "world", ")", "!", "<eos>", "Again", "."]:
        out += tokenizer.join(word, before)
        before = word
    assert out == "Hello, (world)!\nAgain."
    assert Tokenizer("whitespace").join(",", "a") == " ,"
    words = tokenizer.split("这首歌好, and ไก่ 2.")
    pairs = zip(words, [None, *words], strict=False)
    assert "".join(tokenizer.join(w, b) for w, b in pairs) == "这首歌好, and ไก่ 2."
