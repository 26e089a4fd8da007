"""What one sees while a study runs: a line for each run that ends, and a bar below them."""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO
from weakref import WeakSet

from tqdm import tqdm

from odyssey.io import stamp_of
from odyssey.streams import clean, clean_line
from odyssey.study.formatting import differing, duration, number, several
from odyssey.study.progress import time_left
from odyssey.study.state import RunState, StudyState, read_run
from odyssey.study.store import TrialRow
from odyssey.training.record import DONE

FORMAT = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"


class StudyBar(tqdm):
    """A bar that knows nothing of a run's own bars, and they nothing of it.

    A lock of its own: a process forked while a bar is drawn would wait for tqdm's for ever. And no
    second thread to look after it.
    """

    _lock = threading.RLock()
    _instances: WeakSet[Any] = WeakSet()
    monitor_interval = 0


class Bars:
    """Draws on `stream`, which is a terminal."""

    def __init__(self, stream: TextIO, total: int) -> None:
        self._stream = stream
        self._bar: Any = StudyBar(
            total=total, file=stream, dynamic_ncols=True, position=0, bar_format=FORMAT
        )
        self._best: Any = StudyBar(
            total=0, file=stream, dynamic_ncols=True, position=1, bar_format="{desc}", leave=False
        )

    def show(self, done: int, total: int, beside: str, best: str) -> None:
        """Draw both lines anew."""
        self._bar.n, self._bar.total = done, total
        self._bar.set_postfix_str(clean_line(beside), refresh=False)
        self._best.set_description_str(clean_line(best), refresh=False)
        self._bar.refresh()
        self._best.refresh()

    def line(self, text: str) -> None:
        """Print a line above."""
        self._bar.write(text, file=self._stream)

    def close(self) -> None:
        """Leave the first line where it is, and the cursor below it."""
        self._best.close()
        self._bar.close()


ENDS = (*DONE, "failed", "damaged")
INTERVAL = 0.5  # seconds between two looks at the run folders
SHARE = 0.05  # of one core's time, at most, for looking: thousands of runs are looked at less often
ESTIMATE = 2.0  # seconds between two estimates of the time left

Kind = tuple[str, str, str, str, str]  # cell, task, data, metric, min or max


