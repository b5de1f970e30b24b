"""Cross-entropies of the laws of `onset.simulate.strategies.laws` with a model, on the device that trains."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from onset.simulate.strategies.laws import DenseLaws, Laws, SparseLaws
from onset.theory.arrays import Array

__all__ = ["LawTensors", "on_device"]


class LawTensors(Protocol):
    """Laws as tensors."""

    def cross_entropies(self, log_model: Tensor, chosen: slice) -> Tensor:
        """-Σ_j p_j ln m_j for each law, shape (S, n, T), of log m (n, T, V) on the `chosen` sequences."""
        ...


class DenseTensors:
    """Laws as probabilities of all tokens."""

    def __init__(self, laws: DenseLaws, device: torch.device) -> None:
        self._values = torch.from_numpy(laws.values.astype(np.float32)).to(device)

    def cross_entropies(self, log_model: Tensor, chosen: slice) -> Tensor:
        return -torch.einsum("sntj,ntj->snt", self._values[:, chosen], log_model)


class SparseTensors:
    """Laws as atoms over a background."""

    def __init__(self, laws: SparseLaws, device: torch.device) -> None:
        def single(values: Array) -> Tensor:
            return torch.from_numpy(values.astype(np.float32)).to(device)

        self._weights, self._rest, self._background = map(single, (laws.weights, laws.rest, laws.background))
        self._tokens = torch.tensor(laws.tokens, device=device)

    def cross_entropies(self, log_model: Tensor, chosen: slice) -> Tensor:
        background = torch.einsum("sj,ntj->snt", self._background, log_model)
        at_atoms = torch.stack([log_model.gather(-1, tokens) for tokens in self._tokens[:, chosen]])
        return -(self._rest[:, chosen] * background + (self._weights[:, chosen] * at_atoms).sum(dim=-1))


def on_device(laws: Laws, device: torch.device) -> LawTensors:
    """`laws` as tensors in single precision."""
    if isinstance(laws, SparseLaws):
        return SparseTensors(laws, device)
    if isinstance(laws, DenseLaws):
        return DenseTensors(laws, device)
    raise TypeError(f"laws of type {type(laws).__name__}: expected DenseLaws or SparseLaws.")
