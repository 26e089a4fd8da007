"""`python scripts/calibrate.py`: how often the report's words are wrong, by simulation."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from odyssey.cli_utils import Parser, check_count, exit_status, show, typed_path
from odyssey.errors import UserError, options
from odyssey.io import write_text
from odyssey.study.formatting import duration


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; the exit status is 0, 1 where a rate is beyond its limit, 2 for misuse."""
    beyond: list[str] = []
    status = exit_status(lambda: _run(sys.argv[1:] if arguments is None else arguments, beyond))
    return status or int(bool(beyond))


def _run(arguments: Sequence[str], beyond: list[str]) -> None:
    from odyssey.report.calibration.tables import PARTS, make

    asked = _parser().parse_args(arguments)
    parts = asked.parts or list(PARTS)
    if wrong := [part for part in parts if part not in PARTS]:
        raise UserError(f"{wrong[0]} is no part: type {options(PARTS)}, or none for all of them")
    check_count("--studies", asked.studies, 1, 10_000_000)
    check_count("--seed", asked.seed, 0, 2**32 - 1)
    check_count("--processes", asked.processes, 1, 1024)
    if asked.figure is not None and "null" not in parts:
        raise UserError(f"--figure {asked.figure} is of the part null: type it too, or no part")
    started = time.monotonic()
    tables = []
    for part in parts:
        table = make(part, asked.studies, asked.seed, asked.processes, _bar(part))
        show((table.markdown() if asked.markdown else table.text()) + "\n")
        tables.append(table)
        beyond += table.beyond()
    show(f"{duration(time.monotonic() - started)}, seed {asked.seed}")
    if asked.output is not None:
        content: dict[str, Any] = {table.part: table.plain() for table in tables}
        write_text(asked.output, json.dumps(content, indent=2) + "\n", sync=False)
    if asked.figure is not None:
        from odyssey.report.calibration.figure import draw

        draw([row for table in tables if table.part == "null" for row in table.rows], asked.figure)
    for row in beyond:
        show(f"beyond its limit: {row}")


def _bar(part: str) -> Callable[[str, int], Callable[[int], None]]:
    """Progress bars on stderr, one for each row; none where that is no terminal."""

    def begin(row: str, total: int) -> Callable[[int], None]:
        if not sys.stderr.isatty():
            return lambda done: None
        from tqdm import tqdm

        bar = tqdm(desc=f"{part}: {row}", total=total, leave=False, dynamic_ncols=True)

        def tell(done: int) -> None:
            bar.update(done)
            if bar.n >= total:
                bar.close()

        return tell

    return begin


def _parser() -> argparse.ArgumentParser:
    parser = Parser("calibrate", __doc__.partition(": ")[2])
    add = parser.add_argument
    add("parts", nargs="*", metavar="part", help="as in null or factors; all without")
    add("--studies", type=int, default=1000, help="simulated for each row: 1000")
    add("--seed", type=int, default=0, help="of the simulation: 0")
    add("--processes", type=int, help="at a time; one for each core if none is given")
    add("--markdown", action="store_true", help="print tables of Markdown")
    add("--figure", type=typed_path, metavar="FILE", help="draw false words against trials: null")
    add("--output", type=typed_path, metavar="FILE", help="also write the rates as JSON")
    return parser
