"""Configuration files of the user's own, in a folder of their own: in one run and in studies."""

from __future__ import annotations

import csv
import logging
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from odyssey.cli import main
from odyssey.config import sources
from odyssey.config.compose import compose
from odyssey.errors import UserError
from odyssey.study.plan import forget, prepare

FILES = {
    "cell/slow.yaml": """
        # An LSTM that starts by remembering.
        defaults:
          - /schema/cell@_here_
        _target_: odyssey.cells.LSTM
        forget_bias: 5.0
    """,
    "experiment/tiny.yaml": """
        # @package _global_
        defaults:
          - override /task: charlm
        task: {data: hello}
        trainer: {max_steps: 3, max_epochs: null, progress_bar: false}
        logger: {mode: disabled}
    """,
    "sweep/mine.yaml": """
        # @package _global_
        hydra: {sweeper: {compare: {cell: [slow, rnn]}}}
    """,
    "lab.yaml": """
        defaults:
          - config
          - override cell: slow
          - _self_
        seed: 7
    """,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The user's folder; the current one is another, and empty."""
    folder = tmp_path / "my conf"
    for name, text in FILES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = text.strip("\n").splitlines()
        file.write_text("\n".join(line[8:] for line in lines) + "\n")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    forget()
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield folder
    sources.use([])
    root.handlers[:] = before  # Hydra's, for its answers, writes to what was then the console
    root.setLevel(level)


def word(folder: Path) -> str:
    return sources.search_path_word(str(folder))


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_choices_are_those_of_both(folder: Path) -> None:
    cfg = compose([word(folder), "cell=slow", "experiment=tiny"])
    assert cfg.cell.forget_bias == 5 and cfg.task.data == "hello" and cfg.seed == 0
    assert {"slow", "lstm"} <= set(sources.choices("cell"))
    assert sources.place(sources.find("cell", "slow")) == str(folder / "cell" / "slow.yaml")
    assert sources.place(sources.find("cell", "lstm")) == "conf/cell/lstm.yaml"
    with pytest.raises(UserError, match="cell=sloow is unknown .did you mean 'slow'"):
        compose([word(folder), "cell=sloow"])


def test_without_the_word_there_are_none(folder: Path) -> None:
    compose([word(folder), "cell=slow"])
    with pytest.raises(UserError, match="cell=slow is unknown"):
        compose(["cell=slow"])
    assert "slow" not in sources.choices("cell")


def test_another_primary_file(folder: Path) -> None:
    cfg = compose([word(folder), "hydra.job.config_name=lab"])
    assert (cfg.cell.forget_bias, cfg.seed) == (5, 7)
    assert compose([word(folder), "hydra.job.config_name=lab.yaml", "seed=3"]).seed == 3
    with pytest.raises(UserError) as raised:
        compose([word(folder), "hydra.job.config_name=labb"])
    assert raised.value.messages == (
        "--config-name labb is not there (did you mean 'lab'?): type one of config, lab",
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("seed: 3\n", "is not usable: begin "),
        ("defaults: [_self_]\n", "with defaults: [config, _self_]"),
        ("", "is not usable"),
        ("a: [\n", "is not readable: mend "),
    ],
)
def test_a_primary_file_that_will_not_do(text: str, sentence: str, folder: Path) -> None:
    (folder / "lab.yaml").write_text(text)
    for command in (compose, prepare):
        with pytest.raises(UserError) as raised:
            command([word(folder), "hydra.job.config_name=lab", "logger.mode=disabled"])
        (message,) = raised.value.messages
        assert message.startswith("--config-name lab") and sentence in message


def test_where_files_lie_is_no_part_of_a_run(folder: Path, tmp_path: Path) -> None:
    """The same settings from the user's file and typed are one run."""
    from odyssey.config.identity import run_name

    from_file = compose([word(folder), "cell=slow", "experiment=tiny"])
    typed = compose(
        ["cell=lstm", "cell.forget_bias=5", "task=charlm", "task.data=hello"]
        + ["trainer.max_steps=3", "trainer.max_epochs=null"]
    )
    assert run_name(from_file) == run_name(typed)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("hydra.searchpath=[nowhere]", "hydra.searchpath=nowhere is not a folder: type one"),
        ("hydra.searchpath=nowhere", "hydra.searchpath=nowhere is not a folder"),
        ("hydra.searchpath=[pkg://no.such]", "pkg://no.such is not a package with files"),
        ("hydra.searchpath=3", "hydra.searchpath=3 is not a list of folders"),
        ("hydra.searchpath=[", "hydra.searchpath=[ is not a list of folders"),
    ],
)
def test_a_folder_that_is_not_there(given: str, sentence: str, folder: Path) -> None:
    for command in (compose, prepare):
        with pytest.raises(UserError) as raised:
            command([given, "cell=rnn"])
        (message,) = raised.value.messages
        assert sentence in message


