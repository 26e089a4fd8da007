"""Labelled texts for classification, from public data sets."""

from __future__ import annotations

import os
import tarfile
import zlib
from collections.abc import Callable
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
from odyssey.data.splits import stratified
from odyssey.data.tables import read_labelled
from odyssey.data.types import Dataset, Labelled, choose
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

OWN = "csv"  # the name of what the user brings


def labelled_texts(
    name: str,
    data_dir: PathLike | None = None,
    *,
    path: PathLike | None = None,
    split_seed: int = 0,
    text_column: str | None = None,
    label_column: str | None = None,
    encoding: str | None = None,
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
    csv       the user's own at `path`; see `odyssey.data.tables.read_labelled`, which also says
              what `text_column`, `label_column` and `encoding` are

    split_seed: another one draws other parts of the same sizes, where they are drawn

    Raises UserError.
    """
    source = choose(name, {**_SOURCES, OWN: None})
    if path is not None and name != OWN:
        raise UserError(
            f"task.path={path} is for task.data=csv only, not {name}; drop it or set that"
        )
    if source is None:
        return read_labelled(
            path,
            split_seed,
            text_column=text_column,
            label_column=label_column,
            encoding=encoding,
        )
    return source(data_folder(data_dir), split_seed)


# -- public data sets -----------------------------------------------------------------------------


def _snippets(folder: Path, split_seed: int) -> Dataset[Labelled]:
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


def _sst2(folder: Path, split_seed: int) -> Dataset[Labelled]:
    contents = [fetch(file, folder).read_bytes() for file in SST2]
    train, valid, test = (_read_sst2(content.decode()) for content in contents)
    return Dataset("sst2", sha256(contents), train, valid, test)


def _read_sst2(content: str) -> Labelled:
    """From lines of text, tab, 0 or 1."""
    rows = [line.split("\t") for line in content.split("\n") if line]
    labels = np.array([int(label) for _, label in rows], dtype=np.int64)
    return Labelled([text for text, _ in rows], labels, CLASSES)


def _imdb(folder: Path, split_seed: int) -> Dataset[Labelled]:
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


_SOURCES: dict[str, Callable[[Path, int], Dataset[Labelled]]] = {
    "snippets": _snippets,
    "sst2": _sst2,
    "imdb": _imdb,
}
LABELLED_TEXTS = (*_SOURCES, OWN)
