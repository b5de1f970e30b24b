"""Measurements of a model along training, on held-out sequences that each seed draws for itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from onset.simulate.strategies.laws import DenseLaws, Laws, SparseLaws
from onset.simulate.tasks import sampler
from onset.theory.arrays import Array
from onset.theory.recording import Measurement
from onset.theory.setting import Setting
from onset.theory.tasks import Task
from onset.validate.inspection.in_context import in_context_scores
from onset.validate.inspection.inspectable import Inspectable, record
from onset.validate.inspection.order_parameters import effective_order_parameters
from onset.validate.inspection.scores import head_scores, targets_on
from onset.validate.models import Model
from onset.validate.store.probes import SCORES

__all__ = ["HELD_OUT", "HeldOut", "cross_entropies_of"]

HELD_OUT = 512
"""Held-out sequences of a run; each seed draws its own, so that intervals over seeds contain their sampling error."""

LARGEST_VOCABULARY = 256
"""Largest vocabulary for copying, which has an entry for each pair of tokens."""

MOST_SYMBOLS = 16
"""Largest vocabulary for order parameters, which take a backward pass for each token: those of chains."""

FORWARD_BATCH = 64
"""Sequences in one forward pass, about as many as in a training step: larger tensors would only take more memory."""


def cross_entropies_of(laws: Laws, device: torch.device) -> Callable[[Tensor, slice], Tensor]:
    """A function that returns -Σ_j p_j ln m_j for each law p, shape (S, n, T), in single precision.

    Its arguments are the model's log m (n, T, V) and the slice of the n sequences among those of `laws`.
    """

    def single(values: Array) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(device)

    if isinstance(laws, DenseLaws):
        probabilities = single(laws.values)
        return lambda log_model, rows: -torch.einsum("sntj,ntj->snt", probabilities[:, rows], log_model)
    if isinstance(laws, SparseLaws):
        weights, rest, background = map(single, (laws.weights, laws.rest, laws.background))
        atoms = torch.tensor(laws.tokens, device=device)

        def sparse(log_model: Tensor, rows: slice) -> Tensor:
            at_background = torch.einsum("sj,ntj->snt", background, log_model)
            at_atoms = torch.stack([log_model.gather(-1, tokens) for tokens in atoms[:, rows]])
            return -(rest[:, rows] * at_background + (weights[:, rows] * at_atoms).sum(dim=-1))

        return sparse
    raise TypeError(f"laws of type {type(laws).__name__}: expected DenseLaws or SparseLaws.")


class HeldOutSequences:
    """Held-out sequences of a task, with the laws of its strategies on them."""

    def __init__(self, task: Task, generator: np.random.Generator, device: torch.device) -> None:
        source = sampler(task)
        sample = source.held_out(HELD_OUT, generator)
        laws, scored = source.laws(sample), task.scored
        entropies = laws.entropies()[..., scored]
        self.tokens = torch.from_numpy(sample.tokens[:, :-1].astype(np.int64)).to(device)
        self.masks = {name: torch.from_numpy(mask).to(device) for name, mask in source.masks(sample).items()}
        self.strategies = task.strategies
        self._answers = torch.from_numpy(sample.tokens[:, 1:].astype(np.int64)).to(device) if task.has_answers else None
        self._cross_entropies = cross_entropies_of(laws, device)
        self._scored = None if scored.all() else torch.from_numpy(np.flatnonzero(scored)).to(device)
        self._entropy = entropies.mean(axis=1)
        self._strategy_losses = laws.losses()[..., scored].mean(axis=-1)

    def cross_entropies(self, model: Model) -> Tensor:
        """Cross-entropy of each strategy's law and of the true one with the model, shape (S, n, scored positions)."""
        return self.passed(model)[0]

    def passed(self, model: Model) -> tuple[Tensor, Array | None]:
        """`cross_entropies`, and the share of right answers at each scored position, if the task has answers."""
        batches, hits = [], []
        for first in range(0, HELD_OUT, FORWARD_BATCH):
            rows = slice(first, first + FORWARD_BATCH)
            log_model = F.log_softmax(model(self.tokens[rows]).float(), dim=-1)
            batches.append(self._at_scored(self._cross_entropies(log_model, rows)))
            if self._answers is not None:
                hits.append(self._at_scored(log_model.argmax(dim=-1) == self._answers[rows]))
        accuracy = None if self._answers is None else _numbers(torch.cat(hits).float().mean(dim=0))
        return torch.cat(batches, dim=1), accuracy

    def _at_scored(self, values: Tensor) -> Tensor:
        return values if self._scored is None else values[..., self._scored]

    def distances(self, cross_entropies: Tensor) -> dict[str, float]:
        """KL(strategy ‖ model) over all scored positions, given `cross_entropies`."""
        means = cross_entropies[:-1].mean(dim=-1).double().cpu().numpy().mean(axis=1) - self._entropy[:-1].mean(axis=1)
        return dict(zip(self.strategies, means.tolist(), strict=True))

    def excess(self, losses: Array) -> dict[str, tuple[float, float]]:
        """Mean and standard error of losses (n,) above each strategy's on the same sequences."""
        above = losses - self._strategy_losses
        means, errors = above.mean(axis=1), above.std(axis=1, ddof=1) / np.sqrt(above.shape[1])
        return dict(zip(self.strategies, zip(means.tolist(), errors.tolist(), strict=True), strict=True))

    def by_position(self, cross_entropies: Tensor) -> Array:
        """KL(law ‖ model) at each scored position, for each strategy and the true law, shape (S, scored positions)."""
        return cross_entropies.mean(dim=1).double().cpu().numpy() - self._entropy


