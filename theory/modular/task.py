r"""The task of in-context modular arithmetic (He et al., arXiv 2406.02550).

A sequence holds examples of one *rule* a ∈ Z_p^D, a task in that paper: inputs u ∈ Z_p^D, each followed by the answer z
= a·u mod p; with D = 2, tokens x, y, z, x, y, z, …. Only answers count in the loss. Models are trained on n of the p^D
rules, and on a share α of the p^D inputs, one split for all rules; the others are new rules and unseen inputs. A
sequence on unseen inputs holds no others.

Nothing here supposes that p is prime. What p changes stands with the ideal predictors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from onset.theory import arguments, tasks
from onset.theory.entries import entry
from onset.theory.expectation import Expectation

__all__ = ["RULE_SETS", "SETS", "STRATEGIES", "ModularArithmetic"]

STRATEGIES = ("guessing", "copy", "ratio-matching", "memorising", "mixture", "regression")
"""Ideal strategies: Bayes' predictors under wider knowledge of the function from inputs to answers.

guessing: nothing. copy: an input has one answer. ratio-matching: and c times an input has c times the answer.
memorising: the function is one of the rules trained on. regression: it is one of all rules. mixture: it is either, with
probability 1/2.
"""

TRAINED, NEW = "trained", "new"
SEEN, UNSEEN = "seen", "unseen"

SETS = tuple(f"{rules} rules, {inputs} inputs" for rules in (TRAINED, NEW) for inputs in (SEEN, UNSEEN))
"""What sequences are drawn from; a model is trained on the first."""

RULE_SETS = ("random", "rectangular")
"""Ways to choose the rules that are trained on.

