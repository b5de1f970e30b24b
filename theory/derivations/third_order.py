r"""Why trigrams come last: what drives the second head of layer 1, before and after the first has formed.

For chains of order 3 the softmax family has two heads (`onset.validate.models.ngram_toy`): the first matches keys z¹_s with the token x_t, the second
keys z²_s with z¹_t. Let λ_hi be the stationary law of two successive symbols, B_ij = Σ_h λ_hi P_hij / π_i what the last symbol alone tells, and
σ_ij what the model predicts from it.

*Before* the first head has formed z¹_t is the frequencies π, whatever the last tokens were: the second head can only shift all queries' logits
alike, and is driven by E Σ_j (π_j - σ_j) g_j with some g, nothing where the read-out of counts is ideal.

*After*, z¹_t = e_h with h = x_{t-1}, and layer 2 reads sources that follow x_t = i. Among them the second match adds to symbol j what it has in
common with lag r,

    G^r_hij = J^r_hij - B_ij Σ_l J^r_hil,    J^r_hij = Pr(x_{s-r} = h, x_s = j | x_{s-1} = i),

so that lag r of the second head is driven by S_r = E Σ λ_hi (P_hij - σ_ij) G^r_hij. For r = 1 it vanishes; for r = 2, G = κ (P - B), κ = λ_hi/π_i.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from onset.theory.arrays import Array
from onset.theory.derivations.derivation import Check, Derivation, Outcome, Step
from onset.theory.markov.chains import block_law, lift
from onset.theory.mean_fields.ngram_linear import NgramLinearMeanField, lag_pairs
from onset.theory.setting import Setting

__all__ = ["after", "after_linear", "before", "derive", "gains", "signals"]

k = sp.Symbol("k", integer=True, positive=True)
h, i, j, n = sp.symbols("h i j l", integer=True, nonnegative=True)
arrays: Any = [sp.IndexedBase(name) for name in ("lambda", "P", "sigma", "J", "D", "pi")]  # sympy's types know no index
law, P, sigma, J, D, pi = arrays
S: Any = sp.IndexedBase("S")
r = sp.Symbol("r", integer=True, nonnegative=True)

every = ((h, 0, k - 1), (i, 0, k - 1), (j, 0, k - 1))
total: Any = sp.Sum  # whose type knows neither sums nor quotients
row = total(law[n, i] * P[n, i, j], (n, 0, k - 1)) / total(law[n, i], (n, 0, k - 1))
"""B_ij."""

gain: Any = J[h, i, j] - row * sp.Sum(J[h, i, n], (n, 0, k - 1))
"""G^r_hij, softmax family."""

after = sp.Sum(law[h, i] * (P[h, i, j] - sigma[i, j]) * gain, *every)
"""S_r of one chain."""

after_linear = sp.Sum(law[h, i] * (P[h, i, j] - sigma[i, j]) * D[h, j], *every)
"""The same for the linear family, whose layer 2 reads all sources: D^r_hj = Pr(x_{s-r} = h, x_s = j) - π_h π_j."""

before = sp.Sum((pi[j] - sigma[j]) * sp.Sum(pi[h] * D[h, j], (h, 0, k - 1)), (j, 0, k - 1))
"""Before the first head has formed, either family: σ is the model of frequencies alone."""

STATES, CHAINS = 3, 4
CONTEXT = 1600
SMALL = 1e-4
LARGE = 40.0
"""A lag logit that takes all attention, or none."""


def derive() -> Derivation:
    """S_r, for one chain."""
    expected = sp.Function("E")
    square = sp.Sum(law[h, i] ** 2 / pi[i] * (P[h, i, j] - row) ** 2, *every)
    return Derivation(
        name="third-order",
        title="What drives the second head: trigrams after bigrams",
        statement=sp.Eq(S[r], after, evaluate=False),
        symbols={
            S[
                r
            ]: "drive of lag r of the second head on the bigram plateau, per ω_2, μ and share of attention; nats per token; expectation over the prior",
            law[h, i]: "stationary law of x_{t-1} = h, x_t = i",
            P[h, i, j]: "Pr(x_{t+1} = j | x_{t-1} = h, x_t = i)",
            sigma[i, j]: "what the model predicts after i",
            J[h, i, j]: "Pr(x_{s-r} = h, x_s = j | x_{s-1} = i)",
            k: "number of states",
        },
        assumptions=(
            "chains of order 3, softmax family with two heads, T → ∞",
            "the first head holds lag 1 and its match is strong: layer 2 reads sources that follow the last token",
            "the second head has not formed: v² = 0, ω_2 small",
        ),
        validity=(
            "First order in ω_2 and in the second head's attention. With σ = B the signal of lag 2 is E Σ λ²/π (P - B)² ≥ 0, zero for chains that "
            "are Markov only, and that of lag 1 is exactly zero: the second head takes lag 2. A linear read-out of frequencies differs from B, and adds "
            "the term that S_r states. In the linear family S_r has D^r_hj in place of G and never comes to an end in trigrams: its logits add the "
            "matches of both heads, nearer to the bigram strategy than to the trigram one for the priors tested. Under Adam both heads move "
            "from the first step at the same rate, and the plateaus overlap."
        ),
        source="derived here; the order of n-grams is observed in arXiv 2402.11004",
        references=("edelman2024evolution",),
        steps=(
            Step(
                "unigram plateau",
                before,
                "z¹_t = π for every query: the gain does not depend on the last tokens, and E (P_{x_{t-1} x_t j} - σ_j) = π_j - σ_j",
                ("unigram",),
            ),
            Step(
                "bigram plateau: what a small ω_2 adds",
                gain,
                "∂f_j/∂ω_2 = μ Cov(1[x_s = j], z²_s[h]) over the sources with x_{s-1} = i; the share of lag r in z² multiplies G^r",
            ),
            Step(
                "ideal read-out, lag 2",
                expected(square),
                "J² = κ P; Σ_h λ_hi (P_hij - B_ij) κ_hi would vanish if κ were even: with σ = B only the square is left",
                ("lag-2",),
            ),
            Step(
                "linear family", after_linear, "layer 2 sums over all sources: no condition on x_{s-1}", ("mean-field",)
            ),
        ),
        checks=[
            Check("lag-2", "S_2 at σ = B with Σ λ²/π (P - B)², four random chains, k = 3, exact arithmetic", _lag_2),
            Check("lag-1", "S_1 at any σ with 0, the same chains, exact arithmetic", _lag_1),
            Check("unigram", "Σ λ (P - π) g with 0 for any g of the next symbol alone, exact arithmetic", _unigram),
            Check(
                "mean-field",
                "drives of onset.theory.mean_fields.ngram_linear with `after_linear` and, before the first head has formed, with `before`, over its own chains, k = 2 and 3",
                _mean_field,
            ),
        ],
    )


@cache
def _compiled(expression: sp.Expr, *symbols: Any) -> Any:
    return sp.lambdify(symbols, expression, "numpy")


def gains(transition: Array, lags: int) -> Array:
    """J^r_hij of chains (n, k², k), shape (lags, n, k, k, k)."""
    count, rows, states = transition.shape
    eye, chain, by_pair = np.eye(states), lift(transition), transition.reshape(count, states, states, states)
    pairs, following = block_law(transition, 2), block_law(transition, 3).sum(axis=1)
    found = [np.einsum("nij,hj->nhij", following, eye), np.einsum("nij,hi->nhij", following, eye)]
    # past[h, (a, i)]: probability of h at s - r and of a, i at s - 2, s - 1.
    past = np.einsum("nai,ah->nhai", pairs, eye).reshape(count, states, rows)
    for _ in range(2, lags):
        found.append(np.einsum("nhai,naij->nhij", past.reshape(count, states, states, states), by_pair))
        past = past @ chain
    return np.stack(found[:lags]) / pairs.sum(axis=1)[:, None, :, None]


def signals(transition: Array, weights: Array, model: Array, lags: int) -> Array:
    """S_r of chains (n, k², k) with weights (n,) whose model predicts (n, k, k) after the last symbol, shape (lags,)."""
    states = transition.shape[-1]
    of = _compiled(after, k, law, P, sigma, J)
    chains = list(zip(block_law(transition, 2), transition.reshape(-1, states, states, states), model, strict=True))
    each = [
        [of(states, *chain, one) for chain, one in zip(chains, lag, strict=True)] for lag in gains(transition, lags)
    ]
    return np.array(each) @ weights


def _rational_chains() -> Iterator[tuple[Any, Any]]:
    """P[h, i, j] and λ[h, i] of chains with rational entries."""
    generator, each = np.random.default_rng(0), range(STATES)
    for _ in range(CHAINS):
        counts = generator.integers(1, 9, size=(STATES,) * 3)
        rows = np.vectorize(sp.Rational)(counts, counts.sum(axis=2, keepdims=True))
        unknown = np.array(sp.symbols(f"x:{STATES**2}")).reshape(STATES, STATES)
        balance = [sum(unknown[a, b] * rows[a, b, c] for a in each) - unknown[b, c] for b in each for c in each]
        (solution,) = sp.linsolve([*balance[:-1], unknown.sum() - 1], *unknown.ravel())
        yield rows, np.array(solution).reshape(STATES, STATES)


def _exact(rows: Any, pair: Any, model: Any, joint: Any) -> Any:
    """`after` with exact numbers."""
    known = {law: pair, P: rows, sigma: model, J: joint}
    entries = {array[index]: entry for array, values in known.items() for index, entry in np.ndenumerate(values)}
    return after.subs(k, STATES).doit().xreplace(entries)


def _bigram(rows: Any, pair: Any) -> Any:
    return (pair[:, :, None] * rows).sum(axis=0) / pair.sum(axis=0)[:, None]


def _lag_2() -> Outcome:
    differences = []
    for rows, pair in _rational_chains():
        bigram, share = _bigram(rows, pair), pair / pair.sum(axis=0)
        found = _exact(rows, pair, bigram, share[:, :, None] * rows)
        differences.append(found - ((pair * share)[:, :, None] * (rows - bigram) ** 2).sum())
    return Outcome.identity(*differences)


def _lag_1() -> Outcome:
    differences = []
    for rows, pair in _rational_chains():
        model = np.array(sp.Matrix(STATES, STATES, lambda a, b: sp.Rational(a + 2 * b + 1, 7)))
        joint = np.array(sp.eye(STATES))[:, :, None] * _bigram(rows, pair)[None]
        differences.append(_exact(rows, pair, model, joint))
    return Outcome.identity(*differences)


def _unigram() -> Outcome:
    differences = []
    for rows, pair in _rational_chains():
        gained = np.array(sp.symbols(f"g:{STATES}"))
        differences.append(sp.expand((pair[:, :, None] * (rows - pair.sum(axis=0)) * gained).sum()))
    return Outcome.identity(*differences)


def _mean_field() -> Outcome:
    worst = 0.0
    for states, lags in ((2, 4), (3, 4)):
        setting = Setting.of("linear", states=states, order=3, context=CONTEXT)
        dynamics = NgramLinearMeanField(setting, lags=lags, count=4)
        chains = np.random.default_rng(states).dirichlet(np.ones(states), size=(4, states**2))
        chains = np.concatenate([_renamed(chains, order) for order in itertools.permutations(range(states))])
        dynamics.stand_for(chains, np.full(len(chains), 1 / len(chains)))
        for formed in (True, False):
            point = np.array([3 / CONTEXT, 1 / CONTEXT, 0, 0, *np.full(lags, -LARGE), *np.zeros(lags)])
            point[5] = LARGE if formed else -LARGE
            step = SMALL / CONTEXT * np.eye(len(point))[2]
            ahead, behind = (dynamics.gradient(point + sign * step).derivative[-lags:] for sign in (1, -1))
            found = (behind - ahead) / (2 * SMALL)
            expected = _expected_drives(dynamics, point, chains, formed)
            worst = max(worst, float(np.abs(found - expected).max() / np.abs(expected).max()))
    return Outcome(worst, lags / CONTEXT, "the first R positions, which lack lags, weigh R/T")


def _renamed(chains: Array, order: tuple[int, ...]) -> Array:
    states = len(order)
    cube = chains.reshape(-1, states, states, states)[:, order][:, :, order][:, :, :, order]
    return cube.reshape(chains.shape)


def _expected_drives(dynamics: Any, point: Array, chains: Array, formed: bool) -> Array:
    """-∂²L/∂Ω_2∂v²_r at Ω_2 = 0 from the statement's signals at every position, shape (lags,)."""
    grid, model = dynamics.model(point)
    states, lags = chains.shape[-1], grid.attention.shape[1]
    cubes, pairs = chains.reshape(-1, states, states, states), block_law(chains, 2)
    law_i = block_law(chains, 1)
    deviation = lag_pairs(chains, lags) - (law_i[:, :, None] * law_i[:, None, :])[:, None]
    by_share = np.zeros((lags, len(grid.u)))
    for c, (cube, pair, one) in enumerate(zip(cubes, pairs, law_i, strict=True)):
        # The query is state 0; the chains' renamings stand for the others.
        at_0 = np.zeros_like(pair)
        at_0[:, 0] = states * pair[:, 0]
        for g in range(len(grid.u)):
            law_after = np.tile(model[c, 0, :, g], (states, 1))
            for lag in range(lags):
                known = deviation[c, lag]
                by_share[lag, g] += (
                    _compiled(after_linear, k, law, P, sigma, D)(states, at_0, cube, law_after, known)
                    if formed
                    else _compiled(before, k, pi, sigma, D)(states, one, states * one[0] * law_after[0], known)
                )
    by_share *= grid.weights * grid.u / len(chains)
    both = np.zeros_like(grid.attention)
    both[1] = (by_share / grid.u) @ grid.cumulative
    return grid.by_lag_logits(both)[1]
