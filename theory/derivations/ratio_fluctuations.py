r"""How what the softmax family reads, y = S/|S|, fluctuates: the covariance of a ratio of sums to third order in counts.

Layer 2 reads y_j = S_j/|S|, S_j the summed weights e^{ω z_s} of the sources that hold symbol j, |S| = Σ_j S_j. Before the head has formed its share in the
match's gradient is a small difference, to which Cov(y) contributes at the same order as the signal; to second order in fluctuations it has
the wrong sign of growth for priors of slowly mixing chains, whose match is in truth driven down and trapped.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from onset.theory.arrays import Array
from onset.theory.derivations.derivation import Check, Derivation, Outcome, Step
from onset.theory.markov.chains import stationary
from onset.theory.mean_fields.corrected.families import SoftmaxCorrected
from onset.theory.setting import Setting

__all__ = ["covariance", "derive", "read"]

y_j, y_l, t, M = sp.symbols("y_j y_l t M", positive=True)
c_jl, c_j, c_l, c, skew, tilt, joint, variance = sp.symbols("c_jl c_j c_l c kappa beta s v", real=True)
epsilon, a_j, a_l, b = sp.symbols("epsilon a_j a_l b", real=True)

second = c_jl - y_j * c_l - y_l * c_j + y_j * y_l * c
third = -2 * tilt / M * skew / t**2
read = (second + third) / (1 + c)
"""Cov(y_j, y_l), the c's in units of M²."""

CONTEXTS = (8, 10, 12, 14, 16, 18)


def derive() -> Derivation:
    """Cov(y_j, y_l) = (c_jl - y_j c_l - y_l c_j + y_j y_l c - 2 β κ/(M t²))/(1 + c)."""
    fluctuation = (a_j - y_j * b) / M * (1 - epsilon * b / M)
    return Derivation(
        name="ratio-fluctuations",
        title="Covariance of what the softmax family reads",
        statement=sp.Eq(sp.Function("Cov")(y_j, y_l), read, evaluate=False),
        symbols={
            y_j: "E S_j/M, share of the attention on symbol j",
            y_l: "likewise",
            M: "E |S|, the expected sum of all weights",
            c_jl: "Cov(S_j, S_l)/M²",
            c_j: "Cov(S_j, |S|)/M²",
            c_l: "Cov(S_l, |S|)/M²",
            c: "Var |S|/M²",
            tilt: "Cov(|S|, N_0)/Var N_0, N_0 the count of the query state",
            skew: "third cumulant of the counts N_j, N_l, N_0",
            t: "position",
        },
        assumptions=(
            "all moments given that the last token is the query state 0",
            "sources weigh nearly alike, so that S_j - y_j |S| fluctuates as N_j - y_j t times M/t",
            "|S| fluctuates as its regression on N_0",
        ),
        validity=(
            "To first order in ω its error falls like 1/T³, that without κ like 1/T², where chains mix within the context: whatever layer 1 shows is a linear functional of "
            "running counts N_0(s), long counts have κ₃(N_j(t), N_l(t), N_0(s)) ∝ Cov(N_0(t), N_0(s)) ∝ s, and the regression is exact to leading order. Neglected: "
            "at order ω² all but the division by 1 + c, which is no expansion but keeps the covariance bounded; third and fourth cumulants of the logits in the loss, "
            "of order μ³/T² and μ⁴/T², whose size the check orders compares with the kept term. Against finite context (softmax family, SGD from zero, concentration 0.3) steps of formation and passage: "
            "trapped in both for k = 3, T = 50 and 100, where without κ the head forms at step 410 for T = 100; k = 4: 7 and 2% late at T = 50, within 2% at T = 100, "
            "where without κ both come 12% early. What remains at T = 50 is the scatter of the prior's points as much as the order neglected."
        ),
        source="derived here",
        steps=(
            Step(
                "fluctuation",
                sp.Eq(sp.Symbol("u_j"), fluctuation, evaluate=False),
                "S_j = y_j M + ε a_j and |S| = M + ε b: y_j moves by ε u_j to second order in ε",
                checks=("expansion",),
            ),
            Step("second order", second, "of E u_j u_l at ε = 0: the delta method, or Taylor linearisation"),
            Step(
                "third order",
                sp.Eq(tilt, joint / variance, evaluate=False),
                "E u_j u_l has -2 ε κ₃(a_j - y_j b, a_l - y_l b, b)/M³; b is regressed on N_0, s = Cov(|S|, N_0), v = Var N_0",
                checks=("rate",),
            ),
        ),
        checks=[
            Check("expansion", "E u_j u_l with the ratio's expansion to third order, symbolically", _expansion),
            Check(
                "library", "onset.theory.mean_fields.corrected's covariance with the statement, k = 3, T = 40", _library
            ),
            Check(
                "rate",
                "∂Cov/∂ω at ω = 0 by all sequences, T = 8 … 18: error falls like T^-3, without κ like T^-2",
                _rate,
            ),
            Check(
                "orders",
                "of ∂E lse/∂ω at T = 18: what third and fourth cumulants of the logits add to the kept",
                _orders,
            ),
        ],
    )


