"""Images of the user's own as a data set: their classes, their parts, and what a run says."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

import numpy as np

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
    of_part,
)
from odyssey.data.image_arrays import has_all_parts, read_arrays
from odyssey.data.image_folder import read_folder
from odyssey.data.pictures import Found, Pixels, without_channels
from odyssey.data.splits import drawn
from odyssey.data.types import Dataset, Images
from odyssey.errors import UserError

TOLD_CLASSES = 10


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
        raise UserError(
            "task.data=folder needs task.path=… to name a folder with a folder of image files for "
            "each class, or an .npz file"
        )
    read = read_folder if is_folder(path) else read_arrays
    return _dataset(path, read(path, size), split_seed)


def other_images(
    path: PathLike,
    part: str,
    *,
    classes: Sequence[str],
    shape: tuple[int, int, int],
    size: int | None = None,
) -> tuple[Images, list[str], str, tuple[str, ...]]:
    """All images at `path`, or those of one part of data with parts, for a trained model.

    classes: those of the model, in order. shape: height, width and values a pixel of its images;
    colour and grey become what it reads. size: what all are resized to; None: they must have that
    size already.

    Returns the images, (N, H, W) or (N, H, W, 3), their files, if any, the SHA-256 as a data set's,
    and notes. Raises UserError.
    """
    if is_folder(path):
        read = read_folder(path, size, part=part, classes=classes)
    else:
        read = read_arrays(path, size, trained=False)
    own = read.parts[of_part(path, read.plan, part)]
    index = {name: i for i, name in enumerate(classes)}
    strange = [i for i, name in enumerate(own.names) if name not in index]
    if strange:
        files = f" ({own.files[strange[0]]})" if own.files else ""
        raise UserError(
            f"task.path={path} has the class {own.names[strange[0]]}{files}, which is not among "
            f"those of the run ({_listed(classes)}): leave its "
            f"{counted(len(strange), 'image')} of unknown classes out"
        )
    _check_size(path, own.images, shape)
    colour, notes = shape[2] == 3, list(read.notes)
    if own.images.shape[3] == 3 and not colour:
        notes.append("colour images read as grey, as the run reads")
    height, width = shape[:2]
    said = f"{counted(len(own.names), 'image')} of {height}×{width} pixels"
    images = without_channels(own.images, colour)
    labels = np.array([index[name] for name in own.names], np.int64)
    found = Images(images, labels, tuple(classes))
    return found, list(own.files), read.digest, (said, *notes)


def _check_size(path: PathLike, images: Pixels, shape: tuple[int, int, int]) -> None:
    if images.shape[1:3] != shape[:2]:
        given, wanted = ("×".join(map(str, size)) for size in (images.shape[1:3], shape[:2]))
        raise UserError(
            f"task.path={path} has images of {given} pixels, and the run reads {wanted}: resize "
            "them, or evaluate a run that was trained with task.size"
        )


def _listed(classes: Sequence[str]) -> str:
    return ", ".join(classes[:TOLD_CLASSES]) + ", …" * (len(classes) > TOLD_CLASSES)


def own_parts(path: PathLike) -> str:
    """Why nothing of the images is drawn at random; else empty. Raises UserError."""
    if not os.path.exists(os.path.expanduser(path)):
        return ""  # which is said elsewhere
    if is_folder(path):
        whole = layout(path, files_below(path, PICTURES)).whole
        return "which has the folders train, valid and test" if whole else ""
    return "which has arrays of train, valid and test" if has_all_parts(path) else ""


def _dataset(path: PathLike, read: Found, seed: int) -> Dataset[Images]:
    parts, plan, digest, notes = read
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
        _check_counts(path, classes, dict(zip(same[::-1], whole.labels[::-1], strict=True)), plan)
        for part, rows in drawn(whole.labels, plan.missing, seed, same).items():
            found[part] = Images(whole.images[rows], whole.labels[rows], classes)
        if both := len(set(zip(same, whole.labels.tolist(), strict=True))) - len(set(same)):
            notes.append(f"{counted(both, 'image')} equal to one of another class")
    train = {sha256([np.ascontiguousarray(image)]) for image in found["train"].images}
    for part in ("valid", "test"):
        copies = sum(sha256([np.ascontiguousarray(i)]) in train for i in found[part].images)
        if copies:
            notes.append(f"{counted(copies, 'image')} of {part} also in train")
    said = [_told(found, classes), plan.told, *notes]
    return Dataset("folder", digest, *(found[part] for part in PARTS), notes=tuple(said))


def _check_counts(
    path: PathLike, classes: tuple[str, ...], first: Mapping[str, int], plan: Layout
) -> None:
    """Raise UserError where a class has too few images for each part to get one.

    first: of each image, by its hash, the class of the first of its copies
    """
    for name, count in zip(
        classes, np.bincount(list(first.values()), minlength=len(classes)), strict=True
    ):
        if count <= len(plan.missing):
            raise UserError(
                f"task.path={path} has {count} different images of the class {name}, and "
                f"{', '.join(('train', *plan.missing))} are to be drawn from them: add some, or "
                "leave the class out"
            )


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
