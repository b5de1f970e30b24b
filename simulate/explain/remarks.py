"""Further statements on a setting: bounds of the wait under Adam, the match of mixtures with unigram chains."""

from __future__ import annotations

from typing import Any

import numpy as np

from onset.theory.laws.mixture import balance
from onset.theory.markov.priors import DoublyStochastic, Mixture, Unigram
from onset.theory.setting import Setting
from onset.theory.transitions import FORMATION_LEVEL

__all__ = ["remarks"]


def remarks(setting: Setting) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Plain numbers and sentences; nothing for settings without Adam and mixtures."""
    numbers: dict[str, Any] = {}
    sentences = []
    if setting.training.optimizer.name == "adam":
        rate = setting.training.optimizer.learning_rate["lag_logits"]
        latest = float(np.log(setting.task.context / (1 / FORMATION_LEVEL - 1)) / rate)
        numbers["adam"] = {"earliest": latest / 2, "latest": latest}
        sentences.append(
            f"Under Adam lag 1 climbs by its rate whatever its drive is: once the match has settled, {latest / 2:.0f} "
            f"steps to formation if the other lags fall as fast (no noise), {latest:.0f} if noise holds them; a "
            "logarithm of T over the rate. `--method law` integrates the noise."
        )
    weight = _doubly_stochastic_share(setting)
    if weight is not None and setting.model.family == "linear":
        rest = balance(setting.task.states, setting.task.context, weight)
        numbers["mixture"] = vars(rest)
        above, effect = "below", "drives lag 1 down: no head forms from it"
        if weight > rest.critical:
            above, effect = "above", "drives lag 1 upwards"
        sentences.append(
            f"Unigram chains hold the match at Ω = {rest.match:.2g} (quadratic loss; alone {rest.unigram_match:.2g}), "
            f"against the push {rest.push:.2g} of the doubly stochastic ones. Their share {weight:.2g} is {above} the "
            f"critical {rest.critical:.2g}, so that the plateau {effect}."
        )
    return numbers, tuple(sentences)


def _doubly_stochastic_share(setting: Setting) -> float | None:
    """Share of doubly stochastic chains in a mixture of them with flat unigram ones; None for other priors."""
    prior = setting.task.prior
    if not isinstance(prior, Mixture):
        return None
    shares = dict(zip(prior.components, prior.weights, strict=True))
    doubly_stochastic, unigram = DoublyStochastic(prior.states), Unigram(prior.states)
    return shares[doubly_stochastic] if set(shares) == {doubly_stochastic, unigram} else None