class HeldOut:
    """The same held-out sequences for every measurement of a run."""

    def __init__(self, setting: Setting, model: Model, generator: np.random.Generator, device: torch.device) -> None:
        self._parts = setting.model.parts
        self._by_pairs = setting.task.vocabulary <= LARGEST_VOCABULARY
        self._by_symbols = setting.task.vocabulary <= MOST_SYMBOLS
        self._sequences = HeldOutSequences(setting.task, generator, device)
        self._variants = [HeldOutSequences(variant, generator, device) for variant in setting.task.variants]
        inspected = self._sequences.tokens[:FORWARD_BATCH]
        # A task in whose sequences no token repeats has fewer scores.
        self._targets = targets_on(inspected, where_any=True) if isinstance(model, Inspectable) else None
        self._start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}

    @torch.no_grad()
    def measure(self, model: Model) -> Measurement:
        """Loss (the next token averaged out), distances to the strategies, layer-1 attention, excess losses, probes."""
        sequences = self._sequences
        cross_entropies, accuracy = sequences.passed(model)
        losses = cross_entropies[-1].mean(dim=-1).double().cpu().numpy()
        by_position = _numbers(cross_entropies[-1].mean(dim=0))
        by_law = sequences.by_position(cross_entropies)
        probes = {"last": by_law[:, -1], "in_context": in_context_scores(by_position)}
        if self._targets is not None and isinstance(model, Inspectable):
            probes["loss_at"] = by_position
            probes |= {name: _numbers(cross_entropies[-1][mask].mean()) for name, mask in sequences.masks.items()}
            activations = record(model, sequences.tokens[:FORWARD_BATCH], "streams", "scores", "patterns")
            if self._by_symbols:
                parameters = effective_order_parameters(model, activations)
                probes |= {name: _numbers(value) for name, value in parameters.items()}
            scores = head_scores(model, activations, self._targets, weights=self._by_pairs)
            probes["head_score"] = _numbers(torch.stack([scores[name] for name in SCORES]))
            probes["movement"] = self._movement(model)
        if self._variants:
            values, accuracies = zip(*(variant.passed(model) for variant in self._variants), strict=True)
            others = [known.by_position(value) for known, value in zip(self._variants, values, strict=True)]
            probes["tested_on"] = np.array([distances[-1, -1] for distances in others])
            probes["set_distance"] = np.array([by_law, *others])
            accuracy = None if accuracy is None else np.array([accuracy, *accuracies])
        if accuracy is not None:
            probes["accuracy"] = np.atleast_2d(accuracy)
        attention = _numbers(model.lag_attention(sequences.tokens))
        excess = sequences.excess(losses)
        return Measurement(float(losses.mean()), sequences.distances(cross_entropies), attention, excess, probes)

    def _movement(self, model: Model) -> Array:
        """Root mean square change of the parameters of each part since the start."""
        changes: dict[str, list[Tensor]] = {part: [] for part in self._parts}
        for name, parameter in model.named_parameters():
            changes[model.part(name)].append((parameter - self._start[name]).flatten())
        return np.array([float(torch.cat(change).square().mean().sqrt()) for change in changes.values()])


def _numbers(tensor: Tensor) -> Array:
    """A copy in double precision that does not share the tensor's memory."""
    return tensor.double().cpu().numpy().copy()
