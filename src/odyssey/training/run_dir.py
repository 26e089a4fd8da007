"""The run folder, which is the truth about a run."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig

from odyssey.config.identity import run_name
from odyssey.errors import UserError

COLUMNS = ("step", "epoch", "name", "value", "time")
DONE = ("finished", "diverged")
PROBED_SECONDS = 0.3  # that a look at whether the lock is free may hold it


class Refused(UserError):
    """What the run folder holds is left as it is, and not gone on with."""


class Busy(Refused):
    """Another process trains this run."""


def run_path(cfg: DictConfig) -> Path:
    """Where the run of a finished configuration lies: `<output_dir>/<study>/<its name>`."""
    return Path(cfg.output_dir) / cfg.study / run_name(cfg)


def write_text(path: Path, text: str) -> None:
    """Write a whole file or nothing."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


class RunFolder:
    """One run's folder: `config.yaml`, `run.json`, `metrics.csv`, `checkpoints/`, `samples/`…"""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.samples = path / "samples"
        self.figures = path / "figures"
        self._lock = FileLock(path.with_name(f".{path.name}.lock"))

    # -- one process a folder ---------------------------------------------------------------

    def acquire(self) -> None:
        """Take the folder for this process.

        Raises Busy where another one has it, UserError where nothing can be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=PROBED_SECONDS, poll_interval=0.02)
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

    def set_aside(self) -> Path | None:
        """Move an existing folder out of the way, to `NAME~1`, `NAME~2`, …; nothing is deleted."""
        if not self.path.exists():
            return None
        n = 1
        while (aside := self.path.with_name(f"{self.path.name}~{n}")).exists():
            n += 1
        self.path.rename(aside)
        return aside

    # -- run.json ---------------------------------------------------------------------------

    @property
    def record_path(self) -> Path:
        return self.path / "run.json"

    def read(self) -> dict[str, Any] | None:
        """What `run.json` says, or None where there is no run yet."""
        try:
            return json.loads(self.record_path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError:
            raise Refused(
                f"{self.record_path} is not readable JSON; mend it, or type resume=force to "
                "start the run anew"
            ) from None

    def write(self, record: Mapping[str, Any]) -> None:
        """Replace `run.json`. Numbers that JSON has not (nan, inf) become their names."""
        self.path.mkdir(parents=True, exist_ok=True)
        text = json.dumps(_finite(record), indent=2, ensure_ascii=False, allow_nan=False)
        write_text(self.record_path, text + "\n")

    # -- metrics.csv ------------------------------------------------------------------------

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.csv"

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

    def rows(self) -> list[dict[str, str]]:
        """All rows of `metrics.csv`; a last row that was cut short is left out."""
        if not self.metrics_path.exists():
            return []
        text = self.metrics_path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        return [r for r in csv.DictReader(io.StringIO(whole)) if r["time"] is not None]

    def rewind(self, step: int) -> None:
        """Drop the rows of updates after `step`, which will be made again."""
        if not self.metrics_path.exists():
            return
        out = io.StringIO()
        writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for row in self.rows() if int(row["step"]) <= step)
        write_text(self.metrics_path, out.getvalue())


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return value
