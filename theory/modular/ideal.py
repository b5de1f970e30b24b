r"""Losses and accuracies of the ideal predictors of modular arithmetic, by number of earlier examples.

Exact for a prime modulus, one or two variables and right answers, whatever rules and inputs are drawn: sums over the
lines of `onset.theory.derivations.modular_predictors`. In general the laws on sampled sequences are exact, and their
means are sampled (`onset.simulate.strategies.modular`).

memorising, mixture and regression give the rules that are trained on the prior probability w = 1, 1/2, 0, and the rest
to all rules alike. A predictor without any rule that agrees with the examples guesses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from onset.theory import arguments
from onset.theory.arrays import Array
from onset.theory.derivations import modular_predictors as derived
from onset.theory.expectation import Expectation
from onset.theory.modular.task import STRATEGIES, ModularArithmetic

__all__ = ["WEIGHTS", "accuracies", "expected_loss", "losses", "require_closed"]

WEIGHTS = {"memorising": 1.0, "mixture": 0.5, "regression": 0.0}
"""w of the predictors that know the function to be linear."""

ROUNDING = 1e-12
"""Probability below which a case counts as impossible."""


def expected_loss(task: ModularArithmetic, strategy: str, *, tolerance: float = 2e-3, seed: int = 0) -> Expectation:
    """Mean loss of a strategy over the answers of a sequence, nats; exact, so that `tolerance` and `seed` are idle.

    Raises
    ------
    ValueError
        Where there is no closed form.
    """
    return Expectation(float(losses(task, strategy).mean()), 0.0)


def losses(task: ModularArithmetic, strategy: str) -> Array:
    """Expected loss, nats, after 0, 1, … examples, shape (examples,); infinite where a right answer is ruled out."""
    return _solution(task).losses(strategy)


def accuracies(task: ModularArithmetic, strategy: str) -> Array:
    """Expected share of right answers after 0, 1, … examples, shape (examples,).

    The answer is the likeliest one, any of several as often. "ratio-mask" is the accuracy of ratio matching that gives
    no answer where it knows none, which is also zero before the first example, as released.
    """
    return _solution(task).accuracies(strategy)


def require_closed(task: ModularArithmetic) -> None:
    """Raise ``ValueError`` unless ideal losses of a task have a closed form."""
    reason = ""
    if not sp.isprime(task.modulus):
        reason = f"modulus = {task.modulus} is not prime"
    elif task.variables > 2:
        reason = f"variables = {task.variables}"
    elif task.noise:
        reason = f"noise = {task.noise:g}"
    if reason:
        raise ValueError(
            f"task {task.label}: ideal losses have no closed form for {reason}; measure them with onset simulate."
        )


@lru_cache(maxsize=256)
def _solution(task: ModularArithmetic) -> _Solution:
    require_closed(task)
    return _Solution(task)


@dataclass(frozen=True)
class _Solution:
    """Sums over lines, each of shape (examples, lines) or (lines,)."""

    task: ModularArithmetic

    @cached_property
    def directions(self) -> NDArray[np.int64]:
        """One input on each line, shape (lines, D)."""
        p = self.task.modulus
        if self.task.variables == 1:
            return np.ones((1, 1), dtype=np.int64)
        return np.array([(1, d) for d in range(p)] + [(0, 1)], dtype=np.int64)

    @cached_property
    def on_line(self) -> Array:
        """Number of inputs drawn from on each line."""
        p, inputs = self.task.modulus, self.task.drawn_inputs
        inverse = np.array([pow(int(x), -1, p) if x else 0 for x in range(p)])
        if self.task.variables == 1:
            return np.array([float((inputs[:, 0] > 0).sum())])
        first, second = inputs.T
        line = np.where(first > 0, second * inverse[first] % p, p)
        return np.bincount(line[(first > 0) | (second > 0)], minlength=p + 1).astype(float)

    @cached_property
    def zero(self) -> int:
        """Whether zero is drawn from: 1 or 0."""
        return int(np.any(~self.task.drawn_inputs.any(axis=1)))

    @property
    def number(self) -> int:
        """m."""
        return len(self.task.drawn_inputs)

    @cached_property
    def earlier(self) -> Array:
        """k = 0, 1, …, shape (examples, 1)."""
        return np.arange(self.task.examples, dtype=float)[:, None]

    def inside(self, size: Array | int, *, holds_query: bool = False) -> Array:
        """F of sets of these sizes, shape (examples, …), which hold the query or do not."""
        if self.task.distinct or self.task.shared:
            sizes = np.maximum(np.atleast_1d(size) - int(holds_query), 0)
            return np.asarray(derived.inside_distinct(sizes.astype(float), self.earlier, self.number))
        return np.asarray(derived.inside(np.atleast_1d(size).astype(float), self.earlier, self.number))

    @cached_property
    def of_zero(self) -> Array:
        """Probability that all examples are zero, of a query that is not."""
        return self.inside(self.zero)

    @cached_property
    def of_other_line(self) -> Array:
        """Probability that examples span a line, of a query elsewhere."""
        return self.inside(self.zero + self.on_line) - self.of_zero

    @cached_property
    def of_own_line(self) -> Array:
        """Probability that examples span the query's line."""
        return self.inside(self.zero + self.on_line, holds_query=True) - self.of_zero

    @cached_property
    def of_line_at_zero(self) -> Array:
        """Probability that examples span a line, of the query zero."""
        return self.inside(self.zero + self.on_line, holds_query=True) - self.inside(self.zero, holds_query=True)

    @cached_property
    def classes(self) -> tuple[Array, Array]:
        """Of the trained rules, and of those drawn from, how many give each line's direction each answer.

        Each of shape (lines, p).
        """
        return self._counted(self.task.trained_rules), self._counted(self.task.drawn_rules)

    def _counted(self, rules: NDArray[np.int64]) -> Array:
        answers = self.directions @ rules.T % self.task.modulus
        return np.array([np.bincount(row, minlength=self.task.modulus) for row in answers], dtype=float)

    @property
    def trained(self) -> bool:
        """Whether the rules drawn from are those trained on."""
        return self.task.measured.startswith("trained")

    def _mean(self, of_class: Array | NDArray[np.bool_]) -> Array:
        """Mean over the rules drawn from of what depends on a line and the rule's answer, shape (lines,)."""
        counts = self.classes[1]
        return (counts * of_class).sum(axis=1) / counts.sum(axis=1)

    def _known(self, strategy: str) -> Array:
        """Probability that copy or ratio matching know the answer, shape (examples,)."""
        if strategy == "copy":
            return np.zeros(len(self.earlier)) if self._without_repeats else 1 - self.inside(self.number - 1)[:, 0]
        known = 1 - self.inside(self.number - self.on_line)
        return (self.zero + known @ self.on_line) / self.number

    @property
    def _without_repeats(self) -> bool:
        return self.task.distinct or self.task.shared

    def _expected(self, cases: _Cases) -> Array:
        """Mean over queries and examples of what depends on the examples' rank, shape (examples,)."""
        rank_two = 1 - derived.outside_span(self.of_zero, self.of_other_line + self.of_zero, self._of_any_line)
        rank_two = rank_two - self.of_own_line
        by_line = (
            self.of_zero * cases.none
            + (self.of_other_line @ cases.other)[:, None]
            - self.of_other_line * cases.other
            + self.of_own_line * cases.own
            + rank_two * cases.both
        )
        nothing = self.inside(self.zero, holds_query=True)
        at_zero = (
            nothing[:, 0] * cases.zero
            + self.of_line_at_zero @ cases.own
            + (1 - nothing[:, 0] - self.of_line_at_zero.sum(axis=1)) * cases.both
        )
        return (by_line @ self.on_line + self.zero * at_zero) / self.number

    @property
    def _of_any_line(self) -> Array:
        return self.of_other_line.sum(axis=1, keepdims=True)

    def losses(self, strategy: str) -> Array:
        arguments.one_of("strategy", strategy, STRATEGIES)
        guess = np.log(self.task.modulus)
        if strategy == "guessing":
            return np.full(len(self.earlier), guess)
        if strategy not in WEIGHTS:
            return (1 - self._known(strategy)) * guess
        weight, listed = WEIGHTS[strategy], self.classes[0]
        nothing = np.zeros(len(listed))
        if weight == 1 and not self.trained:
            ruled_out = _Cases(0.0, self._mean(listed == 0), self._mean(listed > 0), nothing, 0.0)
            none = self._mean(derived.of_line(1.0, np.maximum(listed, 1), self.task.rules, self.task.modulus))
            guessed = self._mean((listed == 0) * guess)
            finite = self._expected(_Cases(0.0, none, guessed, guessed, guess))
            return np.where(self._expected(ruled_out) > ROUNDING, np.inf, finite)
        # No rule drawn from gives an answer that no rule trained on gives, or w < 1.
        of_line = derived.of_line(weight, np.maximum(listed, weight == 1), self.task.rules, self.task.modulus)
        of_rule = derived.of_rule(weight, float(self.trained), self.task.rules, self.task.modulus)
        return self._expected(_Cases(0.0, self._mean(of_line), self._mean(of_rule - of_line), nothing, 0.0))

    def accuracies(self, strategy: str) -> Array:
        arguments.one_of("strategy", strategy, (*STRATEGIES, "ratio-mask"))
        chance = 1 / self.task.modulus
        if strategy == "guessing":
            return np.full(len(self.earlier), chance)
        if strategy == "ratio-mask":
            known = self._known("ratio-matching")
            known[0] = 0.0
            return known
        if strategy not in WEIGHTS:
            known = self._known(strategy)
            return known + (1 - known) * chance
        weight, listed = WEIGHTS[strategy], self.classes[0]
        if weight == 0:
            none, other = (np.full(len(listed), chance) for _ in range(2))
            return self._expected(_Cases(1.0, none, other, np.ones(len(listed)), 1.0))
        likeliest = listed == listed.max(axis=1, keepdims=True)
        none = self._mean(likeliest / likeliest.sum(axis=1, keepdims=True))
        guessed = np.where(listed > 0, 0.0, chance)
        right = 1 / np.maximum(listed, 1) if self.trained else guessed
        if weight < 1 or self.trained:
            return self._expected(_Cases(1.0, none, self._mean(right), np.ones(len(listed)), 1.0))
        own = self._mean(np.where(listed > 0, 1.0, chance))
        return self._expected(_Cases(1.0, none, self._mean(right), own, chance))


class _Cases(NamedTuple):
    """What is averaged, by what the examples are: of the query zero after zeros alone; of others after these, after
    examples that span another line, and their own, shape (lines,); and after examples that span the plane."""

    zero: float
    none: Array
    other: Array
    own: Array
    both: float
