"""The W&B dashboard as it is built, offline: panels, groups, filters and colours."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any
from urllib.parse import unquote

import pytest

pytest.importorskip("wandb_workspaces")

from wandb_workspaces.reports.v2 import internal as report_models
from wandb_workspaces.workspaces import internal as view_models

from odyssey.errors import UserError
from odyssey.report.io.wandb_project import ProjectRun
from odyssey.report.palette import colour_of
from odyssey.report.wandb_dashboard import panels
from odyssey.report.wandb_dashboard.documents import specifications
from odyssey.report.wandb_dashboard.subject import Subject, make_subjects
from odyssey.training.record import RunRecord
from report_wandb_kit import DATA

SPACE = {
    "optimizer.lr": {"distribution": "log_uniform", "low": 1e-4, "high": 1e-2},
    "model.dropout": {"distribution": "uniform", "low": 0.0, "high": 0.5},
    "clip,clip.threshold": {"distribution": "choice", "values": [["none", 1.0], ["norm", 5.0]]},
}


def run(
    cell: str, variant: str = "", status: str = "finished", search: Any = None, **more: Any
) -> ProjectRun:
    """A run as `read_project` has it."""
    compare = {"cell": ["rnn", "gru"], **({"bptt.length": [25, None]} if " " in variant else {})}
    if search is None:
        search = {"compare": compare, "space": SPACE, "variant": variant or f"cell={cell}"}
    values = {
        "status": status,
        "cell": cell,
        "task": "charlm",
        "data": DATA,
        "monitor": {"name": "bits_per_char", "mode": "min"},
        "metrics": {"valid/bits_per_char": 2.0, "test/bits_per_char": 2.5, "valid/accuracy": 0.5},
        "metric_info": {"accuracy": {"mode": "max", "label": "accuracy", "unit": "accuracy"}},
        "wandb": {"id": f"id{cell}{len(variant)}"},
    } | more
    return ProjectRun(cell, "s", RunRecord.from_dict(values), search=search)


def spec_of(*records: ProjectRun, study: str = "s") -> tuple[Subject, Any, Any]:
    """A subject, its view's specification and the report's."""
    (subject,) = make_subjects(records, study)
    found = specifications([subject], "me", "odyssey")
    (view,) = found["views"]
    return subject, view, found["report"]


def panels_of(view: Any) -> list[Any]:
    sections = view["spec"]["section"]["panelBankConfig"]["sections"]
    return [panel for section in sections for panel in section["panels"]]


def group_colours(view: Any) -> dict[tuple[str, ...], str]:
    """The values of the groups above and of one -> its colour."""
    found = {}
    for key, colour in view["spec"]["section"]["customRunColors"].items():
        if key.startswith("run-color-group:"):
            path = json.loads(unquote(key.split(":", 2)[2]))
            found[tuple(entry["value"] for entry in path)] = colour
    return found


def test_a_comparison_of_cells() -> None:
    subject, view, report = spec_of(run("gru"), run("rnn"), run("rnn", status="diverged"))
    assert list(subject.paths) == ["rnn", "gru"]  # as in the plan
    assert subject.counts == {"gru": Counter(finished=1), "rnn": Counter(finished=1, diverged=1)}
    section = view["spec"]["section"]
    (runs,) = section["runSets"]
    assert runs["grouping"] == [{"section": "run", "name": "jobType"}]
    assert runs["sort"]["keys"][0] == {
        "key": {"section": "summary", "name": "valid/bits_per_char"},
        "ascending": True,
    }
    told = {(f["key"]["name"], f["op"]): f["value"] for f in runs["filters"]["filters"]}
    assert told == {
        ("jobType", "!="): "summary",
        ("group", "="): "s",
        ("task.value.name", "="): "charlm",
        ("data.value.sha256", "="): DATA["sha256"],
    }
    assert group_colours(view) == {("rnn",): colour_of("rnn"), ("gru",): colour_of("gru")}
    assert section["customRunColors"]["idgru0"] == colour_of("gru")
    shown = list(runs["runFeed"]["columnOrder"])
    assert shown[:4] == [
        "run:displayName",
        "run:jobType",
        "summary:status",
        "summary:valid/bits_per_char",
    ]
    assert {"config:optimizer.value.lr", "config:clip.value.threshold"} <= set(shown)
    assert not section["settings"]["shouldAutoGeneratePanels"]
    # They can be read back as what they are.
    view_models.WorkspaceViewspec.model_validate_json(json.dumps(view["spec"]))
    report_models.Spec.model_validate_json(json.dumps(report["spec"]))


def test_every_panel_is_there() -> None:
    _, view, report = spec_of(run("gru"), run("rnn"))
    made = panels_of(view)
    by_type: dict[str, list[Any]] = {}
    for panel in made:
        by_type.setdefault(panel["viewType"], []).append(panel["config"])
    bars = by_type["Bar Chart"]
    assert [b["metrics"] for b in bars] == [["valid/bits_per_char"], ["test/bits_per_char"]]
    assert all((b["groupAgg"], b["groupArea"]) == ("median", "minmax") for b in bars)
    lines = by_type["Run History Line Plot"]
    assert {line["metrics"][0]: line["xAxis"] for line in lines} == {
        "valid/bits_per_char": "step",
        "train/loss": "step",
        "train/grad_norm": "step",
    }
    assert all(line["groupArea"] == "minmax" and line["aggregate"] for line in lines)
    scatter = {s["xAxis"]: s for s in by_type["Scatter Plot"] if s["yAxis"] != "summary:steps"}
    assert {x: s["xAxisLogScale"] for x, s in scatter.items()} == {
        "config:optimizer.value.lr": True,
        "config:model.value.dropout": False,
        "config:clip.value.threshold": False,
        "config:model.value.hidden_size": True,
        "config:params.value": True,
        "summary:seconds": True,
    }
    assert {s["yAxis"] for s in scatter.values()} == {"summary:valid/bits_per_char"}
    (importance,) = by_type["Parameter Importance"]
    assert importance["targetKey"] == "valid/bits_per_char"
    (parallel,) = by_type["Parallel Coordinates Plot"]
    columns = [c["accessor"] for c in parallel["columns"]]
    assert columns[-1] == "summary:valid/bits_per_char" and columns[:-2] == list(scatter)[:4]
    (text,) = by_type["Markdown Panel"]
    assert "| gru | 1 | 1 |" in text["value"]
    # The report has the same.
    grids = [b for b in report["spec"]["blocks"] if b["type"] == "panel-grid"]
    found = [p for g in grids for p in g["metadata"]["panelBankSectionConfig"]["panels"]]
    assert Counter(p["viewType"] for p in found) == Counter(p["viewType"] for p in made)
    assert len({(p["__id__"]) for p in found}) == len(found)
    diverged = grids[-1]["metadata"]["runSets"][0]["filters"]["filters"][-1]
    assert diverged["key"] == {"section": "summary", "name": "status"}
    assert diverged["value"] == "diverged"


def test_variants_of_several_settings_are_groups_in_groups() -> None:
    records = [
        run(cell, f"cell={cell} bptt.length={length} seed={seed}")
        for cell in ("gru", "rnn")
        for length in ("null", "25")
        for seed in (0, 1)
    ]
    subject, view, report = spec_of(*records)
    labels = [f"{c} bptt.length={n}" for c in ("rnn", "gru") for n in ("25", "null")]
    assert list(subject.paths) == labels
    assert all(count == Counter(finished=2) for count in subject.counts.values())
    (runs,) = view["spec"]["section"]["runSets"]
    assert [g["name"] for g in runs["grouping"]] == ["jobType", "bptt.value.length"]
    colours = group_colours(view)
    assert len(colours) == 6 and colours[("gru",)] == colour_of("gru")
    assert colours[("rnn", "25")] == colour_of("rnn bptt.length=25", labels)
    assert len(set(colours.values())) >= 4
    grid = next(b for b in report["spec"]["blocks"] if b["type"] == "panel-grid")
    assert set(grid["metadata"]["customRunColors"].values()) == set(colours.values())
    assert "config:bptt.value.length" in runs["runFeed"]["columnOrder"]


def test_other_things_that_are_compared() -> None:
    def searched(variant: str, **compare: Any) -> ProjectRun:
        return run("gru", search={"compare": compare, "space": {}, "variant": variant})

    (lengths,) = make_subjects([searched("bptt.length=5", **{"bptt.length": [5, 7]})], "s")
    assert (lengths.levels, list(lengths.paths)) == (["bptt.length"], ["bptt.length=5"])
    (groups,) = make_subjects(
        [searched("cell=gru optimizer=adam", cell=["gru"], optimizer=["adam"])], ""
    )
    assert groups.levels == ["search.variant"] and list(groups.paths) == ["gru optimizer=adam"]
    view = specifications([groups], "me", "odyssey")["views"][0]
    assert list(group_colours(view)) == [("cell=gru optimizer=adam",)]
    names = [f["key"]["name"] for f in view["spec"]["section"]["runSets"][0]["filters"]["filters"]]
    assert "group" not in names  # all of the project
    (alone,) = make_subjects([run("gru", search={})], "s")
    assert (alone.levels, list(alone.paths)) == (["cell"], ["gru"])


def test_what_differs_is_not_put_together() -> None:
    records = [
        run("gru"),
        run("gru", data=DATA | {"sha256": "cd" * 32}),
        run(
            "gru", task="music", monitor={"name": "nats", "mode": "min"}, metrics={"valid/nats": 1}
        ),
        run("gru", task="mnist", status="running", metrics={}, monitor=None),
    ]
    found = make_subjects(records, "s")
    assert [(s.task, s.data_hash[:2], s.metric.name, s.tested) for s in found] == [
        ("charlm", "ab", "bits_per_char", True),
        ("charlm", "cd", "bits_per_char", True),
        ("music", "ab", "nats", False),
    ]
    made = specifications(found, "me", "odyssey")
    assert len({view["name"] for view in made["views"]}) == 3
    (nats,) = make_subjects(records, "s", "valid/nats")
    assert nats.task == "music"
    accuracy = make_subjects(records, "s", "accuracy")
    assert [s.better for s in accuracy] == ["higher", "higher"]
    runs = specifications(accuracy, "me", "odyssey")["views"][0]["spec"]["section"]["runSets"][0]
    assert runs["sort"]["keys"][0]["ascending"] is False
    with pytest.raises(UserError, match="--metric bits is not .* type one of accuracy, bits_per_"):
        make_subjects(records, "s", "bits")
    with pytest.raises(UserError, match="no run has ended with a result"):
        make_subjects(records[3:], "s")


@pytest.mark.parametrize("study", ["a=b", "it's", 'x"y\\z', "<é> 😀", "a and b", "-", "n\nl"])
def test_any_name_of_a_study_is_filtered_by(study: str) -> None:
    _, view, _ = spec_of(run("gru"), study=study)
    filters = view["spec"]["section"]["runSets"][0]["filters"]["filters"]
    assert [f["value"] for f in filters if f["key"]["name"] == "group"] == [study]
    assert len(filters) == 4


def test_the_same_runs_make_the_same_view() -> None:
    def made() -> Any:
        _, view, _ = spec_of(run("gru"), run("rnn"))
        for panel in panels_of(view):
            del panel["__id__"]
        return view

    assert made() == made()


def test_where_the_backend_has_a_setting() -> None:
    assert panels.backend_key("params") == "params.value"
    assert panels.backend_key("a.b.c") == "a.value.b.c"
