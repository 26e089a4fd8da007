"""The plan of a study: which trials there are, and that a trial is the same beside any others."""

from __future__ import annotations

import pytest

import random_kit
from odyssey.config.compose import compose
from odyssey.config.identity import run_name
from odyssey.errors import UserError
from odyssey.study.plan import Plan, prepare

SEARCH = [
    "hydra/sweeper=search",
    "optimizer.lr=tag(log,interval(1e-4,1e-1))",
    "model.hidden_size=int(tag(log,interval(3,40)))",
]


def plan(*words: str) -> Plan:
    found = prepare(words)
    assert found is not None
    return found


def words(p: Plan) -> list[tuple[int, tuple[str, ...]]]:
    return [(t.number, t.words) for t in p.trials]


def test_a_grid_is_every_combination_in_the_order_of_the_command():
    p = plan("cell=rnn,gru,lstm", "task=charlm", "bptt.length=25,100", "seed=0,1,2", "study=t")
    assert len(p.trials) == 18 and {t.number for t in p.trials} == {0}
    assert p.trials[0].variant == "cell=rnn bptt.length=25 seed=0"
    assert p.trials[-1].variant == "cell=lstm bptt.length=100 seed=2"
    assert str(p.folder) == "outputs/t" and p.study == "t"
    assert p.fixed["task.name"] == "charlm" and p.fixed["optimizer.lr"] == 0.003
    assert not any(k.startswith(("cell", "bptt.length", "study")) for k in p.fixed)
    assert "seed" not in p.fixed and p.fixed["seeds.init"] is None


def test_each_trial_alone_is_the_run_that_the_plan_names():
    p = plan(*SEARCH, "cell=rnn,fgr", "hydra.sweeper.trials=3", "clip=value")
    for trial in p.trials:
        assert run_name(compose(trial.words)) == trial.run
    assert len({t.run for t in p.trials}) == 6


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["random", "sobol"])
@pytest.mark.parametrize("draws", ["shared", "independent"])
def test_trial_17_is_trial_17(sampler, draws):
    how = [f"hydra.sweeper.sampler={sampler}", f"hydra.sweeper.draws={draws}"]
    many = plan(*SEARCH, *how, "cell=rnn,gru,lstm", "hydra.sweeper.trials=23")
    few = plan(*SEARCH, *how, "cell=rnn,gru,lstm", "hydra.sweeper.trials=5")
    alone = plan(*SEARCH, *how, "cell=gru", "hydra.sweeper.only=[17]")
    assert words(few) == words(many)[:15]  # more trials later extend the study
    (same,) = [t for t in many.trials if t.number == 17 and t.variant == "cell=gru"]
    assert sorted(alone.trials[0].words) == sorted(same.words)
    assert alone.trials[0].run == same.run


@pytest.mark.slow
def test_the_order_of_the_command_changes_no_draw():
    typed = [*SEARCH[1:], "cell=rnn,gru", "clip=norm,value"]
    draws = "hydra.sweeper.draws=independent"
    runs = set()
    for seed in range(4):
        random_kit.dice(seed).shuffle(typed)
        p = plan(SEARCH[0], draws, *typed, "hydra.sweeper.trials=4")
        runs.add(frozenset(t.run for t in p.trials))
    assert len(runs) == 1


def drawn(p: Plan, variant: str) -> list[tuple[str, ...]]:
    return [
        tuple(w for w in t.words if w not in variant.split())
        for t in p.trials
        if t.variant == variant
    ]


@pytest.mark.slow
def test_draws_are_shared_by_all_variants_or_each_has_its_own():
    shared = plan(*SEARCH, "cell=rnn,gru", "hydra.sweeper.draws=shared")
    assert drawn(shared, "cell=rnn") == drawn(shared, "cell=gru")
    own = plan(*SEARCH, "cell=rnn,gru", "hydra.sweeper.draws=independent")
    assert not set(drawn(own, "cell=rnn")) & set(drawn(own, "cell=gru"))


def test_another_seed_of_the_study_has_other_draws():
    a, b = plan(*SEARCH, "hydra.sweeper.seed=0"), plan(*SEARCH, "hydra.sweeper.seed=1")
    assert not {t.run for t in a.trials} & {t.run for t in b.trials}


def test_trials_run_number_by_number_so_that_a_part_is_balanced():
    p = plan(*SEARCH, "cell=rnn,gru", "hydra.sweeper.trials=3")
    assert [t.number for t in p.trials] == [0, 0, 1, 1, 2, 2]


@pytest.mark.slow
def test_the_command_line_goes_before_the_sweep():
    p = plan("sweep=greff", "experiment=jsb_greff", "hydra.sweeper.trials=2")
    assert len(p.variants) == 9 and len(p.trials) == 18
    assert all(20 <= _value(t.words, "model.hidden_size") <= 200 for t in p.trials)
    one = plan("sweep=greff", "experiment=jsb_greff", "hydra.sweeper.trials=2", "cell=nig")
    assert [t.variant for t in one.trials] == ["cell=nig"] * 2
    assert {t.run for t in one.trials} < {t.run for t in p.trials}  # its draws are those it had
    fixed = plan("sweep=greff", "experiment=jsb_greff", "model.hidden_size=50", "cell=nig,np")
    assert "model.hidden_size=50" in fixed.settings.fixed
    assert all("model.hidden_size=50" in t.words for t in fixed.trials)
    assert [p.keys[0] for p in fixed.settings.searched] == [
        "optimizer.lr",
        "optimizer.momentum",
        "task.input_noise",
    ]


def _value(words: tuple[str, ...], key: str) -> float:
    (text,) = [w.partition("=")[2] for w in words if w.startswith(f"{key}=")]
    return float(text)


def test_all_cells_by_a_pattern():
    assert [t.variant for t in plan("cell=glob(mut*)").trials] == [
        "cell=mut1",
        "cell=mut2",
        "cell=mut3",
    ]


def test_words_about_resuming_are_the_sessions_and_not_the_runs():
    p = plan("seed=0,1", "resume.failed=true", "resume=force")
    assert p.resume == {"mode": "force", "failed": True, "mixed": False}
    assert all(not w.startswith("resume") for t in p.trials for w in t.words)
    assert [t.run for t in p.trials] == [t.run for t in plan("seed=0,1").trials]


def test_a_range_whose_draws_are_no_configuration_is_said_before_the_start():
    with pytest.raises(UserError, match="model.dropout=1.* is out of range"):
        prepare(["hydra/sweeper=search", "model.num_layers=2", "model.dropout=interval(0.5,3)"])
    with pytest.raises(UserError) as error:
        prepare(["hydra/sweeper=search", "trainer.nope=interval(0,1)", "hydra.sweeper.trials=50"])
    assert len(error.value.messages) == 1 and "trainer.nope" in str(error.value)


def test_too_many_runs_are_a_slip_of_the_finger():
    with pytest.raises(UserError, match="are too many for a study"):
        prepare(["seed=range(0,100000)", "bptt.length=25,100"])


def test_another_packages_sweeper_makes_its_own_plan():
    assert prepare(["hydra/sweeper=basic", "seed=0,1"]) is None
