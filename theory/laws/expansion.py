r"""The softmax family's loss near its unigram plateau at finite context, to second order in the match.

At ω = 0 layer 2 reads counts, f = μ N/t, and

    L = L₀(μ) - ω G(v; μ) + ½ ω² K(v; μ) + O(ω³).

Source s scores z_s = Σ_r a_{s,r} 1[x_{s-r} = x_t], so that G is linear in the layer-1 weights a_{s,r},

    G(v; μ) = Σ_s Σ_r a_{s,r}(v) c_{s,r}(μ),
    c_{s,r} = (μ/T) Σ_{t≥s} (1/t) E 1[x_{s-r} = x_t] Σ_j (P_{x_t j} - σ_tj)(1[x_s = j] - N_j/t),

and a table of c by source and lag gives it, and its slopes by every lag logit, for all v. G(0; μ) is the push of
`onset.theory.laws.basins`. K is the mean of Cov_σ(f', f') - Σ_j (P_j - σ_j) f''_j with f', f'' the first two
derivatives of f by ω. Expectations are means over sequences sampled at the actual context, one of every chain of a rule
that stands for the prior, in groups that give standard errors; no moment of the counts is neglected. Derived here,
"softmax-law".
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.polynomial import Chebyshev
from scipy.integrate import solve_ivp
from scipy.interpolate import KroghInterpolator
from scipy.special import softmax

from onset.theory import randomness
from onset.theory.arrays import Array
from onset.theory.laws.sampling import best_readout, draw
from onset.theory.markov.expectations import nodes
from onset.theory.markov.priors import Prior
from onset.theory.mean_fields.base import LAGS
from onset.theory.transitions import FORMATION_LEVEL

__all__ = ["GROUPS", "LAGS", "READOUTS", "Expansion", "drive", "expansion", "second_order"]

READOUTS = np.array([0.0, 0.5, 1.0, 1.5])
"""Read-outs of the table, in units of μ*; between them, cubic interpolation."""

TOKENS = 1 << 20
"""Tokens that the table is sampled from."""

GROUPS = 8
"""Groups of sequences, for standard errors."""

CURVATURE_POINTS = 7
"""Points in v_1 at which K is sampled."""

CURVATURE_SHARE = 4
"""The sequences at each of these points are a `CURVATURE_SHARE`-th of those of the table."""

BEYOND_FORMATION = 2.0
"""K is sampled up to this multiple of the attention on lag 1 at which its head counts as formed."""

KEPT_EXPANSIONS = 32
"""Priors, contexts and seeds whose coefficients are cached, some 2 kB for each token of context."""

RTOL = 1e-4
"""Tolerance of the path along which K is sampled: below the samples' errors."""


@dataclass(frozen=True)
class Expansion:
    """Coefficients of one prior and context.

    Attributes
    ----------
    readout : float
        μ*, at which the loss of counts alone is least.
    table : array, shape (4, T, 1 + R)
        c at `READOUTS`: summed over all lags, then of each tracked lag; nats per token. Source s = 1 … T.
    slope : array, shape (4,)
        ∂L₀/∂μ at `READOUTS`.
    farthest : float
        v_1 up to which K is known.
    curvature : numpy Chebyshev series
        K as a function of v_1, at μ*, the other lags following.
    levels : array, shape (4,)
        K at `READOUTS` over K at μ*, with no lag grown: where the read-out still rises, none has.
    """

    readout: float
    table: Array
    slope: Array
    farthest: float
    curvature: Chebyshev
    levels: Array

    @cached_property
    def _by_readout(self) -> KroghInterpolator:
        """`table`, `slope` and `levels` side by side, as polynomials of the read-out in units of μ*."""
        flat = self.table.reshape(len(READOUTS), -1)
        return KroghInterpolator(READOUTS, np.column_stack([flat, self.slope, self.levels]))

    def at(self, readout: float) -> tuple[Array, Array, float, float]:
        """c and its derivative by μ at μ = `readout`, shapes (T, 1 + R), and ∂L₀/∂μ and K/K(μ*)."""
        values, slopes = self._by_readout.derivatives(readout / self.readout, 2)
        shape = self.table.shape[1:]
        table, by_readout = values[:-2].reshape(shape), slopes[:-2].reshape(shape) / self.readout
        return table, by_readout, float(values[-2]), float(values[-1])

    @property
    def plateau_drive(self) -> tuple[float, Array]:
        """The push g = G and the drives D_r = ∂G/∂v_r, shape (R,), at v = 0 and μ*."""
        return drive(self.at(self.readout)[0], np.zeros(LAGS))


def drive(table: Array, lag_logits: Array) -> tuple[float, Array]:
    """G and ∂G/∂v_r, shape (R,), at `lag_logits` for a table (T, 1 + R); the lags beyond R keep v = 0."""
    source, excess = np.arange(1, len(table) + 1)[:, None], np.expm1(lag_logits)
    exists = source > np.arange(len(lag_logits))
    weight = 1 / (source[:, 0] + exists @ excess)
    attended = (table[:, 0] + table[:, 1:] @ excess) * weight
    slopes = weight @ table[:, 1:] - (attended * weight) @ exists
    return float(attended.sum()), np.exp(lag_logits) * slopes


