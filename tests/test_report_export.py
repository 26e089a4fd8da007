"""All runs as one table: types, what is missing, and that it can be read again."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from odyssey.errors import UserError
from odyssey.report.io.collect import collect
from odyssey.report.io.export import export_runs
from odyssey.report.io.runs import Collection, ReportRun
from report_kit import write_study

parquet = pytest.importorskip("pyarrow.parquet")


def read(folder: Path) -> tuple[list[dict[str, object]], list[dict[str, str]]]:
    with (folder / "runs.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return parquet.read_table(folder / "runs.parquet").to_pylist(), rows


def test_a_study(tmp_path: Path) -> None:
    folder = write_study(
        tmp_path / "s", trials=7, diverged=0.3, failed=0.15, missing=0.15, damaged=0.15
    )
    found = collect([folder])
    written = export_runs(found, tmp_path / "out" / "new")
    assert [p.name for p in written] == ["runs.parquet", "runs.csv"]
    table, rows = read(tmp_path / "out" / "new")
    assert len(table) == len(rows) == len(found.runs) == 21
    for run, row, text in zip(found.runs, table, rows, strict=True):
        assert list(row) == list(text)
        assert (row["run"], row["study"], row["state"]) == (run.name, "s", run.state)
        assert row["trial"] == run.trial and row["seed"] == run.seed == 0
        assert row["variant"] == f"cell={run.cell}" and row["command"] == run.command
        for key in ("valid/nats_per_frame", "test/nats_per_frame"):
            value = run.metrics.get(key)
            assert row[key] == value and text[key] == ("" if value is None else repr(value))
        assert row["config.optimizer.lr"] == run.config.get("optimizer.lr")
        assert row["config.model.hidden_size"] == run.config.get("model.hidden_size")
        assert row["config.optimizer.nesterov"] == run.config.get("optimizer.nesterov")
        assert row["config.bptt.length"] is None and row["params"] == run.params
        assert row["seconds"] == (None if math.isnan(run.seconds) else run.seconds)
        assert row["error"] == (run.error or None) and row["data_hash"] == (run.data_hash or None)
    types = {field.name: str(field.type) for field in
             parquet.read_schema(tmp_path / "out" / "new" / "runs.parquet")}  # fmt: skip
    assert types["seed"] == types["config.model.hidden_size"] == "int64"
    assert types["config.optimizer.lr"] == types["seconds"] == "double"
    assert types["config.optimizer.nesterov"] == "bool" and types["cell"] == "string"


def test_mixed_and_odd_values(tmp_path: Path) -> None:
    runs = [
        ReportRun("s", "a", "finished", config={"x": 1, "y": [0.9, 0.1], "z": 2**70, "b": True},
            metrics={"valid/loss": math.inf, "study": 3.0}),
        ReportRun("s", "b", "finished", config={"x": "one", "y": None, "z": 3, "b": None},
            metrics={"valid/loss": math.nan}, error='two\nlines, "quoted"'),
        ReportRun("s", "c", "missing", config={"w": 1.5, "v": 2}),
        ReportRun("s", "d", "missing", config={"w": 1, "v": None}),
    ]  # fmt: skip
    export_runs(Collection([], runs), tmp_path)
    table, rows = read(tmp_path)
    assert [row["config.x"] for row in table] == ["1", "one", None, None]
    assert [row["config.y"] for row in table] == ["[0.9, 0.1]", None, None, None]
    assert [row["config.z"] for row in table] == [str(2**70), "3", None, None]
    assert [row["config.w"] for row in table] == [None, None, 1.5, 1.0]
    assert [row["config.v"] for row in table] == [None, None, 2, None]
    assert [row["config.b"] for row in rows] == ["true", "", "", ""]
    assert [row["valid/loss"] for row in table] == [math.inf, None, None, None]
    assert table[0]["study"] == "s" and table[0]["metrics.study"] == 3.0
    assert rows[1]["error"] == table[1]["error"] == 'two\nlines, "quoted"'


def test_nothing_and_nowhere(tmp_path: Path) -> None:
    export_runs(Collection(), tmp_path)
    assert read(tmp_path) == ([], [])
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written to"):
        export_runs(Collection(), tmp_path / "file")
