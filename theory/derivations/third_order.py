r"""Why trigrams come last: what drives the second head of layer 1, before and after the first has formed.

For chains of order 3 the softmax family has two heads (`onset.validate.models.ngram_toy`): the first matches keys z¹_s
with the token x_t, the second keys z²_s with z¹_t. Let λ_hi be the stationary law of two successive symbols, b_ij = Σ_h
λ_hi P_hij / π_i the law of the next symbol given the last alone, and σ_ij what the model predicts from it.

*Before* the first head has formed z¹_t is the frequencies π, whatever the last tokens were: the second head can only
shift all queries' logits alike, and is driven by E Σ_j (π_j - σ_j) g_j with some g, nothing where the read-out of
counts is ideal.

*After*, z¹_t = e_h with h = x_{t-1}, and layer 2 reads sources that follow x_t = i. Among them the second match adds to
symbol j what it has in common with lag r,

    G^r_hij = J^r_hij - b_ij Σ_l J^r_hil,    J^r_hij = Pr(x_{s-r} = h, x_s = j | x_{s-1} = i),

so that lag r of the second head is driven by S_r = E Σ λ_hi (P_hij - σ_ij) G^r_hij. For r = 1 it vanishes; for r = 2,
G = κ (P - b), κ = λ_hi/π_i.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from onset.theory.arrays import Array
from onset.theory.derivations.derivation import Identities, Residual, check, worst
from onset.theory.derivations.text import Expressions, derives, equation
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
"""b_ij."""

gain: Any = J[h, i, j] - row * sp.Sum(J[h, i, n], (n, 0, k - 1))
"""G^r_hij, softmax family."""

after = sp.Sum(law[h, i] * (P[h, i, j] - sigma[i, j]) * gain, *every)
"""S_r of one chain."""

after_linear = sp.Sum(law[h, i] * (P[h, i, j] - sigma[i, j]) * D[h, j], *every)
"""S_r of the linear family, whose layer 2 reads all sources: D^r_hj = Pr(x_{s-r} = h, x_s = j) - π_h π_j."""

before = sp.Sum((pi[j] - sigma[j]) * sp.Sum(pi[h] * D[h, j], (h, 0, k - 1)), (j, 0, k - 1))
"""Before the first head has formed, either family: σ is the model of frequencies alone."""

mean = sp.Function("E")

STATES, CHAINS = 3, 4
"""States and number of the chains with rational entries."""

CONTEXT = 1600
"""Context at which the mean field is compared."""

SMALL = 1e-4
"""Match at which a derivative by it is taken, over T."""

LARGE = 40.0
"""A lag logit that takes all attention; its negative takes none."""


@derives("third-order")
def derive() -> Expressions:
    r"""Drive of the second head: trigrams after bigrams

    Symbols
    -------
    S[r] : drive of lag $r$ of the second head on the bigram plateau, per $\omega_2$, $\mu$ and share of attention; nats
        per token; expectation over the prior
    lambda[h, i] : stationary law of $x_{t-1} = h$, $x_t = i$
    P[h, i, j] : $\Pr(x_{t+1} = j \mid x_{t-1} = h, x_t = i)$
    sigma[i, j] : what the model predicts after $i$
    b_ij : $\Pr(x_{t+1} = j \mid x_t = i)$
    J[h, i, j] : $\Pr(x_{s-r} = h, x_s = j \mid x_{s-1} = i)$
    D[h, j] : $\Pr(x_{s-r} = h, x_s = j) - \pi_h \pi_j$
    pi[j] : stationary law of a symbol
    E(f_j) : expectation over the prior
    z : average of the past that a head of layer 1 gives position $t$, by symbol; $z^1$ and $z^2$
    f_j : logit of symbol $j$
    omega_2 : match of the second head
    v : lag logits of the first and the second head, $v^1$ and $v^2$
    kappa : $\lambda_{hi}/\pi_i$
    r, s, t, k, mu, T, x_t

    Assumptions
    -----------
    - chains of order 3, softmax family with two heads, $T \to \infty$
    - the first head holds lag 1 and its match is strong: layer 2 reads sources that follow the last token
    - the second head has not formed: $v^2 = 0$, $\omega_2$ small

    Steps
    -----
    - unigram plateau: $z^1_t = \pi$ for every query: the gain does not depend on the last tokens, and the expectation
      of $P_{hij} - \sigma_j$ at $h = x_{t-1}$, $i = x_t$ is $\pi_j - \sigma_j$ [before]
    - what a small $\omega_2$ adds on the bigram plateau:
      $\partial f_j/\partial\omega_2 = \mu \operatorname{Cov}([x_s = j], z^2_s[h])$ over the sources with
      $x_{s-1} = i$; the share of lag $r$ in $z^2$ multiplies this gain [gain]
    - ideal read-out, lag 2: $J_{hij} = \kappa P_{hij}$; $\sum_h \lambda_{hi} (P_{hij} - b_{ij}) \kappa$ would vanish if
      $\kappa$ were uniform in $h$: with $\sigma = b$ only the square is left [square]
    - linear family: layer 2 sums over all sources: no condition on $x_{s-1}$ [linear]

    Validity
    --------
    First order in $\omega_2$ and in the second head's attention. With $\sigma = b$ the signal of lag 2 is $\mathbb{E}
    \sum \lambda^2/\pi\,(P - b)^2 \ge 0$, zero only for chains that are Markov, and that of lag 1 is exactly zero: the
    second head takes lag 2. A linear read-out of frequencies differs from $b$, and adds the term that $S_r$ states. In
    the linear family $S_r$ has $D_{hj}$ in place of the gain and never ends in trigrams: its logits add the matches of
    both heads, nearer to the bigram strategy than to the trigram one for the priors tested. Under Adam both heads move
    from the first step at the same rate, and the plateaus overlap.

    Source
    ------
    derived here; the order of n-grams is observed in arXiv 2402.11004

    References
    ----------
    edelman2024evolution
    """
    square = sp.Sum(law[h, i] ** 2 / pi[i] * (P[h, i, j] - row) ** 2, *every)
    return {
        "statement": equation(S[r], after),
        "before": before,
        "gain": gain,
        "square": mean(square),
        "linear": after_linear,
    }


@cache
def _compiled(expression: sp.Expr, *symbols: Any) -> Any:
    return sp.lambdify(symbols, expression, "numpy")


def gains(transition: Array, lags: int) -> Array:
    """J^r_hij of chains (n, k², k), shape (lags, n, k, k, k)."""
    count, rows, states = transition.shape
    eye, chain, by_pair = np.eye(states), lift(transition), transition.reshape(count, states, states, states)
    pairs, following = block_law(transition, 2), block_law(transition, 3).sum(axis=1)
    joint = [np.einsum("nij,hj->nhij", following, eye), np.einsum("nij,hi->nhij", following, eye)]
    # past[h, (a, i)]: probability of h at s - r and of a, i at s - 2, s - 1.
    past = np.einsum("nai,ah->nhai", pairs, eye).reshape(count, states, rows)
    for _ in range(2, lags):
        joint.append(np.einsum("nhai,naij->nhij", past.reshape(count, states, states, states), by_pair))
        past = past @ chain
    return np.stack(joint[:lags]) / pairs.sum(axis=1)[:, None, :, None]


def signals(transition: Array, weights: Array, model: Array, lags: int, formula: Any = after) -> Array:
    """S_r, shape (lags,), of chains (n, k², k) with weights (n,) and the model's law (n, k, k) given the last.

    The `formula` is the statement's right-hand side.
    """
    states = transition.shape[-1]
    chains = block_law(transition, 2), transition.reshape(-1, states, states, states), model
    joint = np.moveaxis(gains(transition, lags), (0, 1), (-2, -1))
    return _compiled(formula, k, law, P, sigma, J)(states, *(np.moveaxis(x, 0, -1) for x in chains), joint) @ weights


def _rational_chains() -> Iterator[tuple[Any, Any]]:
    """P[h, i, j] and λ[h, i] of chains with rational entries."""
    generator, states = np.random.default_rng(0), range(STATES)
    for _ in range(CHAINS):
        counts = generator.integers(1, 9, size=(STATES,) * 3)
        rows = np.vectorize(sp.Rational)(counts, counts.sum(axis=2, keepdims=True))
        unknown = np.array(sp.symbols(f"x:{STATES**2}")).reshape(STATES, STATES)
        balance = [sum(unknown[a, b] * rows[a, b, c] for a in states) - unknown[b, c] for b in states for c in states]
        (solution,) = sp.linsolve([*balance[:-1], unknown.sum() - 1], *unknown.ravel())
        yield rows, np.array(solution).reshape(STATES, STATES)


def _exact(signal: Any, rows: Any, pair: Any, model: Any, joint: Any) -> Any:
    """S_r by `signal` with exact numbers: arrays of sympy's."""
    return _compiled(signal, k, law, P, sigma, J)(STATES, pair, rows, model, joint)


