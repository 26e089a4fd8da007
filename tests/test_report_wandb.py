"""Runs read back from W&B: the real client against a stand-in for the server."""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from odyssey.config.schema import flat
from odyssey.errors import UserError
from odyssey.report.io.wandb_project import split_path, variant_of
from records_kit import real_run
from report_wandb_kit import DATA, Project, configuration, summary
from run_kit import record
from wandb_kit import KEY, NOWHERE, python, serving

pytestmark = pytest.mark.timeout(180)

READ = """
import json
from dataclasses import asdict
from odyssey.errors import UserError
from odyssey.report.io.wandb_project import read_project
for path, group in %r:
    notes, told = [], []
    try:
        runs = read_project(
            path, group=group, notes=notes, progress=lambda *counts: told.append(counts)
        )
    except UserError as error:
        print(json.dumps({"error": str(error)}))
    else:
        found = [asdict(run) for run in runs]
        runs = [run | run.pop("record") for run in found]
        print(json.dumps({"runs": runs, "notes": notes, "told": told}))
"""


def read(server: Project, *asked: tuple[str, str | None]) -> list[Any]:
    """What `read_project` makes of projects and groups, in a process of its own."""
    asked = asked or (("me/odyssey", None),)
    done = python(READ % (asked,), WANDB_BASE_URL=server.url, WANDB_API_KEY=KEY)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # nothing of W&B's own
    return [json.loads(line) for line in done.stdout.splitlines()]


LOG = """
from pathlib import Path
from odyssey.training.wandb import mirror
mirror(Path(%r), "online", {"trial": 7})
"""


@pytest.mark.slow
def test_a_run_comes_back_as_its_folder_has_it(tmp_path: Path) -> None:
    path = Path(shutil.copytree(real_run(), tmp_path / "out" / "s" / real_run().name))
    config = yaml.safe_load((path / "config.yaml").read_text())
    with serving(Project()) as server:
        own = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY, "HOME": str(tmp_path)}
        done = python(LOG % str(path), **own)
        assert done.returncode == 0, done.stderr
        (found,) = read(server, ("me/odyssey", "s"))
    (run,) = found["runs"]
    kept = record(path)
    assert found["notes"] == [] and found["told"] == [[1, 1]]
    assert {key: run[key] for key in kept if key != "wandb"} == {
        key: value for key, value in kept.items() if key != "wandb"
    }
    assert run["url"] == run["wandb"]["url"] and run["url"].startswith(server.url)
    assert (run["study"], run["name"], run["search"]) == ("s", path.name, {"trial": 7})
    # W&B keeps no empty table.
    assert run["config"] == {key: value for key, value in flat(config).items() if value != {}}
    curves: dict[str, list[list[float]]] = {}
    for row in csv.DictReader((path / "metrics.csv").open()):
        if row["name"].startswith(("train/", "valid/")):
            steps, values = curves.setdefault(row["name"], [[], []])
            steps.append(float(row["step"]))
            values.append(float(row["value"]))
    assert run["curves"] == curves and "valid/bits_per_char" in curves


@pytest.mark.slow
def test_every_kind_of_ending(tmp_path: Path) -> None:
    server = Project()
    search = {"name": "s", "space": {"optimizer.lr": {"low": 1}}, "trial": 3, "variant": "cell=gru"}
    server.add("done", configuration(search=search), summary=summary())
    gone = summary(status="diverged", error="at update 3") | {"valid/bits_per_char": "NaN"}
    server.add("diverged", configuration(), summary=gone)
    never = summary(status="diverged", best_step=None) | {"valid/bits_per_char": "Infinity"}
    server.add("never", configuration(), summary=never)
    server.add("failed", configuration(), exit=1, summary={"status": "failed", "error": "x"})
    server.add("stopped", configuration(), exit=255, summary={"status": "interrupted"})
    # Its history has values under the same names, which are not those of a best checkpoint.
    server.add("lost", configuration(), exit=255, summary={"valid/bits_per_char": 3.0})
    server.add("running", configuration(), exit=None, summary={"status": "interrupted"})
    server.add("other", configuration(), groupName="t", jobType="rnn")
    with serving(server):
        found, mine = read(server, ("me/odyssey", None), ("me/odyssey", "t"))
    runs = {run["name"]: run for run in found["runs"]}
    assert list(runs) == [*server.runs]
    said = {name: run["status"] for name, run in runs.items()}
    assert said == {
        "done": "finished",
        "diverged": "diverged",
        "never": "diverged",
        "failed": "failed",
        "stopped": "interrupted",
        "lost": "interrupted",
        "running": "running",
        "other": "interrupted",
    }
    assert runs["done"]["search"] == search
    assert runs["done"]["metrics"] == {"valid/bits_per_char": 2.5, "test/bits_per_char": 2.75}
    assert math.isnan(runs["diverged"]["metrics"]["valid/bits_per_char"])
    assert runs["diverged"]["error"] == "at update 3"
    assert [n for n, run in runs.items() if run["metrics"]] == ["done", "diverged"]
    assert runs["lost"]["cell"] == "gru" and runs["lost"]["data"] == DATA
    assert runs["lost"]["task"] == "charlm" and runs["lost"]["params"] == 11
    assert [run["name"] for run in mine["runs"]] == ["other"]
    assert mine["runs"][0]["cell"] == "rnn" and mine["runs"][0]["study"] == "t"


