"""What sets the wait of the softmax family under SGD: push, kick, drive and bend of `onset.theory.laws.softmax`."""

from __future__ import annotations

import math

from onset.simulate.explain.explanation import Explanation
from onset.theory.laws.softmax import Escape
from onset.theory.prediction import Prediction

__all__ = ["explain_escape"]


def explain_escape(escaped: Escape, prediction: Prediction) -> Explanation:
    """The explanation of a prediction by the plateau law of the softmax family.

    ``pushed`` if the push alone moves lag 1 within an e-fold of the growth, else ``amplified``.
    """
    drives, push = escaped.drives.tolist(), escaped.push
    gamma = push / drives[1]
    rate, k = prediction.setting.training.optimizer.learning_rate, prediction.setting.task.states
    match_rate = rate["match"] / (k - 1)
    e_fold = 1 / (drives[1] * math.sqrt(match_rate * rate["lag_logits"]))
    numbers = {
        "escape": {
            "steps": escaped.steps,
            "error": escaped.error,
            "second_order": escaped.second,
            "push": push,
            "drives": drives,
            "gamma": gamma,
            "e_fold": e_fold,
            "settle": escaped.settle,
            "kick": escaped.kick,
            "frozen": escaped.frozen,
            "readout": escaped.readout,
            "match": escaped.match,
        }
    }
    closed_form = "the push is downwards: only the kick leads out"
    if escaped.frozen is not None:
        closed_form = f"the closed form with lag 1 alone and its drive frozen says {escaped.frozen:.0f}"
    steps_of_push = escaped.kick / (match_rate * push)
    as_steps = f"as much as the push gives in {steps_of_push:.0f} steps"
    if steps_of_push < 0:
        as_steps = f"against the push, which makes up for it in {-steps_of_push:.0f} steps"
    listed = ", ".join(f"lag {r} {drive:.2g}" for r, drive in enumerate(drives))
    regime = "pushed" if gamma >= 1 else "amplified"
    meaning = {
        "pushed": f"Pushed: the push is {gamma:.2g} of the drive, and the match has grown before lag 1 amplifies it; a "
        "longer context weakens push and drive alike, like ln²T/T.",
        "amplified": f"Amplified: the push is {gamma:.2g} of the drive, so that the wait is some e-folds of "
        f"{e_fold:.0f} steps and goes as ln(D/g); a shorter context takes from the push and waits for more of them, "
        "until it is trapped.",
    }[regime]
    sentences = (
        f"The head forms at step {escaped.steps:.0f} ± {2 * escaped.error:.0f} (two standard errors of the sampled "
        "coefficients), by the plateau law of the softmax family; its second order in the match adds "
        f"{escaped.second:.0f} of them, and {closed_form}.",
        f"The read-out settles in {escaped.settle:.0f} steps. On the plateau the match is pushed by g = {push:.3g}, "
        f"and got a kick of {escaped.kick:.2g} on the way there, {as_steps}.",
        f"Drives D_r = ∂G/∂v_r: {listed}. Lag {drives.index(max(drives))} leads.",
        meaning,
        "Rates: at a fixed kick the wait goes as (rate of the match × rate of the lag logits)^-1/2. What is common to "
        "all entries of a matrix or to all lag logits at the start drops out.",
    )
    return Explanation.of(regime, numbers, sentences, prediction, "law")
