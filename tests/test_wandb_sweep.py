"""The study of Greff et al. as a W&B sweep: the same trials, each in the run of W&B's agent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from odyssey.cli import main
from odyssey.study.plan import prepare
from odyssey.tasks.music import Music
from run_kit import ROOT, folder, record, train
from sweep_kit import SWEEP, SweepServer, agent
from wandb_kit import overrides, parts, python, rows_in, rows_of, serving

pytestmark = pytest.mark.timeout(180)

CONFIG = yaml.safe_load(SWEEP.read_text(encoding="utf-8"))
SEARCH = yaml.safe_load((ROOT / "conf" / "sweep" / "greff.yaml").read_text(encoding="utf-8"))
JSB = ["sweep=greff", "experiment=jsb_greff", "study=greff_wandb"]


def words(**values: object) -> list[str]:
    """What the agent types after `train.py -m` for these values of the sweep's parameters."""
    given = {"args": {key: {"value": value} for key, value in values.items()}}
    filled = {"${args_no_hyphens}": create_sweep_command_args(given)["args_no_hyphens"]}
    command = CONFIG["command"]
    typed = command[command.index("-m") + 1 :]
    return [word for chunk in typed for word in filled.get(chunk, [chunk])]


def test_the_grid_is_every_trial_of_every_cell() -> None:
    sweeper, parameters = SEARCH["hydra"]["sweeper"], CONFIG["parameters"]
    assert CONFIG["method"] == "grid" and CONFIG["program"] == "train.py"
    assert set(parameters) == {"cell", "hydra.sweeper.only"}
    assert parameters["cell"]["values"] == sweeper["compare"]["cell"]
    numbers = parameters["hydra.sweeper.only"]
    assert numbers["distribution"] == "int_uniform"
    assert range(numbers["min"], numbers["max"] + 1) == range(sweeper["trials"])
    assert CONFIG["metric"] == {"name": f"valid/{Music.measures[0].name}", "goal": "minimize"}


@pytest.mark.slow
def test_trial_17_is_trial_17() -> None:
    study = prepare([*JSB, "hydra.sweeper.only=[17]"])
    assert study is not None and len(study.trials) == 9
    for trial in study.trials:
        (cell,) = [word.partition("=")[2] for word in trial.words if word.startswith("cell=")]
        alone = prepare(words(cell=cell, **{"hydra.sweeper.only": 17}))
        assert alone is not None and alone.logger_mode == "online"
        assert [(t.number, t.run, t.variant) for t in alone.trials] == [
            (17, trial.run, trial.variant)
        ]


def test_a_command_of_an_agent_is_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_SWEEP_ID", "greff123")
    given = overrides(tmp_path, f"output_dir={tmp_path / 'out'}", "study=s", "cell=rnn,gru")
    assert main(["-m", *given]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is one W&B run, and this one has 2 runs" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_an_agents_run_is_the_trials(tmp_path: Path) -> None:
    out, config = tmp_path / "out", CONFIG | {"command": [*CONFIG["command"]]}
    tiny = ["task.data=music21", "trainer.max_epochs=null", "trainer.max_steps=2"]
    at = config["command"].index("${args_no_hyphens}")
    config["command"][at:at] = [*tiny, f"output_dir={out}"]
    values = {"cell": "nig", "hydra.sweeper.only": 17}
    # The second time the trial is done already.
    orders = [("first111", values), ("second22", values)]
    with serving(SweepServer(config=config, orders=orders)) as server:
        done = agent(server, tmp_path)
    assert done.returncode == 0, done.stderr
    run = folder(out)
    study = prepare(words(**values))
    assert study is not None
    (lr,) = [w for w in study.trials[0].words if w.startswith("optimizer.lr=")]
    kept = record(run)
    assert kept["status"] == "finished" and kept["wandb"]["id"] == "first111"
    assert list(server.runs) == ["first111", "second22"]
    assert server.sweeps == dict.fromkeys(server.runs, "greff123")
    for there in server.runs.values():
        assert there["exit"] == 0 and there["displayName"] == run.name
        assert (there["groupName"], there["jobType"]) == ("greff_wandb", "nig")
        said = {key: v["value"] for key, v in json.loads(there["config"]).items()}
        # W&B looks for its own values to see which points of the grid are done.
        assert {key: said[key] for key in values} == values
        assert said["cell_config"]["_target_"] == "odyssey.cells.NIG"
        assert said["search"]["trial"] == 17 and said["search"]["trials"] == 200
        assert set(said["search"]["space"]) == set(SEARCH["hydra"]["sweeper"]["space"])
        assert said["optimizer"]["lr"] == float(lr.partition("=")[2])
        assert kept["metrics"].items() <= there["summary"].items()
        assert rows_of(there["history"]) == rows_in(run)


@pytest.mark.slow
def test_another_agents_run_gets_what_an_interrupted_one_had(tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = overrides(tmp_path)
    assert train(out, *given, mode="offline") == 0
    run = folder(out)
    (before,) = parts(out)
    file = run / "run.json"
    file.write_text(json.dumps(record(run) | {"status": "interrupted"}))
    words = [*given, f"output_dir={out}", "trainer.threads=1"]
    done = python(
        f"import sys; from odyssey.cli import main; sys.exit(main({words!r}))",
        WANDB_SWEEP_ID="greff123",
        WANDB_RUN_ID="second22",
        HOME=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    (part,) = parts(out)
    assert part.run["run_id"] == record(run)["wandb"]["id"] == "second22"
    assert part.run["sweep_id"] == "greff123"
    assert rows_of(part.history) == rows_in(run) == rows_of(before.history)
    assert [p.name for p in (out / "wandb" / "earlier").iterdir()] == [before.path.name]
