"""onset.simulate.finite_context.dynamics: finite-context loss, gradient and variance against plain T × T autograd in
float64.
"""

from __future__ import annotations

import numba
import numpy as np
import pytest

from onset.simulate.finite_context.dynamics import FiniteContext, log_predictions, loss_and_gradient, next_rows
from onset.simulate.strategies.ngrams import predict
from onset.simulate.tasks.markov_chains import sample
from onset.theory.dynamics.layout import Layout
from onset.theory.markov.priors import Dirichlet, DoublyStochastic
from onset.theory.markov.task import STRATEGIES
from onset.theory.setting import Setting

torch = pytest.importorskip("torch")

POINTS = {"generic": 1.0, "large": 8.0, "small": 1e-3}


def point_of(setting: Setting, kind: str) -> np.ndarray:
    """A random point; `large` has lag logits up to 40 and matrices of order 8."""
    generator = np.random.default_rng(7)
    layout = Layout.of(setting.task, setting.model.initialization, setting.task.context)
    point = POINTS[kind] * generator.normal(size=len(layout.start))
    if kind == "large":
        point[layout.lags] += 40 * (np.arange(setting.task.context) == 1)
    return point


def plain(setting: Setting, point: np.ndarray, drawn, sampled: bool, logits):
    """Loss of each sequence and its gradient by every entry of W, U and v, by torch autograd on the T × T
    definition.
    """
    k, softmax = setting.task.states, setting.model.family == "softmax"
    eye = torch.eye(k, dtype=torch.float64)
    matrices = [
        (point[i + 1] + (point[i] - point[i + 1]) * eye).requires_grad_() for i in ((0, 2) if softmax else (0,))
    ]
    v = torch.tensor(point[2 * len(matrices) :], requires_grad=True)
    losses, gradients, models = [], [], []
    for tokens, rows in zip(drawn.tokens, next_rows(drawn), strict=True):
        log_model = torch.log_softmax(
            logits(v, matrices[0], matrices[1] if softmax else None, tokens[:-1].astype(int)), dim=1
        )
        target = eye[torch.as_tensor(tokens[1:].astype(int))] if sampled else torch.from_numpy(rows)
        loss = -(target * log_model).sum(dim=1).mean()
        gradients.append(np.concatenate([g.numpy().ravel() for g in torch.autograd.grad(loss, [*matrices, v])]))
        losses.append(loss.item())
        models.append(log_model.detach().numpy())
    return np.array(losses), np.array(gradients), np.array(models)


def orbits(entries: np.ndarray, setting: Setting, reduce: object) -> np.ndarray:
    """`reduce` over the entries of each orbit, for per-entry numbers (..., matrices + T)."""
    k, count = setting.task.states, 1 + (setting.model.family == "softmax")
    off = ~np.eye(k, dtype=bool).ravel()
    parts = []
    for m in range(count):
        block = entries[..., m * k * k : (m + 1) * k * k]
        parts += [reduce(block[..., ~off], axis=-1), reduce(block[..., off], axis=-1)]
    return np.concatenate([np.stack(parts, axis=-1), entries[..., count * k * k :]], axis=-1)


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("kind", POINTS)
@pytest.mark.parametrize(("family", "states"), [("linear", 2), ("linear", 4), ("softmax", 2), ("softmax", 3)])
def test_loss_gradient_and_variance_against_autograd(family, states, kind, sampled, plain_logits):
    """Loss, derivative by shared values and variance of one entry's gradient over sequences, relative to 1e-10 of the
    largest.
    """
    setting = Setting.of(family, prior=Dirichlet(states), context=9)
    drawn, point = sample(setting.task, 19, np.random.default_rng(states)), point_of(setting, kind)
    result = loss_and_gradient(setting, point, drawn, sampled=sampled, variance=True)
    losses, entries, _ = plain(setting, point, drawn, sampled, plain_logits)
    assert result.loss == pytest.approx(losses.mean(), rel=1e-10)
    derivative = orbits(entries.mean(axis=0), setting, np.sum)
    np.testing.assert_allclose(result.derivative, derivative, rtol=1e-10, atol=1e-10 * np.abs(derivative).max())
    mean, square = orbits(entries.mean(axis=0), setting, np.mean), orbits((entries**2).mean(axis=0), setting, np.mean)
    variance = np.maximum(square - mean**2, 0) * 19 / 18
    np.testing.assert_allclose(result.variance, variance, rtol=1e-10, atol=1e-10 * square.max())
    without = loss_and_gradient(setting, point, drawn, sampled=sampled)
    assert without.variance == 0
    assert np.array_equal(without.derivative, result.derivative)


