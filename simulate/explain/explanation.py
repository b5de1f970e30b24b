r"""What sets the time of a setting, in numbers and in words: the terms of the plateau law where it answers, the mean field's stages elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from onset.simulate.explain.asides import asides
from onset.simulate.explain.softmax import of_escape
from onset.theory.arrays import Array
from onset.theory.laws.plateau import plateau
from onset.theory.laws.plateau_law import Path, law, path, relaxation_delay
from onset.theory.laws.softmax import by_escape, escape
from onset.theory.laws.terms import MatchLimited, Terms, elasticities, leading_exponent, terms_or_refusal
from onset.theory.markov.task import STRATEGIES
from onset.theory.mean_fields.corrected.predict import mean_field_corrected
from onset.theory.mean_fields.predict import AtSaddle, mean_field
from onset.theory.prediction import Prediction
from onset.theory.recording import Trajectory
from onset.theory.setting import Setting

__all__ = ["Explanation", "Stage", "explain"]

SHARE = 0.1
"""Ratio of delay to slow time below which lag 1 alone limits."""

CLOSE = 0.9
"""Share of the way of Ω to its plateau at which the start is over."""


@dataclass(frozen=True)
class Stage:
    """A stretch of the trajectory: steps from `start` to `end`, and what happens in it."""

    name: str
    start: float
    end: float
    tells: str


@dataclass(frozen=True)
class Explanation:
    """What sets the time of a setting.

    Attributes
    ----------
    setting : Setting
    regime : str
        ``lag-limited``, ``mixed``, ``match-limited`` (match and lag 1 followed together) or ``outside`` (of the law); in the softmax family ``pushed``
        or ``amplified``.
    numbers : dict
        Plain data: terms, plateau, exponents.
    sentences : tuple of str
    stages : tuple of Stage
    trajectory : Trajectory
        Of the mean field; in the softmax family under SGD of the law.
    manifold : array, shape (n, 2), or None
        v_1 and Ω* of the slow manifold.
    """

    setting: Setting
    regime: str
    numbers: dict[str, Any]
    sentences: tuple[str, ...]
    stages: tuple[Stage, ...]
    trajectory: Trajectory
    manifold: Array | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values: what JSON holds."""
        return {
            "setting": self.setting.to_dict() | {"id": self.setting.id},
            "regime": self.regime,
            **self.numbers,
            "sentences": list(self.sentences),
            "stages": [vars(stage) for stage in self.stages],
        }


def explain(setting: Setting, *, seed: int = 0) -> Explanation:
    """Explain `setting`; families without a mean field raise ``ValueError``."""
    found, (numbers, told) = _explain(setting, seed), asides(setting)
    return replace(found, numbers=found.numbers | numbers, sentences=(*found.sentences, *told))


def _explain(setting: Setting, seed: int) -> Explanation:
    if setting.model.family == "softmax" and setting.training.optimizer.name == "sgd":
        try:
            found = escape(setting, seed=seed)
            predicted = by_escape(setting, found, seed=seed)
        except ValueError as problem:
            return _outside(setting, problem, *_followed(setting, seed))
        regime, numbers, sentences = of_escape(setting, found)
        stages = _stages(predicted)
        slowest = _slowest_of(stages)
        numbers |= {"slowest_stage": slowest.name}
        sentences = (*sentences, _slowest(slowest, "law"))
        return Explanation(setting, regime, numbers, sentences, stages, predicted.trajectories[0], None)
    predicted, followed = _followed(setting, seed)
    told = terms_or_refusal(setting)
    if isinstance(told, ValueError):
        return _outside(setting, told, predicted, followed)
    stages = _stages(predicted)
    slowest = _slowest_of(stages)
    along = path(setting)
    numbers = _numbers(setting, told, along) | {"slowest_stage": slowest.name}
    ratio = told["formation"].delay / told["formation"].slow
    regime = "lag-limited" if abs(ratio) < SHARE else "mixed"
    sentences = (*_by_law(setting, told["formation"], numbers, regime), _slowest(slowest, followed))
    return Explanation(setting, regime, numbers, sentences, stages, predicted.trajectories[0], _manifold(along))


def _followed(setting: Setting, seed: int) -> tuple[Prediction, str]:
    """The mean field, or the corrected one where that has no gradient at the start; and its name."""
    try:
        return mean_field(setting, seed=seed), "mean field"
    except AtSaddle:
        return mean_field_corrected(setting, seed=seed), "corrected mean field"


