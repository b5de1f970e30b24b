r"""What sets the wait of the softmax family under SGD, in numbers and words: push, kick, drive and bend of `onset.theory.laws.softmax`."""

from __future__ import annotations

from typing import Any

import numpy as np

from onset.theory.laws.softmax import Escape
from onset.theory.setting import Setting

__all__ = ["of_escape"]


def of_escape(setting: Setting, found: Escape) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """Regime, plain numbers and sentences. ``pushed`` if the push alone would move lag 1 within an e-fold of the growth, else ``amplified``."""
    gain = float(found.drives[1])
    gamma = found.push / gain
    rate, k = setting.training.optimizer.learning_rate, setting.task.states
    fold = 1 / (gain * np.sqrt(rate["match"] / (k - 1) * rate["lag_logits"]))
    regime = "pushed" if gamma >= 1 else "amplified"
    numbers = {
        "escape": {
            "steps": found.steps,
            "error": found.error,
            "second_order": found.second,
            "push": found.push,
            "drives": found.drives.tolist(),
            "gamma": gamma,
            "e_fold": float(fold),
            "settle": found.settle,
            "kick": found.kick,
            "frozen": found.frozen,
            "readout": found.readout,
            "match": found.match,
        }
    }
    order = sorted(range(len(found.drives)), key=lambda r: -found.drives[r])
    drives = ", ".join(f"lag {r} {found.drives[r]:.2g}" for r in range(len(found.drives)))
    closed = (
        "the push is downwards: only the kick leads out"
        if found.frozen is None
        else f"the closed form with lag 1 alone and its drive frozen says {found.frozen:.0f}"
    )
    which = (
        f"Amplified: the push is {gamma:.2g} of the drive, so that the wait is some e-folds of {fold:.0f} steps and goes as ln(D/g); a shorter context takes from the push and waits longer, until it is trapped."
        if regime == "amplified"
        else f"Pushed: the push is {gamma:.2g} of the drive, and the match has grown before lag 1 amplifies it; a longer context weakens push and drive alike, like ln²T/T."
    )
    sentences = (
        f"The head forms at step {found.steps:.0f} ± {2 * found.error:.0f} (two standard errors of the sampled coefficients), by the plateau law of the softmax family; its second order in the match adds {found.second:.0f} of them, and {closed}.",
        f"The read-out settles in {found.settle:.0f} steps. On the plateau the match is pushed by g = {found.push:.3g}, and got a kick of {found.kick:.2g} on the way there, as much as the push gives in {_in_steps(found, setting)} steps.",
        f"Drives D_r = ∂G/∂v_r: {drives}. Lag {order[0]} leads.",
        which,
        "Rates: at a fixed kick the wait goes as (rate of the match × rate of the lag logits)^-1/2. What is common to all entries of a matrix or to all lag logits at the start drops out.",
    )
    return regime, numbers, sentences


def _in_steps(found: Escape, setting: Setting) -> str:
    speed = setting.training.optimizer.learning_rate["match"] / (setting.task.states - 1) * found.push
    return f"{found.kick / speed:.0f}"
