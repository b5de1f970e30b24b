"""Laws: steps until the induction head forms, from closed forms and small systems of equations.

`LAWS` and `CORRECTED_LAWS` are the tables of laws by family and optimiser. To add a law, write a file that defines a
`onset.theory.laws.law.Law` and enter it here.
"""

from __future__ import annotations

from collections.abc import Mapping

from onset.theory.laws import adam, corrected, linear, softmax
from onset.theory.laws.law import Law
from onset.theory.markov.task import require_first_order
from onset.theory.mean_fields.stability import checked
from onset.theory.prediction import Prediction
from onset.theory.recording import Progress, no_progress
from onset.theory.setting import Setting

__all__ = ["CORRECTED_LAWS", "LAWS", "Law", "law", "law_corrected"]

LAWS = {
    ("linear", "sgd"): linear.LAW,
    ("softmax", "sgd"): softmax.LAW,
    ("linear", "adam"): adam.LAW,
    ("softmax", "adam"): adam.LAW,
}
"""Plateau laws by family and optimiser."""

CORRECTED_LAWS = {("linear", "sgd"): corrected.LINEAR, ("softmax", "sgd"): corrected.SOFTMAX}
"""Plateau laws corrected for finite context, by family and optimiser."""


def law(setting: Setting, *, seed: int = 0, progress: Progress = no_progress) -> Prediction:
    """Predict from the plateau law of the setting's family and optimiser.

    Raises
    ------
    ValueError
        If `LAWS` has none, or outside its range of validity, with the reason.
    """
    return checked(_select(LAWS, "plateau law", setting).predict(setting, seed=seed, progress=progress))


def law_corrected(setting: Setting, *, seed: int = 0, progress: Progress = no_progress) -> Prediction:
    """Predict from the plateau law at the setting's context, as `law`, from `CORRECTED_LAWS`."""
    return checked(
        _select(CORRECTED_LAWS, "corrected plateau law", setting).predict(setting, seed=seed, progress=progress)
    )


def _select(laws: Mapping[tuple[str, str], Law], name: str, setting: Setting) -> Law:
    """The law for `setting`, or a ``ValueError``."""
    family, optimizer = setting.model.family, setting.training.optimizer.name
    if (family, optimizer) not in laws:
        known = ", ".join(" with ".join(pair) for pair in laws)
        raise ValueError(
            f"family of the {name} = {family!r} with optimizer = {optimizer!r}: expected one of {known}; "
            "predict by another method, or train it."
        )
    require_first_order(setting.task, f"the {name}")
    setting.training.require_all_trained(f"the {name}")
    return laws[family, optimizer]
