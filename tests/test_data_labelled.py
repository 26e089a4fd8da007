"""Labelled texts: snippets, SST-2, IMDB."""

from __future__ import annotations

import importlib
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

import random_kit
from odyssey import data
from odyssey.data.download import RemoteFile, data_folder, sha256
from odyssey.data.labelled import read_imdb
from odyssey.data.splits import stratified
from odyssey.errors import UserError

module = importlib.import_module("odyssey.data.labelled")  # `data.labelled_texts` is the function


def parts(d: data.Dataset[data.Labelled]) -> tuple[data.Labelled, data.Labelled, data.Labelled]:
    return d.train, d.valid, d.test


def no_index(folder: Path) -> bool:
    """Whether pip, asked for the same package by hand, cannot get it either."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
    return subprocess.run([*command, "vaderSentiment==2.5"], capture_output=True).returncode != 0


@pytest.fixture(scope="module")
def snippets(tmp_path_factory: pytest.TempPathFactory) -> data.Dataset[data.Labelled]:
    """Fetched by pip into an empty folder, or taken from the user's own where there is no index."""
    try:
        return data.labelled_texts("snippets", tmp_path_factory.mktemp("data"))
    except UserError as error:
        if not no_index(tmp_path_factory.mktemp("index")):
            raise  # the package is to be had, so the fault is ours
        if not (data_folder() / "snippets" / "vaderSentiment-2.5.tar.gz").exists():
            pytest.skip(str(error))
        return data.labelled_texts("snippets")


@pytest.mark.slow
def test_snippets_are_what_they_are(snippets: data.Dataset[data.Labelled]) -> None:
    assert [len(p.texts) for p in parts(snippets)] == [8454, 1056, 1056]
    for part in parts(snippets):
        assert part.labels.dtype == np.int64 and len(part.labels) == len(part.texts)
        assert part.classes == ("negative", "positive")
        assert abs(part.labels.mean() - 0.496) < 0.002
    sets = [set(p.texts) for p in parts(snippets)]
    assert [len(s) for s in sets] == [8454, 1056, 1056]
    assert not sets[0] & sets[1] and not sets[0] & sets[2] and not sets[1] & sets[2]
    label = {t: y for p in parts(snippets) for t, y in zip(p.texts, p.labels, strict=True)}
    assert label["Effective but too tepid biopic"] == 0  # rated -0.6
    assert label["Offers that rare combination of entertainment and education."] == 1  # 2.47


@pytest.mark.slow
def test_the_foreign_package_is_not_run(tmp_path: Path, snippets: object) -> None:
    """A second fetch finds the file, and no process is started for it."""
    folder = tmp_path / "data"
    code = (
        "import subprocess, sys; from odyssey import data; "
        "data.labelled_texts('snippets', sys.argv[1])"
    )
    run = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True)
    if run.returncode and no_index(tmp_path / "index"):
        pytest.skip("no package index")
    assert run.returncode == 0, run.stderr
    names = sorted(p.name for p in (folder / "snippets").iterdir())
    assert names == [".vaderSentiment-2.5.tar.gz.lock", "vaderSentiment-2.5.tar.gz"]
    no_pip = os.environ | {"PIP_INDEX_URL": "http://127.0.0.1:9", "PIP_NO_INDEX": "1"}
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, env=no_pip)


def test_snippets_without_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError) as caught:
        data.labelled_texts("snippets", tmp_path)
    message = str(caught.value)
    assert "no connection to the package index" in message and "b960c954" in message
    assert str(tmp_path / "snippets" / "vaderSentiment-2.5.tar.gz") in message


def test_a_damaged_snippets_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "snippets" / "vaderSentiment-2.5.tar.gz"
    path.parent.mkdir()
    path.write_bytes(b"damaged")
    with pytest.raises(UserError, match="damaged or another file"):
        data.labelled_texts("snippets", tmp_path)


