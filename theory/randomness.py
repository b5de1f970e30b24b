"""Generators of random numbers, from seeds that are checked."""

from __future__ import annotations

import numpy as np

from onset.theory import arguments

__all__ = ["generator"]


def generator(seed: int) -> np.random.Generator:
    """numpy's default generator from a seed; a ``ValueError`` unless it is one (`onset.theory.arguments.seed`)."""
    return np.random.default_rng(arguments.seed("seed", seed))
