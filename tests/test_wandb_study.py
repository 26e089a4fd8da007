"""W&B and studies: what each run says of its search, and the study's tables as one more run."""

from __future__ import annotations

import csv
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from odyssey.cli import main
from odyssey.study import status
from odyssey.study.store import search_of
from records_kit import plan, write_plan, write_run
from run_kit import ROOT, record
from wandb_kit import KEY, Part, overrides, parts, python, serving

pytestmark = pytest.mark.timeout(180)

LR = "optimizer.lr=tag(log,interval(1e-4,1e-2))"
SPACE = {"optimizer.lr": {"distribution": "log_uniform", "low": 1e-4, "high": 1e-2}}


def rows(study: Path) -> list[dict[str, str]]:
    with (study / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_the_runs_of_a_study_are_a_group_that_knows_its_search(tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = overrides(tmp_path, "trainer.max_steps=4", f"output_dir={out}", "logger.mode=offline")
    search = ["hydra/sweeper=search", LR, "hydra.sweeper.trials=2", "hydra/launcher=basic"]
    assert main(["-m", "cell=rnn,gru", *search, "hydra.sweeper.only=1", *given, "study=s"]) == 0

    found = {part.run["display_name"]: part for part in parts(out)}
    planned = rows(out / "s")
    assert set(found) == {row["run"] for row in planned} and len(found) == 2
    for row in planned:
        part, run = found[row["run"]], out / "s" / row["run"]
        assert part.run["run_group"] == "s"
        said = part.config.pop("search")
        assert said.pop("plan")["baseline"] == "cell=rnn"
        assert said == {
            "name": "s",
            "sweeper": "search",
            "compare": {"cell": ["rnn", "gru"]},
            "space": SPACE,
            "trials": 2,
            "sampler": "random",
            "draws": "shared",
            "seed": 0,
            "trial": 1,
            "variant": row["variant"],
        }
        config = OmegaConf.to_container(OmegaConf.load(run / "config.yaml"))
        kept = record(run)
        assert part.config == config | {"params": kept["params"], "data": kept["data"]}

    # The command that trains one of its trials alone.
    words = shlex.split(planned[1]["overrides"])
    assert main([*words, "resume=force"]) == 0
    (again,) = [
        p for p in parts(out) if p.run["run_id"] not in {f.run["run_id"] for f in found.values()}
    ]
    assert again.config["search"]["trial"] == 1 and again.config["search"]["space"] == SPACE


def test_a_run_finds_its_trials_in_the_plan(tmp_path: Path) -> None:
    planned = plan({"cell": ["gru", "rnn"], "bptt.length": [25, 50]})
    planned.append(planned[1] | {"trial": "9"})
    assert search_of(tmp_path / planned[0]["run"]) is None
    write_plan(tmp_path, planned, sweeper="grid", compare={"cell": ["gru", "rnn"]})
    found = search_of(tmp_path / planned[1]["run"])
    assert found is not None
    assert (found["trial"], found["also_trials"]) == (1, [9])
    assert found["variant"] == "cell=gru bptt.length=50" and found["name"] == tmp_path.name
    assert search_of(tmp_path / planned[1]["run"][:-1]) is None
    assert search_of(tmp_path / "gru-charlm-ffffffff") is None


def some_study(folder: Path) -> list[dict[str, str]]:
    """A search with a run of each kind: two finished, one diverged, one failed, two missing."""
    planned = plan({"cell": ["gru", "rnn"], "bptt.length": ["25", "null", "norm"]})
    for row, lr in zip(planned, (0.1, 0.2, 0.3, 0.4, 0.5, 0.6), strict=True):
        row["overrides"] += f" optimizer.lr={lr}"
    compare = {"cell": ["gru", "rnn"], "bptt.length": [25, None, "norm"]}
    write_plan(folder, planned, sweeper="search", compare=compare, space=SPACE, trials=1, seed=0)
    for row, value in ((planned[0], 2.5), (planned[3], 1.5)):
        write_run(folder, row["run"], value=value, test=value + 0.25, seconds=3.0)
    nan = {"value": "nan", "test": "nan"}
    write_run(folder, planned[1]["run"], "diverged", error="the loss is nan", **nan)
    write_run(folder, planned[4]["run"], "failed", metrics={}, error="Traceback\nOSError: disk")
    return planned


def tables(part: Part) -> dict[str, list[dict[str, Any]]]:
    found = {}
    for name in ("runs", "variants"):
        path = part.summary[f"{name}.path"]
        content = json.loads((part.path / "files" / path).read_text())
        found[name] = [dict(zip(content["columns"], r, strict=True)) for r in content["data"]]
    return found


def test_the_summary_is_one_more_run_of_the_group(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "s"
    planned = some_study(folder)
    assert status.main([str(folder), "--wandb"]) == 0  # its runs log nowhere: offline
    said = capsys.readouterr()
    (part,) = parts(tmp_path)
    named = re.search(r"`wandb sync (.+)` uploads it$", said.out)
    assert named is not None and Path(named[1]).resolve() == part.path.resolve()
    assert said.err == ""
    assert part.run["display_name"] == "s-summary" and part.run["run_group"] == "s"
    assert part.run["job_type"] == "summary" and part.run["project"] == "odyssey"
    assert part.config["search"]["space"] == SPACE and part.config["study"] == "s"
    assert part.exits == [0]
    counts = {"runs": 6, "finished": 2, "diverged": 1, "failed": 1, "missing": 2, "running": 0}
    assert {f"count/{k}": v for k, v in counts.items()}.items() <= part.summary.items()
    assert part.summary["best/run"] == planned[3]["run"]
    assert part.summary["best/variant"] == "cell=rnn bptt.length=25"
    assert (part.summary["best/valid"], part.summary["best/test"]) == (1.5, 1.75)

    runs = tables(part)["runs"]
    assert [row["run"] for row in runs] == [row["run"] for row in planned]
    assert [row["trial"] for row in runs] == [0, 1, 2, 3, 4, 5]
    assert [row["variant"] for row in runs] == [row["variant"] for row in planned]
    assert [row["cell"] for row in runs] == ["gru"] * 3 + ["rnn"] * 3
    assert [row["optimizer.lr"] for row in runs] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    # One type in a column: text, where one of the values is none.
    assert [row["bptt.length"] for row in runs] == ["25", None, "norm"] * 2
    states = ["finished", "diverged", "missing", "finished", "failed", "missing"]
    assert [row["state"] for row in runs] == states
    assert [row["valid"] for row in runs] == [2.5, None, None, 1.5, None, None]
    assert [row["test"] for row in runs] == [2.75, None, None, 1.75, None, None]
    assert runs[3]["seconds"] == 3.0 and runs[3]["metric"] == "bits_per_char"
    kept = record(folder / planned[3]["run"])
    assert (runs[3]["params"], runs[3]["config_hash"]) == (kept["params"], kept["config_hash"])
    assert (runs[1]["error"], runs[4]["error"]) == ("the loss is nan", "OSError: disk")

    variants = tables(part)["variants"]
    assert len(variants) == 6
    assert variants[0]["variant"] == "cell=rnn bptt.length=25" and variants[0]["best_valid"] == 1.5
    assert variants[0]["best_run"] == planned[3]["run"] and variants[0]["finished"] == 1
    assert sum(variant["planned"] for variant in variants) == 6


def test_a_further_summary_takes_the_place_of_the_one_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "s"
    planned = some_study(folder)
    assert status.main(["--wandb", "offline", "--project", "cells", str(folder)]) == 0
    (first,) = parts(tmp_path)
    assert first.run["project"] == "cells"
    write_run(folder, planned[2]["run"], value=1.25, test=1.3)
    assert status.main([str(folder), "--json", "--wandb", "offline"]) == 0
    (second,) = parts(tmp_path)
    assert second.path != first.path and second.run["run_id"] == first.run["run_id"]
    assert second.summary["count/finished"] == 3 and second.summary["best/valid"] == 1.25
    assert tables(second)["runs"][2]["state"] == "finished"
    assert [p.name for p in (tmp_path / "wandb" / "earlier").iterdir()] == [first.path.name]
    assert not (tmp_path / ".local").exists()
    # What other programs read is JSON alone.
    said = capsys.readouterr()
    assert "summary" in said.err


def test_wrong_words_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "s"
    some_study(folder)
    planned = plan({"cell": ["gru"]})
    write_plan(tmp_path / "new", planned)
    for words, said in (
        ([folder, "--wandb=onlin"], "--wandb onlin is not there: type one of offline or online"),
        ([folder, "--project", "p"], "--project and --entity are W&B's: type --wandb too"),
        ([folder, "--wandb", "--project", "a/b"], "--wandb offline: W&B could not start the run"),
        ([tmp_path / "new", "--wandb"], "has no run that has begun: nothing to log to W&B yet"),
    ):
        assert status.main([str(w) for w in words]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ") and said in line
        assert "logger." not in line
    assert not list(tmp_path.glob("wandb/offline-run-*"))


@pytest.mark.slow
def test_online_it_is_where_the_runs_are(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    planned = some_study(folder)
    for row in planned:
        file = folder / row["run"] / "config.yaml"
        if file.exists():
            cfg = OmegaConf.load(file)
            cfg.logger = {"mode": "online", "project": "cells", "entity": "team"}
            OmegaConf.save(cfg, file)
    command = [str(ROOT / "scripts" / "status.py"), str(folder), "--wandb"]
    code = f"""
import runpy, sys
sys.argv = {command!r}
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    without = python(code, HOME=str(tmp_path))
    assert without.returncode == 2
    assert "--wandb online needs a W&B login" in without.stderr
    assert "--wandb offline" in without.stderr and "logger." not in without.stderr
    with serving() as server:
        env = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY, "HOME": str(tmp_path)}
        for _ in range(2):
            done = python(code, **env)
            assert done.returncode == 0, done.stderr
            assert done.stderr == ""
    ((id, there),) = server.runs.items()
    assert done.stdout.splitlines()[-1].startswith(f"The summary of 6 runs is at {server.url}")
    assert json.loads((folder / "wandb_summary.json").read_text())["id"] == id
    assert (there["project"], there["entity"]) == ("cells", "team")
    assert (there["groupName"], there["jobType"]) == ("s", "summary")
    assert there["displayName"] == "s-summary" and there["summary"]["count/finished"] == 2
    assert [row["_step"] for row in there["history"]] == [0, 1]
    assert [row["runs"]["nrows"] for row in there["history"]] == [6, 6]
    assert len([r for r in server.requests if "/up/media/table/runs" in r]) == 2


@pytest.mark.slow
def test_a_run_goes_on_after_its_study_has_grown(tmp_path: Path) -> None:
    code = f"""
from odyssey.training.wandb import begin
for trials in (2, 4):
    run = begin("online", folder={str(tmp_path)!r}, project="p", entity=None, name="n",
                group="s", job_type="gru", id="abc",
                config={{"study": "s", "search": {{"trials": trials, "space": {SPACE!r}}}}})
    run.log({{"x": trials}})
    run.finish()
"""
    with serving() as server:
        done = python(code, WANDB_BASE_URL=server.url, WANDB_API_KEY=KEY, HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    search = json.loads(server.runs["abc"]["config"])["search"]["value"]
    assert search == {"trials": 4, "space": SPACE}
    assert [row["x"] for row in server.runs["abc"]["history"]] == [2, 4]