random: any. rectangular: for D = 2, corners of n/4 rectangles (a, b), (a, y), (x, b), (x, y) with x ∉ {a, b} and y ∉
{a, b, x}, as released.
"""

MOST_RULES = 10**6
"""Largest p^D: rules and inputs are listed."""

TRIES = 1000
"""Draws of a rectangle before it is said that too many are asked for."""


def _noise(name: str, value: object) -> float:
    number = arguments.real(name, value)
    if not 0 <= number < 0.5:
        raise ValueError(f"{name} = {arguments.shown(value)}: expected a probability from 0 to below 1/2.")
    return number


@tasks.register
@dataclass(frozen=True)
class ModularArithmetic(tasks.Task):
    """In-context modular arithmetic.

    Parameters
    ----------
    modulus : int
        p.
    rules : int
        n: rules that are trained on.
    share : float
        α: share of the inputs that are trained on, rounded to whole inputs.
    examples : int
        Examples in a sequence; it has D + 1 tokens for each.
    chosen : str
        How the rules are chosen, one of `RULE_SETS`.
    variables : int
        D.
    noise : float
        Probability that an answer is wrong, any wrong one being as likely.
    distinct : bool
        Whether the inputs of a sequence are distinct, as released; else they are drawn independently.
    shared : bool
        Whether sequences of a batch share their inputs as released: each rule has as many sequences, and the n-th of
        each the same inputs, distinct in the whole batch.
    drawn : int
        Seed of the choice of rules and of the split of inputs.
    measured : str
        What sequences are drawn from, one of `SETS`.
    """

    modulus: int = entry(7, check=partial(arguments.integer, least=2, most=10**4), about="Modulus p.")
    rules: int = entry(40, check=partial(arguments.integer, least=1), about="Rules that a model is trained on.")
    share: float = entry(0.8, check=arguments.share, about="Share of the inputs that a model is trained on.")
    examples: int = entry(16, check=partial(arguments.integer, least=1, most=10**4), about="Examples in a sequence.")
    chosen: str = entry("random", check=partial(arguments.one_of, known=RULE_SETS), optional=True)
    variables: int = entry(2, check=partial(arguments.integer, least=1, most=10), optional=True)
    noise: float = entry(0.0, check=_noise, optional=True)
    distinct: bool = entry(False, check=arguments.flag, optional=True)
    shared: bool = entry(False, check=arguments.flag, optional=True)
    drawn: int = entry(0, check=arguments.seed, optional=True)
    measured: str = entry(SETS[0], check=partial(arguments.one_of, known=SETS), optional=True)

    kind: ClassVar[str] = "modular-arithmetic"

    def __post_init__(self) -> None:
        super().__post_init__()
        p, power = self.modulus, self.variables
        if (number := p**power) > MOST_RULES:
            raise ValueError(
                f"modulus = {p}, variables = {power}: expected at most {MOST_RULES} rules, there are {number}; "
                "give a smaller modulus, or fewer variables."
            )
        if self.rules > number:
            raise ValueError(
                f"rules = {self.rules}: expected at most {number}, all of modulus {p} with {power} variables."
            )
        if self.chosen == "rectangular" and (power != 2 or self.rules % 4 or p < 4):
            raise ValueError(
                f"chosen = 'rectangular' with rules = {self.rules}, modulus = {p}, variables = {power}: expected two "
                "variables, a multiple of 4 rules and a modulus of at least 4; choose 'random' rules, or change them."
            )
        seen = round(self.share * number)
        if not 0 < seen < number:
            raise ValueError(
                f"share = {self.share} of {number} inputs: expected at least one seen and one unseen input; give "
                f"{1 / number:.3g} … {1 - 1 / number:.3g}."
            )
        if self.measured not in self.sets:
            raise ValueError(f"measured = {self.measured!r}: all {number} rules are trained on; give fewer rules.")
        if (self.distinct or self.shared) and self.examples > (most := min(seen, number - seen)):
            raise ValueError(
                f"examples = {self.examples}: expected at most {most}, the distinct inputs on one side of the split; "
                "give fewer, or distinct = false."
            )

    @property
    def context(self) -> int:  # type: ignore[override]
        """T: all tokens of a sequence but the last answer."""
        return (self.variables + 1) * self.examples - 1

    @property
    def vocabulary(self) -> int:
        return self.modulus

    @property
    def strategies(self) -> tuple[str, ...]:
        return STRATEGIES

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Positions before an answer."""
        return np.arange(self.context) % (self.variables + 1) == self.variables - 1

    @property
    def has_answers(self) -> bool:
        return True

    @property
    def sets(self) -> tuple[str, ...]:
        """Those of `SETS` that are not empty."""
        return SETS if self.rules < self.modulus**self.variables else SETS[:2]

    @property
    def variants(self) -> tuple[ModularArithmetic, ...]:
        """The other sets, if this is the one trained on."""
        if self.measured != SETS[0]:
            return ()
        return tuple(replace(self, measured=name) for name in self.sets[1:])

    @property
    def label(self) -> str:
        parts = [f"p={self.modulus} n={self.rules} α={self.share:g} k={self.examples}"]
        parts += [f"D={self.variables}"] * (self.variables != 2) + [f"noise={self.noise:g}"] * (self.noise > 0)
        parts += [self.chosen] * (self.chosen != "random") + ["distinct"] * self.distinct + ["shared"] * self.shared
        parts += [f"drawn {self.drawn}"] * (self.drawn != 0) + [f"({self.measured})"] * (self.measured != SETS[0])
        return " ".join(parts)

    @cached_property
    def _orders(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rules and inputs as numbers below p^D; those that are trained on come first."""
        rule_draw, input_draw = np.random.default_rng(self.drawn).spawn(2)
        number = self.modulus**self.variables
        inputs = input_draw.permutation(number)
        if self.chosen == "random":
            return rule_draw.permutation(number), inputs
        corners = _rectangles(self.modulus, self.rules, rule_draw)
        rest = np.setdiff1d(np.arange(number), corners)
        return np.concatenate([corners, rule_draw.permutation(rest)]), inputs

    def vectors(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rules or inputs as vectors, shape (…, D): digits of their numbers to the base p, the first one leading."""
        return np.stack(np.unravel_index(numbers, (self.modulus,) * self.variables), axis=-1)

    @property
    def trained_rules(self) -> NDArray[np.int64]:
        """Rules that are trained on, shape (n, D)."""
        return self.vectors(self._orders[0][: self.rules])

    @property
    def new_rules(self) -> NDArray[np.int64]:
        """The other rules, shape (p^D - n, D)."""
        return self.vectors(self._orders[0][self.rules :])

    @property
    def seen_inputs(self) -> NDArray[np.int64]:
        """Inputs that are trained on, shape (m, D)."""
        return self.vectors(self._orders[1][: self._seen])

    @property
    def unseen_inputs(self) -> NDArray[np.int64]:
        """The other inputs, shape (p^D - m, D)."""
        return self.vectors(self._orders[1][self._seen :])

    @property
    def _seen(self) -> int:
        return round(self.share * self.modulus**self.variables)

    @property
    def drawn_rules(self) -> NDArray[np.int64]:
        """Rules that sequences are drawn from."""
        return self.trained_rules if self.measured.startswith(TRAINED) else self.new_rules

    @property
    def drawn_inputs(self) -> NDArray[np.int64]:
        """Inputs that sequences are drawn from."""
        return self.seen_inputs if f" {SEEN} " in self.measured else self.unseen_inputs

    def expected_loss(self, strategy: str, *, tolerance: float = 2e-3, seed: int = 0) -> Expectation:
        arguments.one_of("strategy", strategy, STRATEGIES)
        from onset.theory.modular.ideal import expected_loss

        return expected_loss(self, strategy, tolerance=tolerance, seed=seed)


def _rectangles(modulus: int, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Numbers of the rules at the corners of rectangles, none in two of them."""
    corners: list[int] = []
    for _ in range(TRIES * count):
        if len(corners) == count:
            return np.array(corners)
        a, b = generator.integers(modulus, size=2)
        x = generator.choice(np.setdiff1d(np.arange(modulus), [a, b]))
        y = generator.choice(np.setdiff1d(np.arange(modulus), [a, b, x]))
        four = [int(first * modulus + second) for first, second in ((a, b), (a, y), (x, b), (x, y))]
        if not set(four) & set(corners):
            corners += four
    raise ValueError(
        f"rules = {count}, chosen = 'rectangular': expected fewer, no more rectangles of new rules were drawn at "
        f"modulus {modulus}; choose 'random' rules."
    )
