"""The README and the pages under docs/ keep up with the code."""

from __future__ import annotations

import dataclasses
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from hydra_plugins.odyssey_plugins import StudyConfig
from launchers_kit import skip_without_extra
from odyssey.cli import main
from odyssey.config.compose import compose
from odyssey.config.sources import choices
from odyssey.config.task_schema import TASKS
from odyssey.study.plan import prepare
from odyssey.study.search_space import parse_compared, parse_space
from run_kit import ROOT, folder, record, write_text

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
README = PAGES[0].read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")


def commands(page: Path) -> list[str]:
    """Every `python train.py …` of a page, without comments."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.findall(r"^[ `]*(?:.*&& )?python train\.py ?([^`#\n]*)", text, re.MULTILINE)
    return [f.strip() for f in found if "…" not in f and "--help" not in f]


# Those with a file of the reader's own are run for real, further down.
LINES = [(p.name, line) for p in PAGES for line in commands(p) if "my_" not in line]


def test_there_are_commands_to_check() -> None:
    assert len(LINES) >= 8 and ("README.md", "cell=lstm task=charlm") in LINES


@pytest.mark.slow
@pytest.mark.parametrize(("page", "line"), LINES)
def test_every_command_composes(page: str, line: str) -> None:
    words = shlex.split(line)
    skip_without_extra(words)
    if "-m" in words:
        words = [w for w in words if w != "-m"]
        if "sweep=greff" in words and "hydra.sweeper.trials" not in line:  # 1,800 take long to plan
            words.append("hydra.sweeper.trials=2")
        plan = prepare(words)
        assert plan is not None and (plan.trials or plan.settings.sampler == "tpe")
    else:
        compose(words)


def test_both_commands_are_there() -> None:
    assert "pip install -e . && python train.py cell=lstm task=charlm" in README
    assert "pip install -e '.[dev]' && pytest" in README


def test_every_cell_and_every_data_set_is_listed() -> None:
    cells = GUIDE[GUIDE.index("## Cells") : GUIDE.index("## Tasks")]
    tasks = GUIDE[GUIDE.index("## Tasks") : GUIDE.index("## Truncation")]
    for name in choices("cell"):
        assert f"`{name}`" in cells, name
    for name in choices("task"):
        config = TASKS.get(name, TASKS["own"])
        (row,) = [line for line in tasks.splitlines() if line.startswith(f"| `{name}`")]
        for source in config.sources:
            assert f"`{source}`" in row or name == "synthetic", source


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"https?://", target):
            file, _, anchor = target.partition("#")
            other = page.parent / file if file else page
            assert other.exists(), target
            assert not anchor or anchor in headings(other), target


# What a page names as a file of the repository: `config/schema.py`, `tests/run_kit.py`.
NAMED = re.compile(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|yaml|md|svg))`")
BELOW = ("", "src/odyssey", "src/odyssey/config", "src/odyssey/data", "src/odyssey/recurrence")


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_files_that_the_pages_for_developers_name_are_there(name: str) -> None:
    named = NAMED.findall((ROOT / name).read_text(encoding="utf-8"))
    assert len(named) > 5
    for file in set(named) - {"conf/cell/NAME.yaml", "config.yaml"}:
        if "NAME" not in file and "<" not in file:
            places = [ROOT / below / file for below in BELOW]
            anywhere = "/" not in file and any((ROOT / "src").rglob(file))
            assert anywhere or any(place.exists() for place in places), file


def test_pre_commit_runs_what_the_dev_extra_brings() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (extra,) = re.findall(
        r"^dev = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M | re.S
    )
    for repository in config["repos"]:
        assert repository["repo"] == "local"  # nothing to download
        for hook in repository["hooks"]:
            assert hook["language"] == "system"
            assert re.search(rf'"{hook["entry"].split()[0]}[>=]', extra), hook["id"]
    assert '"pre-commit>=' in extra


def own_cell(out: Path) -> list[str]:
    """The words of the README's command, for a short run."""
    options = ["cell=rnn", "cell._target_=my_cells.Leaky", "task.data=file", "task.path=text.txt"]
    options += ["trainer.max_steps=3", "model.hidden_size=5", "logger.mode=disabled"]
    return [*options, f"output_dir={out}"]


@pytest.mark.slow
def test_the_readmes_own_cell_trains_and_its_change_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a process of its own, as a user starts it; the change, and no change, in this one."""
    (code,) = re.findall(r"```python\n(# my_cells\.py.*?)```", README, re.DOTALL)
    file, out = tmp_path / "my_cells.py", tmp_path / "out"
    file.write_text(code)
    write_text(tmp_path / "text.txt")
    command = [sys.executable, str(ROOT / "train.py"), *own_cell(out)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    run = record(folder(out))
    assert run["cell"] == "leaky" and run["status"] == "finished"
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert main(own_cell(out)) == 0 and "finished already" in capsys.readouterr().out
    monkeypatch.delitem(sys.modules, "my_cells", raising=False)
    file.write_text(code.replace("d * s.h", "0.5 * d * s.h"))
    assert main(own_cell(out)) == 0  # a run of its own, beside the first one
    monkeypatch.delitem(sys.modules, "my_cells")
    runs = sorted(out.glob("default/leaky-charlm-*/run.json"))
    assert len(runs) == 2 and run in [record(r.parent) for r in runs]


def blocks() -> list[str]:
    """The files that docs/studies.md shows."""
    text = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
    return re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("text", blocks())
def test_the_sweeps_shown_are_right(text: str) -> None:
    sweeper = yaml.safe_load(text)["hydra"]["sweeper"]
    assert set(sweeper) <= {f.name for f in dataclasses.fields(StudyConfig)}
    assert parse_space(sweeper.get("space")) or parse_compared(sweeper.get("compare"))
