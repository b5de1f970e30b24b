r"""The plateau law corrected for finite context: the slow manifold, or the rest of the escape, of `onset.theory.mean_fields.corrected`.

Linear family: the corrected loss moves the slow manifold of `onset.theory.laws.escape` by a relative O(ln T/T), which at short contexts is not little. Newton's iteration from
the mean field's manifold finds it: with gradient, Hessian and pull of the corrected loss at a few points,

    θ ← θ - H⁻¹ ∂L/∂θ,    h = -(T/E) ∂L/∂v_1 - (∂h/∂θ)·H⁻¹ ∂L/∂θ,

`ROUNDS` times; the other lags follow by the ratio of drives where the match is then. (With the mean field's own Hessian the iteration alternates, from T = 50 downwards without end.)
`onset.theory.laws.planar` then follows match and lag 1, whatever the rates: the coefficients are made once per prior and context, in seconds. For k > 2 they are means over
`SCRAMBLINGS` rules for the prior, whose spread enters the interval.

Softmax family: `onset.theory.laws.softmax` has the finite context up to formation; the rest is the corrected mean field's instead of the mean field's.

Range of validity: that of the laws, and of `onset.theory.mean_fields.corrected`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from scipy.interpolate import CubicSpline

from onset.theory import arguments
from onset.theory.arrays import Array
from onset.theory.dynamics.layout import last_attention
from onset.theory.laws.escape import Reduced
from onset.theory.laws.expansion import LAGS as EXPANDED
from onset.theory.laws.planar import TOGETHER, Plane, follow, formation, planar_law
from onset.theory.laws.plateau_law import mobility, plane
from onset.theory.laws.softmax import ASSUMPTIONS, escape, trajectories_of
from onset.theory.markov.priors import Prior
from onset.theory.mean_fields.corrected.linear import LinearCorrected
from onset.theory.mean_fields.corrected.softmax import SoftmaxCorrected
from onset.theory.mean_fields.predict import MEAN_FIELDS
from onset.theory.prediction import EXCHANGEABLE_FLOW, Prediction
from onset.theory.recording import Progress
from onset.theory.setting import Setting

__all__ = ["corrected_planes", "law_corrected", "mean_plane"]

EVERY = 3
"""Of the manifold's points, every third is corrected, up to where lag 1 holds `HIGHEST` of the last position's attention."""

HIGHEST = 0.6

ROUNDS = 3
"""Of Newton's iteration, the last with the Hessian of the one before."""

SCRAMBLINGS = 2
"""Rules for the prior, k > 2."""

NODES = 128
"""Points that stand for the prior in the softmax family."""

KEPT = 256
"""Priors and contexts whose coefficients are remembered, some 10 kB each."""

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
    arguments.one_of("family of the corrected plateau law", setting.model.family, MEAN_FIELDS)
    arguments.one_of("optimizer of the corrected plateau law", setting.training.optimizer.name, ("sgd",))
    setting.task.require_first_order("the corrected plateau law")
    if setting.model.family == "softmax":
        return _softmax(setting, seed, progress)
    each, mobile = corrected_planes(setting.task.prior, setting.task.context), mobility(setting)
    progress(1, 2)
    formed = np.array(
        [[formation(follow(one, setting, mobile), one) for one in rounds] for rounds in each], dtype=float
    )
    apart, moved = np.ptp(formed[:, 1]) / formed[:, 1].mean(), np.abs(1 - formed[:, 0] / formed[:, 1]).max()
    field = Reduced(setting.task.prior, setting.task.context, field=LinearCorrected).dynamics
    trajectories, share = planar_law(
        setting,
        mean_plane([last for _, last in each]),
        mobile,
        field.measure,
        points=MEASURED,
        spread=float(apart + moved),
    )
    progress(2, 2)
    return Prediction(
        setting,
        "law-corrected",
        trajectories,
        setting.task.expected_losses(seed=seed),
        (f"slow manifold of the corrected mean field at the actual context; {TOGETHER}", EXCHANGEABLE_FLOW),
        (
            f"third order of the loss {share:.2g} of the time, of which the interval is half; the last round of Newton's iteration {moved:.2g}",
            f"prior by {len(each)} rules {apart:.2g} apart" if len(each) > 1 else "prior by quadrature",
        ),
        bounds=True,
    )


