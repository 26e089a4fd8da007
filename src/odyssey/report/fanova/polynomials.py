"""Functional ANOVA of a sum of orthonormal functions of one, two and three settings.

The outcome is c + sum_b phi_b(u) beta_b + noise. Each block b belongs to a setting, to a pair, or
to all triples together; its functions have mean 0 and variance 1 over the ranges of the settings,
and are orthogonal to those of all other blocks. The variance of the function is then the sum of
the squares of the coefficients, and a block's share of it needs no integral.

Coefficients are normal with variance tau_b^2 / (product of degrees)^4, so that smooth functions are
likelier, and tau_b is half-Cauchy, so that a block may vanish or be large whatever the others do.
The posterior is sampled (Gibbs), which takes the shrinkage of the coefficients into account: the
shares of a single fit, as those of a forest, are too small for interactions.

Sources: B. Sudret, "Global sensitivity analysis using polynomial chaos expansions", Reliability
Engineering and System Safety 93, 2008 (the basis); C. M. Carvalho, N. G. Polson and J. G. Scott,
"The horseshoe estimator for sparse signals", Biometrika 97, 2010 (the prior); E. Makalic and D. F.
Schmidt, "A simple sampler for the horseshoe estimator", IEEE Signal Processing Letters 23, 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from scipy.linalg import cho_solve, cholesky, helmert, solve_triangular
from threadpoolctl import threadpool_limits

from odyssey.report.fanova.axes import Axis, Floats

DRAWS = 600  # of the posterior
BURN = 100  # draws before them, which are discarded
DEGREE = 8  # largest of a polynomial in one setting
PAIR_DEGREE = 6  # largest sum of degrees in two settings
TRIPLE_DEGREE = 4  # and in three; 0 for none
# Degrees for many settings, where more columns than MOST would take too long.
DEGREES = ((PAIR_DEGREE, TRIPLE_DEGREE), (5, 3), (4, 3), (4, 0), (3, 0), (2, 0))
MOST = 500
FEW = 200  # values of a whole number, up to which its functions are orthogonal over the values
SCALE = (
    0.1  # of the half-Cauchy, in standard deviations of the outcome; half of it for interactions
)
REST = (-1, -1, -1)  # the block of all triples
Block = tuple[int, ...]  # positions of its axes


@dataclass(frozen=True)
class Basis:
    """The functions of one axis, evaluated at coordinates.

    degrees: of each function; 1 for all of a choice.
    """

    axis: Axis
    degrees: tuple[int, ...]
    mixing: Floats  # of Legendre polynomials, or contrasts (values, functions) of a choice

    def at(self, u: Floats) -> Floats:
        """The functions at coordinates from 0 to 1, (len(u), functions)."""
        u = np.clip(u, 0, 1)
        if self.axis.kind == "choice":
            count = len(self.axis.choices)
            return self.mixing[np.minimum((u * count).astype(int), count - 1)]
        return (_legendre(u, len(self.mixing) - 1) @ self.mixing)[:, 1:]


def make_basis(axis: Axis) -> Basis:
    """Functions with mean 0, variance 1 and no covariance under the distribution of an axis."""
    if axis.kind == "choice":
        count = len(axis.choices)
        contrasts = helmert(count).T * np.sqrt(count)
        return Basis(axis, (1,) * (count - 1), contrasts)
    size = axis.size
    if size is None or size > FEW:
        return Basis(axis, tuple(range(1, DEGREE + 1)), np.eye(DEGREE + 1))
    degree = min(DEGREE, size - 1)
    middle = axis.to_unit(range(int(axis.low), int(axis.high) + 1))
    edges = [0.0]
    for m in middle:
        edges.append(2 * float(m) - edges[-1])
    weight = np.sqrt(np.maximum(np.diff(edges), 0))
    _, upper = np.linalg.qr(weight[:, None] * _legendre(middle, degree))
    mixing = np.linalg.inv(upper)
    return Basis(axis, tuple(range(1, degree + 1)), mixing * np.sign(np.diag(mixing)))


def _legendre(u: Floats, degree: int) -> Floats:
    """Legendre polynomials of degree 0 to `degree`, of variance 1 on [0, 1]."""
    values = np.polynomial.legendre.legvander(2 * np.asarray(u, dtype=float) - 1, degree)
    return values * np.sqrt(2 * np.arange(degree + 1) + 1)


@dataclass(frozen=True)
class Columns:
    """Which products of functions there are: a block, and the function of each of its axes."""

    blocks: tuple[Block, ...]
    of_block: np.ndarray  # (columns,)
    decay: Floats  # (columns,), the part of the prior variance that falls with the degree
    factors: tuple[tuple[tuple[int, int], ...], ...]  # (axis, function) of each column

    def at(self, values: Sequence[Floats]) -> Floats:
        """values: of the functions of each axis, (points, functions). Returns (points, columns)."""
        found = np.empty((len(values[0]), len(self.factors)))
        for i, factors in enumerate(self.factors):
            (axis, function), *others = factors
            found[:, i] = values[axis][:, function]
            for axis, function in others:
                found[:, i] *= values[axis][:, function]
        return found


def make_columns(bases: Sequence[Basis]) -> Columns | None:
    """As high degrees as give at most 500 columns; None where all degrees give more."""
    lines = [basis.degrees.count(1) for basis in bases]
    fewest = sum(len(basis.degrees) for basis in bases)
    if fewest + sum(a * b for a, b in combinations(lines, 2)) > MOST:
        return None
    found = (_columns_of(bases, pair, triple) for pair, triple in DEGREES)
    return next((columns for columns in found if len(columns.factors) <= MOST), None)


def _columns_of(bases: Sequence[Basis], pair: int, triple: int) -> Columns:
    blocks: list[Block] = []
    of_block, decay, factors = [], [], []
    largest = {1: DEGREE, 2: pair, 3: triple}
    for order in (1, 2, 3) if triple else (1, 2):
        for axes in combinations(range(len(bases)), order):
            block = REST if order == 3 else axes
            if block not in blocks:
                blocks.append(block)
            ranges = [range(len(bases[a].degrees)) for a in axes]
            for functions in product(*ranges):
                degrees = [bases[a].degrees[f] for a, f in zip(axes, functions, strict=True)]
                if sum(degrees) > largest[order]:
                    continue
                # Triples with a choice have a column for each of its contrasts: linear ones do.
                choice = any(bases[a].axis.kind == "choice" for a in axes)
                if order == 3 and choice and max(degrees) > 1:
                    continue
                of_block.append(len(blocks) - 1)
                decay.append(float(np.prod(degrees)) ** -4)
                factors.append(tuple(zip(axes, functions, strict=True)))
    return Columns(tuple(blocks), np.array(of_block), np.array(decay), tuple(factors))


@dataclass(frozen=True)
class Posterior:
    """Draws of the function that the points came from.

    mean: of the function over the ranges, (draws,). coefficients: (draws, columns).
    r2: R^2 of predictions of each point from all others, with the variances of the prior and of
        the noise at their posterior means.
    """

    bases: tuple[Basis, ...]
    columns: Columns
    mean: Floats
    coefficients: Floats
    r2: float

    def variances(self) -> tuple[Floats, dict[Block, Floats]]:
        """Draws of the variance, and of the part that each block has in it."""
        squares = self.coefficients**2
        parts = {
            block: squares[:, self.columns.of_block == i].sum(axis=1)
            for i, block in enumerate(self.columns.blocks)
        }
        return squares.sum(axis=1), parts

    def effect(self, block: Block, units: Sequence[Floats]) -> Floats:
        """Draws of the part of one axis or two, at points (or at all pairs of them).

        units: coordinates along each axis of the block. Returns (draws, *lengths).
        """
        which = np.flatnonzero(self.columns.of_block == self.columns.blocks.index(block))
        values = [self.bases[a].at(u) for a, u in zip(block, units, strict=True)]
        chosen = [
            value[:, [self.columns.factors[i][k][1] for i in which]]
            for k, value in enumerate(values)
        ]
        beta = self.coefficients[:, which]
        if len(chosen) == 1:
            return beta @ chosen[0].T
        return np.einsum("dc,xc,yc->dxy", beta, *chosen, optimize=True)


def sample_posterior(
    axes: Sequence[Axis], unit: Floats, outcome: Floats, *, seed: int = 0, draws: int = DRAWS
) -> Posterior | None:
    """Sample functions that explain an outcome.

    unit: coordinates of `axes`, (points, axes). outcome: (points,), with mean 0 and variance 1.
    None where choices have too many values for a basis of reasonable size.
    """
    # On matrices of this size threads mostly wait for each other, for long on a busy machine.
    with threadpool_limits(1):
        return _sample(axes, unit, outcome, seed, draws)


def _sample(
    axes: Sequence[Axis], unit: Floats, outcome: Floats, seed: int, draws: int
) -> Posterior | None:
    rng = np.random.default_rng(seed)
    bases = tuple(make_basis(axis) for axis in axes)
    columns = make_columns(bases)
    if columns is None:
        return None
    x = columns.at([basis.at(unit[:, j]) for j, basis in enumerate(bases)])
    # With the sign turned so that the largest outcome is positive, -y has the draws of y, negative.
    sign = 1.0 if outcome[np.abs(outcome).argmax()] > 0 else -1.0
    centre, level = x.mean(axis=0), float(outcome.mean()) * sign
    x = x - centre
    y = outcome * sign - level
    n, count = x.shape
    gram, cross, square = x.T @ x, x.T @ y, float(y @ y)
    size = np.bincount(columns.of_block)
    total = np.bincount(columns.of_block, columns.decay)
    single = np.array([len(block) == 1 for block in columns.blocks])
    scale = (SCALE * np.where(single, 1.0, 0.5)) ** 2 / total
    spread, slack, noise = scale.copy(), np.ones(len(size)), 0.3
    kept, means, variances, noises = [], [], [], []
    for draw in range(BURN + draws):
        precision = gram / noise
        precision[np.diag_indices(count)] += 1 / (spread[columns.of_block] * columns.decay)
        root = cholesky(precision, lower=True, overwrite_a=True, check_finite=False)
        half = solve_triangular(root, cross / noise, lower=True, check_finite=False)
        beta = solve_triangular(
            root, half + rng.standard_normal(count), lower=True, trans="T", check_finite=False
        )
        squares = np.bincount(columns.of_block, beta**2 / columns.decay)
        spread = 1 / rng.gamma((size + 1) / 2, 1 / (squares / 2 + 1 / slack))
        # A block is not smaller than what rounding would leave of it.
        spread = np.maximum(spread, 1e-10)
        slack = 1 / rng.gamma(1.0, 1 / (1 / scale + 1 / spread), len(size))
        left = max(square - 2 * float(beta @ cross) + float(beta @ gram @ beta), 1e-9)
        noise = max(1 / rng.gamma((n - 1) / 2, 2 / left), 1e-8)
        if draw >= BURN:
            kept.append(beta)
            means.append(level - centre @ beta + rng.normal(0, np.sqrt(noise / n)))
            variances.append(np.log(spread))
            noises.append(np.log(noise))
    typical = np.exp(np.mean(variances, axis=0))[columns.of_block] * columns.decay
    r2 = _leave_one_out_r2(x, y, typical, float(np.exp(np.mean(noises))))
    return Posterior(bases, columns, sign * np.array(means), sign * np.array(kept), r2)


def _leave_one_out_r2(x: Floats, y: Floats, variance: Floats, noise: float) -> float:
    """R^2 of ridge regression with given variances, of each point from all others.

    A point's residual without it is its residual divided by 1 minus its leverage.
    """
    precision = x.T @ x / noise + np.diag(1 / variance)
    root = cholesky(precision, lower=True, check_finite=False), True
    solved = cho_solve(root, x.T / noise, check_finite=False)
    leverage = np.einsum("ij,ji->i", x, solved) + 1 / len(y)
    residual = (y - x @ (solved @ y)) / np.maximum(1 - leverage, 1e-6)
    return float(1 - np.mean(residual**2) / np.var(y))
