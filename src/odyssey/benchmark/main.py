"""`python scripts/benchmark.py`: all comparisons, a table, and a JSON file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from odyssey.benchmark import cells, compiled, figure, loading, processes, steps, studies
from odyssey.benchmark.timing import Row, table
from odyssey.cells import CELLS
from odyssey.device import resolve_device
from odyssey.training.provenance import device_name, git, versions

PARTS = ("step", "library", "variants", "compiled", "loading", "startup", "corpus", "study")


def main() -> int:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
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
    parser.add_argument("--output", type=Path, default=Path("outputs/benchmark.json"))
    parser.add_argument("--figure", type=Path, help="a picture of `compiled`, as in speed.png")
    asked = parser.parse_args()
    wrong = [p for p in asked.parts if p not in PARTS]
    wrong += [c for c in asked.cells.split(",") if c not in CELLS]
    if wrong:
        parser.error(f"no part or cell is called {wrong[0]}; parts are {', '.join(PARTS)}")
    parts = asked.parts or PARTS
    device = resolve_device()
    rows: list[Row] = []
    facts: dict[str, Any] = {}
    for part in tqdm(parts, desc="benchmark"):
        if part == "step":
            rows.append(steps.step_row(asked.pairs))
        elif part == "library":
            rows += cells.library_rows(device, asked.pairs)
        elif part == "variants":
            rows += cells.reference_rows(device, asked.pairs, asked.cells.split(","))
        elif part == "compiled":
            names = asked.cells.split(",")
            for some in compiled.compiled_rows(device, asked.pairs, names, asked.torch_compile):
                rows += some
        elif part == "loading":
            facts[part] = {t: loading.batches_a_second(t) for t in ("charlm", "mnist")}
        elif part == "startup":
            facts[part] = processes.startup()
        elif part == "corpus":
            facts[part] = processes.large_corpus()
        elif part == "study":
            facts["study, a worker"] = studies.overhead()
            facts["study, two workers"] = studies.overhead(workers=2)
            facts["study, a worker, without W&B"] = studies.overhead(mode="disabled")
    if rows:
        print(table(rows))
    for part, values in facts.items():
        print(f"{part}: " + ", ".join(f"{k} {_shown(v)}" for k, v in values.items()))
    machine = {
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "git": git(),
    }
    processes.write(asked.output, machine | {"rows": [r.plain() for r in rows], "facts": facts})
    print(f"written to {asked.output}")
    if asked.figure:
        figure.draw(rows, asked.figure)
        print(f"drawn in {asked.figure}")
    return 0


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_shown(v) for v in value) + "]"
    return f"{value:.4g}"
