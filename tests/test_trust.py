"""What a run from elsewhere names is imported only for who says so."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import odyssey
from odyssey.code_hash import source_hash
from odyssey.config.trust import own_words
from odyssey.confirm import main as confirm
from odyssey.errors import UserError
from odyssey.training.sampling import main as sample
from run_kit import folder, record, train

WORDS = [
    *("task=charlm", "task.data=hello", "model.hidden_size=3", "trainer.max_steps=1"),
    *("trainer.progress_bar=false", "trainer.sample=false"),
]
EVIL = """
from pathlib import Path
Path({mark!r}).touch()
from odyssey.cells import LSTM
class X(LSTM):
    pass
def fill(weight):
    weight.zero_()
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    assert train(out, *WORDS) == 0
    return folder(out)


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run from elsewhere, with a module that leaves a mark where it is imported."""
    path = tmp_path / trained.name
    shutil.copytree(trained, path)
    (path / "evil.py").write_text(EVIL.format(mark=str(tmp_path / "mark")))
    monkeypatch.chdir(path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(path)])
    monkeypatch.delitem(sys.modules, "evil", raising=False)
    return path


def edit(run: Path, keys: str, value: Any) -> None:
    """Set a dotted key of config.yaml."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    node = config
    *parents, last = keys.split(".")
    for key in parents:
        node = node.setdefault(key, {})
    node[last] = value
    (run / "config.yaml").write_text(yaml.safe_dump(config))


NAMED = {
    "a cell": ("cell._target_", "evil.X"),
    "a module of Python": ("cell._target_", "antigravity.X"),
    "what is installed": ("cell._target_", "sklearn.X"),
    "Odyssey's that is no cell": ("cell._target_", "odyssey.cli.main"),
    "an initializer": ("cell.init.input", "evil.fill"),
    "torch's that is no initializer": ("cell.init.input", "torch.load"),
    "an output layer's": ("model.init.kind", "evil.fill"),
    "a task": ("task._target_", "evil.X"),
    "a metric": ("metrics.mine", {"_target_": "evil.X"}),
}


