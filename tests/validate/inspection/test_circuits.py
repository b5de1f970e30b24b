"""onset.validate.inspection.circuits: statistics of weights, against the matrices they stand for."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from onset.validate.inspection.circuits import Circuits, k_composition, ov_eigenvalues, previous_keys, qk_traces
from onset.validate.inspection.inspectable import HeadWeights

VOCABULARY, WIDTH, HEAD = 40, 8, 3


def random_heads(number: int, seed: int) -> HeadWeights:
    generator = torch.Generator().manual_seed(seed)
    maps = [torch.randn(number, WIDTH, HEAD, generator=generator).double() for _ in range(3)]
    return HeadWeights(*maps, torch.randn(number, HEAD, WIDTH, generator=generator).double())


@pytest.fixture
def circuits() -> Circuits:
    generator = torch.Generator().manual_seed(9)
    embedding, unembedding = (torch.randn(VOCABULARY, WIDTH, generator=generator).double() for _ in range(2))
    return Circuits(embedding + 0.5, unembedding, [random_heads(2, 0), random_heads(3, 1), random_heads(1, 2)])


def test_eigenvalues_are_those_of_the_effect_on_all_logits(circuits):
    values = ov_eigenvalues(circuits)
    assert values.shape == (3, 3)
    assert torch.isnan(values[0, 2])
    effect = circuits.embedding @ circuits.heads[1].value[2] @ circuits.heads[1].output[2] @ circuits.unembedding.T
    effect = effect - effect.mean(dim=0) - effect.mean(dim=1, keepdim=True) + effect.mean()
    eigenvalues = np.linalg.eigvals(effect.numpy())
    assert float(values[1, 2]) == pytest.approx(eigenvalues.sum().real / np.abs(eigenvalues).sum(), abs=1e-10)


def test_what_all_tokens_share_does_not_count(circuits):
    shifted = Circuits(circuits.embedding + 9, circuits.unembedding - 5, circuits.heads)
    torch.testing.assert_close(ov_eigenvalues(shifted), ov_eigenvalues(circuits), equal_nan=True)


def test_a_head_that_copies_has_eigenvalues_of_one_sign():
    """Values and outputs that undo each other, on equal embedding and unembedding: 1, with the sign changed -1."""
    embedding = torch.randn(VOCABULARY, WIDTH, generator=torch.Generator().manual_seed(0)).double()
    value = torch.randn(2, WIDTH, HEAD, generator=torch.Generator().manual_seed(1)).double()
    signs = torch.tensor([1.0, -1.0]).double()[:, None, None]
    weights = HeadWeights(value, value, value, signs * value.mT)
    copying = ov_eigenvalues(Circuits(embedding, embedding, [weights]))
    torch.testing.assert_close(copying, torch.tensor([[1.0, -1.0]]).double())
    # The control: other tokens than the one attended to.
    permutation = torch.randperm(VOCABULARY, generator=torch.Generator().manual_seed(2))
    assert (ov_eigenvalues(Circuits(embedding, embedding, [weights]), permutation).abs() < 0.9).all()


def test_traces_by_the_letter(circuits):
    """Mean diagonal of the doubly centred matrix of scores, in standard deviations of its entries."""
    shares = torch.tensor([[0.7, 0.2, torch.nan], [0.4, -0.3, 0.1], [0.5, torch.nan, torch.nan]]).double()
    permutation = torch.randperm(VOCABULARY, generator=torch.Generator().manual_seed(2))
    traces, control = qk_traces(circuits, previous_keys(circuits, shares), permutation)
    assert torch.isnan(traces[0]).all()
    written = sum(
        max(float(shares[layer, head]), 0.0) * circuits.heads[layer].value[head] @ circuits.heads[layer].output[head]
        for layer, number in ((0, 2), (1, 3))
        for head in range(number)
    )
    weights, embedding = circuits.heads[2], circuits.embedding
    scores = embedding @ weights.query[0] @ weights.key[0].T @ written.T @ embedding.T
    scores = scores - scores.mean(dim=0) - scores.mean(dim=1, keepdim=True) + scores.mean()
    expected = scores.diagonal().mean() / scores.square().mean().sqrt()
    torch.testing.assert_close(traces[2, 0], expected)
    torch.testing.assert_close(control[2, 0], scores[permutation].diagonal().mean() / scores.square().mean().sqrt())


def test_a_head_that_asks_for_its_own_token_has_a_large_trace():
    """A previous-token head that copies tokens, and keys that read them: the score is largest for the same token."""
    embedding = torch.randn(VOCABULARY, WIDTH, generator=torch.Generator().manual_seed(0)).double()
    identity = torch.eye(WIDTH)[None].double()
    heads = [HeadWeights(*(4 * [identity])), HeadWeights(*(4 * [identity]))]
    circuits = Circuits(embedding, embedding, heads)
    permutation = torch.randperm(VOCABULARY, generator=torch.Generator().manual_seed(1))
    matched, control = qk_traces(circuits, previous_keys(circuits, torch.ones(2, 1)), permutation)[:, 1, 0]
    assert matched > 2.0
    assert control.abs() < 0.5
    # Nothing earlier attends to the previous token: nothing to find.
    assert qk_traces(circuits, previous_keys(circuits, torch.zeros(2, 1)))[0, 1, 0] == 0


def test_composition_by_the_letter(circuits):
    values = k_composition(circuits, (0, 1))
    assert torch.isnan(values[0]).all()
    written = circuits.heads[0].value[1] @ circuits.heads[0].output[1]
    asked = circuits.heads[1].key[2] @ circuits.heads[1].query[2].T
    torch.testing.assert_close(values[1, 2], (written @ asked).norm() / written.norm() / asked.norm())
    # Random maps: 1/√d in the mean of squares.
    many = Circuits(circuits.embedding, circuits.unembedding, [random_heads(1, 3), random_heads(2000, 4)])
    squares = k_composition(many, (0, 0))[1].square()
    z = (float(squares.mean()) - 1 / WIDTH) / (float(squares.std()) / len(squares) ** 0.5)
    assert abs(z) < 4, f"z = {z:.1f}"


def test_weights_of_a_model_are_read_for_some_tokens(model):
    if model.shape.positions == "rotary" or model.shape.smeared:
        return
    tokens = torch.tensor([3, 1])
    circuits = Circuits.of(model, tokens)
    torch.testing.assert_close(circuits.embedding, model.embedding_matrix[tokens].detach())
    assert [len(weights.key) for weights in circuits.heads] == list(model.heads)
