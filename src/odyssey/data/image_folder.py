"""Images of the user's own in a folder with a folder of image files for each class."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from odyssey.data.download import sha256
from odyssey.data.folders import (
    PICTURES,
    Layout,
    PathLike,
    counted,
    files_below,
    layout,
    left_out,
    of_part,
    tree_hash,
)
from odyssey.data.identity import file_hashes
from odyssey.data.pictures import MOST_BYTES, Found, Named, Pixels, decode, empty, with_channels
from odyssey.errors import UserError
from odyssey.io import read_bytes


def _wrapping(inner: str, classes: Collection[str]) -> str:
    """The folders above those of the classes, of which the last in `inner` may be one."""
    above, _, last = inner.removesuffix("/").rpartition("/")
    return (f"{above}/" if above else "") if last in classes else inner


def read_folder(
    path: PathLike, size: int | None, *, part: str | None = None, classes: Collection[str] = ()
) -> Found:
    """The images of a folder, by part.

    size: what they are resized to, or None. part: of data that no model is to be trained on, the
    one that is read, which the folder may have alone. classes: those of a model, by which a folder
    of one class alone is told from a wrapping.

    Raises UserError.
    """
    hashes, files = {}, files_below(path, PICTURES)
    if not files:
        file_hashes("folder", path)  # which says so
    plan = layout(path, files, trained=part is None)
    if part is not None:
        chosen = of_part(path, plan, part)
        plan = Layout({chosen: plan.parts[chosen]}, [], _wrapping(plan.inner, classes))
    notes, beside = [], list(plan.beside)
    depth = 0 if "all" in plan.parts else 1  # folders above those of the classes
    read: dict[str, list[tuple[str, Pixels, str]]] = {}
    first: dict[tuple[int, ...], str] = {}
    unusable: dict[str, str] = {}
    total = 0
    part_of = {name: one for one, names in plan.parts.items() for name in names}
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
        if name not in part_of:
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
                "memory: "
                + (
                    "type a task.size=… such as 64, to which they are resized"
                    if part is None
                    else "give them in several folders"
                )
            )
        read.setdefault(part_of[name], []).append((folders[0], pixels, name))
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
            f"and {other} with {b[0]}×{b[1]}: "
            + (
                f"type task.size={small}, or another, to resize all"
                if part is None
                else "resize them to the size that the run reads"
            )
        )
    if beside:
        notes.append(f"{counted(len(beside), 'file')} in no folder of a class left out")
    notes += left_out(unusable, len(files))
    colour = any(pixels.ndim == 3 for rows in read.values() for _, pixels, _ in rows)
    parts = {}
    for own in plan.parts:
        rows = read.get(own, [])
        if not rows:
            raise empty(path, own)
        parts[own] = Named(
            np.stack([with_channels(pixels, colour) for _, pixels, _ in rows]),
            [name for name, _, _ in rows],
            [file for _, _, file in rows],
        )
    return Found(parts, plan, tree_hash(hashes), notes)
