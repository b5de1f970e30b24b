r"""Escape of a transformer's lag logit, a product of two small weights, under Adam with the noise of mini-batches.

The toy's lag logit is a parameter, the transformer's a product v = q·ρ/√d of a query q = W x̄ and an offset's vector ρ,
with the mean normed embedding x̄. The drive D = -∂L/∂v moves each factor in proportion to the other,

    dρ/dt = m D q/√d,    dq/dt = m D |x̄|² ρ/√d,    so that v grows by a factor e^Λ a step,  Λ = 2 m D |x̄|/√d,

from a start of the order of the weights' variance. The mobility m is η under gradient descent. Under Adam a weight
moves by η·gradient/noise as long as noise dominates (`onset.theory.derivations.adam_law`): m = η √B/σ. The drive is
proportional to the match, which grows with time, ω = w t, so that ln(v/v_0) = ∫ Λ dt ∝ t².
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import sympy as sp
from scipy.integrate import solve_ivp

from onset.theory.derivations import adam_law
from onset.theory.derivations.derivation import Identities, Residual, check, worst
from onset.theory.derivations.text import Expressions, derives, equation

__all__ = ["batch_exponents", "derive", "escape_time"]

t, D, d, x, m, kappa, w, n, r = sp.symbols("t D d x m kappa w n r", positive=True)
eta, B, sigma, g = adam_law.eta, adam_law.B, adam_law.sigma, adam_law.g
rho, q = (sp.Function(name)(t) for name in ("rho", "q"))

flow = {rho: m * D * q / sp.sqrt(d), q: m * D * x**2 * rho / sp.sqrt(d)}
"""Time derivatives of both factors."""

growth = 2 * m * D * x / sp.sqrt(d)
"""Λ, the rate of growth of v per step."""

mobility = sp.limit(adam_law.rate / g, g, 0)
"""Speed of a weight over its gradient under Adam where noise dominates."""

e_folds = sp.integrate(growth.subs(D, kappa * w * t), (t, 0, t))
"""∫₀ᵗ Λ dt with the drive D = κ ω and the match ω = w t."""

(escape_time,) = sp.solve(e_folds.subs(m, mobility) - n, t)

MATCH_SPEEDS = {"sign-like": eta, "noise-limited": r * sp.limit(adam_law.rate.subs(sigma, g / r) / r, r, 0)}
"""dω/dt under Adam without noise, or where noise dominates the match's gradient too, with signal-to-noise ratio r."""


SPAN = 1e-2, 1e6
"""Steps from and until which the flow of all weights is followed at most: at 0 there is no gradient to divide."""


def batch_exponents() -> dict[str, float]:
    """d ln t/d ln B of the statement for each of `MATCH_SPEEDS`."""
    times = {name: escape_time.subs(w, speed) for name, speed in MATCH_SPEEDS.items()}
    return {name: float(sp.simplify(B * sp.diff(time, B) / time)) for name, time in times.items()}


@derives("transformer-escape")
def derive() -> Expressions:
    r"""Escape of a transformer's lag logit, a product of weights, under noise (Adam)

    Symbols
    -------
    t : steps until lag 1 has lag logit $v$
    v : lag logit of lag 1, $q \cdot \rho/\sqrt{d}$
    n : number of e-folds, $\ln(v/v_0)$, with $v_0 = |q + x\rho|^2/(4x\sqrt{d})$ at the start
    q(t) : query, one component
    rho(t) : offset's vector of lag 1, the same component
    d : width of a head
    x : norm of the mean normed embedding
    D : drive of lag 1, $-\partial L/\partial v$; nats per token
    kappa : drive over match, $D/\omega$
    w : speed of the match, $\omega = w t$
    r : signal-to-noise ratio of one sequence's gradient of the match
    m : mobility, the speed of a weight over its gradient
    g : mean gradient of a weight
    sigma : standard deviation of one sequence's gradient; of those of $\rho$ and $W$ the geometric mean
    W : matrix that makes the query of the mean normed embedding
    Lambda : rate of growth of $v$ per step
    eta, B, omega, L

    Assumptions
    -----------
    - small lag logits: lag 1 has not yet taken attention from the others
    - the drive is proportional to the match, and the match to time
    - Adam with its expected second moment; noise dominates every weight's gradient, $g \ll \sigma/\sqrt{B}$

    Steps
    -----
    - flow of a product: the gradient by each factor is the other one times $D/\sqrt{d}$ [flow]
    - growth: $q + x\rho$ grows at the rate $\Lambda/2$, $q - x\rho$ decays at it, and $v$ is the difference of their
      squares [growth]
    - mobility under noise: derivation adam-law: $\eta/\sqrt{1 + \sigma^2/(B g^2)}$ over $g$, as $g \to 0$ [mobility]
    - e-folds: $\int_0^t \Lambda\,dt$ with $D = \kappa w t$; the statement solves this for $t$ [folds]
    - two speeds of the match: $w = \eta$ and $w = \eta\sqrt{B}\,r$: $t \propto B^{-1/4}/\eta$ and $t \propto
      B^{-1/2}/\eta$ [speeds]

    Validity
    --------
    The exponent of $t$ in $B$ is $-1/4$ if the match grows by the learning rate, $w = \eta$, and $-1/2$ if noise limits
    the match too; in both $t$ is inversely proportional to $\eta$. The toys' mean field knows no batch: their lag logit
    is a parameter, which Adam moves by its rate. Noise also moves weights diffusively, by $\eta\sqrt{t}$ whatever the
    batch; that is neglected. Under gradient descent $m = \eta$ and the batch drops out.

    Source
    ------
    derived here

    References
    ----------
    kingma2014adam, edelman2024evolution
    """
    return {
        "statement": equation(t, escape_time),
        "flow": sp.Tuple(*(sp.Eq(sp.Derivative(factor, t), speed) for factor, speed in flow.items())),
        "growth": equation("Lambda", growth),
        "mobility": equation(m, mobility),
        "folds": equation(n, e_folds),
        "speeds": sp.Tuple(*(escape_time.subs(w, speed) for speed in MATCH_SPEEDS.values())),
    }


