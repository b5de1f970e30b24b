r"""How long Adam waits: lag 1 climbs at its rate, and lags without a signal fall, slowed by the mini-batch's noise.

Adam divides a gradient's mean by the root of its second moment. With mean g and variance σ²/B of a mini-batch's
gradient,

    dv/dstep = -η g / √(g² + σ²/B),

so that only the signal-to-noise ratio counts. That of lag 1 is several; it climbs by η per step whatever the size of g.
A lag r without a signal is driven down because lag 1 takes its place, in proportion to e^{v_r} e^{v_1}, against a noise
in proportion to e^{v_r}: its ratio ρ e^{v_1} starts well below one and grows with lag 1. Eliminating time, db/dv = -ρ
e^v / √(1 + ρ² e^{2v}), which integrates to b = asinh ρ - asinh(ρ e^v).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp

from onset.theory.arrays import Array
from onset.theory.derivations.derivation import Identities, Residual, check, numerical, worst
from onset.theory.derivations.text import Expressions, derives, equation
from onset.theory.dynamics.descent import descend
from onset.theory.dynamics.layout import Gradient, Layout
from onset.theory.recording import Measurement
from onset.theory.setting import Setting

__all__ = ["background", "derive", "profiles", "rate"]

v, rho, eta, g, sigma, B = sp.symbols("v rho eta g sigma B", positive=True)
source, context = sp.symbols("s T", integer=True, positive=True)
a, A = sp.symbols("a_sr A_s", positive=True)

rate = eta / sp.sqrt(1 + sigma**2 / (B * g**2))
"""Speed of a coordinate in the direction that lowers the loss, per step."""

slope = -rho * sp.exp(v) / sp.sqrt(1 + rho**2 * sp.exp(2 * v))
"""db/dv: lag logit b of a lag without a signal against that of lag 1."""

background = sp.asinh(rho) - sp.asinh(rho * sp.exp(v))

noise_share = (a * (1 - a)) ** 2 * (context + 1 - source) / context
"""Contribution of source s to the noise of a lag's gradient: (∂a/∂v)² times the share of queries that see s."""

loss_share = a * A * (context + 1 - source) / context
"""Contribution of source s to what an untracked lag loses to the tracked ones: -∂A/∂v times the share of queries."""


@derives("adam-law")
def derive() -> Expressions:
    r"""Lags without a signal fall while lag 1 climbs (Adam)

    Symbols
    -------
    b(v) : lag logit of a lag without a signal
    v : lag logit of lag 1, which climbs by $\eta$ per step
    rho : signal-to-noise ratio of the other lag's gradient at the start, $|g| \sqrt{B}/\sigma$
    g : mean gradient of a coordinate
    sigma : standard deviation of one sequence's gradient
    a_sr : attention of source $s$ to lag $r$
    A_s : attention of source $s$ to all tracked lags
    s, T, eta, B, r
    beta_2 : Adam's decay of the second moment

    Assumptions
    -----------
    - Adam with its expected second moment $g^2 + \sigma^2/B$, steady on the plateau
    - lag 1's signal-to-noise ratio is well above one; that of a lag without a signal grows like $e^v$

    Steps
    -----
    - speed under Adam: first moment over the root of the second, both steady [speed]
    - against lag 1: the lag's own weight $e^b$ is a factor of its drive and of its noise; lag 1's weight is a factor of
      its drive alone [eliminated]
    - without noise: sign regime: down as fast as lag 1 climbs [signs]
    - all noise: lags without a signal stay; the mean field with few lags [noisy]
    - noise along the way: summed over sources $s > r$ and relative to its value at $v = 0$: the slope of $a_{sr}$ by
      its lag logit is $a_{sr} (1 - a_{sr})$, noise of sources independent [noise]
    - loss of an untracked lag: summed over sources $s > r$: what lags with a signal gain together is taken from the
      others, in proportion to the slope $-a_{sr} A_s$ of $A_s$ by their lag logits [loss]

    Validity
    --------
    Sign and scaling: the law under Adam integrates every lag with its own ratio
    and Adam's memory (`onset.theory.laws.adam`). Lag 1 holds a share $a$ of attention at $v - b = \ln(T/(1/a - 1))$:
    with $\rho \to 0$ after $\ln(T)/\eta$ steps, with $\rho \to \infty$ after half as many. Adam remembers gradients for
    $1/(1-\beta_2)$ steps, so that a gradient that grows moves its coordinate faster than $\eta$.

    Source
    ------
    derived here

    References
    ----------
    kingma2014adam, edelman2024evolution
    """
    b = sp.Function("b")(v)
    return {
        "statement": equation(b, background),
        "speed": rate,
        "eliminated": equation(sp.Derivative(b, v), slope),
        "signs": sp.limit(background, rho, sp.oo),
        "noisy": sp.series(background, rho, 0, 2),
        "noise": noise_share,
        "loss": loss_share,
    }


