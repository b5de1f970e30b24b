r"""How long Adam waits: lag 1 climbs at its rate, and the lags that nobody needs fall, slowed by the mini-batch's noise.

Adam divides a gradient's mean by the root of its second moment. With mean g and variance Var/B of a mini-batch's gradient,

    dv/dstep = -η g / √(g² + Var/B),

so that only the signal-to-noise ratio counts. Lag 1's is several; it climbs by η per step whatever the size of g. An untouched lag r is driven
down because lag 1 takes its place, in proportion to e^{v_r} (e^{v_1}), against a noise in proportion to e^{v_r}: its ratio s e^{v_1}
starts well below one and grows with lag 1. Eliminating time, db/dv = -s e^v / √(1 + s² e^{2v}), which integrates to b = asinh s - asinh(s e^v).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from onset.theory.arrays import Array
from onset.theory.derivations.derivation import Check, Derivation, Outcome, Step
from onset.theory.dynamics.descent import descend
from onset.theory.dynamics.layout import Gradient, Layout
from onset.theory.recording import Measurement
from onset.theory.setting import Setting

__all__ = ["background", "derive", "profiles", "rate"]

v, s, eta, g, variance, B = sp.symbols("v s eta g Var B", positive=True)
at, context = sp.symbols("s T", integer=True, positive=True)
a, A = sp.symbols("a_sr A_s", positive=True)

rate = eta / sp.sqrt(1 + variance / (B * g**2))
"""Speed of a coordinate in the direction that lowers the loss, per step."""

slope = -s * sp.exp(v) / sp.sqrt(1 + s**2 * sp.exp(2 * v))
"""db/dv of an untouched lag b against lag 1."""

background = sp.asinh(s) - sp.asinh(s * sp.exp(v))

weight = (a * (1 - a)) ** 2 * (context + 1 - at) / context
"""What source s adds to the noise of a lag's gradient: ∂a/∂v squared, for as many queries as see s."""

gift = a * A * (context + 1 - at) / context
"""What source s makes an untracked lag give for the tracked ones: -∂A/∂v, for as many queries as see s."""


def derive() -> Derivation:
    """b = asinh s - asinh(s e^v)."""
    return Derivation(
        name="adam-law",
        title="Untouched lags fall while lag 1 climbs (Adam)",
        statement=sp.Eq(sp.Function("b")(v), background),
        symbols={
            sp.Function("b")(v): "lag logit of an untouched lag",
            v: "lag logit of lag 1, which climbs by η per step",
            s: "signal-to-noise ratio of an untouched lag's gradient at the start, |g|/√(Var/B)",
        },
        assumptions=(
            "Adam with its expected second moment E ĝ² = g² + Var/B, steady on the plateau",
            "lag 1's signal-to-noise ratio well above one; an untouched lag's grows like e^v",
        ),
        validity=(
            "Sign and scaling: the prediction that `onset.theory.laws.plateau_law` makes for Adam integrates every lag with its own ratio and "
            "Adam's memory (`onset.theory.laws.adam`). Lag 1 holds a share a of attention at v - b = ln(T/(1/a - 1)): with s → 0 after "
            "ln(T)/η steps, with s → ∞ after half as many. Adam remembers gradients for 1/(1-β₂) steps, so that a gradient that grows "
            "moves its coordinate faster than η."
        ),
        source="derived here",
        references=("kingma2014adam", "edelman2024evolution"),
        steps=(
            Step("speed under Adam", rate, "first moment over the root of the second, both steady"),
            Step(
                "against lag 1",
                sp.Eq(sp.Derivative(sp.Function("b")(v), v), slope, evaluate=False),
                "the lag's own weight e^b is a factor of its drive and of its noise; lag 1's weight is one of its drive alone",
            ),
            Step("without noise", sp.limit(background, s, sp.oo), "sign regime: down as fast as lag 1 climbs"),
            Step("all noise", sp.series(background, s, 0, 2), "untouched lags stay; the mean field with few lags"),
            Step(
                "noise along the way",
                weight,
                "summed over sources s > r and relative to its value at v = 0: ∂a/∂v = a (1 - a), noise of sources independent",
            ),
            Step(
                "what an untracked lag gives",
                gift,
                "summed over sources s > r: what lags of a signal gain together is taken from the others, -∂A/∂v = a A, A the attention to the former",
            ),
        ),
        checks=[
            Check("integral", "d/dv of the statement with the slope, and the start b(0) = 0, symbolically", _integral),
            Check("limits", "no noise: b = -v; all noise: b = 0, symbolically", _limits),
            Check(
                "attention",
                "∂a/∂v and ∂A/∂v in `weight` and `gift` from the softmax over five lags, symbolically",
                _attention,
            ),
            Check(
                "speed",
                "`onset.theory.dynamics.descent.descend` under Adam on a steady noisy gradient with `rate`",
                _speed,
            ),
            Check(
                "eliminated",
                "the two lags stepped in time with the statement, η = 0.01 and 0.005: error of order η",
                _stepped,
            ),
        ],
    )


