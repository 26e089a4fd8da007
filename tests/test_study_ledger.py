"""study.json and trials.csv: what a study is, which may go on in its folder, and which may not."""

from __future__ import annotations

import importlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from odyssey.code_hash import code_version, source_hash
from odyssey.errors import UserError
from odyssey.study.compatibility import check
from odyssey.study.plan import Plan, forget, prepare
from odyssey.study.runner import begin
from odyssey.study.state import read_study
from odyssey.study.store import claim_data

SEARCH = ["hydra/sweeper=search", "optimizer.lr=tag(log,interval(1e-4,1e-1))"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def plan(*words: str) -> Plan:
    found = prepare([*words, "study=s"])
    assert found is not None
    return found


def refused(*words: str) -> str:
    p = plan(*words)
    before = Path("outputs/s/study.json").read_bytes()
    with pytest.raises(UserError) as error:
        check(p, read_study(p.folder))
    with pytest.raises(UserError):
        begin(p)
    assert Path("outputs/s/study.json").read_bytes() == before
    (message,) = error.value.messages
    return message


def test_the_ledger_says_what_the_study_is():
    p = plan("cell=rnn,gru", "seed=0,1", "clip=value")
    state = begin(p)
    written = json.loads(Path("outputs/s/study.json").read_text())
    assert written["compare"] == {"cell": ["rnn", "gru"], "seed": ["0", "1"]}
    assert written["fixed"]["clip.kind"] == "value" and written["code"] == code_version()
    assert [r.run for r in state.trials] == [t.run for t in p.trials]
    assert state.counts()["missing"] == 4
    assert not [p for p in Path("outputs/s").iterdir() if p.is_dir()]  # no run has begun


def test_more_values_and_more_trials_extend_it():
    begin(plan(*SEARCH, "cell=rnn,gru", "hydra.sweeper.trials=3"))
    begin(plan(*SEARCH, "cell=rnn,gru", "hydra.sweeper.trials=5"))
    begin(plan(*SEARCH, "cell=gru,lstm", "hydra.sweeper.trials=2"))
    state = read_study(Path("outputs/s"))
    assert state.record.compare == {"cell": ["rnn", "gru", "lstm"]}
    assert state.record.trials == 5 and len(state.record.commands) == 3
    by_variant: dict[str, list[int]] = {}
    for row in state.trials:
        by_variant.setdefault(row.variant, []).append(row.trial)
    assert by_variant == {
        "cell=rnn": [0, 1, 2, 3, 4],
        "cell=gru": [0, 1, 2, 3, 4],
        "cell=lstm": [0, 1],
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cell=rnn,gru", "optimizer.lr=0.1"], "optimizer.lr is 0.003 there and 0.1 here"),
        (["cell=rnn,gru", "task=mnist"], "task.name is charlm there and mnist here"),
        (["cell=rnn,gru", "bptt.length=null"], "bptt.length is 64 there and null here"),
        ([*SEARCH, "cell=rnn,gru"], "a grid there, a search by this command"),
    ],
)
def test_the_name_of_another_study_is_taken(words, said):
    begin(plan("cell=rnn,gru", "seed=0,1"))
    message = refused(*words)
    assert message.startswith("study=s is taken by another configuration: ") and said in message
    assert message.endswith("type another name, as in study=s2")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("hydra.sweeper.seed=1", "hydra.sweeper.seed is 0 there and 1 here"),
        ("hydra.sweeper.sampler=sobol", "hydra.sweeper.sampler is random there and sobol here"),
        ("hydra.sweeper.draws=independent", "hydra.sweeper.draws is shared there and independent"),
        ("model.hidden_size=int(interval(3,9))", "hydra.sweeper.space.model.hidden_size is null"),
    ],
)
def test_another_search_is_another_study(word, said):
    begin(plan(*SEARCH, "cell=rnn,gru"))
    assert said in refused(*SEARCH, "cell=rnn,gru", word)


