"""Functional ANOVA: shares of the variance of an outcome explained by parameters and interactions.

Two models are fitted, and the one that better predicts points it has not seen is decomposed:
orthonormal polynomials (`polynomials`), for smooth functions, and a random forest (`forest`: F.
Hutter, H. Hoos and K. Leyton-Brown, "An efficient approach for assessing hyperparameter
importance", ICML 2014), for those with jumps. The decomposition is that of Sobol (1993). Shares of
singles, pairs and the rest add up to 1. They are for parameters drawn independently and uniformly
in the coordinates of their axes, and depend on the ranges of these: a parameter may be important in
a wider range.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np

from odyssey.report.fanova.axes import Axis, Floats, Points, read_points
from odyssey.report.fanova.curves import (
    LEVEL,
    Curve,
    Surface,
    forest_curves,
    posterior_curves,
)
from odyssey.report.fanova.forest import decompose_tree, grow_forest
from odyssey.report.fanova.polynomials import REST, Posterior, sample_posterior
from odyssey.report.fanova.refits import refitted_shares
from odyssey.report.stats.samples import Interval, tail_probability

FEWEST = 10  # configurations for a model
WEAK = 0.5  # R^2, below which a note warns that shares are rough
WIDE = 0.5  # width of an interval from which on the shares are not told
# The posterior's limits at 99% are taken for those at 95%: in simulated studies of 50 trials (as in
# `calibration/importance.py`, and with three times the noise) they held the true share in .92 to
# 1.00 of the cases, those at 95% in .76 to .98.
POSTERIOR_LEVEL = 0.99
NEGLIGIBLE = 0.01  # a lower limit below this is 0: a sum of squares is never 0 itself
FOREST, POLYNOMIALS = "random forest", "polynomials"
UNKNOWN = Interval(math.nan, math.nan, math.nan, LEVEL)


@dataclass(frozen=True)
class Decomposition:
    """Decomposition of the variance of the outcome over the ranges of some axes.

    n: points used.
    variance: over the axes' ranges, of the model, in the outcome's squared unit.
    r2: R^2 of the model for points it has not seen: out of bag, or leaving one out.
    singles, pairs, rest: shares of the variance, with 95% limits. Pairs are interactions of two
        axes, the rest those of three and more. nan where no model could be used; the note has the
        reason.
    all_pairs: of all pairs together.
    model: "random forest" or "polynomials"; empty where there is none.
    curves: by axis. surfaces: by pair.
    lost: the decomposition of whether a trial was lost (1) or not (0), where some were.
    """

    axes: tuple[Axis, ...]
    n: int
    variance: float
    r2: float
    singles: dict[str, Interval]
    pairs: dict[tuple[str, str], Interval]
    rest: Interval
    all_pairs: Interval = UNKNOWN
    model: str = ""
    curves: dict[str, Curve] = field(default_factory=dict)
    surfaces: dict[tuple[str, str], Surface] = field(default_factory=dict, repr=False)
    note: str = ""
    lost: Decomposition | None = None

    @property
    def told(self) -> bool:
        """Whether there are shares, with limits close enough to tell what matters."""
        shares = [*self.singles.values(), self.all_pairs, self.rest]
        widths = [share.high - share.low for share in shares if math.isfinite(share.value)]
        return math.isfinite(self.rest.value) and max(widths) <= WIDE

    def of_outcome(self, share: float) -> float:
        """A share as one of the outcome's variance, noise included: times R^2."""
        return share * max(self.r2, 0.0)

    def surface(self, a: str, b: str) -> Surface | None:
        """The surface of two axes with `a` along x, or None."""
        if (a, b) in self.surfaces:
            return self.surfaces[a, b]
        other = self.surfaces.get((b, a))
        return other.turned() if other else None


