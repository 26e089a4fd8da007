"""Reading `test_items.npz` of a run folder: what each test sequence contributes to its metrics.

The file may be absent, as in runs of an earlier version, or damaged; nothing here raises for it.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from odyssey.io import Stamp, read_bytes, stamp_of
from odyssey.training.record import TEST_ITEMS

FORMAT = 1
LARGEST = 1 << 28  # bytes of a file; one of a million sequences is a tenth of it
DAMAGE = (
    *(OSError, EOFError, KeyError, ValueError, TypeError, IndexError, OverflowError, MemoryError),
    *(NotImplementedError, zipfile.BadZipFile, zlib.error),
)


@dataclass(frozen=True)
class RunItems:
    """The test items of a run.

    items: their numbers in the test part, ascending. values: metric -> what each item contributes,
    such that the mean of these is the metric. segment: length of a segment of a text; 0: sequences
    """

    items: np.ndarray
    values: Mapping[str, np.ndarray]
    segment: int


def read_items(run: str) -> RunItems | str:
    """The items of a run folder; "missing" or "damaged" where there are none."""
    file = Path(run) / TEST_ITEMS
    stamp = stamp_of(file) if run else None
    return "missing" if stamp is None else _read(str(file), stamp)


@lru_cache(maxsize=1000)
def _read(file: str, stamp: Stamp) -> RunItems | str:
    """stamp: of the file, so that a changed one is read again."""
    try:
        if stamp[1] > LARGEST:
            return "damaged"
        content, _ = read_bytes(file)
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            if sum(member.file_size for member in packed.infolist()) > LARGEST:
                return "damaged"
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return _parsed({name: arrays[name] for name in arrays.files})
    except DAMAGE:
        return "damaged"


def _parsed(arrays: Mapping[str, np.ndarray]) -> RunItems:
    """Raises ValueError, KeyError or TypeError for what no run writes.

    A metric M = f(m) of the means m_k = sum_i s_ik / sum_i c_ik is linear in them to first order:
    item i contributes M + n sum_k f'_k (s_ik - m_k c_ik) / sum_i c_ik.
    """
    if int(arrays["format"]) != FORMAT:
        raise ValueError("of a later version")
    items, names = arrays["items"], [str(name) for name in arrays["metrics"]]
    sums, counts = (arrays[name].astype(float) for name in ("sums", "counts"))
    values, gradient = (arrays[name].astype(float) for name in ("values", "gradient"))
    n, k = sums.shape
    shapes = counts.shape == (n, k) and gradient.shape == (len(names), k)
    if not shapes or items.shape != (n,) or values.shape != (len(names),) or not n:
        raise ValueError("arrays of different lengths")
    totals = counts.sum(axis=0)
    if not (np.isfinite(sums).all() and (counts >= 0).all() and (totals > 0).all()):
        raise ValueError("no sums with their counts")
    if np.any(np.diff(items) <= 0):
        raise ValueError("items that are not in order")
    parts = n * (sums - sums.sum(axis=0) / totals * counts) / totals
    found = {
        name: values[m] + parts @ gradient[m]
        for m, name in enumerate(names)
        if np.isfinite(gradient[m]).all() and np.isfinite(values[m])
    }
    return RunItems(items.astype(np.int64), found, int(arrays["segment"]))
