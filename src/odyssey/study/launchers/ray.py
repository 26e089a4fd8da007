"""Trials on the machines of a Ray cluster: what `hydra/launcher=ray_cluster` does.

Ray runs a trial again whose worker or machine is gone (`max_retries`), and the run goes on from its
checkpoint. A trial that Ray gives up is a failed run, and no other is touched by it.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from odyssey.cli_utils import see_current_folder
from odyssey.errors import UserError
from odyssey.study.launchers import job

CONNECT_SECONDS = 10.0
STOP_SECONDS = 60.0  # for the trials to write a checkpoint in, after Ctrl-C


def launch(launcher: Any, jobs: Sequence[Sequence[str]], first: int) -> list[Any]:
    """Run the jobs, as many at a time as the cluster has room for; JobReturns in the jobs' order.

    first: Hydra's number of the first job. Raises UserError where there is no cluster,
    KeyboardInterrupt on Ctrl-C, once the trials have stopped.
    """
    import ray
    from omegaconf import OmegaConf

    settings: Any = OmegaConf.to_container(launcher.ray_cfg, resolve=True)
    _connect(settings["init"])
    task = ray.remote(**settings["remote"])(on_node) if settings["remote"] else ray.remote(on_node)
    study = job.study_of(launcher)
    shared: Any = ray.put(study | {"folder": os.getcwd()})
    numbers = {task.remote(shared, list(words), first + n): n for n, words in enumerate(jobs)}
    returned: dict[int, Any] = {}
    left = list(numbers)
    stop_early = job.stops_early(launcher)
    try:
        while left:
            (done,), left = ray.wait(left, num_returns=1)
            n = numbers.pop(done)
            try:
                returned[n] = job.returned(jobs[n], ray.get(done))
            except ray.exceptions.LocalRayletDiedError:
                raise UserError(
                    "Ray has ended on the machine that the study was started on; start it again, "
                    "and the same command goes on with what is missing"
                ) from None
            except ray.exceptions.RayError as error:
                returned[n] = job.lost(study, jobs[n], first + n, _sentence(error))
            if stop_early and job.has_failed(returned[n]):
                _cancel(left)
                raise job.Stopped(returned)
    except (KeyboardInterrupt, SystemExit):
        _cancel(left)
        raise KeyboardInterrupt from None
    return [returned[n] for n in range(len(jobs))]


def _cancel(trials: Sequence[Any]) -> None:
    """Ask the trials to stop, and wait until they have written a checkpoint."""
    import ray

    for trial in trials:
        ray.cancel(trial)
    if trials:
        ray.wait(list(trials), num_returns=len(trials), timeout=STOP_SECONDS)


def _connect(settings: Mapping[str, Any]) -> None:
    import ray

    if ray.is_initialized():
        return
    address = settings.get("address")
    nobody = UserError(
        f"hydra.launcher.ray.init.address={address} leads to no cluster that answers: start one "
        "with `ray start --head`, type its host:port there, or null for one of this machine alone"
    )
    if not _answers(address):
        raise nobody
    try:
        ray.init(**settings)
    except ConnectionError:
        raise nobody from None
    except (RuntimeError, TypeError, ValueError) as error:
        raise UserError(
            f"hydra/launcher=ray_cluster: Ray refuses hydra.launcher.ray.init: {_first_line(error)}"
        ) from None


def _answers(address: Any) -> bool:
    """Whether something listens at the address, where it can be told; Ray would ask for ever."""
    from ray._private.services import get_ray_address_from_environment

    if address is None and not os.environ.get("RAY_ADDRESS"):
        return True
    with suppress(ConnectionError):
        # Of a cluster that is gone, its file may say `auto` where it was.
        found = str(get_ray_address_from_environment(address, None))
        host, _, port = found.rpartition(":")
        if not port.isdigit() or "/" in host:  # ray://… and the like: Ray's to judge
            return True
        with suppress(OSError), socket.create_connection((host, int(port)), CONNECT_SECONDS):
            return True
    return False


def on_node(study: Mapping[str, Any], words: Sequence[str], index: int) -> Any:
    """Run one trial in this process, of any machine; what the task function returns."""
    try:
        os.chdir(study["folder"])
    except OSError as error:
        raise RuntimeError(
            f"{socket.gethostname()} has no folder {study['folder']} ({error.strerror}): the "
            "project must lie where every machine sees it under the same name"
        ) from None
    see_current_folder()
    job.install(study)
    # Ray's own answer to SIGTERM, by which it ends a process, would be a failure of the run.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return job.outlast(lambda: job.run(study, words, index)).return_value
    except KeyboardInterrupt:
        return {"status": "interrupted", "folder": None, "error": None}
    finally:
        signal.signal(signal.SIGTERM, before)


def _sentence(error: Exception) -> str:
    """What became of a trial that returned nothing."""
    import ray

    if isinstance(error, ray.exceptions.RayTaskError):
        return f"Ray: {str(error).strip().splitlines()[-1]}"
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return "Ray ended the process, and those that tried again, since memory ran out"
    return f"Ray: the process ended, and those that tried again: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
