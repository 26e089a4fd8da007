"""A report of a W&B project: the same page as of folders, of what W&B knows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from report_wandb_kit import Project, configuration, summary
from wandb_kit import KEY, python, serving

REPORT = "import sys; from odyssey.report.main import main; sys.exit(main(%r))"
SPACE = {"optimizer.lr": {"distribution": "log_uniform", "low": 1e-5, "high": 1e-1}}


def project() -> Project:
    """Twelve trials of two cells; one diverged. And a run that is none of ours."""
    server = Project()
    for cell, worse in (("gru", 0.0), ("rnn", 1.0)):
        for trial in range(12):
            search = {"name": "s", "space": SPACE, "trials": 12, "draws": "shared"}
            search |= {"sampler": "random", "trial": trial, "variant": f"cell={cell}"}
            lr = 10 ** (-5 + trial / 3)
            config = configuration(search=search)
            config = json.loads(json.dumps(config)) | {"optimizer": {"kind": "adam", "lr": lr}}
            ended = summary(cell=cell)
            ended |= {
                f"{part}/bits_per_char": 2.0 + worse + trial / 100 for part in ("valid", "test")
            }
            if trial == 11:
                ended |= {"status": "diverged", "valid/bits_per_char": "NaN"}
            history = [{"step": s, "valid/bits_per_char": 4.0 - s / 100} for s in range(1, 90)]
            server.add(
                f"{cell}{trial}",
                config,
                groupName="s",
                jobType=cell,
                summary=ended,
                history=history,
            )
    server.add("foreign", {"lr": 0.1})
    return server


def report(server: Project, *words: str) -> tuple[int, str, str]:
    done = python(REPORT % (list(words),), WANDB_BASE_URL=server.url, WANDB_API_KEY=KEY)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_a_project_becomes_a_report(tmp_path: Path) -> None:
    with serving(project()) as server:
        words = ("--wandb", "me/odyssey", "--draws", "200", "--no-figures")
        status, out, err = report(server, *words, "--out", str(tmp_path / "r"))
        nothing = report(server, *words, "--group", "other")
    assert (status, err) == (0, ""), err
    (comparison,) = json.loads((tmp_path / "r" / "verdict.json").read_text())["comparisons"]
    assert comparison["design"] == "search" and comparison["studies"] == ["s"]
    found = {v["variant"]: v for v in comparison["metrics"][0]["variants"]}
    assert found.keys() == {"gru", "rnn"}
    assert found["rnn"]["counts"]["finished"] == 11 and found["rnn"]["counts"]["diverged"] == 1
    assert found["gru"]["compared"] == ["gru0", "gru1"]
    assert found["gru"]["mean"]["value"] == 2.005 and found["rnn"]["mean"]["value"] == 3.005
    foreign, where = comparison["not_read"]
    assert "foreign" in foreign and "read from W&B" in where
    assert (tmp_path / "r" / "index.html").stat().st_size > 1e6
    assert nothing[0] == 2 and "no runs of the study other" in nothing[2]