def test_sst2_is_the_three_official_files(shared_data: Path) -> None:
    d = data.labelled_texts("sst2", shared_data)
    assert [len(p.texts) for p in parts(d)] == [6920, 872, 1821]
    for part, name in zip(parts(d), ("train", "dev", "test"), strict=True):
        lines = (shared_data / "sst2" / f"{name}.tsv").read_text().splitlines()
        assert [f"{t}\t{y}" for t, y in zip(part.texts, part.labels, strict=True)] == lines
    train, valid, test = (set(p.texts) for p in parts(d))
    assert not valid & (train | test)
    assert train & test == {"no", "what 's next ?"}  # so in the official files


def test_sst2_and_imdb_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    for name in ("sst2", "imdb"):
        with pytest.raises(UserError, match="by hand.*task.data=snippets"):
            data.labelled_texts(name, tmp_path)


def archive(path: Path, count: int) -> None:
    """The form of aclImdb_v1.tar.gz, with fewer reviews, in an order of its own."""
    with tarfile.open(path, "w:gz") as tar:
        for part, kind in [
            ("test", "pos"),
            ("train", "unsup"),
            ("train", "pos"),
            ("train", "neg"),
        ] + [("test", "neg")]:
            for i in reversed(range(count)):
                text = f"{part} {kind} naïve {i // 2 if part == 'train' else i}<br />".encode()
                info = tarfile.TarInfo(f"aclImdb/{part}/{kind}/{i}_{i % 10}.txt")
                info.size = len(text)
                tar.addfile(info, io.BytesIO(text))
        for name in (
            "aclImdb/README",
            "aclImdb/train/urls_pos.txt",
            "aclImdb/train/labeledBow.feat",
        ):
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))


def test_imdb_is_read_from_its_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "imdb" / "aclImdb_v1.tar.gz"
    path.parent.mkdir()
    archive(path, 200)
    halves = read_imdb(path)
    for part, half in halves.items():
        assert len(half.texts) == 400 and half.labels.tolist() == [0] * 200 + [1] * 200
        for text, label in zip(half.texts, half.labels, strict=True):
            assert text.startswith(f"{part} {('neg', 'pos')[label]} naïve")
    digest = sha256([path.read_bytes()])
    monkeypatch.setattr(module, "IMDB", RemoteFile(module.IMDB.name, (), f"sha256:{digest}", ""))
    d = data.labelled_texts("imdb", tmp_path)
    assert [len(p.texts) for p in parts(d)] == [360, 40, 400] and d.sha256 == digest
    train, valid, test = (set(p.texts) for p in parts(d))
    assert not train & valid and not (train | valid) & test  # each text is there twice in train
    assert d.valid.labels.mean() == 0.5


def test_foreign_archives_get_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x.tar.gz"
    archive(path, 30)
    whole = path.read_bytes()
    for content, words in [
        (b"", "is not the archive"),
        (b"no tar", "is not the archive"),
        (whole[: len(whole) // 2], "is not the archive"),
    ]:
        path.write_bytes(content)
        with pytest.raises(UserError, match=words):
            read_imdb(path)
    archive(path, 0)
    with pytest.raises(UserError, match="no labelled reviews"):
        read_imdb(path)


def test_unknown_names_and_needless_paths() -> None:
    with pytest.raises(UserError, match="did you mean 'imdb'.*csv, imdb, snippets, sst2"):
        data.labelled_texts("imbd")
    with pytest.raises(UserError, match="task.path=x.csv is for task.data=csv only"):
        data.labelled_texts("sst2", path="x.csv")


@pytest.mark.parametrize("count", [1, 2, 3, 7, 101])
def test_a_split_has_every_row_once(count: int) -> None:
    random = random_kit.rng()
    labels = random.integers(0, 3, count)
    texts = [str(i) for i in random.integers(0, max(1, count // 2), count)]
    for given in (None, texts):
        found = stratified(labels, (0.6, 0.2, 0.2), seed=5, texts=given)
        assert sorted(np.concatenate(found).tolist()) == list(range(count))
        if given:
            sets = [{texts[i] for i in part} for part in found]
            assert not sets[0] & sets[1] and not sets[0] & sets[2] and not sets[1] & sets[2]
