"""`scripts/dashboard.py`: its options, and what arrives at a stand-in for W&B's server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from odyssey.report.palette import colour_of
from odyssey.report.wandb_dashboard.main import main
from odyssey.report.wandb_dashboard.subject import read_folder
from records_kit import plan, write_plan, write_run
from report_wandb_kit import Project, configuration, summary
from wandb_kit import KEY, python, serving

pytest.importorskip("wandb_workspaces")
pytestmark = pytest.mark.timeout(180)


def test_a_dry_run_of_a_folder_needs_no_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    study = tmp_path / "greff"
    planned = plan({"cell": ["rnn", "gru"]})
    write_plan(study, planned, compare={"cell": ["rnn", "gru"]})
    for row, state in zip(planned, ("finished", "diverged"), strict=True):
        write_run(study, row["run"], state)
    assert read_folder(study)[0].search["variant"] == planned[0]["variant"]
    file = tmp_path / "spec.json"
    words = ["--entity", "me", "--study", str(study), "--dry-run", str(file)]
    assert main(words) == 0
    assert "spec.json: 1 workspace view and a report" in capsys.readouterr().out
    found = json.loads(file.read_text())
    assert found["report"]["displayName"] == "Odyssey: greff"
    assert found["views"][0]["displayName"].startswith("Odyssey, greff")
    # Edited by hand into something else.
    odd = {"wandb": 3, "monitor": [], "metrics": "none", "cell": None, "seed": "x"}
    for row in planned:
        write_run(study, row["run"], "finished", **odd)
    assert main(words) == 1
    assert "no run has ended with a result yet" in capsys.readouterr().err
    write_run(study, planned[1]["run"], "finished", cell=None)
    assert main(words) == 0
    assert main([*words[:-1], str(tmp_path)]) == 1
    assert "cannot be written" in capsys.readouterr().err
    (tmp_path / "none").mkdir()
    assert main([*words[:3], str(tmp_path / "none")]) == 1
    assert "has no run that has begun" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--entity is missing"),
        (["--entity", "a/b"], "is not a W&B project"),
        (["--entity", "me", "--wat"], "unrecognized arguments: --wat"),
        (["--entity", "me", "more"], "unrecognized arguments: more"),
    ],
)
def test_wrong_options_are_one_sentence(
    words: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("WANDB_ENTITY", raising=False)
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and said in line


def command(server: Project, *words: str) -> tuple[int, str, str]:
    """The status, output and errors of the command in a process of its own."""
    code = "from odyssey.report.wandb_dashboard.main import main; "
    code += f"print(main({['--entity', *words]!r}))"
    done = python(code, WANDB_BASE_URL=server.url, WANDB_API_KEY=KEY)
    *lines, status = done.stdout.splitlines()
    return int(status), "\n".join(lines), done.stderr


@pytest.mark.slow
def test_it_is_saved_and_the_next_time_changed() -> None:
    server = Project()
    server.add("r1", configuration(), summary=summary())
    server.add("r2", configuration(), summary=summary(cell="rnn"), jobType="rnn")
    theirs = {"id": "theirs", "name": "x", "displayName": "Odyssey: s", "description": "mine"}
    server.views["theirs"] = theirs | {"type": "runs", "spec": "{}"}
    with serving(server):
        status, out, err = command(server, "me", "--study", "s")
        assert (status, err) == (0, "")
        first, second = out.splitlines()
        assert first.startswith("Made the workspace view “Odyssey, s: charlm on hello”: http")
        assert second.startswith("Made the report “Odyssey: s”: http")
        status, again, err = command(server, "me", "--study", "s")
        assert (status, err) == (0, "")
        assert again == out.replace("Made", "Changed")
    kinds = [view["type"] for view in server.views.values()]
    assert kinds == ["runs", "project-view", "runs"]
    assert server.views["theirs"]["spec"] == "{}"  # of the same title, and not made by us
    view, report = [json.loads(v["spec"]) for v in list(server.views.values())[1:]]
    assert view["section"]["customRunColors"]["r2"] == colour_of("rnn")
    grid = next(b for b in report["blocks"] if b["type"] == "panel-grid")
    project = grid["metadata"]["runSets"][0]["project"]
    assert (project["name"], project["entityName"]) == ("odyssey", "me")


@pytest.mark.slow
def test_what_w_and_b_refuses_is_one_sentence(tmp_path: Path) -> None:
    server = Project(refused=("UpsertView2",))
    server.add("r1", configuration(), summary=summary())
    study = tmp_path / "s"
    planned = plan({"cell": ["rnn"]})
    write_plan(study, planned)
    write_run(study, planned[0]["run"], "finished")
    with serving(server):
        refused = command(server, "me")
        no_project = command(server, "you", "--study", str(study))
    for (status, out, err), said in (
        (refused, "saving the dashboard at W&B: this login has no right to do that in me/odyssey"),
        (no_project, "saving the dashboard at W&B: W&B has no project you/odyssey"),
    ):
        assert (status, out) == (1, "")
        (line,) = err.splitlines()
        assert line.startswith(f"error: {said}")


def test_without_the_extra_it_is_said() -> None:
    code = """
import sys
sys.modules["wandb_workspaces"] = None
from odyssey.report.wandb_dashboard.main import main
print(main(["--entity", "me"]))
"""
    done = python(code)
    assert done.stdout.strip() == "1"
    (line,) = done.stderr.splitlines()
    assert "is not installed: type pip install -e '.[dashboard]'" in line
