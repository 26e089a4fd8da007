"""Studies for the report, written to a folder quickly and without training anything.

Files and values look like those of real runs; a test compares the two.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import random
import shlex
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from report_run_kit import CODE, CONFIG, UNHASHED, hash_of, write_run

CELLS = ("lstm_peephole", "cifg", "nfg")
SPACE = {
    "model.hidden_size": {"distribution": "log_uniform", "low": 20, "high": 200, "integer": True},
    "optimizer.lr": {"distribution": "log_uniform", "low": 1e-6, "high": 1e-2},
    "optimizer.momentum": {"distribution": "one_minus_log_uniform", "low": 0.01, "high": 1.0},
    "task.input_noise": {"distribution": "uniform", "low": 0.0, "high": 1.0},
}
GROUPS = {"task": "task.name", "optimizer": "optimizer.kind", "clip": "clip.kind"}


def write_study(
    folder: Path,
    *,
    cells: Sequence[str] = CELLS,
    trials: int = 10,
    kind: str = "search",
    effect: Mapping[str, float] | None = None,
    diverged: float = 0.0,
    failed: float = 0.0,
    interrupted: float = 0.0,
    missing: float = 0.0,
    damaged: float = 0.0,
    seed: int = 0,
    task: str = "music",
    data: str = "jsb",
    data_hash: str = "",
    metrics: Sequence[str] = ("nats_per_frame",),
    mode: str = "min",
    compare: Mapping[str, Sequence[Any]] | None = None,
    settings: Mapping[str, Any] | None = None,
    space: Mapping[str, Mapping[str, Any]] | None = None,
    draws: str = "shared",
    tested: bool = True,
    planned: bool = True,
    points: int = 10,
    record: Mapping[str, Any] | None = None,
) -> Path:
    """Write a study; returns its folder.

    trials: of each variant: draws of a "search", seeds of "seeds"; 1 for "single".
    effect: cell, or variant as in `cell=gru bptt.length=25` -> what its runs are worse by.
    diverged, failed, interrupted, missing, damaged: shares of each variant's runs, rounded.
    metrics: the first is the monitor. compare: further compared keys -> values.
    settings: flat keys of the configuration that all runs share. record: changes to run.json.
    draws: "shared" or "independent". tested: whether there are test values.
    planned: whether there are a study.json and a trials.csv. points: validations of a run.
    """
    rng = random.Random(seed)
    axes = {"cell": list(cells), **{k: list(v) for k, v in (compare or {}).items()}}
    variants = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    searched = (SPACE if space is None else space) if kind == "search" else {}
    shared = [_draw(searched, rng) for _ in range(trials)]
    shares = {
        "diverged": diverged,
        "failed": failed,
        "interrupted": interrupted,
        "missing": missing,
        "damaged": damaged,
    }
    states = [_states(trials, shares, rng) for _ in variants]
    fixed = CONFIG | {"task.name": task, "task.data": data, "study": folder.name}
    fixed |= settings or {}
    rows = []
    folder.mkdir(parents=True, exist_ok=True)
    for trial in range(trials):
        for variant, of_variant in zip(variants, states, strict=True):
            drawn = shared[trial] if draws == "shared" else _draw(searched, rng)
            seeds = {"seed": trial} if kind == "seeds" else {}
            label = " ".join(f"{k}={_word(v)}" for k, v in (variant | seeds).items())
            words = [*(f"{k}={_word(v)}" for k, v in (settings or {}).items())]
            words += [f"study={folder.name}", f"task={task}", *label.split()]
            words += [f"{k}={_word(v)}" for k, v in drawn.items()]
            config = fixed | _chosen(variant) | seeds | drawn
            run = _name(variant["cell"], config)
            rows.append(
                {
                    "trial": trial if kind == "search" else 0,
                    "run": run,
                    "variant": label,
                    "overrides": shlex.join(words),
                }
            )
            state = of_variant[trial]
            if state == "missing":
                continue
            shift = (effect or {}).get(label, (effect or {}).get(variant["cell"], 0.0))
            path = write_run(
                folder / run,
                config,
                state=state,
                value=_value(config, rng) + shift,
                cell=variant["cell"],
                data_hash=data_hash or hashlib.sha256(config["task.data"].encode()).hexdigest(),
                metrics=metrics,
                mode=mode,
                tested=tested,
                points=points,
                words=words,
                rng=rng,
                record=record,
            )
            if state == "damaged":
                text = (path / "run.json").read_text()
                (path / "run.json").write_text(text[: len(text) // 2])
    if planned:
        _write_plan(folder, rows, axes, searched, fixed, kind, trials, draws, seed)
    return folder


def plan_of(folder: Path) -> list[dict[str, str]]:
    """The rows of trials.csv."""
    with (folder / "trials.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def edit_json(file: Path, **changes: Any) -> None:
    """Change keys of run.json or study.json by hand."""
    content = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(content | changes, indent=2), encoding="utf-8")


def _draw(space: Mapping[str, Mapping[str, Any]], rng: random.Random) -> dict[str, Any]:
    drawn: dict[str, Any] = {}
    for key, how in space.items():
        low, high = float(how["low"]), float(how["high"])
        kind = how["distribution"]
        if kind == "uniform":
            value = rng.uniform(low, high)
        else:
            value = math.exp(rng.uniform(math.log(low), math.log(high)))
        value = 1 - value if kind == "one_minus_log_uniform" else value
        drawn[key] = round(value) if how.get("integer") else float(f"{value:.6g}")
    return drawn


def _states(trials: int, shares: Mapping[str, float], rng: random.Random) -> list[str]:
    found: list[str] = []
    for state, share in shares.items():
        found += [state] * round(share * trials)
    found = (found + ["finished"] * trials)[:trials]
    rng.shuffle(found)
    return found


def _value(config: Mapping[str, Any], rng: random.Random) -> float:
    """Best where lr is 1e-3 and many units; most of it is the learning rate's doing."""
    lr = math.log10(config["optimizer.lr"])
    units = math.log10(config["model.hidden_size"])
    noise = float(config.get("task.input_noise") or 0.0)
    return 8.5 + 0.3 * (lr + 3) ** 2 + 0.4 * (2.3 - units) + 0.2 * noise + rng.gauss(0, 0.05)