def _bigram(rows: Any, pair: Any) -> Any:
    return (pair[:, :, None] * rows).sum(axis=0) / pair.sum(axis=0)[:, None]


@check(r"$S_2$ at $\sigma = b$ with the square, four random chains, $k = 3$, exact arithmetic")
def _lag_2(statement: Any, square: Any) -> Identities:
    for rows, pair in _rational_chains():
        bigram, single = _bigram(rows, pair), pair.sum(axis=0)
        signal = _exact(statement.rhs, rows, pair, bigram, (pair / single)[:, :, None] * rows)
        expected = (pair[:, :, None] ** 2 / single[:, None] * (rows - bigram) ** 2).sum()
        yield signal - expected
        yield _compiled(square, k, law, P, pi, mean)(STATES, pair, rows, single, lambda value: value) - expected


@check(
    "the gain with the slope of the softmax over sources by the second match, lag 2, the same chains, exact arithmetic"
)
def _slope(gain: Any) -> Identities:
    match = sp.Symbol("omega_2")
    for rows, pair in _rational_chains():
        joint, bigram = (pair / pair.sum(axis=0))[:, :, None] * rows, _bigram(rows, pair)
        stated = _compiled(gain, k, law, P, J, h, i, j)
        for where in itertools.product(range(STATES), repeat=3):
            before, last, symbol = where
            raised = bigram[last] + (sp.exp(match) - 1) * joint[before, last]
            yield sp.diff(raised[symbol] / raised.sum(), match).subs(match, 0) - stated(
                STATES, pair, rows, joint, *where
            )


