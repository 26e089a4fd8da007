"""`python scripts/status.py outputs/<study>`: how a study stands, from its folder alone."""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from odyssey.cli_utils import Parser, exit_status
from odyssey.errors import UserError
from odyssey.study.folders import not_a_study
from odyssey.study.page import plain, text
from odyssey.study.records import LEFT, as_float, read_study
from odyssey.study.wandb_summary import log_summary, with_mode

EXAMPLE = "type a study's folder, as in python scripts/status.py outputs/truncation"


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0; 2 wrong input; 130 Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    return exit_status(lambda: _answer(words))


def _answer(words: list[str]) -> None:
    asked = _parser().parse_args(with_mode(_with_seconds(words)))
    if asked.watch is not None and not (asked.watch > 0 and math.isfinite(asked.watch)):
        raise UserError(f"--watch {asked.watch:g} is out of range: type seconds above 0")
    if asked.wandb is None and (asked.project or asked.entity):
        raise UserError("--project and --entity are W&B's: type --wandb too")
    folder = _study_folder(asked.study)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without … and –
    _show(folder, asked)
    if asked.wandb is not None:
        said = log_summary(folder, asked.wandb, asked.project, asked.entity)
        print(f"\n{said}", file=sys.stderr if asked.json else sys.stdout)


def _show(folder: Path, asked: argparse.Namespace) -> None:
    terminal = sys.stdout.isatty()
    study = None
    while True:
        study = read_study(folder, study)
        size = shutil.get_terminal_size((100, 24))
        now = time.time()
        if asked.json:
            page = json.dumps(plain(study, now), indent=None if asked.watch else 2)
        else:
            page = text(study, now, min(size.columns, 120), asked.all)
        if asked.watch is None:
            print(page, flush=True)
            return
        left = any(r.state in (*LEFT, "running") for r in study.runs.values())
        over = not left and not study.to_come
        if asked.json:
            print(page, flush=True)
        elif terminal:
            # The page is whole once it is over: nothing will draw over what scrolls away.
            print("\x1b[H\x1b[2J" + (page if over else _fitting(page, size.lines)), flush=True)
        else:
            print(page, end="\n\n", flush=True)
        if over:
            return
        time.sleep(asked.watch)


def _fitting(page: str, height: int) -> str:
    lines = page.splitlines()
    if len(lines) < height:
        return page
    return "\n".join([*lines[: height - 2], f"… {len(lines) - height + 2} lines more"])


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="status.py", allow_abbrev=False, description=__doc__.partition(": ")[2])
    add = parser.add_argument
    add("study", metavar="STUDY", type=Path, nargs="?", help="a study's folder, outputs/<study>")
    add(
        "--watch",
        type=float,
        metavar="SECONDS",
        help="again every so many seconds (2 if none are given), until nothing is left to do",
    )
    add("--json", action="store_true", help="for other programs; with --watch a line each time")
    add("--all", action="store_true", help="every arm, every running run, every failure")
    add(
        "--wandb",
        metavar="MODE",
        help="also log the tables as a W&B run of the study's group: offline or online; as its "
        "runs are where neither is given. With --watch, at the end",
    )
    add("--project", help="W&B project of --wandb; that of the study's runs where none is given")
    add("--entity", help="W&B user or team of --wandb; that of the study's runs")
    return parser


def _with_seconds(words: list[str]) -> list[str]:
    """`--watch` alone, or before the study's folder, is `--watch 2`."""
    found = []
    for place, word in enumerate(words):
        found.append(word)
        after = words[place + 1] if place + 1 < len(words) else ""
        if word == "--watch" and math.isnan(as_float(after)):
            found.append("2")
    return found


def _study_folder(path: Path | None) -> Path:
    """The folder, if it is a study's. Raises UserError that says what it is else."""
    if path is None:
        raise UserError(f"no study is given: {EXAMPLE}")
    if wrong := not_a_study(path, EXAMPLE):
        raise UserError(wrong)
    return path
