"""Images of one's own: folders of classes and .npz files, their pixels, parts and mistakes."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from odyssey import data
from odyssey.data import image_files
from odyssey.data.identity import content_hash
from odyssey.data.image_files import own_images
from odyssey.data.pictures import decode
from odyssey.errors import UserError

LABELS = np.arange(60) % 3


def grey(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(0, 256, shape or (7, 5), dtype=np.uint8)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def pairs(*parts) -> set[tuple[bytes, str]]:
    return {
        (image.tobytes(), part.classes[label])
        for part in parts
        for image, label in zip(part.images, part.labels, strict=True)
    }


# -- folders --------------------------------------------------------------------------------------


def test_a_folder_of_classes_is_drawn_80_10_10(tmp_path: Path, rng) -> None:
    wanted = set()
    for name, count in (("cat", 20), ("dög", 30), ("10", 50)):
        for i in range(count):
            pixels = grey(rng)
            save(
                tmp_path / f"set/{name}/{'deep/' * (i % 2)}{i}.{'PNG' if i % 3 else 'bmp'}", pixels
            )
            wanted.add((pixels.tobytes(), name))
    pixels = grey(rng)  # copies, in one class and in another
    for i in range(7):
        save(tmp_path / f"set/cat/copy{i}.png", pixels)
    wanted.add((pixels.tobytes(), "cat"))
    d = own_images(tmp_path)
    assert d.train.classes == ("10", "cat", "dög")
    assert d.train.images.shape[1:] == (7, 5) and d.train.images.dtype == np.uint8
    parts = [pairs(part) for part in (d.train, d.valid, d.test)]
    assert set().union(*parts) == wanted and sum(map(len, parts)) == len(wanted)
    for part in (d.valid, d.test):
        assert [len({p for p, c in pairs(part) if c == name}) for name in d.train.classes] == [
            5,
            2,
            3,
        ]
    assert d.sha256 == content_hash("folder", tmp_path) and d.name == "folder"
    assert d.notes[0].startswith(
        "107 images of 7×5 pixels in grey, 3 classes: 10 46.7%, cat 25.2%, dög 28.0%; train "
    )
    assert pairs(own_images(tmp_path, split_seed=3).test) != parts[2]
    assert pairs(own_images(tmp_path).test) == parts[2]


def test_parts_above_the_classes(tmp_path: Path, rng) -> None:
    made: dict[str, set] = {}
    for part, count in (("Train", 20), ("val", 4), ("test", 5)):
        for name in "ab":
            for i in range(count):
                pixels = grey(rng)
                save(tmp_path / part / name / f"{i}.png", pixels)
                made.setdefault(part, set()).add((pixels.tobytes(), name))
    d = own_images(tmp_path)
    assert [pairs(p) for p in (d.train, d.valid, d.test)] == list(made.values())
    assert d.notes[1:] == ("parts train, valid and test as they are given",)
    assert image_files.own_parts(tmp_path) == "which has the folders train, valid and test"
    save(tmp_path / "test/a/new.png", np.array(Image.open(tmp_path / "Train/b/3.png")))
    save(tmp_path / "test/top.png", grey(rng))
    assert own_images(tmp_path).notes[2:] == (
        "1 file in no folder of a class left out",
        "1 image of test also in train",
    )
    for file in (tmp_path / "val").rglob("*.png"):
        file.unlink()
    drawn = own_images(tmp_path)
    assert pairs(drawn.train, drawn.valid) == made["Train"] and len(drawn.valid.labels) == 4
    assert image_files.own_parts(tmp_path) == ""
    save(tmp_path / "test/c/1.png", grey(rng))
    with pytest.raises(UserError, match="has the class c in test, and not in train, whose classes"):
        own_images(tmp_path)
    save(tmp_path / "Train/c/1.png", grey(rng))
    with pytest.raises(UserError, match="has 1 different images of the class c, and train, valid"):
        own_images(tmp_path)


def test_equal_images_of_two_classes_are_said(tmp_path: Path, rng) -> None:
    shared = grey(rng)
    for name in "ab":
        for i in range(10):
            save(tmp_path / name / f"{i}.png", shared if i == 4 else grey(rng))
    d = own_images(tmp_path)
    assert d.notes[2:] == ("1 image equal to one of another class",)
    for part in (d.train, d.valid, d.test):
        assert len({c for p, c in pairs(part) if p == shared.tobytes()}) in (0, 2)
    for i in range(10):
        save(tmp_path / "a" / f"{i}.png", np.array(Image.open(tmp_path / f"b/{i}.png")))
    with pytest.raises(UserError, match="has 0 different images of the class b"):
        own_images(tmp_path)


def test_sizes_are_one_or_made_one(tmp_path: Path, rng) -> None:
    for i in range(10):
        save(tmp_path / f"a/{i}.png", grey(rng))
        save(tmp_path / f"b/{i}.png", grey(rng, 9, 6))
    says = "as a/0.png with 7×5 pixels and b/0.png with 9×6: type task.size=5, or another"
    with pytest.raises(UserError, match=says):
        own_images(tmp_path)
    d = own_images(tmp_path, size=4)
    assert d.train.images.shape == (16, 4, 4)
    first = Image.fromarray(np.array(Image.open(tmp_path / "a/0.png")))
    wanted = np.array(first.resize((4, 4), Image.Resampling.BILINEAR))
    assert wanted.tobytes() in {pixels for pixels, _ in pairs(d.train, d.valid, d.test)}


def test_one_image_in_colour_makes_all_so(tmp_path: Path, rng) -> None:
    for i in range(10):
        save(tmp_path / f"a/{i}.png", np.repeat(grey(rng)[..., None], 3, axis=2))
        save(tmp_path / f"b/{i}.png", grey(rng))
    assert own_images(tmp_path).train.images.shape == (16, 7, 5)
    colour = grey(rng, 7, 5, 3)
    save(tmp_path / "a/new.png", colour)
    d = own_images(tmp_path)
    assert d.train.images.shape[1:] == (7, 5, 3) and "in colour" in d.notes[0]
    assert (colour.tobytes(), "a") in pairs(d.train, d.valid, d.test)


def test_damaged_images_are_said(tmp_path: Path, rng) -> None:
    for i in range(10):
        save(tmp_path / f"a/{i}.png", grey(rng))
        save(tmp_path / f"b/{i}.png", grey(rng))
    whole = (tmp_path / "a/3.png").read_bytes()
    for name, content in (("cut", whole[:50]), ("empty", b""), ("text", b"no image")):
        (tmp_path / f"b/{name}.jpg").write_bytes(content)
    d = own_images(tmp_path)
    assert len(pairs(d.train, d.valid, d.test)) == 20
    assert d.notes[2].startswith("3 of 23 files left out (b/cut.jpg: ")
    assert "b/empty.jpg: it is empty; b/text.jpg: it is no image of a kind" in d.notes[2]
    assert d.sha256 == content_hash("folder", tmp_path)


def test_a_folder_without_classes_is_a_sentence(tmp_path: Path, rng) -> None:
    save(tmp_path / "a.png", grey(rng))
    with pytest.raises(
        UserError, match="no image in a folder of its class: make a folder for each"
    ):
        own_images(tmp_path)
    save(tmp_path / "a/b.png", grey(rng))
    with pytest.raises(UserError, match="images of one class alone, a"):
        own_images(tmp_path)
    save(tmp_path / "b/b.png", grey(rng))
    with pytest.raises(UserError, match="has 1 different images of the class a, and train, valid"):
        own_images(tmp_path)
    (tmp_path / "x").mkdir()
    with pytest.raises(UserError, match="a folder without files ending in .png, .jpg"):
        own_images(tmp_path / "x")
    with pytest.raises(UserError, match="needs task.path=…"):
        data.images("folder")
    for option in ({"path": "x"}, {"size": 9}):
        with pytest.raises(UserError, match="is for task.data=folder only, not mnist5k"):
            data.images("mnist5k", **option)


# -- single images --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF", "PPM", "WEBP"])
def test_formats_without_loss(kind: str, rng) -> None:
    pixels = grey(rng)
    options = {"lossless": True} if kind == "WEBP" else {}
    assert np.array_equal(decode(encoded(Image.fromarray(pixels), kind, **options)), pixels)


def test_modes_of_images(rng) -> None:
    pixels = grey(rng)
    colour = grey(rng, 7, 5, 3)
    image = Image.fromarray(pixels)
    assert np.array_equal(decode(encoded(Image.fromarray(colour), "PNG")), colour)
    bits = pixels > 99
    assert np.array_equal(decode(encoded(Image.fromarray(bits), "PNG")), bits * np.uint8(255))
    sixteen = rng.integers(0, 1 << 16, (7, 5)).astype(np.uint16)
    found = decode(encoded(Image.fromarray(sixteen), "PNG"))
    assert np.array_equal(found, np.floor(sixteen / 257 + 0.5))
    jpeg = decode(encoded(image.convert("RGB"), "JPEG", quality=95))
    assert jpeg.shape == (7, 5)  # grey, as its colours are the same
    palette = image.convert("P")
    assert np.array_equal(decode(encoded(palette, "PNG")), pixels)
    # What is transparent is white, and a drawing in nothing but transparency is seen.
    alpha = np.zeros((7, 5, 4), np.uint8)
    alpha[..., 3] = pixels
    assert np.array_equal(decode(encoded(Image.fromarray(alpha), "PNG")), 255 - pixels)
    ink = Image.merge("LA", (Image.fromarray(pixels), Image.new("L", (5, 7), 255)))
    assert np.array_equal(decode(encoded(ink, "PNG")), pixels)
    frames = [Image.fromarray(grey(rng)) for _ in range(3)]
    moving = encoded(image, "GIF", save_all=True, append_images=frames)
    assert np.array_equal(decode(moving), pixels)
    turned = Image.Exif()
    turned[0x0112] = 6
    assert np.array_equal(decode(encoded(image, "PNG", exif=turned)), np.rot90(pixels, -1))
    with pytest.raises(ValueError, match="neither of 8 nor of 16 bits"):
        decode(encoded(Image.fromarray(rng.random((7, 5)).astype(np.float32)), "TIFF"))


def png(width: int, height: int) -> bytes:
    """A PNG whose header alone is right."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0"))


