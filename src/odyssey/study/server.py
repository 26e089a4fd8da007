"""The process that trials are forked from: everything imported, nothing done.

It is a process of its own so that the study's imports no torch, and so that each trial starts
within milliseconds from the same clean state. Unlike multiprocessing's fork server it has a
session of its own, which Ctrl-C in a terminal does not reach, does not run the main script again,
and ends its trials where the study is killed.

Messages from the study: ("study", bytes), ("start", Trial), ("stop",), ("kill",). To it:
("ended", number, a pickled JobReturn or b"", how the process ended).
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import select
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any

from odyssey.code_hash import code_version
from odyssey.study import preload, worker
from odyssey.study.worker import GRACE_SECONDS, Trial


def main(descriptor: int) -> None:
    """Serve the study at the other end of the socket `descriptor` until it is gone."""
    # Blocked, and so not lost on a trial between its fork and its first line.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    preload.load(preload.RUN)
    code_version()  # of what was imported just now, whatever becomes of the files
    Server(Connection(descriptor)).serve()


@dataclass
class Child:
    """A trial that runs."""

    trial: Trial
    result: int  # the descriptor to read its JobReturn from
    read: bytearray


class Server:
    """The trials that run, by the number of their process."""

    def __init__(self, study: Connection) -> None:
        self.connection = study
        self.study: Mapping[str, Any] = {}
        self.children: dict[int, Child] = {}
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
        results = {c.result: c for c in self.children.values()}
        files = [self.connection.fileno(), self.woken, *results]
        ready, _, _ = select.select(files, [], [], seconds)
        for file in ready:
            if file in results:
                _read(results[file])
        if self.woken in ready:
            with contextlib.suppress(BlockingIOError):
                while os.read(self.woken, 4096):
                    pass
            self._bury()
        return ready

    def _obey(self, order: str, *rest: Any) -> None:
        if order == "study":
            self.study, self.stopping = _unpack(rest[0]), False
        elif order == "start":
            self._fork(rest[0])
        else:
            self.stopping = True
            self._signal(signal.SIGINT if order == "stop" else signal.SIGKILL)

    def _fork(self, trial: Trial) -> None:
        result, write = os.pipe()
        try:
            pid = os.fork()
        except OSError as error:
            os.close(result)
            os.close(write)
            why = f"no process could be started for it ({error.strerror})"
            self.connection.send(("ended", trial.number, b"", why))
            return
        if pid == 0:
            os.setpgid(0, 0)
            results = [child.result for child in self.children.values()]
            for other in (self.held, result, self.woken, *results):
                os.close(other)
            os.close(self.connection.fileno())
            worker.main(self.study, trial, write, self.lifeline)
        with contextlib.suppress(OSError):  # either of the two is first
            os.setpgid(pid, pid)
        os.close(write)
        os.set_blocking(result, False)
        self.children[pid] = Child(trial, result, bytearray())

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
            child = self.children.pop(pid, None)
            if child is None:
                continue
            _read(child)
            os.close(child.result)
            trial, told = child.trial, bytes(child.read)
            how = "" if told else _how(os.waitstatus_to_exitcode(status))
            if told or self.stopping or trial.death is not None:
                self.connection.send(("ended", trial.number, told, trial.death or how))
            else:  # without a word, and not by our wish: another process says so in its folder
                self._fork(replace(trial, death=how))

    def _give_up(self) -> None:
        """The study is gone: its trials stop as on Ctrl-C, and whatever then is left is killed."""
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
    from hydra.core.singleton import Singleton
    from hydra.core.utils import setup_globals

    outer = pickle.loads(packed)
    sys.path[:] = outer["path"]
    setup_globals()
    study = pickle.loads(outer["study"])
    Singleton._instances.update(study["singletons"])
    Plugins.instance()
    config = study["config"]
    if config.logger.mode != "disabled":
        preload.load(preload.WANDB)
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
