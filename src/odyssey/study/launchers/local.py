"""Several trials at a time on this machine: what `hydra/launcher=local_pool` does.

Each trial runs in a process forked from a server that has imported all it needs, so that a crash
takes one trial only. With `hydra.launcher.fuse=1` it is a fresh one each time; else one after
another is given to a process, as long as they are of Odyssey's own parts and end well.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from odyssey.errors import UserError
from odyssey.study.launchers import job
from odyssey.study.launchers.server import Trial

VISIBLE = "CUDA_VISIBLE_DEVICES"
ORDER = "CUDA_DEVICE_ORDER"


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, by number or by name; those of CUDA_VISIBLE_DEVICES."""
    allowed = os.environ.get(VISIBLE)
    if allowed is None:
        return _counted()
    names = [name.strip() for name in allowed.split(",")]
    # CUDA itself reads the list up to the first entry that names no GPU.
    end = next((i for i, name in enumerate(names) if name in ("", "-1")), len(names))
    return names[:end]


def _counted() -> list[str]:
    """The numbers of this machine's GPUs; none without NVIDIA's driver."""
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.split() if done.returncode == 0 else []


def gpu_environment(slot: int, gpus: Sequence[str] | None) -> dict[str, str]:
    """The variables that give the trial in `slot` (0, 1, …) its GPU, of those in turn.

    gpus: the numbers or names to hand out; [] hides every GPU, None leaves all as it is.
    """
    if gpus is None:
        return {}
    given = {VISIBLE: gpus[slot % len(gpus)] if gpus else ""}
    if ORDER not in os.environ:
        given[ORDER] = "PCI_BUS_ID"  # the numbers of nvidia-smi, which CUDA's own may not be
    return given


AUTO = "auto"
MANY = 64  # trials after which a process is made anew, whatever may have piled up in it
APART_SECONDS = 1.0  # of two signals that are meant as two

_server: Server | None = None  # of this process; kept, since its imports take seconds


def check_settings(launcher: Mapping[str, Any]) -> list[str]:
    """A sentence for each setting of hydra.launcher that is wrong; nothing is started."""
    found = []
    jobs, listed = launcher.get("n_jobs"), launcher.get("gpus")
    if jobs is not None and (type(jobs) is not int or jobs < 1):
        found.append(
            f"hydra.launcher.n_jobs={jobs} is not a number of processes: type 1, 2, …, or null "
            "for as many as there are cores"
        )
    fuse = launcher.get("fuse", AUTO)
    if fuse != AUTO and (type(fuse) is not int or fuse < 1):
        found.append(
            f"hydra.launcher.fuse={fuse} is not a number of trials: type 1 for a process each, 64 "
            f"for a process that does up to 64 one after another, or {AUTO}"
        )
    if listed is not None and not _names_gpus(listed):
        found.append(
            f"hydra.launcher.gpus={listed} is not a list of GPUs: type null for all, [] for none, "
            "or their numbers, as in [0,1]"
        )
    return found


def _names_gpus(listed: Any) -> bool:
    if isinstance(listed, (str, bytes, Mapping)) or not hasattr(listed, "__iter__"):
        return False
    names = list(listed)
    right = all(
        (type(n) is int and n >= 0) or (isinstance(n, str) and n.strip() != "") for n in names
    )
    return right and len(set(map(str, names))) == len(names)


def slots(launcher: Mapping[str, Any], threads: int | None) -> list[dict[str, str]]:
    """For each trial that may run at a time, the variables that its environment gets.

    threads: CPU threads of a trial; None is 1.
    """
    listed = launcher.get("gpus")
    names: list[str] | None = visible_gpus() or None
    if listed is not None:
        names = [str(name).strip() for name in listed]
    return [gpu_environment(slot, names) for slot in range(at_a_time(launcher, threads))]


def fused(launcher: Mapping[str, Any]) -> int:
    """Trials that a process may do, one after another."""
    fuse = launcher.get("fuse", AUTO)
    return MANY if fuse == AUTO else int(fuse)