@pytest.mark.slow
def test_what_tasks_say_of_metrics_and_later_versions() -> None:
    server = Project()
    info = {"accuracy": {"mode": "max", "label": "share of hits", "unit": "of the shots"}}
    server.add("new", configuration(), summary=summary(metric_info=info, params=11.0, steps=5.0))
    server.add("old", configuration(), summary=summary())
    server.add("later", configuration(), summary=summary(schema=99))
    with serving(server):
        (found,) = read(server)
    new, old = found["runs"]
    assert new["metric_info"] == info and old["metric_info"] == {}
    assert new["params"] == 11 and new["steps"] == 5 and new["odd"] == old["odd"] == []
    (note,) = found["notes"]
    assert note.startswith("1 run of the W&B project is of a later version of Odyssey")


def test_variants_of_runs_of_earlier_versions() -> None:
    assert variant_of({"variant": "cell=gru"}) == variant_of({"arm": "cell=gru"}) == "cell=gru"
    assert variant_of({}) == ""


@pytest.mark.slow
def test_what_is_no_run_of_ours_is_set_apart() -> None:
    server = Project()
    server.add("foreign1", {"lr": 0.1})
    server.add("foreign2", {"task": {"name": "x"}, "data": "text", "trainer": 3})
    server.add("s-summary", {"study": "s", "search": {}}, jobType="summary")
    agent = {"cell": "nig", "cell_config": {"_target_": "odyssey.cells.NIG"}}
    agent |= {"hydra.sweeper.only": 17, "_wandb": {"v": 1}}
    server.add("a", configuration(**agent), displayName="nig-1", summary=summary(cell="nig"))
    # The folder's run was logged again, and this one has not ended.
    server.add("b", configuration(), displayName="nig-1", exit=255)
    with serving(server):
        (found,) = read(server)
    (run,) = found["runs"]
    assert run["wandb"]["id"] == "a" and run["cell"] == "nig"
    assert run["config"]["cell._target_"] == "odyssey.cells.NIG"
    assert not [k for k in run["config"] if k.startswith(("_", "hydra", "cell_config", "data"))]
    assert len(found["notes"]) == 2
    foreign, twice = sorted(found["notes"], key=lambda note: "name" in note)
    assert "2 runs" in foreign and "foreign1, foreign2" in foreign
    assert "1 run" in twice and "one that ended" in twice


@pytest.mark.slow
def test_many_runs_and_long_histories() -> None:
    server = Project()
    rows: list[dict[str, Any]] = []
    for step in range(1, 1202):
        row: dict[str, Any] = {"step": step, "epoch": step / 100, "train/loss": 1 / step}
        if step % 400 == 0:
            row |= {"valid/bits_per_char": 2.0 + step, "sample": {"_type": "html-file"}}
        rows.append(row)
    again = [{"step": 1201, "train/loss": 7.0}, {"train/loss": 8.0}]
    server.add("long", configuration(), history=rows + again)
    for number in range(211):
        few = [{"step": 3, "train/loss": "NaN"}] if number == 7 else []
        server.add(f"r{number}", configuration(seed=number), history=few)
    with serving(server):
        (found,) = read(server)
    assert len(found["runs"]) == 212
    assert [run["seed"] for run in found["runs"][1:]] == list(range(211))
    assert found["told"] == [[n, 212] for n in range(1, 213)]
    assert server.asked.count("Runs") == 3
    long = found["runs"][0]["curves"]
    assert set(long) == {"train/loss", "valid/bits_per_char"}
    assert long["valid/bits_per_char"] == [[400, 800, 1200], [402, 802, 1202]]
    steps, values = long["train/loss"]
    assert 300 <= len(steps) <= 501 and steps == sorted(set(steps)) and steps[0] == 1
    assert all(v == 1 / s for s, v in zip(steps, values, strict=True) if s < 1201)
    steps, values = found["runs"][8]["curves"]["train/loss"]
    assert steps == [3] and math.isnan(values[0])


@pytest.mark.slow
def test_what_cannot_be_read_is_one_sentence() -> None:
    server = Project()
    with serving(server):
        (empty,) = read(server)
        server.add("foreign", {"lr": 1})
        asked = ("me/odyssey", None), ("me/odyssey", "t"), ("me/oddysey", None), ("odyssey", None)
        errors = [found["error"] for found in (empty, *read(server, *asked))]
    for error, words in zip(
        errors,
        (
            "me/odyssey has no runs: upload them with `wandb sync outputs/wandb`",
            "me/odyssey: none of its 1 run is Odyssey's",
            "me/odyssey has no runs of the study t",
            "reading runs from W&B: W&B has no project me/oddysey that this login may see",
            "--wandb odyssey is not a W&B project",
        ),
        strict=True,
    ):
        assert error.startswith(words) and "\n" not in error


@pytest.mark.slow
def test_without_a_login_or_a_server_it_is_said() -> None:
    code = READ % ([("me/odyssey", None)],)
    for env, words in (
        ({}, "needs a W&B login, and there is none: type `wandb login`"),
        (
            {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": NOWHERE, "WANDB_HTTP_TIMEOUT": "3"},
            f": W&B at {NOWHERE} did not answer; check",
        ),
    ):
        done = python(code, **env)
        assert done.returncode == 0, done.stderr
        error = json.loads(done.stdout)["error"]
        assert words in error and error.startswith("reading runs from W&B") and "\n" not in error


@pytest.mark.parametrize("text", ["", "odyssey", "a/b/c", "/odyssey", "me/ ", "a//b"])
def test_a_path_that_is_none(text: str) -> None:
    with pytest.raises(UserError, match="my-team/odyssey"):
        split_path(text)


def test_a_path() -> None:
    assert split_path("me/odyssey/") == ("me", "odyssey")
    assert flat({"a": {"b": {"c": 1}, "d": []}, "e": {}}) == {"a.b.c": 1, "a.d": [], "e": {}}
