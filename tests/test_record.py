"""run.json as a dataclass: what is written is read, and what is odd is named."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import Any

import pytest

import random_kit
from odyssey.training.record import (
    SCHEMA,
    STATUSES,
    Code,
    Commit,
    Continued,
    Data,
    MetricInfo,
    Monitor,
    RunRecord,
    Seeds,
    Start,
    WandbRun,
)
from odyssey.typed_json import LaterSchema, as_float


def full() -> RunRecord:
    """A record in which every key has a value that is not its default."""
    return RunRecord(
        status="finished",
        config_hash="ab",
        cell="lstm",
        cell_source="cd",
        callback_sources={"mine": "ef"},
        part_sources={"task._target_": "01"},
        task="charlm",
        data=Data("python", "ef"),
        seed=3,
        seeds=Seeds(3, 4, 0),
        params=128_866,
        metrics={"valid/nats": 0.25, "test/nats": math.inf, "valid/accuracy": math.nan},
        metric_info={"nats": MetricInfo("min", "cross-entropy in nats", "nats")},
        monitor=Monitor("accuracy", "max"),
        best_epoch=1.5,
        best_step=7,
        steps=9,
        epochs=2.0,
        seconds=1.25,
        clipped_share=0.5,
        device="cpu",
        backend="compiled",
        loop="compiled",
        precision="64",
        versions={"torch": "2.13.0"},
        code=Code("01", "2.13.0"),
        git=Commit("23", True),
        started="2026-11-27T07:30:00+0000",
        wandb=WandbRun("x1", "wandb/x1", "https://example.org"),
        continued=Continued("lstm-charlm-0123abcd", 5),
        caveat="perplexity is not that of the text",
        untested="there is no test part",
        start=Start("lstm-charlm-0123abcd", "45", 6, ["head.bias"]),
        error="the loss is not finite",
    )


def test_a_record_is_read_as_it_was_written() -> None:
    record = full()
    for f in fields(RunRecord):
        if f.name not in ("status", "schema", "odd"):
            assert getattr(record, f.name) != getattr(RunRecord("finished"), f.name), f.name
    again = RunRecord.load(record.dump())
    assert again.odd == []
    assert again.dump() == record.dump()
    assert math.isnan(again.metrics["valid/accuracy"])
    assert again.metrics["test/nats"] == math.inf
    again.metrics.pop("valid/accuracy")
    record.metrics.pop("valid/accuracy")  # nan is not equal to itself
    assert again == record


def test_run_json_is_json_with_its_schema() -> None:
    def refuse(word: str) -> None:
        raise AssertionError(word)

    values = json.loads(full().dump(), parse_constant=refuse)
    assert values["schema"] == SCHEMA
    assert values["metrics"]["test/nats"] == "inf"
    assert "odd" not in values


def test_metrics_know_their_unit_and_direction() -> None:
    record = full()
    assert record.metric("nats").unit == "nats"
    assert record.metric("nats").mode == "min"
    assert record.metric("accuracy").mode == "max"  # the monitor, with no word of its task
    assert record.metric("other_thing").label == "other thing"
    assert record.value("test") != record.value("test")  # nan: no test value of the monitor


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"status": "odd"}', '{"status": []}'])
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        RunRecord.load(text)


@pytest.mark.parametrize("schema", [SCHEMA + 1, "1", None, 1.5])
def test_a_later_schema_is_refused(schema: Any) -> None:
    with pytest.raises(LaterSchema):
        RunRecord.from_dict({"status": "finished", "schema": schema})


@pytest.mark.parametrize(
    "key, value, odd",
    [
        ("steps", "9", ["steps"]),
        ("steps", True, ["steps"]),
        ("steps", 9.0, ["steps"]),
        ("steps", 10**30, ["steps"]),
        ("seconds", [1], ["seconds"]),
        ("seconds", "soon", ["seconds"]),
        ("seed", {}, ["seed"]),
        ("metrics", 3, ["metrics"]),
        ("metrics", {"valid/a": None, "valid/b": 1}, ["metrics.valid/a"]),
        ("monitor", {"name": 1, "mode": "up"}, ["monitor.name", "monitor.mode"]),
        ("data", "python", ["data"]),
        ("metric_info", {"a": {"mode": 1}}, ["metric_info.a.mode"]),
    ],
)
def test_odd_values_are_named_and_taken_as_unknown(key: str, value: Any, odd: list[str]) -> None:
    record = RunRecord.from_dict(json.loads(full().dump()) | {key: value})
    assert record.odd == odd
    assert record.status == "finished"
    if key in ("steps", "seconds", "seed"):
        assert getattr(record, key) is None
    if key == "metrics":
        assert record.metrics == ({"valid/b": 1.0} if isinstance(value, dict) else {})


def test_no_value_whatever_makes_reading_raise_anything_else() -> None:
    chance = random_kit.dice()
    good = json.loads(full().dump())
    odd: list[Any] = [None, True, -1, 1e400, "", "nan", [], {}, {"a": {}}, [[]], "ü" * 3]
    for _ in range(2000):
        values = json.loads(json.dumps(good))
        for key in chance.sample(sorted(values), 3):
            values[key] = chance.choice(odd)
        try:
            record = RunRecord.from_dict(values)
        except ValueError:
            assert values["status"] not in STATUSES or values["schema"] != SCHEMA
        else:
            RunRecord.load(record.dump())


@pytest.mark.parametrize(
    "value, number",
    [(1, 1.0), ("inf", math.inf), ("-Infinity", -math.inf), (1.5, 1.5)],
)
def test_numbers(value: Any, number: float) -> None:
    assert as_float(value) == number


@pytest.mark.parametrize("value", ["nan", "1", None, True, [], 10**400])
def test_what_is_no_number(value: Any) -> None:
    assert math.isnan(as_float(value))
