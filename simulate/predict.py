"""The list of all methods of prediction, from the closed form to the exact dynamics at finite context."""

from __future__ import annotations

import pkgutil

from onset.theory import arguments
from onset.theory.markov.task import MarkovChains
from onset.theory.prediction import Prediction
from onset.theory.recording import Progress
from onset.theory.setting import Setting
from onset.theory.tasks import Task

__all__ = ["METHODS", "PREDICTED", "predict"]

METHODS = {
    "law": "onset.theory.laws:law",
    "law-corrected": "onset.theory.laws:law_corrected",
    "mean-field": "onset.theory.mean_fields.predict:mean_field",
    "mean-field-corrected": "onset.theory.mean_fields.corrected.predict:mean_field_corrected",
    "finite-context": "onset.simulate.finite_context.predict:finite_context",
}
"""Methods of prediction for Markov chains: the function of each, as module:name, imported when it is used."""

PREDICTED: dict[type[Task], dict[str, str]] = {MarkovChains: METHODS}
"""Methods by task."""


def predict(
    setting: Setting, method: str = "mean-field", *, seed: int = 0, progress: Progress = lambda step, steps: None
) -> Prediction:
    """Predict when a setting's transitions come, by one of `METHODS`.

    Raises
    ------
    ValueError
        If the method is unknown or does not support the setting, with the reason; if the seed is out of range.
    """
    arguments.seed("seed", seed)
    kind = type(setting.task)
    if kind not in PREDICTED:
        known = ", ".join(sorted(task.kind for task in PREDICTED))
        raise ValueError(f"task = {setting.task.kind!r}: no method predicts it; expected one of {known}, or train it.")
    run = pkgutil.resolve_name(PREDICTED[kind][arguments.one_of("method", method, PREDICTED[kind])])
    return run(setting, seed=seed, progress=progress)
