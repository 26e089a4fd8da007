"""One trial of a study: Hydra's task function, the same under every launcher."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import math
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from odyssey.cli_utils import print_error, show
from odyssey.code_hash import source_hash
from odyssey.config.identity import data_options
from odyssey.errors import UserError
from odyssey.streams import open_log
from odyssey.study.store import search_of

RUN = "hydra.job.name="  # the override of Hydra that names the run of a trial
STANDARD = (1, 2)  # the file descriptors of standard output and standard error


@contextmanager
def console_into(path: Path) -> Iterator[None]:
    """Add all that this process prints to the end of `path`.

    The descriptors too, and not only Python's streams: what C libraries and child processes print
    goes there as well. Whoever wants to reach the terminal meanwhile needs a duplicate of its
    descriptor, made before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_log(path) as log:
        _flush()
        streams = sys.stdout, sys.stderr
        before = {number: _duplicate(number) for number in STANDARD}
        try:
            for number in STANDARD:
                os.dup2(log.fileno(), number)
            sys.stdout = sys.stderr = log
            yield
        finally:
            sys.stdout, sys.stderr = streams
            _flush()
            for number, copy in before.items():
                if copy is None:
                    os.close(number)
                else:
                    os.dup2(copy, number)
                    os.close(copy)


def _duplicate(number: int) -> int | None:
    """None where the descriptor is closed, as in a service without a console."""
    try:
        return os.dup(number)
    except OSError:
        return None


def _flush() -> None:
    """Let what was printed so far go where it was meant to."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # None, closed, or something that is no file
            stream.flush()
    with contextlib.suppress(Exception):  # of the C library's own streams
        ctypes.CDLL(None).fflush(None)


def job(cfg: DictConfig) -> dict[str, Any]:
    """Train one run, and say what became of it; a run that fails raises nothing.

    Returns `status` (finished, diverged, failed, or elsewhere: another process trains it),
    `folder`, `objective` (the best validation value, nan where there is none) and `error`. What
    the run prints goes to `<output_dir>/<study>/logs/<run>.log`.

    Raises KeyboardInterrupt after an interruption, of which run.json knows.
    """
    return _logged(cfg, _train)


def died(cfg: DictConfig, error: str) -> dict[str, Any]:
    """What `job` returns, for a trial whose process ended without a word; `error` says how."""

    def note(cfg: DictConfig, overrides: Sequence[str], folder: Path) -> dict[str, Any]:
        show(error)
        _record(cfg, overrides, error, folder)
        return _outcome("failed", folder, error=error)

    return _logged(cfg, note)


def _logged(cfg: DictConfig, action: Any) -> dict[str, Any]:
    """Do `action` on the finished configuration, with its console in the run's log."""
    from odyssey.training.failure import NoRoom, last_lines

    folder = None
    try:
        cfg, overrides = _finished(cfg), _overrides()
        folder = planned_folder(cfg)
        with console_into(folder.parent / "logs" / f"{folder.name}.log"):
            return action(cfg, overrides, folder)
    except (Exception, SystemExit) as error:  # there is no log: no room, no folder
        full = NoRoom.of(error, folder) if folder is not None else None
        return _outcome("failed", folder, error=last_lines(full or error))
    finally:
        gc.collect()  # a trainer and its model hold each other


def planned_folder(cfg: DictConfig) -> Path:
    """The folder of the run that the study has planned, whatever became of its data meanwhile.

    A run that no study of ours has planned has the folder of its configuration.
    """
    from hydra.core.hydra_config import HydraConfig

    from odyssey.training.run_dir import run_path

    if HydraConfig.initialized():
        hydra = HydraConfig.get()
        if any(o.startswith(RUN) for o in hydra.overrides.hydra):
            return Path(cfg.output_dir) / cfg.study / hydra.job.name
    return run_path(cfg)


def _train(cfg: DictConfig, overrides: Sequence[str], folder: Path) -> dict[str, Any]:
    from odyssey.config.validate import config_errors
    from odyssey.training.failure import NoRoom, last_lines
    from odyssey.training.run_dir import Busy, Refused, run_path

    try:
        found = config_errors(cfg)
        if found:
            raise UserError(*found)
        if run_path(cfg) != folder:
            raise UserError(
                f"{_own_parts(cfg)} is another than when the study was planned: the same command "
                "plans it anew"
            )
        from odyssey.training.train import train

        accept = partial(_claim, cfg, folder.parent)
        result = train(cfg, overrides, study=search_of(folder), accept=accept)
        return _outcome(result.status, folder, objective=result.objective, reusable=result.reusable)
    except Busy as error:
        return _outcome("elsewhere", folder, error=str(error))
    except (Exception, SystemExit) as error:  # SystemExit: a library that gives up
        full = NoRoom.of(error, folder)
        _show(full or error)
        if full is None and not isinstance(error, Refused):
            _record(cfg, overrides, last_lines(error), folder)
        return _outcome("failed", folder, error=last_lines(full or error))


def _claim(cfg: DictConfig, study: Path, data: Mapping[str, str]) -> None:
    """See that the study's other runs have the same data. Raises UserError where they have not."""
    from odyssey.study.store import claim_data

    if cfg.task.name == "synthetic":  # made from the run's own settings
        return
    claim_data(study, data_options(cfg), data, cfg.resume.mixed)


def _own_parts(cfg: DictConfig) -> str:
    """The settings that name files of the user's, whose content makes another run."""
    own = [] if cfg.task.get("path") is None else [f"task.path={cfg.task.path}"]
    if source_hash(cfg.cell._target_) is not None:
        own.append(f"cell._target_={cfg.cell._target_}")
    return " or ".join(own) or data_options(cfg)


def _finished(cfg: DictConfig) -> DictConfig:
    from odyssey.config.compose import finish

    cfg = finish(cfg)
    if cfg.trainer.threads is None:
        # The number of threads may change the last bits, and so must not hang on the launcher.
        cfg.trainer.threads = 1
    return cfg


def _overrides() -> list[str]:
    """The words that make this trial, with those that say where its configuration files are."""
    from hydra.core.hydra_config import HydraConfig

    from odyssey.config.sources import CONFIG_NAME, PRIMARY, SEARCH_PATH

    if not HydraConfig.initialized():
        return []
    hydra = HydraConfig.get()
    found = [o for o in hydra.overrides.hydra if o.startswith(f"{SEARCH_PATH}=")][-1:]
    if hydra.job.config_name != PRIMARY:
        found.append(f"{CONFIG_NAME}={hydra.job.config_name}")
    return [*found, *hydra.overrides.task]


def _show(error: BaseException) -> None:
    """Into the log."""
    if isinstance(error, UserError):
        for message in error.messages:
            print_error(message)
    else:
        traceback.print_exception(error)


def _record(cfg: DictConfig, overrides: Sequence[str], error: str, folder: Path) -> None:
    """Into run.json, if at all possible."""
    from odyssey.training.failure import record_failure

    try:
        record_failure(cfg, overrides, error, folder)
    except Exception as why:  # the failure may be that nothing can be written
        _show(why)


def _outcome(
    status: str,
    folder: Path | None,
    *,
    objective: float = math.nan,
    error: str | None = None,
    reusable: bool = False,
) -> dict[str, Any]:
    return {
        "reusable": reusable,
        "status": status,
        "folder": None if folder is None else str(folder),
        "objective": objective,
        "error": error,
    }
