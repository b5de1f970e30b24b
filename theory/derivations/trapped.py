r"""Why a model may leave its unigram plateau the wrong way: the match's first gradient at long contexts.

At ω = v = 0 the score of source s for a query i rises with ω by z_s[i] = N_i(s)/s, and the softmax family predicts
σ = softmax(μ N/t). Per unit of μ and ω, with the residual P_{x_t j} - σ_tj,

    push = (1/T) Σ_t (1/t) E Σ_j (P_{x_t j} - σ_tj) Σ_{s≤t} (1[x_s = j] - N_j/t) N_{x_t}(s)/s.

Where counts do not fluctuate the inner sum is zero: the push is made of covariances. Those of a symbol with the counts
before it sum the chain's memory, Y = Σ_m (P^m - 1π), the deviation matrix (fundamental matrix less 1π), and grow like
ln t. Those of the frequencies with the mean score, made of the asymptotic covariance V of counts, do not, and have the
other sign. Hence short contexts trap.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp
from scipy.optimize import brentq

from onset.theory.arrays import Array
from onset.theory.derivations import count_fluctuations
from onset.theory.derivations.derivation import Identities, Residual, check, numerical, worst
from onset.theory.derivations.text import Expressions, derives, equation
from onset.theory.markov.chains import lag_matrices, stationary
from onset.theory.markov.expectations import nodes
from onset.theory.markov.priors import Dirichlet

__all__ = ["asymptotic", "derive", "exact_two_states"]

T, t = sp.symbols("T t", integer=True, positive=True)
mu = sp.Symbol("mu", positive=True)
A, B = sp.symbols("A B", real=True)
pi_i, Y, X, V, residual = sp.symbols("pi_i Y_ij X_ij V_ij D_ij", real=True)

omega = sp.Symbol("omega")
slope = sp.Derivative(sp.Function("L")(omega), omega)

at_position = (A * sp.harmonic(t) - B) / t
"""Contribution of position t to T × push/μ, up to O(ln t / t²)."""

asymptotic = mu / T * (A * (sp.harmonic(T) ** 2 + sp.harmonic(T, 2)) / 2 - B * sp.harmonic(T))

CHAINS = 64
"""Nodes for the average over two Dirichlet rows."""


@derives("trapped-basin")
def derive() -> Expressions:
    r"""Which way the match leaves the unigram plateau

    Symbols
    -------
    L(omega) : loss, nats per token
    omega : second-layer match, at zero
    mu : read-out; on the plateau where the loss is least, under Adam small
    A : $\mathbb{E} \sum_i \pi_i^2 \sum_j D_{ij} Y_{ij}$
    B : $\mathbb{E} \sum_i \pi_i \sum_j D_{ij} (\pi_i X_{ij} + V_{ij})$
    D_ij : $P - \operatorname{softmax}(\mu\pi)$
    Y_ij : $\sum_{m \ge 0} (P^m - 1\pi)$
    X_ij : $\sum_{m \ge 1} H_m (P^m - 1\pi)$
    V_ij : asymptotic covariance of counts per token
    pi_i : stationary probability of the query
    m : lag, in tokens
    N_j : count of symbol $j$ up to a position
    T, t, s, v, k, W, c, U, P, x_t, H_n

    Assumptions
    -----------
    - softmax family, no lag grown ($v = 0$), $\omega = 0$; prior and initialisation exchangeable, stationary start
    - chains mix within the context: terms $O(1)$ inside the bracket are dropped

    Steps
    -----
    - covariance of a source's symbol with the counts before it: $(1/t) \sum_{s \le t} (1/s) \sum_{m<s} \pi_i (P^m -
      1\pi)_{ij}$: the sum over $m < s$ is $Y_{ij}$ less its tail, and the tails sum to $X_{ij}$ [of_source]
    - covariance of frequencies with the mean score: $t^{-2} \sum_{s \le t} (1/s) \operatorname{Cov}(N_j(t), N_i(s))$
      with a covariance that tends to $s V_{ij}$ [of_frequencies]
    - their difference against the residual: averaged with weights $\pi_i$ over query states: $A H_t - B$. Fluctuations
      of the prediction enter with two others: $O(\ln t/t^2)$ [difference]
    - sum over positions: every pair of positions once, the diagonal twice [over_positions]

    Validity
    --------
    Up to a constant and $O(\ln T/T)$ inside the bracket. The constant matters at contexts of tens, where
    `onset.theory.laws.basins.escapes` takes the expectation as it is. $A$ must be positive for escape at long contexts;
    then $\ln T$ of about $2B/A$ divides trapped from escaping, an overestimate. With flat or broader rows $A$ and $B$
    are dominated by chains that hardly mix and the limit comes late. Linear family: the same with the indicator $[x_s =
    j]$ in place of its deviation from $N_j/t$.

    Source
    ------
    derived here

    References
    ----------
    edelman2024evolution, kemeny1960finite
    """
    n = sp.Symbol("n", integer=True, positive=True)
    pairs = (sp.harmonic(T) ** 2 + sp.harmonic(T, 2)) / 2
    return {
        "statement": equation(-slope, asymptotic),
        "of_source": pi_i * (sp.harmonic(t) * Y - X) / t,
        "of_frequencies": V / t,
        "difference": sp.collect(sp.expand(residual * (pi_i * (sp.harmonic(t) * Y - X) - V)), sp.harmonic(t)) / t,
        "over_positions": equation(sp.Sum(sp.harmonic(n) / n, (n, 1, T)), pairs),
    }


def exact_two_states(transition: Array, weights: Array, readout: float, context: int) -> tuple[Array, Array]:
    """Push per unit of μ and slope of the loss by μ, softmax family, at every context up to `context`, shapes (T,).

    Exact for chains (n, 2, 2) with weights (n,): the law of (N_1(t), x_t), and the mean there of Σ_{s≤t} 1[x_s = j]
    N_i(s)/s, are carried from position to position.
    """
    law, ones, both = stationary(transition), np.arange(context + 2), np.arange(2)
    probability = np.zeros((len(law), context + 2, 2))
    sums = np.zeros((*probability.shape, 2, 2))
    probability[:, both, both], sums[:, both, both, both, both] = law, law
    pushes, slopes = [], []
    for position in range(1, context + 1):
        shares = np.stack([1 - ones / position, ones / position], axis=1).clip(0, 1)
        model = np.exp(readout * shares)
        difference = transition[:, None] - (model / model.sum(axis=1, keepdims=True))[None, :, None]
        matched = sums[:, :, both, both]
        rise = matched / position - shares[None, :, None] * matched.sum(axis=3, keepdims=True) / position
        pushes.append(weights @ (difference * rise).sum(axis=(1, 2, 3)))
        slopes.append(-weights @ (difference * shares[None, :, None] * probability[..., None]).sum(axis=(1, 2, 3)))
        probability, sums = _next_position(transition, probability, sums, ones / (position + 1))
    span = np.arange(1, context + 1)
    return np.cumsum(pushes) / span, np.cumsum(slopes) / span


def _next_position(transition: Array, probability: Array, sums: Array, share: Array) -> tuple[Array, Array]:
    """Law and sums one position later: the next symbol moves N_1, and adds its shares to its sum."""
    moved = np.einsum("nca,nab->ncb", probability, transition)
    carried = np.einsum("ncaij,nab->ncbij", sums, transition)
    moved[:, 1:, 1], carried[:, 1:, 1] = moved[:, :-1, 1].copy(), carried[:, :-1, 1].copy()
    moved[:, 0, 1], carried[:, 0, 1] = 0.0, 0.0
    for symbol in range(2):
        carried[:, :, symbol, 0, symbol] += moved[:, :, symbol] * (1 - share)
        carried[:, :, symbol, 1, symbol] += moved[:, :, symbol] * share
    return moved, carried


def plateau_two_states(transition: Array, weights: Array, context: int) -> float:
    """μ* of the softmax family with two states, exactly."""

    def slope(readout: float) -> float:
        return exact_two_states(transition, weights, readout, context)[1][-1]

    return float(brentq(slope, 0.01, 20.0))  # pyright: ignore[reportArgumentType]


def rows(concentration: float) -> tuple[Array, Array]:
    """Chains (n, 2, 2) and weights (n,) for an average over Dirichlet rows of two states."""
    return nodes(Dirichlet(2, concentration), CHAINS)


@check(
    r"$\sum_t (A H_t - B)/t$ with the statement, and $\sum_n H_n/n$ with its closed form, exactly, $T = 1, \dots, 12$"
)
def _sum(statement: Any, over_positions: Any) -> Identities:
    total = sp.Integer(0)
    for position in range(1, 13):
        total += at_position.subs(t, position)
        yield total - statement.rhs.subs(T, position) * position / mu
        yield (over_positions.lhs - over_positions.rhs).subs(T, position).doit()


@check("difference of the two covariances against the residual with $A H_t - B$ at one query and symbol, symbolically")
def _difference(of_source: Any, of_frequencies: Any, difference: Any) -> Identities:
    known = {A: pi_i**2 * residual * Y, B: pi_i * residual * (pi_i * X + V)}
    return (
        residual * (of_source - of_frequencies) - difference,
        pi_i * difference - at_position.subs(known),
    )


def _random_chain() -> tuple[Array, Array, Array, Array, Array]:
    """Powers P^m - 1π, m < 256, of three states, with π, Y, X and V."""
    chain = np.random.default_rng(0).dirichlet(np.full(3, 5.0), size=3)
    law, excess = stationary(chain), lag_matrices(chain, 256) - stationary(chain)
    harmonic = np.cumsum(np.r_[0.0, 1 / np.arange(1, 256)])
    return excess, law, excess.sum(axis=0), np.einsum("m,mij->ij", harmonic, excess), count_fluctuations.limit(chain)


@check("covariance of a source's symbol with the counts before it by its sum, three states, $t = 128$")
def _of_source(of_source: Any) -> Residual:
    excess, law, *known = _random_chain()
    position = 128
    exact = law[:, None] * (excess[:position].cumsum(axis=0) / np.arange(1, position + 1)[:, None, None]).sum(axis=0)
    closed = numerical((t, pi_i, Y, X), of_source, "scipy")(position, law[:, None], *known[:2])
    largest = float(np.abs(exact / position - closed).max())
    return Residual(largest, 1e-14, "the tails beyond $t$ fall exponentially; a hundred roundings of numbers below 0.1")


@check(
    r"covariance of frequencies with the mean score by its sum, three states, $t = 16, \dots, 128$: error falls like "
    r"$\ln t/t^2$"
)
def _of_frequencies(of_frequencies: Any) -> Residual:
    excess, law, *_, asymptotic_covariance = _random_chain()
    positions, errors = np.array([16, 32, 64, 128]), []
    for position in positions:
        # Σ over x ≤ t, y ≤ s of Cov(1[x_x = j], 1[x_y = i]), by the lag between them.
        later, earlier = np.arange(1, position + 1)[:, None], np.arange(1, position + 1)
        forth = (law[:, None] * excess)[np.maximum(later - earlier, 0)]
        back = (law[:, None] * excess).swapaxes(1, 2)[np.maximum(earlier - later, 0)]
        pairs = np.where((later >= earlier)[..., None, None], forth, back)
        exact = (pairs.sum(axis=0).cumsum(axis=0) / earlier[:, None, None]).sum(axis=0) / position**2
        closed = sp.lambdify((t, V), of_frequencies)(position, asymptotic_covariance)
        errors.append(np.abs(exact - closed).max() * position**2 / np.log(position))
    because = r"in units of $\ln t/t^2$: a few times $V$"
    return Residual(worst(*errors), 4 * float(np.abs(asymptotic_covariance).max()), because)