def at_a_time(launcher: Mapping[str, Any], threads: int | None) -> int:
    """How many trials may run at the same time; threads as above."""
    jobs = launcher.get("n_jobs")
    return max(_cores() // (threads or 1), 1) if jobs is None else int(jobs)


def _cores() -> int:
    """Cores that this process may use."""
    with suppress(AttributeError):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Server:
    """The process that forks trials (odyssey.study.launchers.server), from this side."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        start = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            f"from odyssey.study.launchers.server import main; main({theirs.fileno()})"
        )
        # A session of its own: Ctrl-C in the terminal is for this process alone to pass on.
        self.process = subprocess.Popen(
            [sys.executable, "-c", start],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        # Closed with this process, however it ends; the server then ends, with its trials.
        self.connection = Connection(ours.detach())

    def send(self, *message: Any) -> None:
        """Raises UserError where the server has ended."""
        try:
            self.connection.send(message)
        except OSError:
            raise self.gone() from None

    def gone(self) -> UserError:
        """What to say where the server has ended by itself."""
        close()
        return UserError(
            "hydra/launcher=local_pool: the process that starts the trials has ended (exit status "
            f"{self.process.returncode}); the same command goes on with what is missing"
        )

    def close(self) -> None:
        """End it, and wait until it has ended its trials."""
        self.connection.close()
        self.process.wait()


def warm() -> Server:
    """Start the server, if there is none, and leave it to its imports; it is ready when needed."""
    global _server
    if _server is None or _server.process.poll() is not None:
        _server = Server()
    return _server


def abandon() -> None:
    """End the server at once, of which no trial has been asked: its imports are not waited for.

    Until it ends it holds standard output open, which a pipe's reader would wait for.
    """
    global _server
    server, _server = _server, None
    if server is not None:
        server.process.kill()
        server.close()


def close() -> None:
    """End the server. Without this it ends with the process that started it."""
    global _server
    server, _server = _server, None
    if server is not None:
        server.close()


def launch(
    study: Mapping[str, Any],
    jobs: Sequence[Sequence[str]],
    first: int,
    places: Sequence[Mapping[str, str]],
    stop_early: bool = False,
    fuse: int = 1,
) -> list[Any]:
    """Run the jobs, as many at a time as there are places; their JobReturns, in the jobs' order.

    study: what the trials share: hydra_context, config, task_function, singletons; `on_death` too
    where they train nothing: what stands in for a trial whose process ends without a word. first:
    Hydra's number of the first job. Of a JobReturn, `cfg` and `hydra_cfg` are None.
    stop_early: whether to stop at the first run that fails. fuse: trials that a process may do, one
    after another.

    Raises KeyboardInterrupt on SIGINT or SIGTERM, once the trials have ended: they are asked to
    stop, no other starts; at a second signal they are killed. Raises `job.Stopped` where a run has
    failed, with `stop_early`, once the others have been stopped in the same way.
    """
    server = warm()
    server.send("study", _packed(study))
    returned: dict[int, Any] = {}
    running: dict[int, int] = {}  # number of the trial -> its place
    failed: list[int] = []  # numbers of the trials for which the study stops
    try:
        with _signals() as (asked, woken):
            ends = _ended(server, jobs, first, places, fuse, running, asked, failed, woken)
            for number, packed, how in ends:
                returned[number] = _unpacked(packed, how, jobs[number])
                if stop_early and job.has_failed(returned[number]):
                    failed.append(number)
    finally:
        if running:  # an error of ours: no trial is left to itself
            close()
    if asked:
        raise KeyboardInterrupt
    if failed:
        raise job.Stopped(returned)
    return [returned[number] for number in range(len(jobs))]


def _ended(
    server: Server,
    jobs: Sequence[Sequence[str]],
    first: int,
    places: Sequence[Mapping[str, str]],
    fuse: int,
    running: dict[int, int],
    asked: Sequence[float],
    failed: Sequence[int],
    woken: int,
) -> Iterator[tuple[int, bytes, str]]:
    """Each trial as it ends, while the places that become free are filled.

    asked, failed: as they grow; with the first entry of either the trials are asked to stop.
    """
    free = list(range(len(places)))
    todo = list(enumerate(jobs))[::-1]
    heeded, stopping = 0, False
    while running or (todo and not stopping):
        while todo and free and not stopping:
            number, words = todo.pop()
            running[number] = place = free.pop(0)
            trial = Trial(number, first + number, tuple(words), places[place], place, fuse)
            server.send("start", trial)
        ready = wait([server.connection, woken])
        if woken in ready:
            os.read(woken, 4096)
        if len(asked) > heeded:
            heeded = len(asked)
            if heeded > 1 or not stopping:
                server.send("kill" if heeded > 1 else "stop")
            stopping = True
        if server.connection in ready:
            number, packed, how = _received(server)
            free.append(running.pop(number))
            yield number, packed, how
            if failed and not stopping:
                server.send("stop")
                stopping = True


def _packed(study: Mapping[str, Any]) -> bytes:
    """As the server reads it: first where modules are found, then what needs them."""
    return pickle.dumps(
        {
            "path": list(sys.path),
            "folder": str(Path.cwd()),
            "environment": dict(os.environ),
            "study": pickle.dumps(dict(study)),
        }
    )


def _received(server: Server) -> tuple[int, bytes, str]:
    try:
        _, number, packed, how = server.connection.recv()
    except (EOFError, OSError):
        raise server.gone() from None
    return number, packed, how


def _unpacked(packed: bytes, how: str, words: Sequence[str]) -> Any:
    """The JobReturn; one that says `failed` where no process lived to send one."""
    if packed:
        return pickle.loads(packed)
    value = {"status": "failed", "folder": None, "objective": float("nan"), "error": how}
    return job.returned(words, value)


@contextmanager
def _signals() -> Iterator[tuple[list[float], int]]:
    """The times of SIGINT and SIGTERM so far, and a descriptor to read when there is one more."""
    asked: list[float] = []
    woken, wake = os.pipe()

    def ask(number: int, frame: Any) -> None:
        # `timeout`, for one, sends its signal twice: once to the process and once to the group.
        now = time.monotonic()
        if not asked or now > asked[-1] + APART_SECONDS:
            asked.append(now)
            os.write(wake, b"!")

    before = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                # What a shell has set to be ignored, as for `… &` in a script, stays ignored.
                if signal.getsignal(number) != signal.SIG_IGN:
                    before[number] = signal.signal(number, ask)
        yield asked, woken
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(woken)
        os.close(wake)
