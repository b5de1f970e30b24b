"""What sets the time of a setting, in numbers and in words.

The law of the family explains where it gives an answer (`linear`, `softmax`), the mean field's stages elsewhere;
`remarks` adds statements on Adam and on mixtures of priors.
"""

from __future__ import annotations

from dataclasses import replace

from onset.simulate.explain.explanation import Explanation, Stage
from onset.simulate.explain.linear import explain_terms, mean_field_explanation
from onset.simulate.explain.remarks import remarks
from onset.simulate.explain.softmax import explain_escape
from onset.theory import arguments
from onset.theory.floating import in_range
from onset.theory.laws.softmax import escape, predict_from_escape
from onset.theory.markov.task import require_markov_chains
from onset.theory.setting import Setting

__all__ = ["Explanation", "Stage", "explain"]


def explain(setting: Setting, *, seed: int = 0) -> Explanation:
    """Explain what sets the time of a setting's transitions, in numbers, sentences and exponents.

    Raises
    ------
    ValueError
        If the task has no theory, or the setting's family no mean field; if a number leaves the range of floats.
    """
    arguments.seed("seed", seed)
    require_markov_chains(setting.task, "explain")
    with in_range(f"setting {setting.label}: the explanation"):
        return _explain(setting, seed)


def _explain(setting: Setting, seed: int) -> Explanation:
    if (setting.model.family, setting.training.optimizer.name) == ("softmax", "sgd"):
        try:
            escaped = escape(setting, seed=seed)
            explanation = explain_escape(escaped, predict_from_escape(setting, escaped, seed=seed))
        except ValueError as problem:
            explanation = mean_field_explanation(setting, problem, seed)
    else:
        explanation = explain_terms(setting, seed)
    numbers, sentences = remarks(setting)
    return replace(explanation, numbers=explanation.numbers | numbers, sentences=(*explanation.sentences, *sentences))