@pytest.mark.parametrize("side", [9_000, 12_000, 100_000, (1 << 31) - 1])
def test_a_huge_header_takes_no_memory(side: int) -> None:
    with pytest.raises(ValueError, match="pixels"):
        decode(png(side, side))


def test_any_damage_is_a_reason_or_an_image(rng) -> None:
    image = Image.fromarray(grey(rng, 12, 9, 3))
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "PPM"):
        whole = encoded(image, kind)
        for _ in range(40):
            content = bytearray(whole[: rng.integers(len(whole)) if rng.random() < 0.3 else None])
            for at in rng.integers(max(len(content), 1), size=rng.integers(0, 4)):
                content[at : at + 1] = bytes([rng.integers(256)])
            try:
                assert decode(bytes(content), 4).shape[:2] == (4, 4)
            except ValueError as error:
                assert str(error) and "\n" not in str(error) and len(str(error)) <= 120


# -- arrays ---------------------------------------------------------------------------------------


def npz(path: Path, **arrays) -> Path:
    np.savez_compressed(path / "a.npz", **arrays)
    return path / "a.npz"


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("X_Train", "Y_Train", "X_Test", "Y_Test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("images", "labels", "test_images", "test_labels"),
    ],
)
def test_arrays_as_keras_and_others_name_them(names, tmp_path: Path, rng) -> None:
    x, y = grey(rng, 60, 8, 6), LABELS
    file = npz(tmp_path, **dict(zip(names, (x[:40], y[:40], x[40:], y[40:]), strict=True)))
    d = own_images(file)
    assert np.array_equal(d.test.images, x[40:]) and np.array_equal(d.test.labels, y[40:])
    assert len(d.valid.labels) == 3 and d.train.classes == ("0", "1", "2")
    assert pairs(d.train, d.valid) == {(x[i].tobytes(), str(y[i])) for i in range(40)}
    assert d.sha256 == content_hash("folder", file)
    assert image_files.own_parts(file) == ""


