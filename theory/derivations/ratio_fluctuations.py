r"""Covariance of what the softmax family reads, y = S/|S|: a ratio of sums, to third order in fluctuations of counts.

Layer 2 reads y_j = S_j/|S|, S_j the summed weights e^{ω z_s} of the sources that hold symbol j, |S| = Σ_j S_j. Before
the head has formed, the share of y in the match's gradient is a small difference, to which Cov(y) contributes at the
order of the signal. To second order in fluctuations the growth of Cov(y) has the wrong sign for priors of slowly mixing
chains, whose match is driven down and trapped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sympy as sp

from onset.theory.arrays import Array
from onset.theory.derivations.derivation import Identities, Residual, check, numerical, worst
from onset.theory.derivations.text import Expressions, derives, equation
from onset.theory.markov.chains import stationary
from onset.theory.mean_fields.corrected.softmax import SoftmaxCorrected
from onset.theory.setting import Setting

__all__ = ["covariance", "derive", "read"]

y_j, y_l, t, M = sp.symbols("y_j y_l t M", positive=True)
c_jl, c_j, c_l, c, skew, tilt, joint, variance = sp.symbols("c_jl c_j c_l c kappa beta V_S V_N", real=True)
epsilon, a_j, a_l, b = sp.symbols("epsilon a_j a_l b", real=True)

second = c_jl - y_j * c_l - y_l * c_j + y_j * y_l * c
third = -2 * tilt / M * skew / t**2
read = (second + third) / (1 + c)
"""Cov(y_j, y_l), the c's in units of M²."""

CONTEXTS = (8, 10, 12, 14, 16, 18)


@derives("ratio-fluctuations")
def derive() -> Expressions:
    r"""Covariance of what the softmax family reads

    Symbols
    -------
    y_j : $\mathbb{E} S_j/M$, share of the attention on symbol $j$
    y_l : likewise of symbol $l$
    S_j : summed weights of the sources that hold symbol $j$
    M : $\mathbb{E}|S|$, the expected sum $|S|$ of all weights
    c_jl : $\operatorname{Cov}(S_j, S_l)/M^2$
    c_j : $\operatorname{Cov}(S_j, |S|)/M^2$
    c_l : $\operatorname{Cov}(S_l, |S|)/M^2$
    c : $\operatorname{Var}(|S|)/M^2$
    beta : regression coefficient of $|S|$ on $N_0$
    V_S : $\operatorname{Cov}(|S|, N_0)$
    V_N : $\operatorname{Var}(N_0)$
    kappa : third cumulant of the counts $N_j, N_l, N_0$
    N_j : count of symbol $j$ up to the position, $N_0$ that of the query state
    t : position
    epsilon : size of the fluctuations
    a_j : fluctuation of $S_j$ in units of $\epsilon$
    b : fluctuation of $|S|$ in units of $\epsilon$
    u_j : fluctuation of $S_j/|S|$ in units of $\epsilon$
    omega, mu, T, k, s

    Assumptions
    -----------
    - all moments are conditional on the query state 0 as last token
    - sources weigh nearly alike, so that $S_j - y_j |S|$ fluctuates as $N_j - y_j t$ times $M/t$
    - $|S|$ fluctuates as its regression on $N_0$

    Steps
    -----
    - fluctuation: $S_j = y_j M + \epsilon a_j$ and $|S| = M + \epsilon b$, to second order in $\epsilon$ [fluctuation]
    - second order: $\mathbb{E} u_j u_l$ at $\epsilon = 0$: the delta method, or Taylor linearisation [second_order]
    - third order: $\mathbb{E} u_j u_l$ has minus twice $\epsilon/M^3$ times the third cumulant of $a_j - y_j b$, $a_l -
      y_l b$ and $b$; $b$ is regressed on $N_0$ [regression]

    Validity
    --------
    To first order in $\omega$ the error falls like $1/T^3$, without $\kappa$ like $1/T^2$, where chains mix within the
    context: what layer 1 reads is a linear functional of running counts $N_0(s)$, long counts have $\kappa \propto
    \operatorname{Cov}(N_0(t), N_0(s)) \propto s$ at every earlier position $s$, and the regression is exact to leading
    order. Neglected: at order $\omega^2$ all but the division by $1 + c$, which is no expansion but keeps the
    covariance bounded; third and fourth cumulants of the logits in the loss, of order $\mu^3/T^2$ and $\mu^4/T^2$,
    whose size the check orders compares with the term that is kept. Against finite context (softmax family, SGD from
    zero, concentration 0.3): trapped in both for $k = 3$, $T = 50$ and 100, where without $\kappa$ the head forms at
    step 410 for $T = 100$. For $k = 4$, formation and transition come 7% and 2% late at $T = 50$ and within 2% at $T =
    100$, where without $\kappa$ both come 12% early. What remains at $T = 50$ is as much the scatter of the prior's
    points as the order neglected.

    Source
    ------
    derived here
    """
    fluctuation = (a_j - y_j * b) / M * (1 - epsilon * b / M)
    return {
        "statement": equation(sp.Function("Cov")(y_j, y_l), read),
        "fluctuation": equation("u_j", fluctuation),
        "second_order": second,
        "regression": equation(tilt, joint / variance),
    }


