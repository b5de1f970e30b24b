"""Checks of "third-order": the second head's signals with the trained model's own mixed derivatives."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from onset.theory.arrays import Array
from onset.theory.derivations.derivation import Residual, check
from onset.theory.derivations.scores import all_zero, standard_scores
from onset.theory.setting import Setting
from onset.validate.checks.small_models import one_thread

__all__ = ["CHECKS"]

GROUPS, SEQUENCES = 32, 48
"""Groups behind a standard error, and sequences of each chain in one."""

READOUT = 2.0
"""μ, beyond the small values of the signals' derivation."""


def _drives(context: int, chains: Array, readout: float, generator: np.random.Generator) -> Array:
    """-T ∂²L/∂ω_2∂v²_r of the last position, lags 0 … 4, on fresh sequences; the first head holds lag 1."""
    import torch

    from onset.simulate.tasks.markov_chains import MarkovSample, next_rows, tokens_from_uniforms
    from onset.theory.markov.chains import history_law
    from onset.validate.models.ngram_toy import NgramToy

    transition = np.repeat(chains, SEQUENCES, axis=0)
    law = history_law(transition)
    tokens = tokens_from_uniforms(transition, law, generator.random((len(transition), context + 1)))
    rows = torch.from_numpy(next_rows(MarkovSample(tokens, transition, law))[:, -1])
    model, eye = NgramToy(Setting.of("softmax", order=3, context=context)).double(), torch.eye(2, dtype=torch.float64)
    lags = torch.zeros(2, context, dtype=torch.float64)
    lags[0, 1] = 40.0
    lags.requires_grad_()
    second = torch.zeros((), dtype=torch.float64, requires_grad=True)
    values = {"match": torch.stack([20 * eye, second * eye]), "lag_logits": lags, "readout": readout * eye}
    logits = torch.func.functional_call(model, values, (torch.from_numpy(tokens[:, :-1]).long(),))[:, -1]
    loss = -(rows * logits.log_softmax(dim=-1)).sum() / len(tokens)
    (slope,) = torch.autograd.grad(loss, second, create_graph=True)
    (mixed,) = torch.autograd.grad(slope, lags)
    return -context * mixed[1, :5].numpy()


@cache
def _growths() -> tuple[Array, Array]:
    """The chains, and the growth of their drives over T = 64, …, 128, shape (groups, lags)."""
    chains = np.random.default_rng(5).dirichlet(np.full(2, 2.0), size=(4, 4))
    drives = [
        [_drives(context, chains, READOUT, generator) for context in (64, 128)]
        for generator in np.random.default_rng(7).spawn(GROUPS)
    ]
    return chains, np.diff(drives, axis=1)[:, 0]


@check(
    r"$S_r$ with the growth over $T = 64, \dots, 128$ of the trained model's own mixed derivative by $\omega_2$ and "
    "$v^2_r$, autograd, four chains"
)
@one_thread
def _second_head(statement: Any) -> Residual:
    """T × drive is μ S_r (ln T + const) + O(ln T / T): its growth over a doubling of T with μ S_r ln 2."""
    from onset.theory.derivations import third_order
    from onset.theory.markov.chains import block_law

    chains, growths = _growths()
    model = np.exp(READOUT * block_law(chains, 3).sum(axis=1) / block_law(chains, 2).sum(axis=1)[:, :, None])
    model /= model.sum(axis=2, keepdims=True)
    expected = READOUT * third_order.signals(chains, np.full(4, 0.25), model, 5, statement.rhs) * np.log(2)
    return all_zero(standard_scores(growths - expected), GROUPS - 1)


CHECKS = (_second_head,)
