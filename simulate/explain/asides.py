r"""What else the theory says of a setting: under Adam the bounds of its wait, for mixtures with unigram chains where the match rests."""

from __future__ import annotations

from typing import Any

import numpy as np

from onset.theory.laws.mixture import balance
from onset.theory.markov.priors import DoublyStochastic, Mixture, Unigram
from onset.theory.setting import Setting
from onset.theory.transitions import FORMATION_LEVEL

__all__ = ["asides"]


def asides(setting: Setting) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Plain numbers and sentences; nothing where neither applies."""
    numbers: dict[str, Any] = {}
    told = []
    if setting.training.optimizer.name == "adam":
        rate = setting.training.optimizer.learning_rate["lag_logits"]
        last = float(np.log(setting.task.context / (1 / FORMATION_LEVEL - 1)) / rate)
        numbers["adam"] = {"earliest": last / 2, "latest": last}
        told.append(
            f"Under Adam lag 1 climbs by its rate whatever its drive is: once the match has settled, {last / 2:.0f} steps to formation if the other lags fall as fast "
            f"(no noise), {last:.0f} if noise holds them; a logarithm of T over the rate. `--method law` integrates the noise."
        )
    weight = _share(setting)
    if weight is not None and setting.model.family == "linear":
        found = balance(setting.task.states, setting.task.context, weight)
        numbers["mixture"] = vars(found)
        where = "drives lag 1 upwards" if weight > found.critical else "drives lag 1 down: no head forms from it"
        told.append(
            f"Unigram chains hold the match at Ω = {found.match:.2g} (quadratic loss; alone {found.own:.2g}), against the push {found.push:.2g} of the doubly stochastic ones. "
            f"Their share {weight:.2g} is {'above' if weight > found.critical else 'below'} the critical {found.critical:.2g}, so that the plateau {where}."
        )
    return numbers, tuple(told)


def _share(setting: Setting) -> float | None:
    """The share of doubly stochastic chains, of a mixture of them with flat unigram ones."""
    prior = setting.task.prior
    if not isinstance(prior, Mixture):
        return None
    shares = dict(zip(prior.components, prior.weights, strict=True))
    doubly, unigram = DoublyStochastic(prior.states), Unigram(prior.states)
    return shares[doubly] if set(shares) == {doubly, unigram} else None
