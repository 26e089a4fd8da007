"""`hydra/launcher=local_pool`: trials in processes of their own, whatever becomes of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hydra.core.utils import JobStatus

from odyssey.errors import UserError
from odyssey.study.launchers import local
from odyssey.study.trial import job
from run_kit import ROOT, metrics, record
from study_kit import (
    LONG,
    counted,
    ends_at_once,
    gpu,
    launch,
    mess,
    plain,
    raises,
    second_dies,
    second_is_its_own,
    statuses,
)


@pytest.fixture(scope="module", autouse=True)
def ended() -> Iterator[None]:
    """The server serves all these tests, and then is gone."""
    yield
    server = local._server
    local.close()
    assert server is None or server.process.returncode == 0


def runs(out: Path) -> dict[int, Path]:
    """Seed -> run folder."""
    return {record(p.parent)["seed"]: p.parent for p in out.glob("*/*/run.json")}


# -- which process does which trial ----------------------------------------------------------------

SEEDS = [[f"seed={n}"] for n in range(5)]


@pytest.mark.parametrize(
    ("fuse", "together"), [(1, [0, 1, 2, 3, 4]), (2, [0, 0, 1, 1, 2]), ("auto", [0, 0, 0, 0, 0])]
)
def test_a_process_does_as_many_trials_as_it_may(
    tmp_path: Path, fuse: int | str, together: list[int]
) -> None:
    found = [r.return_value for r in launch(tmp_path, SEEDS, counted, n_jobs=1, fuse=fuse)]
    assert [f["seed"] for f in found] == [0, 1, 2, 3, 4]
    processes = list(dict.fromkeys(f["process"] for f in found))
    assert [processes.index(f["process"]) for f in found] == together
    # The next launch may have another task function: it does not get what is left of this one.
    (again,) = launch(tmp_path, [["seed=7"]], second_dies, n_jobs=1, fuse=fuse)
    assert again.return_value["process"] not in processes


def test_after_code_of_the_users_own_a_process_ends(tmp_path: Path) -> None:
    found = [r.return_value for r in launch(tmp_path, SEEDS, second_is_its_own, n_jobs=1)]
    processes = [f["process"] for f in found]
    assert processes[0] == processes[1] != processes[2] == processes[3] == processes[4]


def test_a_process_that_is_killed_takes_the_trial_that_it_does(tmp_path: Path) -> None:
    found = [r.return_value for r in launch(tmp_path, SEEDS, second_dies, n_jobs=1)]
    assert [f["status"] for f in found] == ["finished", "failed", *["finished"] * 3]
    assert "signal 9 (SIGKILL)" in found[1]["error"]
    processes = [f["process"] for f in found if "process" in f]
    assert processes[0] != processes[1] == processes[2] == processes[3]


@pytest.mark.slow
def test_runs_are_the_same_whatever_their_process_did_before(tmp_path: Path) -> None:
    trials = [["cell=lstm", "model.dropout=0.3", "model.num_layers=2", *seed] for seed in SEEDS]
    trials += [["cell=gru", "optimizer=sgd"], ["cell=lstm_layernorm"]]
    for out, fuse in (("each", 1), ("fused", "auto")):
        assert set(statuses(launch(tmp_path / out, trials, fuse=fuse))) == {"finished"}
    each, fused = (
        {p.parent.name: metrics(p.parent) for p in (tmp_path / out).glob("*/*/run.json")}
        for out in ("each", "fused")
    )
    assert each == fused and len(each) == len(trials)


# -- what a trial finds --------------------------------------------------------------------------


@pytest.mark.slow
def test_nothing_of_a_trial_reaches_the_next(tmp_path: Path) -> None:
    os.environ["LEFT"] = "by the study"
    try:
        returned = launch(tmp_path, [[f"seed={n}"] for n in range(4)], mess, n_jobs=1)
    finally:
        del os.environ["LEFT"]
    found = [r.return_value for r in returned]
    assert [f["seed"] for f in found] == [0, 1, 2, 3]
    assert [r.overrides[-1] for r in returned] == [f"seed={n}" for n in range(4)]
    for f in found:
        assert f["variable"] == "by the study" and f["dtype"] == "torch.float32"
        assert f["threads"] == 1 and f["list"] == [] and f["folder"] == os.getcwd()
    assert len({f["process"] for f in found}) == 4
    assert len({f["parent"] for f in found}) == 1 and found[0]["parent"] != os.getpid()
    (again,) = launch(tmp_path, [["seed=5"]], mess)
    assert again.return_value["parent"] == found[0]["parent"]  # the imports are made once
    assert again.return_value["variable"] is None


@pytest.mark.slow
def test_gpus_are_handed_out_in_turn_to_free_places(tmp_path: Path) -> None:
    trials = [[f"seed={n}"] for n in range(3)]
    # The first trial keeps its place while the two others follow each other in the second.
    returned = launch(tmp_path, trials, gpu, n_jobs=2, gpus="[5,7]")
    assert [r.return_value for r in returned] == ["5", "7", "7"]
    returned = launch(tmp_path, trials[1:], gpu, n_jobs=2, gpus="[]")
    assert [r.return_value for r in returned] == ["", ""]


def test_visible_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for value, found in (
        ("2,3", ["2", "3"]),
        ("GPU-8a1, GPU-9b2", ["GPU-8a1", "GPU-9b2"]),
        ("0,-1,1", ["0"]),
        ("", []),
    ):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
        assert local.visible_gpus() == found
    places = [p.get("CUDA_VISIBLE_DEVICES") for p in local.slots({"n_jobs": 2, "gpus": None}, 1)]
    assert places == [None, None]  # none to hand out: as it was
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    places = [p["CUDA_VISIBLE_DEVICES"] for p in local.slots({"n_jobs": 3}, 1)]
    assert places == ["2", "3", "2"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 0\necho 1\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert local.visible_gpus() == ["0", "1"]
    driver.write_text("#!/bin/sh\necho no driver; exit 9\n")
    assert local.visible_gpus() == []


def test_as_many_places_as_cores_for_the_threads() -> None:
    cores = len(os.sched_getaffinity(0))
    assert len(local.slots({"n_jobs": None}, None)) == cores
    assert len(local.slots({"n_jobs": None}, 1000)) == 1
    assert len(local.slots({"n_jobs": 3}, 1000)) == 3


@pytest.mark.parametrize(
    "settings, starts",
    [
        ({"n_jobs": 0}, "hydra.launcher.n_jobs=0 is not"),
        ({"n_jobs": "many"}, "hydra.launcher.n_jobs=many is not"),
        ({"n_jobs": True}, "hydra.launcher.n_jobs=True is not"),
        ({"n_jobs": 1.5}, "hydra.launcher.n_jobs=1.5 is not"),
        ({"gpus": 0}, "hydra.launcher.gpus=0 is not"),
        ({"gpus": [0, -1]}, "hydra.launcher.gpus=[0, -1] is not"),
        ({"gpus": [1, 1]}, "hydra.launcher.gpus=[1, 1] is not"),
        ({"gpus": "01"}, "hydra.launcher.gpus=01 is not"),
    ],
)
def test_wrong_settings_are_one_sentence(settings: dict, starts: str, tmp_path: Path) -> None:
    (sentence,) = local.check_settings(settings)
    assert sentence.startswith(starts)
    words = {k: str(v).replace(" ", "").lower() for k, v in settings.items()}
    if settings != {"gpus": "01"}:  # which Hydra reads as a number
        with pytest.raises(UserError):
            launch(tmp_path / "out", [["seed=0"]], plain, **words)
        assert not (tmp_path / "out").exists()


def test_right_settings() -> None:
    for settings in ({}, {"n_jobs": None, "gpus": None}, {"n_jobs": 4, "gpus": [0, "GPU-8a1"]}):
        assert local.check_settings(settings) == []


@pytest.mark.slow
def test_the_main_script_is_not_run_again(tmp_path: Path) -> None:
    """Not even one that starts its study at once, without asking for its `__name__`."""
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from study_kit import launch, plain\n"
        "print('the script runs', flush=True)\n"
        "returned = launch(Path('out'), [['seed=0'], ['seed=1']], plain, n_jobs=2)\n"
        "print(len([r.return_value for r in returned]), 'trials')\n"
    )
    path = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["the script runs", "2 trials"]


# -- real runs -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_numbers_are_those_of_the_basic_launcher(tmp_path: Path) -> None:
    wild = ["cell=elman_relu", "optimizer=sgd", "optimizer.lr=1e30", "clip=none"]
    trials = [["seed=0"], ["seed=1", "cell=gru"], ["seed=2", *wild]]
    one = launch(tmp_path / "basic", trials, job, "basic")
    two = launch(tmp_path / "pool", trials, n_jobs=2)
    assert statuses(one) == statuses(two) == ["finished", "finished", "diverged"]
    assert [Path(r.return_value["folder"]).name for r in one] == [
        Path(r.return_value["folder"]).name for r in two
    ]
    own = ("seconds", "started")
    a, b = runs(tmp_path / "basic"), runs(tmp_path / "pool")
    for seed in (0, 1, 2):
        left, right = record(a[seed]), record(b[seed])
        assert {k: v for k, v in left.items() if k not in own} == {
            k: v for k, v in right.items() if k not in own
        }
        assert metrics(a[seed]) == metrics(b[seed])
        words = [(p / "overrides.yaml").read_text() for p in (a[seed], b[seed])]
        assert words[0] == words[1].replace(str(tmp_path / "pool"), str(tmp_path / "basic"))
    assert one[0].return_value["objective"] == two[0].return_value["objective"]
    logs = sorted(p.name for p in (tmp_path / "pool" / "default" / "logs").iterdir())
    assert logs == sorted(f"{p.name}.log" for p in b.values())


def test_a_process_that_is_killed_is_a_failed_trial_and_no_other(tmp_path: Path) -> None:
    killed = ["seed=1", "cell._target_=study_kit.Killed", "model.backend=reference"]
    returned = launch(tmp_path, [["seed=0"], killed, ["seed=2"]], n_jobs=2)
    assert statuses(returned) == ["finished", "failed", "finished"]
    told = "the process was ended by signal 9 (SIGKILL), as systems do when memory runs out"
    run = record(runs(tmp_path)[1])
    assert returned[1].return_value["error"] == run["error"] == told
    assert returned[1].return_value["folder"] == str(runs(tmp_path)[1])
    assert run["status"] == "failed" and run["data"]["name"] == "hello"  # the rest is kept
    (log,) = (tmp_path / "default" / "logs").glob("killed-*.log")
    assert log.read_text().rstrip().endswith(told)


@pytest.mark.slow
def test_a_process_that_ends_before_its_run_began(tmp_path: Path) -> None:
    (returned,) = launch(tmp_path, [["seed=4"]], ends_at_once)
    told = "the process ended with exit status 3 before the run did"
    assert returned.return_value["error"] == told
    run = record(runs(tmp_path)[4])
    assert run["status"] == "failed" and run["error"] == told and run["data"] is None
    assert statuses(launch(tmp_path, [["seed=4"]])) == ["finished"]


def test_what_is_not_ours_fails_as_in_any_launcher(tmp_path: Path) -> None:
    """Errors of a task function of somebody else's, or of Hydra's while it composes a trial."""
    returned = launch(tmp_path, [["seed=6"], ["seed=7", "no.such.key=1"]], raises, n_jobs=2)
    assert [r.status for r in returned] == [JobStatus.FAILED] * 2
    with pytest.raises(RuntimeError, match="at seed 6"):
        _ = returned[0].return_value
    with pytest.raises(Exception, match="no"):
        _ = returned[1].return_value


# -- endings -------------------------------------------------------------------------------------


def start(out: Path, *words: str) -> subprocess.Popen[bytes]:
    """A study of three long trials, two at a time, in a process of its own."""
    command = [sys.executable, "train.py", "-m", "hydra/sweeper=basic", *LONG, *words]
    command += [f"output_dir={out}", "hydra/launcher=local_pool", "hydra.launcher.n_jobs=2"]
    path = os.pathsep.join(["tests", os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=os.environ | {"STUDY_MARK": str(out), "PYTHONPATH": path},
    )


def processes(out: Path) -> set[int]:
    """All that are of the study."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            environment = (path / "environ").read_bytes().split(b"\0")
            ended = (path / "stat").read_text().rpartition(") ")[2].startswith("Z")
        except OSError:
            continue
        if f"STUDY_MARK={out}".encode() in environment and not ended:
            found.add(int(path.name))
    return found


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    for _ in range(int(seconds * 50)):
        if true():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come to that")


