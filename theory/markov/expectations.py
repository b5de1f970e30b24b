r"""Expectations over a prior: quadrature for two states, randomised quasi-Monte Carlo with an error estimate beyond.

Both are rules in the uniforms that a prior maps to matrices: they give weighted matrices that stand for the prior.
Where the map rejects points, expectations are ratios over the accepted ones.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import integrate
from scipy.optimize import nnls

from onset.theory import arguments, randomness
from onset.theory.arrays import Array
from onset.theory.expectation import Expectation
from onset.theory.markov.priors import MappedPrior, Mixture, Prior

__all__ = ["calibrated_nodes", "compressed", "expectation", "nearest_weights", "nodes"]

RANDOMISATIONS = 16
"""Independent scramblings behind the error estimate of an expectation for k > 2."""

FIRST_POINTS = 64
"""Points per scrambling with which such an estimate starts."""

MOST_GAUSS_POINTS = 128
"""Points of a Gauss-Legendre rule beyond which nothing is gained."""

LOW_CONCENTRATION = 0.2
"""Concentration below which rules for two states are made in parts: with 49 points more precise there, less above."""

PARTS = {1: 2, 2: 6}
"""Parts of `_in_parts` by dimension."""

RICH = 32
"""Size of the rule that a calibrated rule is a part of, relative to the latter's."""

RANK = 1e-8
"""Functions that differ by relatively less over the nodes count as one."""

MISS_COST = 1e-6
"""Weight of a change of the weights, relative to that of a missed function, in calibration with positive weights."""


def has_product_rule(prior: Prior) -> bool:
    """Whether matrices are made from few enough uniforms for product rules: two states, order 2."""
    return prior.states == 2 and prior.order == 2


def nodes(prior: Prior, count: int, generator: np.random.Generator | None = None) -> tuple[Array, Array]:
    """Weighted matrices that stand for the prior: (n, k, k) and weights (n,) summing to one.

    For k = 2 a Gauss-Legendre product rule in the prior's uniforms with about `count` points (deterministic), in parts
    at low concentrations; for k > 2 a Sobol sequence scrambled with `generator` (`count` rounded up to a power of two,
    times what rejection costs).
    """
    if isinstance(prior, Mixture):
        rules = [(share, *nodes(part, count, generator)) for share, part in prior.parts]
        return np.concatenate([m for _, m, _ in rules]), np.concatenate([share * w for share, _, w in rules])
    if has_product_rule(prior):
        width = _width(prior, LOW_CONCENTRATION)
        shared = count if width is None else count / PARTS[prior.dimension]
        points, weights = _product_rule(
            prior.dimension, min(MOST_GAUSS_POINTS, max(2, round(shared ** (1 / prior.dimension))))
        )
        if width is not None:
            parts, factors = _in_parts(points, width)
            points, weights = parts.reshape(-1, prior.dimension), (weights * factors).ravel()
        matrices, accepted = prior.transform(points)
        weights = weights * accepted
    else:
        matrices, weights = _scrambled(prior, count, np.random.default_rng(0) if generator is None else generator)
    return matrices, weights / weights.sum()


