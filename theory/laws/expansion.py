r"""The softmax family's loss near its unigram plateau at finite context, to second order in the match.

At ω = 0 layer 2 reads counts, f = μ N/t, and

    L = L₀(μ) - ω G(v; μ) + ½ ω² K(v; μ) + O(ω³).

Source s scores z_s = Σ_r a_{s,r} 1[x_{s-r} = x_t], so that G is linear in the layer-1 weights a_{s,r},

    G(v; μ) = Σ_s Σ_r a_{s,r}(v) c_{s,r}(μ),    c_{s,r} = (μ/T) Σ_{t≥s} (1/t) E 1[x_{s-r} = x_t] Σ_j (P_{x_t j} - σ_tj)(1[x_s = j] - N_j/t),

and a table of c by source and lag holds it, and its slopes by every lag logit, for all v. G(0; μ) is the push of `onset.theory.laws.basins`. K is the
mean of Cov_σ(f', f') - Σ_j (P_j - σ_j) f''_j with f', f'' the first two derivatives of f by ω. Expectations are means over
sequences sampled at the actual context, one of every chain of a rule that stands for the prior, in groups that give standard errors; no moment
of the counts is neglected. Derived here, "softmax-law".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from onset.theory.arrays import Array
from onset.theory.laws.basins import draw, place_readout, softmax
from onset.theory.markov.expectations import nodes
from onset.theory.markov.priors import Prior
from onset.theory.setting import Setting
from onset.theory.transitions import FORMATION_LEVEL

__all__ = ["GROUPS", "LAGS", "Expansion", "expansion"]

LAGS = 6
READOUTS = np.array([0.0, 0.5, 1.0, 1.5])
"""In units of μ*: where the table is made; between, cubic interpolation."""

TOKENS = 1 << 20
GROUPS = 8
"""Of sequences, for standard errors."""

CURVATURES = 7
"""Points in v_1 at which K is sampled, and the share of tokens that each of them sees."""
SHARE = 4

BEYOND = 2.0
"""K is sampled up to where lag 1 holds this many times the attention at which its head counts as formed."""

KEPT = 32
"""Priors, contexts and seeds whose coefficients are remembered, some 2 kB for each token of context."""

NARROW = 1e-4
"""Step of the path along which K is sampled, relative to its length, at which lags other than 1 are followed: below the samples' errors."""


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
    """

    readout: float
    table: Array
    slope: Array
    farthest: float
    curvature: np.polynomial.Chebyshev

    def at(self, readout: float) -> tuple[Array, Array, float, float]:
        """c and its derivative by μ at μ = `readout`, shapes (T, 1 + R), and ∂L₀/∂μ and K/K(μ*)."""
        weights, slopes = _lagrange(readout / self.readout)
        level = readout / self.readout
        return (
            np.tensordot(weights, self.table, axes=1),
            np.tensordot(slopes / self.readout, self.table, axes=1),
            float(weights @ self.slope),
            level,
        )


def drive(table: Array, lag_logits: Array) -> tuple[float, Array]:
    """G and ∂G/∂v_r, shape (R,), at `lag_logits` for a table (T, 1 + R); the lags beyond R keep v = 0."""
    source, excess = np.arange(1, len(table) + 1)[:, None], np.expm1(lag_logits)
    exists = source > np.arange(len(lag_logits))
    weight = 1 / (source[:, 0] + exists @ excess)
    shown = (table[:, 0] + table[:, 1:] @ excess) * weight
    slopes = weight @ table[:, 1:] - (shown * weight) @ exists
    return float(shown.sum()), np.exp(lag_logits) * slopes


@lru_cache(maxsize=KEPT)
def expansion(prior: Prior, context: int, seed: int = 0) -> tuple[Expansion, ...]:
    """The expansion from all sequences, then from all but each of `GROUPS` groups of them (jackknife).

    Raises
    ------
    ValueError
        If the loss fixes no read-out, see `onset.theory.laws.basins.place_readout`.
    """
    pilot, main, rest = np.random.default_rng(seed).spawn(3)
    readout = place_readout(Setting.of("softmax", prior=prior, context=context), pilot)
    count = max(1, TOKENS // context // GROUPS) * GROUPS
    # In groups one after the other: memory stays that of one.
    parts = [_first_order(prior, context, count // GROUPS, readout, g) for g in main.spawn(GROUPS)]
    tables, slopes = (np.array(part) for part in zip(*parts, strict=True))
    chosen = [np.arange(GROUPS) != left for left in (-1, *range(GROUPS))]
    farthest = float(np.log(BEYOND * FORMATION_LEVEL / (1 - BEYOND * FORMATION_LEVEL) * (context - 1)))
    at = farthest * (1 - np.cos(np.pi * np.arange(CURVATURES) / (CURVATURES - 1))) / 2
    logits = _following(tables.mean(axis=0)[2], at)
    sampled = second_order(prior, context, count // SHARE, readout, logits, rest)
    series = np.polynomial.Chebyshev.fit(at, sampled, CURVATURES - 1, domain=[0, farthest])
    return tuple(Expansion(readout, tables[c].mean(axis=0), slopes[c].mean(axis=0), farthest, series) for c in chosen)


def _lagrange(x: float) -> tuple[Array, Array]:
    """Weights of the values at `READOUTS`, and of their derivative, at x."""
    weights, slopes = np.empty(len(READOUTS)), np.empty(len(READOUTS))
    for n, at in enumerate(READOUTS):
        unit = np.polynomial.Polynomial.fromroots(np.delete(READOUTS, n))
        unit = unit / unit(at)
        weights[n], slopes[n] = unit(x), unit.deriv()(x)
    return weights, slopes


def _first_order(
    prior: Prior, context: int, count: int, readout: float, generator: np.random.Generator
) -> tuple[Array, Array]:
    """c at `READOUTS`, shape (4, T, 1 + R), and ∂L₀/∂μ."""
    transition, weights = nodes(prior, count, generator)
    tokens = draw(transition, context, generator)
    each, states = np.arange(len(transition)), prior.states
    counts = np.cumsum(np.eye(states)[tokens], axis=0)
    table, slope = np.zeros((len(READOUTS), context, 1 + LAGS)), np.zeros(len(READOUTS))
    for m, level in enumerate(READOUTS * readout):
        # later[j, i] = Σ_{t≥s} 1[x_t = i] (residual_j - Σ_l residual_l N_l/t)/t: what a source of symbol j that shows i meets.
        later = np.zeros(transition.shape)
        for t in range(context, 0, -1):
            now, share = tokens[t - 1], counts[t - 1] / t
            residual = transition[each, now] - softmax(level * share)
            along = (residual * share).sum(axis=1, keepdims=True)
            slope[m] -= float(weights @ along[:, 0]) / context
            if level == 0:
                continue
            later[each, :, now] += level * (residual - along) / t
            meets = later[each, now]
            table[m, t - 1, 0] = weights @ (meets * counts[t - 1]).sum(axis=1)
            for r in range(min(LAGS, t)):
                table[m, t - 1, 1 + r] = weights @ meets[each, tokens[t - 1 - r]]
    return table / context, slope


def _following(table: Array, at: Array) -> list[Array]:
    """Lag logits where v_1 = `at`, the others having moved by the ratio of drives."""
    from scipy.integrate import solve_ivp

    def ratio(_: float, lag_logits: Array) -> Array:
        slopes = drive(table, lag_logits)[1]
        return slopes / slopes[1]

    found = solve_ivp(ratio, (0, at[-1]), np.zeros(LAGS), t_eval=at, rtol=NARROW, atol=NARROW)
    if found.y.shape[1] < len(at):
        raise ValueError(
            f"table of {len(table)} sources: expected lag 1 to be driven up to v_1 = {at[-1]:.2g}, but its drive vanishes before; use the finite context."
        )
    return list(found.y.T)


def second_order(
    prior: Prior, context: int, count: int, readout: float, logits: list[Array], generator: np.random.Generator
) -> Array:
    """K at each of `logits`, at μ = `readout`."""
    transition, weights = nodes(prior, count, generator)
    tokens = draw(transition, context, generator)
    each, states = np.arange(len(transition)), prior.states
    counts, found = np.zeros((len(each), states)), np.zeros(len(logits))
    excess = np.expm1(logits)
    # Σ_{s≤t} 1[x_s = j] z_s[i] and z_s[i]², by point, sequence, i and j.
    sums = np.zeros((2, len(logits), *transition.shape))
    for t in range(1, context + 1):
        now = tokens[t - 1]
        counts[each, now] += 1
        share = counts / t
        law = softmax(readout * share)
        residual = transition[each, now] - law
        for n, gained in enumerate(excess):
            score = counts.copy()
            for r in range(min(LAGS, t)):
                score[each, tokens[t - 1 - r]] += gained[r]
            score /= t + gained[:t].sum()
            sums[0, n, each, :, now] += score
            sums[1, n, each, :, now] += score**2
            first, square = sums[:, n, each, now] / t
            mean, own = first.sum(axis=1, keepdims=True), square.sum(axis=1, keepdims=True)
            rise = readout * (first - share * mean)
            bend = readout * (square - 2 * first * mean + share * (2 * mean**2 - own))
            spread = (law * rise**2).sum(axis=1) - (law * rise).sum(axis=1) ** 2
            found[n] += float(weights @ (spread - (residual * bend).sum(axis=1))) / context
    return found
