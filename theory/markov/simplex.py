r"""Dirichlet points on the simplex as a map from uniforms, by breaking a stick with Beta quantiles.

Of m + 1 parts with concentration α each, the first is a share Beta(α, mα) of a stick of length one, the next a share
Beta(α, (m-1)α) of what is left, and so on. At a low concentration a share is often so near to one that what it leaves
is below a rounding error of it, or below all doubles: each quantile comes with one minus it, computed on its own, and
both have logarithms. With u the uniform, small quantiles x of Beta(a, b) are those of the density's power law,

    u = x^a/(a B(a, b)),    so that    ln x = (ln u + ln a + ln B(a, b))/a,

to a relative error of order x; one minus a quantile is one of Beta(b, a) at 1 - u.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.special import betainccinv, betaincinv, betaln

from onset.theory.arrays import Array

__all__ = ["log_simplex", "simplex"]

EPS = np.finfo(np.float64).eps


def simplex(uniforms: Array, concentration: float) -> Array:
    """Dirichlet points (..., m + 1) from uniforms (..., m), by breaking a stick with Beta quantiles."""
    left = np.ones(uniforms.shape[:-1])
    parts = []
    for u, j in _pieces(uniforms):
        if concentration == 1.0:
            share = -np.expm1(np.log1p(-u) / j)
            rest = 1 - share
        else:
            share, rest = _quantile(_within(u), concentration, concentration * j)
        parts.append(left * share)
        left = left * rest
    return np.stack([*parts, left], axis=-1)


def log_simplex(uniforms: Array, concentration: float) -> Array:
    """Logarithms of `simplex`, which may lie below those of all doubles."""
    left = np.zeros(uniforms.shape[:-1])
    parts = []
    for u, j in _pieces(uniforms):
        share, rest = _log_quantile(_within(u), concentration, concentration * j)
        parts.append(left + share)
        left = left + rest
    return np.stack([*parts, left], axis=-1)


def _pieces(uniforms: Array) -> Iterator[tuple[Array, int]]:
    """The uniform behind each piece of a stick, a share Beta(α, jα) of what is left, and j."""
    for j in range(uniforms.shape[-1], 0, -1):
        yield uniforms[..., j - 1], j


def _within(u: Array) -> Array:
    """Uniforms, with 0 and 1 moved in by half of what rounds to them, where quantiles have logarithms."""
    return np.asarray(np.clip(u, EPS / 4, 1 - EPS / 2))


def _quantile(u: Array, a: float, b: float) -> tuple[Array, Array]:
    """Quantile of Beta(a, b) and one minus it, of which the smaller keeps its relative precision; 0 < u < 1."""
    share, rest = map(np.asarray, np.exp(np.minimum(_log_tails(u, a, b), 0.0)))
    low, high = share < EPS, rest < EPS
    middle = ~(low | high)
    share[high], rest[low] = 1.0, 1.0
    share[middle] = betaincinv(a, b, u[middle])
    rest[middle] = 1 - share[middle]
    above = middle & (share > 0.5)
    rest[above] = betainccinv(b, a, u[above])
    return share, rest


def _log_quantile(u: Array, a: float, b: float) -> tuple[Array, Array]:
    """Logarithms of `_quantile`."""
    tails, parts = _log_tails(u, a, b), np.stack(_quantile(u, a, b))
    above = np.log1p(-np.minimum(parts[::-1], 0.5))
    below = np.log(np.maximum(parts, EPS))
    share, rest = np.where(parts < EPS, tails, np.where(parts > 0.5, above, below))
    return share, rest


def _log_tails(u: Array, a: float, b: float) -> Array:
    """Logarithms of the quantile of Beta(a, b), and of one minus it, where they are so small that 1 + x is 1.

    There u = x^a/(a B(a, b)).
    """
    return np.stack([(np.log(u) + np.log(a) + betaln(a, b)) / a, (np.log1p(-u) + np.log(b) + betaln(a, b)) / b])
