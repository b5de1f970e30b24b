r"""Statistics of weights alone: whether heads copy, and whether earlier heads tell them where to look.

With the embedding E (V × d), unembedding U (V × d), and a head's maps Q, K, V, O applied from the right, without norms:

    OV eigenvalues   Σλ/Σ|λ| over the eigenvalues λ of E V O Uᵀ, what attending to a token adds to each logit: 1 for
                     a head that copies every direction, -1 for one that suppresses it, about 0 by chance. E and U are
                     taken less their means over tokens: what all tokens share tells none from another, and would give
                     one large eigenvalue whatever the tokens.
    QK trace         with M = E Q Kᵀ Wᵀ Eᵀ, W = Σ_e a_e V_e O_e over the heads of earlier layers, weighted by their
                     previous-token scores a_e: M_ac is what the score of a source with previous token c gets from
                     a query a. The mean of M_aa above that of all M_ac, in standard deviations of the M_ac less row
                     and column means: 0 by chance, whatever the scale.
    K-composition    ‖V_e O_e K Qᵀ‖/(‖V_e O_e‖ ‖K Qᵀ‖) of an earlier head e and a later one, Frobenius norms (Elhage
                     et al., A Mathematical Framework for Transformer Circuits, 2021): 1/√d for random maps.

The first two are after Olsson et al. (arXiv 2209.11895), whose trace is not normalised. Both are refined by their
control: the same statistic with the tokens of one side permuted at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from onset.validate.inspection.inspectable import HeadWeights, Inspectable, by_layer

__all__ = ["Circuits", "k_composition", "ov_eigenvalues", "previous_keys", "qk_traces"]


@dataclass(frozen=True)
class Circuits:
    """Weights of a model, read once.

    Attributes
    ----------
    embedding, unembedding : tensor, shape (vocabulary, d)
    heads : list of HeadWeights
        Of each layer, in double precision.
    """

    embedding: Tensor
    unembedding: Tensor
    heads: list[HeadWeights]

    @classmethod
    @torch.no_grad()
    def of(cls, model: Inspectable, tokens: Tensor | None = None) -> Circuits:
        """Weights of a model, over all tokens or some.

        Raises
        ------
        ValueError
            If queries, keys or values are not linear in the stream.
        """
        chosen = slice(None) if tokens is None else tokens
        embedding, unembedding = (m.detach()[chosen] for m in (model.embedding_matrix, model.unembedding_matrix))
        heads = [HeadWeights(*(m.double() for m in model.head_weights(n))) for n in range(len(model.heads))]
        return cls(embedding, unembedding, heads)

    def over(self, tokens: Tensor) -> Circuits:
        """The same for fewer tokens."""
        return Circuits(self.embedding[tokens], self.unembedding[tokens], self.heads)

    def written(self, layer: int) -> Tensor:
        """V O of each head of a layer, shape (H, d, d)."""
        return self.heads[layer].value @ self.heads[layer].output


def _centred(matrix: Tensor) -> Tensor:
    """Rows less their mean, in double precision."""
    matrix = matrix.double()
    return matrix - matrix.mean(dim=0)


def ov_eigenvalues(circuits: Circuits, permutation: Tensor | None = None) -> Tensor:
    """Σλ/Σ|λ| of each head, shape (layers, most heads of a layer); of the control for a permutation of the tokens."""
    embedding, unembedding = _centred(circuits.embedding), _centred(circuits.unembedding)
    between = (unembedding if permutation is None else unembedding[permutation]).mT @ embedding
    layers = []
    for weights in circuits.heads:
        eigenvalues = torch.linalg.eigvals(weights.output @ between @ weights.value)
        total = eigenvalues.abs().sum(dim=-1)
        # a head without output copies nothing
        layers.append(eigenvalues.sum(dim=-1).real / torch.where(total > 0, total, 1))
    return by_layer(layers)


def previous_keys(circuits: Circuits, previous_token: Sequence[Tensor] | Tensor) -> list[Tensor]:
    """W K of each head, (H, d, width of a head) by layer: its keys' maps of what previous-token heads have written.

    Parameters
    ----------
    circuits : Circuits
    previous_token : tensor, shape (layers, most heads of a layer)
        Scores of the heads; negative ones count as zero.
    """
    keys, written = [], torch.zeros_like(circuits.written(0)[0])
    for layer, weights in enumerate(circuits.heads):
        keys.append(written @ weights.key)
        shares = torch.as_tensor(previous_token[layer])[: len(weights.query)].to(written).clamp(min=0)
        written = written + torch.einsum("h,hde->de", shares, circuits.written(layer))
    return keys


def qk_traces(circuits: Circuits, keys: Sequence[Tensor], *permutations: Tensor) -> Tensor:
    """QK trace of each head, shape (1 + n, layers, most heads of a layer); NaN in the first layer.

    Parameters
    ----------
    circuits : Circuits
    keys : sequence of tensor
        As `previous_keys` gives them.
    *permutations : tensor, shape (vocabulary,)
        Of the tokens of the query, for n controls, which come after the trace itself.
    """
    centred = _centred(circuits.embedding)
    gram, number = centred.mT @ centred, len(centred)
    crosses = [gram, *(centred.mT @ centred[permutation] for permutation in permutations)]
    layers = [keys[0].new_full((len(keys[0]), len(crosses)), torch.nan)]
    # M of centred tokens is query @ left @ right.mT @ centred.mT, with left and right of the head's width.
    for left, right in zip((weights.query for weights in circuits.heads[1:]), keys[1:], strict=True):
        squares = ((left.mT @ gram @ left) * (right.mT @ gram @ right)).sum(dim=(-2, -1))
        deviation = squares.clamp(min=0).sqrt() / number
        diagonal = torch.stack([((cross @ left) * right).sum(dim=(-2, -1)) for cross in crosses], dim=1)
        layers.append(diagonal / number / torch.where(deviation > 0, deviation, 1)[:, None])
    return by_layer(layers).permute(2, 0, 1)


def k_composition(circuits: Circuits, earlier: tuple[int, int]) -> Tensor:
    """K-composition of each head with an earlier one, (layer, head); NaN up to its layer."""
    layer, head = earlier
    value, output = circuits.heads[layer].value[head], circuits.heads[layer].output[head]
    size = _norm(value, output.mT)
    layers = []
    for number, weights in enumerate(circuits.heads):
        if number <= layer:
            layers.append(value.new_full((len(weights.query),), torch.nan))
            continue
        composed = _norm(value.expand(len(weights.key), -1, -1), weights.query @ (output @ weights.key).mT)
        layers.append(composed / size / _norm(weights.key, weights.query))
    return by_layer(layers)


def _norm(left: Tensor, right: Tensor) -> Tensor:
    """Frobenius norms of left @ rightᵀ, for (…, d, w) each."""
    return ((left.mT @ left) * (right.mT @ right)).sum(dim=(-2, -1)).clamp(min=0).sqrt()
