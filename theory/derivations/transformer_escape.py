r"""Escape of a transformer's lag logit, a product of two small weights, under Adam with the noise of mini-batches.

The toy's lag logit is a parameter, the transformer's a product v = q·ρ/√d of a query q = W x̄ and an offset's vector ρ,
with the mean normed embedding x̄. The drive D = -∂L/∂v moves each factor in proportion to the other,

    dρ/dt = m D q/√d,    dq/dt = m D |x̄|² ρ/√d,    so that v grows by a factor e^Λ a step,  Λ = 2 m D |x̄|/√d,

from a start of the order of the weights' variance. The mobility m is η under gradient descent. Under Adam a weight
moves by η·gradient/noise as long as noise dominates (`onset.theory.derivations.adam_law`): m = η √B/σ. The drive is
proportional to the match, which grows with time, ω = w t, so that ln(v/v_0) = ∫ Λ dt ∝ t².
"""

from __future__ import annotations

import numpy as np
import sympy as sp
from scipy.integrate import solve_ivp

from onset.theory.derivations import adam_law
from onset.theory.derivations.derivation import Identities, Residual, check
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
    - mobility under noise: derivation adam-law: $\eta/\sqrt{1 + \sigma^2/(B g^2)}$ over $g$, as $g \to 0$ [integrated]
    - e-folds: $\int_0^t \Lambda\,dt$ with $D = \kappa w t$; the statement solves this for $t$ [integrated]
    - two speeds of the match: $w = \eta$ and $w = \eta\sqrt{B}\,r$: $t \propto B^{-1/4}/\eta$ and $t \propto
      B^{-1/2}/\eta$ [exponents]

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
    return (
        equation(t, escape_time),
        sp.Tuple(*(sp.Eq(sp.Derivative(factor, t), speed) for factor, speed in flow.items())),
        equation("Lambda", growth),
        equation(m, mobility),
        equation(n, e_folds),
        sp.Tuple(*(escape_time.subs(w, speed) for speed in MATCH_SPEEDS.values())),
    )


@check(r"gradient of $-D v$ by $\rho$ and, through $q$, by $W$ with the flow, symbolically, two components")
def _flow() -> Identities:
    matrix, embedding, offset = (
        sp.Matrix(*shape, sp.symbols(names)) for shape, names in (((2, 2), "W:4"), ((2, 1), "x:2"), ((2, 1), "rho:2"))
    )
    query = matrix * embedding
    loss = -D * query.dot(offset) / sp.sqrt(d)
    moved = matrix.applyfunc(lambda entry: -m * sp.diff(loss, entry)) * embedding
    for i in range(2):
        known = {rho: offset[i], q: query[i], x: sp.sqrt(embedding.dot(embedding))}
        yield from (-m * sp.diff(loss, offset[i]) - flow[rho].subs(known), moved[i] - flow[q].subs(known))


@check(r"growth and decay of $q \pm x\rho$ and $q\rho$ by their squares, symbolically")
def _growth() -> Identities:
    modes = q + x * rho, q - x * rho
    growing, decaying = (sp.diff(mode, t).subs({sp.diff(f, t): speed for f, speed in flow.items()}) for mode in modes)
    return (
        growing - growth / 2 * modes[0],
        decaying + growth / 2 * modes[1],
        modes[0] ** 2 - modes[1] ** 2 - 4 * x * q * rho,
    )


@check(r"exponents of $t$ in $B$ with $-1/4$ and $-1/2$, and in $\eta$ with $-1$, symbolically")
def _exponents() -> Identities:
    yield from map(sp.nsimplify, np.subtract(list(batch_exponents().values()), [-0.25, -0.5]))
    for speed in MATCH_SPEEDS.values():
        time = escape_time.subs(w, speed)
        yield eta * sp.diff(time, eta) / time + 1


@check("the statement with the flow of all weights by `adam_law.rate` in time, eight components, $B = 1$, 16 and 64")
def _integrated() -> Residual:
    width, deviation, rate, slope, goal, largest = 8, 1.0, 1e-3, 5e-6, 6.0, 0.0
    speed = sp.lambdify((eta, g, sigma, B), adam_law.rate, "numpy")
    closed = sp.lambdify((eta, B, sigma, d, x, kappa, w, n), escape_time, "math")
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
        span = 1e-6 * expected, 2 * expected
        solution = solve_ivp(velocity, span, start.ravel(), events=reached, args=(batch,), rtol=1e-8, atol=1e-12)
        signal = float(np.abs(gradients(solution.t[-1], solution.y[:, -1])).max())
        largest = max(largest, abs(solution.t[-1] / expected - 1) / (signal**2 * batch / deviation**2))
    return Residual(largest, 1.0, r"in units of the largest $g^2 B/\sigma^2$ at the end, which is neglected")
