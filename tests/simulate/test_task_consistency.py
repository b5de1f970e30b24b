"""onset.simulate.tasks.consistency: tasks of the library pass, and each mistake in a task of the user's is named."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np
import pytest

from onset.simulate.strategies.laws import TRUE, DenseLaws, SparseLaws
from onset.simulate.tasks import SAMPLERS, Sampler, register, sampler
from onset.simulate.tasks.consistency import require_consistent
from onset.theory import tasks
from onset.theory.entries import entry
from onset.theory.expectation import Expectation
from onset.theory.markov.priors import Dirichlet, DoublyStochastic, Mixture, Unigram
from onset.theory.markov.task import MarkovChains

CHAINS = [
    MarkovChains(Dirichlet(3), 20),
    MarkovChains(Dirichlet(2, order=3), 20),
    MarkovChains(Mixture((DoublyStochastic(3), Unigram(3)), (0.75, 0.25)), 20),
]


@pytest.mark.parametrize("task", CHAINS, ids=lambda task: task.label)
def test_tasks_of_the_library_are_consistent(task):
    require_consistent(sampler(task))


@dataclass(frozen=True)
class Echo(tasks.Task):
    """Every token repeats the first one with probability .9, and is uniform otherwise; `shift` is a mistake."""

    context: int = entry(16, check=lambda name, value: value)
    shift: float = entry(0.0, check=lambda name, value: value)

    kind: ClassVar[str] = "echo"
    vocabulary: ClassVar = 4
    strategies: ClassVar = ("uniform", "copy")
    label: ClassVar = "echo"

    def expected_loss(self, strategy, *, tolerance=2e-3, seed=0):
        true = np.array([0.925, 0.025, 0.025, 0.025])
        law = true if strategy == "copy" else np.full(4, 1 / 4)
        return Expectation(float(-true @ np.log(law)) + self.shift, 0.0)


class Sample(NamedTuple):
    tokens: np.ndarray


class Right(Sampler[Echo, Sample]):
    def sample(self, count, generator):
        tokens = generator.integers(4, size=(count, self.task.context + 1))
        return Sample(np.where(generator.random(tokens.shape) < 0.9, tokens[:, :1], tokens))

    def laws(self, sample):
        first = np.broadcast_to(sample.tokens[:, :1, None], (3, len(sample.tokens), self.task.context, 1))
        weights = np.stack([np.full(first.shape[1:], share) for share in (0.0, 0.9, 0.9)])
        return SparseLaws(("uniform", "copy", TRUE), first, weights, 1 - weights[..., 0], np.full((3, 4), 1 / 4))


class Dense(Right):
    """The same laws, every probability written out, the first times `factor`."""

    factor = 1.0

    def laws(self, sample):
        sparse = super().laws(sample)
        values = (sparse.rest[..., None] / 4) + sparse.weights * (sparse.tokens == np.arange(4))
        values[1] *= self.factor
        return DenseLaws(sparse.names, values)


class Shape(Right):
    def sample(self, count, generator):
        return Sample(super().sample(count, generator).tokens[:, :-1])


class Fractions(Right):
    def sample(self, count, generator):
        return Sample(super().sample(count, generator).tokens / 1)


class Outside(Right):
    def sample(self, count, generator):
        return Sample(super().sample(count, generator).tokens + 1)


class Irreproducible(Right):
    def sample(self, count, generator):
        return super().sample(count, np.random.default_rng())


class Names(Right):
    def laws(self, sample):
        return replace(super().laws(sample), names=("copy", "uniform", TRUE))


class Short(Right):
    def laws(self, sample):
        return super().laws(Sample(sample.tokens[:-1]))


class Sums(Dense):
    factor = 1.01


class OtherTokens(Right):
    """Tokens repeat less often than the true law says."""

    def sample(self, count, generator):
        tokens = generator.integers(4, size=(count, self.task.context + 1))
        return Sample(np.where(generator.random(tokens.shape) < 0.8, tokens[:, :1], tokens))


class Peeking(Right):
    """The strategy looks at the token that it is to predict."""

    def laws(self, sample):
        laws = super().laws(sample)
        tokens = laws.tokens.copy()
        tokens[1] = sample.tokens[:, 1:, None]
        return replace(laws, tokens=tokens)


@pytest.mark.parametrize("kind", [Right, Dense])
def test_a_task_without_mistakes_passes(kind):
    require_consistent(kind(Echo()))


@pytest.mark.parametrize(
    ("kind", "shift", "says"),
    [
        (Shape, 0.0, r"tokens of shape \(\d+, 16\).*expected whole numbers of shape \(\d+, 17\)"),
        (Fractions, 0.0, "type float64: expected whole numbers"),
        (Outside, 0.0, "tokens from 1 to 4: expected 0 to 3"),
        (Irreproducible, 0.0, "other tokens from the same generator"),
        (Names, 0.0, r"expected \('uniform', 'copy', 'true'\)"),
        (Short, 0.0, "`laws` has the shape"),
        (Sums, 0.0, r"probabilities of copy that sum to 1.01 at position 0: expected 1"),
        (OtherTokens, 0.0, r"the true law loses \+\S+ nats a token beside its entropy"),
        (Peeking, 0.0, r"copy loses -\S+ nats a token beside its mean under the true law"),
        (Right, 0.02, r"uniform loses -0.0200 nats a token beside `expected_loss`"),
    ],
)
def test_each_mistake_is_named(kind, shift, says):
    with pytest.raises(ValueError, match=f"task = echo: .*{says}.*class {kind.__name__}"):
        require_consistent(kind(Echo(shift=shift)))


def test_the_first_use_of_a_sampler_checks_it(monkeypatch):
    """Once for each task; `training` and `simulate` ask for samplers here."""
    monkeypatch.setitem(SAMPLERS, Echo, Right)
    assert isinstance(sampler(Echo()), Right)
    register(Echo)(OtherTokens)
    with pytest.raises(ValueError, match="tokens follow it"):
        sampler(Echo())


@pytest.mark.parametrize(("z", "refused"), [(5.15, False), (5.25, True)])
def test_a_task_is_refused_at_one_false_alarm_in_a_million(z, refused):
    """The largest of five scores, 5.20; the loss of guessing has no error but rounding."""
    task = Echo(shift=z * float(np.finfo(np.float32).eps))
    if refused:
        with pytest.raises(ValueError, match=r"uniform loses -0\.0000 nats a token beside `expected_loss`, 5 standard"):
            require_consistent(Right(task))
    else:
        require_consistent(Right(task))
