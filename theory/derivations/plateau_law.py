r"""The plateau law of the linear family under SGD: from the mean field to a number of steps.

Lag 1 grows as dv/dstep = η (E/T) h(E; θ) with E = e^v, while the match θ = (C, Ω) relaxes to the minimum θ*(E) of the loss,
dθ/dstep = -K (θ - θ*), K = M H. With θ* moving slowly,

    θ = θ* - K⁻¹ dθ*/dstep + …,        1/h(θ) = (1/h)(1 + (∂ ln h/∂θ) K⁻¹ dθ*/dstep + …),

so that the time to E is the slow time, T/η ∫ dE/(E² h), plus a delay that no longer contains h: ∫ (∂ ln h/∂θ) K⁻¹ dθ*.
The start's distance from the plateau enters in the same way. At small q = E/T, h = A (ln(T/E) + B), and the slow time
is a logarithmic integral.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from theory.derivations.derivation import Check, Derivation, Outcome, Step

__all__ = ["T", "derive", "doubt", "leading", "resummed", "steps_and_doubt"]

T, eta, E, A = sp.symbols("T eta E A", positive=True)
B = sp.symbols("B", real=True)
slow, delay, start = sp.symbols("t_slow t_delay t_start", positive=True)
steps = sp.symbols("t", positive=True)

drive = A * (sp.log(T / E) + B)
"""h on the frozen plateau, at E ≪ T."""

leading = sp.exp(-B) / (eta * A) * (sp.li(T * sp.exp(B)) - sp.li(T * sp.exp(B) / E))
"""The slow time to E on the frozen plateau."""

resummed = slow + slow * delay / (slow + delay)
doubt = delay**2 / (slow + delay) / 2 + sp.Abs(start) / 4
"""Half of what resummation takes off slow + delay, and a quarter of the start's delay, the size of what the loss's higher
derivatives change of it (check "start")."""


@cache
def steps_and_doubt() -> Any:
    """(t, half-width of its interval) of the slow time, the delay and the start's part of it, on arrays."""
    return sp.lambdify((slow, delay, start), (resummed, doubt), "numpy")


def derive() -> Derivation:
    """t = t_slow + t_delay/(1 + t_delay/t_slow)."""
    order = sp.symbols("epsilon", positive=True)
    return Derivation(
        name="plateau-law",
        title="Steps that the linear family waits on its unigram plateau (SGD)",
        statement=sp.Eq(steps, resummed),
        symbols={
            steps: "steps until lag 1 has weight E, that is v_1 = ln E",
            slow: "slow time, T/η ∫ dE/(E² h), with the match on its slow manifold; steps",
            delay: "delay, (∂ ln h/∂θ) (M H)^{-1} (θ* - θ) summed over the start and every shift of θ*; steps",
        },
        assumptions=(
            "mean field: T → ∞ at fixed q = E/T, early sources summed one by one",
            "exchangeable prior with a unique plateau (C*, Ω*) that drives lag 1 upwards, A > 0",
            "SGD as gradient flow; the rates enter through η and the mobility M alone",
        ),
        validity=(
            "To second order in t_delay/t_slow; refused where that exceeds 0.7. The start must lie where the loss is about "
            "quadratic in θ. The other lags follow lag 1 by their ratio of drives."
        ),
        source="derived here",
        references=("edelman2024evolution",),
        steps=(
            Step(
                "frozen plateau",
                sp.Eq(sp.Symbol("h"), drive, evaluate=False),
                "expand ln(1 + u/q) - u/(q + u) at small q and average: A and B are its moments",
            ),
            Step(
                "logarithmic integral",
                sp.Eq(slow, leading, evaluate=False),
                "substitute y = T/E in T/η ∫₁^E dE'/(E'² h); T/(η A ln T) for large T",
            ),
            Step(
                "moving match",
                sp.series(1 / (1 - order * sp.Symbol("kappa")), order, 0, 2),
                "κ = (∂ ln h/∂θ) K^{-1} dθ*/dstep: to first order in the ratio ε of the time scales dt = dt_slow + κ dt_slow",
            ),
            Step(
                "resummation",
                sp.series(resummed.subs(delay, order * slow), order, 0, 3),
                "the [1/1] Padé approximant: agrees with the first order, and stays below twice the slow time",
            ),
        ),
        checks=[
            Check("antiderivative", "d/dE of the logarithmic integral with T/(η E² h), symbolically", _antiderivative),
            Check(
                "first-order",
                "delay with the second-order expansion of a solved linear model, symbolically",
                _first_order,
            ),
            Check("plateau-constants", "A from the growth of h with ln T with its integral over the prior", _constants),
            Check(
                "frozen-limit",
                "the law's slow time with the logarithmic integral, T = 2^10 … 2^18: falls like ln T³/T",
                _frozen,
            ),
            Check(
                "start",
                "the start's delay with the relaxation integrated, k = 2 and 3, T = 128 and 1024, C_0 = 1",
                _start,
            ),
            Check("mean-field", "law with the integrated mean field, k = 2, T = 200 … 1600", _mean_field),
        ],
    )