def test_arrays_as_medmnist_names_them(tmp_path: Path, rng) -> None:
    x, y = grey(rng, 60, 8, 6, 3), LABELS[:, None].astype(np.uint8)
    parts = {"train": slice(0, 30), "val": slice(30, 40), "test": slice(40, 60)}
    file = npz(
        tmp_path,
        **{f"{p}_images": x[s] for p, s in parts.items()},
        **{f"{p}_labels": y[s] for p, s in parts.items()},
    )
    d = own_images(file, size=None)
    for part, rows in zip((d.train, d.valid, d.test), parts.values(), strict=True):
        assert np.array_equal(part.images, x[rows]) and np.array_equal(part.labels, y[rows, 0])
    assert image_files.own_parts(file) == "which has arrays of train, valid and test"
    small = own_images(file, size=4)
    picture = Image.fromarray(x[0]).resize((4, 4), Image.Resampling.BILINEAR)
    assert np.array_equal(small.train.images[0], np.array(picture))


@pytest.mark.parametrize(
    "given",
    [
        lambda x: x.astype(np.int64),
        lambda x: x.astype(np.float32),
        lambda x: x / 255,
        lambda x: (x / 255).astype(np.float16),
        lambda x: x[..., None],
        lambda x: x[:, None],  # one channel first, as in PyTorch
        lambda x: x.reshape(len(x), -1),
        lambda x: np.asfortranarray(x),
        lambda x: np.repeat(x[..., None], 3, axis=3),  # in colour, of one colour
    ],
)
def test_forms_and_types_of_one_array(given, tmp_path: Path, rng) -> None:
    x = grey(rng, 60, 8, 8)
    x[0, 0, :2] = 0, 255
    d = own_images(npz(tmp_path, images=given(x), labels=LABELS))
    wanted = {(x[i].tobytes(), str(LABELS[i])) for i in range(60)}
    assert pairs(d.train, d.valid, d.test) == wanted
    scaled = given(x).max() == 1
    assert ("values from 0 to 1 read as 0 to 255" in d.notes) == scaled


