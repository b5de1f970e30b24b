"""onset.theory.dynamics: from an exchangeable start, training of all matrix entries stays on the orbits and follows the
reduced dynamics."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from onset.simulate.finite_context.dynamics import loss_and_gradient
from onset.simulate.tasks.markov_chains import MarkovSample
from onset.theory.dynamics.descent import descend
from onset.theory.dynamics.layout import Gradient, Layout
from onset.theory.recording import Measurement
from onset.theory.setting import Setting


class Closed:
    """A toy family's loss on a set of sequences closed under relabelling of the states: deterministic and exactly
    exchangeable."""

    def __init__(self, setting: Setting) -> None:
        self.setting, self.layout = setting, Layout.of(setting.task, setting.model.initialization, setting.task.context)
        k, generator = setting.task.states, np.random.default_rng(3)
        tokens = generator.integers(k, size=(3, setting.task.context + 1), dtype=np.uint8)
        orders = np.array(list(itertools.permutations(range(k))), dtype=np.uint8)
        self.tokens = orders[:, tokens].reshape(-1, setting.task.context + 1)
        flat = np.full((len(self.tokens), k, k), 1 / k)
        self.sample = MarkovSample(self.tokens, flat, flat[:, 0])

    def gradient(self, point: np.ndarray, step: int = 0) -> Gradient:
        return loss_and_gradient(self.setting, point, self.sample, sampled=True)

    def measure(self, point: np.ndarray) -> Measurement:
        return Measurement(
            self.gradient(point).loss, {"uniform": 0.0, "unigram": 1.0, "bigram": 2.0}, np.array([[1.0, 0.0]])
        )


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize(("family", "states"), [("linear", 2), ("linear", 3), ("softmax", 2), ("softmax", 3)])
def test_reduced_dynamics_are_those_of_the_full_matrices(optimizer, family, states):
    """From an exchangeable start, torch's SGD and Adam on all entries of W, U and v stay on the orbits and follow
    descend (zero variance)."""
    torch = pytest.importorskip("torch")
    from onset.validate.models.toy import Toy

    start = {"lag_logits": 0.0, "match": 0.3} | ({"readout": 0.7} if family == "softmax" else {})
    setting = Setting.of(
        family,
        states=states,
        context=5,
        optimizer=optimizer,
        initialization=start,
        learning_rate={"lag_logits": 0.05, "match": 0.02},
        steps=15,
        record_every=15,
    )
    dynamics = Closed(setting)
    begin = dynamics.layout.start + np.where(
        np.array(dynamics.layout.groups) == "lag_logits", np.linspace(0.5, -0.5, len(dynamics.layout.start)), 0
    )
    begin[0] += 0.4
    if family == "softmax":
        begin[2] += 0.6
    object.__setattr__(dynamics.layout, "start", begin)
    computed = descend(dynamics, setting.training)

    model, eye = Toy(setting).double(), torch.eye(states, dtype=torch.float64)
    with torch.no_grad():
        model.lag_logits.copy_(torch.from_numpy(begin[dynamics.layout.lags].copy()))
        for n, name in enumerate(("match", "readout")[: 1 + (family == "softmax")]):
            getattr(model, name).copy_(begin[2 * n + 1] + (begin[2 * n] - begin[2 * n + 1]) * eye)
    rates = [
        {"params": [p], "lr": setting.training.optimizer.learning_rate[name]} for name, p in model.named_parameters()
    ]
    stepper = (
        torch.optim.SGD(rates)
        if optimizer == "sgd"
        else torch.optim.Adam(rates, betas=setting.training.optimizer.betas, eps=setting.training.optimizer.epsilon)
    )
    tokens = torch.from_numpy(dynamics.tokens).long()
    for _ in range(setting.training.steps):
        stepper.zero_grad()
        torch.nn.functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten()).backward()
        stepper.step()
    end = {name: values[-1] for name, values in computed.parameters.items()}
    assert all(abs(end[name] - value) > 1e-6 for name, value in zip(dynamics.layout.names, begin, strict=True))
    for name in setting.model.initialization:
        full = getattr(model, name).detach().numpy()
        expected = (
            [end[f"{name}.{r}"] for r in range(5)]
            if name == "lag_logits"
            else end[f"{name}.off_diagonal"] + (end[f"{name}.diagonal"] - end[f"{name}.off_diagonal"]) * np.eye(states)
        )
        np.testing.assert_allclose(full, expected, rtol=1e-10, atol=1e-12)
