"""The process of one trial: a fork of the server's, which ends with the trial."""

from __future__ import annotations

import atexit
import contextlib
import logging
import multiprocessing.util
import os
import pickle
import signal
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

GRACE_SECONDS = 5.0  # to write a checkpoint in, once nobody is left to wait for it


@dataclass(frozen=True)
class Trial:
    """What a process is to do."""

    number: int  # among the jobs of the launch
    index: int  # Hydra's number of the job
    overrides: tuple[str, ...]
    environment: Mapping[str, str]  # set besides those of the launching process
    death: str | None = None  # how an earlier process of this trial ended, to be recorded


def main(study: Mapping[str, Any], trial: Trial, result: int, lifeline: int) -> None:
    """Do the trial, write its JobReturn, pickled, to the descriptor `result`, and end."""
    code = 1
    try:
        try:
            _heed_signals()
            _leave_the_servers_end()
            threading.Thread(target=_watch, args=(lifeline,), daemon=True).start()
            returned = _returned(study, trial)
        except KeyboardInterrupt:
            returned = _finished({"status": "interrupted", "folder": None, "error": None}, trial)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # too late to stop anything
        # Where the server is gone, there is nobody to tell; the run's folder says it all.
        with contextlib.suppress(BrokenPipeError), open(result, "wb") as pipe:
            pickle.dump(returned, pipe)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        _end(code)


def _heed_signals() -> None:
    """Only the study stops a trial, by one SIGINT.

    Systems that end a whole job send SIGTERM to each of its processes; a trial that heeded both
    would take the second for `at once`, and lose what it did since its last checkpoint.
    """
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def _leave_the_servers_end() -> None:
    """What the server's modules want done at its end is not for its forks.

    It takes a tenth of a second, and the first fork would remove what the others still need.
    """
    atexit._clear()
    weakref.finalize._registry.clear()  # type: ignore[attr-defined]
    weakref.finalize._registered_with_atexit = False  # type: ignore[attr-defined]
    atexit.register(logging.shutdown)
    atexit.register(multiprocessing.util._exit_function)  # type: ignore[attr-defined]


def _watch(lifeline: int) -> None:
    """Stop as on Ctrl-C once the other end of the lifeline is gone, with the server."""
    while os.read(lifeline, 1):
        pass
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(GRACE_SECONDS)
    os.killpg(0, signal.SIGKILL)


def _returned(study: Mapping[str, Any], trial: Trial) -> Any:
    """The JobReturn of the trial, whose return value is never an exception of a user's class."""
    from hydra.core.utils import JobStatus

    try:
        returned = _run(study, trial)
    except Exception as error:
        traceback.print_exc()
        return _finished(_plain(error), trial, JobStatus.FAILED)
    # The configuration of each of a thousand trials would fill the parent's memory.
    returned.cfg = returned.hydra_cfg = None
    if returned.status == JobStatus.FAILED:
        returned._return_value = _plain(returned._return_value)
    return returned


def _run(study: Mapping[str, Any], trial: Trial) -> Any:
    """Compose the trial's configuration, and hand it to the task function as Hydra does."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.utils import run_job
    from omegaconf import open_dict

    from odyssey.training.wandb import start_service

    os.environ.clear()
    os.environ.update(study["environment"])
    os.environ.update(trial.environment)
    os.chdir(study["folder"])
    start_service(study["config"].logger.mode)  # while the configuration is composed
    context, task = study["hydra_context"], study["task_function"]
    config = context.config_loader.load_sweep_config(study["config"], list(trial.overrides))
    with open_dict(config):
        config.hydra.job.id = f"{config.hydra.job.name}_{trial.index}"
        config.hydra.job.num = trial.index
    HydraConfig.instance().set_config(config)
    if trial.death is not None:
        task = partial(_record_death, error=trial.death)
    return run_job(
        hydra_context=context,
        task_function=task,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )


def _record_death(cfg: Any, error: str) -> dict[str, Any]:
    from odyssey.study.job import died

    return died(cfg, error)


def _finished(value: Any, trial: Trial, status: Any = None) -> Any:
    from hydra.core.utils import JobReturn, JobStatus

    returned = JobReturn(overrides=list(trial.overrides), status=status or JobStatus.COMPLETED)
    returned.return_value = value
    return returned


def _plain(error: BaseException) -> Exception:
    """The error, or its words where it could not be sent to another process."""
    try:
        copy = pickle.loads(pickle.dumps(error))
    except Exception:
        copy = None
    known = type(error).__module__.split(".")[0] in ("builtins", "hydra", "omegaconf", "odyssey")
    return copy if known and isinstance(copy, Exception) else RuntimeError(repr(error))


def _end(code: int) -> None:
    """End as a process does, less what is the server's: its frames, which are on this stack."""
    try:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        os._exit(code)