def _antiderivative() -> Outcome:
    slope = sp.expand_log(sp.diff(leading, E), force=True)
    return Outcome.identity(slope - T / (eta * E**2 * sp.expand_log(drive, force=True)))


def _first_order() -> Outcome:
    """θ' = -K (θ - c v), v' = f θ/θ*: after the transient the exact θ is c v - c v'/K, so that dt = dv/f + dθ*/(K θ*)."""
    K, c, f, v, rate = sp.symbols("K c f v rate", positive=True)
    behind = c * v - c * rate / K
    exact = sp.series(1 / (f * behind / (c * v)), rate, 0, 2).removeO()
    predicted = 1 / f + sp.diff(c * v, v) / (K * c * v) * rate / f
    return Outcome.identity(exact - predicted)


def _constants() -> Outcome:
    from theory.escape import NODES, manifold
    from theory.plateau import plateau
    from theory.priors import Dirichlet

    prior, contexts = Dirichlet(2), (2**18, 2**20)
    first, last = (manifold(prior, t).force[0] for t in contexts)
    found = (last - first) / np.log(contexts[1] / contexts[0])
    residual = abs(found / plateau(prior, NODES).drives[1] - 1)
    size = float(np.log(contexts[0]) ** 2 / contexts[0])
    return Outcome(
        float(residual),
        10 * size,
        f"finite T shifts the plateau by a relative O(ln T²/T) = {size:.1g}, allowed 10 times",
    )


def _frozen() -> Outcome:
    from theory.law import path
    from theory.plateau import plateau
    from theory.priors import Dirichlet
    from theory.setting import Setting

    prior, contexts, level = Dirichlet(2), 2 ** np.arange(10, 20, 2), 0.1
    strength, offset = float(plateau(prior).drives[1]), plateau(prior).offset
    closed = sp.lambdify((T, eta, A, B, E), leading, "mpmath")
    errors = []
    for t in contexts:
        found = path(Setting.of("linear", prior=prior, context=int(t)))
        end = level * t / (1 - level)
        slow_time = np.interp(np.log(end), found.log_e, found.slow)
        errors.append(abs(float(closed(int(t), 1.0, strength, offset, end)) / slow_time - 1))
    slope = np.polyfit(np.log(contexts), np.log(errors) - 3 * np.log(np.log(contexts)), 1)[0]
    return Outcome(
        float(abs(slope + 1)), 0.2, "slope -1 of error/ln T³ against T; the next logarithm changes it by 3/ln T = 0.2"
    )


def _start() -> Outcome:
    from theory.law import path, relaxation_delay
    from theory.setting import Setting

    worst = 0.0
    for states, t in ((2, 128), (2, 1024), (3, 128), (3, 1024)):
        setting = Setting.of("linear", states=states, context=t, initialization={"match": 1 / t})
        worst = max(worst, abs(path(setting).delay[0] / relaxation_delay(setting) - 1))
    return Outcome(worst, 0.5, "twice the quarter that the interval allows for: 95%, the quarter being one deviation")


def _mean_field() -> Outcome:
    """The largest error in units of what the law neglects: its own doubt, and one step of the solver's error."""
    from theory.flow import flow
    from theory.law import law
    from theory.linear import LinearMeanField
    from theory.setting import Setting

    worst, rtol = 0.0, 1e-4
    for t in (200, 400, 1600):
        setting = Setting.of("linear", states=2, context=t, initialization={"match": 1 / t})
        integrated = flow(LinearMeanField(setting), setting, rtol=rtol).transitions()[1].step
        predicted = law(setting).transitions()[1]
        if integrated is None or predicted.step is None or predicted.low is None:
            return Outcome(np.nan, 1.0, "both must find the head forming")
        allowed = 2 * (predicted.step - predicted.low) + 100 * rtol * predicted.step
        worst = max(worst, abs(predicted.step - integrated) / allowed)
    return Outcome(
        worst, 1.0, "twice the law's own interval, and the solver's relative error 1e-4 for each of about 100 steps"
    )