def _softmax(setting: Setting, seed: int, progress: Progress) -> Prediction:
    found = escape(setting, seed=seed)
    progress(1, 2)
    field = SoftmaxCorrected.of(setting, lags=EXPANDED, count=NODES, generator=np.random.default_rng(seed))
    neglected = 2 * np.log(setting.task.context) ** 3 / setting.task.context**2
    trajectories = trajectories_of(setting, found, field, neglected, points=MEASURED)
    progress(2, 2)
    return Prediction(
        setting,
        "law-corrected",
        trajectories,
        setting.task.expected_losses(seed=seed),
        (ASSUMPTIONS[0], "from the head's formation on the corrected mean field", EXCHANGEABLE_FLOW),
        (found.doubts,),
        bounds=True,
    )


@lru_cache(maxsize=KEPT)
def corrected_planes(prior: Prior, context: int) -> tuple[tuple[Plane, Plane], ...]:
    """`onset.theory.laws.plateau_law.plane` with the coefficients of the corrected mean field: for each rule that stands for the prior, after the last
    round but one and after the last.

    Raises
    ------
    ValueError
        If the corrected loss has no single best match along the manifold.
    """
    return tuple(_corrected(prior, context, seed) for seed in range(1 if prior.states == 2 else SCRAMBLINGS))


def mean_plane(each: Sequence[Plane]) -> Plane:
    """Their mean, coefficient by coefficient; all are of one prior and context."""
    names = ("force", "target", "pull", "hessian", "lag_logits")
    return replace(each[0], **{name: np.mean([getattr(one, name) for one in each], axis=0) for name in names})


def _corrected(prior: Prior, context: int, seed: int) -> tuple[Plane, Plane]:
    around = plane(prior, context)
    corrected = Reduced(prior, context, field=LinearCorrected, seed=seed)
    held = last_attention(around.lag_logits, context)[:, 1]
    kept = np.flatnonzero((held < HIGHEST) & (around.force > 0))
    chosen, upto = np.unique([*kept[::EVERY], kept[-1]]), slice(0, kept[-1] + 1)
    log_e, target, before = around.log_e[chosen], around.target[chosen], around.lag_logits[chosen]
    ratio = CubicSpline(around.log_e, around.lag_logits).derivative()(log_e)
    scale, lags, slopes, found = -context * np.exp(-log_e), before, np.empty(0), []

    def spread(values: Array, before: Array) -> Array:
        """The correction between the points where it was made, added to what it corrects."""
        return before[upto] + CubicSpline(log_e, values - before[chosen])(around.log_e[upto])

    for n in range(ROUNDS):
        points = list(zip(target, lags, strict=True))
        gradient = np.array([corrected.gradient(*point) for point in points])
        if n < ROUNDS - 1:
            slopes = np.array([corrected.slopes(*point) for point in points])
            if not np.all(np.linalg.eigvals(slopes[:, :2]).real > 0):
                raise ValueError(
                    f"prior = {prior} at T = {context}: expected a plateau with one best match (C, Ω) at finite context too, but there is none; use the corrected mean field."
                )
        step = np.linalg.solve(slopes[:, :2], gradient[:, :2, None])
        drives = gradient[:, 2:] - (slopes[:, 2:] @ step)[..., 0]
        target = target - step[..., 0]
        found.append(
            replace(
                around,
                log_e=around.log_e[upto],
                force=spread(scale * drives[:, 1], around.force),
                target=spread(target, around.target),
                pull=spread(scale[:, None] * slopes[:, 3], around.pull),
                hessian=spread(slopes[:, :2].reshape(-1, 4), around.hessian),
                curves=around.curves[upto],
                lag_logits=spread(lags, around.lag_logits),
            )
        )
        lags = before + CubicSpline(log_e, drives / drives[:, 1:2] - ratio).antiderivative()(log_e)
    return found[-2], found[-1]