class Display:
    """Reports the runs of `trials` as their folders change, whoever trains them and where.

    trials: rows as in trials.csv; before: the study when the session began.
    stream: the only thing written to; bar: whether it is a terminal that a bar can be drawn on.
    anew: whether all runs are trained again, done or not.
    count: of trials, where more are to come than are known yet; searched: the keys they differ in.
    """

    def __init__(
        self,
        folder: Path,
        trials: Sequence[TrialRow],
        before: StudyState,
        stream: TextIO,
        bar: bool,
        *,
        anew: bool = False,
        count: int | None = None,
        searched: Sequence[str] = (),
    ) -> None:
        self._stream = stream
        self._rows = list(trials)
        self._count, self._searched = count, searched
        self._names = differing(self._rows, searched)
        runs = {}
        for name in self._names:
            run = before.runs.get(name) or RunState(name, folder / name, "missing")
            runs[name] = _kept(replace(run, state="missing") if anew else run)
        self._study = StudyState(folder, trials=self._rows, runs=runs, to_come=self._to_come())
        self._lock = threading.Lock()  # held while looking, or adding trials
        self._best: dict[Kind, float] = {}
        for run in before.runs.values():
            self._is_best(run)
        self._anew = anew
        self._wants_bar = bar
        self._bars: Bars | None = None
        self._workers = 0  # runs at a time, when there were any
        self._left: tuple[float, str] = (-math.inf, "")  # when it was estimated, in words
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="study-display", daemon=True)
        self._broken = False  # by a mistake in here
        self._mute = False  # nobody reads the stream any more

    def __enter__(self) -> Display:
        self._say(self._opening())
        if self._wants_bar:
            self._bars = Bars(self._stream, self._total())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """A last look, so that no line is lost; then the bar stays as it is."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        if not self._broken:
            self._look()
        if self._bars is not None:
            self._bars.close()
            self._bars = None

    def add(self, trials: Sequence[TrialRow]) -> None:
        """Report these trials too."""
        with self._lock:
            self._rows += list(trials)
            self._names = differing(self._rows, self._searched)
            for name in self._names:
                path = self._study.folder / name
                self._study.runs.setdefault(name, RunState(name, path, "missing"))
            self._study.to_come = self._to_come()

    def _to_come(self) -> int:
        return max((self._count or 0) - len(self._rows), 0)

    def _total(self) -> int:
        """Runs, those to come too."""
        return len(self._names) + self._to_come()

    def _watch(self) -> None:
        interval = 0.0
        while not self._stop.wait(interval):
            begin = time.perf_counter()
            self._look()
            interval = max(INTERVAL, (time.perf_counter() - begin) / SHARE)

    def _look(self) -> None:
        """Report what has changed. A mistake in here must not cost the study a run."""
        try:
            with self._lock:
                self._look_at_all()
                self._draw()
        except Exception:
            self._say(f"the display had to stop, the study goes on:\n{traceback.format_exc()}")
            self._broken = True
            self._stop.set()

    def _look_at_all(self) -> None:
        for name, run in self._study.runs.items():
            if run.state != "running" and stamp_of(run.path / "run.json") == run.stamp:
                continue
            now = read_run(run.path, before=run)
            if now is not run:
                self._study.runs[name] = now = _kept(now)
                if now.state != "running" and (now.state, now.stamp) != (run.state, run.stamp):
                    self._report(now)

    def _report(self, run: RunState) -> None:
        """One line."""
        counts = self._counts()
        total = str(self._total())
        start = f"{sum(counts[s] for s in ENDS):>{len(total)}}/{total} {run.state:<8}"
        label = self._names[run.name]
        if run.state in DONE:
            numbers = f"{number(run.value):<6} (test {number(run.test)})"
            line = f"{start}  {numbers:<20}  {duration(run.seconds):>7}  {label}"
            if self._is_best(run):
                line += f"  (best of {run.cell} so far)"
            elif run.state == "diverged":
                line += f"  ({run.error})"
            self._say(line)
        elif run.state == "failed":
            log = self._study.folder / "logs" / f"{run.name}.log"
            where = f" (log {log})" if log.exists() else ""
            self._say(f"{start}  {label}: {run.error or 'no error is recorded'}{where}")
        elif run.state == "damaged":
            self._say(f"{start}  {label}: {run.path / 'run.json'} is not readable")
        elif run.state == "interrupted":
            self._say(f"{start}  {label}")

    def _is_best(self, run: RunState) -> bool:
        """Whether a finished run is better than all of its cell's before it; remembers it."""
        if run.state != "finished" or math.isnan(run.value):
            return False
        kind = (run.cell, run.task, run.data, run.monitor, run.mode)
        sign = -1.0 if run.mode == "max" else 1.0
        if kind in self._best and sign * run.value >= sign * self._best[kind]:
            return False
        self._best[kind] = run.value
        return True

    def _counts(self) -> Counter[str]:
        return Counter(run.state for run in self._study.runs.values())

    def _opening(self) -> str:
        """What is there already, and what is to do."""
        counts, total = self._counts(), self._total()
        start = several(total, "run")
        if len(self._rows) > len(self._names):
            start = f"{several(len(self._rows), 'trial')}, {start}"
        if self._anew:
            return f"{start}: all anew"
        done = " and ".join(f"{counts[s]:,} {s}" for s in DONE if counts[s])
        said = [f"{done} already"] if done else []
        if counts["failed"]:
            said.append(f"{counts['failed']:,} failed before")
        if counts["damaged"]:
            said.append(f"{counts['damaged']:,} with a run.json that is not readable")
        if counts["running"]:
            said.append(f"{counts['running']:,} running in another process")
        if counts["interrupted"]:
            said.append(f"{counts['interrupted']:,} go{'es' * (counts['interrupted'] == 1)} on")
        said.append(f"{counts['missing'] + self._to_come():,} to do")
        return f"{start}: {', '.join(said)}"

    def _draw(self) -> None:
        if self._bars is None:
            return
        counts = self._counts()
        self._workers = counts["running"] or self._workers
        beside = [f"{counts[s]} {s}" for s in ("running", "failed") if counts[s]]
        ended, total = sum(counts[s] for s in ENDS), self._total()
        if ended < total and (left := self._time_left()):
            beside.append(left)
        try:
            self._bars.show(ended, total, ", ".join(beside), self._best_so_far())
        except (OSError, ValueError):
            self._bars, self._mute = None, True

    def _time_left(self) -> str:
        at, words = self._left
        now = time.time()
        if now - at > ESTIMATE:
            left = time_left(self._study, now, self._workers)
            words = f"{duration(left)} left" if left else ""
            self._left = now, words
        return words

    def _best_so_far(self) -> str:
        """Of each cell, the best cell first; with the task where there are several."""
        if not self._best:
            return ""
        tasks = {kind[1:] for kind in self._best}
        ordered = sorted(
            self._best.items(), key=lambda b: (b[0][1:], -b[1] if b[0][4] == "max" else b[1])
        )
        shown = []
        for (cell, task, data, _, _), value in ordered:
            about = f" on {task} {data}" * (len(tasks) > 1)
            shown.append(f"{cell}{about} {number(value)}")
        return f"best so far: {', '.join(shown)}"

    def _say(self, text: str) -> None:
        if self._mute:
            return
        text = clean(text)
        try:
            if self._bars is not None:
                self._bars.line(text)
            else:
                self._stream.write(f"{text}\n")
                self._stream.flush()
        except (OSError, ValueError):  # closed: there is no one to tell
            self._bars, self._mute = None, True


def _kept(run: RunState) -> RunState:
    """The run without what no line shows, so that thousands of runs take little memory."""
    if run.record is None:
        return run
    record = replace(
        run.record, versions=None, code=None, git=None, wandb=None, metric_info={}, odd=[]
    )
    return replace(run, record=record)
