"""`python scripts/predict.py RUN`: what a trained model says of a text, a table or an image."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odyssey.api.evaluate_main import add_run_options, as_options, load_run
from odyssey.api.evaluation import Table, aligned
from odyssey.api.run import Run
from odyssey.cli_utils import Parser, check_count, exit_status, show
from odyssey.config.fields import MOST
from odyssey.errors import UserError
from odyssey.io import open_regular, reason
from odyssey.streams import is_lost

if TYPE_CHECKING:
    from odyssey.training.predicting import Reading

DESCRIPTION = "The class of a text or an image, what follows a text or a series, and how likely."
AT_ONCE = 64  # lines that are classified together
TEXTS = ("charlm", "wordlm", "sentiment")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0; 2 wrong input; 130 Ctrl-C."""
    return exit_status(lambda: _predict(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = Parser("predict", DESCRIPTION)
    add_run_options(parser)
    add = parser.add_argument
    add("stdin", nargs="?", choices=("-",), metavar="-", help="read a text from standard input")
    add("--text", help="a text")
    add("--file", metavar="FILE", help="a text; of series a table, of mnist an image; - as above")
    add("--lines", action="store_true", help="take each line as a text of its own, a row for each")
    add("--surprise", action="store_true", help="charlm, wordlm: a row for each symbol")
    add("--top", type=int, metavar="K", help="how many likeliest symbols or classes; default 5")
    add("--steps", type=int, metavar="N", help="series: how far to go on; default: as trained")
    add(
        "--format",
        choices=("table", "csv", "jsonl"),
        help="default table on a terminal, csv elsewhere",
    )
    return parser


def _predict(arguments: Sequence[str] | None) -> None:
    options = _parser().parse_args(arguments)
    check_count("--top", options.top, 1, MOST)
    check_count("--steps", options.steps, 1, 1_000_000)
    given = [options.stdin, options.text, options.file]
    if sum(one is not None for one in given) != 1:
        raise UserError(
            'what to predict from is to be said once: type --text "…", --file FILE or - for '
            "standard input"
        )
    if options.stdin:
        options.file = "-"
    if options.lines and options.surprise:
        raise UserError("--surprise is of one text, and --lines of many: leave one of them out")
    run = load_run(options)
    options.encoding = run.config.task.get("encoding")
    options.bytes = run.config.task.data == "bytes"
    printer = Printer(options.format or ("table" if sys.stdout.isatty() else "csv"))
    with as_options():
        name = run.config.task.name
        for option, value, tasks in (
            ("--surprise", options.surprise, ("charlm", "wordlm")),
            ("--lines", options.lines, TEXTS),
            ("--text", options.text, TEXTS),
            ("--steps", options.steps, ("series",)),
        ):
            if value and name not in tasks:
                raise UserError(
                    f"{option} is for {' and '.join(tasks)}, and {run.path} is a run of "
                    f"task={name}: leave it out"
                )
        if name in ("charlm", "wordlm"):
            _text(run, options, printer)
        elif name == "sentiment":
            _classes_of_texts(run, options, printer)
        elif name == "series":
            printer.add(*_parts(run.forecast(_file(options), steps=options.steps)))
        else:
            _arrays(run, options, printer)
    printer.end()


class Printer:
    """Rows on standard output, as they come."""

    def __init__(self, format: str) -> None:
        self.format, self.head = format, None
        self.rows = 0

    def add(self, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> bool:
        """Print rows; whether somebody reads on."""
        first = not self.rows
        self.rows += len(rows)
        if self.format == "jsonl":
            lines = [json.dumps(dict(zip(head, map(_json, r), strict=True))) for r in rows]
            text = "\n".join(lines)
        elif self.format == "csv":
            whole: list[Sequence[Any]] = list(rows)
            text = Table(head if first else (), whole).csv().lstrip("\n").rstrip("\n")
        else:
            shown: list[Sequence[Any]] = [[_shown(v) for v in row] for row in rows]
            lines = aligned(Table(head, shown), len(shown))
            text = "\n".join(line[2:].rstrip() for line in (lines if first else lines[1:]))
        if text:
            show(text, colours=False)
        return not is_lost(sys.stdout)

    def say(self, text: str) -> None:
        """A line for people alone."""
        show(text, None if self.format == "table" else sys.stderr, colours=False)

    def end(self) -> None:
        """Raise UserError where nothing was to be predicted."""
        if not self.rows:
            raise UserError("the input is empty: give a text with a symbol at least")


def _text(run: Run, options: argparse.Namespace, printer: Printer) -> None:
    top = options.top or 5
    if options.lines:
        for line in _lines(options):
            read = run.read(line)
            symbols, after = _after(read, 1)[0]
            bits = float(read.bits.sum())
            n = len(read.bits)
            head = ("text", "symbols", "unknown", "bits", "bits_per_symbol", "next", "probability")
            each = bits / n if n else float("nan")
            row = (line, n, int((~read.known).sum()), bits, each, symbols, after)
            if not printer.add(head, [row]):
                return
        return
    read = run.read(_whole(options))
    if not len(read.bits):
        return
    unknown, n = int((~read.known).sum()), len(read.bits)
    total = float(read.bits.sum())
    said = f"{n:,} symbols, {unknown:,} unknown: {total:.6g} bits, {total / n:.4f} a symbol"
    printer.say(said)
    if unknown > n / 5:
        show(
            f"warning: {unknown / n:.1%} of the text is unknown to the run's vocabulary and read "
            "as one and the same symbol, so the bits say little of it",
            sys.stderr,
        )
    if options.surprise:
        for at in range(0, n, 1000):
            rows = [
                (at + i, symbol, bits, known)
                for i, (symbol, bits, known) in enumerate(
                    zip(
                        read.symbols[at : at + 1000],
                        read.bits[at : at + 1000].tolist(),
                        read.known[at : at + 1000].tolist(),
                        strict=True,
                    )
                )
            ]
            if not printer.add(("place", "symbol", "bits", "known"), rows):
                return
        return
    printer.add(("next", "probability"), _after(read, top))


def _after(read: Reading, top: int) -> list[tuple[str, float]]:
    """The likeliest symbols and their probabilities."""
    order = (-read.after).argsort(kind="stable")[:top]
    return [(read.names[i], float(read.after[i])) for i in order]


def _classes_of_texts(run: Run, options: argparse.Namespace, printer: Printer) -> None:
    texts = _lines(options) if options.lines else iter([_whole(options).rstrip("\n")])
    if not options.lines:
        text = next(texts)
        if not text.strip():
            return
        texts = iter([text])
    size = 1 if options.file == "-" and sys.stdin.isatty() else AT_ONCE
    while some := list(islice(texts, size)):
        found = run.predict(some)
        head, rows = _labelled(found, "text", some, options.top)
        if not printer.add(head, rows):
            return


def _labelled(
    found: Any, first: str, given: Sequence[Any], top: int | None
) -> tuple[list[str], list[list[Any]]]:
    """Rows with the likeliest class and the probabilities, of all classes or of the likeliest."""
    names = list(map(str, found.names))
    if top is None and len(names) <= 20:
        head = [first, "label", *(f"p({name})" for name in names)]
        rows = zip(given, found.labels.tolist(), found.probabilities.tolist(), strict=True)
        return head, [[one, label, *likely] for one, label, likely in rows]
    head, k = [first], min(top or 5, len(names))
    for n in range(1, k + 1):
        head += [f"label_{n}", f"probability_{n}"]
    rows_: list[list[Any]] = []
    for one, likely in zip(given, found.probabilities, strict=True):
        order = (-likely).argsort(kind="stable")[:k]
        rows_.append([one, *(v for i in order for v in (names[i], float(likely[i])))])
    return head, rows_


def _arrays(run: Run, options: argparse.Namespace, printer: Printer) -> None:
    """An image, or arrays of numbers from a .npy file."""
    import numpy as np

    from odyssey.data.folders import PICTURES

    path = _file(options)
    images = run.config.task.name == "mnist"
    if images and path.suffix.lower() in PICTURES:
        inputs = _picture(path, run._bare_task)
    elif path.suffix == ".npy":
        try:
            with open(open_regular(path, os.O_RDONLY), "rb") as file:
                inputs = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            why = reason(error) if isinstance(error, OSError) else "numpy.save writes others"
            raise UserError(f"{path} cannot be read as an array ({why})") from None
    else:
        kinds = f".npy{' or a picture such as .png' if images else ''}"
        raise UserError(f"--file {path} is of another kind: give {kinds}")
    found = run.predict(inputs)
    if found.probabilities is not None and getattr(found.labels, "ndim", 0) == 1:
        printer.add(*_labelled(found, "number", range(len(found)), options.top))
        return
    names = list(map(str, found.names))
    values = found.logits if found.probabilities is None else found.probabilities
    for i, one in enumerate(values):
        array = np.atleast_2d(np.asarray(one))
        rows = [[i, t, *row] for t, row in enumerate(array.tolist())]
        if not printer.add(["sequence", "step", *names], rows):
            return


def _picture(path: Path, task: Any) -> Any:
    """Values from 0 to 255, (H, W) or (H, W, 3), of the size that the run reads.

    Raises UserError.
    """
    from odyssey.data.pictures import decode, without_channels

    height, width, channels = task.shape
    try:
        pixels = decode(_bytes(path), task.cfg.size)
    except ValueError as error:
        raise UserError(f"{path} is not a picture that can be read ({error})") from None
    if pixels.shape[:2] != (height, width):
        given = " x ".join(map(str, pixels.shape[:2]))
        raise UserError(f"{path} has {given} pixels: give a picture of {height} x {width}")
    image = pixels.reshape(1, height, width, -1)
    pixels = without_channels(image, channels == 3)[0]
    if task.cfg.data in ("mnist", "mnist5k") and pixels.mean() > 127:
        show(
            "warning: the picture is bright all over, and the model learned bright digits on "
            "black: turn it into its negative",
            sys.stderr,
        )
    return pixels


def _file(options: argparse.Namespace) -> Path:
    if options.file in (None, "-", ""):
        raise UserError("this run reads no text: name a file with --file")
    path = Path(options.file).expanduser()
    if not path.exists():
        raise UserError(f"--file {path} does not exist: name a file")
    return path


def _parts(table: Any) -> tuple[list[str], list[list[Any]]]:
    """Head and rows of a frame."""
    return [*map(str, table.columns)], table.to_numpy(object).tolist()


def _whole(options: argparse.Namespace) -> str:
    """The text that was given. Raises UserError."""
    if options.text is not None:
        return str(options.text)
    if options.file == "-":
        return _decoded(sys.stdin.buffer.read(), "standard input", options)
    return _decoded(_bytes(_file(options)), str(options.file), options)


def _lines(options: argparse.Namespace) -> Iterator[str]:
    """Each line of the input, without its end, as it comes."""
    if options.text is None and options.file == "-":
        for number, line in enumerate(sys.stdin.buffer, 1):
            yield _decoded(line, f"line {number} of standard input", options).rstrip("\n")
        return
    yield from _whole(options).removesuffix("\n").split("\n")


def _bytes(path: Path) -> bytes:
    try:
        with open(open_regular(path, os.O_RDONLY), "rb") as file:
            return file.read()
    except OSError as error:
        raise UserError(f"--file {path} cannot be read ({reason(error)}): name a file") from None


def _decoded(content: bytes, name: str, options: argparse.Namespace) -> str:
    """Text as the run's own was read: its encoding, line ends LF. Raises UserError.

    The bytes of a run of bytes stay what they are, by Python's `surrogateescape`.
    """
    import numpy as np

    from odyssey.data.encoding import read_as_utf8

    if options.bytes:
        return content.decode("utf-8", "surrogateescape")
    data = np.frombuffer(content, np.uint8)
    try:
        return read_as_utf8(data, name, options.encoding)[0].tobytes().decode()
    except UserError as error:
        told = str(error).partition(" type task.encoding")[0].rstrip(";:")
        raise UserError(f"{told}; convert it to UTF-8 first") from None


def _json(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value


def _shown(value: Any) -> Any:
    """A value for the terminal: blanks of a symbol can be seen."""
    if isinstance(value, str):
        return value if value.strip() == value and value.isprintable() and value else repr(value)
    return value