@cache
def _compiled() -> Any:
    return sp.lambdify((y_j, y_l, M, t, c_jl, c_j, c_l, c, tilt, skew), read, "numpy")


def covariance(mean: Array, spread: Array, tilted: Array, skewness: Array, position: Array | float) -> Array:
    """Cov(y), shape (..., k, k), from mean (..., k) and covariance of S, β (...), and κ₃(N_j, N_l, N_0) (..., k, k)."""
    total = mean.sum(axis=-1)[..., None, None]
    scaled = spread / total**2
    along, own = scaled.sum(axis=-1), mean / total[..., 0]
    every = along.sum(axis=-1)[..., None, None]
    pairs = own[..., :, None], own[..., None, :]
    sums = along[..., :, None], along[..., None, :]
    return _compiled()(*pairs, total, position, scaled, *sums, every, np.asarray(tilted)[..., None, None], skewness)


def _expansion() -> Outcome:
    moved = [(y * M + epsilon * a) / (M + epsilon * b) - y for y, a in ((y_j, a_j), (y_l, a_l))]
    exact = sp.series(sp.together(moved[0] * moved[1]), epsilon, 0, 4).removeO()
    bare = (a_j - y_j * b) * (a_l - y_l * b) / M**2
    stated = epsilon**2 * bare - 2 * epsilon**3 * bare * b / M
    squares = second.subs({c_jl: a_j * a_l / M**2, c_j: a_j * b / M**2, c_l: a_l * b / M**2, c: b**2 / M**2})
    return Outcome.identity(sp.simplify(exact - stated), sp.simplify(squares - bare))


def _library() -> Outcome:
    dynamics = SoftmaxCorrected(Setting.of("softmax", states=3, context=40), count=4)
    point = np.array([1.5, 0, 2.0, 0, 0.3, 1.0, 0.1, 0, 0, 0])
    found = dynamics.moments(point)
    tilted = dynamics.tilt(found, found.mean.sum(axis=-1))[0] * found.mean.sum(axis=-1)
    position = dynamics.at[:, None, None, None].astype(float)
    stated = covariance(found.mean, found.covariance, tilted, dynamics.counts.third, position)
    mu = point[2] - point[3]
    worst = np.abs(dynamics.link(found, point).covariance - mu**2 * stated).max()
    return Outcome(float(worst), 1e-12, "some thousand rounding errors of 2e-16 times covariances below one")