@pytest.mark.parametrize("kind", POINTS)
@pytest.mark.parametrize(("family", "states"), [("linear", 3), ("softmax", 2), ("softmax", 5)])
def test_log_predictions_against_autograd(family, states, kind, plain_logits):
    """ln of the predictive laws at every position, to 1e-10."""
    setting = Setting.of(family, prior=Dirichlet(states), context=12)
    drawn, point = sample(setting.task, 7, np.random.default_rng(0)), point_of(setting, kind)
    result = log_predictions(setting, point, drawn.tokens)
    np.testing.assert_allclose(result, plain(setting, point, drawn, False, plain_logits)[2], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(np.exp(result).sum(axis=-1), 1, rtol=1e-13)


@pytest.mark.parametrize("family", ["linear", "softmax"])
def test_no_position_sees_the_future(family):
    """Changing the last two tokens moves no earlier prediction, exactly."""
    setting = Setting.of(family, prior=Dirichlet(3), context=10)
    tokens, point = sample(setting.task, 5, np.random.default_rng(0)).tokens, point_of(setting, "generic")
    changed = tokens.copy()
    changed[:, -2:] = (changed[:, -2:] + 1) % 3
    before, after = (log_predictions(setting, point, x) for x in (tokens, changed))
    assert np.array_equal(before[:, :-1], after[:, :-1])
    assert not np.array_equal(before[:, -1], after[:, -1])


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads to compare")
@pytest.mark.parametrize("family", ["linear", "softmax"])
def test_the_number_of_threads_does_not_matter(family):
    """One thread and two give bitwise the same loss, gradient, variance and predictions."""
    setting = Setting.of(family, prior=Dirichlet(3), context=20, optimizer="adam")
    drawn, point, before, result = (
        sample(setting.task, 100, np.random.default_rng(0)),
        point_of(setting, "generic"),
        numba.get_num_threads(),
        [],
    )
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            one = loss_and_gradient(setting, point, drawn, sampled=True, variance=True)
            result.append(
                np.concatenate(
                    [[one.loss], one.derivative, one.variance, log_predictions(setting, point, drawn.tokens).ravel()]
                )
            )
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(result[0], result[1])


def test_averaging_the_next_token_out_keeps_the_mean(within):
    """The gradient by sampled targets and the one by their laws agree within the standard error of the sampled one."""
    setting, count = Setting.of("linear", prior=Dirichlet(2), context=8), 20_000
    drawn, point = sample(setting.task, count, np.random.default_rng(1)), point_of(setting, "generic") / 4
    laws, tokens = (
        loss_and_gradient(setting, point, drawn),
        loss_and_gradient(setting, point, drawn, sampled=True, variance=True),
    )
    entries = Layout.of(setting.task, setting.model.initialization, 8).entries
    within("gradient", tokens.derivative / entries, laws.derivative / entries, np.sqrt(tokens.variance / count))


@pytest.mark.parametrize("family", ["linear", "softmax"])
def test_measurements_are_means_over_held_out_sequences(family):
    """Distances are Σ s ln(s/model), the loss -Σ P ln model, averaged; attention is the softmax of v; seeds repeat;
    Adam asks for the variance.
    """
    setting = Setting.of(family, prior=DoublyStochastic(3), context=8)
    dynamics, again = (FiniteContext(setting, count=10, held_out=20, seed=5) for _ in range(2))
    point = point_of(setting, "generic")
    measured, drawn = dynamics.measure(point), dynamics._held_out
    model = log_predictions(setting, point, drawn.tokens)
    for name in STRATEGIES:
        law = predict(drawn.tokens, 3, name, 1.0)
        assert measured.distances[name] == pytest.approx(
            np.mean(np.sum(law * (np.log(law) - model), axis=-1)), rel=1e-12
        )
    assert measured.loss == pytest.approx(-np.mean(np.sum(next_rows(drawn) * model, axis=-1)), rel=1e-12)
    v = point[dynamics.layout.lags]
    np.testing.assert_allclose(measured.attention[0], np.exp(v) / np.exp(v).sum(), rtol=1e-13)
    first, second = dynamics.gradient(point), dynamics.gradient(point)
    assert first.loss != second.loss
    assert (first.loss, second.loss) == (again.gradient(point).loss, again.gradient(point).loss)
    assert first.variance == 0


@pytest.mark.parametrize("family", ["linear", "softmax"])
def test_adam_is_shown_the_second_moment_of_a_mini_batch(family, within):
    """Square of an entry's gradient plus variance/B is the same, however many sequences the estimate is from; with
    fewer than a mini-batch asked for, a mini-batch is drawn.

    Exactly so for lag logits. A matrix's estimate is a mean over the entries of an orbit, which are not quite
    independent: without their number, 3 and 6, what is shown of a mini-batch would be so many times too small.
    """
    setting = Setting.of(family, prior=DoublyStochastic(3), context=8, optimizer="adam", batch=8)
    point, moments = point_of(setting, "generic"), []
    for count, draws in ((2, 4000), (32, 4000)):
        dynamics = FiniteContext(setting, count=count, held_out=2, seed=count)
        drawn = [dynamics.gradient(point) for _ in range(draws)]
        squares = np.array([(one.derivative / dynamics.layout.entries) ** 2 + one.variance / 8 for one in drawn])
        moments.append((squares.mean(axis=0), squares.std(axis=0) / np.sqrt(draws)))
    (few, error), (many, other) = moments
    lags = FiniteContext(setting, count=2, held_out=2).layout.lags
    within("second moment", few[lags], many[lags], np.hypot(error, other)[lags])
    print("of matrices' entries:", few[: lags.start] / many[: lags.start])
    np.testing.assert_allclose(few[: lags.start], many[: lags.start], rtol=0.2)


def test_transformers_have_no_reduced_coordinates():
    """Families without dynamics coordinates are named."""
    with pytest.raises(ValueError, match="family of a finite-context prediction = 'transformer'"):
        FiniteContext(Setting.of("transformer"))


@pytest.mark.parametrize(("sizes", "refused"), [({"held_out": 0}, "held_out = 0"), ({"count": 1}, "count = 1")])
def test_fewest_sequences(sizes, refused):
    with pytest.raises(ValueError, match=f"{refused}: expected a whole number of at least"):
        FiniteContext(Setting.of("linear", context=8), **sizes)
    FiniteContext(Setting.of("linear", context=8), count=2, held_out=1)
