"""Adaptive search: Optuna proposes what runs, learns what came of it, and forgets nothing."""

from __future__ import annotations

import csv
import json
import math
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from odyssey.config.compose import compose
from odyssey.errors import UserError
from odyssey.study import adaptive
from odyssey.study.adaptive import batch
from odyssey.study.plan import Plan, prepare
from odyssey.study.runner import Session
from odyssey.study.sampling import propose
from odyssey.study.trial import RUN
from odyssey.training.run_dir import run_path
from run_kit import once

pytest.importorskip("optuna", reason="sampler=tpe needs Optuna: pip install -e '.[optuna]'")

SPACE = [
    "optimizer.lr=tag(log,interval(1e-5,1))",
    "model.hidden_size=int(tag(log,interval(4,64)))",
    "clip=tag(search,choice(norm,none))",
]
SEARCH = ["hydra/sweeper=search", "hydra.sweeper.sampler=tpe", "study=s", *SPACE]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def plan(*words: str) -> Plan:
    found = prepare(once(*SEARCH, *words))
    assert found is not None
    return found


Outcome = tuple[str, float]  # how a run ends, and its value


def log_lr(cfg: Any) -> float:
    return math.log10(cfg.optimizer.lr)


def away(cfg: Any) -> Outcome:
    """The best learning rate is 1e-2."""
    return "finished", (log_lr(cfg) + 2) ** 2


class Launcher:
    """Runs that take no time; `outcome` is of their configurations."""

    def __init__(self, outcome: Callable[[Any], Outcome] = away, stop: int = 10**9):
        self.outcome, self.stop = outcome, stop
        self.words: list[list[str]] = []  # of the runs there were
        self.sizes: list[int] = []  # of the batches

    def __call__(self, trials: Sequence[Sequence[str]], initial_job_idx: int) -> None:
        self.sizes.append(len(trials))
        for words in trials:
            if len(self.words) == self.stop:
                raise KeyboardInterrupt
            overrides = [word for word in words if not word.startswith(RUN)]
            self.words.append(overrides)
            cfg = compose(overrides)
            folder = run_path(cfg)
            assert [*words] == [*overrides, f"{RUN}'{folder.name}'"]
            folder.mkdir(parents=True)
            status, value = self.outcome(cfg)
            more_is_better = cfg.seed == 1
            record = {
                "status": status,
                "monitor": {"name": "loss", "mode": "max" if more_is_better else "min"},
                "metrics": {"valid/loss": 100 - value if more_is_better else value},
                "cell": folder.name.split("-")[0],
            }
            (folder / "run.json").write_text(json.dumps(record))


def conduct(*words: str, launcher: Launcher | None = None) -> Launcher:
    launcher = launcher or Launcher()
    Session(plan(*words), launcher).conduct()
    return launcher


def table() -> list[tuple[str, ...]]:
    with Path("outputs/s/trials.csv").open() as file:
        columns = ("trial", "run", "variant", "overrides")  # the command is the session's
        return [tuple(row[column] for column in columns) for row in csv.DictReader(file)]


def learning_rates(variant: str) -> list[float]:
    found = []
    for _, _, label, overrides in table():
        if label == variant:
            words = dict(w.split("=", 1) for w in shlex.split(overrides))
            found.append(float(words["optimizer.lr"]))
    return found


# -- studies -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_study_is_a_function_of_its_seed(tmp_path, monkeypatch):
    launched = conduct("cell=rnn,gru", "hydra.sweeper.trials=16")
    first = table()
    variants = ("cell=rnn", "cell=gru")
    assert [row[::2] for row in first] == [
        (str(n), variant) for n in range(16) for variant in variants
    ]
    assert launched.sizes == [2] * 16  # a trial of each variant, then the next
    Path("again").mkdir()
    monkeypatch.chdir("again")
    conduct("cell=gru,rnn", "hydra.sweeper.trials=16")  # whatever is beside a variant
    assert sorted(table()) == sorted(first)
    conduct("cell=gru,rnn", "study=t", "hydra.sweeper.trials=16", "hydra.sweeper.seed=1")
    other = Path("outputs/t/trials.csv").read_text().splitlines()
    assert len({*other} & {",".join(row) for row in first}) == 0


@pytest.mark.slow
def test_it_begins_with_the_random_draws():
    conduct("cell=rnn,gru", "hydra.sweeper.trials=13", "hydra.sweeper.draws=independent")
    proposed = {row[::2]: row[1] for row in table()}
    drawn = plan(
        "cell=rnn,gru",
        "hydra.sweeper.trials=13",
        "hydra.sweeper.draws=independent",
        "hydra.sweeper.sampler=random",
    )
    same = [t.run == proposed[str(t.number), t.variant] for t in drawn.trials]
    assert same == [True] * 20 + [False] * 6


@pytest.mark.slow
@pytest.mark.parametrize(("of_a_batch", "stop"), [(1, 7), (1, 24), (3, 25), (3, 31)])
def test_a_stopped_search_goes_on_as_if_it_had_not(of_a_batch, stop, monkeypatch):
    words = ["cell=rnn,gru", "hydra.sweeper.trials=17", f"hydra.sweeper.batch={of_a_batch}"]
    conduct(*words)
    whole = table()
    Path("again").mkdir()
    monkeypatch.chdir("again")
    with pytest.raises(KeyboardInterrupt):
        conduct(*words, launcher=Launcher(stop=stop))
    assert len(conduct(*words).words) == 34 - stop  # nothing twice
    assert table() == whole