def _sequences(context: int) -> tuple[Array, Array, Array]:
    """Probability of each sequence of a chain that ends in state 0, its N_0(s) (q, T), and 1[x_s = j] (2, q, T)."""
    chain = np.array([[0.7, 0.3], [0.45, 0.55]])
    free = (np.arange(2 ** (context - 1))[:, None] >> np.arange(context - 1)) & 1
    tokens = np.column_stack([free, np.zeros(len(free), int)])
    chance = stationary(chain)[tokens[:, 0]] / stationary(chain)[0]
    for s in range(1, context):
        chance = chance * chain[tokens[:, s - 1], tokens[:, s]]
    held = np.stack([tokens == 0, tokens == 1]).astype(float)
    return chance, held[0].cumsum(axis=1), held


def _by_match(context: int, step: float = 1e-3) -> tuple[float, float, float]:
    """∂Var(y_0)/∂ω at ω = 0, no lag grown: exact, by the statement, and by the statement without κ."""
    chance, counted, held = _sequences(context)
    counts = held.sum(axis=-1)
    off = counts - (counts @ chance)[:, None]
    skewness = np.einsum("q,jq,lq,q->jl", chance, off, off, off[0])
    found = []
    for omega in (step, -step):
        sums = (held * np.exp(omega * counted / np.arange(1, context + 1))).sum(axis=-1)
        share = sums[0] / sums.sum(axis=0)
        mean = sums @ chance
        spread = np.einsum("q,jq,lq->jl", chance, sums, sums) - np.outer(mean, mean)
        tilted = (chance @ (sums.sum(axis=0) * off[0])) / (chance @ off[0] ** 2)
        stated = [covariance(mean, spread, tilted, skewness * kept, context)[0, 0] for kept in (1, 0)]
        found.append([chance @ share**2 - (chance @ share) ** 2, *stated])
    exact, stated, without = (np.array(found[0]) - np.array(found[1])) / (2 * step)
    return float(exact), float(stated), float(without)


def _slopes() -> tuple[float, float]:
    """Of the logarithm of the error against ln T, by the statement and without κ; the last half of the contexts."""
    found = np.array([_by_match(context) for context in CONTEXTS])
    late = np.log(CONTEXTS[len(CONTEXTS) // 2 :])
    errors = np.log(np.abs(found[len(CONTEXTS) // 2 :, 1:] - found[len(CONTEXTS) // 2 :, :1]))
    stated, without = (float(np.polyfit(late, error, 1)[0]) for error in errors.T)
    return stated, without


def _rate() -> Outcome:
    stated, without = _slopes()
    residual = max(abs(stated + 3), abs(without + 2))
    return Outcome(
        residual, 0.5, "half the distance between the two orders; the next order changes a slope by a few times 1/T"
    )


def _shares(context: int = CONTEXTS[-1], mu: float = 2.0, step: float = 1e-3) -> tuple[float, float, float]:
    """∂/∂ω at ω = 0 of the second-, third- and fourth-cumulant terms of E lse(μ y)."""
    chance, counted, held = _sequences(context)
    found = []
    for omega in (step, -step):
        sums = (held * np.exp(omega * counted / np.arange(1, context + 1))).sum(axis=-1)
        logit = mu * (sums[0] - sums[1]) / sums.sum(axis=0)
        mean = chance @ logit
        moments = [chance @ (logit - mean) ** n for n in (2, 3, 4)]
        p = 1 / (1 + np.exp(-mean))
        w = p * (1 - p)
        orders = [w / 2, w * (1 - 2 * p) / 6, w * (1 - 6 * w) / 24]
        cumulants = [moments[0], moments[1], moments[2] - 3 * moments[0] ** 2]
        found.append([order * cumulant for order, cumulant in zip(orders, cumulants, strict=True)])
    second_order, third_order, fourth_order = (np.array(found[0]) - np.array(found[1])) / (2 * step)
    return float(second_order), float(third_order), float(fourth_order)


def _orders() -> Outcome:
    kept, *left = _shares()
    return Outcome(float(max(np.abs(left)) / abs(kept)), 2.0 / CONTEXTS[-1], "relative order 1/T, times μ = 2")
