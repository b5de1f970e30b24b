"""onset.theory.derivations.adam_law: the profiles of noise and loss."""

from __future__ import annotations

import numpy as np

from onset.theory.derivations import adam_law


def test_profile_by_the_letter():
    """Plain loops over sources; lags that no source has do not contribute, lag 0 of the first source has no choice."""
    lag_logits = np.array([0.3, 1.2, -0.4, 0.0, 0.7])
    expected = np.zeros(5)
    for source in range(1, 6):
        weight = np.exp(lag_logits[:source])
        share = weight / weight.sum()
        expected[:source] += (share * (1 - share)) ** 2 * (6 - source) / 5
    np.testing.assert_allclose(adam_law.profiles(lag_logits, 2)[0], expected, rtol=1e-14)


def test_loss_profile_by_the_letter():
    """Minus the derivative of the attention to the first two lags, by central differences, per query."""
    lag_logits, step = np.array([0.3, 1.2, -0.4, 0.0, 0.7]), 1e-5
    queries = (6 - np.arange(1, 6)) / 5

    def gained(logits):
        weights = [np.exp(logits[:source]) for source in range(1, 6)]
        return np.array([weight[:2].sum() / weight.sum() for weight in weights]) @ queries

    expected = [-(gained(lag_logits + step * e) - gained(lag_logits - step * e)) / (2 * step) for e in np.eye(5)[2:]]
    np.testing.assert_allclose(adam_law.profiles(lag_logits, 2)[1], expected, rtol=step)
