"""Labelled texts for classification."""

from __future__ import annotations

import os
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from odyssey.data.fetch import RemoteFile, data_folder, fetch, sha256
from odyssey.data.names import choose
from odyssey.data.snippets import snippets
from odyssey.data.split import stratified
from odyssey.data.table import csv_texts
from odyssey.data.types import Dataset, Labelled
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


def sentences(
    name: str, data_dir: PathLike | None = None, *, path: PathLike | None = None
) -> Dataset[Labelled]:
    """Labelled texts by their name, one of `SENTENCES`.

    snippets  10,566 movie-review snippets, rated by people; see odyssey.data.snippets
    sst2      Stanford Sentiment Treebank, two classes: 6,920/872/1,821 sentences, the official
              train, dev and test files as they are. ("no" and "what 's next ?" are in both train
              and test there.)
    imdb      50,000 film reviews (Maas et al. 2011): about 22,500/2,500/25,000; valid is drawn
              from the official training half with a fixed seed, stratified, copies together
    csv       the user's own, at `path`; see odyssey.data.table

    Raises UserError.
    """
    source = choose(name, _SOURCES)
    if path is not None and name != "csv":
        raise UserError(
            f"task.path={path} is for task.data=csv only, not {name}; drop it or set that"
        )
    return source(data_folder(data_dir), path)


def _snippets(folder: Path, path: PathLike | None) -> Dataset[Labelled]:
    return snippets(folder)


def _sst2(folder: Path, path: PathLike | None) -> Dataset[Labelled]:
    contents = [fetch(file, folder).read_bytes() for file in SST2]
    train, valid, test = (_tabbed(content.decode()) for content in contents)
    return Dataset("sst2", sha256(contents), train, valid, test)


def _tabbed(content: str) -> Labelled:
    """Lines of text, tab, 0 or 1."""
    rows = [line.split("\t") for line in content.split("\n") if line]
    labels = np.array([int(label) for _, label in rows], dtype=np.int64)
    return Labelled([text for text, _ in rows], labels, CLASSES)


def _imdb(folder: Path, path: PathLike | None) -> Dataset[Labelled]:
    halves = read_imdb(fetch(IMDB, folder))
    half = halves["train"]
    train, valid = (
        Labelled([half.texts[i] for i in part], half.labels[part], CLASSES)
        for part in stratified(half.labels, (0.9, 0.1), seed=0, texts=half.texts)
    )
    return Dataset("imdb", IMDB.hash.removeprefix("sha256:"), train, valid, halves["test"])


def read_imdb(archive: Path) -> dict[str, Labelled]:
    """The halves `train` and `test`, read from the archive in one pass, nothing unpacked.

    Reviews are in the order of their file names; `<br />` stands for a line break in them.
    """
    found: dict[str, dict[str, str]] = {"train": {}, "test": {}}
    try:
        # A stream: the archive holds 100,000 files, of which half are not labelled.
        with tarfile.open(archive, "r|gz") as tar:
            for member in tar:
                place = member.name.split("/")
                if len(place) == 4 and place[1] in found and place[2] in ("neg", "pos"):
                    content = tar.extractfile(member)
                    if content is not None:
                        found[place[1]]["/".join(place[2:])] = content.read().decode()
    except (tarfile.TarError, OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise UserError(
            f"{archive} is not the archive of IMDB reviews ({error}); move it away and try again"
        ) from None
    if not all(found.values()):
        raise UserError(f"{archive} holds no labelled reviews; move it away and try again")
    return {part: _ordered(reviews) for part, reviews in found.items()}


def _ordered(reviews: dict[str, str]) -> Labelled:
    names = sorted(reviews)
    labels = np.array([int(name.startswith("pos/")) for name in names], dtype=np.int64)
    return Labelled([reviews[name] for name in names], labels, CLASSES)


def _csv(folder: Path, path: PathLike | None) -> Dataset[Labelled]:
    return csv_texts(path)


_SOURCES: dict[str, Callable[[Path, PathLike | None], Dataset[Labelled]]] = {
    "snippets": _snippets,
    "sst2": _sst2,
    "imdb": _imdb,
    "csv": _csv,
}
SENTENCES = tuple(_SOURCES)
