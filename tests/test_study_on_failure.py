"""`hydra.sweeper.on_failure=stop`: a study ends with its first failed run, and can be gone on with.

With the default, `continue`, a failed run stops no other: tests/test_study_sweep.py.
"""

from __future__ import annotations

import pytest

from grid_kit import records, sweep

OWN = ("cell=rnn", "model.hidden_size=8")
STOP = "hydra.sweeper.on_failure=stop"
CELLS = "cell._target_=odyssey.cells.GRU,study_kit.Buggy,odyssey.cells.RNN"


def states(out) -> dict[str, str]:
    return {name.partition("-")[0]: r["status"] for name, r in records(out).items()}


@pytest.mark.parametrize("launcher", ["local_pool", pytest.param("basic", marks=pytest.mark.slow)])
def test_no_run_begins_after_the_first_that_fails(tmp_path, launcher, capfd):
    words = (*OWN, f"hydra/launcher={launcher}", CELLS.replace("RNN", "MGU"))
    assert sweep(tmp_path, *words, STOP) == 1
    said = capfd.readouterr()
    assert states(tmp_path) == {"gru": "finished", "buggy": "failed"}
    assert "1 run failed:" in said.err and "ZeroDivisionError: a bug in a cell" in said.err
    assert "study=s has stopped at a failed run" in said.err and "1 not begun" in said.err
    # The same command passes over the run that failed, as without the option.
    assert sweep(tmp_path, *words, STOP) == 1
    assert states(tmp_path) == {"gru": "finished", "buggy": "failed", "mgu": "finished"}
    assert "has stopped" not in capfd.readouterr().err


@pytest.mark.slow
def test_runs_beside_it_are_interrupted_with_a_checkpoint(tmp_path, capfd):
    """And have the results in the end that they have without."""
    long = ("trainer.max_steps=600", "trainer.val_every=300", "trainer.checkpoint_every=10")
    long += ("trainer.loop=lightning",)  # in C they would be done before the other fails
    words = (*OWN, *long, "cell._target_=odyssey.cells.GRU,study_kit.Late", "seed=0")
    pool = (*words, "hydra.launcher.n_jobs=2")
    assert sweep(tmp_path / "a", *pool, STOP) == 1
    assert states(tmp_path / "a") == {"gru": "interrupted", "late": "failed"}
    assert "1 interrupted" in capfd.readouterr().err
    assert list((tmp_path / "a" / "s").glob("gru-*/checkpoints/last.ckpt"))
    for out in ("a", "b"):
        assert sweep(tmp_path / out, *pool) == 1
    ends = [
        next(r["metrics"] for r in records(tmp_path / out).values() if r["cell"] == "gru")
        for out in ("a", "b")
    ]
    assert ends[0] == ends[1]


@pytest.mark.slow
def test_a_failed_run_is_tried_again_where_that_is_asked_for(tmp_path, capfd):
    words = (*OWN, CELLS.replace("RNN", "MGU"))
    assert sweep(tmp_path, *words, STOP) == 1
    capfd.readouterr()
    assert sweep(tmp_path, *words, STOP, "resume.failed=true") == 1
    said = capfd.readouterr()
    assert "1 failed before" in said.out and "has stopped at a failed run" in said.err
    assert states(tmp_path) == {"gru": "finished", "buggy": "failed"}
