"""Trials as jobs of a queue: what `hydra/launcher=slurm` and `hydra/launcher=slurm_local` do.

Slurm starts a job anew whose time has run out (`max_num_timeout`), and the run goes on from its
checkpoint. A job that ends without a word is a failed run, and no other is touched by it.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from odyssey.errors import UserError
from odyssey.study.launchers import job


def launch(launcher: Any, jobs: Sequence[Sequence[str]], first: int) -> list[Any]:
    """Submit the jobs as one array, and wait for all; their JobReturns in the jobs' order.

    first: Hydra's number of the first job. Raises UserError where nothing can be submitted,
    KeyboardInterrupt on Ctrl-C, once the jobs are cancelled.
    """
    from hydra.core.singleton import Singleton
    from submitit.core.utils import FailedJobError, FailedSubmissionError, UncompletedJobError

    study = job.study_of(launcher)
    numbers = range(first, first + len(jobs))
    try:
        submitted = _executor(launcher._EXECUTOR, launcher.params).map_array(
            launcher,
            [list(words) for words in jobs],
            itertools.repeat("hydra.sweep.dir"),
            numbers,
            [f"job_id_for_{n}" for n in numbers],
            itertools.repeat(Singleton.get_state()),
        )
    except (RuntimeError, OSError, FailedJobError, FailedSubmissionError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        why = next((line for line in lines if "error" in line.lower()), lines[0])
        raise UserError(
            f"hydra/launcher={launcher._EXECUTOR}: nothing was submitted ({why}); type it where "
            "sbatch and srun are, or hydra/launcher=slurm_local to try it on this machine"
        ) from None
    returned: list[Any] = []
    stop_early = job.stops_early(launcher)
    try:
        for number, words, sent in zip(numbers, jobs, submitted, strict=True):
            try:
                returned.append(sent.results()[0])
            except (UncompletedJobError, FailedJobError) as error:
                why = f"job {sent.job_id} of {launcher._EXECUTOR}: {_last_line(error)}"
                returned.append(job.lost(study, words, number, why))
            if stop_early and job.has_failed(returned[-1]):
                _cancel(launcher._EXECUTOR, submitted[len(returned) :])
                raise job.Stopped(dict(enumerate(returned)))
    except KeyboardInterrupt:
        _cancel(launcher._EXECUTOR, submitted[len(returned) :])
        raise
    return returned


def _executor(name: str, settings: Mapping[str, Any]) -> Any:
    """Submitit's, with the settings of hydra.launcher."""
    import submitit
    from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf

    left = dict(settings)
    own = {"folder": left.pop("submitit_folder")}
    if "max_num_timeout" in left:
        own[f"{name}_max_num_timeout"] = left.pop("max_num_timeout")
    executor = submitit.AutoExecutor(cluster=name, **own)
    shared = BaseQueueConf.__dataclass_fields__
    executor.update_parameters(
        **{k if k in shared else f"{name}_{k}": v for k, v in left.items() if v is not None}
    )
    return executor


def _cancel(name: str, jobs: Sequence[Any]) -> None:
    """Ask the jobs to stop: each has a little time to write a checkpoint in."""
    if name == "slurm":
        arrays = dict.fromkeys(sent.job_id.partition("_")[0] for sent in jobs)
        subprocess.run(["scancel", *arrays], check=False)
        return
    # As scancel does. Submitit's own way would kill them a second later.
    for sent in jobs:
        with suppress(ProcessLookupError):
            os.kill(int(sent.job_id), signal.SIGTERM)
    for sent in jobs:
        sent.wait()


def _last_line(error: Exception) -> str:
    """What submitit knows of a job without a result: its state, or the end of its traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" -")]
    state = next((line for line in lines if "(state: " in line), None)
    if state is None:
        ends = [n for n, line in enumerate(lines) if line.startswith("You can check full logs")]
        return lines[ends[0] - 1] if ends and ends[0] else lines[-1]
    return "it ended without a result, as " + state.partition("(state: ")[2].partition(")")[0]


@contextmanager
def signals_heeded() -> Iterator[None]:
    """In a job: when it is cancelled, or its time runs out, the run first writes its checkpoint.

    Then it goes back to the queue, where its time was up. Submitit's own answer to that signal
    would end the run where it is, as if it had failed; to the other, go on.
    """
    from submitit import JobEnvironment

    number = getattr(signal, f"SIG{JobEnvironment.USR_SIG}")
    requeue: Any = signal.getsignal(number)
    asked: list[int] = []

    def ask(number: int, frame: Any) -> None:
        if not asked:
            signal.raise_signal(signal.SIGINT)  # as on Ctrl-C: the run stops at the next update
        asked.append(number)

    before = {number: signal.signal(number, ask)}
    for each in (signal.SIGINT, signal.SIGTERM):  # SIGTERM: of scancel
        before[each] = signal.signal(each, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        if asked:
            requeue(number, None)  # ends the process
        raise
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