_ARGUMENTS = y_j, y_l, M, t, c_jl, c_j, c_l, c, tilt, skew
_read = numerical(_ARGUMENTS, read)


def covariance(
    mean: Array,
    spread: Array,
    tilted: Array,
    skewness: Array,
    position: Array | float,
    formula: Callable[..., Array] = _read,
) -> Array:
    """Cov(y), shape (..., k, k), from mean (..., k) and covariance of S, β (...), and κ₃(N_j, N_l, N_0) (..., k, k).

    The `formula` is the statement's right-hand side.
    """
    total = mean.sum(axis=-1)[..., None, None]
    scaled = spread / total**2
    with_total, shares = scaled.sum(axis=-1), mean / total[..., 0]
    of_total = with_total.sum(axis=-1)[..., None, None]
    pairs = shares[..., :, None], shares[..., None, :]
    sums = with_total[..., :, None], with_total[..., None, :]
    return formula(*pairs, total, position, scaled, *sums, of_total, np.asarray(tilted)[..., None, None], skewness)


@check(r"$u_j$ with the ratio's expansion to second order, and its square with that to third, symbolically")
def _expansion(fluctuation: Any, second_order: Any) -> Identities:
    moved = [(y * M + epsilon * a) / (M + epsilon * b) - y for y, a in ((y_j, a_j), (y_l, a_l))]
    products = {c_jl: a_j * a_l / M**2, c_j: a_j * b / M**2, c_l: a_l * b / M**2, c: b**2 / M**2}
    leading = second_order.subs(products)
    exact = sp.series(sp.together(moved[0] * moved[1]), epsilon, 0, 4).removeO()
    return (
        sp.series(sp.together(moved[0] / epsilon), epsilon, 0, 2).removeO() - fluctuation.rhs,
        exact - epsilon**2 * leading * (1 - 2 * epsilon * b / M),
    )


@check("covariance of `onset.theory.mean_fields.corrected` with the statement, $k = 3$, $T = 40$")
def _library(statement: Any) -> Residual:
    dynamics = SoftmaxCorrected.of(Setting.of("softmax", states=3, context=40), count=4)
    point = np.array([1.5, 0, 2.0, 0, 0.3, 1.0, 0.1, 0, 0, 0])
    moments = dynamics.moments(point)
    total = moments.mean.sum(axis=-1)
    position = dynamics.at[:, None, None, None].astype(float)
    tilted = dynamics.tilt(moments, total)[0] * total
    known = moments.mean, moments.covariance, tilted, dynamics.counts.third, position
    stated = covariance(*known, numerical(_ARGUMENTS, statement.rhs))
    readout = point[2] - point[3]
    largest = np.abs(dynamics.link(moments, point).covariance - readout**2 * stated).max()
    return Residual(float(largest), 1e-12, "some thousand rounding errors of 2e-16 times covariances below one")


def _sequences(context: int) -> tuple[Array, Array, Array]:
    """Probability of each sequence of a chain that ends in state 0, its N_0(s) (q, T), and 1[x_s = j] (2, q, T)."""
    chain = np.array([[0.7, 0.3], [0.45, 0.55]])
    free = (np.arange(2 ** (context - 1))[:, None] >> np.arange(context - 1)) & 1
    tokens = np.column_stack([free, np.zeros(len(free), int)])
    probability = stationary(chain)[tokens[:, 0]] / stationary(chain)[0]
    for s in range(1, context):
        probability = probability * chain[tokens[:, s - 1], tokens[:, s]]
    holds = np.stack([tokens == 0, tokens == 1]).astype(float)
    return probability, holds[0].cumsum(axis=1), holds