@check(r"$S_1$ at any $\sigma$ with 0, the same chains, exact arithmetic")
def _lag_1(statement: Any) -> Identities:
    for rows, pair in _rational_chains():
        model = np.array(sp.Matrix(STATES, STATES, lambda a, b: sp.Rational(a + 2 * b + 1, 7)))
        joint = np.array(sp.eye(STATES))[:, :, None] * _bigram(rows, pair)[None]
        yield _exact(statement.rhs, rows, pair, model, joint)


@check(r"$\sum_{hij} \lambda_{hi} (P_{hij} - \pi_j)$ times any function of $j$ alone with 0, exact arithmetic")
def _unigram() -> Identities:
    for rows, pair in _rational_chains():
        gained = np.array(sp.symbols(f"g:{STATES}"))
        yield sp.expand((pair[:, :, None] * (rows - pair.sum(axis=0)) * gained).sum())


@check(
    "drives of `onset.theory.mean_fields.ngram_linear` with those of the linear family and, before the first head has "
    "formed, with those of the unigram plateau, over its own chains, $k = 2$ and 3"
)
def _mean_field(before: Any, linear: Any) -> Residual:
    largest = 0.0
    for states, lags in ((2, 4), (3, 4)):
        setting = Setting.of("linear", states=states, order=3, context=CONTEXT)
        dynamics = NgramLinearMeanField.of(setting, lags=lags, count=4)
        chains = np.random.default_rng(states).dirichlet(np.ones(states), size=(4, states**2))
        chains = np.concatenate([_relabelled(chains, order) for order in itertools.permutations(range(states))])
        dynamics.stand_for(chains, np.full(len(chains), 1 / len(chains)))
        for formed in (True, False):
            point = np.array([3 / CONTEXT, 1 / CONTEXT, 0, 0, *np.full(lags, -LARGE), *np.zeros(lags)])
            point[5] = LARGE if formed else -LARGE
            step = SMALL / CONTEXT * np.eye(len(point))[2]
            ahead, behind = (dynamics.gradient(point + sign * step).derivative[-lags:] for sign in (1, -1))
            drives = (behind - ahead) / (2 * SMALL)
            expected = _expected_drives(dynamics, point, chains, linear if formed else before, formed=formed)
            largest = worst(largest, float(np.abs(drives - expected).max() / np.abs(expected).max()))
    return Residual(
        largest, lags / CONTEXT, "the first positions, which lack lags, weigh as many as there are lags over $T$"
    )


def _relabelled(chains: Array, order: tuple[int, ...]) -> Array:
    states = len(order)
    cube = chains.reshape(-1, states, states, states)[:, order][:, :, order][:, :, :, order]
    return cube.reshape(chains.shape)


def _expected_drives(dynamics: Any, point: Array, chains: Array, signal: Any, *, formed: bool) -> Array:
    """-∂²L/∂Ω_2∂v²_r at Ω_2 = 0 from `signal` at every position, shape (lags,)."""
    grid, model = dynamics.model(point)
    states, lags = chains.shape[-1], grid.attention.shape[1]
    laws = block_law(chains, 1)
    deviation = lag_pairs(chains, lags) - (laws[:, :, None] * laws[:, None, :])[:, None]
    # Axes: states, then chains, lags, positions. The query is state 0; relabelled chains stand for the other queries.
    known = np.moveaxis(deviation, (2, 3), (0, 1))[..., None]
    predicted = np.moveaxis(model[:, 0], 1, 0)[:, :, None, :]
    pair, cube, single = (
        np.moveaxis(x, 0, -1)[..., None, None]
        for x in (block_law(chains, 2), chains.reshape(-1, states, states, states), laws)
    )
    if formed:
        query_0 = np.zeros_like(pair)
        query_0[:, 0] = states * pair[:, 0]
        same = np.broadcast_to(predicted, (states, *predicted.shape))
        drives = _compiled(signal, k, law, P, sigma, D)(states, query_0, cube, same, known)
    else:
        drives = _compiled(signal, k, pi, sigma, D)(states, single, states * single[0] * predicted, known)
    by_share = drives.sum(axis=0) * grid.weights * grid.u / len(chains)
    both = np.zeros_like(grid.attention)
    both[1] = (by_share / grid.u) @ grid.cumulative
    return grid.by_lag_logits(both)[1]
