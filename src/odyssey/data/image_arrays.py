"""Images of the user's own as arrays in an .npz file, by the names that others give them."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from odyssey.data.folders import PARTS, Layout, PathLike
from odyssey.data.identity import file_hashes
from odyssey.data.pictures import MOST_BYTES, Found, Named, Pixels, empty, resized
from odyssey.errors import UserError
from odyssey.io import read_bytes

# The names of arrays, in small letters: the kind, with the part before or after it, or without.
KINDS = {
    "images": ("images", "image", "x", "data", "imgs"),
    "labels": ("labels", "label", "y", "target", "targets"),
}


def read_arrays(path: PathLike, size: int | None, *, trained: bool = True) -> Found:
    """The images of an .npz file, by part. size: what they are resized to, or None.

    trained: whether a model is to be trained on them, which takes those of train.

    Raises UserError.
    """
    with _open(path) as file:
        found, plan = _plan(path, file, trained)
        read: dict[str, tuple[NDArray[Any], list[str]]] = {}
        for part in plan.parts:
            images = _array(path, file, found[part]["images"])
            labels = _array(path, file, found[part]["labels"])
            read[part] = (
                _shaped(path, found[part]["images"], images),
                _class_names(path, found[part]["labels"], labels),
            )
            if len(read[part][0]) != len(read[part][1]):
                raise UserError(
                    f"task.path={path} has {len(images):,} {found[part]['images']} and "
                    f"{len(labels):,} {found[part]['labels']}: save a label for each image"
                )
            if not len(images):
                raise empty(path, part)
    shapes = {found[part]["images"]: images.shape[1:] for part, (images, _) in read.items()}
    if len(set(shapes.values())) > 1:
        a, one = next(iter(shapes.items()))
        b, other = next((name, shape) for name, shape in shapes.items() if shape != one)
        raise UserError(
            f"task.path={path} has {a} of shape {one} and {b} of {other}: save them with one shape"
        )
    scale, note = _scale(path, [images for images, _ in read.values()])
    parts = {
        part: Named(resized(_bytes(images, scale), size), names)
        for part, (images, names) in read.items()
    }
    if all(bool((p.images == p.images[..., :1]).all()) for p in parts.values()):
        parts = {part: Named(p.images[..., :1], p.names) for part, p in parts.items()}
    digest = next(iter(file_hashes("folder", path).values()))[1]
    return Found(parts, plan, digest, note)


def has_all_parts(path: PathLike) -> bool:
    """Whether there are arrays of train, valid and test. Raises UserError."""
    with _open(path) as file:
        return _plan(path, file)[1].whole


def _open(path: PathLike) -> Any:
    file = next(iter(file_hashes("folder", path).values()))[0]
    try:
        content = read_bytes(file)[0]
        if content[:6] == b"\x93NUMPY":
            raise UserError(
                f"task.path={path} is a single array: save images and labels together, as in "
                "np.savez(file, images=…, labels=…)"
            )
        if content[:2] != b"PK":
            raise ValueError("it does not begin as one")
        return np.load(io.BytesIO(content), allow_pickle=False)
    except UserError:
        raise
    except Exception as error:  # zipfile and NumPy raise nearly anything for a damaged file
        why = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(
            f"task.path={path} is no .npz file ({why}): name one, or a folder with a folder of "
            "image files for each class"
        ) from None


def _plan(
    path: PathLike, file: Any, trained: bool = True
) -> tuple[dict[str, dict[str, str]], Layout]:
    """The names of the arrays, by part and kind. Raises UserError."""
    found: dict[str, dict[str, str]] = {}
    for name in file.files:
        for part, kind in _meant(name):
            if (other := found.setdefault(part, {}).setdefault(kind, name)) != name:
                raise UserError(
                    f"task.path={path} has two arrays of the {kind} of {part}, {other} and {name}: "
                    "leave one out"
                )
    if len(found) > 1 and "all" in found and "train" not in found:
        found["train"] = found.pop("all")
    if "train" in found:
        found.pop("all", None)
    for kinds in found.values():
        if len(kinds) < 2:
            ((kind, name),) = kinds.items()
            lacking = "labels" if kind == "images" else "images"
            raise UserError(
                f"task.path={path} has {name} without its {lacking} among the arrays "
                f"{', '.join(file.files)}: save both, as images and labels, or as x_train, "
                "y_train, x_test, y_test"
            )
    if not (found if not trained else {"all", "train"} & set(found)):
        raise UserError(
            f"task.path={path} has the arrays {', '.join(file.files) or '(none)'}: save them as "
            "images and labels, or as x_train, y_train, x_test, y_test"
        )
    return found, Layout({part: [] for part in ("all", *PARTS) if part in found}, [], "")


def _meant(name: str) -> list[tuple[str, str]]:
    """The part and kind that an array's name says; none where it says neither."""
    kinds = {word: kind for kind, words in KINDS.items() for word in words}
    parts = {word: part for part, words in PARTS.items() for word in words}
    words = [word for word in re.split(r"[_\W]+", name.lower()) if word]
    if len(words) == 1 and words[0] in kinds:
        return [("all", kinds[words[0]])]
    if len(words) == 2:
        for part, kind in (words, words[::-1]):
            if part in parts and kind in kinds:
                return [(parts[part], kinds[kind])]
    return []