@lru_cache(maxsize=KEPT_EXPANSIONS)
def expansion(prior: Prior, context: int, seed: int = 0) -> tuple[Expansion, ...]:
    """The expansion from all sequences, then from all but each of `GROUPS` groups of them (jackknife).

    Raises
    ------
    ValueError
        If the loss fixes no read-out, see `onset.theory.laws.sampling.best_readout`.
    """
    pilot, main, rest = randomness.generator(seed).spawn(3)
    readout = best_readout(prior, context, pilot, shares=True)
    count = max(1, TOKENS // context // GROUPS) * GROUPS
    # One group after the other, so that memory stays that of one.
    parts = [_first_order(prior, context, count // GROUPS, readout, generator) for generator in main.spawn(GROUPS)]
    tables, slopes = (np.array(part) for part in zip(*parts, strict=True))
    attention = BEYOND_FORMATION * FORMATION_LEVEL
    farthest = float(np.log(attention / (1 - attention) * (context - 1)))
    at = farthest * (1 - np.cos(np.pi * np.arange(CURVATURE_POINTS) / (CURVATURE_POINTS - 1))) / 2
    path = _path(tables.mean(axis=0)[2], at)
    share = count // CURVATURE_SHARE
    sampled = second_order(prior, context, share, readout, path, deepcopy(rest))
    # On the same sequences, so that the ratio hardly has an error.
    levels = np.array(
        [
            second_order(prior, context, share, level * readout, path[:1], deepcopy(rest))[0] if level else 0.0
            for level in READOUTS
        ]
    )
    series = Chebyshev.fit(at, sampled, CURVATURE_POINTS - 1, domain=[0, farthest])
    kept = [np.arange(GROUPS) != left_out for left_out in (-1, *range(GROUPS))]
    return tuple(
        Expansion(readout, tables[k].mean(axis=0), slopes[k].mean(axis=0), farthest, series, levels / sampled[0])
        for k in kept
    )


def _first_order(
    prior: Prior, context: int, count: int, readout: float, generator: np.random.Generator
) -> tuple[Array, Array]:
    """c at `READOUTS`, shape (4, T, 1 + R), and ∂L₀/∂μ."""
    transition, weights = nodes(prior, count, generator)
    tokens = draw(transition, context, generator)
    sequence, states = np.arange(len(transition)), prior.states
    counts = np.cumsum(np.eye(states)[tokens], axis=0)
    table, slope = np.zeros((len(READOUTS), context, 1 + LAGS)), np.zeros(len(READOUTS))
    for m, level in enumerate(READOUTS * readout):
        # later[j, i] = Σ_{t≥s} 1[x_t = i] (residual_j - Σ_l residual_l N_l/t)/t: the later queries i of a source of j.
        later = np.zeros(transition.shape)
        for t in range(context, 0, -1):
            now, share = tokens[t - 1], counts[t - 1] / t
            residual = transition[sequence, now] - softmax(level * share, axis=-1)
            along = (residual * share).sum(axis=1, keepdims=True)
            slope[m] -= float(weights @ along[:, 0]) / context
            if level == 0:
                continue
            later[sequence, :, now] += level * (residual - along) / t
            queries = later[sequence, now]
            table[m, t - 1, 0] = weights @ (queries * counts[t - 1]).sum(axis=1)
            for r in range(min(LAGS, t)):
                table[m, t - 1, 1 + r] = weights @ queries[sequence, tokens[t - 1 - r]]
    return table / context, slope


def _path(table: Array, at: Array) -> list[Array]:
    """Lag logits where v_1 = `at`, the others having moved by the ratio of drives."""

    def ratio(_: float, lag_logits: Array) -> Array:
        slopes = drive(table, lag_logits)[1]
        return slopes / slopes[1]

    run = solve_ivp(ratio, (0, at[-1]), np.zeros(LAGS), t_eval=at, rtol=RTOL, atol=RTOL)
    if run.y.shape[1] < len(at):
        raise ValueError(
            f"table of {len(table)} sources: expected lag 1 to be driven up to v_1 = {at[-1]:.2g}, but its drive "
            "vanishes before; use the finite context."
        )
    return list(run.y.T)


def second_order(
    prior: Prior, context: int, count: int, readout: float, path: list[Array], generator: np.random.Generator
) -> Array:
    """K at each of the lag logits of `path`, at μ = `readout`."""
    transition, weights = nodes(prior, count, generator)
    tokens = draw(transition, context, generator)
    sequence, states = np.arange(len(transition)), prior.states
    counts, curvature = np.zeros((len(sequence), states)), np.zeros(len(path))
    excess = np.expm1(path)
    # Σ_{s≤t} 1[x_s = j] z_s[i] and z_s[i]², by point, sequence, i and j.
    sums = np.zeros((2, len(path), *transition.shape))
    for t in range(1, context + 1):
        now = tokens[t - 1]
        counts[sequence, now] += 1
        share = counts / t
        law = softmax(readout * share, axis=-1)
        residual = transition[sequence, now] - law
        for n, gained in enumerate(excess):
            score = counts.copy()
            for r in range(min(LAGS, t)):
                score[sequence, tokens[t - 1 - r]] += gained[r]
            score /= t + gained[:t].sum()
            sums[0, n, sequence, :, now] += score
            sums[1, n, sequence, :, now] += score**2
            first, square = sums[:, n, sequence, now] / t
            mean, mean_square = first.sum(axis=1, keepdims=True), square.sum(axis=1, keepdims=True)
            rise = readout * (first - share * mean)
            bend = readout * (square - 2 * first * mean + share * (2 * mean**2 - mean_square))
            spread = (law * rise**2).sum(axis=1) - (law * rise).sum(axis=1) ** 2
            curvature[n] += float(weights @ (spread - (residual * bend).sum(axis=1))) / context
    return curvature
