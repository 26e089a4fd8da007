"""Images of the user's own: a folder of classes with image files, or arrays in an .npz file."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from odyssey.data.download import sha256
from odyssey.data.folders import (
    PARTS,
    PICTURES,
    Layout,
    PathLike,
    counted,
    files_below,
    is_folder,
    layout,
    left_out,
    tree_hash,
)
from odyssey.data.identity import file_hashes
from odyssey.data.splits import drawn
from odyssey.data.types import Dataset, Images
from odyssey.errors import UserError
from odyssey.io import read_bytes

logging.getLogger("PIL").addHandler(logging.NullHandler())  # damaged files are said by a note

Pixels = NDArray[np.uint8]  # (H, W), or (H, W, 3) in colour; of several (N, H, W, 1 or 3)

MOST_PIXELS = 1 << 26  # of a file; more is a damaged header, or no training data
MOST_BYTES = 1 << 33  # of all images, a byte a pixel and colour
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
TOLD_CLASSES = 10
DIRECTIONS = (
    "task.data=folder needs task.path=… to name a folder with a folder of image files for "
    "each class, or an .npz file"
)
# The names of arrays, in small letters: the kind, with the part before or after it, or without.
KINDS = {
    "images": ("images", "image", "x", "data", "imgs"),
    "labels": ("labels", "label", "y", "target", "targets"),
}


class Labelled(NamedTuple):
    """Images (N, H, W, C) and what their classes are called, one name each."""

    images: Pixels
    names: list[str]


def own_images(
    path: PathLike | None, *, size: int | None = None, split_seed: int = 0
) -> Dataset[Images]:
    """The user's images at `path`: a folder of classes, or an .npz file.

    A folder has a folder of image files for each class, which its name names; above them there may
    be train, valid and test. An .npz file has arrays of images and of labels, by the names that
    Keras (`x_train`, `y_train`, …) or MedMNIST (`train_images`, `train_labels`, …) give them, or
    `images` and `labels`. Images in which the three colours are the same everywhere are grey.

    Parts that are missing are drawn from train, a tenth of each class; without parts 80% of the
    images are train, 10% valid, 10% test. Equal images are drawn together.

    size: what all images are resized to, in both directions; None: they must be of one size

    Raises UserError.
    """
    if path is None:
        raise UserError(DIRECTIONS)
    if is_folder(path):
        parts, plan, digest, notes = _folder(path, size)
    else:
        parts, plan, digest, notes = _arrays(path, size)
    return _dataset(path, parts, plan, digest, notes, split_seed)


def own_parts(path: PathLike) -> str:
    """Why nothing of the images is drawn at random; else empty. Raises UserError."""
    if is_folder(path):
        whole = layout(path, files_below(path, PICTURES)).whole
        return "which has the folders train, valid and test" if whole else ""
    with _open(path) as file:
        whole = not _plan(path, file)[1].missing
    return "which has arrays of train, valid and test" if whole else ""


# -- a folder of classes --------------------------------------------------------------------------


def _folder(path: PathLike, size: int | None) -> tuple[dict[str, Labelled], Layout, str, list[str]]:
    hashes, files = {}, {}
    for name, file in files_below(path, PICTURES).items():
        files[name] = file
    if not files:
        file_hashes("folder", path)  # which says so
    plan = layout(path, files)
    notes, beside = [], list(plan.beside)
    depth = 0 if "all" in plan.parts else 1  # folders above those of the classes
    read: dict[str, list[tuple[str, Pixels]]] = {}
    first: dict[tuple[int, ...], str] = {}
    unusable: dict[str, str] = {}
    total = 0
    of_part = {name: part for part, names in plan.parts.items() for name in names}
    for name, file in files.items():
        try:
            content = read_bytes(file)[0]
        except OSError as error:
            raise UserError(
                f"task.path={path}: {name} cannot be read ({error.strerror or error}); "
                "mend that or move it away"
            ) from None
        hashes[name] = sha256([content])
        folders = name.removeprefix(plan.inner).split("/")[depth:-1]
        if name not in of_part:
            continue
        if not folders:
            beside.append(name)
            continue
        try:
            pixels = decode(content, size)
        except ValueError as error:
            unusable[name] = str(error)
            continue
        first.setdefault(pixels.shape[:2], name)
        total += pixels.size
        if total > MOST_BYTES:
            raise UserError(
                f"task.path={path} has images that take more than {MOST_BYTES >> 30} GiB of "
                "memory: type a task.size=… such as 64, to which they are resized"
            )
        read.setdefault(of_part[name], []).append((folders[0], pixels))
    if not read:
        why = next((f"{name}: {why}; " for name, why in unusable.items()), "")
        raise UserError(
            f"task.path={path} has no image in a folder of its class: {why}make a folder for each "
            "class, with its image files in it"
        )
    if len(first) > 1:
        (a, one), (b, other) = list(first.items())[:2]
        small = min(min(shape) for shape in first)
        raise UserError(
            f"task.path={path} has images of different sizes, as {one} with {a[0]}×{a[1]} pixels "
            f"and {other} with {b[0]}×{b[1]}: type task.size={small}, or another, to resize all"
        )
    if beside:
        notes.append(f"{counted(len(beside), 'file')} in no folder of a class left out")
    notes += left_out(unusable, len(files))
    colour = any(pixels.ndim == 3 for rows in read.values() for _, pixels in rows)
    parts = {}
    for part in plan.parts:
        rows = read.get(part, [])
        if not rows:
            raise _empty(path, part)
        parts[part] = Labelled(
            np.stack([_with_channels(pixels, colour) for _, pixels in rows]),
            [name for name, _ in rows],
        )
    return parts, plan, tree_hash(hashes), notes


def decode(content: bytes, size: int | None = None) -> Pixels:
    """The pixels of an image file (H, W), or (H, W, 3) if there is colour in it.

    Of an animation the first image; turned as its EXIF says; what is transparent is white. Raises
    ValueError with the reason where it cannot be read.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not content:
        raise ValueError("it is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise ValueError(f"it has {image.height}×{image.width} pixels")
                image.load()
                picture = _eight_bits(ImageOps.exif_transpose(image))
                if size is not None and picture.size != (size, size):
                    picture = picture.resize((size, size), Image.Resampling.BILINEAR)
                pixels = np.array(picture)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ValueError("it has too many pixels") from None
    except UnidentifiedImageError:
        raise ValueError("it is no image of a kind that can be read") from None
    except Exception as error:  # the readers of the formats raise nearly anything
        raise ValueError(" ".join(str(error).split())[:120] or type(error).__name__) from None
    if pixels.ndim == 3 and bool((pixels == pixels[..., :1]).all()):
        return np.ascontiguousarray(pixels[..., 0])
    return pixels


def _eight_bits(image: Any) -> Any:
    """The image in grey or in colour, 0 to 255. Raises ValueError."""
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        if image.mode == "F" or values.min() < 0 or values.max() > 0xFFFF:
            raise ValueError("its values are neither of 8 nor of 16 bits")
        return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
    if image.mode in ("1", "L") and "transparency" not in image.info:
        return image.convert("L")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        under = Image.new("RGBA", image.size, "white")
        under.alpha_composite(image)
        image = under
    return image.convert("RGB")


def _with_channels(pixels: Pixels, colour: bool) -> Pixels:
    """(H, W, 3) or (H, W, 1)."""
    grey = pixels[..., None] if pixels.ndim == 2 else pixels
    return np.repeat(grey, 3, axis=2) if colour and grey.shape[2] == 1 else grey


# -- arrays ---------------------------------------------------------------------------------------


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


def _plan(path: PathLike, file: Any) -> tuple[dict[str, dict[str, str]], Layout]:
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
    if not {"all", "train"} & set(found):
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


def _arrays(path: PathLike, size: int | None) -> tuple[dict[str, Labelled], Layout, str, list[str]]:
    with _open(path) as file:
        found, plan = _plan(path, file)
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
                raise _empty(path, part)
    shapes = {found[part]["images"]: images.shape[1:] for part, (images, _) in read.items()}
    if len(set(shapes.values())) > 1:
        a, one = next(iter(shapes.items()))
        b, other = next((name, shape) for name, shape in shapes.items() if shape != one)
        raise UserError(
            f"task.path={path} has {a} of shape {one} and {b} of {other}: save them with one shape"
        )
    scale, note = _scale(path, [images for images, _ in read.values()])
    parts = {
        part: Labelled(resized(_bytes(images, scale), size), names)
        for part, (images, names) in read.items()
    }
    if all(bool((p.images == p.images[..., :1]).all()) for p in parts.values()):
        parts = {part: Labelled(p.images[..., :1], p.names) for part, p in parts.items()}
    digest = next(iter(file_hashes("folder", path).values()))[1]
    return parts, plan, digest, note


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


def resized(images: Pixels, size: int | None) -> Pixels:
    """Images (N, H, W, C) as (N, size, size, C); as they are where `size` is None."""
    from PIL import Image

    if size is None or images.shape[1:3] == (size, size):
        return images
    found = np.empty((len(images), size, size, images.shape[3]), np.uint8)
    for i, image in enumerate(images):
        grey = image.shape[2] == 1
        picture = Image.fromarray(np.ascontiguousarray(image[..., 0] if grey else image))
        found[i] = np.array(picture.resize((size, size), Image.Resampling.BILINEAR)).reshape(
            found.shape[1:]
        )
    return found


# -- parts ----------------------------------------------------------------------------------------


def _dataset(
    path: PathLike,
    parts: dict[str, Labelled],
    plan: Layout,
    digest: str,
    notes: list[str],
    seed: int,
) -> Dataset[Images]:
    source = parts[plan.source]
    classes = _sorted(set(source.names))
    if len(classes) < 2:
        raise UserError(
            f"task.path={path} has images of one class alone, {classes[0]}: at least two are needed"
        )
    index = {name: i for i, name in enumerate(classes)}
    for part, own in parts.items():
        if strange := sorted(set(own.names) - set(classes)):
            raise UserError(
                f"task.path={path} has the class {strange[0]} in {part}, and not in train, whose "
                f"classes are {', '.join(classes[:TOLD_CLASSES])}: add images of it to train, or "
                f"leave it out of {part}"
            )
    labels = {
        part: np.array([index[name] for name in own.names], np.int64) for part, own in parts.items()
    }
    grey = source.images.shape[3] == 1
    found = {
        part: Images(own.images[..., 0] if grey else own.images, labels[part], classes)
        for part, own in parts.items()
    }
    if plan.missing:
        whole = found.pop(plan.source)
        same = [sha256([np.ascontiguousarray(image)]) for image in whole.images]
        for i, name in enumerate(classes):
            count = len({s for s, label in zip(same, whole.labels, strict=True) if label == i})
            if count <= len(plan.missing):
                raise UserError(
                    f"task.path={path} has {count} different images of the class {name}, and "
                    f"{', '.join(('train', *plan.missing))} are to be drawn from them: add some, "
                    "or leave the class out"
                )
        for part, rows in drawn(whole.labels, plan.missing, seed, same).items():
            found[part] = Images(whole.images[rows], whole.labels[rows], classes)
    train = {sha256([np.ascontiguousarray(image)]) for image in found["train"].images}
    for part in ("valid", "test"):
        copies = sum(sha256([np.ascontiguousarray(i)]) in train for i in found[part].images)
        if copies:
            notes.append(f"{counted(copies, 'image')} of {part} also in train")
    said = [_told(found, classes), plan.told, *notes]
    return Dataset("folder", digest, *(found[part] for part in PARTS), notes=tuple(said))


def _sorted(names: set[str]) -> tuple[str, ...]:
    """The classes in order: by number where all are numbers."""
    if all(re.fullmatch(r"-?\d{1,18}", name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def _told(parts: Mapping[str, Images], classes: tuple[str, ...]) -> str:
    """How many images there are, of what size, and the share of each class."""
    labels = np.concatenate([part.labels for part in parts.values()])
    counts = np.bincount(labels, minlength=len(classes))
    height, width, *channels = parts["train"].images.shape[1:]
    shares = ", ".join(
        f"{name} {100 * count / len(labels):.1f}%"
        for name, count in list(zip(classes, counts, strict=True))[:TOLD_CLASSES]
    )
    more = f" and {len(classes) - TOLD_CLASSES} more" if len(classes) > TOLD_CLASSES else ""
    sizes = ", ".join(f"{part} {len(parts[part].labels):,}" for part in PARTS)
    return (
        f"{len(labels):,} images of {height}×{width} pixels in "
        f"{'colour' if channels else 'grey'}, {len(classes)} classes: {shares}{more}; {sizes}"
    )


def _empty(path: PathLike, part: str) -> UserError:
    which = "" if part == "all" else f" of the {part} part"
    return UserError(f"task.path={path} has no usable image{which}: add some")
