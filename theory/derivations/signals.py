r"""The first gradients of both layers at an uninformed start, in closed form.

Let the score of source s from a query at t be ω Σ_q a_{s,q} 1[x_q = x_t] + c, as W = ωI + c·11ᵀ has it, with the
layer-1 attention a. At the start the model predicts 1/k, so that ∂L/∂f_j = 1/k - P_{x_t j} and every gradient is a sum
of

    C[q, s, t] = E Σ_ij Pr(x_q = i, x_s = j, x_t = i) (P_ij - 1/k)

over positions (`onset.theory.markov.signals.correlations`). Both layers are trained by the same sum: with K = a for ω
and K = ω ∂a/∂v_r for the lag logit v_r,

    linear    -(1/T) Σ_t Σ_{s≤t} Σ_{q≤s} K[s, q] C[q, s, t]
    softmax   -(μ/T) Σ_t (1/t) Σ_{s≤t} Σ_{q≤t} (K[s, q] - M[t, q]) C[q, s, t],    M[t, q] = (1/t) Σ_{s≤t} K[s, q].

Layer 1 has no gradient while ω = 0, neither layer of the softmax family has one while μ = 0: the second layer goes
first.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import sympy as sp

from onset.theory.arrays import Array
from onset.theory.derivations.derivation import Identities, check
from onset.theory.derivations.text import Expressions, derives, equation

__all__ = [
    "attention",
    "by_lag",
    "by_match_limit",
    "by_readout",
    "by_scale",
    "compiled",
    "derive",
    "evaluate",
    "kernel",
    "linear",
    "slope",
    "softmax",
]

T, r, t, q, n, d = sp.symbols("T r t q n d", integer=True, nonnegative=True)
source = sp.Symbol("s", integer=True, positive=True)
omega, mu, limit = sp.symbols("omega mu S_infinity", real=True)
arrays: Any = [sp.IndexedBase(name) for name in ("C", "K", "M", "u", "v", "S")]  # sympy's types know no index
C, K, M, u, v, signal = arrays

attention = sp.exp(v[source - q]) / sp.Sum(sp.exp(v[n]), (n, 0, source - 1))
"""a_{s,q}, the layer-1 weight that source s gives position q ≤ s."""

match = 1 / source
"""Its value at v = 0, which is ∂score/∂ω."""

slope = sp.Piecewise(
    (sp.Piecewise((1, sp.Eq(q, source - r)), (0, True)) / source - 1 / source**2, r < source), (0, True)
)
"""∂a_{s,q}/∂v_r at v = 0."""

linear = -1 / T * sp.Sum(K[source, q] * C[q, source, t], (q, 1, source), (source, 1, t), (t, 1, T))
softmax = -mu * sp.Sum(sp.Sum((K[source, q] - M[t, q]) * C[q, source, t], (q, 1, t), (source, 1, t)) / t, (t, 1, T)) / T

by_scale = -1 / T * sp.Sum((T - d) * u[d], (d, 0, T - 1))
"""∂L/∂c of the linear family at W = 0."""

by_readout = -1 / T * sp.Sum(sp.Sum(u[d], (d, 0, t - 1)) / t, (t, 1, T))
"""∂L/∂μ of the softmax family at U = W = 0, U = μI + d·11ᵀ; ∂L/∂d = 0."""

gradient = sp.Derivative(sp.Function("L")(v[r]), v[r])
background = sp.Sum(signal[n], (n, 0, source - 1)) / source
by_lag = -omega * sp.Sum((T + 1 - source) / source * (signal[r] - background), (source, r + 1, T)) / T
by_match_limit = -mu * sp.Sum(sp.Sum(background, (source, 1, t)) / t, (t, 1, T)) / T
"""∂L/∂ω of the softmax family at W = v = 0 and small μ where counts do not fluctuate."""


@derives("signals")
def derive() -> Expressions:
    r"""First gradients of both layers

    Symbols
    -------
    L(v[r]) : loss, nats per token
    v[r] : lag logit of lag $r$ in layer 1
    S[n] : signal of lag $n$ at the start: $\mathbb{E} \sum_i \pi_i^2 \sum_j P_{ij} ((P^n)_{ij} - \pi_j)$
    S_infinity : $\mathbb{E} \sum_i \pi_i^2 \sum_j \pi_j (P_{ij} - 1/k)$
    q : position that layer 1 attends to
    C[q, s, t] : $\mathbb{E} \sum_{ij} \Pr(x_q = i, x_s = j, x_t = i) (P_{ij} - 1/k)$
    K[s, q] : derivative of the score of source $s$, by $\omega$ or by $v_r$
    M[t, q] : mean of $K_{s,q}$ over the sources up to $t$
    u[d] : $\mathbb{E} \sum_j \pi_j (P^{d+1})_{jj} - 1/k$
    a_{s,q} : attention of source $s$ to position $q$
    p_j : what the model predicts
    s, t, omega, mu, T, k, x_t, P, pi, W, c, U, H_n, gamma

    Assumptions
    -----------
    - prior and initialisation exchangeable; sequences start from the stationary law; loss averaged over positions
    - $v = 0$, and $W$ so small that predictions are still $1/k$
    - sources far before the query: $C_{q,s,t} = S_\infty + S_{s-q}$; `linear` and `softmax` with the exact $C$ need no
      such limit

    Steps
    -----
    - attention of layer 1: softmax over the past of source $s$ [attention]
    - its slope at $v = 0$: $\partial a_{s,q}/\partial v_r$ of a softmax: $a_{s,q}$ times the difference of $[q = s -
      r]$ and $a_{s,s-r}$ [slope]
    - linear family: $K = 1/s$ gives $\partial L/\partial\omega$; $K = \omega$ times the slope gives $\partial
      L/\partial v_r$ to first order, which vanishes with $\omega$ [linear]
    - softmax family: to first order in $\mu$, with the same $K$; scores enter less their mean over sources; at $\mu =
      0$ it is zero [softmax]
    - linear family, by $c$: $u_d$ tends to $\mathbb{E} \sum_j \pi_j^2 - 1/k$ [by_scale]
    - softmax family, by $\mu$: layer 2 reads frequencies: the first signal of all [by_readout]
    - sources far before the query: $\sum_q K_{s,q} = 0$ removes $S_\infty$ from the linear family's gradient: the
      statement
    - softmax family likewise: frequencies and match do not covary in the limit: $M$ drops out [by_match]

    Validity
    --------
    First order in $\omega$; for lag $r \ll T$ it is $-\omega [S_r (\ln T + \gamma - 1 - H_r) - \sum_{s>r} s^{-2}
    \sum_{n<s} S_n]$. The exact first order at context $T$ differs by $O(\ln T/T)$. Where the model predicts $p_j$
    instead of $1/k$, signals are $\mathbb{E} \sum_i \pi_i^2 \sum_j (P_{ij} - p_j)((P^r)_{ij} - \pi_j)$: on the unigram
    plateau those of reference 'unigram'. At $\omega = 0$ the gradient of every lag logit is exactly zero in both
    families, for every sequence, $c$ and chain, and so at 0.01 in every entry of $W$; that of $W$ is not. In the
    softmax family at $U = W = v = 0$ only $U$ has a gradient; that of $W$ is of order $\mu$, that of $v$ of order
    $\mu\omega$. There $\partial L/\partial\omega = -\mu (\sum_n S_n) \ln^2 T/(2T) (1 + O(1/\ln T))$, and $\ln T/T$ at
    the last position alone. The correction, from counts that fluctuate together, is large: for flat rows the limit is
    4.8, 3.2, 2.6 times the exact value at $k = 3$, $T = 25$, 50, 100, and 8, 4.4, 3.2 times at $k = 2$, $T = 32$, 64,
    128; at $k = 2$, $T = 16$ the exact sign is the other one.

    Source
    ------
    derived here; order of the layers observed in arXiv 2402.11004

    References
    ----------
    edelman2024evolution
    """
    return {
        "statement": equation(gradient, by_lag),
        "attention": attention,
        "slope": slope,
        "linear": linear,
        "softmax": softmax,
        "by_scale": by_scale,
        "by_readout": by_readout,
        "by_match": by_match_limit,
    }


def compiled(expression: sp.Expr, *names: str) -> Callable[..., Any]:
    """An expression of this module as a function of the symbols named; `signal` stands for the signals S_n."""
    symbols = {str(symbol): symbol for symbol in (T, r, omega, mu, C, K, M, u)} | {"signal": signal}
    return sp.lambdify([symbols[name] for name in names], expression, "numpy")


def evaluate(expression: sp.Expr, **values: Any) -> float:
    """An expression of this module at numbers and arrays, by the names of its symbols; `K` and `M` as from `kernel`."""
    return float(compiled(expression, *values)(*values.values()))


def kernel(context: int, lag: int | None = None) -> tuple[Array, Array]:
    """K[s, q] of ω, or of v_lag at ω = 1, and M[t, q], its mean over sources; shape (T + 1, T + 1), index 0 unused."""
    s, position = np.arange(1, context + 1)[:, None], np.arange(1, context + 1)
    derivative = sp.lambdify((source, q, r), match if lag is None else slope, "numpy")
    inner = np.where(position <= s, derivative(s, position, -1 if lag is None else lag), 0.0)
    means = inner.cumsum(axis=0) / s
    return np.pad(inner, ((1, 0), (1, 0))), np.pad(means, ((1, 0), (1, 0)))


@check(
    r"$\sum_q a_{s,q}$ with 1, and $\partial a_{s,q}/\partial v_r$ of the explicit softmax at $v = 0$ with the slope, "
    r"symbolically, $s \le 4$"
)
def _slope(attention: Any, slope: Any) -> Identities:
    for s in range(1, 5):
        zero = {v[i]: 0 for i in range(s)}
        explicit = [attention.subs(source, s).subs(q, position).doit() for position in range(1, s + 1)]
        yield sum(explicit) - 1
        for position, lag in itertools.product(range(1, s + 1), range(5)):
            stated = slope.subs({source: s, q: position, r: lag})
            yield sp.diff(explicit[position - 1], v[lag]).subs(zero).doit() - stated


@check(r"`linear` with $C_{q,s,t} = S_\infty + S_{s-q}$ with the statement, symbolically, $T = 4$, all lags")
def _limit(statement: Any, slope: Any, linear: Any) -> Identities:
    context = 4
    far = np.zeros((context + 1,) * 3, object)
    for position, s, query in np.indices(far.shape).reshape(3, -1).T:
        if 1 <= position <= s <= query:
            far[position, s, query] = limit + signal[s - position]
    for lag in range(context):
        inner = np.zeros((context + 1,) * 2, object)
        for s in range(1, context + 1):
            for position in range(1, s + 1):
                inner[s, position] = omega * slope.subs({source: s, q: position, r: lag})
        difference = statement.lhs - statement.rhs
        yield (
            difference.subs({T: context, r: lag})
            .doit()
            .subs(gradient.subs(r, lag), compiled(linear, "T", "K", "C")(context, inner, far))
        )
