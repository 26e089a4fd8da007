"""Logging online: what is said without a login, and what arrives with one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from run_kit import folder, record
from wandb_kit import KEY, NOWHERE, overrides, python, rows_in, rows_of, serving

pytestmark = pytest.mark.timeout(180)


@pytest.mark.slow
def test_without_a_login_or_a_server_it_is_said_at_once(tmp_path: Path) -> None:
    given = overrides(tmp_path, "trainer.max_steps=4", f"output_dir={tmp_path / 'out'}")
    code = f"""
import os, sys, time
from odyssey.cli import main
assert main({given!r} + ["logger.mode=disabled", "study=quiet"]) == 0
assert "wandb" not in sys.modules
assert main({given!r} + ["logger.mode=online"]) == 2
print("--", file=sys.stderr)
os.environ["WANDB_API_KEY"] = "short"
assert main({given!r} + ["logger.mode=online"]) == 2
print("--", file=sys.stderr)
os.environ["WANDB_API_KEY"] = {KEY!r}
then = time.monotonic()
assert main({given!r} + ["logger.mode=online"]) == 2
assert time.monotonic() - then < 20
"""
    done = python(code, WANDB_BASE_URL=NOWHERE, WANDB_HTTP_TIMEOUT="3", HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    none, short, nobody = (said.strip().splitlines() for said in done.stderr.split("--\n"))
    none = [line for line in none if line.startswith("error")]
    assert len(none) == len(short) == len(nobody) == 1
    assert "needs a W&B login" in none[0] and "`wandb login`" in none[0]
    assert "did not accept the login" in short[0] and "40" in short[0]
    assert f"W&B at {NOWHERE} did not accept" in nobody[0] and "logger.mode=offline" in nobody[0]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["quiet"]


@pytest.mark.slow
def test_with_a_login_everything_arrives(tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = overrides(tmp_path, f"output_dir={out}", "logger.mode=online")
    with serving() as server:
        done = python(
            f"import sys; from odyssey.cli import main; sys.exit(main({given!r}))",
            WANDB_BASE_URL=server.url,
            WANDB_API_KEY=KEY,
            HOME=str(tmp_path),
        )
    assert done.returncode == 0, done.stderr
    run = folder(out)
    kept = record(run)
    ((id, there),) = server.runs.items()
    assert id == kept["wandb"]["id"]
    assert kept["wandb"]["url"].startswith(server.url)
    assert rows_of(there["history"]) == rows_in(run)
    assert there["exit"] == 0 and there["groupName"] == "default"
    assert kept["metrics"].items() <= there["summary"].items()
    assert json.loads(there["config"])["model"]["value"]["hidden_size"] == 5
    assert KEY not in "".join(
        p.read_text() for p in out.rglob("*.*") if p.suffix in (".json", ".yaml")
    )