@pytest.mark.parametrize(("key", "value"), NAMED.values(), ids=NAMED.keys())
def test_nothing_is_imported_for_who_has_not_said_so(
    key: str, value: Any, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if key == "task._target_":
        edit(run, "task", {"name": "x", "_target_": value, "data": "own"})
    else:
        edit(run, key, value)
    if key == "model.init.kind":
        edit(run, "model.init.scale", 0.1)
    before = set(sys.modules)
    assert sample([str(run), "--length", "2"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and f"{run} has {key}" in err and "give --trust" in err
    loaded = odyssey.load(run)
    for look in (
        lambda: loaded.model,
        lambda: loaded.task,
        lambda: loaded.evaluate(),
        lambda: loaded.predict("hello"),
        lambda: loaded.sample(length=2),
    ):
        with pytest.raises(UserError, match="give trust=True"):
            look()
    assert not (tmp_path / "mark").exists()
    assert not {"evil", "antigravity"} & (set(sys.modules) - before)


def test_it_is_imported_for_who_says_so_and_only_if_it_is_what_it_was(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(run, "cell._target_", "evil.X")
    there = record(run)
    for recorded in ("0" * 64, None):  # another's, and none, as where config.yaml was edited
        (run / "run.json").write_text(json.dumps(there | {"cell_source": recorded}))
        assert sample([str(run), "--length", "2", "--trust"]) == 2
        assert "is not that which" in capsys.readouterr().err
        with pytest.raises(UserError, match="is not that which"):
            odyssey.load(run, trust=True).sample(length=2)
        assert not (tmp_path / "mark").exists()
    (run / "run.json").write_text(json.dumps(there | {"cell_source": source_hash("evil.X")}))
    assert not (tmp_path / "mark").exists()
    assert sample([str(run), "--length", "2", "--trust"]) == 0
    assert (tmp_path / "mark").exists()
    assert odyssey.load(run, trust=True).sample(length=2)


@pytest.mark.parametrize("target", ["pack.inner.X", "pack.deep.inner.X"])
def test_the_packages_around_it_are_not_imported_before_it_is_looked_at(
    target: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python's own search for a module within a package imports the package."""
    mark = f"from pathlib import Path\nPath({str(tmp_path / 'mark')!r}).touch()\n"
    inside = run.joinpath(*target.split(".")[:-2])
    inside.mkdir(parents=True)
    for folder_of in (inside, *inside.relative_to(run).parents):
        (run / folder_of / "__init__.py").write_text(mark)
    (inside / "inner.py").write_text("from odyssey.cells import LSTM\nclass X(LSTM):\n    pass\n")
    edit(run, "cell._target_", target)
    for trust in ([], ["--trust"]):
        assert sample([str(run), "--length", "2", *trust]) == 2
        assert target in capsys.readouterr().err
        assert not (tmp_path / "mark").exists() and "pack" not in sys.modules
    sha256 = source_hash(target)
    assert sha256 is not None and "pack" not in sys.modules
    there = record(run)
    (run / "run.json").write_text(json.dumps(there | {"cell_source": sha256}))
    assert sample([str(run), "--length", "2", "--trust"]) == 0 and (tmp_path / "mark").exists()
    for name in [n for n in sys.modules if n.split(".")[0] == "pack"]:
        del sys.modules[name]


def test_a_run_of_odysseys_own_parts_needs_no_trust(run: Path) -> None:
    edit(run, "cell.init.input", "torch.nn.init.xavier_normal_")
    assert sample([str(run), "--length", "2"]) == 0
    assert odyssey.load(run).evaluate("valid")


def test_the_source_of_own_parts_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil.py").write_text(EVIL.format(mark=str(tmp_path / "mark")))
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "evil", raising=False)
    own = ["cell._target_=evil.X", "cell.init.recurrent=evil.fill"]
    assert train(tmp_path / "out", *WORDS, *own) == 0
    there = record(folder(tmp_path / "out"))
    assert len(there["cell_source"]) == 64
    assert list(there["part_sources"]) == ["cell.init.recurrent"]
    # Whoever has trained it need not say that its code may be run.
    words = [*WORDS, *own, f"output_dir={tmp_path / 'out'}", "logger.mode=disabled"]
    run = odyssey.train(words)
    assert run.sample(length=2)
    with pytest.raises(UserError, match="give trust=True"):
        odyssey.load(run.path).sample(length=2)


def test_words_that_name_code() -> None:
    harmless = ["cell=gru", "optimizer.lr=0.1", "cell._target_=odyssey.cells.LSTM"]
    harmless += ["cell.init.input=orthogonal", "model.init.kind=torch.nn.init.xavier_normal_"]
    harmless += ["optimizer._target_=torch.optim.NAdam"]
    assert own_words(harmless) == []
    for word in (
        *("cell._target_=evil.X", "+metrics.a._target_=evil.X", "++task._target_='evil.X'"),
        *("callbacks.a={_target_: evil.X}", "hydra.searchpath=[file:///tmp]"),
        *("cell.init.bias=evil.fill", "optimizer._target_=evil.X", "hydra/launcher=evil"),
    ):
        assert own_words([*harmless, word]) == [word]


def test_confirm_asks_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from report_kit import plan_of, write_study

    study = write_study(tmp_path / "s", cells=["gru", "lstm"], trials=2)
    rows = plan_of(study)
    text = (study / "trials.csv").read_text()
    (study / "trials.csv").write_text(text.replace("cell=gru", "cell._target_=evil.X"))
    assert rows and confirm([str(study), "--seeds", "2"]) == 2
    err = capsys.readouterr().err
    assert "cell._target_=evil.X" in err and "--trust" in err and err.count("\n") == 1
