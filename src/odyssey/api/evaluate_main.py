"""`python scripts/evaluate.py RUN`: a trained model's metrics on its own data or on others."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from odyssey.api.evaluation import FOLDER
from odyssey.api.run import CHECKPOINTS, SPLITS, Run, load
from odyssey.cli_utils import Parser, exit_status, show, typed_path
from odyssey.device import DEVICES
from odyssey.errors import UserError

DESCRIPTION = "Every metric of a trained run on a part of its data, or on data of your own."
UNSAFE = re.compile(r"[^\w.-]+")


def add_run_options(parser: argparse.ArgumentParser, *, device: bool = True) -> None:
    """The options of each command that uses a trained run."""
    add = parser.add_argument
    add("run", metavar="RUN", type=typed_path, help="a run folder")
    add("--checkpoint", choices=CHECKPOINTS, default="best", help="default best")
    if device:
        add("--device", choices=DEVICES, default="auto", help="default auto")
    add("--trust", action="store_true", help="run a cell of its maker's own, code from elsewhere")


def load_run(options: argparse.Namespace) -> Run:
    """The run that `add_run_options` names. Raises UserError, which calls the options as typed."""
    with as_options():
        run = load(
            options.run,
            checkpoint=options.checkpoint,
            device=options.device,
            trust=options.trust,
        )
        run.model  # noqa: B018 - an error in it is raised now
        return run


@contextmanager
def as_options() -> Iterator[None]:
    """Let messages name keywords of Python as the options of the command."""
    try:
        yield
    except UserError as error:
        told = [m.replace("trust=True", "--trust") for m in error.messages]
        told = [re.sub(r"(?<![.\w-])(data|split|device|to)=", r"--\1 ", m) for m in told]
        raise UserError(*(m.replace("leave data out", "leave --data out") for m in told)) from error


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0; 2 wrong input; 130 Ctrl-C."""
    return exit_status(lambda: _evaluate(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = Parser("evaluate", DESCRIPTION)
    add_run_options(parser)
    add = parser.add_argument
    add(
        "--data",
        type=typed_path,
        metavar="PATH",
        help="a file or folder, as task.path has it, all of which is read; default: the run's own",
    )
    add(
        "--split",
        choices=SPLITS,
        default="test",
        help="the part of the run's data, or of a folder with parts; default test",
    )
    add(
        "--output",
        type=typed_path,
        metavar="FOLDER",
        help=f"default: a new one in RUN/{FOLDER}",
    )
    return parser


def _evaluate(arguments: Sequence[str] | None) -> None:
    options = _parser().parse_args(arguments)
    if options.output is not None and options.output.exists():
        _check_empty(options.output)
    run = load_run(options)
    with as_options():
        found = run.evaluate(options.split, data=options.data)
    written = found.write(options.output or _free(run.path / FOLDER, _name(options)))
    for note in found.notes:
        show(note)
    show("\n".join(found.summary()))
    for sentence in found.warnings():
        show(f"warning: {sentence}", sys.stderr)
    show(f"\n{written}")


def _check_empty(folder: Path) -> None:
    """Before minutes of computing. Raises UserError."""
    if not folder.is_dir() or any(folder.iterdir()):
        what = "has files already, which are not overwritten" if folder.is_dir() else "is a file"
        raise UserError(f"--output {folder} {what}: name a folder that is new or empty")


def _name(options: argparse.Namespace) -> str:
    """What a folder for the evaluation is called."""
    parts = [] if options.data is None else [options.data.resolve().stem]
    if options.data is None or options.data.is_dir():
        parts.append(options.split)
    if options.checkpoint != "best":
        parts.append(options.checkpoint)
    return UNSAFE.sub("_", "-".join(filter(None, parts)))[:80]


def _free(folder: Path, name: str) -> Path:
    """FOLDER/NAME, or NAME-2, NAME-3, … where that is taken."""
    path, n = folder / name, 1
    while path.exists():
        n += 1
        path = folder / f"{name}-{n}"
    return path
