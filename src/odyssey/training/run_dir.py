"""The folder of a run: its files, its lock, its record and its table of metrics."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from odyssey.config.identity import run_name
from odyssey.errors import UserError
from odyssey.io import is_there, open_regular, read_bytes, read_text, reason, write_text
from odyssey.training.record import TEST_ITEMS, NoRecord, RunRecord
from odyssey.typed_json import LARGEST, LaterSchema

COLUMNS = ("step", "epoch", "name", "value", "time")
LOCK_SECONDS = 0.3  # a status command that asks whether the lock is free may hold it so long


class MetricRow(NamedTuple):
    """A row of metrics.csv."""

    step: int  # updates done
    epoch: float
    name: str  # as `valid/accuracy`
    value: float
    time: float  # in seconds since 1970


class Refused(UserError):
    """What the run folder holds is left as it is, and the run is not resumed."""


class Busy(Refused):
    """Another process trains this run."""


def run_path(cfg: DictConfig) -> Path:
    """Where the run of a finished configuration lies: `<output_dir>/<study>/<its name>`."""
    return Path(cfg.output_dir) / cfg.study / run_name(cfg)


class RunFolder:
    """`config.yaml`, `overrides.yaml`, `run.json`, `metrics.csv`, `checkpoints/`, `samples/`, …"""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record_path = path / "run.json"
        self.metrics_path = path / "metrics.csv"
        self.checkpoints = path / "checkpoints"
        self.best_checkpoint = self.checkpoints / "best.ckpt"
        self.last_checkpoint = self.checkpoints / "last.ckpt"
        self.samples = path / "samples"
        self.figures = path / "figures"
        self.profiles = path / "profiles"
        self._lock = FileLock(path.with_name(f".{path.name}.lock"))
        self._forget_seal()

    def acquire(self) -> None:
        """Keep the folder to this process.

        Raises Busy where another process has it, UserError where nothing can be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=LOCK_SECONDS, poll_interval=0.02)
        except Timeout:
            raise Busy(
                f"{self.path} is being trained by another process; wait for it, or give this "
                "run another seed or study"
            ) from None
        except OSError as error:
            raise UserError(
                f"{self.path.parent} cannot be written to ({reason(error)}); type another folder, "
                "as in output_dir=my_runs"
            ) from None

    def release(self) -> None:
        """Give the folder back."""
        self._lock.release()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The folder is this process's while it lasts. Raises as `acquire`."""
        self.acquire()
        try:
            yield
        finally:
            self.release()

    def remove_parts(self) -> None:
        """Delete what a killed process has left of files that it was writing."""
        for path in (*self.path.glob(".*.tmp"), *self.checkpoints.glob(".*.tmp")):
            path.unlink(missing_ok=True)

    def set_aside(self) -> Path | None:
        """Move an existing folder out of the way, to `NAME~1`, `NAME~2`, …; nothing is deleted."""
        if not is_there(self.path):
            return None
        n = 1
        while is_there(aside := self.path.with_name(f"{self.path.name}~{n}")):
            n += 1
        self.path.rename(aside)
        return aside

    def _places(self) -> list[Path]:
        """What is there in place of the folders of a run."""
        places = (self.checkpoints, self.samples, self.figures)
        return [place for place in places if is_there(place)]

    def check_places(self) -> None:
        """Raise Refused where something else is in place of a folder of the run."""
        for place in self._places():
            if not place.is_dir():
                raise Refused(
                    f"{place} is no folder, and a run has one there; move it away, or type "
                    "resume=force to start the run anew"
                )

    def set_aside_leftovers(self) -> Path | None:
        """Move what a run without a record has left out of the way; what is its settings stays."""
        return self.set_aside() if self.has_work() else None

    def has_work(self) -> bool:
        """Whether there is anything that a run leaves once it trains, and not its settings alone.

        Raises OSError where the folder cannot be looked at.
        """
        if not self.path.is_dir():
            return False
        for place in self._places():
            if not place.is_dir() or any(not f.name.endswith(".tmp") for f in place.iterdir()):
                return True
        return any(is_there(p) for p in (self.metrics_path, self.path / TEST_ITEMS))

    def write_configuration(self, cfg: DictConfig, overrides: list[str]) -> None:
        """Write `config.yaml` and `overrides.yaml`."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(self.path / "config.yaml", OmegaConf.to_yaml(cfg))
        write_text(self.path / "overrides.yaml", OmegaConf.to_yaml(overrides))

    # -- run.json ---------------------------------------------------------------------------

    def read_record(self) -> RunRecord | None:
        """What `run.json` holds; None where there is none, or `null` in it.

        Raises Refused where it cannot be read, or is not as a run writes it.
        """
        way_out = "mend it, or type resume=force to start the run anew"
        try:
            if is_there(self.path) and not self.path.is_dir():
                raise Refused(
                    f"{self.path} is no folder, and the run's has to be there; move it away, or "
                    "type resume=force, which does so"
                )
            record = RunRecord.load(read_text(self.record_path)[0])
        except (FileNotFoundError, NotADirectoryError, NoRecord):
            return None
        except LaterSchema as error:
            raise Refused(
                f"{self.record_path} is of a later version of Odyssey ({error}); update Odyssey, "
                "or type resume=force to start the run anew"
            ) from None
        except OSError as error:
            why = reason(error)
            raise Refused(f"{self.record_path} cannot be read ({why}); {way_out}") from None
        except ValueError:
            raise Refused(f"{self.record_path} is not readable JSON; {way_out}") from None
        if not record.is_of(self.path.name):
            raise Refused(f"{self.record_path} is that of another run; {way_out}")
        if odd := record.faults():
            raise Refused(f"{self.record_path} has {odd}; {way_out}")
        return record

    def write_record(self, record: RunRecord) -> None:
        """Replace `run.json`."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(self.record_path, record.dump())

    # -- metrics.csv ------------------------------------------------------------------------

    def log(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        """Add a row for each value, all in one write, so that a kill cuts no row in two."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        if not self.metrics_path.exists() or not self.metrics_path.stat().st_size:
            writer.writerow(COLUMNS)
        now = f"{time.time():.3f}"
        for name, value in values.items():
            writer.writerow((step, f"{epoch:.6g}", name, repr(float(value)), now))
        handle = open_regular(self.metrics_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        with open(handle, "ab", buffering=0) as file:
            file.write(out.getvalue().encode())

    def read_metrics(self) -> tuple[list[MetricRow], int]:
        """The rows of `metrics.csv`, and how many lines are none, such as a last one cut short.

        Raises OSError where the file is there and cannot be opened.
        """
        try:
            content, _ = read_bytes(self.metrics_path)
        except FileNotFoundError:
            return [], 0
        rows, damaged = [], 0
        for number, line in enumerate(content.decode(errors="replace").splitlines(keepends=True)):
            row = _as_row(line)
            if row is not None:
                rows.append(row)
            elif number or line.strip() != ",".join(COLUMNS):
                damaged += 1
        return rows, damaged

    def seal_metrics(self) -> dict[str, int | str]:
        """What `unseal_metrics` asks for: the length and SHA-256 of `metrics.csv` as it is now.

        The file is then on the disk, whatever happens: a checkpoint that has this is written after
        it.
        """
        if not self.metrics_path.exists():
            return {"bytes": 0, "sha256": hashlib.sha256().hexdigest()}
        with open(open_regular(self.metrics_path, os.O_RDONLY), "rb") as file:
            # Only what is new since the last time: there may be thousands of checkpoints.
            file.seek(self._sealed_bytes)
            content = file.read()
            os.fsync(file.fileno())
        self._sealed.update(content)
        self._sealed_bytes += len(content)
        return {"bytes": self._sealed_bytes, "sha256": self._sealed.hexdigest()}

    def _forget_seal(self) -> None:
        """Let `seal_metrics` read `metrics.csv` from its beginning, since it is written anew."""
        self._sealed, self._sealed_bytes = hashlib.sha256(), 0

    def unseal_metrics(self, seal: Mapping[str, int | str], step: int) -> bytes:
        """The content of `metrics.csv` up to the update `step`, of which there is a checkpoint.

        That is what the checkpoint found, and what was logged of the same update after it.

        Raises Refused where what was there then is not all there now.
        """
        self._forget_seal()
        try:
            content, _ = read_bytes(self.metrics_path)
        except FileNotFoundError:
            content = b""
        kept = content[: int(seal["bytes"])]
        if hashlib.sha256(kept).hexdigest() != seal["sha256"]:
            what = "is not there" if not content else "is not as the last checkpoint left it"
            raise Refused(
                f"{self.metrics_path} {what}; put it back, or type resume=force to start the run "
                "anew"
            )
        rest = content[len(kept) :].decode(errors="replace").splitlines(keepends=True)
        rows = [(line, _as_row(line)) for line in rest]
        late = [line for line, row in rows if row is not None and row.step <= step]
        if late and not kept:  # nothing had been logged yet
            late.insert(0, ",".join(COLUMNS) + "\n")
        return kept + "".join(late).encode()

    def rewind_metrics(self, step: int) -> None:
        """Drop the rows of updates after `step`, which will be made again."""
        self._forget_seal()
        if not is_there(self.metrics_path):
            return
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in self.read_metrics()[0]:
            if row.step <= step:
                epoch, now = f"{row.epoch:.6g}", f"{row.time:.3f}"
                writer.writerow((row.step, epoch, row.name, repr(row.value), now))
        write_text(self.metrics_path, out.getvalue())


def _as_row(line: str) -> MetricRow | None:
    """A row of metrics.csv from its line; None where it is none."""
    if not line.endswith("\n"):
        return None
    try:
        fields = next(csv.reader([line]), [])
        if len(fields) != len(COLUMNS) or not fields[2]:
            return None
        step, epoch, name, value, when = fields
        row = MetricRow(int(step), float(epoch), name, float(value), float(when))
    except (csv.Error, ValueError):
        return None
    sound = math.isfinite(row.epoch) and math.isfinite(row.time) and 0 <= row.step <= LARGEST
    return row if sound else None
