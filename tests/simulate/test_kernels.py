"""onset.simulate.finite_context.kernels: the pieces that have a plain counterpart."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from onset.simulate.finite_context import kernels

EPS = np.finfo(float).eps


def test_exponential_is_within_one_rounding_of_the_librarys():
    """A million arguments over the whole range, and the ends: relative error at most 2 ulp; NaN stays."""
    x = -np.concatenate(
        [np.random.default_rng(0).uniform(0, 708, 500_000), np.geomspace(1e-300, 708, 500_000), [0.0, 708.0]]
    )
    result = x.copy()
    kernels._exponentiate(result)
    worst = np.abs(result / np.exp(x) - 1).max() / EPS
    print(f"largest error {worst:.2f} ulp")
    assert worst <= 2
    ends = np.array([np.nan, -np.inf, -1e5])
    kernels._exponentiate(ends)
    assert np.isnan(ends[0])
    np.testing.assert_allclose(ends[1:], np.exp(-708.0), rtol=2 * EPS)


@given(st.integers(1, 2000), st.integers(0, 2**32 - 1))
def test_one_logarithm_for_many(count, seed):
    """Σ ln x of numbers in [1/256, 1] equals the sum of their logarithms to rounding."""
    inverse = np.random.default_rng(seed).uniform(1 / 256, 1, count)
    result = kernels._log_sum(inverse)
    assert abs(result + np.log(inverse).sum()) <= 4 * EPS * count * np.log(256)