def _array(path: PathLike, file: Any, name: str) -> NDArray[Any]:
    """An array of the file. Its header is read first: it may ask for any amount of memory."""
    try:
        with file.zip.open(f"{name}.npy") as stream:
            version = np.lib.format.read_magic(stream)
            header = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, _, kind = header(stream)
        if kind.hasobject:
            raise UserError(
                f"task.path={path}: the array {name} is of Python objects: save it as an array of "
                "numbers, or of strings"
            )
        size = file.zip.getinfo(f"{name}.npy").file_size
        if not np.prod(shape, dtype=object) * kind.itemsize <= size <= 4 * MOST_BYTES:
            raise ValueError(f"its shape is {shape}, and it has {size:,} bytes")
        return np.asarray(file[name])
    except UserError:
        raise
    except Exception as error:  # as above
        why = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(
            f"task.path={path}: the array {name} cannot be read ({why}): save it anew"
        ) from None


def _shaped(path: PathLike, name: str, images: NDArray[Any]) -> NDArray[Any]:
    """The images as (N, H, W, C)."""
    shape = images.shape
    if images.ndim == 2 and (side := round(shape[1] ** 0.5)) ** 2 == shape[1] and side > 1:
        images = images.reshape(-1, side, side)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim == 4 and images.shape[3] not in (1, 3) and images.shape[1] in (1, 3):
        images = images.transpose(0, 2, 3, 1)  # PyTorch's order
    if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape[1:]:
        raise UserError(
            f"task.path={path} has {name} of shape {shape}: save grey images as (N, H, W), or "
            "colour ones as (N, H, W, 3)"
        )
    if images.size > MOST_BYTES:
        raise UserError(
            f"task.path={path} has {name} of shape {shape}, which take more than "
            f"{MOST_BYTES >> 30} GiB: save smaller ones"
        )
    return images


def _class_names(path: PathLike, name: str, labels: NDArray[Any]) -> list[str]:
    """The class of each row by name: of whole numbers or of strings, or of one-hot rows."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2 and labels.dtype.kind in "buif" and labels.shape[1] > 1:
        if bool(((labels == 0) | (labels == 1)).all()) and bool((labels.sum(axis=1) == 1).all()):
            labels = labels.argmax(axis=1)
    if labels.ndim != 1:
        raise UserError(
            f"task.path={path} has {name} of shape {labels.shape}: save one label for each image"
        )
    if labels.dtype.kind == "f":
        if not bool(np.isfinite(labels).all() and (labels == np.floor(labels)).all()):
            raise UserError(
                f"task.path={path} has {name} that are no whole numbers: save a class for each "
                "image, a whole number or a string"
            )
        labels = labels.astype(np.int64)
    if labels.dtype.kind == "S":
        return [label.decode("utf-8", "replace") for label in labels.tolist()]
    if labels.dtype.kind not in "buiU":
        raise UserError(
            f"task.path={path} has {name} of {labels.dtype}: save whole numbers or strings"
        )
    return [str(int(label)) if labels.dtype.kind in "bui" else label for label in labels.tolist()]


def _scale(path: PathLike, arrays: Sequence[NDArray[Any]]) -> tuple[int, list[str]]:
    """What the values are to be multiplied with, 255 or 1, and a note where that was found out.

    They are from 0 to 255, or from 0 to 1, whatever their type. Raises UserError for all else.
    """
    low, high, whole = np.inf, -np.inf, True
    for images in arrays:
        if images.dtype.kind not in "buif":
            raise UserError(
                f"task.path={path} has images of {images.dtype}: save numbers, from 0 to 255"
            )
        if images.dtype.kind == "f" and not np.isfinite(images.sum(dtype=np.float64)):
            raise UserError(
                f"task.path={path} has images with values that are no finite numbers (nan or "
                "inf): mend them, or leave these images out"
            )
        low, high = min(low, images.min()), max(high, images.max())
        if images.dtype.kind == "f" and whole:
            whole = bool((images == np.floor(images)).all())
    if low >= 0 and high <= 1 and high > 0:
        return 255, ["values from 0 to 1 read as 0 to 255"]
    # Fractions are those of resized images; a small maximum is of another scale.
    if low < 0 or high > 255 or not (whole or high > 127):
        raise UserError(
            f"task.path={path} has images with values from {low:g} to {high:g}: save them as from "
            "0 to 1, or as from 0 to 255"
        )
    return 1, []


def _bytes(images: NDArray[Any], scale: int) -> Pixels:
    if images.dtype == np.uint8 and scale == 1:
        return images
    found = np.empty(images.shape, np.uint8)
    for at in range(0, len(images), 1024):  # no copy of all as float64
        part = images[at : at + 1024].astype(np.float64)
        found[at : at + 1024] = np.rint(part * scale)
    return found
