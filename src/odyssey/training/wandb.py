"""Weights & Biases, mirroring the run folder: one W&B run for each run.

Each session of a run, killed or not, leaves a part of its W&B run in a folder of its own. W&B
writes a run's file in blocks, so a killed session's part lacks its last seconds, and a session that
goes on repeats updates since the checkpoint. The run folder has every row exactly once. So a new
session logs those rows again, and the earlier parts are put aside: one part holds the whole run.
What was uploaded already is not logged twice.
"""

from __future__ import annotations

import contextlib
import html
import math
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig

from odyssey.cli_utils import show
from odyssey.config.saved import read_config
from odyssey.errors import UserError
from odyssey.io import read_text
from odyssey.registry import plain
from odyssey.training.record import RunRecord, WandbRun
from odyssey.training.run_dir import RunFolder

ASIDE = "earlier"  # a folder that neither `wandb sync` nor `wandb leet` looks into
INSTEAD = "or type logger.mode=offline and upload later with `wandb sync`"
LOGIN_SECONDS = 30.0  # that asking it about the login may take, before data is read
INIT_SECONDS = 30.0  # that W&B's server may take to answer before training starts
FINISH_SECONDS = 300.0  # that uploading the rest may take after it
# What a run folder holds already, or what costs time: code, packages, git, console, system load.
SETTINGS = {
    "silent": True,
    "console": "off",
    "save_code": False,
    "disable_code": True,
    "disable_git": True,
    "x_save_requirements": False,
    "x_disable_stats": True,
    "init_timeout": INIT_SECONDS,
    "finish_timeout": FINISH_SECONDS,
    "finish_timeout_raises": True,
}

# Errors of W&B's, beside those of a connection, that mean that its service has ended.
SERVICE_GONE = ("MailboxClosedError", "HandleAbandonedError", "WandbServiceConnectionError")
MAX_RESTARTS = 2

_starting: threading.Thread | None = None  # what starts W&B's service


def prepare(mode: str) -> None:
    """Make W&B ready for a run of this process, in the background: data can be read meanwhile.

    Raises UserError where `online` was asked for and W&B would not let us in.
    """
    if mode == "online":
        if _starting is not None:  # it sets the environment, which another process would inherit
            _starting.join()
        check_login()
    start_service(mode)


def start_service(mode: str) -> None:
    """Begin to start W&B's service, which takes a moment, and which the next run waits for."""
    global _starting
    if mode != "disabled" and (_starting is None or not _starting.is_alive()):
        _starting = threading.Thread(target=_start_service, args=(mode,), daemon=True)
        _starting.start()


def _start_service(mode: str) -> None:
    with contextlib.suppress(Exception), _own_environment(offline=mode == "offline"):
        import wandb

        wandb.setup()  # if it cannot, neither can the run that is started next, and says so


def check_login() -> None:
    """Ask the server, so that it is said before any data is loaded."""
    command = [sys.executable, "-m", "odyssey.training.wandb_login"]
    asking = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        why = asking.communicate(timeout=LOGIN_SECONDS)[0].strip()
    except subprocess.TimeoutExpired:
        why = "no answer"
    finally:
        with contextlib.suppress(ProcessLookupError):  # W&B's service may outlive the question
            os.killpg(asking.pid, signal.SIGKILL)
        status = asking.wait()
    if status == 1:
        raise UserError(
            "logger.mode=online needs a W&B login, and there is none: type `wandb login`, set "
            f"WANDB_API_KEY, {INSTEAD}"
        )
    if status != 0:
        host = os.environ.get("WANDB_BASE_URL", "its server")
        raise UserError(
            f"logger.mode=online: W&B at {host} did not accept the login ({why or 'no reason'}); "
            f"check the network, type `wandb login --relogin`, {INSTEAD}"
        )


