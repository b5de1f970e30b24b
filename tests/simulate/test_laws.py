"""onset.simulate.strategies.laws: sparse laws equal the dense laws that they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from onset.simulate.strategies.laws import DenseLaws, SparseLaws

NAMES = ("a", "b", "true")
V, N, T, M = 11, 3, 5, 2


def both(background: bool) -> tuple[SparseLaws, DenseLaws]:
    """Random sparse laws, and the same with every probability written out; without `background`, the true law has atoms
    only.
    """
    generator = np.random.default_rng(0)
    tokens = np.stack([generator.permuted(np.tile(np.arange(V), (N, T, 1)), axis=-1)[..., :M] for _ in NAMES])
    weights = generator.dirichlet(np.ones(M + 1), size=(len(NAMES), N, T))
    if not background:
        weights[-1] /= 1 - weights[-1, ..., :1]
        weights[-1, ..., 0] = 0
    base = generator.dirichlet(np.ones(V), size=len(NAMES))
    rest = weights[..., 0]
    dense = rest[..., None] * base[:, None, None]
    np.put_along_axis(dense, tokens, np.take_along_axis(dense, tokens, -1) + weights[..., 1:], -1)
    return SparseLaws(NAMES, tokens, weights[..., 1:], rest, base), DenseLaws(NAMES, dense)


@pytest.mark.parametrize("background", [True, False])
def test_sparse_laws_equal_dense_ones(background):
    """Entropies, and losses of the strategies under the true law, to rounding."""
    sparse, dense = both(background)
    np.testing.assert_allclose(dense.values.sum(axis=-1), 1, rtol=1e-14)
    np.testing.assert_allclose(sparse.entropies(), dense.entropies(), rtol=1e-13)
    np.testing.assert_allclose(sparse.losses(), dense.losses(), rtol=1e-13)


@pytest.mark.parametrize("background", [True, False])
def test_cross_entropies_with_a_model(background):
    """-Σ_j p_j ln m_j on some sequences, sparse against dense and against numpy, in single precision."""
    torch = pytest.importorskip("torch")
    from onset.validate.training.held_out import cross_entropies_of

    sparse, dense = both(background)
    log_model = np.log(np.random.default_rng(1).dirichlet(np.ones(V), size=(2, T)))
    expected = -np.einsum("sntj,ntj->snt", dense.values[:, 1:], log_model)
    for laws in (sparse, dense):
        cross_entropies = cross_entropies_of(laws, torch.device("cpu"))
        values = cross_entropies(torch.from_numpy(log_model).float(), slice(1, N))
        np.testing.assert_allclose(values.numpy(), expected, rtol=20 * np.finfo(np.float32).eps)
