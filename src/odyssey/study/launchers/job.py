"""One trial as a job of any launcher: what is sent, run, returned, and recorded if it is lost.

Heavy modules are imported when they are called for.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from odyssey.cli_utils import show

# A machine that is gone keeps its locks on a network file system until their lease ends, in NFS 4
# usually 90 seconds.
LEASE_SECONDS = 150.0


class Stopped(Exception):
    """A run has failed, and the study is to stop then; the other runs have ended.

    returned: by number of the job, the JobReturns of those that ended.
    """

    def __init__(self, returned: Mapping[int, Any]) -> None:
        super().__init__("a run has failed")
        self.returned = returned


def stops_early(launcher: Any) -> bool:
    """Whether the study is to stop at its first failed run."""
    return str(launcher.config.hydra.sweeper.get("on_failure")) == "stop"


def has_failed(returned: Any) -> bool:
    """Whether a JobReturn is that of a run that failed."""
    value = getattr(returned, "_return_value", None)
    return isinstance(value, Exception) or (
        isinstance(value, Mapping) and value.get("status") == "failed"
    )


def study_of(launcher: Any) -> dict[str, Any]:
    """What the trials of a launcher share, in a form that can be sent to another process."""
    from hydra.core.singleton import Singleton

    kept = ("ConfigStore", "HydraConfig", "JobRuntime")
    return {
        "hydra_context": launcher.hydra_context,
        "config": launcher.config,
        "task_function": launcher.task_function,
        "singletons": {k: v for k, v in Singleton._instances.items() if k.__name__ in kept},
    }


def install(study: Mapping[str, Any]) -> None:
    """Prepare this process, which another has sent `study` to, for `run`."""
    from hydra.core.singleton import Singleton
    from hydra.core.utils import setup_globals

    setup_globals()
    Singleton._instances.update(study["singletons"])


def run(study: Mapping[str, Any], words: Sequence[str], index: int, task: Any = None) -> Any:
    """Compose a trial, and hand it to the task function as Hydra does; a light JobReturn.

    index: Hydra's number of the job. task: instead of the study's own task function.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.utils import run_job
    from omegaconf import open_dict

    context = study["hydra_context"]
    config = context.config_loader.load_sweep_config(study["config"], list(words))
    with open_dict(config):
        config.hydra.job.id = f"{config.hydra.job.name}_{index}"
        config.hydra.job.num = index
    HydraConfig.instance().set_config(config)
    returned = run_job(
        hydra_context=context,
        task_function=task or study["task_function"],
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )
    return light(returned)


def outlast(run: Callable[[], Any]) -> Any:
    """What `run` returns; once more where another process had the run folder and then gave it up.

    That process may be what is left of this very trial on a machine that is gone.
    """
    from odyssey.study.state import is_locked

    end = time.monotonic() + LEASE_SECONDS
    while True:
        returned = run()
        value = returned._return_value
        if not isinstance(value, dict) or value.get("status") != "elsewhere":
            return returned
        while is_locked(Path(value["folder"])):
            if time.monotonic() > end:
                return returned
            time.sleep(1.0)


def light(returned: Any) -> Any:
    """A JobReturn without the configurations, which for thousands of trials would fill memory."""
    returned.cfg = returned.hydra_cfg = None
    return returned


def returned(words: Sequence[str], value: Any, failed: bool = False) -> Any:
    """The JobReturn of a trial whose task function returned `value`, or raised it (`failed`)."""
    from hydra.core.utils import JobReturn, JobStatus

    status = JobStatus.FAILED if failed else JobStatus.COMPLETED
    made = JobReturn(overrides=list(words), status=status)
    made.return_value = value
    return made


def lost(study: Mapping[str, Any], words: Sequence[str], index: int, why: str) -> Any:
    """The JobReturn of a trial that its launcher has lost; `why` is what the launcher says.

    The trial's run.json gets `why`, as a failure, unless it says itself how the run ended.
    """
    from hydra.core.hydra_config import HydraConfig

    before = HydraConfig.instance().cfg
    try:
        return run(study, words, index, partial(_note, error=why))
    finally:
        HydraConfig.instance().cfg = before


def _note(cfg: Any, error: str) -> dict[str, Any]:
    from odyssey.config.compose import finish
    from odyssey.study.state import read_run
    from odyssey.study.trial import died, planned_folder

    now = read_run(planned_folder(finish(cfg)))
    said = now.record.status if now.record else None
    if now.state == "running":
        return {"status": "elsewhere", "folder": str(now.path), "error": error}
    if now.state == "missing" or said == "running":
        return died(cfg, error)
    if said == "interrupted":
        show(f"{now.name}: {error}", sys.stderr)
    return {
        "status": now.state,
        "folder": str(now.path),
        "objective": now.value,
        "error": error,
    }
