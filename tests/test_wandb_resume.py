"""A run that stopped and went on is one W&B run, whole, also on the server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from run_kit import ROOT, folder, kill, record, train, wait_for_step
from wandb_kit import KEY, Server, overrides, parts, rows_in, rows_of, serving

pytestmark = pytest.mark.timeout(180)


def sync(out: Path, server: Server) -> None:
    """The command that docs/wandb.md gives."""
    done = subprocess.run(
        [sys.executable, "-m", "wandb", "sync", "wandb"],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=out,  # it writes a log of its own to ./wandb
        env=os.environ | {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY},
    )
    assert done.returncode == 0, done.stderr


def interrupt_after(out: Path, step: int) -> threading.Thread:
    """Ctrl-C to this process once the run has logged an update."""

    def watch() -> None:
        while True:
            rows = [r for f in out.glob("*/*/metrics.csv") for r in f.read_text().splitlines()[1:]]
            if rows and int(rows[-1].split(",")[0]) >= step:
                return os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.002)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def on_server(server: Server, run: Path) -> list[tuple[int, str, float]]:
    """The rows that the server has of a run, after a look at the rest of it."""
    kept = record(run)
    (there,) = server.runs.values()
    assert list(server.runs) == [kept["wandb"]["id"]]
    assert there["displayName"] == run.name and there["groupName"] == run.parent.name
    assert there["jobType"] == kept["cell"] and there["exit"] == 0
    config = {k: v["value"] for k, v in json.loads(there["config"]).items()}
    assert config["params"] == kept["params"] and config["seed"] == kept["seed"]
    assert there["summary"]["status"] == "finished"
    assert kept["metrics"].items() <= there["summary"].items()
    numbers = [row["_step"] for row in there["history"]]
    assert numbers == list(range(len(numbers)))  # a number that comes twice would drop a row
    return rows_of(there["history"])


@pytest.mark.slow
def test_killed_and_gone_on_with(tmp_path: Path) -> None:
    out = tmp_path / "out"
    steps = "trainer.max_steps=200"
    given = overrides(tmp_path, steps, "trainer.val_every=20", "trainer.checkpoint_every=7")
    command = [*given, f"output_dir={out}", "trainer.threads=1"]
    process = subprocess.Popen(
        [sys.executable, "train.py", *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    wait_for_step(out, 50, process)
    kill(process)
    run = folder(out)
    assert record(run)["status"] == "running"
    id = record(run)["wandb"]["id"]

    assert train(out, *given, mode="offline") == 0
    assert record(run)["status"] == "finished" and record(run)["wandb"]["id"] == id
    (part,) = parts(out)
    assert part.run["run_id"] == id
    # What the killed session had still in memory is there too, and nothing twice.
    assert rows_of(part.history) == rows_in(run)
    assert {int(r["step"]) for r in part.history if "sample.path" in r} == set(range(20, 201, 20))
    (before,) = (out / "wandb" / "earlier").glob("offline-run-*")
    assert before.name.endswith(id)

    with serving() as server:
        sync(out, server)
    assert on_server(server, run) == rows_in(run)


@pytest.mark.slow
def test_interrupted_uploaded_and_gone_on_with(tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = overrides(tmp_path, "trainer.max_steps=300", "trainer.val_every=50")
    thread = interrupt_after(out, 30)
    assert train(out, *given, mode="offline") == 130
    thread.join()
    run = folder(out)
    assert record(run)["status"] == "interrupted"
    (first,) = parts(out)
    assert first.exits == [255] and first.summary["status"] == "interrupted"

    with serving() as server:
        sync(out, server)
        # Uploaded rows are not logged again: the second part has the others, and is added.
        assert train(out, *given, mode="offline") == 0
        _, second = parts(out)
        assert second.run["run_id"] == first.run["run_id"] == record(run)["wandb"]["id"]
        assert second.run["resume"] is True
        sync(out, server)
    assert on_server(server, run) == rows_in(run)
    assert rows_of(first.history) + rows_of(second.history) == rows_in(run)


@pytest.mark.slow
def test_parts_that_are_gone_are_made_up_for(tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = overrides(tmp_path, "trainer.max_steps=300", "trainer.val_every=50")
    thread = interrupt_after(out, 30)
    assert train(out, *given, mode="offline") == 130
    thread.join()
    (out / "wandb").rename(tmp_path / "lost")
    assert train(out, *given, mode="offline") == 0
    (part,) = parts(out)
    assert rows_of(part.history) == rows_in(folder(out))
