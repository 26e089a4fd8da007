"""Plans and passes: which update comes next, and where the validations lie."""

from __future__ import annotations

import pytest

import random_kit
from odyssey.tasks.base import FirstBatch, Pass
from odyssey.training.schedule import Schedule


def _schedules():
    chance = random_kit.dice()
    yield from [
        Schedule(1, 1, 1),
        Schedule(5, 1, 9),
        Schedule(5, 13, 13),
        Schedule(1, 97, 1),
        Schedule(3, 10, 100),
    ]
    for _ in range(60):
        yield Schedule(chance.randint(1, 50), chance.randint(1, 200), chance.randint(1, 60))


@pytest.mark.parametrize("number", range(65))
def test_the_validations_of_a_schedule_agree(number):
    """Against a list: every multiple of val_every below the total, and the total."""
    schedule = list(_schedules())[number]
    stops = sorted({*range(schedule.val_every, schedule.total, schedule.val_every), schedule.total})
    for step in range(schedule.total + 1):
        left = [s for s in stops if s > step]
        assert schedule.validations_left(step) == len(left)
        if step:
            assert schedule.validates_after(step) == (step in stops)
        if step < schedule.total:
            assert schedule.next_validation(step) == left[0]
        walked, at = [], step
        while at < schedule.total:
            at = schedule.next_validation(at)
            walked.append(at)
        assert walked == left


@pytest.mark.parametrize(
    ("epochs", "steps", "every", "total", "val_every"),
    [
        (3, None, None, 21, 7),
        (None, 20, None, 20, 7),
        (3, 20, None, 20, 7),
        (3, 22, 5, 21, 5),
        (1, None, 1, 7, 1),
        (None, 3, 100, 3, 100),
    ],
)
def test_from_the_configuration(epochs, steps, every, total, val_every):
    """Whichever limit comes first; null validates once an epoch of 7 updates."""
    schedule = Schedule.make(7, epochs, steps, every)
    assert (schedule.steps_per_epoch, schedule.total, schedule.val_every) == (7, total, val_every)
    assert (
        schedule.epoch(0) == 0
        and schedule.epoch(7) == 1
        and schedule.epoch(10) == pytest.approx(10 / 7)
    )


@pytest.mark.parametrize(
    ("batches", "total", "within", "every"),
    [
        (66, 132, 500, 66),  # each of two epochs, not the end alone
        (2000, 4000, 500, 500),
        (500, 1000, 500, 500),
        (1, 400, 500, 8),  # 50 validations instead of 400
        (1, 25_000, 500, 500),
        (3, 1, 500, 3),
        (7, 30, 3, 3),
    ],
)
def test_by_the_size_of_the_data(batches, total, within, every):
    assert Schedule.make(batches, None, total, None, within).val_every == every
    assert Schedule.make(batches, None, total, 11, within).val_every == 11
    assert Schedule.make(batches, None, total, None).val_every == batches


class _Numbered:
    """Batches that say which they are."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def get(self, epoch, index):
        assert 0 <= index < self.count
        return (epoch, index)


@pytest.mark.parametrize("count", [1, 2, 7, 13])
def test_a_pass_from_any_start(count):
    """(epoch, index) in order, as one would count; a second look gives the same again."""
    everything = [(e, i) for e in range(40 // count + 2) for i in range(count)]
    for start in range(0, 30):
        for stop in (start, start + 1, start + count, 40):
            if stop < start:
                continue
            part = Pass(_Numbered(count), start, stop)
            assert len(part) == stop - start
            assert list(part) == everything[start:stop] == list(part)


def test_rounds_one_after_another_are_all_updates_once():
    """As a run does it: from boundary to boundary, across epochs, from wherever it was left."""
    for schedule in _schedules():
        for start in {0, schedule.total // 3, max(schedule.total - 1, 0)}:
            seen, at = [], start
            while at < schedule.total:
                seen += Pass(_Numbered(schedule.steps_per_epoch), at, schedule.next_validation(at))
                at = schedule.next_validation(at)
            assert seen == [
                divmod(u, schedule.steps_per_epoch) for u in range(start, schedule.total)
            ]


def test_the_first_batch_alone_always_starts_anew():
    from odyssey.tasks.base import Batch

    class Two(_Numbered):
        def get(self, epoch, index):
            return Batch(epoch, index, reset=False)

    only = FirstBatch(Two(2))
    batches = list(Pass(only, 3, 6))
    assert len(only) == 1 and batches == [Batch(0, 0, reset=True)] * 3
