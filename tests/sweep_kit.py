"""What W&B's server does for a sweep: it hands the agent one run after the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pooch
import yaml

from run_kit import ROOT
from wandb_kit import KEY, Server

SWEEP = ROOT / "docs" / "wandb_sweep_greff.yaml"


@dataclass
class SweepServer(Server):
    """A server with one sweep; `orders` are the runs that its agents get: (run's id, values)."""

    config: dict[str, Any] = field(default_factory=dict)
    orders: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    states: list[dict[str, bool]] = field(default_factory=list)  # as the agent reported them
    sweeps: dict[str, str | None] = field(default_factory=dict)  # run -> the sweep it says

    def _SweepWithRuns(self, values: Any) -> Any:
        sweep = {"id": "s", "name": values["sweep"], "runs": {"edges": []}}
        return {"project": {"sweep": sweep | {"config": yaml.safe_dump(self.config)}}}

    def _CreateAgent(self, values: Any) -> Any:
        return {"createAgent": {"agent": {"id": "a"}}}

    def _Heartbeat(self, values: Any) -> Any:
        self.states.append(json.loads(values["runState"]))
        commands = [{"type": "exit"}]
        if self.states[-1]:
            commands = []
        elif self.orders:
            id, given = self.orders.pop(0)
            config = {key: {"value": value} for key, value in given.items()}
            commands = [{"type": "run", "run_id": id, "program": "train.py", "args": config}]
        heartbeat = {"agent": {"id": "a"}, "commands": json.dumps(commands)}
        return {"agentHeartbeat": heartbeat}

    def _UpsertBucket(self, values: Any) -> Any:
        if values.get("sweep"):
            self.sweeps[values["name"]] = values["sweep"]
        answer = super()._UpsertBucket(values)
        answer["upsertBucket"]["bucket"]["sweepName"] = self.sweeps.get(values["name"])
        return answer


# The agent looks for orders every five seconds; these need not wait so long.
AGENT = """
import sys
from wandb.cli.cli import cli
from wandb.wandb_agent import Agent
Agent.POLL_INTERVAL = 0.5
cli(["agent", sys.argv[1]])
"""


def agent(server: SweepServer, home: Path) -> subprocess.CompletedProcess[str]:
    """`wandb agent`, until the server has no more runs for it."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    folder = Path(sys.executable).parent  # the agent starts `python`
    own = {
        "WANDB_BASE_URL": server.url,
        "WANDB_API_KEY": KEY,
        "WANDB_DIR": str(home),
        "HOME": str(home),
        "ODYSSEY_DATA": str(pooch.os_cache("odyssey")),
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
    }
    return subprocess.run(
        [sys.executable, "-c", AGENT, "me/odyssey/greff123"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=200,
        env=clean | own,
    )
