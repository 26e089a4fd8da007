"""All runs as one table, for any other program: Parquet and CSV."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from odyssey.errors import UserError
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
    """Name -> a value for each run, all of one type; None for what is missing.

    Whole numbers, numbers, truth values and texts; lists and mixed columns are texts.
    """
    runs = collection.runs
    metrics = {name: None for run in runs for name in run.metrics}
    config = {key: None for run in runs for key in run.config}
    found = {name: [of(run) for run in runs] for name, of in COLUMNS_BEFORE.items()}
    for name in sorted(metrics, key=lambda n: (not n.startswith("valid/"), n)):
        found[name if "/" in name else f"metrics.{name}"] = [r.metrics.get(name) for r in runs]
    for key in config:
        found[f"config.{key}"] = [run.config.get(key) for run in runs]
    found |= {name: [of(run) for run in runs] for name, of in COLUMNS_AFTER.items()}
    return {name: _unify(values) for name, values in found.items()}


def export_runs(collection: Collection, folder: Path) -> list[Path]:
    """Write runs.parquet and runs.csv into `folder`; returns their paths.

    Without pyarrow there is the CSV file alone. Raises UserError where nothing can be written.
    """
    table = make_columns(collection)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table)
    writer.writerows([_csv_cell(v) for v in row] for row in zip(*table.values(), strict=True))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = [_write(folder / f"{NAME}.csv", out.getvalue().encode())]
        if (content := _parquet(table)) is not None:
            written.insert(0, _write(folder / f"{NAME}.parquet", content))
    except OSError as error:
        raise UserError(
            f"the report cannot be written to {folder}: {error.strerror or error}; type another "
            "folder, as in --out report"
        ) from None
    return written


def _parquet(table: Mapping[str, Sequence[Any]]) -> bytes | None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        return None
    out = io.BytesIO()
    arrays = {name: pyarrow.array(values) for name, values in table.items()}
    parquet.write_table(pyarrow.table(arrays), out, compression="zstd")
    return out.getvalue()


def _write(file: Path, content: bytes) -> Path:
    """The whole file, or nothing."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content)
    os.replace(temporary, file)
    return file


def _unify(values: Sequence[Any]) -> list[Any]:
    found = [_none_if_missing(value) for value in values]
    kinds = {type(value) for value in found if value is not None}
    if kinds <= {int}:
        small = all(value is None or abs(value) < 2**63 for value in found)
        return found if small else [None if v is None else str(v) for v in found]
    if kinds <= {int, float}:
        return [None if v is None else float(v) for v in found]
    if kinds <= {bool}:
        return found
    return [None if v is None else v if isinstance(v, str) else _as_json(v) for v in found]


def _none_if_missing(value: Any) -> Any:
    if value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    return value


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _csv_cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else value