def test_values_of_0_and_1_are_black_and_white(tmp_path: Path, rng) -> None:
    x = rng.integers(0, 2, (60, 8, 8))
    for given in (x.astype(bool), x.astype(np.uint8), x.astype(float)):
        d = own_images(npz(tmp_path, images=given, labels=LABELS))
        assert pairs(d.train, d.valid, d.test) == pairs(data.Images(
            (255 * x).astype(np.uint8), LABELS, ("0", "1", "2")))  # fmt: skip
        assert "values from 0 to 1 read as 0 to 255" in d.notes


@pytest.mark.parametrize(
    "labels",
    [
        LABELS.astype(np.float64),
        LABELS[:, None],
        np.eye(3)[LABELS],
        np.eye(3, dtype=bool)[LABELS],
        LABELS.astype("U1"),
        LABELS.astype("S1"),
    ],
)
def test_forms_of_labels(labels, tmp_path: Path, rng) -> None:
    x = grey(rng, 60, 8, 8)
    d = own_images(npz(tmp_path, x=x, y=labels))
    assert pairs(d.train, d.valid, d.test) == {(x[i].tobytes(), str(LABELS[i])) for i in range(60)}


def test_classes_are_in_the_order_of_numbers(tmp_path: Path, rng) -> None:
    x, y = grey(rng, 60, 8, 8), np.array([-1, 10, 9])[LABELS]
    assert own_images(npz(tmp_path, x=x, y=y)).train.classes == ("-1", "9", "10")
    y = np.array(["b10", "a", "b9"])[LABELS]
    assert own_images(npz(tmp_path, x=x, y=y)).train.classes == ("a", "b10", "b9")


