"""Images of the user's own in a folder with a folder of image files for each class."""

from __future__ import annotations

import numpy as np

from odyssey.data.download import sha256
from odyssey.data.folders import (
    PICTURES,
    PathLike,
    counted,
    files_below,
    layout,
    left_out,
    tree_hash,
)
from odyssey.data.identity import file_hashes
from odyssey.data.pictures import MOST_BYTES, Found, Named, Pixels, decode, empty, with_channels
from odyssey.errors import UserError
from odyssey.io import read_bytes


def read_folder(path: PathLike, size: int | None) -> Found:
    """The images of a folder, by part. size: what they are resized to, or None.

    Raises UserError.
    """
    hashes, files = {}, files_below(path, PICTURES)
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
            raise empty(path, part)
        parts[part] = Named(
            np.stack([with_channels(pixels, colour) for _, pixels in rows]),
            [name for name, _ in rows],
        )
    return Found(parts, plan, tree_hash(hashes), notes)
