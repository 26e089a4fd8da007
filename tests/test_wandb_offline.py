"""W&B offline: what is in its files is what is in the run folders, run by run."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
import wandb
from omegaconf import OmegaConf

from odyssey.config.compose import compose
from odyssey.training.run_dir import RunFolder
from odyssey.training.wandb import Tracker
from run_kit import folder, record, train
from wandb_kit import Part, overrides, parts, python, rows_in, rows_of, serving

pytestmark = pytest.mark.timeout(120)


def same(part: Part, run: Path) -> None:
    """The W&B run holds all that the run folder does."""
    kept = record(run)
    assert part.run["run_id"] == kept["wandb"]["id"]
    assert part.path == Path(kept["wandb"]["dir"])
    assert part.run["display_name"] == run.name
    assert part.run["run_group"] == run.parent.name
    assert part.run["job_type"] == kept["cell"]
    assert part.run["project"] == "odyssey"
    config = OmegaConf.to_container(OmegaConf.load(run / "config.yaml"))
    said = dict(part.config)
    assert (said.pop("search", None) is not None) == (run.parent / "study.json").exists()
    assert said == config | {"params": kept["params"], "data": kept["data"]}
    assert rows_of(part.history) == rows_in(run)
    for name, value in kept["metrics"].items():
        assert part.summary[name] == value
    for name in ("status", "steps", "seed", "config_hash", "best_step", "seconds", "params"):
        assert part.summary[name] == kept[name], name
    assert part.summary["data"] == kept["data"]
    assert part.summary["versions"] == kept["versions"]
    samples = [row for row in part.history if "sample.path" in row]
    texts = sorted((run / "samples").glob("*.txt"))
    assert [int(row["step"]) for row in samples] == [int(p.stem[5:]) for p in texts]
    for row, text in zip(samples, texts, strict=True):
        kept_there = (part.path / "files" / row["sample.path"]).read_text()
        assert kept_there.startswith("<pre>") and len(kept_there) >= len(text.read_text())


@pytest.mark.slow
def test_two_runs_of_one_process_are_two_whole_wandb_runs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = {k: v for k, v in os.environ.items() if "WANDB" in k}
    out = tmp_path / "out"
    given = overrides(tmp_path)
    assert train(out, *given, "seed=3", "study=one", mode="offline") == 0
    assert train(out, *given, "cell=gru", "study=two", mode="offline") == 0
    assert {k: v for k, v in os.environ.items() if "WANDB" in k} == before
    assert wandb.run is None
    shown = capfd.readouterr()
    assert "wandb:" not in shown.out + shown.err

    found = parts(out)
    assert len(found) == 2
    for study, part in zip(("one", "two"), found, strict=True):
        (kept,) = (out / study).glob("*/run.json")
        same(part, kept.parent)
        assert part.exits == [0]


@pytest.mark.slow
def test_a_sweep_gives_each_run_its_own(tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = overrides(tmp_path, "trainer.max_steps=4")
    assert train(out, "-m", *given, "seed=0,1", mode="offline") == 0
    found = {part.path.name: part for part in parts(out)}
    runs = [p.parent for p in out.glob("*/*/run.json")]
    assert len(found) == len(runs) == 2
    for run in runs:
        same(found[Path(record(run)["wandb"]["dir"]).name], run)


@pytest.mark.slow
def test_forks_of_one_process_do_not_share_what_the_first_to_end_removes(tmp_path: Path) -> None:
    given = [*overrides(tmp_path), f"output_dir={tmp_path / 'out'}", "logger.mode=offline"]
    code = f"""
import atexit, os, sys
import wandb
from odyssey.cli import main
for seed in (0, 1):
    pid = os.fork()
    if pid == 0:
        status = main({given!r} + [f"seed={{seed}}"])
        atexit._run_exitfuncs()
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""
    done = python(code)
    assert done.returncode == 0 and "W&B failed" not in done.stderr, done.stderr
    found = {part.path.name: part for part in parts(tmp_path / "out")}
    runs = [p.parent for p in (tmp_path / "out").glob("*/*/run.json")]
    assert len(found) == len(runs) == 2
    for run in runs:
        same(found[Path(record(run)["wandb"]["dir"]).name], run)


