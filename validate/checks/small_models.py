"""Small float64 models, batches and all sequences of a length: what checks by automatic differentiation share."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from onset.theory.arrays import Array
from onset.theory.derivations.derivation import Residual
from onset.theory.markov.chains import stationary
from onset.theory.setting import Setting

__all__ = [
    "CASES",
    "EPS",
    "derivative",
    "distinct_model",
    "every_sequence",
    "gradient_rounding",
    "one_thread",
    "random_batch",
    "reduced_loss",
    "weighted_loss",
]

EPS = float(np.finfo(np.float64).eps)
"""Rounding error of float64."""

CASES = tuple(itertools.product(("linear", "softmax"), (2, 3, 4)))
"""Families and numbers of states."""


def one_thread(check: Callable[..., Residual]) -> Callable[..., Residual]:
    """Run a check on one thread: its tensors are small, and on a shared machine threads mostly wait for each other."""

    @wraps(check)
    def run(*equations: Any, **labelled: Any) -> Residual:
        import torch

        from onset.simulate.threads import start_pool

        start_pool()
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return check(*equations, **labelled)
        finally:
            torch.set_num_threads(before)

    return run


def weighted_loss(model: Any, parameters: dict[str, Any], tokens: Any, targets: Any) -> Any:
    """Sum over sequences of the loss per position; targets (n, T, k) are weights of sequences and next tokens."""
    import torch

    logits = torch.func.functional_call(model, parameters, (tokens,))
    return -(targets * logits.log_softmax(dim=-1)).sum() / tokens.shape[1]


def random_batch(setting: Setting, count: int, *, closed: bool = True) -> tuple[Any, Any]:
    """Random tokens (n, T) and one-hot targets (n, T, k)/n; if `closed`, with all relabellings of every sequence."""
    import torch

    tokens = np.random.default_rng(11).integers(setting.task.states, size=(count, setting.task.context + 1))
    if closed:
        tokens = np.concatenate(
            [np.array(order)[tokens] for order in itertools.permutations(range(setting.task.states))]
        )
    targets = np.eye(setting.task.states)[tokens[:, 1:]] / len(tokens)
    return torch.from_numpy(tokens[:, :-1]), torch.from_numpy(targets)


def distinct_model(setting: Setting, off: float = 0.0) -> Any:
    """A float64 model with matrices in span{I, 11ᵀ}, one entry of each moved by `off`, and distinct lag logits."""
    import torch

    from onset.validate.models.toy import Toy

    model = Toy(setting).double()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name == "lag_logits":
                value.copy_(torch.linspace(0.5, -0.5, len(value)))
            else:
                value.copy_(0.3 + 0.5 * torch.eye(setting.task.states))
                value[0, 1] += off
    return model


def gradient_rounding(setting: Setting, count: int) -> float:
    """Rounding error of a gradient's entry: a sum over tokens of terms up to T (linear: one per source) or 1."""
    terms = setting.task.context if setting.model.family == "linear" else 1
    return EPS * count * setting.task.context * terms


def every_sequence(states: int, context: int) -> tuple[Any, Any, Array, Array]:
    """All sequences, with targets for a mixture of eight chains.

    Returns
    -------
    tokens : tensor, shape (k^T, T)
    targets : tensor, shape (k^T, T, k)
        Probability of each sequence times that of the next token, averaged over the chains.
    chains : array, shape (8, k, k)
    weights : array, shape (8,)
    """
    import torch

    generator = np.random.default_rng(states)
    chains, weights = generator.dirichlet(np.ones(states), size=(8, states)), generator.dirichlet(np.ones(8))
    tokens = np.array(list(itertools.product(range(states), repeat=context)))
    probability = stationary(chains)[:, tokens[:, 0]] * np.prod(chains[:, tokens[:, :-1], tokens[:, 1:]], axis=-1)
    targets = np.einsum("c,cn,cntj->ntj", weights, probability, chains[:, tokens])
    return torch.from_numpy(tokens), torch.from_numpy(targets), chains, weights


def reduced_loss(setting: Setting, tokens: Any, targets: Any) -> tuple[Callable[..., Any], list[Any]]:
    """Loss as a function of ω, c, μ, d and v, and their values at an uninformed start."""
    import torch

    from onset.validate.models.toy import Toy

    model, k = Toy(setting).double(), setting.task.states
    eye, ones = torch.eye(k, dtype=torch.float64), torch.ones(k, k, dtype=torch.float64)

    def loss(omega: Any, c: Any, mu: Any, d: Any, v: Any) -> Any:
        matrices = {"match": omega * eye + c * ones, "readout": mu * eye + d * ones, "lag_logits": v}
        return weighted_loss(model, {name: matrices[name] for name in setting.model.initialization}, tokens, targets)

    start = [torch.zeros((), dtype=torch.float64, requires_grad=True) for _ in range(4)]
    return loss, [*start, torch.zeros(setting.task.context, dtype=torch.float64, requires_grad=True)]


def derivative(value: Any, *by: Any) -> Array:
    """Repeated derivative; all variables but the last are numbers."""
    import torch

    for variable in by:
        (value,) = torch.autograd.grad(value, variable, create_graph=True)
    return value.detach().numpy()