def _chosen(variant: Mapping[str, Any]) -> dict[str, Any]:
    found = {GROUPS.get(key, key): value for key, value in variant.items() if key != "cell"}
    return {"cell._target_": f"odyssey.cells.{variant['cell']}", **found}


def _name(cell: str, config: Mapping[str, Any]) -> str:
    return f"{cell}-{config['task.name']}-{hash_of(config)[:8]}"


def _write_plan(
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    axes: Mapping[str, Sequence[Any]],
    space: Mapping[str, Mapping[str, Any]],
    fixed: Mapping[str, Any],
    kind: str,
    trials: int,
    draws: str,
    seed: int,
) -> None:
    compare = {k: [_word(v) for v in values] for k, values in axes.items()}
    if kind == "seeds":
        compare["seed"] = [str(n) for n in range(trials)]
    taken = {*compare, *space, *(GROUPS.get(k, k) for k in compare)}
    common = {
        k: v for k, v in fixed.items() if k not in taken and not k.startswith(("cell.", *UNHASHED))
    }
    search = kind == "search"
    definition = {
        "study": folder.name,
        "sweeper": "search" if search else "grid",
        "compare": compare,
        "space": space,
        "trials": trials if search else None,
        "sampler": "random" if search else None,
        "draws": draws if search else None,
        "seed": seed if search else None,
        "fixed": common,
        "commands": [{"time": "2026-11-22T05:45:08+0000", "command": "python train.py -m …"}],
        "code": CODE,
        "data": {},
    }
    (folder / "study.json").write_text(json.dumps(definition, indent=2), encoding="utf-8")
    with (folder / "trials.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ("trial", "run", "variant", "overrides"), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _word(value: Any) -> str:
    return (
        str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)
    )
