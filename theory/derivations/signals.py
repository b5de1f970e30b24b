r"""The first gradients of both layers at an uninformed start, in closed form.

Let the score of source s from a query at t be ω Σ_q a_{s,q} 1[x_q = x_t] + c, as W = ωI + c·11ᵀ has it, a the layer-1 attention.
At the start the model predicts 1/k, so that ∂L/∂f_j = 1/k - P_{x_t j} and every gradient is a sum of

    C[q, s, t] = E Σ_ij Pr(x_q = i, x_s = j, x_t = i) (P_ij - 1/k)

over positions (`onset.theory.signals.correlations`). Both layers are trained by the same sum: with K = a for ω and K = ω ∂a/∂v_r for the lag
logit v_r,

    linear    -(1/T) Σ_t Σ_{s≤t} Σ_{q≤s} K[s, q] C[q, s, t]
    softmax   -(μ/T) Σ_t (1/t) Σ_{s≤t} Σ_{q≤t} (K[s, q] - M[t, q]) C[q, s, t],    M[t, q] = (1/t) Σ_{s≤t} K[s, q].

Layer 1 has no gradient while ω = 0, neither layer of the softmax family has one while μ = 0: the second layer goes first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sympy as sp

from onset.theory.arrays import Array
from onset.theory.derivations.derivation import Check, Derivation, Outcome, Step

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
at = sp.Symbol("s", integer=True, positive=True)
omega, mu, limit = sp.symbols("omega mu s_infinity", real=True)
arrays: Any = [sp.IndexedBase(name) for name in ("C", "K", "M", "u", "v", "s^0")]  # sympy's types know no index
C, K, M, u, v, signal = arrays

attention = sp.exp(v[at - q]) / sp.Sum(sp.exp(v[n]), (n, 0, at - 1))
"""a_{s,q}, the layer-1 weight that source s gives position q ≤ s."""

match = 1 / at
"""Its value at v = 0, which is ∂score/∂ω."""

slope = sp.Piecewise((sp.Piecewise((1, sp.Eq(q, at - r)), (0, True)) / at - 1 / at**2, r < at), (0, True))
"""∂a_{s,q}/∂v_r at v = 0."""

linear = -1 / T * sp.Sum(K[at, q] * C[q, at, t], (q, 1, at), (at, 1, t), (t, 1, T))
softmax = -mu * sp.Sum(sp.Sum((K[at, q] - M[t, q]) * C[q, at, t], (q, 1, t), (at, 1, t)) / t, (t, 1, T)) / T

by_scale = -1 / T * sp.Sum((T - d) * u[d], (d, 0, T - 1))
"""∂L/∂c of the linear family at W = 0."""

by_readout = -1 / T * sp.Sum(sp.Sum(u[d], (d, 0, t - 1)) / t, (t, 1, T))
"""∂L/∂μ of the softmax family at U = W = 0, U = μI + d·11ᵀ; ∂L/∂d = 0."""

background = sp.Sum(signal[n], (n, 0, at - 1)) / at
by_lag = -omega * sp.Sum((T + 1 - at) / at * (signal[r] - background), (at, r + 1, T)) / T
by_match_limit = -mu * sp.Sum(sp.Sum(background, (at, 1, t)) / t, (t, 1, T)) / T
"""∂L/∂ω of the softmax family at W = v = 0 and small μ where counts do not fluctuate."""


def derive() -> Derivation:
    """Gradient of the lag logits of the linear family, to first order in ω."""
    return Derivation(
        name="signals",
        title="First gradients of both layers",
        statement=sp.Eq(sp.Derivative(sp.Function("L")(v[r]), v[r]), by_lag, evaluate=False),
        symbols={
            v[r]: "lag logit of lag r in layer 1",
            signal[n]: "signal s_n of lag n, reference 'uniform': E Σ_i π_i² Σ_j P_ij ((P^n)_ij - π_j)",
            omega: "second-layer match, W = ωI + c·11ᵀ",
            at: "position of a source",
            T: "context, in tokens",
            r: "lag, in tokens",
        },
        assumptions=(
            "prior and initialisation exchangeable; sequences start from the stationary law; loss averaged over positions",
            "v = 0, and W so small that predictions are still 1/k",
            "sources far before the query: C[q, s, t] = s_∞ + s_{s-q}; `linear` and `softmax` with the exact C need no such limit",
        ),
        validity=(
            "First order in ω; for lag r ≪ T it is -ω [s_r (ln T + γ - 1 - H_r) - Σ_{s>r} s⁻² Σ_{n<s} s_n], H_r the harmonic number. "
            "The exact first order at context T differs by O(ln T / T). Where the model predicts p_j instead of 1/k, signals are "
            "E Σ_i π_i² Σ_j (P_ij - p_j)((P^r)_ij - π_j): on the unigram plateau those of reference 'unigram'. "
            "At ω = 0 the gradient of every lag logit is exactly zero in both families, for every sequence, c, and chain, and so at W = 0.01 in "
            "every entry; that of W is not. In the softmax family at U = W = v = 0 only U has a gradient; that of W is of order μ, that of v of order μω. "
            "There ∂L/∂ω = -μ (Σ_n s_n) ln²T/(2T) (1 + O(1/ln T)), ln T / T at the last position alone. The correction, from counts that "
            "fluctuate together, is large: for flat rows the limit is 4.8, 3.2, 2.6 times the exact value at k = 3, T = 25, 50, 100, "
            "and 8, 4.4, 3.2 times at k = 2, T = 32, 64, 128; at k = 2, T = 16 the exact sign is the other one."
        ),
        source="derived here; order of the layers observed in arXiv 2402.11004",
        references=("edelman2024evolution",),
        steps=(
            Step("attention of layer 1", attention, "softmax over the past of source s"),
            Step("its slope at v = 0", slope, "∂a/∂v_r = a (δ - a_r)"),
            Step(
                "linear family",
                linear,
                "K = 1/s gives ∂L/∂ω; K = ω slope gives ∂L/∂v_r to first order, which vanishes with ω",
            ),
            Step(
                "softmax family",
                softmax,
                "to first order in μ; scores enter less their mean over sources: K likewise; at μ = 0 it is zero",
            ),
            Step("linear family, by c", by_scale, "u_d = E Σ_j π_j (P^{d+1})_jj - 1/k tends to E Σ_j π_j² - 1/k"),
            Step("softmax family, by μ", by_readout, "layer 2 reads frequencies: the first signal of all"),
            Step("sources far before the query", by_lag, "Σ_q K = 0 removes s_∞ = E Σ_i π_i² Σ_j π_j (P_ij - 1/k)"),
            Step(
                "softmax family likewise",
                by_match_limit,
                "frequencies times match do not covary in the limit: M drops out",
            ),
        ),
        checks=[
            Check("slope", "∂a/∂v_r of the explicit softmax at v = 0 with the expression, symbolically, s ≤ 4", _slope),
            Check("limit", "`linear` with C = s_∞ + s_{s-q} with the statement, symbolically, T = 4, all lags", _limit),
        ],
    )


def compiled(expression: sp.Expr, *names: str) -> Callable[..., Any]:
    """An expression of this module as a function of the symbols named; `signal` stands for the signals s_n."""
    symbols = {str(symbol): symbol for symbol in (T, r, omega, mu, C, K, M, u)} | {"signal": signal}
    return sp.lambdify([symbols[name] for name in names], expression, "numpy")


def evaluate(expression: sp.Expr, **values: Any) -> float:
    """An expression of this module at numbers and arrays given by the names of its symbols; `K` and `M` as `kernel` makes them."""
    return float(compiled(expression, *values)(*values.values()))


def kernel(context: int, lag: int | None = None) -> tuple[Array, Array]:
    """K[s, q] of ω, or of v_lag at ω = 1, and M[t, q], its mean over sources; shape (T + 1, T + 1), index 0 unused."""
    s, position = np.arange(1, context + 1)[:, None], np.arange(1, context + 1)
    of = sp.lambdify((at, q, r), match if lag is None else slope, "numpy")
    inner = np.where(position <= s, of(s, position, -1 if lag is None else lag), 0.0)
    means = inner.cumsum(axis=0) / s
    return np.pad(inner, ((1, 0), (1, 0))), np.pad(means, ((1, 0), (1, 0)))


def _slope() -> Outcome:
    differences = []
    for source in range(1, 5):
        zero = {v[i]: 0 for i in range(source)}
        for position in range(1, source + 1):
            explicit = attention.subs(at, source).subs(q, position).doit()
            for lag in range(5):
                there = slope.subs({at: source, q: position, r: lag})
                differences.append(sp.diff(explicit, v[lag]).subs(zero).doit() - there)
    return Outcome.identity(*differences)


def _limit() -> Outcome:
    context = 4
    grid = np.indices((context + 1,) * 3).reshape(3, -1).T
    far, differences = np.zeros((context + 1,) * 3, object), []
    for position, source, query in grid:
        if 1 <= position <= source <= query:
            far[position, source, query] = limit + signal[source - position]
    for lag in range(context):
        inner = np.zeros((context + 1,) * 2, object)
        for source in range(1, context + 1):
            for position in range(1, source + 1):
                inner[source, position] = omega * slope.subs({at: source, q: position, r: lag})
        differences.append(
            compiled(linear, "T", "K", "C")(context, inner, far) - by_lag.subs({T: context, r: lag}).doit()
        )
    return Outcome.identity(*differences)