_noise = numerical((a, source, context), noise_share)
_losses = numerical((a, A, source, context), loss_share)


def profiles(lag_logits: Array, tracked: int) -> tuple[Array, Array]:
    """Profiles over lags of the gradient's noise and of what lags lose to the first ones.

    Returns
    -------
    noise : array, shape (T,)
        Σ_s of `noise_share` for every lag, to which the variance of a lag logit's gradient is proportional.
    lost : array, shape (T - tracked,)
        Σ_s of `loss_share` for every lag beyond the first `tracked`: in what proportion they lose what those gain.
    """
    length = len(lag_logits)
    position = np.arange(1.0, length + 1)[:, None]
    raw = np.where(np.arange(length) < position, np.exp(lag_logits - lag_logits.max()), 0.0)
    attention = raw / raw.sum(axis=1, keepdims=True)
    gained = attention[:, :tracked].sum(axis=1, keepdims=True)
    lost = _losses(attention[:, tracked:], gained, position, length)
    return _noise(attention, position, length).sum(axis=0), lost.sum(axis=0)


@check("slopes of $a_{sr}$ and $A_s$ in `noise_share` and `loss_share` from the softmax over five lags, symbolically")
def _attention(noise: Any, loss: Any) -> Identities:
    logits = sp.symbols("v1:6", real=True)
    shares = [sp.exp(logit) / sum(map(sp.exp, logits)) for logit in logits]
    tracked, untracked = shares[0] + shares[1], shares[4]
    # A source that a share of the queries sees.
    share, known = (context + 1 - source) / context, {a: untracked, A: tracked}
    return (
        share * sp.diff(untracked, logits[4]) ** 2 - noise.subs(known),
        share * sp.diff(tracked, logits[4]) + loss.subs(known),
    )


@check("$d/dv$ of the statement with the slope, and the start $b(0) = 0$, symbolically")
def _integral(statement: Any, eliminated: Any) -> Identities:
    return (
        (eliminated.lhs - eliminated.rhs).subs(*statement.args).doit(),
        statement.rhs.subs(v, 0),
    )


@check("no noise: $b = -v$; all noise: $b = 0$, and the first order, symbolically")
def _limits(statement: Any, signs: Any, noisy: Any) -> Identities:
    return (
        sp.limit(statement.rhs, rho, sp.oo) - signs,
        signs + v,
        noisy.removeO().subs(rho, 0),
        sp.diff(statement.rhs - noisy.removeO(), rho).subs(rho, 0),
    )


class _Steady:
    """A loss with the same noisy gradient everywhere: every entry has the drive `pull` and the variance `noise`."""

    def __init__(self, setting: Setting, pull: float, noise: float) -> None:
        self.layout = Layout.of(setting.task, setting.model.initialization, 2)
        self.pull, self.noise = pull, noise

    def gradient(self, point: Array, step: int = 0) -> Gradient:
        return Gradient(0.0, -self.pull * self.layout.entries, np.full(len(point), self.noise))

    def measure(self, point: Array) -> Measurement:
        return Measurement(0.0, {"uniform": 0.0, "unigram": 1.0, "bigram": 2.0}, np.array([[1.0, 0.0]]))


@check("`onset.theory.dynamics.descent.descend` under Adam on a steady noisy gradient with `rate`")
def _speed(speed: Any) -> Residual:
    steps, largest = 50, 0.0
    setting = Setting.of("linear", context=16, optimizer="adam", steps=steps, record_every=steps)
    stated = sp.lambdify((eta, g, sigma, B), speed, "numpy")
    for pull, noise in ((1e-2, 0.0), (1e-2, 1e-2), (1e-3, 1.0)):
        moved = descend(_Steady(setting, pull, noise), setting.training).parameters["lag_logits.1"][-1]
        step = stated(
            setting.training.optimizer.learning_rate["lag_logits"], pull, np.sqrt(noise), setting.training.batch
        )
        allowed = setting.training.optimizer.epsilon / pull + 1e-12
        largest = worst(largest, abs(moved / (steps * step) - 1) / allowed)
    return Residual(float(largest), 1.0, "in units of Adam's epsilon over the gradient, and 1e-12 for rounding")


@check(r"the two lags stepped in time with the statement, $\eta = 0.01$ and 0.005: error of order $\eta$")
def _eliminated(statement: Any, eliminated: Any) -> Residual:
    ratio, errors = 0.3, []
    closed = sp.lambdify((rho, v), statement.rhs, "numpy")
    speed = sp.lambdify((rho, v), eliminated.rhs, "numpy")
    for step in (0.01, 0.005):
        climbed, fallen = 0.0, 0.0
        while climbed < 2.0 - step / 2:
            fallen += step * float(speed(ratio, climbed))
            climbed += step
        errors.append(abs(fallen - float(closed(ratio, climbed))))
    because = r"Euler's rule: halving $\eta$ halves the error, up to another factor $\eta$"
    return Residual(abs(errors[0] / errors[1] - 2), 0.02, because)
