r"""The plateau laws corrected for finite context, by the corrected mean field.

Linear family: the corrected loss of `onset.theory.mean_fields.corrected` moves the slow manifold of
`onset.theory.laws.slow_manifold` by a relative O(ln T/T), which at short contexts is not little. Newton's iteration
from the mean field's manifold finds it: with gradient, Hessian and pull of the corrected loss at a few points,

    θ ← θ - H⁻¹ ∂L/∂θ,    h = -(T/E) ∂L/∂v_1 - (∂h/∂θ)·H⁻¹ ∂L/∂θ,

`ROUNDS` times; the other lags follow by the ratio of drives at the new match. (With the mean field's own Hessian the
iteration alternates, from T = 50 downwards without end.) `onset.theory.laws.planar` then follows match and lag 1,
whatever the rates: the coefficients are computed once per prior and context, in seconds.

Softmax family: `onset.theory.laws.softmax` has the finite context up to formation; after it the corrected mean field
replaces the mean field.

Range of validity: that of the laws, and of `onset.theory.mean_fields.corrected`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from scipy.interpolate import CubicSpline

from onset.theory import randomness
from onset.theory.dynamics.layout import last_attention
from onset.theory.laws import softmax
from onset.theory.laws.expansion import LAGS
from onset.theory.laws.law import Law
from onset.theory.laws.linear import mobility
from onset.theory.laws.planar import MATCH_AND_LAG, follow, formation, planar_law
from onset.theory.laws.slow_manifold import SlowManifold, interpolated_manifold
from onset.theory.markov.priors import Prior
from onset.theory.markov.task import MarkovChains
from onset.theory.mean_fields.corrected.linear import LinearCorrected
from onset.theory.mean_fields.corrected.neglected import bounded
from onset.theory.mean_fields.corrected.softmax import SoftmaxCorrected
from onset.theory.mean_fields.linear import LinearMeanField
from onset.theory.mean_fields.match_and_lags import MatchAndLags, drive_error
from onset.theory.mean_fields.quadrature import rules
from onset.theory.prediction import EXCHANGEABLE_FLOW, Prediction, change, require_smaller
from onset.theory.recording import Progress, no_progress
from onset.theory.setting import Setting

__all__ = ["LINEAR", "SOFTMAX", "corrected_loss", "corrected_manifolds", "predict_linear", "predict_softmax"]

EVERY = 3
"""Spacing of the points of the manifold that are corrected."""

HIGHEST_ATTENTION = 0.6
"""Share of the last position's attention on lag 1 up to which the manifold is corrected."""

ROUNDS = 3
"""Rounds of Newton's iteration, the last with the Hessian of the one before."""

PRIOR_NODES = 128
"""Matrices that stand for the prior in the softmax family."""

KEPT_MANIFOLDS = 256
"""Priors and contexts whose coefficients are cached, some 10 kB each."""

MEASURED_POINTS = 14
"""Points at which the corrected curves are evaluated."""

LINEAR_ASSUMPTIONS = (
    f"slow manifold of the corrected mean field at the actual context; {MATCH_AND_LAG}",
    EXCHANGEABLE_FLOW,
)
SOFTMAX_ASSUMPTIONS = (
    softmax.ASSUMPTIONS[0],
    "from the head's formation on the corrected mean field",
    EXCHANGEABLE_FLOW,
)


def predict_linear(setting: Setting, *, seed: int = 0, progress: Progress = no_progress) -> Prediction:
    """Predict from the corrected slow manifold.

    Neglected are the loss beyond its third order, the last round of the iteration, and fluctuating counts to second
    order.

    Parameters
    ----------
    setting : Setting
        Of the linear family under SGD.

    Raises
    ------
    ValueError
        Outside the law's range of validity, with the reason.
    """
    prior, context = setting.task.prior, setting.task.context
    manifolds = corrected_manifolds(prior, context)
    mobile = mobility(prior.states, context, setting.training.optimizer.learning_rate["match"])
    progress(1, 2)
    earlier, formed = (formation(follow(m, setting, mobile), m) for m in manifolds)
    field = corrected_loss(prior, context).field
    predicted, ends, share = planar_law(setting, manifolds[1], mobile, field.measure, points=MEASURED_POINTS)
    round_share = change(earlier, formed)
    unsettled = "the iteration for the corrected manifold does not settle: what its last round changes of the time"
    require_smaller(setting, unsettled, round_share, "use the finite context")
    progress(2, 2)
    before, after = (replace(predicted, steps=predicted.steps * (1 + sign * round_share)) for sign in (-1, 1))
    validity = (
        f"third order of the loss {share:.2g} of the time; the last round of Newton's iteration {round_share:.2g}",
    )
    return bounded(
        Prediction(
            setting,
            "law-corrected",
            (predicted,),
            setting.task.expected_losses(seed=seed),
            LINEAR_ASSUMPTIONS,
            validity,
            neglected={
                "loss beyond third order around the plateau": ends,
                "rounds of Newton's iteration": (before, after),
            },
            error=drive_error(prior, context),
        ),
        order=2,
    )


