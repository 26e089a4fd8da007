"""The folder of a run: its files, its lock, its record and its table of metrics."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from odyssey.config.identity import run_name
from odyssey.errors import UserError
from odyssey.io import write_text
from odyssey.training.record import RunRecord
from odyssey.typed_json import LaterSchema

COLUMNS = ("step", "epoch", "name", "value", "time")
LOCK_SECONDS = 0.3  # a status command that asks whether the lock is free may hold it so long


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
                f"{self.path.parent} cannot be written to ({error.strerror}); type another folder, "
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
        if not self.path.exists():
            return None
        n = 1
        while (aside := self.path.with_name(f"{self.path.name}~{n}")).exists():
            n += 1
        self.path.rename(aside)
        return aside

    def write_configuration(self, cfg: DictConfig, overrides: list[str]) -> None:
        """Write `config.yaml` and `overrides.yaml`."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(self.path / "config.yaml", OmegaConf.to_yaml(cfg))
        write_text(self.path / "overrides.yaml", OmegaConf.to_yaml(overrides))

    # -- run.json ---------------------------------------------------------------------------

    def read_record(self) -> RunRecord | None:
        """What `run.json` holds, or None where there is no run yet.

        Raises Refused where it cannot be read.
        """
        try:
            return RunRecord.load(self.record_path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except LaterSchema as error:
            raise Refused(
                f"{self.record_path} is of a later version of Odyssey ({error}); update Odyssey, "
                "or type resume=force to start the run anew"
            ) from None
        except ValueError:
            raise Refused(
                f"{self.record_path} is not readable JSON; mend it, or type resume=force to "
                "start the run anew"
            ) from None

    def write_record(self, record: RunRecord) -> None:
        """Replace `run.json`."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(self.record_path, record.dump())

    # -- metrics.csv ------------------------------------------------------------------------

    def log(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        """Add a row for each value, all in one write, so that a kill cuts no row in two."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        if not self.metrics_path.exists():
            writer.writerow(COLUMNS)
        now = f"{time.time():.3f}"
        for name, value in values.items():
            writer.writerow((step, f"{epoch:.6g}", name, repr(float(value)), now))
        with self.metrics_path.open("ab", buffering=0) as file:
            file.write(out.getvalue().encode())

    def read_metrics(self) -> list[dict[str, str]]:
        """All rows of `metrics.csv`; a last row that was cut short is left out."""
        if not self.metrics_path.exists():
            return []
        text = self.metrics_path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        return [r for r in csv.DictReader(io.StringIO(whole)) if r["time"] is not None]

    def rewind_metrics(self, step: int) -> None:
        """Drop the rows of updates after `step`, which will be made again."""
        if not self.metrics_path.exists():
            return
        out = io.StringIO()
        writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for row in self.read_metrics() if int(row["step"]) <= step)
        write_text(self.metrics_path, out.getvalue())
