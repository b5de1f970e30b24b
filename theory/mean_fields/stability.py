r"""Whether gradient flow may stand for gradient descent: one condition, which every theory of SGD asks.

A step of descent multiplies a deviation along an eigenvector of η × Hessian, of eigenvalue λ, by 1 - λ: beyond
λ = `STABLE_BELOW` it grows, and what the model then does is not what flow does. The curvature is that of the mean field
at a few points of the predicted path up to its last transition. Finite context takes the optimiser's own steps and
needs no such condition.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from onset.theory.arrays import Array
from onset.theory.dynamics.flow import Ensemble, curvatures, sharpness
from onset.theory.mean_fields.limit import MeanField
from onset.theory.mean_fields.linear import LinearMeanField
from onset.theory.mean_fields.quadrature import rules
from onset.theory.mean_fields.softmax import SoftmaxMeanField
from onset.theory.prediction import Prediction
from onset.theory.setting import Setting
from onset.theory.transitions import FORMATION_LEVEL

__all__ = ["STABLE_BELOW", "checked", "curvatures_along", "require_stable"]

STABLE_BELOW = 2.0
"""Learning rate × curvature below which descent is stable: |1 - λ| < 1."""

CLOSE = 1.0
"""The same beyond which it overshoots its minimum at every step: 1 - λ < 0."""

CURVATURE_POINTS = 4
"""Points of a path at which the curvature is evaluated."""

FIELDS: tuple[type[MeanField], ...] = (LinearMeanField, SoftmaxMeanField)


def checked(prediction: Prediction, ensemble: Ensemble | None = None) -> Prediction:
    """The prediction, with a statement on the stability of SGD along its first trajectory; others as they are.

    Parameters
    ----------
    prediction : Prediction
    ensemble : Ensemble, optional
        Gives the curvature; by default the family's mean field.

    Raises
    ------
    ValueError
        If descent is unstable there.
    """
    setting = prediction.setting
    if setting.training.optimizer.name != "sgd":
        return prediction
    curve = prediction.trajectories[0]
    transitions, formations = curve.read(FORMATION_LEVEL)
    steps = [t.step for t in (*transitions, *formations) if t.step is not None]
    path = np.array(list(curve.parameters.values())).T[curve.steps <= max(steps, default=np.inf)]
    ensemble = ensemble or _field(setting, path.shape[1])
    by_point = sharpness(curvatures_along(ensemble, path), ensemble.layout, setting.training)
    worst = require_stable(setting, by_point)
    verdict = "stable, so flow stands for descent" if worst < CLOSE else "close to instability"
    statement = (
        f"learning rate × largest curvature along the path ≤ {worst:.2g} (stable below {STABLE_BELOW:g}): {verdict}"
    )
    return replace(prediction, validity=(*prediction.validity, statement))


def require_stable(setting: Setting, by_point: Array) -> float:
    """The largest learning rate × curvature of several points, or a ``ValueError`` if descent is unstable there."""
    worst = float(np.max(by_point))
    if not worst < STABLE_BELOW:
        rates = ", ".join(f"{group} = {rate:g}" for group, rate in setting.training.optimizer.learning_rate.items())
        raise ValueError(
            f"learning_rate: {rates}: expected learning rate × curvature below {STABLE_BELOW:g}, but it is {worst:.2g} "
            "on the predicted path, where gradient descent is unstable and gradient flow does not stand for it; lower "
            "the rates, or use the finite context, which takes the optimiser's own steps."
        )
    return worst


def curvatures_along(ensemble: Ensemble, path: Array) -> Array:
    """Second derivatives of the loss of one replicate at a few points of a path (n, p), shape (points, p, p)."""
    chosen = np.linspace(0, len(path) - 1, min(CURVATURE_POINTS, len(path)), dtype=int)
    return curvatures(ensemble, path[None, chosen])[0]


def _field(setting: Setting, coordinates: int) -> MeanField:
    family = next(field for field in FIELDS if field.family == setting.model.family)
    lags = coordinates - 2 * (len(setting.model.groups) - 1)
    return family.of(setting, lags=lags, rule=rules(family, setting.task.prior, lags).mean)
