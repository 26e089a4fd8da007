"""Windows of a streamed text, and the order of everything else."""

from __future__ import annotations

import pytest
import torch

import random_kit
from odyssey.tasks.batching import Order
from odyssey.tasks.windows import IGNORED, Windows
from tasks_kit import same

SIZES = [(2, 1, 1), (3, 1, None), (7, 3, 2), (97, 7, 5), (101, 1, 100), (101, 1, 25), (64, 32, 10)]


@pytest.mark.parametrize("sizes", [*SIZES, *["random"] * 30], ids=str)
@pytest.mark.parametrize("drop_last", [False, True])
def test_windows_cover_each_target_once(sizes, drop_last, rng):
    if sizes == "random":
        size = int(rng.integers(2, 500))
        sizes = size, int(rng.integers(1, size // 2 + 1)), int(rng.integers(1, 40))
    size, lanes, window = sizes
    ids = torch.arange(size, dtype=torch.int16)  # each id is its own place
    windows = Windows(ids, lanes=lanes, window=window, drop_last=drop_last)
    seen: list[list[int]] = [[] for _ in range(lanes)]
    for index in range(len(windows)):
        batch = windows.get(3, index)
        assert batch.inputs.dtype == batch.targets.dtype == torch.int64
        assert batch.inputs.shape == batch.targets.shape
        assert batch.reset == (index == 0)
        for lane in range(lanes):
            pairs = zip(
                batch.inputs[:, lane].tolist(), batch.targets[:, lane].tolist(), strict=True
            )
            for x, y in pairs:
                if y != IGNORED:
                    assert y == x + 1
                    seen[lane].append(y)
    for lane in seen:  # one contiguous stretch each
        assert not lane or lane == list(range(lane[0], lane[0] + len(lane)))
    flat = [y for lane in seen for y in lane]
    assert len(flat) == len(set(flat))
    each = (size - 1) // lanes
    if drop_last:
        whole = each // (window or each) * (window or each)
        assert [len(lane) for lane in seen] == [whole] * lanes
    else:
        assert sorted(flat) == list(range(1, size))
        assert {len(lane) for lane in seen} <= {each, each + 1}


def test_only_the_last_window_is_short_and_get_is_pure():
    windows = Windows(torch.arange(100, dtype=torch.uint8), lanes=3, window=10)
    lengths = [len(windows.get(0, i).inputs) for i in range(len(windows))]
    assert lengths == [10, 10, 10, 3]
    for index in (3, 0, 2, 2):
        assert same(windows.get(0, index), windows.get(7, index))
    for index in (-1, 4):
        with pytest.raises(IndexError):
            windows.get(0, index)


def test_ids_keep_their_small_type():
    for dtype in (torch.uint8, torch.int16, torch.int32):
        ids = torch.arange(50, dtype=dtype)
        windows = Windows(ids, lanes=2, window=5)
        assert windows.ids.data_ptr() == ids.data_ptr()


@pytest.mark.parametrize("rows", [1, 7, 64, 1009])
@pytest.mark.parametrize("batch_size", [1, 3, 64])
@pytest.mark.parametrize("bucket", [False, True])
def test_order_is_a_function_of_seed_and_epoch(rows, batch_size, bucket):
    lengths = random_kit.rng().integers(1, 90, rows) if bucket else None

    def epoch(seed, number, shuffle=True):
        order = Order(rows, batch_size, seed=seed, shuffle=shuffle, lengths=lengths)
        return [order.get(number, i).tolist() for i in range(len(order))]

    first = epoch(0, 0)
    assert sorted(sum(first, [])) == list(range(rows))
    assert [len(b) for b in first].count(batch_size) >= rows // batch_size
    assert epoch(0, 0) == first
    used = Order(rows, batch_size, seed=0, shuffle=True, lengths=lengths)
    for number in (5, 0, 2, 0):  # whatever was asked before
        got = [used.get(number, i).tolist() for i in reversed(range(len(used)))][::-1]
        assert got == epoch(0, number)
    if rows > 60:
        assert epoch(0, 1) != first
        assert epoch(1, 0) != first
    assert epoch(0, 0, shuffle=False) == epoch(5, 9, shuffle=False)


def test_buckets_have_little_padding():
    lengths = random_kit.rng().integers(1, 200, 3000)

    def padding(bucket):
        order = Order(3000, 10, seed=0, shuffle=True, lengths=lengths if bucket else None)
        batches = [lengths[order.get(0, i)] for i in range(len(order))]
        return sum((b.max() - b).sum() for b in batches) / lengths.sum()

    assert padding(True) < 0.05 < 0.5 < padding(False)