def test_a_package_may_hold_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.rename(folder.with_name("mine_conf"))
    (folder.with_name("mine_conf") / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(folder.parent))
    cfg = compose(["hydra.searchpath=[pkg://mine_conf]", "cell=slow"])
    assert cfg.cell.forget_bias == 5


def test_one_run_records_where_its_files_are(folder: Path) -> None:
    assert main(["--config-dir", str(folder), "-cn", "lab", "experiment=tiny"]) == 0
    (run,) = Path("outputs/default").glob("lstm-*")
    recorded = OmegaConf.load(run / "overrides.yaml")
    assert recorded == [word(folder), "hydra.job.config_name=lab", "experiment=tiny"]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["local_pool", "basic"])
def test_a_study_finds_them_too(
    launcher: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["-m", f"--config-dir={folder}", "sweep=mine", "experiment=tiny", "study=s"]
    assert main([*words, f"hydra/launcher={launcher}"]) == 0, capfd.readouterr().err
    trials = rows(Path("outputs/s/trials.csv"))
    assert [t["variant"] for t in trials] == ["cell=slow", "cell=rnn"]
    again = shlex.split(trials[0]["overrides"])
    capfd.readouterr()
    assert main(again) == 0
    assert "finished already" in capfd.readouterr().out
    assert main(["-m", "-cd", str(folder), "-cn", "lab", "experiment=tiny", "seed=1,2"]) == 0
    assert len(list(Path("outputs/default").glob("lstm-charlm-*"))) == 2
    for trial in rows(Path("outputs/default/trials.csv")):
        assert "hydra.job.config_name=lab" in shlex.split(trial["overrides"])


def test_what_hydra_answers(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["-c", "job", "-p", "cell", "-cd", str(folder), "cell=slow"]) == 0
    assert "forget_bias: 5.0" in capfd.readouterr().out
    assert main(["--info", "searchpath", "-cd", str(folder)]) == 0
    assert str(folder) in capfd.readouterr().out
    assert main(["--info", "defaults", "cell=gru"]) == 0
    assert "cell/gru" in capfd.readouterr().out
    assert main(["-sc", "install=bash"]) == 0
    assert "complete" in capfd.readouterr().out


def test_the_configuration_of_a_study(capfd: pytest.CaptureFixture[str]) -> None:
    forget()
    assert main(["-m", "cell=gru,rnn", "seed=1,2", "task.data=hello", "--cfg", "job"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].startswith("# 4 runs in outputs/default; this is the first of them, gru-")
    assert "  _target_: odyssey.cells.GRU" in lines and "seed: 1" in lines
    assert lines[-2:] == ["# compared  cell=gru,rnn", "# compared  seed=1,2"]
    assert main(["-m", "cell=gru,rnn", "--info", "config"]) == 2
    assert "--info config is not possible with -m: type --cfg job" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--config-dir"], "--config-dir is without a folder"),
        (["-cd", "nowhere"], "--config-dir nowhere is not a folder"),
        (["--config-name="], "--config-name is without a file's name"),
        (["--config-path", "x"], "type --config-dir FOLDER to add yours"),
        (["--package", "seed=1"], "--package is without a section"),
        (["-p", "cell"], "--package is the section that --cfg shows: type --cfg job too"),
        (["-sc", "install=csh"], "-sc install=csh names no shell: type one of bash, zsh, fish"),
        (["-sc"], "-sc is without an action: type -sc install=bash"),
        (["hydra.verbose=3", "task.data=hello"], "hydra.verbose=3 is not true, false or loggers'"),
    ],
)
def test_flags_that_are_wrong(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert sentence in capsys.readouterr().err


def test_hydra_verbose(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("odyssey.some")
    words = ["hydra.verbose=[odyssey.some]", "-cd", str(folder), "experiment=tiny"]
    assert main(words) == 0 and logger.level == logging.DEBUG


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("hydra:\n  launcher:\n    n_jobs: 2\n", "hydra.launcher"),
        ("hydra: {sweeper: {sampler: sobol}}\n", "hydra.sweeper"),
        ("defaults:\n  - override /hydra/launcher: basic\n", "hydra/launcher"),
        ("defaults:\n  - override hydra/sweeper: search\n", "hydra/sweeper"),
    ],
)
def test_what_is_a_studys_is_not_taken_silently_from_an_experiment(
    text: str, key: str, folder: Path
) -> None:
    (folder / "experiment").mkdir(exist_ok=True)
    (folder / "experiment" / "mine.yaml").write_text(f"# @package _global_\n{text}")
    with pytest.raises(UserError) as raised:
        prepare([word(folder), "experiment=mine", "cell=rnn,gru", "logger.mode=disabled"])
    (message,) = raised.value.messages
    assert message.startswith("experiment=mine is not usable with -m: ")
    assert f"mine.yaml sets {key}, which is a study's" in message and "conf/sweep/" in message
