"""The process that trials are forked from: everything imported, nothing done.

It is a process of its own so that the study's imports no torch, and so that each trial starts
within milliseconds from the same clean state.

multiprocessing's fork server was tried in its place. With its public functions alone the study
does not see that a server was killed, cannot start another one with other modules, and runs the
main script again in each trial, which tests/test_study_pool.py forbids. With its private ones the
tests hold, but it takes as many lines, depends on names that change between versions of Python,
reaps trials before the study knows of their end, so that a signal may reach another process, and
dies where the system refuses a process; here one trial fails.

A process whose trial was of Odyssey's own parts and ended well may be given another one, as often
as the study says: starting a process, and what each makes anew, takes longer than a small run. One
that has run code of the user's own, or whose run failed, ends with it.

Messages from the study: ("study", bytes), ("start", Trial), ("stop",), ("kill",). To it:
("ended", number, a pickled JobReturn or b"", how the process ended).
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import logging
import multiprocessing.util
import os
import pickle
import select
import signal
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from odyssey.code_hash import code_version
from odyssey.streams import prepare
from odyssey.study.launchers import job

GRACE_SECONDS = 5.0  # to write a checkpoint in, once nobody is left to wait for it


@dataclass(frozen=True)
class Trial:
    """What a process is to do."""

    number: int  # among the jobs of the launch
    index: int  # Hydra's number of the job
    overrides: tuple[str, ...]
    environment: Mapping[str, str]  # set besides those of the launching process
    place: int = 0  # which of the processes that run at a time
    fuse: int = 1  # trials that a process may do, one after another
    death: str | None = None  # how an earlier process of this trial ended, to be recorded


def run_trials(
    study: Mapping[str, Any], first: Trial, result: int, orders: int, lifeline: int
) -> None:
    """Do the trial, write its JobReturn to the descriptor `result`, and go on with others, or end.

    orders: the descriptor from which further trials are read
    """
    code, done = 1, 0
    trial: Trial | None = first
    try:
        _leave_the_servers_end()
        while trial is not None:
            try:
                _heed_signals()
                if not done:
                    threading.Thread(target=_watch, args=(lifeline,), daemon=True).start()
                returned = _returned(study, trial)
            except KeyboardInterrupt:
                _heed_no_more()
                value = {"status": "interrupted", "folder": None, "error": None}
                returned = job.returned(trial.overrides, value)
            _heed_no_more()
            done += 1
            more = done < trial.fuse and _is_reusable(returned)
            # Where the server is gone, there is nobody to tell; the run's folder says it all.
            with contextlib.suppress(BrokenPipeError):
                _write(result, (pickle.dumps(returned), more))
            trial = _read_order(orders) if more else None
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        _end(code)


def _is_reusable(returned: Any) -> bool:
    """Whether the process of this trial may do another."""
    value = returned._return_value
    return isinstance(value, Mapping) and bool(value.get("reusable"))


def _write(descriptor: int, value: Any) -> None:
    """Pickle a value, after the number of its bytes."""
    packed = pickle.dumps(value)
    whole = memoryview(len(packed).to_bytes(8, "little") + packed)
    while whole:
        whole = whole[os.write(descriptor, whole) :]


def _read_order(descriptor: int) -> Trial | None:
    """The next trial; None where there is no other."""
    found = bytearray()
    while len(found) < 8 or len(found) < 8 + int.from_bytes(found[:8], "little"):
        some = os.read(descriptor, 1 << 16)
        if not some:
            return None
        found += some
    trial: Trial = pickle.loads(found[8:])
    return trial


def _heed_signals() -> None:
    """The study stops a trial by SIGINT; who wants to end it alone sends SIGTERM.

    Systems that end a whole job send SIGTERM to each of its processes, so that a trial gets both:
    that is one request (see odyssey.training.callbacks.signals), with a checkpoint.
    """
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def _heed_no_more() -> None:
    """It is too late to stop anything."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


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
        returned = job.returned(trial.overrides, _plain(error))
        returned.status = JobStatus.FAILED
        return returned
    if returned.status == JobStatus.FAILED:
        returned._return_value = _plain(returned._return_value)
    return returned


def _run(study: Mapping[str, Any], trial: Trial) -> Any:
    """The JobReturn of the trial, in the environment that it is given."""
    from odyssey.training.wandb import start_service

    os.environ.clear()
    os.environ.update(study["environment"])
    os.environ.update(trial.environment)
    os.chdir(study["folder"])
    if "on_death" not in study:  # a run that is trained
        start_service(study["config"].logger.mode)  # while the configuration is composed
    task = None
    if trial.death is not None:
        task = partial(study.get("on_death", _record_death), error=trial.death)
    return job.run(study, trial.overrides, trial.index, task)


