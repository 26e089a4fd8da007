"""Hydra's way in to the local pool: `hydra/launcher=local_pool`, which -m takes.

Hydra imports this file with every command, so that whatever costs time is imported when it is
called. What the launcher does is in `odyssey.study.pool`.

Annotations are not put off here: Hydra runs the file before it is in sys.modules, where dataclasses
would look their names up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class LocalPoolConfig:
    """Several processes on this machine.

    n_jobs: trials at a time; null is as many as there are cores, by trainer.threads.
    gpus: handed out in turn, [0, 1] or names; null is all that CUDA_VISIBLE_DEVICES or nvidia-smi
    shows, [] is none.
    """

    _target_: str = "hydra_plugins.odyssey_study.LocalPoolLauncher"
    # Of any type, so that a wrong one gets our sentence.
    n_jobs: Any = 1
    gpus: Any = None


class LocalPoolLauncher(Launcher):
    """Each trial in a process of its own."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.config: DictConfig | None = None
        self.task_function: TaskFunction | None = None
        self.hydra_context: HydraContext | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.config, self.hydra_context = config, hydra_context
        self.task_function = task_function

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        from odyssey.errors import UserError
        from odyssey.study import pool

        assert self.config is not None
        found = pool.mistakes(self.settings)
        if found:
            raise UserError(*found)
        if not job_overrides:
            return []
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        kept = ("ConfigStore", "HydraConfig", "JobRuntime")
        study = {
            "hydra_context": self.hydra_context,
            "config": self.config,
            "task_function": self.task_function,
            "singletons": {k: v for k, v in Singleton._instances.items() if k.__name__ in kept},
        }
        places = pool.slots(self.settings, self.config.trainer.threads)
        return pool.launch(study, job_overrides, initial_job_idx, places)


ConfigStore.instance().store(
    group="hydra/launcher", name="local_pool", node=LocalPoolConfig, provider="odyssey"
)