@check(r"gradient of $-D v$ by $\rho$ and, through $q$, by $W$ with the flow, symbolically, two components")
def _flow(flow: Any) -> Identities:
    matrix, embedding, offset = (
        sp.Matrix(*shape, sp.symbols(names)) for shape, names in (((2, 2), "W:4"), ((2, 1), "x:2"), ((2, 1), "rho:2"))
    )
    query = matrix * embedding
    loss = -D * query.dot(offset) / sp.sqrt(d)
    by_offset = offset.applyfunc(lambda entry: -m * sp.diff(loss, entry))
    by_query = matrix.applyfunc(lambda entry: -m * sp.diff(loss, entry)) * embedding
    for i, (part, moved) in itertools.product(range(2), zip(flow, (by_offset, by_query), strict=True)):
        (speed,) = part.lhs.atoms(sp.Derivative)
        known = {rho: offset[i], q: query[i], x: sp.sqrt(embedding.dot(embedding))}
        yield (part.lhs - part.rhs).subs(speed, moved[i]).subs(known)


@check(r"growth and decay of $q \pm x\rho$ and $q\rho$ by their squares, symbolically")
def _growth(flow: Any, growth: Any) -> Identities:
    rate, modes = growth.rhs, (q + x * rho, q - x * rho)
    speeds: Any = {sp.diff(f, t): part.rhs for f, part in zip((rho, q), flow, strict=True)}
    growing, decaying = (sp.diff(mode, t).subs(speeds) for mode in modes)
    return (
        growing - rate / 2 * modes[0],
        decaying + rate / 2 * modes[1],
        modes[0] ** 2 - modes[1] ** 2 - 4 * x * q * rho,
    )


@check(
    "speed of a weight under Adam over its gradient where noise dominates, and e-folds at the statement, symbolically"
)
def _folds(statement: Any, growth: Any, mobility: Any, folds: Any) -> Identities:
    return (
        sp.limit(adam_law.rate / g, g, 0) - mobility.rhs,
        sp.diff(folds.rhs, t) - growth.rhs.subs(D, kappa * w * t),
        folds.rhs.subs(t, 0),
        folds.rhs.subs(m, mobility.rhs).subs(t, statement.rhs) - n,
    )


@check(
    r"the statement at both speeds; exponents of $t$ in $B$ with $-1/4$ and $-1/2$, in $\eta$ with $-1$, symbolically"
)
def _exponents(statement: Any, speeds: Any) -> Identities:
    for time, speed, exponent in zip(
        speeds, (eta, eta * sp.sqrt(B) * r), (sp.Rational(1, 4), sp.Rational(1, 2)), strict=True
    ):
        yield statement.rhs.subs(w, speed) - time
        yield B * sp.diff(time, B) / time + exponent
        yield eta * sp.diff(time, eta) / time + 1
    yield from map(sp.nsimplify, np.subtract(list(batch_exponents().values()), [-0.25, -0.5]))


@check("the statement with the flow of all weights by `adam_law.rate` in time, eight components, $B = 1$, 16 and 64")
def _integrated(statement: Any) -> Residual:
    width, deviation, rate, slope, goal, largest = 8, 1.0, 1e-3, 5e-6, 6.0, 0.0
    speed = sp.lambdify((eta, g, sigma, B), adam_law.rate, "numpy")
    closed = sp.lambdify((eta, B, sigma, d, x, kappa, w, n), statement.rhs, "math")
    start = 0.02 * np.random.default_rng(0).normal(size=(width + 1, width))
    embedding = np.random.default_rng(1).normal(size=width) / np.sqrt(width)
    norm = float(np.linalg.norm(embedding))
    grown = start[1:] @ embedding + norm * start[0]
    logit = np.exp(goal) * grown @ grown / (4 * norm * np.sqrt(width))

    def gradients(time: float, state: np.ndarray) -> np.ndarray:
        offset, matrix = state[:width], state[width:].reshape(width, width)
        both = np.vstack([matrix @ embedding, np.outer(offset, embedding)])
        return slope * time * both.ravel() / np.sqrt(width)

    def reached(time: float, state: np.ndarray, batch: int) -> float:
        return state[:width] @ (state[width:].reshape(width, width) @ embedding) / np.sqrt(width) - logit

    def velocity(time: float, state: np.ndarray, batch: int) -> np.ndarray:
        gradient = gradients(time, state)
        return np.sign(gradient) * speed(rate, np.abs(gradient), deviation, batch)

    reached.terminal = True  # pyright: ignore[reportFunctionMemberAccess]
    for batch in (1, 16, 64):
        expected = closed(rate, batch, deviation, width, norm, slope, 1.0, goal)
        solution = solve_ivp(velocity, SPAN, start.ravel(), events=reached, args=(batch,), rtol=1e-8, atol=1e-12)
        signal = float(np.abs(gradients(solution.t[-1], solution.y[:, -1])).max())
        largest = worst(largest, abs(solution.t[-1] / expected - 1) / (signal**2 * batch / deviation**2))
    return Residual(largest, 1.0, r"in units of the largest $g^2 B/\sigma^2$ at the end, which is neglected")
