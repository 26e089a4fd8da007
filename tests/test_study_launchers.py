"""A study is the same folder and the same numbers, whichever launcher ran it."""

from __future__ import annotations

from pathlib import Path

import pytest

from launchers_kit import STUDY, conduct, folders, plan, results


@pytest.mark.slow
def test_basic_and_local_pool_make_the_same_study(tmp_path: Path) -> None:
    wild = ["optimizer=sgd", "optimizer.lr=0.1,1e30", "clip=none", "cell=elman_relu", "seed=0,1,2"]
    words = [w for w in STUDY if w.partition("=")[0] not in ("cell", "seed")]
    one = conduct(tmp_path / "basic", "basic", *words, *wild)
    two = conduct(tmp_path / "pool", "local_pool", "hydra.launcher.n_jobs=2", *words, *wild)
    assert one.returncode == two.returncode == 0, one.stderr + two.stderr
    left, right = results(tmp_path / "basic"), results(tmp_path / "pool")
    assert len(left) == 6 and left == right
    assert {run["status"] for run in left.values()} == {"finished", "diverged"}
    assert plan(tmp_path / "basic") == plan(tmp_path / "pool")
    for launcher in ("basic", "pool"):
        logs = {p.stem for p in (tmp_path / launcher / "same" / "logs").iterdir()}
        assert logs == set(folders(tmp_path / launcher))