@cache
def _compiled() -> tuple[Any, Any]:
    return sp.lambdify((a, at, context), weight, "numpy"), sp.lambdify((a, A, at, context), gift, "numpy")


def profiles(lag_logits: Array, tracked: int) -> tuple[Array, Array]:
    """Σ_s of `weight` for every lag, shape (T,): to what the variance of a lag logit's gradient is proportional; and of `gift` for every
    lag beyond the first `tracked`, shape (T - tracked,): in what proportion they give what those gain."""
    noise, given = _compiled()
    length = len(lag_logits)
    source = np.arange(1.0, length + 1)[:, None]
    raw = np.where(np.arange(length) < source, np.exp(lag_logits - lag_logits.max()), 0.0)
    attention = raw / raw.sum(axis=1, keepdims=True)
    gained = attention[:, :tracked].sum(axis=1, keepdims=True)
    return noise(attention, source, length).sum(axis=0), given(attention[:, tracked:], gained, source, length).sum(
        axis=0
    )


def _attention() -> Outcome:
    logits = sp.symbols("v1:6", real=True)
    shares = [sp.exp(one) / sum(map(sp.exp, logits)) for one in logits]
    gained, other = shares[0] + shares[1], shares[4]
    by_own, by_other = sp.diff(other, logits[4]), sp.diff(gained, logits[4])
    # One source that all queries see.
    seen = {at: 1, context: 1}
    return Outcome.identity(
        sp.simplify(by_own**2 - weight.subs(seen).subs(a, other)),
        sp.simplify(by_other + gift.subs(seen).subs({a: other, A: gained})),
    )


def _integral() -> Outcome:
    return Outcome.identity(sp.diff(background, v) - slope, background.subs(v, 0))


def _limits() -> Outcome:
    return Outcome.identity(sp.limit(background, s, sp.oo) + v, sp.limit(background, s, 0))


class _Steady:
    """A loss whose gradient is the same everywhere, with noise: every entry's drive is `pull`, its variance `noise`."""

    def __init__(self, setting: Setting, pull: float, noise: float) -> None:
        self.layout = Layout.of(setting, 2)
        self.pull, self.noise = pull, noise

    def gradient(self, point: Array, step: int = 0) -> Gradient:
        return Gradient(0.0, -self.pull * self.layout.entries, np.full(len(point), self.noise))

    def measure(self, point: Array) -> Measurement:
        return Measurement(0.0, {"uniform": 0.0, "unigram": 1.0, "bigram": 2.0}, np.array([[1.0, 0.0]]))


def _speed() -> Outcome:
    steps, worst = 50, 0.0
    setting = Setting.of("linear", context=16, optimizer="adam", steps=steps, record_every=steps)
    speed = sp.lambdify((eta, g, variance, B), rate, "numpy")
    for pull, noise in ((1e-2, 0.0), (1e-2, 1e-2), (1e-3, 1.0)):
        found = descend(_Steady(setting, pull, noise), setting).parameters["lag_logits.1"][-1]
        expected = steps * speed(
            setting.training.optimizer.learning_rate["lag_logits"], pull, noise, setting.training.batch
        )
        worst = max(worst, abs(found / expected - 1) / (setting.training.optimizer.epsilon / pull + 1e-12))
    return Outcome(float(worst), 1.0, "in units of Adam's epsilon over the gradient, and 1e-12 for rounding")


def _stepped() -> Outcome:
    level, errors = 0.3, []
    closed = sp.lambdify((s, v), background, "numpy")
    speed = sp.lambdify((s, v), slope, "numpy")
    for step in (0.01, 0.005):
        climbed, fallen = 0.0, 0.0
        while climbed < 2.0 - step / 2:
            fallen += step * float(speed(level, climbed))
            climbed += step
        errors.append(abs(fallen - float(closed(level, climbed))))
    return Outcome(
        abs(errors[0] / errors[1] - 2), 0.02, "Euler's rule: halving η halves the error, up to another factor η"
    )
