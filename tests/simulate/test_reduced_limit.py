"""onset.simulate.finite_context.dynamics against onset.theory.mean_fields.linear: at fixed C, Ω and q the
finite-context loss tends to the mean field like 1/T.
"""

from __future__ import annotations

import numpy as np

from onset.simulate.finite_context.dynamics import log_predictions, next_rows
from onset.simulate.tasks.markov_chains import sample
from onset.theory.markov.priors import Dirichlet
from onset.theory.mean_fields.linear import LinearMeanField
from onset.theory.setting import Setting

SCALED, LAG1 = (1.0, 9.0), 0.5
"""C and Ω, and q_1: a model between the unigram and the bigram strategy."""


def mean_field_of_each(setting: Setting, transition: np.ndarray) -> np.ndarray:
    """Mean-field loss of each chain, all lags tracked: its k relabellings bring each state in turn to the place of the
    query.
    """
    k, count = setting.task.states, len(transition)
    dynamics = LinearMeanField.of(setting, lags=setting.task.context, count=2)
    orders = [np.roll(np.arange(k), -i) for i in range(k)]
    matrices = np.concatenate([transition[:, order][:, :, order] for order in orders])
    dynamics.stand_for(matrices, np.full(len(matrices), 1 / len(matrices)))
    values, weights, _ = dynamics.logits(point_of(setting)[None, None])
    logits = values[0, 0]
    loss = np.log(np.exp(logits).sum(axis=0)) - np.einsum("nj,jng->ng", dynamics.row, logits)
    return ((loss @ weights) * dynamics.query).reshape(k, count).sum(axis=0)


def point_of(setting: Setting) -> np.ndarray:
    v = np.zeros(setting.task.context)
    v[1] = np.log1p(LAG1 * setting.task.context)
    return np.concatenate([[sum(SCALED) / setting.task.context, SCALED[0] / setting.task.context], v])


def test_finite_context_tends_to_the_mean_field(within):
    """Loss minus mean-field loss of the same chains falls like 1/T where chains mix fast (Dirichlet(5) rows).

    (Flat priors have chains that mix arbitrarily slowly, which adds a factor ln T.)
    """
    contexts, scaled, errors = np.array([20, 40, 80, 160]), [], []
    for context, count in zip(contexts, (20_000, 10_000, 5_000, 2_500), strict=True):
        setting = Setting.of("linear", prior=Dirichlet(2, 5.0), context=int(context))
        drawn = sample(setting.task, count, np.random.default_rng(int(context)))
        losses = (
            -np.einsum("ntj,ntj->n", next_rows(drawn), log_predictions(setting, point_of(setting), drawn.tokens))
            / context
        )
        difference = losses - mean_field_of_each(setting, drawn.transition)
        scaled.append(context * difference.mean())
        errors.append(context * difference.std() / np.sqrt(count))
    print("T × difference", scaled, "±", errors)
    relative = np.array(errors) / scaled
    assert relative.max() < 1 / 20
    (slope, _), covariance = np.polyfit(np.log(contexts), np.log(scaled), 1, w=1 / relative, cov="unscaled")
    within("slope of the difference against T", slope - 1, -1, np.sqrt(covariance[0, 0]))