def begin(
    mode: str,
    *,
    folder: str,
    project: str,
    entity: str | None,
    name: str,
    group: str,
    job_type: str,
    config: Mapping[str, Any],
    id: str,
    tags: Sequence[str] = (),
    notes: str | None = None,
) -> Any:
    """W&B's run `id`, begun or gone on with; under `wandb agent` it is the agent's run instead.

    folder: where W&B makes its own folder `wandb`.

    Raises UserError where W&B cannot start.
    """
    if _starting is not None:
        _starting.join()
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"logger.dir={folder} cannot be made ({error.strerror}): type another, or "
            "logger.mode=disabled to go without W&B"
        ) from None
    with _own_environment(offline=mode == "offline"):
        import wandb

        try:
            run = wandb.init(
                dir=folder,
                mode=mode,  # type: ignore[arg-type]
                project=project,
                entity=entity,
                name=name,
                group=group,
                job_type=job_type,
                id=id,
                tags=list(tags) or None,
                notes=notes,
                # Offline too: it is in the run's file, and makes `wandb sync` number the rows
                # after those that the server has instead of from 0 again.
                resume="allow",
                # A run that somebody else has open in this process is not ours to log to or
                # to finish; `wandb.run` stays theirs.
                reinit="create_new",
                config=dict(config),
                settings=wandb.Settings(**SETTINGS),  # type: ignore[arg-type]
            )
        except Exception as error:  # its own, pydantic's, the service's: W&B has many
            way = (
                f"check logger.project, logger.entity and the network, {INSTEAD}"
                if mode == "online"
                else "check logger.project, or type logger.mode=disabled to go without W&B"
            )
            raise UserError(
                f"logger.mode={mode}: W&B could not start the run ({_short(error)}); {way}"
            ) from None
    # A sweep's parameters go by the same names as sections of the configuration, and before them.
    hidden = {k: v for k, v in config.items() if isinstance(v, dict) and k in run.config}
    hidden = {f"{k}_config": v for k, v in hidden.items() if not isinstance(run.config[k], dict)}
    if hidden:
        run.config.update(hidden, allow_val_change=True)
    return run


