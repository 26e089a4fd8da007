"""`hydra/launcher=ray_cluster` on a real cluster of two nodes, both on this machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from launchers_kit import (
    STUDY,
    command,
    conduct,
    environment,
    folders,
    in_training,
    parent,
    plan,
    results,
    until,
)
from run_kit import ROOT, record
from study_kit import LONG

pytest.importorskip("hydra_plugins.hydra_ray_launcher", reason="needs pip install -e '.[ray]'")
pytestmark = pytest.mark.slow

TWO_NODES = """
import json, sys
from ray.cluster_utils import Cluster
node = {"num_cpus": 1, "object_store_memory": 100_000_000}
cluster = Cluster(initialize_head=True, head_node_args=node | {"include_dashboard": False})
# Of another address, so that the study belongs to the first.
nodes = [cluster.head_node, cluster.add_node(**node, node_ip_address="127.0.0.2")]
raylets = [n.all_processes["raylet"][0].process.pid for n in nodes]
with open(sys.argv[1], "w") as file:
    json.dump({"address": cluster.address, "raylets": raylets}, file)
    file.write("\\n")
sys.stdin.read()
cluster.shutdown()
"""


@dataclass
class Nodes:
    address: str
    raylets: list[int]  # processes of Ray, each the parent of its node's workers

    def words(self, *words: str) -> list[str]:
        return [*words, f"hydra.launcher.ray.init.address={self.address}"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    # Not pytest's folder: the names of Ray's sockets would be too long.
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
    env = environment(RAY_TMPDIR=str(folder), RAY_USAGE_STATS_ENABLED="0")
    # Notice sooner than in 20 seconds that nobody answers on a node.
    env |= {"RAY_health_check_period_ms": "1000", "RAY_health_check_failure_threshold": "3"}
    start = [sys.executable, "-c", TWO_NODES, str(folder / "started")]
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(
            start, stdin=subprocess.PIPE, stdout=output, stderr=output, env=env
        )

    def started() -> dict | None:
        assert process.poll() is None, (folder / "output").read_text()
        text = (folder / "started").read_text() if (folder / "started").exists() else ""
        return json.loads(text) if text.endswith("\n") else None

    try:
        yield Nodes(**until(started))
    finally:
        process.communicate()
        shutil.rmtree(folder, ignore_errors=True)


def test_nothing_is_lost_nor_done_twice_where_a_worker_and_a_node_are_killed(
    cluster: Nodes, tmp_path: Path
) -> None:
    out = tmp_path / "ray"
    # Without the imports of each run, which on two cores would be most of the time.
    words = cluster.words(*STUDY, "hydra.launcher.ray.remote.max_calls=0")
    with (tmp_path / "output").open("w") as output:
        study = subprocess.Popen(
            command(out, "ray_cluster", *words),
            cwd=ROOT,
            env=environment(),
            stdout=output,
            stderr=output,
        )

    def on_each_node() -> dict[int, tuple[str, int]] | None:
        assert study.poll() is None, (tmp_path / "output").read_text()
        found = {parent(pid): (name, pid) for name, pid in in_training(out).items()}
        return found if len(found) == 2 else None

    at_work = until(on_each_node)
    assert set(at_work) == set(cluster.raylets)
    # One process on the first machine, and all of the second.
    for pid in [cluster.raylets[1], *(pid for _, pid in at_work.values())]:
        os.kill(pid, signal.SIGKILL)
    assert study.wait(150) == 0, (tmp_path / "output").read_text()
    said = (tmp_path / "output").read_text()
    assert len(re.findall(r"^\d/6 finished", said, re.MULTILINE)) == 6
    assert "Traceback" not in said
    pool = conduct(tmp_path / "pool", "local_pool", "hydra.launcher.n_jobs=2", *STUDY)
    assert pool.returncode == 0, pool.stderr
    assert results(out) == results(tmp_path / "pool")
    assert plan(out) == plan(tmp_path / "pool")
    for name, path in folders(out).items():
        log = (path.parent / "logs" / f"{name}.log").read_text()
        again = name in [run for run, _ in at_work.values()]
        assert log.count("run folder") == 1 + again, log
        assert log.count("going on after update") == again and "already" not in log


def test_a_run_that_takes_its_process_with_it_is_given_up(cluster: Nodes, tmp_path: Path) -> None:
    """Ray tries once more, then it is a failed run; the other one is not touched."""
    words = ["cell._target_=odyssey.cells.GRU,study_kit.Killed", "model.backend=reference"]
    words += [*LONG[:3], "trainer.max_steps=5", "logger.mode=disabled"]
    words += ["hydra.launcher.ray.remote.max_retries=1"]
    done = conduct(tmp_path, "ray_cluster", *cluster.words(*words))
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    runs = {record(p)["cell"]: record(p) for p in folders(tmp_path).values()}
    assert runs["gru"]["status"] == "finished"
    assert runs["killed"]["status"] == "failed"
    assert runs["killed"]["error"].startswith("Ray: the process ended, and those that tried again")


def test_ctrl_c_stops_the_runs_at_a_checkpoint(cluster: Nodes, tmp_path: Path) -> None:
    words = cluster.words(*LONG, "logger.mode=disabled", "seed=0,1,2")
    study = subprocess.Popen(
        command(tmp_path, "ray_cluster", *words),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: in_training(tmp_path))
    study.send_signal(signal.SIGINT)
    err = study.communicate(timeout=90)[1]
    assert study.returncode == 130 and "Traceback" not in err
    assert {record(p)["status"] for p in folders(tmp_path).values()} == {"interrupted"}
