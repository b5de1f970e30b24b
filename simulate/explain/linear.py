"""What sets the wait of the linear family under SGD: the terms of the plateau law, or the mean field outside it."""

from __future__ import annotations

from typing import Any

import numpy as np

from onset.simulate.explain.explanation import Explanation
from onset.theory.arrays import Array
from onset.theory.laws.linear import Path, path, predict, relaxation_delay
from onset.theory.laws.plateau import plateau
from onset.theory.laws.terms import MatchLimited, Terms, elasticities, leading_exponent, terms
from onset.theory.mean_fields.corrected.predict import mean_field_corrected
from onset.theory.mean_fields.predict import AtSaddle, mean_field
from onset.theory.plain_data import plain
from onset.theory.prediction import Prediction
from onset.theory.setting import Setting
from onset.theory.transitions import Transition

__all__ = ["explain_terms", "mean_field_explanation"]

LAG_LIMITED = 0.1
"""Ratio of delay to slow time below which lag 1 alone limits."""


def explain_terms(setting: Setting, seed: int) -> Explanation:
    """The explanation by the terms of the plateau law; by the mean field where there are none."""
    try:
        by_transition = terms(setting)
    except ValueError as problem:
        return mean_field_explanation(setting, problem, seed)
    prediction, method = _mean_field(setting, seed)
    along = path(setting)
    numbers = _numbers(setting, by_transition, along)
    regime = "lag-limited" if abs(numbers["ratio"]) < LAG_LIMITED else "mixed"
    sentences = _sentences(predict(setting).transitions()[1], by_transition["formation"], numbers, regime)
    return Explanation.of(regime, numbers, sentences, prediction, method, _v_1_and_match(along))


def mean_field_explanation(setting: Setting, problem: ValueError, seed: int) -> Explanation:
    """The explanation of a setting for which the plateau law has no terms, by the stages of the mean field.

    Parameters
    ----------
    setting : Setting
    problem : ValueError
        The law's reason.
    seed : int
    """
    prediction, method = _mean_field(setting, seed)
    regime, manifold = "outside", None
    numbers: dict[str, Any] = {"refused": str(problem)}
    sentences = [f"The plateau law has no terms here: {str(problem).rstrip('.')}."]
    if isinstance(problem, MatchLimited):
        regime, manifold = "match-limited", _v_1_and_match(path(setting))
        formation = predict(setting).transitions()[1]
        numbers["planar"] = formation.to_dict()
        sentences.append(
            "Match-limited: lag 1 outgrows the match, whose rate then sets the time. Followed together, the head forms "
            f"at step {formation.step:.0f} [{formation.low:.0f}, {formation.high:.0f}]. "
            "A higher rate of the match, a longer context or a lower rate of the lag logits would make it lag-limited."
        )
    sentences.append(f"What follows is the {method}'s.")
    return Explanation.of(regime, numbers, tuple(sentences), prediction, method, manifold)


def _mean_field(setting: Setting, seed: int) -> tuple[Prediction, str]:
    """The mean field's prediction, or the corrected one's where that has no gradient at the start; and its name."""
    try:
        return mean_field(setting, seed=seed), "mean field"
    except AtSaddle:
        return mean_field_corrected(setting, seed=seed), "corrected mean field"


def _v_1_and_match(along: Path) -> Array:
    return np.column_stack([along.manifold.log_e, along.manifold.target[:, 1]])


def _numbers(setting: Setting, by_transition: dict[str, Terms], along: Path) -> dict[str, Any]:
    """Terms, plateau and exponents."""
    formation, prior = by_transition["formation"], setting.task.prior
    by_term = (np.array(value) for value in (formation.by_slow, formation.by_delay, formation.by_start))
    exponents: dict[str, float | None] = {name: float(exponent) for name, exponent in elasticities(*by_term).items()}
    by_context = leading_exponent(prior, np.array(setting.task.context), np.array(formation.log_e))
    exponents["context, leading form"] = plain(by_context)
    limit = plateau(prior)
    return {
        "terms": {name: terms._asdict() for name, terms in by_transition.items()},
        "ratio": formation.delay / formation.slow,
        "moving": formation.moving,
        "start_integrated": relaxation_delay(setting),
        "plateau": {
            "match": limit.match.tolist(),
            "match_at_context": along.manifold.target[0].tolist(),
            "height": limit.height,
            "excess": limit.excess,
            "A": float(limit.drives[1]),
            "B": limit.offset,
            "drives": limit.drives.tolist(),
        },
        "exponents": exponents,
    }


def _sentences(formed: Transition, formation: Terms, numbers: dict[str, Any], regime: str) -> tuple[str, ...]:
    limit, exponents, ratio = numbers["plateau"], numbers["exponents"], numbers["ratio"]
    scale, match = limit["match_at_context"]
    drives = limit["drives"]
    listed = ", ".join(f"lag {r} {drives[r]:.3g}" for r in range(1, len(drives)))
    first, second, *_ = sorted(range(1, len(drives)), key=lambda r: -drives[r])
    lead = "and no other is driven upwards"
    if drives[second] > 0:
        lead = f"{drives[first] / drives[second]:.1f} times lag {second}"
    growth, by_context = "", exponents["context, leading form"]
    if by_context is not None:
        growth = (
            f" With the context it goes as T^{by_context:.2f} by the leading logarithmic integral, "
            "which knows no delay."
        )
    by_regime = {
        "lag-limited": f"Lag-limited: the delay is {ratio:.2g} of the slow time. A higher rate of the lag logits "
        "shortens the plateau in proportion; a higher rate of the match or another start hardly changes it.",
        "mixed": f"Mixed: the delay is {ratio:.2g} of the slow time (these terms hold below 1), so both rates count. "
        "A higher rate of the match or a longer context makes it lag-limited; a higher rate of the lag logits, "
        "match-limited.",
    }
    return (
        f"The head forms at step {formed.step:.0f} [{formed.low:.0f}, {formed.high:.0f}], by the plateau law. In "
        f"closed form its time is {formation.step:.0f} steps: slow time {formation.slow:.0f} (lag 1 growing while the "
        f"match keeps to its plateau) and delay {formation.delay:.0f}, of which {formation.start:.0f} from the start "
        f"and {numbers['moving']:.0f} from the match moving late; the second order, of size "
        f"{formation.neglected:.0f}, is neglected.",
        f"The plateau lies at C* = {scale:.3g}, Ω* = {match:.3g}, {limit['excess']:.2g} nats above the ideal unigram "
        f"loss. There lag 1 is driven by h = A (ln(T/E) + B) with A = {limit['A']:.3g} nats and B = {limit['B']:.3g} "
        "at small E/T.",
        f"Drives A_r: {listed}. Lag {first} leads, {lead}.",
        f"Exponents d ln t/d ln x: rate of the lag logits {exponents['learning-rate.lag_logits']:.3f}, rate of the "
        f"match {exponents['learning-rate.match']:.3f}, start of the match {exponents['initialization.match']:.3f}, "
        f"batch 0 (noise neglected).{growth}",
        by_regime[regime],
    )
