"""`python scripts/benchmark.py`: all comparisons, a table, and a JSON file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from odyssey.benchmark import cells, processes, training
from odyssey.benchmark.timing import Row, draw, table
from odyssey.cells import CELLS
from odyssey.cli_utils import Parser, check_count, exit_status, show, typed_path
from odyssey.device import resolve_device
from odyssey.errors import UserError
from odyssey.io import write_text
from odyssey.training.provenance import device_name, git, versions


@dataclass
class Results:
    """What the parts have measured so far, and the options that they read."""

    options: argparse.Namespace
    device: torch.device
    rows: list[Row] = field(default_factory=list)  # comparisons, for the table and the picture
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)  # single figures, by name

    @property
    def cells(self) -> list[str]:
        names: list[str] = self.options.cells.split(",")
        return names


def _step(results: Results) -> None:
    results.rows.append(training.step_row(results.options.pairs))


def _library(results: Results) -> None:
    results.rows += cells.library_rows(results.device, results.options.pairs)


def _variants(results: Results) -> None:
    results.rows += cells.reference_rows(results.device, results.options.pairs, results.cells)


def _compiled(results: Results) -> None:
    given = results.options
    sizes = cells.compiled_rows(results.device, given.pairs, results.cells, given.torch_compile)
    for rows in sizes:
        results.rows += rows


def _loading(results: Results) -> None:
    rates = {task: training.batches_per_second(task) for task in ("charlm", "mnist")}
    results.facts["loading"] = rates


def _startup(results: Results) -> None:
    results.facts["startup"] = processes.startup()


def _corpus(results: Results) -> None:
    results.facts["corpus"] = processes.large_corpus()


def _study(results: Results) -> None:
    results.facts["study, a worker"] = processes.study_overhead()
    results.facts["study, two workers"] = processes.study_overhead(workers=2)
    results.facts["study, a worker, without W&B"] = processes.study_overhead(mode="disabled")


PARTS: dict[str, Callable[[Results], None]] = {
    "step": _step,
    "library": _library,
    "variants": _variants,
    "compiled": _compiled,
    "loading": _loading,
    "startup": _startup,
    "corpus": _corpus,
    "study": _study,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts asked for, print and write their results; the exit status, 2 for misuse."""
    return exit_status(lambda: _run(_options(arguments)))


def _run(options: argparse.Namespace) -> None:
    device = resolve_device()
    results = Results(options, device)
    for part in tqdm(options.parts or PARTS, desc="benchmark"):
        PARTS[part](results)
    if results.rows:
        show(table(results.rows))
    for name, values in results.facts.items():
        show(f"{name}: " + ", ".join(f"{k} {_text(v)}" for k, v in values.items()))
    content = {
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "git": asdict(git()),
        "rows": [row.plain() for row in results.rows],
        "facts": results.facts,
    }
    try:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        write_text(options.output, json.dumps(content, indent=2) + "\n", sync=False)
    except OSError as error:
        raise UserError(
            f"--output {options.output} cannot be written ({error.strerror}): type another file"
        ) from None
    show(f"written to {options.output}")
    if options.figure:
        draw(results.rows, options.figure)
        show(f"drawn in {options.figure}")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command's options. Raises UserError, for a part or a cell that is unknown too."""
    parser = Parser("benchmark", __doc__.partition(": ")[2])
    parser.add_argument("parts", nargs="*", metavar="part", help=f"{', '.join(PARTS)}; all if none")
    parser.add_argument("--pairs", type=int, default=15, help="timed pairs of each comparison")
    parser.add_argument(
        "--cells", default="lstm_peephole,gru,fgr", help="of `variants`, `compiled`"
    )
    parser.add_argument(
        "--torch-compile",
        type=int,
        default=0,
        metavar="SECONDS",
        help="in `compiled`, also the loop through torch.compile, given so long for each",
    )
    parser.add_argument("--output", type=typed_path, default=Path("outputs/benchmark.json"))
    parser.add_argument(
        "--figure", type=typed_path, help="a picture of `compiled`, as in speed.png"
    )
    options = parser.parse_args(arguments)
    unknown = [part for part in options.parts if part not in PARTS]
    unknown += [name for name in options.cells.split(",") if name not in CELLS]
    if unknown:
        raise UserError(
            f"no part or cell is called {unknown[0]}: parts are {', '.join(PARTS)}, and cells "
            f"{', '.join(CELLS)}"
        )
    check_count("--pairs", options.pairs, 1, 1_000_000)
    check_count("--torch-compile", options.torch_compile, 0, 1_000_000)
    return options


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_text(v) for v in value) + "]"
    return f"{value:.4g}"
