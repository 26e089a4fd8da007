"""Hydra's way in to studies: `hydra/sweeper=grid` (what -m takes) and `hydra/sweeper=search`.

Hydra imports this file with every command, so that whatever costs time is imported when it is
called. What a sweeper does is in `odyssey.study`. Hydra does so without entering the file in
`sys.modules`, where dataclasses would look annotations up that are kept as text.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class UsersFolders(SearchPathPlugin):
    """Configuration files of the user's own, where `--config-dir` or `hydra.searchpath` says."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        from odyssey.config import sources

        for folder in sources.current().folders:
            search_path.append("command-line", folder)


@dataclass
class StudyConfig:
    """What is compared, and what is drawn for each of that; see `odyssey.study.spec`."""

    _target_: str = "hydra_plugins.odyssey_plugins.GridSweeper"
    compare: dict[str, Any] = field(default_factory=dict)
    space: dict[str, Any] = field(default_factory=dict)
    trials: int | None = None
    sampler: str = "random"
    draws: str = "shared"
    seed: int = 0
    only: Any = None  # a trial's number, or several; of any type, for a sentence of our own
    batch: int | None = None
    # Of any type too.
    dry_run: Any = False
    on_failure: Any = "continue"


@dataclass
class SearchConfig(StudyConfig):
    """The same, where a search is asked for."""

    _target_: str = "hydra_plugins.odyssey_plugins.SearchSweeper"
    trials: int | None = 20


class GridSweeper(Sweeper):
    """Every combination of the compared values, with draws for each where there is a space."""

    def __init__(self, **settings: Any) -> None:
        self.launcher: Launcher | None = None
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        from odyssey.config.sources import CONFIG_NAME, PRIMARY
        from odyssey.study.plan import handed_over, prepare
        from odyssey.study.runner import conduct

        assert self.config is not None and self.launcher is not None
        hydras = [str(word) for word in self.config.hydra.overrides.hydra]
        primary = self.config.hydra.job.config_name  # which is not among Hydra's overrides
        if primary not in (None, PRIMARY):
            hydras.append(f"{CONFIG_NAME}={primary}")
        plan = handed_over() or prepare([*hydras, *arguments])
        assert plan is not None
        look = self.launcher.load_data if isinstance(self.launcher, LocalPoolLauncher) else None
        return conduct(plan, self.launcher.launch, look)


class SearchSweeper(GridSweeper):
    """The same: a name to ask for a search by."""


store = ConfigStore.instance()
store.store(group="hydra/sweeper", name="grid", node=StudyConfig, provider="odyssey")
store.store(group="hydra/sweeper", name="search", node=SearchConfig, provider="odyssey")


@dataclass
class LocalPoolConfig:
    """Several processes on this machine.

    n_jobs: trials at a time; null is as many as there are cores, by trainer.threads.
    gpus: handed out in turn, [0, 1] or names; null is all that CUDA_VISIBLE_DEVICES or nvidia-smi
    shows, [] is none.
    fuse: trials that a process may do, one after another; auto is 64. 1: each in one of its own.
    """

    _target_: str = "hydra_plugins.odyssey_plugins.LocalPoolLauncher"
    # Of any type, so that a wrong one gets our sentence.
    n_jobs: Any = 1
    gpus: Any = None
    fuse: Any = "auto"


class LocalPoolLauncher(Launcher):
    """Trials in processes of their own, or one after another in a few."""

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
        from odyssey.study.launchers import job

        return self._launch(
            job_overrides, initial_job_idx, job.study_of(self), job.stops_early(self)
        )

    def load_data(self, job_overrides: Sequence[Sequence[str]]) -> Sequence[JobReturn]:
        """Load the data of each of these trials, and train none."""
        from odyssey.study import data_check
        from odyssey.study.launchers import job

        study = job.study_of(self) | {"task_function": data_check.load}
        return self._launch(job_overrides, 0, study | {"on_death": data_check.died})

    def _launch(
        self,
        job_overrides: Sequence[Sequence[str]],
        initial_job_idx: int,
        study: Any,
        stop_early: bool = False,
    ) -> Sequence[JobReturn]:
        from odyssey.errors import UserError
        from odyssey.study.launchers import local

        assert self.config is not None
        found = local.check_settings(self.settings)
        if found:
            raise UserError(*found)
        if not job_overrides:
            return []
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        if "on_death" not in study:  # runs that are trained
            Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        places = local.slots(self.settings, self.config.trainer.threads)
        fuse = local.fused(self.settings)
        return local.launch(study, job_overrides, initial_job_idx, places, stop_early, fuse)


@dataclass
class FusedConfig(LocalPoolConfig):
    """The same on all cores."""

    n_jobs: Any = None


for name, node in {"local_pool": LocalPoolConfig, "fused": FusedConfig}.items():
    ConfigStore.instance().store(group="hydra/launcher", name=name, node=node, provider="odyssey")


with suppress(ImportError):
    from hydra_plugins.hydra_ray_launcher.ray_launcher import RayLauncher

    class RayClusterLauncher(RayLauncher):
        """Each trial a task of a Ray cluster."""

        def launch(
            self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
        ) -> Sequence[JobReturn]:
            from odyssey.study.launchers import ray

            return ray.launch(self, job_overrides, initial_job_idx)


with suppress(ImportError):
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import (
        BaseSubmititLauncher,
        LocalLauncher,
        SlurmLauncher,
    )

    class _Queued(BaseSubmititLauncher):
        """Each trial a job; this object is what a job calls on its node."""

        def __call__(self, *args: Any, **kwargs: Any) -> JobReturn:
            from odyssey.study.launchers import job, slurm

            with slurm.signals_heeded():
                call = super().__call__
                return job.light(job.outlast(lambda: call(*args, **kwargs)))

        def launch(
            self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
        ) -> Sequence[JobReturn]:
            from odyssey.study.launchers import slurm

            return slurm.launch(self, job_overrides, initial_job_idx)

    class SlurmArrayLauncher(_Queued, SlurmLauncher):
        """The jobs are one array of Slurm's."""

    class SlurmLocalLauncher(_Queued, LocalLauncher):
        """The jobs are processes of this machine, all at once, to try the way without a cluster."""
