"""Checks of "third-order": the second head's signals with the trained model's own mixed derivatives."""

from __future__ import annotations

import numpy as np

from onset.theory.arrays import Array
from onset.theory.derivations.derivation import Check, Outcome
from onset.theory.setting import Setting
from onset.validate.checks.small_models import one_thread

__all__ = ["CHECKS"]

GROUPS, EACH = 32, 48
"""Groups of sequences behind a standard error, and sequences of each chain in one."""


FALSE_ALARM = 1e-4
"""Probability that the check fails by chance, over all lags."""


def _drives(context: int, chains: Array, readout: float, generator: np.random.Generator) -> Array:
    """-T ∂²L/∂ω_2∂v²_r of the last position, the first head on lag 1 with a strong match, lags 0 … 4, on fresh sequences."""
    import torch

    from onset.simulate.tasks.markov_chains import MarkovSample, next_rows, tokens_from_uniforms
    from onset.theory.markov.chains import history_law
    from onset.validate.models.ngram_toy import NgramToy

    transition = np.repeat(chains, EACH, axis=0)
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


@one_thread
def _second_head() -> Outcome:
    """T × drive is μ S_r (ln T + const) + O(ln T / T): its growth over a doubling of T with μ S_r ln 2."""
    from scipy.stats import t as student

    from onset.theory.derivations import third_order
    from onset.theory.markov.chains import block_law

    readout, chains = 2.0, np.random.default_rng(5).dirichlet(np.full(2, 2.0), size=(4, 4))
    model = np.exp(readout * block_law(chains, 3).sum(axis=1) / block_law(chains, 2).sum(axis=1)[:, :, None])
    model /= model.sum(axis=2, keepdims=True)
    expected = readout * third_order.signals(chains, np.full(4, 0.25), model, 5) * np.log(2)
    pairs = [
        [_drives(context, chains, readout, generator) for context in (64, 128)]
        for generator in np.random.default_rng(7).spawn(GROUPS)
    ]
    grown = np.diff(np.array(pairs), axis=1)[:, 0]
    z = (grown.mean(axis=0) - expected) / (grown.std(axis=0, ddof=1) / np.sqrt(GROUPS))
    limit = float(student.isf(FALSE_ALARM / 2 / len(z), GROUPS - 1))
    return Outcome(
        float(np.abs(z).max()), limit, f"|z| of five lags over {GROUPS} groups, false alarms {FALSE_ALARM:g}"
    )


CHECKS = (
    Check(
        "second-head",
        "S_r with the growth over T = 64 … 128 of the trained model's own mixed derivative by ω_2 and v²_r, autograd, four chains",
        _second_head,
    ),
)