def _record_death(cfg: Any, error: str) -> dict[str, Any]:
    from odyssey.study.trial import died

    return died(cfg, error)


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


RUN = (
    "hydra._internal.hydra",
    "hydra.core.plugins",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "multiprocessing.synchronize",
    "odyssey.config.compose",
    "odyssey.config.validate",
    "odyssey.study.trial",
    "odyssey.study.compatibility",
    "odyssey.tasks.language_model",
    "odyssey.training.failure",
    "odyssey.training.train",
    # What others put off to their first use, at which each trial would import it again.
    "PIL.BmpImagePlugin",
    "PIL.GifImagePlugin",
    "PIL.JpegImagePlugin",
    "PIL.PngImagePlugin",
    "PIL.PpmImagePlugin",
    "mido",
    "pooch",
    "torch.profiler",
    "torch.utils.serialization.config",
    "tqdm.auto",
)
WANDB = (  # half a second, which not all need
    "wandb",
    "wandb.apis.public",
    "wandb.sdk.launch.inputs.internal",
    "wandb.sdk.launch.inputs.schema",
    "pandas",
    "requests",
)


def load(names: Sequence[str]) -> None:
    """Import those that are there: a later version of a package may have moved its parts."""
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            if name.startswith("odyssey."):
                raise


def main(descriptor: int) -> None:
    """Serve the study at the other end of the socket `descriptor` until it is gone."""
    prepare()
    # Blocked, and so not lost on a trial between its fork and its first line.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    load(RUN)
    code_version()  # of what was imported just now, whatever becomes of the files
    Server(Connection(descriptor)).serve()


@dataclass
class Child:
    """A process, with the trial that it runs."""

    trial: Trial
    result: int  # the descriptor to read JobReturns from
    orders: int  # the descriptor to write further trials to; -1 where it is closed
    read: bytearray
    waits: bool = False  # for another trial; the one that it had is done

    def dismiss(self) -> None:
        """Let it end, where it waits or as soon as it would."""
        if self.orders >= 0:
            os.close(self.orders)
            self.orders = -1

    def take(self) -> tuple[bytes, bool] | None:
        """The JobReturn of its trial, pickled, once it is there, and whether it waits for more."""
        if len(self.read) < 8:
            return None
        end = 8 + int.from_bytes(self.read[:8], "little")
        if len(self.read) < end:
            return None
        packed, more = pickle.loads(self.read[8:end])
        del self.read[:end]
        return packed, more