def predict_softmax(setting: Setting, *, seed: int = 0, progress: Progress = no_progress) -> Prediction:
    """Predict from the plateau law of the softmax family, continued by the corrected mean field.

    Parameters
    ----------
    setting : Setting
        Of the softmax family under SGD.

    Raises
    ------
    ValueError
        Outside the law's range of validity, with the reason.
    """
    context = setting.task.context
    SoftmaxCorrected.require_memory(setting.task, PRIOR_NODES)  # before the wait is computed
    escaped = softmax.escape(setting, seed=seed)
    progress(1, 2)
    field = SoftmaxCorrected.of(setting, lags=LAGS, count=PRIOR_NODES, generator=randomness.generator(seed))
    neglected = 2 * np.log(context) ** 3 / context**2
    predicted, bounds = softmax.trajectories(setting, escaped, field, neglected, points=MEASURED_POINTS)
    progress(2, 2)
    return Prediction(
        setting,
        "law-corrected",
        (predicted,),
        setting.task.expected_losses(seed=seed),
        SOFTMAX_ASSUMPTIONS,
        (escaped.uncertainty,),
        bounds,
        escaped.relative_error,
    )


_MEAN_FIELD_VALIDITY = "contexts longer than the chains take to mix"
LINEAR = Law(
    predict_linear,
    LINEAR_ASSUMPTIONS,
    f"an exchangeable prior with a unique plateau at finite context too; {_MEAN_FIELD_VALIDITY}",
)
SOFTMAX = Law(predict_softmax, SOFTMAX_ASSUMPTIONS, f"{softmax.LAW.validity}; {_MEAN_FIELD_VALIDITY}")


def corrected_loss(prior: Prior, context: int) -> MatchAndLags:
    """The corrected loss of the linear family, on the mean rule for the prior."""
    task, rule = MarkovChains(prior, context), rules(LinearMeanField, prior, LAGS).mean
    return MatchAndLags(prior, context, LinearCorrected(task, lags=LAGS, rule=rule))


@lru_cache(maxsize=KEPT_MANIFOLDS)
def corrected_manifolds(prior: Prior, context: int) -> tuple[SlowManifold, SlowManifold]:
    """The corrected slow manifold after the last round but one and the last.

    Raises
    ------
    ValueError
        If the corrected loss has no single best match along the manifold.
    """
    loss = corrected_loss(prior, context)  # first: it may need too much memory
    uncorrected = interpolated_manifold(prior, context)
    attention = last_attention(uncorrected.lag_logits, context)[:, 1]
    kept = np.flatnonzero((attention < HIGHEST_ATTENTION) & (uncorrected.force > 0))
    chosen, within = np.unique([*kept[::EVERY], kept[-1]]), slice(0, kept[-1] + 1)
    log_e, target, before = uncorrected.log_e[chosen], uncorrected.target[chosen], uncorrected.lag_logits[chosen]
    ratio = CubicSpline(uncorrected.log_e, uncorrected.lag_logits).derivative()(log_e)
    to_force, lags, slopes, manifolds = -context * np.exp(-log_e), before, np.empty(0), []
    for n in range(ROUNDS):
        points = list(zip(target, lags, strict=True))
        gradient = np.array([loss.gradient(*point) for point in points])
        if n < ROUNDS - 1:
            slopes = np.array([loss.slopes(*point) for point in points])
            if not np.all(np.linalg.eigvals(slopes[:, :2]).real > 0):
                raise ValueError(
                    f"prior = {prior} at T = {context}: expected a plateau with one best match (C, Ω) at finite "
                    "context too, but there is none; use the corrected mean field."
                )
        step = np.linalg.solve(slopes[:, :2], gradient[:, :2, None])
        drives = gradient[:, 2:] - (slopes[:, 2:] @ step)[..., 0]
        target = target - step[..., 0]
        force, pull = to_force * drives[:, 1], to_force[:, None] * slopes[:, 3]
        curves = uncorrected.curves[chosen]  # not corrected: measured along the run
        columns = np.column_stack([force, target, pull, slopes[:, :2].reshape(-1, 4), curves, lags])
        correction = CubicSpline(log_e, columns - uncorrected.columns[chosen])(uncorrected.log_e[within])
        columns = uncorrected.columns[within] + correction
        manifolds.append(SlowManifold(context, uncorrected.log_e[within], columns, uncorrected.third))
        lags = before + CubicSpline(log_e, drives / drives[:, 1:2] - ratio).antiderivative()(log_e)
    return manifolds[-2], manifolds[-1]