def training(out: Path, number: int = 2) -> bool:
    """Whether so many trials have a checkpoint."""
    return len(list(out.glob("*/*/checkpoints/last.ckpt"))) == number


def said(out: Path, words: str) -> bool:
    """Whether two trials have printed the words."""
    return sum(words in path.read_text() for path in out.glob("default/logs/*")) == 2


def nothing_is_lost(out: Path) -> None:
    """The two trials that ran were interrupted, with a checkpoint of all that they did."""
    until(lambda: not processes(out), 5)
    assert sorted(runs(out)) == [0, 1]
    for path in runs(out).values():
        run = record(path)
        assert run["status"] == "interrupted" and run["error"] is None
        rows = [int(step) for step, *_ in metrics(path)]
        assert run["steps"] >= max(rows) > 0
        assert (path / "checkpoints" / "last.ckpt").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number, to_all", [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_a_signal_stops_all_cleanly(number: signal.Signals, to_all: bool, tmp_path: Path) -> None:
    """`to_all`: as a terminal sends it, to the whole group."""
    study = start(tmp_path, "seed=0,1,2", "logger.mode=offline")
    until(lambda: training(tmp_path))
    started = list(processes(tmp_path))
    assert len(started) >= 4
    for _ in range(2):  # as `timeout` does: meant as one
        (os.killpg if to_all else os.kill)(study.pid, number)
    err = study.communicate()[1].decode()
    assert study.returncode == 130 and "Traceback" not in err
    nothing_is_lost(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("order", ["study first", "trials first"])
def test_sigterm_to_the_whole_job_is_one_request(order: str, tmp_path: Path) -> None:
    """As a system sends it that ends a job: to each of its processes, in any order."""
    study = start(tmp_path, "seed=0,1,2", "logger.mode=disabled")
    until(lambda: training(tmp_path))
    everyone = sorted(processes(tmp_path), reverse=order == "trials first")
    for pid in everyone:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    err = study.communicate()[1].decode()
    assert study.returncode == 130 and "Traceback" not in err
    nothing_is_lost(tmp_path)


@pytest.mark.slow
def test_sigterm_to_a_trial_alone_interrupts_it(tmp_path: Path) -> None:
    """With a checkpoint; it has not failed, and the other goes on."""
    study = start(tmp_path, "seed=0,1", "logger.mode=disabled")
    until(lambda: training(tmp_path))
    trials = [p for p in processes(tmp_path) if p != study.pid and os.getpgid(p) == p]
    trials = [p for p in trials if os.getsid(p) != p]
    assert len(trials) == 2
    os.kill(trials[0], signal.SIGTERM)
    until(lambda: trials[0] not in processes(tmp_path), 20)
    assert sorted(record(p)["status"] for p in runs(tmp_path).values()) == [
        *("interrupted", "running")
    ]
    study.send_signal(signal.SIGINT)
    study.communicate()
    assert [record(p)["status"] for p in runs(tmp_path).values()] == ["interrupted"] * 2


@pytest.mark.slow
def test_a_second_signal_kills(tmp_path: Path) -> None:
    words = ["cell._target_=study_kit.Stuck", "model.backend=reference", "logger.mode=disabled"]
    study = start(tmp_path, "seed=0,1,2", *words)
    until(lambda: said(tmp_path, "no end of this update"))
    study.send_signal(signal.SIGINT)
    until(lambda: said(tmp_path, "stopping at the next update"))
    assert study.poll() is None
    time.sleep(local.APART_SECONDS)  # less is one signal sent twice
    assert study.poll() is None
    study.send_signal(signal.SIGINT)
    assert study.wait() == 130
    until(lambda: not processes(tmp_path), 5)
    assert sorted(runs(tmp_path)) == [0, 1]
    for path in runs(tmp_path).values():
        assert record(path)["status"] == "running"  # that nobody holds: it goes on next time


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["study", "server"])
def test_kill_9(whom: str, tmp_path: Path) -> None:
    """Of the study, or of the server alone: the trials notice, and stop as on Ctrl-C."""
    study = start(tmp_path, "seed=0,1,2", "logger.mode=offline")
    until(lambda: training(tmp_path))
    (server,) = [
        pid
        for pid in processes(tmp_path)
        if pid != study.pid and os.getsid(pid) == pid and os.getpgid(pid) == pid
        and f"PPid:\t{study.pid}\n" in Path(f"/proc/{pid}/status").read_text()
    ]  # fmt: skip
    os.kill(study.pid if whom == "study" else server, signal.SIGKILL)
    err = study.communicate()[1].decode()
    until(lambda: not processes(tmp_path), 10)
    assert [record(p)["status"] for p in runs(tmp_path).values()] == ["interrupted"] * 2
    if whom == "server":
        assert study.returncode == 2 and "the same command goes on" in err
        assert "Traceback" not in err
