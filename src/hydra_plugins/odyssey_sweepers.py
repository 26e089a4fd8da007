"""Hydra's way in to studies: `hydra/sweeper=grid` (what -m takes) and `hydra/sweeper=search`.

Hydra imports this file with every command, so that whatever costs time is imported when it is
called. What a sweeper does is in `odyssey.study`. Hydra does so without entering the file in
`sys.modules`, where dataclasses would look annotations up that are kept as text.
"""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class StudyConfig:
    """What is compared, and what is drawn for each of that; see `odyssey.study.settings`."""

    _target_: str = "hydra_plugins.odyssey_sweepers.GridSweeper"
    compare: dict[str, Any] = field(default_factory=dict)
    space: dict[str, Any] = field(default_factory=dict)
    trials: int | None = None
    sampler: str = "random"
    draws: str = "shared"
    seed: int = 0
    only: Any = None  # a trial's number, or several; of any type, for a sentence of our own
    batch: int | None = None


@dataclass
class SearchConfig(StudyConfig):
    """The same, where a search is asked for."""

    _target_: str = "hydra_plugins.odyssey_sweepers.SearchSweeper"
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
        from odyssey.study.plan import prepare
        from odyssey.study.sweep import conduct

        assert self.config is not None and self.launcher is not None
        hydras = [str(word) for word in self.config.hydra.overrides.hydra]
        plan = prepare([*hydras, *arguments])
        assert plan is not None
        return conduct(plan, self.launcher.launch)


class SearchSweeper(GridSweeper):
    """The same: a name to ask for a search by."""


store = ConfigStore.instance()
store.store(group="hydra/sweeper", name="grid", node=StudyConfig, provider="odyssey")
store.store(group="hydra/sweeper", name="search", node=SearchConfig, provider="odyssey")