def test_settings_that_change_no_result_change_no_study():
    begin(plan("cell=rnn,gru"))
    begin(plan("cell=rnn,gru", "trainer.threads=1", "device=cpu", "logger.mode=disabled"))
    begin(plan("cell=mut1", "resume.failed=true"))


def put(p: Plan, index: int, **record) -> None:
    run = p.folder / p.trials[index].run
    run.mkdir(parents=True)
    whole = {"status": "finished", "code": code_version(), "metrics": {}} | record
    (run / "run.json").write_text(json.dumps(whole))


@pytest.mark.slow
@pytest.mark.parametrize("status", ["finished", "diverged", "interrupted", "running"])
def test_runs_of_other_code_are_not_mixed_silently(status):
    p = plan("cell=rnn,gru")
    begin(p)
    put(p, 0, status=status, code=code_version() | {"torch": "1.0.0"})
    message = refused("cell=rnn,gru")
    here = code_version()["torch"]
    assert f"holds 1 run of other torch (1.0.0 there, {here} here)" in message
    assert "resume.mixed=true" in message
    begin(plan("cell=rnn,gru", "resume.mixed=true"))


def test_a_failed_run_of_other_code_hinders_nobody():
    p = plan("cell=rnn,gru")
    begin(p)
    put(p, 0, status="failed", code=code_version() | {"sha256": "0" * 64})
    begin(plan("cell=rnn,gru"))


def test_resume_never_refuses_where_runs_are_there():
    p = plan("cell=rnn,gru")
    begin(p)
    begin(plan("cell=rnn,gru", "resume=never"))
    put(p, 1)
    assert "resume=never, but study=s holds 1 of these runs" in refused(
        "cell=rnn,gru", "resume=never"
    )


def test_the_first_run_says_what_the_data_are():
    begin(plan("cell=rnn,gru"))
    folder = Path("outputs/s")
    claim_data(folder, "charlm hello", {"name": "hello", "sha256": "a" * 64}, mixed=False)
    claim_data(folder, "charlm hello", {"name": "hello", "sha256": "a" * 64}, mixed=False)
    claim_data(folder, "charlm python", {"name": "python", "sha256": "b" * 64}, mixed=False)
    other = {"name": "hello", "sha256": "c" * 64}
    with pytest.raises(
        UserError, match="study=s has runs of charlm hello with sha256 aaaaaaaaaaaa…"
    ):
        claim_data(folder, "charlm hello", other, mixed=False)
    claim_data(folder, "charlm hello", other, mixed=True)
    begin(plan("cell=rnn,gru"))  # which keeps what is known
    assert len(read_study(folder).record.data) == 2


def test_a_damaged_ledger_is_a_sentence(capsys):
    begin(plan("cell=rnn,gru"))
    Path("outputs/s/study.json").write_text('{"study": ')
    with pytest.raises(UserError, match="study.json is not readable"):
        check(plan("cell=rnn,gru"), read_study(Path("outputs/s")))


@pytest.mark.slow
def test_many_processes_write_one_plan():
    plans = [plan(f"seed=range({i},{i + 3})") for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(begin, plans))
    state = read_study(Path("outputs/s"))
    assert len(state.trials) == 10 and len(state.record.commands) == 8


def test_runs_of_a_cell_that_has_changed_are_not_mixed_silently(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "ledger_cell.py"
    text = "from odyssey.cells import LSTM\n\n\nclass Mine(LSTM):\n    k = 1\n"
    file.write_text(text)
    words = ("cell=rnn", "cell._target_=ledger_cell.Mine", "seed=0,1")
    p = plan(*words)
    begin(p)
    put(p, 0, cell="mine", cell_source=source_hash("ledger_cell.Mine"))
    begin(plan(*words))
    file.write_text(text.replace("k = 1", "k = 22"))
    importlib.reload(sys.modules["ledger_cell"])
    forget()
    message = refused(*words)
    assert message.startswith("study=s holds 1 run of another source of mine (")
    assert "resume.mixed=true" in message
    begin(plan(*words, "resume.mixed=true"))