def test_a_diverged_run_is_closed_with_what_it_logged(tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = overrides(tmp_path, "optimizer=sgd", "optimizer.lr=1e30", "clip=none", "cell=niaf")
    assert train(out, *given, mode="offline") == 0
    run = folder(out)
    assert record(run)["status"] == "diverged"
    (part,) = parts(out)
    assert part.summary["status"] == "diverged" and part.summary["error"] == record(run)["error"]
    assert part.exits == [0]
    there, here = rows_of(part.history), rows_in(run)
    assert any(not math.isfinite(value) for *_, value in here)
    assert [(s, n, str(v)) for s, n, v in there] == [(s, n, str(v)) for s, n, v in here]


def test_a_failed_run_is_closed_as_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*args: object) -> None:
        raise RuntimeError("a bug")

    out = tmp_path / "out"
    monkeypatch.setattr("odyssey.tasks.language_model.LanguageModel.scores", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        train(out, *overrides(tmp_path), mode="offline")
    (part,) = parts(out)
    assert part.exits == [1]
    assert part.summary["status"] == "failed"
    assert wandb.run is None


@pytest.mark.slow
def test_somebody_elses_live_run_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    theirs = wandb.init(
        dir=tmp_path, mode="offline", project="theirs", settings=wandb.Settings(silent=True)
    )
    theirs.log({"mine": 1.0})
    assert train(out, *overrides(tmp_path, "trainer.max_steps=4"), mode="offline") == 0
    assert wandb.run is theirs
    theirs.log({"mine": 2.0})
    theirs.finish()

    same(parts(out)[0], folder(out))
    (other,) = parts(tmp_path)
    assert [row["mine"] for row in other.history] == [1.0, 2.0]
    assert other.run["project"] == "theirs" and other.exits == [0]


@pytest.mark.slow
def test_offline_asks_nothing_of_the_network(tmp_path: Path) -> None:
    given = [*overrides(tmp_path, "trainer.max_steps=4"), f"output_dir={tmp_path / 'out'}"]
    with serving() as server:
        done = python(
            f"import sys; from odyssey.cli import main; sys.exit(main({given!r}))",
            WANDB_BASE_URL=server.url,
        )
    assert done.returncode == 0, done.stderr
    assert "wandb:" not in done.stdout + done.stderr
    assert len(parts(tmp_path / "out")) == 1
    assert server.requests == []


# One process for all the ways to kill: a fault of one would be seen in the next, too.
KILL_SERVICE = """
import os, signal, subprocess, sys
from pytorch_lightning import Callback
from odyssey.config.compose import compose
from odyssey.training.train import train

class Kill(Callback):
    def on_train_batch_end(self, trainer, module, *_):
        if module.updates in when:
            mine = ["pgrep", "-P", str(os.getpid()), "wandb-core"]
            for pid in subprocess.run(mine, capture_output=True).stdout.split():
                os.kill(int(pid), signal.SIGKILL)

for when, words in RUNS:
    said = train(compose(words), extra=[Kill()]).status
    for stream in (sys.stdout, sys.stderr):
        print(said, "END", file=stream, flush=True)
"""
KILLS = {"7": [7], "23": [23], "4, 12": [4, 12], "always": list(range(2, 24, 3))}


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str, str]]:
    """A run for each of KILLS: its folder of outputs, and what it printed to either stream."""
    home = tmp_path_factory.mktemp("killed")
    given = overrides(home)
    outs = {name: home / str(number) for number, name in enumerate(KILLS)}
    runs = [(KILLS[name], [*given, f"output_dir={out}"]) for name, out in outs.items()]
    done = python(f"RUNS = {runs}\n{KILL_SERVICE}")
    told, err = (text.split("finished END\n") for text in (done.stdout, done.stderr))
    assert len(told) == len(err) == len(KILLS) + 1, done.stderr
    return {
        name: (out, *printed)
        for (name, out), *printed in zip(outs.items(), told, err, strict=False)
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["7", "23", "4, 12"])
def test_a_service_that_was_killed_is_started_again(killed: Any, name: str) -> None:
    out, told, err = killed[name]
    assert "Traceback" not in told + err
    assert err.count("no row is lost") == len(KILLS[name])
    (part,) = parts(out)
    (kept,) = out.glob("*/*/run.json")
    same(part, kept.parent)
    assert part.exits == [0]


@pytest.mark.slow
def test_training_outlives_wandb(killed: Any) -> None:
    _, _, err = killed["always"]
    assert "Traceback" not in err
    assert "W&B failed" in err and err.count("the run folder has") == 1


@pytest.mark.slow
def test_a_kill_while_wandb_begins_leaves_no_run_of_its_own(tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = [*overrides(tmp_path), f"output_dir={out}"]
    first = f"""
import os, signal
from odyssey.training import wandb
real = wandb.begin
def begin(*args, **options):
    real(*args, **options)
    os.kill(os.getpid(), signal.SIGKILL)
wandb.begin = begin
from odyssey.cli import main
main({words})
"""
    assert python(first).returncode == -9
    assert train(out, *overrides(tmp_path), mode="offline") == 0
    (part,) = parts(out)
    (kept,) = out.glob("*/*/run.json")
    same(part, kept.parent)
    # The folder has a number at its end where both began within one second.
    assert part.run["run_id"] == json.loads(kept.read_text())["wandb"]["id"]


def test_an_impossible_project_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = overrides(tmp_path, "logger.project=a/b")
    assert train(tmp_path / "out", *given, mode="offline") == 2
    assert "logger.mode=offline: W&B could not start the run" in capsys.readouterr().err


@pytest.mark.slow
def test_the_variables_of_wandb_are_followed(tmp_path: Path) -> None:
    given = overrides(tmp_path, "trainer.max_steps=2", f"output_dir={tmp_path / 'out'}")
    code = (
        f"from odyssey.cli import main; raise SystemExit(main({[*given, 'logger.tags=[t1, t2]']}))"
    )
    variables = {"PROJECT": "theirs", "DIR": str(tmp_path / "there"), "NOTES": "a note"}
    done = python(code, WANDB_TAGS="not,these", **{f"WANDB_{k}": v for k, v in variables.items()})
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "out" / "wandb").exists()
    (part,) = parts(tmp_path / "there")
    begun = [part.run[key] for key in ("project", "tags", "notes")]
    assert begun == ["theirs", ["t1", "t2"], "a note"]
    (record,) = (tmp_path / "out").glob("*/*/run.json")
    assert json.loads(record.read_text())["wandb"]["dir"] == str(part.path)

    done = python(code.replace("max_steps=2", "max_steps=3"), WANDB_MODE="disabled")
    assert done.returncode == 0 and not (tmp_path / "out" / "wandb").exists()


def test_disabled_keeps_nothing(tmp_path: Path) -> None:
    tracker = Tracker("disabled")
    tracker.start(
        folder=RunFolder(tmp_path / "s" / "n"), logger=compose([]).logger, cell="c",
        config={}, id="abc",
    )  # fmt: skip
    tracker.log(1, 0.1, {"x": 1.0})
    tracker.finish({}, 0)
    assert tracker.where is None and not list(tmp_path.iterdir())
