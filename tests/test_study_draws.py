"""The draws of a trial: what they depend on, how evenly they lie, and that they never change."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from scipy import stats
from scipy.stats import qmc

from odyssey.errors import UserError
from odyssey.study.sampling import check_sampler, uniforms

KEYS = ["optimizer.lr", "model.hidden_size", "optimizer.momentum", "task.input_noise"]
BOTH = pytest.mark.parametrize("sampler", ["random", "sobol"])


def trials(
    sampler: str, count: int, seed: int = 0, variant: str = "", keys: list[str] = KEYS
) -> np.ndarray:
    """The draws of the first trials of a variant, trial by key."""
    return np.array([uniforms(sampler, seed, variant, n, keys) for n in range(count)])


# These are in every study that was ever made: a change here changes which trials there were.
GOLDEN = {
    "random": [
        0.1369714459227852,
        0.5576967929821982,
        0.3498920278161689,
        0.6151032699359827,
        0.8817612346558327,
        0.3865104060973844,
        0.7000107568046399,
        0.401594552138829,
        0.9586009007137068,
    ],
    "sobol": [
        0.8587929263075429,
        0.5413176738290177,
        0.38009685792937276,
        0.6219973546679629,
        0.7907192925281713,
        0.8231633551688613,
        0.11840360655544324,
        0.7343535015137197,
        0.6408617550216078,
    ],
}


@BOTH
def test_trial_17_is_what_it_always_was(sampler: str) -> None:
    keys = ["optimizer.lr", "model.hidden_size", "clip,clip.threshold"]
    found = [
        *uniforms(sampler, 0, "", 17, keys),
        *uniforms(sampler, 3, "cell=gru", 17, keys),
        *uniforms(sampler, 3, "cell=gru", 1717, keys),
    ]
    assert found == GOLDEN[sampler]


@BOTH
def test_a_trial_is_the_same_in_another_process_and_order(sampler: str) -> None:
    there = [
        (n, variant) for n in (600, 3, 17, 255, 256) for variant in ("cell=gru", "", "cell=é 'x'")
    ]
    code = (
        "from odyssey.study.sampling import uniforms\n"
        f"for n, variant in {there}:\n"
        f"    print(*map(float.hex, uniforms({sampler!r}, 5, variant, n, {KEYS})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for n, variant in sorted(there):
        line = " ".join(map(float.hex, uniforms(sampler, 5, variant, n, KEYS)))
        assert line == done.stdout.splitlines()[there.index((n, variant))]


@BOTH
def test_the_order_of_the_keys_does_not_matter(sampler: str) -> None:
    forwards = uniforms(sampler, 0, "a", 9, KEYS)
    assert uniforms(sampler, 0, "a", 9, KEYS[::-1]) == forwards[::-1]
    assert uniforms(sampler, 0, "a", 9, []) == []


def test_random_draws_of_a_key_do_not_depend_on_the_other_keys() -> None:
    assert uniforms("random", 0, "a", 9, KEYS[2:3]) == uniforms("random", 0, "a", 9, KEYS)[2:3]


@BOTH
def test_seeds_variants_keys_and_trials_have_draws_of_their_own(sampler: str) -> None:
    seen: Counter[float] = Counter()
    for seed in (0, 1, 10):
        for variant in ("", "0", "cell=gru", "cell=lstm", '","'):
            seen.update(trials(sampler, 64, seed, variant, ["a", "b", "a,b", "0"]).ravel())
    assert seen.total() == len(seen) == 3 * 5 * 64 * 4
    # Text that runs together is not mistaken for other text.
    assert uniforms(sampler, 1, "2a", 3, ["x"]) != uniforms(sampler, 12, "a", 3, ["x"])
    assert uniforms(sampler, 1, "a", 3, ["bx"]) != uniforms(sampler, 1, "ab", 3, ["x"])


@BOTH
def test_each_draw_is_uniform_over_seeds(sampler: str) -> None:
    for number in (0, 1, 17):
        over_seeds = np.array([uniforms(sampler, s, "a", number, KEYS) for s in range(2000)])
        assert over_seeds.min() >= 0 and over_seeds.max() < 1
        for column in over_seeds.T:
            assert stats.kstest(column, "uniform").pvalue > 0.01
        # The dimensions are independent of each other over seeds.
        assert np.abs(np.corrcoef(over_seeds.T) - np.eye(4)).max() < 0.08


@BOTH
def test_each_draw_is_uniform_over_variants(sampler: str) -> None:
    over_variants = [uniforms(sampler, 0, f"cell={a}", 17, KEYS[:1])[0] for a in range(2000)]
    assert stats.kstest(over_variants, "uniform").pvalue > 0.01


@BOTH
def test_draws_lie_on_no_grid(sampler: str) -> None:
    lowest = (trials(sampler, 500).ravel() * 2**53).astype(np.int64)
    assert (lowest / 2**53 == trials(sampler, 500).ravel()).all()
    for bit in range(12):  # the last of 53 bits are as often 1 as 0
        assert abs((lowest >> bit & 1).mean() - 0.5) < 0.05


@pytest.mark.parametrize(("seed", "variant"), [(0, ""), (7, "cell=gru")])
def test_the_first_2_to_the_k_sobol_points_fill_every_interval_once(
    seed: int, variant: str
) -> None:
    points = trials("sobol", 1024, seed, variant, list("abcdefgh"))
    for k in range(11):
        for start in range(0, 1024, 2**k):  # and so do those after them
            some = points[start : start + 2**k]
            for column in some.T:
                assert (np.sort((column * 2**k).astype(int)) == np.arange(2**k)).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_first_2_to_the_k_sobol_points_fill_every_rectangle_once(seed: int) -> None:
    x, y = trials("sobol", 512, seed, "a", ["k", "l"]).T
    for k in range(10):
        for wide in range(k + 1):  # 2^wide columns and 2^(k - wide) rows
            boxes = set(
                zip(
                    (x[: 2**k] * 2**wide).astype(int).tolist(),
                    (y[: 2**k] * 2 ** (k - wide)).astype(int).tolist(),
                    strict=True,
                )
            )
            assert len(boxes) == 2**k


@pytest.mark.filterwarnings("ignore:The balance properties")
@pytest.mark.parametrize("count", [50, 128, 200])
def test_sobol_points_lie_more_evenly_than_random_ones_and_as_evenly_as_scipys(count: int) -> None:
    def uneven(points: np.ndarray) -> float:
        return float(qmc.discrepancy(points, method="L2-star"))

    random = [uneven(trials("random", count, seed)) for seed in range(40)]
    sobol = [uneven(trials("sobol", count, seed)) for seed in range(40)]
    scipys = [uneven(qmc.Sobol(4, seed=seed).random(count)) for seed in range(40)]
    assert max(sobol) < min(random)
    assert np.mean(sobol) == pytest.approx(np.mean(scipys), rel=0.1)


def test_scrambling_is_owens_and_not_a_shift() -> None:
    # One turn for all points would leave the exclusive or of two points as it is for each seed.
    first = [[int(u * 2**32) for u in trials("sobol", 2, s, "", ["a"])[:, 0]] for s in range(200)]
    differences = {a ^ b for a, b in first}
    assert len(differences) == 200
    # The leading bits still differ, since trials 0 and 1 lie in different halves.
    assert {d >> 31 for d in differences} == {1}


def test_an_unknown_sampler_is_one_sentence() -> None:
    with pytest.raises(UserError) as caught:
        uniforms("sobel", 0, "", 0, KEYS)
    assert caught.value.messages == (
        "hydra.sweeper.sampler=sobel is unknown (did you mean 'sobol'?): "
        "type one of random, sobol, tpe",
    )
    for wrong in (None, 3, "", "Sobol", ["sobol"]):
        with pytest.raises(UserError, match="hydra.sweeper.sampler=.* is unknown.*: type one of"):
            check_sampler(wrong)
    for name in ("random", "sobol", "tpe"):
        check_sampler(name)
    with pytest.raises(ValueError):  # it is the caller's mistake and not the user's
        uniforms("tpe", 0, "", 0, KEYS)
