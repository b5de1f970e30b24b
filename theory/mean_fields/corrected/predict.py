"""Prediction by the mean field corrected for finite context."""

from __future__ import annotations

import numpy as np

from theory import arguments
from theory.dynamics import Progress, descend
from theory.flow import flow
from theory.mean_fields.corrected.dynamics import COUNT, LAGS, Corrected
from theory.mean_fields.corrected.families import LinearCorrected, SoftmaxCorrected
from theory.predict import Prediction, finite_plateaus
from theory.setting import Setting

__all__ = ["CORRECTED", "mean_field_corrected"]

CORRECTED: dict[str, type[Corrected]] = {"linear": LinearCorrected, "softmax": SoftmaxCorrected}
"""The one place where a family's corrected mean field is registered."""

SCRAMBLINGS = 2
"""Independent scramblings of the prior's points behind an interval, for k > 2."""


def mean_field_corrected(
    setting: Setting, *, seed: int = 0, progress: Progress = lambda step, steps: None
) -> Prediction:
    """Predict from the mean field with fluctuating counts and finite context: gradient flow for SGD, the optimiser's own steps for Adam.

    Parameters
    ----------
    setting : Setting
        Of a toy family.
    seed : int
        Seed of the prior's scramblings (k > 2).

    Raises
    ------
    ValueError
        If the family has no mean field.
    """
    arguments.one_of("family of a corrected mean-field prediction", setting.family, CORRECTED)
    sgd = setting.optimizer.name == "sgd"
    generators = np.random.default_rng(seed).spawn(1 if setting.states == 2 else SCRAMBLINGS)
    found = []
    for done, generator in enumerate(generators):
        count = 2 * COUNT if setting.states == 2 else COUNT
        dynamics = CORRECTED[setting.family](setting, lags=min(LAGS, setting.context), count=count, generator=generator)
        found.append(flow(dynamics, setting) if sgd else descend(dynamics, setting))
        progress(done + 1, len(generators))
    linear = setting.family == "linear"
    assumptions = (
        "mean and covariance of the logits given the query "
        + ("are exact at the actual context" if linear else "to second order in the fluctuations of counts"),
        "loss to second order in fluctuations of the logits: their third and higher cumulants are neglected",
        "early positions sequence by sequence",
        f"prior and initialisation exchangeable; {LAGS} lags tracked, the others at their start",
        f"prior by {'quadrature' if setting.states == 2 else f'{SCRAMBLINGS} scramblings of a Sobol sequence, whose spread is the interval'}",
        "SGD as gradient flow"
        if sgd
        else "Adam on the population gradient; the mini-batch's share of its second moment is neglected",
    )
    losses = finite_plateaus(setting, seed)
    return Prediction(setting, "mean-field-corrected", tuple(found), losses, assumptions, _validity(setting))


def _validity(setting: Setting) -> tuple[str, ...]:
    """What was found against finite context, SGD with its defaults."""
    if setting.family == "linear":
        return (
            "against finite context (SGD defaults, k = 2 to 4, concentrations 0.3 to 3) formation comes out 0 to 4% late and the passage to bigram within 5% at "
            "T = 50, both within 4% at T = 100; formation within 3% for k = 8, T = 100",
            "for k = 8, and for concentration 3 at T = 50, the unigram and bigram strategies are about as far from guessing: a scrambling may miss the passage, and no "
            "passage is then stated",
        )
    return (
        "against finite context (SGD from zero, k = 2 to 4, concentrations 0.3 to 3) formation and the passage to bigram come out within 6% at T = 100, for concentrations 0.3 and 1 within 7% at "
        "T = 50; where the head is trapped there (k = 2; k = 3, concentration 0.3), it is trapped here",
        "for k = 4 and concentration 0.3 the match is driven down at first and barely turns: few points stand for the prior, and the interval is wide",
        "third and fourth cumulants of the logits are neglected: derivation ratio-fluctuations",
    )