class Tracker:
    """One run's W&B run, or nothing at all with `mode=disabled`.

    The run folder is the truth. If W&B fails after the start, training goes on without it.
    """

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.run: Any = None
        self.where: WandbRun | None = None  # what `run.json` keeps of it
        self._begin: Callable[[], None] | None = None  # begins or goes on with the run
        self._restarts = 0  # of W&B's service

    def start(
        self,
        *,
        folder: RunFolder,
        logger: DictConfig,
        cell: str,
        config: Mapping[str, Any],
        id: str,
    ) -> None:
        """Begin or continue the W&B run `id`; `where` then says which it is.

        logger: the section of that name of the run's configuration.

        Raises UserError where W&B cannot start.
        """
        if self.mode == "disabled":
            return

        def go_on() -> None:
            self.run = begin(
                self.mode,
                folder=logger.dir or str(folder.path.parent.parent),
                project=logger.project,
                entity=logger.entity,
                name=folder.path.name,
                group=folder.path.parent.name,
                job_type=cell,
                config=config,
                id=id,
                tags=logger.tags,
                notes=logger.notes,
            )
            # W&B counts its rows itself; ours are placed by the number of updates.
            self.run.define_metric("step")
            self.run.define_metric("*", step_metric="step")
            part = Path(self.run.dir).parent
            url = self.run.url if self.mode == "online" else None
            self.where = WandbRun(self.run.id, str(part), url)
            self._catch_up(folder, part, id)

        self._begin = go_on
        go_on()

    def _catch_up(self, folder: RunFolder, part: Path, id: str) -> None:
        """Log what the run folder has and W&B has not, from sessions before this one, as `id`."""
        before = earlier_parts(part.parent, id, part)
        after: float
        if self.run.id != id:
            after = -1  # another run of a sweep has come to this trial
        elif self.mode == "online":
            after = self.run.summary.get("step", -1)  # as the server knows it
        else:
            after = math.inf if any(map(is_uploaded, before)) else -1
        for entry in entries(folder, after):
            self.log(entry.step, entry.epoch, entry.values)
            if entry.sample is not None:
                self.sample(entry.step, entry.sample)
        if self.run is not None:
            for other in before:
                if not is_uploaded(other):
                    put_aside(other)

    def log(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        """One row of history."""
        self._hand_over(lambda run: run.log({"step": step, "epoch": epoch, **values}))

    def sample(self, step: int, path: Path) -> None:
        """A sample file: text, or the picture beside a MIDI file."""

        def send(run: Any) -> None:
            import wandb

            picture = path.with_suffix(".png")
            if path.suffix == ".txt":
                text = html.escape(read_text(path)[0])
                # A file of our own: W&B's folder for them is the first of all forks' to end.
                with tempfile.TemporaryDirectory() as folder:
                    page = Path(folder, "sample.html")
                    page.write_text(f"<pre>{text}</pre>", encoding="utf-8")
                    run.log({"step": step, "sample": wandb.Html(str(page), inject=False)})
            elif picture.exists():
                run.log({"step": step, "sample": wandb.Image(str(picture))})

        self._hand_over(send)

    def finish(self, summary: Mapping[str, Any], exit_code: int) -> None:
        """Close the run with its summary; nothing of it stays open in this process."""

        def close(run: Any) -> None:
            run.summary.update(dict(summary))
            run.finish(exit_code=exit_code)

        self._hand_over(close, again=True)
        self.run = None

    def _hand_over(self, action: Callable[[Any], None], again: bool = False) -> None:
        """Do it with W&B's run. Where its service has gone, start another and catch up.

        again: whether that leaves the action still to be done.
        """
        if self.run is None:
            return
        try:
            action(self.run)
        except Exception as error:  # whatever breaks in W&B, hours of training go on
            why, part = _short(error), Path(self.run.dir).parent
            self.run = None
            gone = isinstance(error, OSError) or type(error).__name__ in SERVICE_GONE
            if gone and self._restart():
                if again:
                    self._hand_over(action)
                return
            show(
                f"W&B failed ({why}) and gets no more of this run; the run folder has all of it, "
                f"and `wandb sync {part}` uploads what W&B has",
                sys.stderr,
            )

    def _restart(self) -> bool:
        """Go on with the run in a new service; whether that is possible."""
        end_service()
        if self._begin is None or self._restarts == MAX_RESTARTS:
            return False
        self._restarts += 1
        try:
            self._begin()
        except UserError:
            self.run = None
        if self.run is not None:
            show("W&B's service was gone and was started again: no row is lost", sys.stderr)
        return self.run is not None


def end_service() -> None:
    """End the connection to a service that is gone, which W&B would try to reach at exit."""
    import wandb

    with _own_environment(offline=True), contextlib.suppress(Exception, SystemExit):
        wandb.teardown(exit_code=1)


@contextmanager
def _own_environment(offline: bool) -> Iterator[None]:
    """Leave os.environ as it was, whatever W&B sets for child processes.

    Offline also without W&B's reports on its own use, which it would try to send over the network
    at the process's end.
    """
    before = {name: os.environ[name] for name in os.environ if name.startswith("WANDB_")}
    if offline:
        os.environ["WANDB_ERROR_REPORTING"] = "false"
    try:
        yield
    finally:
        for name in [n for n in os.environ if n.startswith("WANDB_") and n not in before]:
            del os.environ[name]
        os.environ.update(before)


def _short(error: BaseException) -> str:
    """The first line of an error, or its kind where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


class Entry(NamedTuple):
    """What was logged at once: a row of history, and the sample made after it, if any."""

    step: int
    epoch: float
    values: dict[str, float]
    sample: Path | None


def entries(folder: RunFolder, after: float) -> Iterator[Entry]:
    """All that the run folder has of updates later than `after`, in order."""
    samples = {
        int(match[1]): path
        for path in sorted(folder.samples.glob("step-*"))
        if (match := re.fullmatch(r"step-(\d+)\.(txt|mid)", path.name))
    }
    rows = (row for row in folder.read_metrics()[0] if row.step > after)
    for (step, epoch, _), group in groupby(rows, lambda r: (r.step, r.epoch, r.time)):
        values = {row.name: row.value for row in group}
        validated = any(name.startswith("valid/") for name in values)
        sample = samples.pop(step, None) if validated else None
        yield Entry(step, epoch, values, sample)


def earlier_parts(wandb_dir: Path, id: str, current: Path) -> list[Path]:
    """The folders of other sessions of the W&B run `id`."""
    found = (path.parent for path in wandb_dir.glob(f"*run-*-{id}*/run-{id}.wandb"))
    return [p for p in sorted(found) if not p.is_symlink() and p.resolve() != current.resolve()]


def is_uploaded(part: Path) -> bool:
    """Whether its rows are on W&B's server: logged online, or synced."""
    return not part.name.startswith("offline-") or any(part.glob("*.wandb.synced"))


def put_aside(part: Path) -> None:
    """Move a part's folder to `earlier/`; nothing is deleted."""
    place = part.parent / ASIDE
    place.mkdir(exist_ok=True)
    part.rename(place / part.name)


def mirror(path: Path, mode: str, study: Mapping[str, Any] | None) -> None:
    """Log all that the folder `path` of a finished or diverged run holds.

    Raises UserError where W&B cannot start.
    """
    folder = RunFolder(path)
    cfg, record = read_config(path), folder.read_record()
    assert record is not None
    tracker = Tracker(mode)
    tracker.start(
        folder=folder,
        logger=cfg.logger,
        cell=record.cell,
        config=run_config(cfg, record, study),
        id=secrets.token_hex(6),
    )
    tracker.finish(run_summary(record), exit_code=0)


def run_config(
    cfg: DictConfig, record: RunRecord, study: Mapping[str, Any] | None
) -> dict[str, Any]:
    """W&B's config of a run; its `search` says of which study it is a trial."""
    data = None if record.data is None else asdict(record.data)
    config = plain(cfg) | {"params": record.params, "data": data}
    return config if study is None else config | {"search": dict(study)}


def run_summary(record: RunRecord) -> dict[str, Any]:
    """W&B's summary of a run: what run.json says, its metrics among the rest."""
    rest = {k: v for k, v in record.as_dict().items() if k not in ("metrics", "wandb")}
    no_better = record.no_better_than_commonest()
    known = {} if no_better is None else {"no_better_than_commonest_class": no_better}
    return rest | record.metrics | known
