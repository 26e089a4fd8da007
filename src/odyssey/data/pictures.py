"""Pixels of image files, and images in the form in which a data set takes them."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from odyssey.data.folders import Layout, PathLike
from odyssey.errors import UserError

logging.getLogger("PIL").addHandler(logging.NullHandler())  # damaged files are said by a note

Pixels = NDArray[np.uint8]  # (H, W), or (H, W, 3) in colour; of several (N, H, W, 1 or 3)

MOST_PIXELS = 1 << 26  # of a file; more is a damaged header, or no training data
MOST_BYTES = 1 << 33  # of all images, a byte a pixel and colour
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")


class Named(NamedTuple):
    """Images (N, H, W, C), and of each what its class is called and, of a folder, its file."""

    images: Pixels
    names: list[str]
    files: Sequence[str] = ()


class Found(NamedTuple):
    """What was read of the user's: the images of each part, the SHA-256 of it, and notes."""

    parts: dict[str, Named]
    plan: Layout
    digest: str
    notes: list[str]


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


def with_channels(pixels: Pixels, colour: bool) -> Pixels:
    """(H, W, 3) or (H, W, 1)."""
    grey = pixels[..., None] if pixels.ndim == 2 else pixels
    return np.repeat(grey, 3, axis=2) if colour and grey.shape[2] == 1 else grey


def without_channels(pixels: Pixels, colour: bool) -> Pixels:
    """Images (N, H, W, C) as a model of colour, (N, H, W, 3), or of grey ones, (N, H, W), has them.

    Colour becomes the grey of its brightness, as Pillow weighs it.
    """
    from PIL import Image

    if colour:
        return np.repeat(pixels, 3, axis=3) if pixels.shape[3] == 1 else pixels
    if pixels.shape[3] == 1:
        return pixels[..., 0]
    return np.stack([np.array(Image.fromarray(image).convert("L")) for image in pixels])


def empty(path: PathLike, part: str) -> UserError:
    which = "" if part == "all" else f" of the {part} part"
    return UserError(f"task.path={path} has no usable image{which}: add some")
