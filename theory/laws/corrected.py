r"""The plateau law corrected for finite context: the slow manifold, or the rest of the escape, of `theory.mean_fields.corrected`.

Linear family: the corrected loss moves the slow manifold of `theory.laws.escape` by a relative O(ln T/T). Its gradient at a few points of the manifold gives

    θ₁ = θ* - H⁻¹ ∂L/∂θ,    h = -(T/E) ∂L/∂v_1 + (∂h/∂θ)·(θ₁ - θ),

taken twice, so that what is left is of second order in the move; the other lags follow by the corrected ratio of drives. `theory.laws.planar` then follows match and
lag 1, whatever the rates: the coefficients are made once per prior and context, in seconds.

Softmax family: `theory.laws.softmax` has the finite context up to formation; the rest is the corrected mean field's instead of the mean field's.

Range of validity: that of the laws, and of `theory.mean_fields.corrected`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from scipy.interpolate import CubicSpline

from theory import arguments
from theory.chains import Array
from theory.dynamics import Progress, last_attention
from theory.laws.escape import NODES, Reduced
from theory.laws.expansion import LAGS as EXPANDED
from theory.laws.planar import TOGETHER, Plane, planar_law
from theory.laws.plateau_law import mobility, plane
from theory.laws.softmax import ASSUMPTIONS, escape, trajectories_of
from theory.mean_fields.corrected.families import LinearCorrected, SoftmaxCorrected
from theory.predict import EXCHANGEABLE_FLOW, MEAN_FIELDS, Prediction, finite_plateaus
from theory.priors import Prior
from theory.setting import Setting

__all__ = ["corrected_plane", "law_corrected"]

EVERY = 3
"""Of the manifold's points, every third is corrected, up to where lag 1 holds `HIGHEST` of the last position's attention."""

HIGHEST = 0.6
MEASURED = 14
"""Points at which the corrected curves are evaluated."""


def law_corrected(setting: Setting, *, seed: int = 0, progress: Progress = lambda step, steps: None) -> Prediction:
    """Predict from the plateau law at the setting's context.

    Parameters
    ----------
    setting : Setting
        Of a toy family under SGD.

    Raises
    ------
    ValueError
        Outside the law's range of validity, with the reason.
    """
    arguments.one_of("family of the corrected plateau law", setting.family, MEAN_FIELDS)
    arguments.one_of("optimizer of the corrected plateau law", setting.optimizer.name, ("sgd",))
    setting.only_markov("the corrected plateau law")
    if setting.family == "softmax":
        return _softmax(setting, seed, progress)
    found = corrected_plane(setting.prior, setting.context)
    progress(1, 2)
    field = Reduced(setting.prior, setting.context, field=LinearCorrected).dynamics
    trajectories, share = planar_law(setting, found, mobility(setting), field.measure, points=MEASURED)
    progress(2, 2)
    return Prediction(
        setting,
        "law-corrected",
        trajectories,
        finite_plateaus(setting, seed),
        (f"slow manifold of the corrected mean field at the actual context; {TOGETHER}", EXCHANGEABLE_FLOW),
        (f"third order of the loss {share:.2g} of the time, of which the interval is half",),
        bounds=True,
    )


def _softmax(setting: Setting, seed: int, progress: Progress) -> Prediction:
    found = escape(setting, seed=seed)
    progress(1, 2)
    field = SoftmaxCorrected(setting, lags=EXPANDED, count=NODES, generator=np.random.default_rng(seed))
    neglected = 2 * np.log(setting.context) ** 3 / setting.context**2
    trajectories = trajectories_of(setting, found, field, neglected, points=MEASURED)
    progress(2, 2)
    return Prediction(
        setting,
        "law-corrected",
        trajectories,
        finite_plateaus(setting, seed),
        (ASSUMPTIONS[0], "from the head's formation on the corrected mean field", EXCHANGEABLE_FLOW),
        (found.doubts,),
        bounds=True,
    )


@cache
def corrected_plane(prior: Prior, context: int) -> Plane:
    """`theory.laws.plateau_law.plane` with the force, target and lags of the corrected mean field."""
    around = plane(prior, context)
    corrected = Reduced(prior, context, field=LinearCorrected)
    held = last_attention(around.lag_logits, context)[:, 1]
    kept = np.flatnonzero((held < HIGHEST) & (around.force > 0))
    chosen = np.unique([*kept[::EVERY], kept[-1]])
    log_e, target, lags = around.log_e[chosen], around.target[chosen], around.lag_logits[chosen]
    ratio = CubicSpline(around.log_e, around.lag_logits).derivative()(log_e)
    first = [corrected.gradient(*point) for point in zip(target, lags, strict=True)]
    target = np.array([t - _solve(around, n, g) for n, t, g in zip(chosen, target, first, strict=True)])
    off = np.array([g[2:] / g[3] for g in first]) - ratio
    moved = CubicSpline(log_e, off).antiderivative()(log_e)
    lags = lags + moved
    second = [corrected.gradient(*point) for point in zip(target, lags, strict=True)]
    step = np.array([_solve(around, n, g) for n, g in zip(chosen, second, strict=True)])
    force = [-context * np.exp(-z) * g[3] for z, g in zip(log_e, second, strict=True)]
    force = np.array(force) - (around.pull[chosen] * step).sum(axis=1)
    upto = slice(0, kept[-1] + 1)
    at = around.log_e[upto]

    def spread(values: Array, before: Array) -> Array:
        """The correction between the points where it was made, added to what it corrects."""
        return before[upto] + CubicSpline(log_e, values - before[chosen])(at)

    return replace(
        around,
        log_e=at,
        force=spread(force, around.force),
        target=spread(target - step, around.target),
        pull=around.pull[upto],
        hessian=around.hessian[upto],
        curves=around.curves[upto],
        lag_logits=spread(lags, around.lag_logits),
    )


def _solve(around: Plane, n: int, gradient: Array) -> Array:
    return np.linalg.solve(around.hessian[n].reshape(2, 2), gradient[:2])
