"""What the commands share: how they are typed, sentences for mistakes, and exit statuses."""

from __future__ import annotations

import argparse
import errno
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, TextIO

from odyssey.errors import UserError
from odyssey.io import reason
from odyssey.streams import ERRORS, clean, clean_line, mute

# The commands, as they are typed in a clone.
SCRIPTS = {
    "train": "python train.py",
    "report": "python scripts/report.py",
    "status": "python scripts/status.py",
    "sample": "python scripts/sample.py",
    "evaluate": "python scripts/evaluate.py",
    "predict": "python scripts/predict.py",
    "export": "python scripts/export.py",
    "explain": "python scripts/explain.py",
    "benchmark": "python scripts/benchmark.py",
    "dashboard": "python scripts/dashboard.py",
    "plan": "python scripts/plan.py",
    "confirm": "python scripts/confirm.py",
    "study": "python scripts/study.py",
    "calibrate": "python scripts/calibrate.py",
}
_installed = False  # whether this process was started as `odyssey …`


def use_installed_command() -> None:
    """Let `typed_as` name the installed command in place of the clone's scripts."""
    global _installed
    _installed = True


def is_installed() -> bool:
    """Whether this process was started as `odyssey …`, and not by a script of the clone."""
    return _installed


def typed_as(command: str) -> str:
    """How the user types a command: `python scripts/report.py`, or `odyssey report`."""
    return f"odyssey {command}" if _installed else SCRIPTS[command]


# What has a colour on a terminal: the style, and where it goes.
STYLES = {
    "bold red": r"^error:",
    "red": r"\b(?:failed|diverged)\b",
    "green": r"\bfinished\b|\(best[^)]*\)",
    "cyan": r"(?<![\w.])[\w./]+(?==[^=\s])",
    "dim": r"\(sha256 [0-9a-f]+…\)",
    "bold": r"^\* .*|^\w[^\n]*:$",
}


def paint(text: str, stream: TextIO | None = None) -> str:
    """The text with the colours of a terminal; without them where `stream` is none.

    Control characters in it are escaped. $NO_COLOR, TERM=dumb and $FORCE_COLOR are obeyed.
    stream: standard output if None.
    """
    stream = sys.stdout if stream is None else stream
    text = clean(text)
    try:
        if not (stream.isatty() or os.environ.get("FORCE_COLOR")):
            return text
    except ValueError:  # closed
        return text
    from rich.console import Console
    from rich.text import Text

    painted = Text(text)
    for style, pattern in STYLES.items():
        painted.highlight_regex(re.compile(pattern, re.MULTILINE), style)
    console = Console(file=stream, highlight=False)
    with console.capture() as captured:
        console.print(painted, soft_wrap=True, end="")
    return captured.get()


def print_error(message: str) -> None:
    """Print a sentence for a mistake, on one line whatever is quoted in it."""
    show(f"error: {clean_line(message.strip())}", sys.stderr)


def columns(most: int = 100) -> int:
    """The width to write in: the terminal's, and at most `most` characters."""
    return max(40, min(shutil.get_terminal_size((most, 24)).columns, most))


def show(text: str, stream: TextIO | None = None, end: str = "\n", colours: bool = True) -> None:
    """Print at once, or do without where nobody reads it any more.

    stream: standard output if None. colours: whether to paint the text on a terminal.
    """
    stream = sys.stdout if stream is None else stream
    painted = paint(text, stream) if colours else clean(text)
    try:
        try:
            print(painted, file=stream, end=end, flush=True)
        except UnicodeEncodeError as error:  # a stream that was not prepared
            safe = painted.encode(error.encoding, ERRORS).decode(error.encoding)
            print(safe, file=stream, end=end, flush=True)
    except OSError:
        mute(stream)


class Parser(argparse.ArgumentParser):
    """Raises UserError for a mistake, one sentence, as everywhere in Odyssey.

    command: its name, as in SCRIPTS. Options cannot be shortened, so that new ones can come.
    """

    def __init__(self, command: str, description: str | None) -> None:
        super().__init__(prog=typed_as(command), description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; --help lists the options")


def check_count(option: str, value: int | None, low: int, high: int) -> None:
    """Raise UserError where a number of the command line is below `low` or above `high`."""
    if value is not None and not low <= value <= high:
        much = f"a whole number from {low} to {high}" if value > high else f"{low} or more"
        raise UserError(f"{option} {value} is out of range: type {much}")


def typed_path(word: str) -> Path:
    """A path of the command line. An empty word would be the current folder, and is refused."""
    if not word.strip():
        raise argparse.ArgumentTypeError(f"'{word}' is empty: type a path")
    return Path(word)


@contextmanager
def about_files() -> Iterator[None]:
    """Raise UserError for an OSError that names a file, or is about a current folder that is gone.

    That is what the user's disk is like, and no fault of the code.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if isinstance(error.filename, (str, os.PathLike)):
            told = f"{os.fspath(error.filename)} cannot be used ({reason(error)})"
        elif error.errno == errno.ENOENT and not _has_current_folder():
            told = "the current folder is gone: change to one that is there"
        else:
            raise
        raise UserError(told) from error


def _has_current_folder() -> bool:
    try:
        os.getcwd()
        return True
    except OSError:
        return False


def exit_status(action: Callable[[], None], on_error: int = 2) -> int:
    """Do it: 0; `on_error` after its error's sentences; 130 on Ctrl-C."""
    try:
        with about_files():
            action()
        return 0
    except UserError as error:
        for message in error.messages:
            print_error(message)
        return on_error
    except KeyboardInterrupt:
        return 130


def see_current_folder() -> None:
    """Let `cell._target_=my_cells.MyCell` find my_cells.py in the folder one starts from.

    At the end of the path: a file there that is called as a package, such as tqdm.py, takes the
    place of none. Raises UserError where that folder is gone.
    """
    with about_files():
        here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