def decompose(
    axes: Sequence[Axis],
    points: Sequence[Mapping[str, Any]],
    outcome: Sequence[float],
    *,
    trees: int = 64,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Decomposition:
    """Decompose the variance of an outcome.

    points: configurations, mappings from name of an axis (or key) to value. Those with a value
        out of its axis' range, or of another type, are left out with a note. Equal ones count
        once, with the mean of their outcomes.
    outcome: of each point.
    trees: of the forest; an eighth of it in each forest that is refitted for limits.
    progress: called with the number of trees done, and of all.

    Raises ValueError for an outcome that is not finite, for another number of outcomes than of
    points, and for two axes of one name.
    """
    y = np.array(outcome, dtype=float)
    if y.shape != (len(points),):
        raise ValueError(f"{len(points)} points have outcomes of shape {y.shape}")
    if not np.isfinite(y).all():
        raise ValueError("an outcome is not finite: put the worst value in its place, or leave out")
    if len({axis.name for axis in axes}) != len(axes):
        raise ValueError(f"two axes have one name: {[axis.name for axis in axes]}")
    found = read_points(axes, points, y)
    empty = _empty(axes, found.used)
    if why := _why_impossible(found, len(axes)):
        return replace(empty, note=_join_notes([*found.notes, why]))
    # Standardized and rounded, so that the trees do not depend on the outcome's unit.
    scale = float(np.abs(found.outcome).max())
    inside = found.outcome / scale
    shift, spread = float(inside.mean()), float(inside.std())
    standard = np.round((inside - shift) / spread, 10)
    forest = grow_forest(
        found.axes, found.unit, standard, trees=trees, seed=seed, progress=progress
    )
    posterior = sample_posterior(found.axes, found.unit, standard, seed=seed)
    smooth = posterior is not None and not posterior.r2 <= forest.r2
    r2 = posterior.r2 if posterior is not None and smooth else forest.r2
    known = replace(empty, r2=r2, model=POLYNOMIALS if smooth else FOREST)
    rows = len(found.outcome)
    notes = [*found.notes, *_extreme_notes(standard)]
    if not r2 > least_r2(rows):
        why = (
            f"the {known.model} predict{'' if smooth else 's'} too little of points not seen "
            f"(R^2 {r2:.2f}, {rows} configurations): no share can be told from noise"
        )
        return replace(known, note=_join_notes([*notes, why]))
    if r2 < WEAK:
        notes.append(
            f"the {known.model} predict{'' if smooth else 's'} only {r2:.0%} of the variance of "
            "points not seen: the shares are rough"
        )
    unit = spread * scale
    shares: dict[tuple[int, ...], Interval] = {}
    alone = len(found.axes) == 1
    if posterior is not None and smooth:
        variance = float(posterior.variances()[0].mean())
        curves, surfaces = posterior_curves(found, posterior, unit, shift * scale)
        if not alone:
            shares = _posterior_shares(posterior)
    else:
        parted = [decompose_tree(tree) for tree in forest.trees]
        variance = float(np.mean([p.variance for p in parted]))
        curves, surfaces = forest_curves(found, parted, unit, shift * scale)
        if not alone:
            shares = refitted_shares(
                found.axes, found.unit, standard, forest, parted, seed=seed, level=LEVEL
            )
    known = replace(known, variance=variance * unit * unit, curves=curves, surfaces=surfaces)
    if alone:
        notes.append("one parameter varies: there is nothing to share the variance with")
        return replace(known, note=_join_notes(notes))
    names = [axis.name for axis in found.axes]
    known = replace(
        known,
        singles=known.singles | {name: shares[a,] for a, name in enumerate(names)},
        pairs=known.pairs
        | {(names[a], names[b]): shares[a, b] for a, b in combinations(range(len(names)), 2)},
        all_pairs=shares[-2,],
        rest=shares[-1,],
    )
    if not known.told:
        notes.append(
            f"{rows} configurations cannot tell the shares: an interval is wider than {WIDE:.0%}"
        )
    return replace(known, note=_join_notes(notes))


def least_r2(configurations: int) -> float:
    """The R^2 above which a model is taken to have found more than noise.

    Outcomes of pure noise (normal, lognormal) exceeded it in about one case of twenty or less, in
    simulations of forests of 10 to 1,000 configurations of 2 to 5 axes, and of polynomials of 12 to
    200 configurations of 2 and 4 axes.
    """
    return 0.05 + 8 / configurations


def _empty(axes: Sequence[Axis], used: int) -> Decomposition:
    names = [axis.name for axis in axes]
    return Decomposition(
        axes=tuple(axes),
        n=used,
        variance=math.nan,
        r2=math.nan,
        singles=dict.fromkeys(names, UNKNOWN),
        pairs=dict.fromkeys(combinations(names, 2), UNKNOWN),
        rest=UNKNOWN,
    )


def _why_impossible(found: Points, axes: int) -> str:
    """The reason why no model can be fitted; empty if there is none."""
    rows = len(found.outcome)
    if rows < FEWEST:
        return f"{rows} different configurations are too few: it takes {FEWEST}"
    if not found.axes:
        return "no parameter varies" if axes else "there is no parameter"
    if np.ptp(found.outcome) <= 1e-12 * np.abs(found.outcome).max():
        return "the outcome does not vary"
    return ""


def _extreme_notes(standard: Floats) -> list[str]:
    """A note if the most extreme hundredth of the configurations has most of the variance.

    standard: outcomes with mean 0 and variance 1.
    """
    few = max(1, len(standard) // 100)
    held = float(np.sort(standard**2)[-few:].sum() / len(standard))
    if held <= 0.5:
        return []
    return [
        f"the most extreme {few} of {len(standard)} configurations hold {held:.0%} of the "
        "variance, so that shares are about them"
    ]


def _posterior_shares(posterior: Posterior) -> dict[tuple[int, ...], Interval]:
    """Shares by the positions of their axes; (-2,) is of all pairs, (-1,) of the rest."""
    variance, parts = posterior.variances()
    variance = np.maximum(variance, 1e-12)
    nothing = np.zeros_like(variance)
    rest = parts.pop(REST, nothing)
    pairs = sum((part for block, part in parts.items() if len(block) == 2), nothing)
    drawn = {**parts, (-2,): pairs, (-1,): rest}
    return {block: _posterior_interval(part / variance) for block, part in drawn.items()}


def _posterior_interval(draws: Floats) -> Interval:
    mean = float(draws.mean())
    tail = tail_probability(POSTERIOR_LEVEL)
    low, high = np.quantile(draws, [tail, 1 - tail])
    low = low if low >= NEGLIGIBLE else 0.0
    # With a few draws far from all others the mean may lie outside.
    return Interval(mean, min(float(low), mean), max(float(high), mean), LEVEL)


def _join_notes(notes: Sequence[str]) -> str:
    text = "; ".join(notes)
    return text[:1].upper() + text[1:] + "." if text else ""