@pytest.mark.slow
def test_more_trials_later_extend_it(monkeypatch):
    conduct("hydra.sweeper.trials=18", "hydra.sweeper.batch=4")
    whole = table()
    Path("again").mkdir()
    monkeypatch.chdir("again")
    for trials, new in [(6, 6), (13, 7), (13, 0), (9, 0), (18, 5)]:
        launched = conduct(f"hydra.sweeper.trials={trials}", "hydra.sweeper.batch=4")
        assert len(launched.words) == new
    assert table() == whole
    assert json.loads(Path("outputs/s/study.json").read_text())["trials"] == 18


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])  # smaller is better, larger is better
def test_it_learns_from_the_runs(seed):
    conduct("hydra.sweeper.trials=40", f"seed={seed}")
    distances = [abs(math.log10(lr) + 2) for lr in learning_rates("")]
    assert median(distances[25:]) < 0.5 < median(distances[:10])


@pytest.mark.slow
def test_diverged_runs_are_bad_ones():
    """Whatever they had reached before."""

    def outcome(cfg: Any) -> Outcome:
        x = log_lr(cfg)
        return ("diverged", -1.0) if x > -3 else ("finished", (x + 4) ** 2)

    conduct("hydra.sweeper.trials=40", launcher=Launcher(outcome))
    rates = learning_rates("")
    assert sum(lr > 1e-3 for lr in rates[:10]) > 5  # of a random ten
    assert sum(lr > 1e-3 for lr in rates[25:]) < 4  # of the last fifteen


def test_failed_runs_teach_nothing():
    conduct("hydra.sweeper.trials=14", launcher=Launcher(lambda cfg: ("failed", -1.0)))
    p = plan("hydra.sweeper.trials=14", "hydra.sweeper.sampler=random")
    assert [row[1] for row in table()] == [t.run for t in p.trials]


def test_a_small_space_has_the_same_run_several_times():
    words = ["hydra/sweeper=search", "hydra.sweeper.sampler=tpe", "study=s"]
    p = prepare([*words, "clip=tag(search,choice(norm,none))", "hydra.sweeper.trials=20"])
    assert p is not None
    launcher = Launcher()
    assert Session(p, launcher).conduct() == 0
    assert len(table()) == 20 and len(launcher.words) == 2


@pytest.mark.slow
def test_what_cannot_be_run_is_passed_over(monkeypatch):
    attempts: list[int] = []

    def noted(parameters: Any, past: Any, *seed: Any) -> list[str]:
        attempts.append(seed[-1])
        return propose(parameters, past, *seed)

    monkeypatch.setattr(adaptive, "propose", noted)
    words = ["model.dropout=interval(0.9,1.002)", "model.num_layers=2", "hydra.sweeper.trials=40"]
    rising = Launcher(lambda cfg: ("finished", -cfg.model.dropout))
    conduct(*words, launcher=rising)  # there is no dropout of 1 or more
    assert len(rising.words) == 40 and max(attempts) > 0


# -- what is asked for ---------------------------------------------------------------------------


@pytest.mark.slow
def test_a_batch_has_a_trial_for_every_worker():
    one = "hydra/launcher=basic"
    assert batch(plan("cell=rnn,gru")) == 1 and batch(plan("cell=rnn,gru", one)) == 1
    jobs = "hydra.launcher.n_jobs=5"
    assert batch(plan("cell=rnn,gru", jobs)) == 3 and batch(plan(jobs)) == 5
    assert batch(plan("cell=rnn,gru", jobs, "hydra.sweeper.batch=2")) == 2
    launched = conduct("cell=rnn,gru", jobs, "hydra.sweeper.trials=14")
    assert launched.sizes == [6, 6, 6, 6, 4]
    assert len({row[1] for row in table()}) == 28  # those of a batch differ


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "start"),
    [
        (["hydra.sweeper.batch=0"], "hydra.sweeper.batch=0 is out of range"),
        (["hydra.sweeper.batch=x"], "hydra.sweeper.batch=x is not of its type"),
        (
            ["hydra.sweeper.batch=2", "hydra.sweeper.sampler=sobol"],
            "hydra.sweeper.batch=2 is without effect, since hydra.sweeper.sampler=sobol",
        ),
        (["hydra.sweeper.only=[3]"], "hydra.sweeper.only is not possible with"),
        (["hydra.sweeper.sampler=tpa"], "hydra.sweeper.sampler=tpa is unknown"),
        (["optimizer.lr=tag(log,interval(0,1))"], "optimizer.lr has low=0"),
    ],
)
def test_mistakes(words, start):
    with pytest.raises(UserError) as error:
        plan(*words)
    (message,) = error.value.messages
    assert message.startswith(start)


def test_without_optuna_there_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError) as error:
        plan("hydra.sweeper.trials=11")  # words that no other test has: a plan is made once
    (message,) = error.value.messages
    assert message.endswith("needs Optuna, which is not here: type pip install -e '.[optuna]'")


@pytest.mark.slow
def test_optuna_is_imported_when_it_is_asked():
    code = (
        "import sys; from odyssey.study.plan import prepare; import odyssey.study.runner; "
        "prepare(sys.argv[1:]); print('optuna' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *SEARCH], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
