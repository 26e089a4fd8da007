"""All runs as one table, in Parquet and CSV, for other programs."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from odyssey.errors import UserError
from odyssey.io import write_bytes
from odyssey.report.io.formats import csv_cell
from odyssey.report.io.runs import Collection, ReportRun

NAME = "runs"
COLUMNS_BEFORE: Mapping[str, Callable[[ReportRun], Any]] = {
    "study": lambda run: run.study,
    "run": lambda run: run.name,
    "state": lambda run: run.state,
    "trial": lambda run: run.trial,
    "variant": lambda run: " ".join(f"{k}={v}" for k, v in run.compared.items()),
    "cell": lambda run: run.cell,
    "task": lambda run: run.task,
    "data": lambda run: run.data,
    "data_hash": lambda run: run.data_hash,
    "seed": lambda run: run.seed,
    "seed_init": lambda run: run.drawn_from.init,
    "seed_order": lambda run: run.drawn_from.order,
    "seed_split": lambda run: run.drawn_from.split,
    "params": lambda run: run.params,
    "monitor": lambda run: run.monitor,
    "mode": lambda run: run.mode if run.monitor else None,
}
COLUMNS_AFTER: Mapping[str, Callable[[ReportRun], Any]] = {
    "seconds": lambda run: run.seconds,
    "steps": lambda run: run.steps,
    "epochs": lambda run: run.epochs,
    "best_step": lambda run: run.best_step,
    "device": lambda run: run.device,
    "torch": lambda run: run.versions.get("torch"),
    "code": lambda run: run.code,
    "commit": lambda run: run.commit,
    "started": lambda run: run.started,
    "command": lambda run: run.command,
    "path": lambda run: run.path,
    "error": lambda run: run.error,
}


def make_columns(collection: Collection) -> dict[str, list[Any]]:
    """Column name -> a value for each run, or None.

    The values of a column have one type: int, float, bool or str. Lists and columns of mixed types
    become strings.
    """
    runs = collection.runs
    metrics = {name: None for run in runs for name in run.metrics}
    config = {key: None for run in runs for key in run.config}
    found = {name: [value(run) for run in runs] for name, value in COLUMNS_BEFORE.items()}
    for name in sorted(metrics, key=lambda n: (not n.startswith("valid/"), n)):
        found[name if "/" in name else f"metrics.{name}"] = [r.metrics.get(name) for r in runs]
    for key in config:
        found[f"config.{key}"] = [run.config.get(key) for run in runs]
    found |= {name: [value(run) for run in runs] for name, value in COLUMNS_AFTER.items()}
    return {name: _unify(values) for name, values in found.items()}


def export_runs(collection: Collection, folder: Path) -> list[Path]:
    """Write runs.parquet and runs.csv into `folder`, and return their paths.

    Without pyarrow only the CSV file is written. Raises UserError where `folder` is not writable.
    """
    table = make_columns(collection)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table)
    writer.writerows([csv_cell(v) for v in row] for row in zip(*table.values(), strict=True))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = {folder / f"{NAME}.csv": out.getvalue().encode()}
        if (content := _parquet(table)) is not None:
            files = {folder / f"{NAME}.parquet": content} | files
        for file, content in files.items():
            write_bytes(file, content, sync=False)
    except OSError as error:
        raise UserError(
            f"the report cannot be written to {folder}: {error.strerror or error}; type another "
            "folder, as in --out report"
        ) from None
    return list(files)


def _parquet(table: Mapping[str, Sequence[Any]]) -> bytes | None:
    """The content of the Parquet file; None without pyarrow."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        return None
    out = io.BytesIO()
    arrays = {name: pyarrow.array(values) for name, values in table.items()}
    parquet.write_table(pyarrow.table(arrays), out, compression="zstd")
    return out.getvalue()


def _unify(values: Sequence[Any]) -> list[Any]:
    """The values in one type, with None for empty strings and nan."""
    found = [_none_if_missing(value) for value in values]
    types = {type(value) for value in found if value is not None}
    if types <= {int}:
        fits = all(value is None or abs(value) < 2**63 for value in found)
        return found if fits else _map(str, found)
    if types <= {int, float}:
        return _map(float, found)
    if types <= {bool}:
        return found
    return _map(_as_string, found)


def _map(convert: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
    return [None if value is None else convert(value) for value in values]


def _none_if_missing(value: Any) -> Any:
    if value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    return value


def _as_string(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
