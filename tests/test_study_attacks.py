"""Studies asked for wrongly, and folders in which hands have been: a sentence, and no traceback."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from grid_kit import TINY, records, sweep
from odyssey.cli import main
from odyssey.config import compose as composing
from odyssey.config import sources
from odyssey.errors import UserError
from odyssey.study.compatibility import check
from odyssey.study.plan import prepare
from odyssey.study.runner import begin
from odyssey.study.state import read_study
from run_kit import ROOT

SEARCH = ("hydra/sweeper=search", "optimizer.lr=interval(0.1,0.2)")


def said(*words: str) -> list[str]:
    with pytest.raises(UserError) as error:
        prepare(words)
    return list(error.value.messages)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("hydra=3", "hydra=3 is not a setting that Hydra has: leave it out"),
        ("hydra.sweeper=search", "hydra.sweeper=search is not allowed for a section: type hydra/"),
        ("hydra.launcher=null", "hydra.launcher=null is not allowed for a section: type hydra/"),
        ("hydra.launcher._target_=x.Y", "is not allowed: type hydra/launcher= and its name"),
        ("hydra/launcher=null", "hydra/launcher=null is not there: type one of basic, "),
        ("hydra/sweeper=null", "hydra/sweeper=null is not there: type one of basic, grid, search"),
        ("+hydra.sweeper.trial=3", "is not an option (did you mean 'hydra.sweeper.trials'?)"),
        ("+hydra.launcher.njobs=3", "is not an option (did you mean 'hydra.launcher.n_jobs'?)"),
        ("hydra.launcher.n_jobs=${oc.env:NO_SUCH}", "is without a value, since ${…} leads to none"),
        ("hydra.sweeper.trials=${no.such}", "is without a value, since ${…} leads to none"),
        ("hydra.sweep.dir=x", "hydra.sweep.dir=x is not allowed, since a study is in output_dir/"),
        ("hydra.job.chdir=true", "hydra.job.chdir=true is not allowed, since a study is in output"),
        ("hydra.mode=RUN", "hydra.mode=RUN is not possible with -m: leave one of them out"),
        ("seed=range(0,3,0)", "seed=range(0,3,0) has steps of 0: type another step, as in 1"),
        ("seed=range(0,inf)", "seed=range(0,inf,1) has no end: type finite numbers"),
        ("seed=range(0,1e9)", "has more than 100000 values: type a longer step"),
        ("seed=range(0,0)", "seed=range(0,0) has no values: type some, as in seed=a,b"),
        ("cell=glob(nothing*)", "cell=glob(nothing*) has no values: type some of cifg, "),
    ],
)
def test_a_wrong_word_is_one_sentence(word, sentence):
    (message,) = said(word)
    assert sentence in message


def test_all_runs_of_a_study_are_in_one_folder():
    (message,) = said("study=${seed}", "seed=0,1")
    assert message.startswith("study=… and output_dir=… name outputs/0 for some runs and other")
    assert len(said(*SEARCH, "output_dir=${optimizer.lr}", "hydra.sweeper.trials=3")) == 1


@pytest.mark.slow
def test_what_is_wrong_with_a_searched_key_is_said_once():
    messages = said("sweep=greff")  # without the experiment that it is for
    assert [m.partition("=")[0] for m in messages] == ["optimizer.momentum", "task.input_noise"]


def test_many_wrong_values_are_not_many_screens():
    assert len(said("seed=range(0,1000,0.1)")) == 20


def test_nothing_is_what_an_optional_group_may_be():
    plan = prepare(["debug=null,overfit", "sweep=null", "experiment=null", "study=s"])
    assert plan is not None and [t.variant for t in plan.trials] == ["debug=null", "debug=overfit"]
    first, second = (composing.compose(t.words).trainer.overfit_batch for t in plan.trials)
    assert first != second


@pytest.fixture
def own_sweep(tmp_path, monkeypatch):
    """Writes conf/sweep/own.yaml, in a copy of conf/."""
    shutil.copytree(sources.CONF, tmp_path / "conf")
    monkeypatch.setattr(sources, "CONF", tmp_path / "conf")
    composing._base.cache_clear()
    yield (tmp_path / "conf" / "sweep" / "own.yaml").write_text
    composing._base.cache_clear()


GLOBAL = "# @package _global_\n"
COMPARE = "hydra: {sweeper: {compare: {cell: [rnn, gru]}}}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"{GLOBAL}{COMPARE}optimizer: {{lr: 1}}\n", "own.yaml sets optimizer, which its runs"),
        (f"{GLOBAL}{COMPARE}defaults: [{{override /cell: gru}}]\n", "own.yaml sets defaults, "),
        (f"{GLOBAL}hydra: {{job: {{name: a}}}}\n", "own.yaml sets hydra.job, which its runs"),
        (f"{GLOBAL}hydra: {{sweeper: {{trails: 3}}}}\n", "which sets hydra.sweeper.trails"),
        (
            f"{GLOBAL}hydra: {{sweeper: {{trials: x}}}}\n",
            "sets hydra.sweeper.trials to x, and that",
        ),
        (f"{GLOBAL}hydra: {{sweeper: [\n", "sweep=own is not readable as YAML: mend conf/sweep/"),
        (COMPARE, "conf/sweep/own.yaml"),
        ("", "sweep=own is empty"),
        ("3\n", "sweep=own is empty"),
    ],
)
def test_a_wrong_file_of_ones_own(own_sweep, text, sentence):
    own_sweep(text)
    (message,) = said("sweep=own", "seed=0,1")
    assert sentence in message


def test_a_file_of_ones_own(own_sweep):
    own_sweep(GLOBAL + COMPARE)
    plan = prepare(["sweep=own"])
    assert plan is not None and [t.variant for t in plan.trials] == ["cell=rnn", "cell=gru"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    ["[1]", "3", "null", '{"a": ', '{"compare": ["a"]}', '{"compare": {"cell": 3}}']
    + ['{"space": 3}', '{"space": {"a": 1}}', '{"fixed": []}', '{"data": {"a": 1}}']
    + ['{"commands": {}}', '{"trials": "many"}', "\0"],
)
def test_a_study_json_that_a_hand_has_changed(tmp_path, content):
    words = ("cell=rnn,gru", f"output_dir={tmp_path}", "study=s")
    plan = prepare(words)
    assert plan is not None
    begin(plan)
    (tmp_path / "s" / "study.json").write_text(content)
    with pytest.raises(UserError, match=r"study\.json .*; mend it, or delete it"):
        check(plan, read_study(plan.folder))


@pytest.mark.parametrize("content", ["trial,name\n1,2\n", "trial,run\n0,a\n", "\0\0", "\xff"])
def test_a_trials_csv_that_a_hand_has_changed(tmp_path, content):
    plan = prepare(("cell=rnn,gru", f"output_dir={tmp_path}", "study=s"))
    assert plan is not None
    begin(plan)
    path = tmp_path / "s" / "trials.csv"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=r"trials\.csv is not readable .*; mend it, or delete it"):
        begin(plan)
    assert path.read_bytes() == content.encode("latin-1")  # it is the memory of what was drawn


def test_a_run_json_with_any_code_is_only_a_run_of_other_code(tmp_path):
    plan = prepare(("cell=rnn,gru", f"output_dir={tmp_path}", "study=s"))
    assert plan is not None
    run = tmp_path / "s" / plan.trials[0].run
    run.mkdir(parents=True)
    for code in ([1], "a", 3):
        (run / "run.json").write_text(json.dumps({"status": "finished", "code": code}))
        check(plan, read_study(plan.folder))


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_to(tmp_path, capsys):
    (tmp_path / "s").write_text("a file")
    assert sweep(tmp_path, "cell=rnn,gru") == 2
    told = capsys.readouterr().err
    assert told == f"error: {tmp_path / 's'} is a file: type another study=… or output_dir=…\n"
    assert sweep(Path("/proc/none"), "cell=rnn,gru") == 2
    assert "error: /proc/none/s cannot be written to (" in capsys.readouterr().err


@pytest.mark.slow
def test_a_damaged_run_stops_no_other_and_is_counted(tmp_path, capsys):
    words = ("seed=0,1", "hydra/launcher=basic")
    plan = prepare([*TINY, f"output_dir={tmp_path}", *words])
    assert plan is not None
    run = tmp_path / "s" / plan.trials[0].run
    run.mkdir(parents=True)
    (run / "run.json").write_text('{"status": "fini')
    assert sweep(tmp_path, *words) == 1
    told = capsys.readouterr().err
    assert "run.json is not readable" in told and "seed=0 resume=force" in told
    (run / "run.json").unlink()
    assert [r["status"] for r in records(tmp_path).values()] == ["finished"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a shell's pipe")
@pytest.mark.parametrize("end", ["| head -1", ">&- 2>&-"])
def test_a_reader_that_goes_costs_no_run(tmp_path, end):
    words = " ".join([*TINY, f"output_dir={tmp_path}", "seed=0,1"])
    command = f"set -o pipefail; {sys.executable} {ROOT / 'train.py'} -m {words} {end}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == ""
    assert {r["status"] for r in records(tmp_path).values()} == {"finished"}


def test_nothing_is_left_of_a_study_that_does_not_start(tmp_path, capsys):
    assert main(["-m", f"output_dir={tmp_path / 'out'}", "seed=0,1", "cell=nope"]) == 2
    assert "cell=nope" in capsys.readouterr().err and not (tmp_path / "out").exists()