def calibrated_nodes(
    prior: Prior,
    count: int,
    functions: Callable[[Array], Array],
    generator: np.random.Generator | None = None,
    *,
    rich: int | None = None,
) -> tuple[Array, Array]:
    """`nodes` with weights that integrate `functions` as a larger rule does, which they are a part of for k > 2.

    Weights change as little as they can (calibration: Deville, Särndal, JASA 87 (1992), 376-382) and stay positive;
    where no positive weights integrate `functions` exactly, the nearest do.

    Parameters
    ----------
    prior : Prior
    count : int
        Points of the rule.
    functions : callable
        Takes matrices (n, k, k) and returns (n, m) with m well below `count`.
    generator : numpy Generator, optional
        Scrambles the points (k > 2).
    rich : int, optional
        Points of the larger rule; by default `RICH` times `count` for k > 2, and product rules stay as they are.
    """
    if has_product_rule(prior) and rich is None:
        return nodes(prior, count, generator)
    parts = prior.parts if isinstance(prior, Mixture) else ((1.0, prior),)
    points = -(-count // len(parts))
    many = RICH * points if rich is None else -(-rich // len(parts))
    rules = [(share, *nodes(part, many, generator)) for share, part in parts]
    matrices = np.concatenate([m for _, m, _ in rules])
    weights = np.concatenate([share * w for share, _, w in rules])
    values = functions(matrices)
    if has_product_rule(prior):
        few, few_weights = nodes(prior, points, generator)
        return few, _calibrated(few_weights, functions(few), weights @ values)
    # The first points of a Sobol sequence are a good rule themselves.
    chosen = np.concatenate([np.arange(len(w)) < points for _, _, w in rules])
    return matrices[chosen], _calibrated(weights[chosen] / weights[chosen].sum(), values[chosen], weights @ values)


def compressed(values: Array, exact: Array) -> Array:
    """Positive weights, most of them zero, with which points integrate functions exactly.

    Least squares with positive weights leave about as many points as there are functions; that as many suffice is
    Tchakaloff's theorem (Davis, Math. Comp. 21 (1967), 578-582).

    Parameters
    ----------
    values : array, shape (n, m)
        Functions at the points.
    exact : array, shape (m,)
        Their integrals.

    Returns
    -------
    weights : array, shape (n,)
        They sum to one.
    """
    off = values - exact
    scale = np.abs(off).max(axis=0)
    constraint = np.vstack([(off / np.where(scale > 0, scale, 1.0)).T, np.ones(len(off))])
    weights, _ = nnls(constraint, np.append(np.zeros(off.shape[1]), 1.0))
    return weights / weights.sum()


def _calibrated(weights: Array, values: Array, exact: Array) -> Array:
    """`weights` (n,) changed until they integrate functions with `values` (n, m) to `exact` (m,)."""
    varying = np.ptp(values, axis=0) > RANK * np.abs(values).max(axis=0)
    off = (values - exact)[:, varying]
    return nearest_weights(weights, off / np.abs(off).max(axis=0))


def nearest_weights(weights: Array, off: Array) -> Array:
    """The weights w' ≥ 0 with w' @ `off` = 0 (n, m) and the same sum, for which Σ (w' - w)²/w is least."""
    constraint = np.column_stack([off, np.ones(len(off))])
    lacking = np.append(-weights @ off, 0.0)
    change = np.linalg.lstsq((constraint.T * weights) @ constraint, lacking, rcond=RANK)[0]
    nearest = weights * (1 + constraint @ change)
    if nearest.min() >= 0:
        return nearest
    root = np.sqrt(weights)
    rows = np.vstack([(constraint * root[:, None]).T / MISS_COST, np.eye(len(root))])
    scaled, _ = nnls(rows, np.concatenate([np.zeros(off.shape[1]), [1 / MISS_COST], root]))
    return scaled * root / (scaled @ root)


def _product_rule(dimension: int, points: int) -> tuple[Array, Array]:
    x, w = np.polynomial.legendre.leggauss(points)
    grid = np.stack(np.meshgrid(*[(x + 1) / 2] * dimension, indexing="ij"), axis=-1).reshape(-1, dimension)
    weights = np.stack(np.meshgrid(*[w / 2] * dimension, indexing="ij"), axis=-1).reshape(-1, dimension).prod(axis=-1)
    return grid, weights


def _scrambled(prior: MappedPrior, count: int, generator: np.random.Generator) -> tuple[Array, Array]:
    from scipy.stats import qmc

    if prior.dimension > qmc.Sobol.MAXDIM:
        raise ValueError(
            f"states = {prior.states}: expected at most {qmc.Sobol.MAXDIM} free entries of a transition matrix, "
            f"but the {prior.kind} prior has {prior.dimension}; lower the states."
        )
    power = max(1, int(np.ceil(np.log2(count))))
    while True:
        points = qmc.Sobol(prior.dimension, scramble=True, rng=generator).random_base2(power)
        matrices, weights = prior.transform(points)
        if weights.sum() >= count or weights.all():
            return matrices[weights > 0], weights[weights > 0]
        power += 1


def expectation(
    prior: Prior, function: Callable[[Array], Array], *, tolerance: float = 1e-3, most: int = 2**17, seed: int = 0
) -> Expectation:
    r"""Expectation of `function` over the prior.

    Adaptive cubature in the prior's uniforms for k = 2; for k > 2 the mean over independent scramblings of a Sobol
    sequence, whose length doubles until the standard error is small enough.

    Parameters
    ----------
    prior : Prior
    function : callable
        Takes matrices (n, k, k), returns (n,).
    tolerance : float
        Largest acceptable error estimate, in the function's unit.
    most : int
        For k > 2: longest sequence per scrambling. For k = 2: most subdivisions of the cubature.
    seed : int
        Seed of the scramblings.

    Raises
    ------
    ValueError
        If the error estimate at `most` still exceeds `tolerance`; the message has both.
    """
    tolerance = arguments.positive("tolerance", tolerance)
    if isinstance(prior, Mixture):
        return Expectation.mixture(
            (share, expectation(part, function, tolerance=tolerance, most=most, seed=seed))
            for share, part in prior.parts
        )
    if has_product_rule(prior):
        result = _cubature(prior, function, tolerance, most)
    else:
        result = _randomised(prior, function, tolerance, most, seed)
    if not result.error <= tolerance:
        raise ValueError(
            f"expectation over {prior}: error estimate {result.error:.3g} exceeds tolerance = {tolerance:.3g} at "
            f"most = {most} points; raise most or tolerance."
        )
    return result


def _cubature(prior: MappedPrior, function: Callable[[Array], Array], tolerance: float, most: int) -> Expectation:
    width = _width(prior)

    def integrand(points: Array) -> Array:
        if width is None:
            return function(prior.transform(points)[0])
        uniforms, weights = _in_parts(points, width)
        values = function(prior.transform(uniforms.reshape(-1, prior.dimension))[0])
        return (weights * values.reshape(weights.shape)).sum(axis=0)

    result = integrate.cubature(
        integrand,
        np.zeros(prior.dimension),
        np.ones(prior.dimension),
        rtol=0.0,
        atol=tolerance,  # pyright: ignore[reportArgumentType]
        max_subdivisions=most,
    )
    return Expectation(float(result.estimate), float(result.error))


def _width(prior: MappedPrior, below: float = 1.0) -> float | None:
    """Width of the layers in which a matrix changes with its uniforms, if the prior's concentration is low."""
    concentration = getattr(prior, "concentration", 1.0)
    return concentration if concentration < below and prior.dimension <= 2 else None


def _in_parts(points: Array, width: float) -> tuple[Array, Array]:
    """Uniforms (p, n, d) and weights (p, n) with which p parts of the unit interval or square make one integral.

    At a concentration α below one a row is about one symbol, which changes within some α of the median u = 1/2, and the
    stationary law changes as much within α of u_1 = 1 - u_2, where both states are left as rarely. So the interval is
    cut at the median, the square into four, and the two squares on that diagonal along it. Points (n, d) of the unit
    interval or square give the distances from the cuts, in units of `width`, α, on a logarithmic scale.
    """
    distance = width * np.expm1(points * np.log1p(1 / width))
    weight = (np.log1p(1 / width) * (distance + width) / 2).prod(axis=-1)
    near = 1 - distance
    half = near / 2
    if points.shape[-1] == 1:
        return np.stack([half, 1 - half]), np.stack([weight, weight])
    triangle, by_first = np.stack([half[:, 0], near[:, 1] * half[:, 0]], axis=-1), weight * near[:, 0]
    corners = [np.abs(corner - part) for corner in np.eye(2) for part in (triangle, triangle[:, ::-1])]
    return np.stack([*corners, half, 1 - half]), np.stack([*[by_first] * len(corners), weight, weight])


def _randomised(
    prior: MappedPrior, function: Callable[[Array], Array], tolerance: float, most: int, seed: int
) -> Expectation:
    generators = randomness.generator(seed).spawn(RANDOMISATIONS)
    # At least a point or so of each scrambling where a row changes its symbol, see `_in_parts`.
    count = min(max(FIRST_POINTS, round(1 / getattr(prior, "concentration", 1.0))), most)
    while True:
        means = np.array([np.average(function(m), weights=w) for m, w in (nodes(prior, count, g) for g in generators)])
        result = Expectation(float(means.mean()), float(means.std(ddof=1) / np.sqrt(RANDOMISATIONS)))
        if result.error <= tolerance or count >= most:
            return result
        count *= 2
