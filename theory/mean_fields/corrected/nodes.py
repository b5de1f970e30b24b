"""Few matrices that stand for the prior in the softmax family's corrected mean field.

Each costs a recursion along the context.

Before the head has formed the match's gradient is a small difference, most of it made by few chains that mix slowly. So
matrices are drawn out of a rule `LARGE` times as large in proportion to how much they contribute to a few functions,
and their weights are then changed as little as possible until they integrate these functions as the large rule does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from onset.theory.arrays import Array
from onset.theory.markov.expectations import nearest_weights, nodes
from onset.theory.markov.priors import Prior

__all__ = ["chosen_nodes"]

LARGE = 16
"""Size of the rule that matrices are drawn from, relative to their number."""


def chosen_nodes(
    prior: Prior, count: int, functions: Callable[[Array], Array], generator: np.random.Generator | None = None
) -> tuple[Array, Array]:
    """At most `count` matrices (n, k, k) with weights (n,) that sum to one, for k > 2.

    `functions` takes matrices and returns the functions to integrate, (n, m) with m well below `count`.

    Systematic sampling along the large rule, each matrix with probability proportional to its weight times √(1 + its
    functions' mean square), in units of their own mean squares (Madow, Ann. Math. Stat. 20 (1949), 333-354), then
    calibration as `onset.theory.markov.expectations.calibrated_nodes`.
    """
    generator = np.random.default_rng(0) if generator is None else generator
    matrices, weights = nodes(prior, LARGE * count, generator)
    values = functions(matrices)
    size = np.sqrt(weights @ values**2)
    values = values[:, size > 0] / size[size > 0]
    chance = weights * np.sqrt(1 + (values**2).mean(axis=1))
    drawn = (np.arange(count) + generator.random()) / count * chance.sum()
    chosen, times = np.unique(np.minimum(chance.cumsum().searchsorted(drawn), len(weights) - 1), return_counts=True)
    few = times * weights[chosen] / chance[chosen]
    off = values - weights @ values
    off = off[:, np.abs(off).max(axis=0) > 0]
    return matrices[chosen], nearest_weights(few / few.sum(), (off / np.abs(off).max(axis=0))[chosen])