X = np.random.RandomState(0).randint(0, 256, (60, 8, 8)).astype(np.uint8)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"arr_0": X}, "has the arrays arr_0: save them as images and labels"),
        ({}, r"has the arrays \(none\)"),
        ({"x_train": X, "y_train": LABELS, "x_test": X}, "has x_test without its labels among"),
        ({"x": X, "images": X, "y": LABELS}, "two arrays of the images of all, x and images"),
        ({"x": X, "y": LABELS[:50]}, "has 60 x and 50 y: save a label for each image"),
        ({"x": X[:0], "y": LABELS[:0]}, "no usable image"),
        ({"x": X, "y": LABELS * 0}, "images of one class alone, 0"),
        ({"x": X, "y": LABELS / 2}, "no whole numbers"),
        ({"x": X, "y": np.full(60, np.nan)}, "no whole numbers"),
        ({"x": X, "y": np.ones((60, 3))}, r"has y of shape \(60, 3\): save one label"),
        ({"x": X, "y": LABELS.astype(complex)}, "has y of complex128"),
        ({"x": X, "y": LABELS.astype(object)}, "the array y is of Python objects"),
        ({"x": X - 100.0, "y": LABELS}, "with values from -100 to 155: save them as from 0 to 1"),
        ({"x": X / 50, "y": LABELS}, "with values from 0 to 5.1: save them as from 0 to 1"),
        ({"x": X.astype(int) * 9, "y": LABELS}, "with values from 0 to 2295"),
        ({"x": np.where(X > 9, X, np.nan), "y": LABELS}, "no finite numbers"),
        ({"x": np.where(X > 9, X, np.inf), "y": LABELS}, "no finite numbers"),
        ({"x": X.astype(complex), "y": LABELS}, "has images of complex128"),
        ({"x": X.astype(str), "y": LABELS}, "has images of <U3"),
        ({"x": X[:, 0, :6], "y": LABELS}, r"has x of shape \(60, 6\): save grey images as"),
        ({"x": X[..., None, None], "y": LABELS}, r"has x of shape \(60, 8, 8, 1, 1\)"),
        ({"x": X[:, :0], "y": LABELS}, r"has x of shape \(60, 0, 8\)"),
        ({"x_train": X, "y_train": LABELS, "x_test": X[:, 1:], "y_test": LABELS},
         r"has x_train of shape \(8, 8, 1\) and x_test of \(7, 8, 1\)"),
        ({"x_train": X, "y_train": LABELS, "x_test": X, "y_test": LABELS + 1},
         "has the class 3 in test, and not in train, whose classes are 0, 1, 2"),
        ({"x": X, "y": np.r_[np.zeros(58), [1, 1]]}, "2 different images of the class 1"),
    ],
)  # fmt: skip
def test_wrong_arrays_are_a_sentence(arrays, says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=says) as caught:
        own_images(npz(tmp_path, **arrays))
    assert len(caught.value.messages) == 1
    assert str(caught.value).startswith(f"task.path={tmp_path}")


def test_files_that_are_none(tmp_path: Path, rng) -> None:
    np.save(tmp_path / "a.npy", X)
    with pytest.raises(UserError, match="is a single array: save images and labels together"):
        own_images(tmp_path / "a.npy")
    whole = npz(tmp_path, x=X, y=LABELS).read_bytes()
    (tmp_path / "a.npz").write_bytes(b"no archive")
    with pytest.raises(UserError, match="is no .npz file"):
        own_images(tmp_path / "a.npz")
    for _ in range(100):
        content = bytearray(whole)
        for at in rng.integers(len(content), size=3):
            content[at] = rng.integers(256)
        (tmp_path / "a.npz").write_bytes(content)
        try:
            own_images(tmp_path / "a.npz")
        except UserError as error:
            assert "\n" not in str(error)


def test_a_header_that_lies_takes_no_memory(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "|u1", "fortran_order": False, "shape": (1 << 40, 28, 28)}
    )
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as packed:
        packed.writestr("x.npy", stream.getvalue())
        packed.writestr("y.npy", stream.getvalue())
    with pytest.raises(UserError, match="the array x cannot be read .its shape is .1099511627776"):
        own_images(tmp_path / "a.npz")
