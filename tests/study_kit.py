"""Trials for the tests of launchers: task functions, cells, and a launcher with all it needs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from omegaconf import OmegaConf, open_dict

from odyssey.cells import LSTM
from odyssey.config import sources
from odyssey.config.compose import compose
from odyssey.config.schema import register
from odyssey.study.trial import job
from run_kit import once

TINY = [
    "task=charlm",
    "task.data=hello",
    "task.sample_length=20",
    "model.hidden_size=8",
    "trainer.max_steps=5",
    "logger.mode=disabled",
]
LONG = [
    "task=charlm",
    "task.data=hello",
    "task.sample_length=20",
    "model.hidden_size=8",
    "trainer.max_epochs=null",
    "trainer.max_steps=1000000",
    "trainer.val_every=1000",
    "trainer.checkpoint_every=10",
    "trainer.log_every=10",
]


def config(out: Path, *words: str) -> Any:
    """One run's, checked."""
    return compose(once(*TINY, f"output_dir={out}", *words))


def launch(
    out: Path, trials: Sequence[Sequence[str]], task: Any = job, launcher: str = "local_pool", **set
) -> list[Any]:
    """Launch the trials as a sweeper does; their JobReturns."""
    register()
    GlobalHydra.instance().clear()
    words = [f"output_dir={out}", f"hydra/launcher={launcher}"]
    trials = [once(*TINY, f"output_dir={out}", *trial) for trial in trials]
    words += [f"hydra.launcher.{name}={value}" for name, value in set.items()]
    with initialize_config_dir(str(sources.CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        cfg = loader.load_configuration("config", words, run_mode=RunMode.MULTIRUN)
        with open_dict(cfg):
            cfg.hydra.job.name = "test"
        HydraConfig.instance().set_config(cfg)
        made = Plugins.instance().instantiate_launcher(
            hydra_context=HydraContext(config_loader=loader, callbacks=Callbacks(cfg)),
            task_function=task,
            config=cfg,
        )
        return list(made.launch(trials, initial_job_idx=0))


def statuses(returned: Sequence[Any]) -> list[str]:
    return [r.return_value["status"] for r in returned]


# -- task functions, which say what they find in their process, and leave it a mess --------------

left: list[int] = []


def mess(cfg: Any) -> dict[str, Any]:
    """What the trial finds, before it leaves its own."""
    found = {
        "seed": cfg.seed,
        "variable": os.environ.get("LEFT"),
        "dtype": str(torch.get_default_dtype()),
        "threads": torch.get_num_threads(),
        "list": list(left),
        "folder": os.getcwd(),
        "process": os.getpid(),
        "parent": os.getppid(),
    }
    os.environ["LEFT"] = str(cfg.seed)
    os.environ.pop("PATH")
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(2)
    left.append(cfg.seed)
    os.chdir("/")
    return found


def gpu(cfg: Any) -> str | None:
    """What CUDA would see; the second trial starts while the first one still runs."""
    time.sleep(0.3 if cfg.seed == 0 else 0.0)
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def counted(cfg: Any) -> dict[str, Any]:
    """A trial after which its process may do another."""
    return {"seed": cfg.seed, "process": os.getpid(), "threads": torch.get_num_threads()} | {
        "reusable": True,
        "status": "finished",
    }


def second_dies(cfg: Any) -> dict[str, Any]:
    """The same, but the trial with seed 1 is killed."""
    if cfg.seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return counted(cfg)


def second_is_its_own(cfg: Any) -> dict[str, Any]:
    """The same, but the trial with seed 1 has run code of the user's."""
    return counted(cfg) | {"reusable": cfg.seed != 1}


def ends_at_once(cfg: Any) -> None:
    os._exit(3)


def raises(cfg: Any) -> None:
    class Local(Exception):
        """No other process can unpickle it."""

    raise Local(f"at seed {cfg.seed}")


def plain(cfg: Any) -> Any:
    return OmegaConf.to_container(cfg.trainer)


# -- cells that end their trial ------------------------------------------------------------------


class Ends(LSTM):
    """Ends in the first update; until then, while the cell is only looked at, it is an LSTM."""

    def step(self, x: Any, R: Any, p: Any, s: Any) -> Any:
        if self.hidden_size == 8 and s.h.requires_grad:
            self.end()
        return super().step(x, R, p, s)

    def end(self) -> None: ...


class Killed(Ends):
    """As where memory runs out."""

    def end(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Stuck(Ends):
    """Never comes to the end of the update."""

    def end(self) -> None:
        print("no end of this update", flush=True)
        while True:
            time.sleep(1)


class NoMemory(Ends):
    def end(self) -> None:
        raise MemoryError("no more")


class GivesUp(Ends):
    def end(self) -> None:
        raise SystemExit(3)


class Buggy(Ends):
    def end(self) -> None:
        raise ZeroDivisionError("a bug in a cell")


class Late(Ends):
    """Fails when runs beside it have begun."""

    def end(self) -> None:
        time.sleep(0.7)
        raise ZeroDivisionError("a bug in a cell")


class Float64(Ends):
    def end(self) -> None:
        torch.set_default_dtype(torch.float64)
