"""Chains of higher order: strategies and kernels against plain loops, autograd and the models of order 2."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.stats import t as student

from onset.simulate.finite_context import dynamics
from onset.simulate.finite_context.dynamics import FiniteContext, log_predictions, loss_and_gradient
from onset.simulate.strategies.ngrams import predict
from onset.simulate.tasks.markov_chains import next_rows, sample
from onset.theory.dynamics.descent import descend
from onset.theory.dynamics.layout import Layout
from onset.theory.markov.task import strategies
from onset.theory.setting import Setting

SEEDS = 6
"""Trained models that predictions are compared with."""

CASES = [("linear", 2, 3), ("linear", 3, 3), ("softmax", 2, 3), ("softmax", 3, 4)]


def naive(tokens: np.ndarray, states: int, order: int, alpha: float) -> np.ndarray:
    """Recount the whole prefix at every position."""
    out = np.empty((len(tokens), tokens.shape[1] - 1, states))
    for n, row in enumerate(tokens.tolist()):
        for t in range(1, len(row)):
            prefix = row[:t]
            blocks = Counter(tuple(prefix[s : s + order]) for s in range(t - order + 1))
            last = tuple(prefix[t - order + 1 :]) if t >= order - 1 else None
            counts = [0 if last is None else blocks[(*last, j)] for j in range(states)]
            out[n, t - 1] = [(c + alpha) / (sum(counts) + states * alpha) for c in counts]
    return out


@pytest.mark.parametrize(("states", "order"), [(2, 3), (3, 3), (2, 5)])
def test_ngrams_equal_the_plain_loop(states, order):
    """Exactly: counts and a dyadic pseudo-count make each probability one correctly rounded quotient."""
    tokens = np.random.default_rng(0).integers(states, size=(9, 60), dtype=np.uint8)
    assert np.array_equal(predict(tokens, states, strategies(order)[order], 0.5), naive(tokens, states, order, 0.5))


def scattered(setting: Setting) -> np.ndarray:
    layout = Layout.of(setting.task, setting.model.initialization, setting.task.context)
    return np.random.default_rng(1).standard_normal(len(layout.start)) * 0.7


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize(("family", "states", "order"), CASES)
def test_gradient_is_that_of_the_trained_model(family, states, order, sampled):
    """Loss, predictions and gradient equal autograd's of the PyTorch model in double precision, to 1e-12; squares those
    of single sequences.
    """
    torch = pytest.importorskip("torch")
    from onset.validate.models.ngram_toy import NgramToy

    setting = Setting.of(family, states=states, order=order, context=17)
    point, drawn, layout = (
        scattered(setting),
        sample(setting.task, 20, np.random.default_rng(0)),
        Layout.of(setting.task, setting.model.initialization, 17),
    )
    model, heads = NgramToy(setting).double(), order - 1
    pairs = point[: layout.lags.start].reshape(-1, 2)
    matrices = torch.from_numpy(pairs[:, 1, None, None] + (pairs[:, 0] - pairs[:, 1])[:, None, None] * np.eye(states))
    values = {"match": matrices[:heads], "lag_logits": torch.from_numpy(point[layout.lags].reshape(heads, -1))}
    model.load_state_dict(values | ({"readout": matrices[heads]} if family == "softmax" else {}))
    rows = np.eye(states)[drawn.tokens[:, 1:]] if sampled else next_rows(drawn)
    squares = []
    for n in range(20):
        model.zero_grad()
        log_model = model(torch.from_numpy(drawn.tokens[n : n + 1, :-1]).long()).log_softmax(-1)[0]
        (-(torch.from_numpy(rows[n]) * log_model).sum() / 17).backward()
        np.testing.assert_allclose(
            log_predictions(setting, point, drawn.tokens[n : n + 1])[0], log_model.detach(), atol=1e-12
        )
        sums, square = [], []
        for grad in [*model.match.grad, *([model.readout.grad] if family == "softmax" else [])]:
            for part in (np.diag(grad), np.asarray(grad)[~np.eye(states, dtype=bool)]):
                sums.append(part.sum())
                square.append((part**2).sum())
        lag = model.lag_logits.grad.numpy().ravel()
        squares.append((np.concatenate([sums, lag]), np.concatenate([square, lag**2])))
    first, second = (np.array(x) for x in zip(*squares, strict=True))
    gradient = loss_and_gradient(setting, point, drawn, sampled=sampled, variance=True)
    np.testing.assert_allclose(gradient.derivative, first.mean(axis=0), atol=1e-12)
    entries = layout.entries
    expected = (second.mean(axis=0) / entries - (first.mean(axis=0) / entries) ** 2) * 20 / 19
    np.testing.assert_allclose(gradient.variance, np.maximum(expected, 0), atol=1e-12)


@pytest.mark.parametrize("family", ["linear", "softmax"])
def test_order_two_is_the_plain_model(family, monkeypatch):
    """With one head, kernels and module are those of order 2, to rounding."""
    torch = pytest.importorskip("torch")
    from onset.validate.models.ngram_toy import NgramToy
    from onset.validate.models.toy import Toy

    setting = Setting.of(family, states=3, context=15)
    point, drawn = scattered(setting), sample(setting.task, 20, np.random.default_rng(0))
    plain = loss_and_gradient(setting, point, drawn, variance=True)
    model = dynamics._ngram_model(setting, point)
    sums = np.zeros(2), np.zeros((2, len(point))), np.zeros((2, len(point)))
    dynamics.ngram_kernels.gradient(drawn.tokens, next_rows(drawn), model, *sums)
    assert sums[0].sum() / 20 == pytest.approx(plain.loss, rel=1e-13)
    np.testing.assert_allclose(sums[1].sum(axis=0) / 20, plain.derivative, atol=1e-14)
    two, one, tokens = NgramToy(setting).double(), Toy(setting).double(), torch.from_numpy(drawn.tokens[:, :-1]).long()
    with torch.no_grad():
        for name, parameter in one.named_parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name))))
            getattr(two, name).copy_(parameter if name == "readout" else parameter[None])
    np.testing.assert_allclose(two(tokens).detach(), one(tokens).detach(), atol=1e-12)
    assert two.lag_attention(tokens).shape == one.lag_attention(tokens).shape == (1, 15)


@pytest.mark.parametrize(("family", "states", "order"), CASES)
def test_nothing_sees_the_future(family, states, order):
    """Changing the last token of the context moves no earlier prediction."""
    setting = Setting.of(family, states=states, order=order, context=12)
    tokens = sample(setting.task, 8, np.random.default_rng(0)).tokens
    changed = tokens.copy()
    changed[:, 11] = (changed[:, 11] + 1) % states
    before, after = (log_predictions(setting, scattered(setting), x) for x in (tokens, changed))
    assert np.array_equal(before[:, :11], after[:, :11])
    assert not np.array_equal(before, after)


def test_trigrams_come_last_and_training_agrees():
    """Softmax family under Adam, k = 2, T = 60: unigram, bigram, trigram in order, the lag-1 head before the lag-2
    head.

    Predicted and trained steps agree within the suites' tolerance of 5% and the scatter of seeds.
    """
    pytest.importorskip("torch")
    from onset.validate.suite.tolerances import TOLERANCE
    from onset.validate.training import train

    setting = Setting.of("softmax", order=3, context=60, optimizer="adam", record_every=5)
    simulated = [descend(FiniteContext(setting, count=128, seed=seed), setting.training).read(0.1) for seed in range(2)]
    trained = [train(setting, seed).read(0.1) for seed in range(SEEDS)]
    for transitions, formations in (*simulated, *trained):
        steps = [t.step for t in transitions]
        assert None not in steps
        assert steps == sorted(steps)
        assert formations[0].step < formations[1].step
    steps = np.array([[t.step for t in (*p[1:], *f)] for p, f in trained], dtype=float)
    predicted = np.mean([[t.step for t in (*p[1:], *f)] for p, f in simulated], axis=0)
    error = steps.std(axis=0, ddof=1) * np.sqrt(1 / SEEDS + 1 / 2)
    print("bigram, trigram, lag 1, lag 2: predicted", predicted, "trained", steps.mean(axis=0), "±", error)
    allowed = TOLERANCE * steps.mean(axis=0) + student.isf(1e-3 / 2 / len(error), SEEDS - 1) * error
    assert np.all(np.abs(predicted - steps.mean(axis=0)) < allowed)