class Server:
    """The trials that run, by the number of their process."""

    def __init__(self, study: Connection) -> None:
        self.connection = study
        self.study: Mapping[str, Any] = {}
        self.children: dict[int, Child] = {}
        self.told: set[int] = set()  # processes whose last trial is told of
        self.stopping = False
        self.lifeline, self.held = os.pipe()  # trials read the one, and the server has the other
        self.woken, wake = os.pipe()
        os.set_blocking(self.woken, False)
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def serve(self) -> None:
        """Until the study is gone."""
        try:
            while True:
                ready = self._wait()
                if self.connection.fileno() in ready:
                    self._obey(*self.connection.recv())
        except (EOFError, OSError):
            self._give_up()

    def _wait(self, seconds: float | None = None) -> list[int]:
        """What can be read; results are read, and ends of processes noted, on the way."""
        results = {c.result: pid for pid, c in self.children.items() if pid not in self.told}
        files = [self.connection.fileno(), self.woken, *results]
        ready, _, _ = select.select(files, [], [], seconds)
        for file in ready:
            if file in results:
                self._listen(results[file])
        if self.woken in ready:
            with contextlib.suppress(BlockingIOError):
                while os.read(self.woken, 4096):
                    pass
            self._bury()
        return ready

    def _obey(self, order: str, *rest: Any) -> None:
        if order == "study":
            for child in self.children.values():
                child.dismiss()  # it has what the trials before had
            self.study, self.stopping = _unpack(rest[0]), False
        elif order == "start":
            self._start(rest[0])
        else:
            self.stopping = True
            for child in self.children.values():
                child.dismiss()
            self._signal(signal.SIGINT if order == "stop" else signal.SIGKILL)

    def _listen(self, pid: int) -> None:
        """Read what a process has written; tell the study where its trial is done."""
        child = self.children[pid]
        _read(child)
        found = child.take()
        if found is None:
            return
        packed, child.waits = found
        if not child.waits:
            self.told.add(pid)
        if self.stopping:
            child.dismiss()
        self.connection.send(("ended", child.trial.number, packed, ""))

    def _start(self, trial: Trial) -> None:
        """Give the trial to the process of its place that waits, or to a new one."""
        for child in self.children.values():
            if child.waits and child.trial.place == trial.place and child.orders >= 0:
                try:
                    _write(child.orders, trial)
                except BrokenPipeError:  # it has ended meanwhile
                    break
                child.trial, child.waits = trial, False
                return
        self._fork(trial)

    def _fork(self, trial: Trial) -> None:
        result, write = os.pipe()
        read, orders = os.pipe()
        try:
            pid = os.fork()
        except OSError as error:
            for descriptor in (result, write, read, orders):
                os.close(descriptor)
            why = f"no process could be started for it ({error.strerror})"
            self.connection.send(("ended", trial.number, b"", why))
            return
        if pid == 0:
            os.setpgid(0, 0)
            others = [child.result for child in self.children.values()]
            others += [child.orders for child in self.children.values() if child.orders >= 0]
            for other in (self.held, result, orders, self.woken, *others):
                os.close(other)
            os.close(self.connection.fileno())
            run_trials(self.study, trial, write, read, self.lifeline)
        with contextlib.suppress(OSError):  # either of the two is first
            os.setpgid(pid, pid)
        os.close(write)
        os.close(read)
        os.set_blocking(result, False)
        self.children[pid] = Child(trial, result, orders, bytearray())

    def _signal(self, number: signal.Signals) -> None:
        """SIGINT to each trial; SIGKILL to all that it started too."""
        for pid in self.children:
            with contextlib.suppress(ProcessLookupError):
                if number == signal.SIGKILL:
                    os.killpg(pid, number)
                else:
                    os.kill(pid, number)

    def _bury(self) -> None:
        """Tell the study of the processes that have ended."""
        while self.children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self.children.get(pid)
            if child is None:
                continue
            if pid not in self.told and not child.waits:
                self._listen(pid)
            told = pid in self.told or child.waits
            self.told.discard(pid)
            del self.children[pid]
            os.close(child.result)
            child.dismiss()
            if told:
                continue
            trial, how = child.trial, _how(os.waitstatus_to_exitcode(status))
            if self.stopping or trial.death is not None:
                self.connection.send(("ended", trial.number, b"", trial.death or how))
            else:  # without a word, and not by our wish: another process says so in its folder
                self._fork(replace(trial, death=how))

    def _give_up(self) -> None:
        """The study is gone: its trials stop as on Ctrl-C, and whatever then is left is killed."""
        for child in self.children.values():
            child.dismiss()
        self._signal(signal.SIGINT)
        end = time.monotonic() + GRACE_SECONDS
        while self.children and time.monotonic() < end:
            with contextlib.suppress(ChildProcessError):
                pid, _ = os.waitpid(-1, os.WNOHANG)
                self.children.pop(pid, None)
            time.sleep(0.02)
        self._signal(signal.SIGKILL)


def _read(child: Child) -> None:
    with contextlib.suppress(BlockingIOError):
        while some := os.read(child.result, 1 << 16):
            child.read += some


def _unpack(packed: bytes) -> Mapping[str, Any]:
    """What all trials of a launch share, unpickled once before any of them is forked."""
    from hydra.core.plugins import Plugins
    from hydra.core.utils import setup_globals

    outer = pickle.loads(packed)
    sys.path[:] = outer["path"]
    setup_globals()
    study = pickle.loads(outer["study"])
    job.install(study)
    Plugins.instance()
    config = study["config"]
    if config.logger.mode != "disabled":
        load(WANDB)
    with contextlib.suppress(Exception):  # each trial says itself what is wrong with its words
        # Hydra's parser and schemas remember what they have worked out once.
        study["hydra_context"].config_loader.load_sweep_config(config, ["seed=0"])
    gc.collect()
    gc.freeze()  # a collection in a trial would otherwise copy the pages of all these objects
    return study | {"environment": outer["environment"], "folder": outer["folder"]}


def _how(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"the process ended with exit status {code} before the run did"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "a signal"
    memory = ", as systems do when memory runs out" if name == "SIGKILL" else ""
    return f"the process was ended by signal {-code} ({name}){memory}"
