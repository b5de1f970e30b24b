"""The published transformer: its settings, the controls beside it, and the seeds of each suite."""

from __future__ import annotations

from typing import Any

from onset.theory.markov.priors import DoublyStochastic, Mixture, Unigram
from onset.theory.setting import Setting

__all__ = ["EDELMAN", "FEWER", "SEEDS", "memoryless", "mixture", "published"]

EDELMAN = "Edelman, Tsilivis, Edelman, Malach, Goel, arXiv 2402.11004"

SEEDS = {"quick": 2, "standard": 5, "full": 10}
"""Seeds of the published configuration in a suite of each size."""

FEWER = {"standard": 2, "full": 7}
"""Seeds of its variants: one layer, or a frozen layer."""


def published(states: int, **changes: Any) -> Setting:
    """The published configuration at T = 100, recorded every 10 steps and measured on doubly stochastic chains too.

    It trains for 3,000 steps, half as long again as published, so that late seeds make their transition.
    """
    options: dict[str, Any] = {"context": 100, "record_every": 10, "steps": 3000, "whole": True} | changes
    if "prior" not in options and options.get("order", 2) == 2:
        options["tested_on"] = [DoublyStochastic(states)]
    return Setting.of("transformer", states=states, **options)


def mixture(states: int) -> Mixture:
    """The published mixture: three quarters doubly stochastic chains, one quarter unigram chains."""
    return Mixture((DoublyStochastic(states), Unigram(states)), (0.75, 0.25))


def memoryless(states: int) -> Setting:
    """Control with unigram statistics alone to learn: chains whose rows are equal."""
    return published(states, prior=Unigram(states), steps=1600, record_every=40)
