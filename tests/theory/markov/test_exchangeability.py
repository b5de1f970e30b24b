"""Priors of the user's: what a class needs, and that theory answers only where relabelling changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from onset import Setting, explain, predict
from onset.simulate.predict import METHODS
from onset.theory.markov import priors
from onset.theory.markov.exchangeability import largest_difference
from onset.theory.markov.priors import Dirichlet, DoublyStochastic, Mixture, Unigram


@pytest.mark.parametrize(
    "prior",
    [
        *(Dirichlet(k, a) for k in (2, 3, 8) for a in (0.1, 1.0, 10.0)),
        *(Dirichlet(2, order=3), Dirichlet(3, order=3)),
        *(DoublyStochastic(3), DoublyStochastic(7), Unigram(3), Mixture((DoublyStochastic(3), Unigram(3)), (0.8, 0.2))),
    ],
    ids=str,
)
def test_priors_of_the_library_are_exchangeable(prior):
    """By the statistics that priors of the user's are judged by."""
    z, _, most = largest_difference(priors.sample(prior, np.random.default_rng(1), 4096))
    assert z < most


@dataclass(frozen=True)
class Mapped:
    """Rows that a function makes of flat Dirichlet ones."""

    states: int = 3
    how: str = "same"
    kind: ClassVar[str] = "mapped"
    order: ClassVar[int] = 2
    pseudo_count: ClassVar[float] = 1.0

    @property
    def dimension(self) -> int:
        return Dirichlet(self.states).dimension

    def transform(self, uniforms):
        rows, weights = Dirichlet(self.states).transform(uniforms)
        return HOW[self.how](rows), weights


def _mixed(rows, target, share=0.1):
    return (1 - share) * rows + share * target


HOW = {
    "same": lambda rows: rows,
    "sticky": lambda rows: _mixed(rows, np.eye(rows.shape[-1]), 0.5),
    "favours a symbol": lambda rows: _mixed(rows, np.eye(rows.shape[-1])[[0] * rows.shape[-1]]),
    "one symbol stays": lambda rows: _mixed(rows, np.where(np.arange(rows.shape[-1])[:, None] == 1, [0, 1, 0], rows)),
    "goes round": lambda rows: _mixed(rows, np.roll(np.eye(rows.shape[-1]), 1, axis=1)),
    "no rows": lambda rows: 2 * rows,
    "too few rows": lambda rows: rows[..., :1, :],
}


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(priors.PRIORS, "mapped", Mapped)


@pytest.mark.parametrize("how", ["same", "sticky"])
def test_an_exchangeable_prior_is_predicted(how):
    assert predict(Setting.of("linear", prior=Mapped(3, how), context=16), "mean-field").transitions()


@pytest.mark.parametrize("how", ["favours a symbol", "one symbol stays", "goes round"])
@pytest.mark.parametrize("method", METHODS)
def test_another_is_refused_by_every_method(how, method):
    """A tenth of a row is seen; a rotation, which leaves stationary laws and single symbols alone, too."""
    setting = Setting.of("linear", prior=Mapped(3, how), context=16)
    with pytest.raises(ValueError, match=r"prior = Mapped\(.*stays the same when symbols are relabelled"):
        predict(setting, method)


def test_one_component_is_enough():
    prior = Mixture((Dirichlet(3), Mapped(3, "goes round")), (0.9, 0.1))
    with pytest.raises(ValueError, match="relabelled"):
        explain(Setting.of("linear", prior=prior, context=16))


@pytest.mark.parametrize(
    ("how", "says"),
    [("no rows", "gives no transition matrices"), ("too few rows", r"the shape \(1, 1, 3\): expected \(1, 3, 3\)")],
)
def test_a_map_to_something_else_is_said_so(how, says):
    with pytest.raises(ValueError, match=says):
        predict(Setting.of("linear", prior=Mapped(3, how), context=16), "mean-field")


class Plain:
    """A prior that is no dataclass."""

    kind, order, pseudo_count, dimension = "plain", 2, 1.0, 6

    def __init__(self, states: int = 3, share: float = 0.5) -> None:
        self.states, self.share = states, share

    def transform(self, uniforms):
        rows, weights = Dirichlet(self.states).transform(uniforms)
        return _mixed(rows, np.eye(self.states), self.share), weights


class Stored(Plain):
    """With equality, a hash and plain data."""

    kind = "stored"

    def __eq__(self, other):
        return type(self) is type(other) and self.to_dict() == other.to_dict()

    def __hash__(self):
        return hash(tuple(self.to_dict().items()))

    def to_dict(self):
        return {"states": self.states, "share": self.share}


def test_a_prior_without_fields_says_what_it_is(monkeypatch):
    """By `to_dict`: settings are stored, read and told apart."""
    monkeypatch.setitem(priors.PRIORS, "stored", Stored)
    setting = Setting.of("linear", prior=Stored(3, 0.25), context=16)
    assert Setting.from_dict(setting.to_dict()) == setting
    assert setting.id != Setting.of("linear", prior=Stored(3, 0.5), context=16).id
    assert predict(setting, "mean-field").transitions()


@pytest.mark.parametrize(
    ("prior", "says"),
    [
        (Plain(), "make Plain a frozen dataclass, or give it __eq__, __hash__ and to_dict"),
        ("dirichlet", "it has no kind and no states"),
        (Dirichlet, "expected a prior with equality, a hash and plain data of its own|it has no"),
    ],
)
def test_what_is_no_prior_is_refused_when_it_enters(prior, says):
    with pytest.raises(ValueError, match=says):
        Setting.of("linear", prior=prior, context=16)


def test_second_moments_of_the_stationary_law_alone_give_a_prior_away():
    """Symbol 0 has probability 1/3, the others 1/3 ± .2 in turn: equal means, unequal mean squares."""
    laws = np.array([[1, 1, 1], [1, 1, 1]]) / 3 + np.array([[0, 0.2, -0.2], [0, -0.2, 0.2]])
    _, where, _ = largest_difference(np.tile(laws[:, None, :], (50, 3, 1)))
    assert where.startswith("the mean square of the stationary probability of symbol")