@check(r"$\beta$ with the least-squares slope of $|S|$ on $N_0$ over all sequences, $\omega = 1$, $T = 8$")
def _regression(regression: Any) -> Residual:
    probability, running, holds = _sequences(8)
    total, count = _weights(holds, running, 1.0).sum(axis=0), holds[0].sum(axis=-1)
    slope = np.polyfit(count, total, 1, w=np.sqrt(probability))[0]
    covariances = np.cov(total, count, aweights=probability, ddof=0)
    stated = regression.rhs.subs({joint: covariances[0, 1], variance: covariances[1, 1]})
    return Residual(abs(float(stated) - float(slope)), 1e-12, "some thousand rounding errors of 2e-16 times a few")


def _weights(holds: Array, running: Array, omega: float) -> Array:
    """S_j of each sequence, no lag grown, shape (2, q)."""
    return (holds * np.exp(omega * running / np.arange(1, running.shape[1] + 1))).sum(axis=-1)


def _by_match(context: int, step: float = 1e-3) -> tuple[float, float, float]:
    """∂Var(y_0)/∂ω at ω = 0, no lag grown: exact, by the statement, and by the statement without κ."""
    probability, running, holds = _sequences(context)
    counts = holds.sum(axis=-1)
    centred = counts - (counts @ probability)[:, None]
    skewness = np.einsum("q,jq,lq,q->jl", probability, centred, centred, centred[0])
    values = []
    for omega in (step, -step):
        sums = _weights(holds, running, omega)
        share = sums[0] / sums.sum(axis=0)
        mean = sums @ probability
        spread = np.einsum("q,jq,lq->jl", probability, sums, sums) - np.outer(mean, mean)
        tilted = (probability @ (sums.sum(axis=0) * centred[0])) / (probability @ centred[0] ** 2)
        stated = [covariance(mean, spread, tilted, skewness * kept, context)[0, 0] for kept in (1, 0)]
        values.append([probability @ share**2 - (probability @ share) ** 2, *stated])
    exact, stated, without = (np.array(values[0]) - np.array(values[1])) / (2 * step)
    return float(exact), float(stated), float(without)


def _slopes() -> tuple[float, float]:
    """Slopes of ln(error) against ln T, by the statement and without κ; the longer half of the contexts."""
    values = np.array([_by_match(context) for context in CONTEXTS])[len(CONTEXTS) // 2 :]
    logarithms = np.log(CONTEXTS[len(CONTEXTS) // 2 :])
    errors = np.log(np.abs(values[:, 1:] - values[:, :1]))
    stated, without = (float(np.polyfit(logarithms, error, 1)[0]) for error in errors.T)
    return stated, without


@check(
    r"$\partial\operatorname{Cov}/\partial\omega$ at $\omega = 0$ by all sequences, $T = 8, \dots, 18$: error falls "
    r"like $T^{-3}$, without $\kappa$ like $T^{-2}$"
)
def _rate() -> Residual:
    stated, without = _slopes()
    return Residual(
        worst(abs(stated + 3), abs(without + 2)),
        0.5,
        "half the distance between the two orders; the next order changes a slope by a few times $1/T$",
    )


def _shares(context: int = CONTEXTS[-1], readout: float = 2.0, step: float = 1e-3) -> tuple[float, float, float]:
    """∂/∂ω at ω = 0 of the second-, third- and fourth-cumulant terms of E lse(μ y)."""
    probability, running, holds = _sequences(context)
    terms = []
    for omega in (step, -step):
        sums = _weights(holds, running, omega)
        logit = readout * (sums[0] - sums[1]) / sums.sum(axis=0)
        mean = probability @ logit
        moments = [probability @ (logit - mean) ** n for n in (2, 3, 4)]
        p = 1 / (1 + np.exp(-mean))
        w = p * (1 - p)
        coefficients = [w / 2, w * (1 - 2 * p) / 6, w * (1 - 6 * w) / 24]
        cumulants = [moments[0], moments[1], moments[2] - 3 * moments[0] ** 2]
        terms.append([c * cumulant for c, cumulant in zip(coefficients, cumulants, strict=True)])
    second_order, third_order, fourth_order = (np.array(terms[0]) - np.array(terms[1])) / (2 * step)
    return float(second_order), float(third_order), float(fourth_order)


@check(
    r"terms of third and fourth cumulants in $\partial\mathbb{E}\operatorname{lse}/\partial\omega$ at $T = 18$ with "
    "that of the second, which is kept"
)
def _orders() -> Residual:
    kept, *neglected = _shares()
    return Residual(worst(*np.abs(neglected)) / abs(kept), 2.0 / CONTEXTS[-1], r"relative order $1/T$, times $\mu = 2$")
