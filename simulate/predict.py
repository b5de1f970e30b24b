"""The list of all methods of prediction, from the closed form to the exact dynamics at finite context."""

from __future__ import annotations

import pkgutil

from onset.theory import arguments
from onset.theory.floating import in_range
from onset.theory.markov.task import MarkovChains
from onset.theory.prediction import Prediction
from onset.theory.recording import Progress
from onset.theory.setting import Setting
from onset.theory.tasks import Task

__all__ = ["METHODS", "PREDICTED", "longest", "predict"]

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


FEW_SECONDS = 10.0
"""Seconds that the default method may take."""

USUAL_SHARE = 0.2
"""Share of the seconds that `longest` states which a run takes as a rule: it ends when its last transition is past."""


def predict(
    setting: Setting, method: str | None = None, *, seed: int = 0, progress: Progress = lambda step, steps: None
) -> Prediction:
    """Predict when a setting's transitions come.

    Parameters
    ----------
    setting : Setting
    method : str, optional
        One of `METHODS`. By default the finite context, which neglects nothing, where it takes at most `FEW_SECONDS`;
        else the law, which is better the longer the context; else, where that does not answer, the mean field.
    seed : int
    progress : callable

    Raises
    ------
    ValueError
        If the method is unknown or does not support the setting, with the reason; if the seed is out of range;
        if a number leaves the range of floats.
    """
    arguments.seed("seed", seed)
    kind = type(setting.task)
    if kind not in PREDICTED:
        known = ", ".join(sorted(task.kind for task in PREDICTED))
        raise ValueError(f"task = {setting.task.kind!r}: no method predicts it; expected one of {known}, or train it.")
    if method is None:
        return _by_default(setting, seed, progress)
    run = pkgutil.resolve_name(PREDICTED[kind][arguments.one_of("method", method, PREDICTED[kind])])
    with in_range(f"setting {setting.label}: the method {method!r}"):
        return run(setting, seed=seed, progress=progress)


def _by_default(setting: Setting, seed: int, progress: Progress) -> Prediction:
    if USUAL_SHARE * longest(setting, "finite-context") <= FEW_SECONDS:
        return predict(setting, "finite-context", seed=seed, progress=progress)
    try:
        return predict(setting, "law", seed=seed, progress=progress)
    except ValueError:
        return predict(setting, "mean-field", seed=seed, progress=progress)


def longest(setting: Setting, method: str) -> float:
    """Seconds on one core that `predict` takes at most, where they grow faster than memory does; else zero."""
    if method != "finite-context" or not isinstance(setting.task, MarkovChains):
        return 0.0
    from onset.simulate.finite_context.predict import seconds

    return seconds(setting, setting.task.context)
