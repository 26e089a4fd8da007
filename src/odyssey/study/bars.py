"""Two lines at the bottom of a terminal: how far a study is, and its best runs so far."""

from __future__ import annotations

import threading
from typing import Any, TextIO
from weakref import WeakSet

from tqdm import tqdm

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
        self._bar.set_postfix_str(beside, refresh=False)
        self._best.set_description_str(best, refresh=False)
        self._bar.refresh()
        self._best.refresh()

    def line(self, text: str) -> None:
        """Print a line above."""
        self._bar.write(text, file=self._stream)

    def close(self) -> None:
        """Leave the first line where it is, and the cursor below it."""
        self._best.close()
        self._bar.close()