def _numbers(setting: Setting, told: dict[str, Terms], found: Path) -> dict[str, Any]:
    formed = told["formation"]
    start = setting.model.initialization["match"]
    by: dict[str, float | None] = {
        name: float(e)
        for name, e in elasticities(
            np.array(formed.slow), np.array(formed.delay), np.array(formed.per_start * start)
        ).items()
    }
    by["context, leading form"] = _number(
        leading_exponent(setting.task.prior, np.array(setting.task.context), np.array(formed.log_e))
    )
    limit = plateau(setting.task.prior)
    return {
        "terms": {name: one._asdict() for name, one in told.items()},
        "ratio": formed.delay / formed.slow,
        "moving": formed.delay - formed.start,
        "start_integrated": relaxation_delay(setting),
        "plateau": {
            "match": limit.match.tolist(),
            "match_at_context": found.target[0].tolist(),
            "height": limit.height,
            "excess": limit.excess,
            "A": float(limit.drives[1]),
            "B": limit.offset,
            "drives": limit.drives.tolist(),
        },
        "exponents": by,
    }


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _by_law(setting: Setting, formed: Terms, numbers: dict[str, Any], regime: str) -> tuple[str, ...]:
    flat, by = numbers["plateau"], numbers["exponents"]
    c, omega = flat["match_at_context"]
    drives = flat["drives"]
    order = sorted(range(1, len(drives)), key=lambda r: -drives[r])
    lags = ", ".join(f"lag {r} {drives[r]:.3g}" for r in range(1, len(drives)))
    steps = f"The head forms at step {formed.step:.0f} [{formed.low:.0f}, {formed.high:.0f}]"
    adds = (
        f"slow time {formed.slow:.0f} steps (lag 1 growing while the match keeps to its plateau), "
        f"delay {formed.delay:.0f}, of which {formed.start:.0f} from the start and {numbers['moving']:.0f} from the match moving late; "
        f"with the second order, {formed.step - formed.slow - formed.delay:+.0f}"
    )
    leading = by["context, leading form"]
    growth = (
        ""
        if leading is None
        else f" With the context it goes as T^{leading:.2f} by the leading logarithmic integral, which knows no delay."
    )
    return (
        f"{steps}, by the plateau law: {adds}.",
        f"The plateau lies at C* = {c:.3g}, Ω* = {omega:.3g}, {flat['excess']:.2g} nats above the ideal unigram loss. There lag 1 is driven by "
        f"h = A (ln(T/E) + B) with A = {flat['A']:.3g} nats and B = {flat['B']:.3g} at small E/T.",
        f"Drives A_r: {lags}. Lag {order[0]} leads, {_lead(drives, order)}.",
        f"Exponents d ln t/d ln x: rate of the lag logits {by['learning-rate.lag_logits']:.3f}, rate of the match {by['learning-rate.match']:.3f}, "
        f"start of the match {by['initialization.match']:.3f}, batch 0 (noise neglected).{growth}",
        _regime(regime, numbers["ratio"]),
    )


def _lead(drives: list[float], order: list[int]) -> str:
    second = drives[order[1]]
    return f"{drives[order[0]] / second:.1f} times lag {order[1]}" if second > 0 else "and no other is driven upwards"


def _regime(regime: str, ratio: float) -> str:
    if regime == "lag-limited":
        return (
            f"Lag-limited: the delay is {ratio:.2g} of the slow time. A higher rate of the lag logits shortens the plateau in proportion; "
            "a higher rate of the match or another start hardly changes it."
        )
    return (
        f"Mixed: the delay is {ratio:.2g} of the slow time (the law answers up to 0.7), so both rates count. A higher rate of the match or a longer "
        "context makes it lag-limited; a higher rate of the lag logits, match-limited."
    )


def _outside(setting: Setting, problem: ValueError, predicted: Prediction, followed: str) -> Explanation:
    stages = _stages(predicted)
    slowest = _slowest_of(stages)
    limited = isinstance(problem, MatchLimited)
    regime = "match-limited" if limited else "outside"
    numbers: dict[str, Any] = {"refused": str(problem), "slowest_stage": slowest.name}
    sentences = [f"The plateau law has no terms here: {str(problem).rstrip('.')}."]
    manifold = None
    if limited:
        manifold = _manifold(path(setting))
        formed = law(setting).transitions()[1]
        numbers["planar"] = formed.to_dict()
        sentences.append(
            f"Match-limited: lag 1 outgrows the match, whose rate then sets the time. Followed together, the head forms at step {formed.step:.0f} [{formed.low:.0f}, {formed.high:.0f}]. "
            "A higher rate of the match, a longer context or a lower rate of the lag logits would make it lag-limited."
        )
    sentences += [f"What follows is the {followed}'s.", _slowest(slowest, followed)]
    return Explanation(setting, regime, numbers, tuple(sentences), stages, predicted.trajectories[0], manifold)


def _slowest_of(stages: tuple[Stage, ...]) -> Stage:
    """The longest but for the last, which ends with the run."""
    return max(stages[:-1] or stages, key=lambda stage: stage.end - stage.start)


def _slowest(stage: Stage, of: str) -> str:
    return f"The {of}'s slowest stage is {stage.name}, steps {stage.start:.0f} to {stage.end:.0f}: {stage.tells}."


def _manifold(found: Path) -> Array:
    return np.column_stack([found.log_e, found.target[:, 1]])


def _stages(predicted: Prediction) -> tuple[Stage, ...]:
    """Stages of the first trajectory, ended by its own transitions."""
    one = predicted.trajectories[0]
    passages, formation = one.transitions()
    last = float(one.steps[-1])
    nearest = np.array([one.distances[name] for name in STRATEGIES])
    on_plateau = _settles(one.steps, one.distances["unigram"])
    ends = [
        (
            "start",
            passages[0].step if passages[0].step is not None else on_plateau,
            "the match relaxes towards the unigram plateau",
        ),
        ("plateau", formation.step, "lag 1 has yet to take its share of attention, and the loss hardly falls"),
        ("escape", passages[-1].step, "lag 1 holds a share of attention and the match grows with it"),
        (
            "end",
            last,
            f"nearest to {STRATEGIES[int(nearest[:, -1].argmin())]}; what remains of the loss is learnt slowly",
        ),
    ]
    stages, begin = [], 0.0
    for name, reached, tells in ends:
        end = last if reached is None else float(reached)  # what is never reached lasts to the end
        if end > begin:
            stages.append(Stage(name, begin, end, tells))
            begin = end
    return tuple(stages)


def _settles(steps: Array, distance: Array) -> float:
    """First step at which the distance has covered `CLOSE` of its way down to its least value."""
    low = distance.min()
    return float(steps[int(np.argmax(distance <= low + (1 - CLOSE) * (distance[0] - low)))])
