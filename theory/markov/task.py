r"""The task of in-context Markov chains (Edelman et al., arXiv 2402.11004).

Each sequence comes from a chain of its own: a transition matrix drawn from a prior, a start from its stationary law, T
+ 1 tokens. For chains of order n the next symbol depends on the last n - 1. The ideal strategies are uniform, unigram,
…, n-gram: each counts the symbols that followed the last m - 1 symbols earlier in the context.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from onset.theory import arguments, tasks
from onset.theory.entries import entry
from onset.theory.expectation import Expectation
from onset.theory.markov.exchangeability import require_exchangeable
from onset.theory.markov.priors import (
    Dirichlet,
    Mixture,
    Prior,
    checked,
    prior_from_dict,
    prior_label,
    prior_to_dict,
)

__all__ = ["STRATEGIES", "MarkovChains", "require_first_order", "require_markov_chains", "strategies"]

NAMED = ("uniform", "unigram", "bigram", "trigram")


def strategies(order: int) -> tuple[str, ...]:
    """Ideal strategies for chains of order n in the expected order: uniform, unigram, …, n-gram."""
    return tuple(NAMED[n] if n < len(NAMED) else f"{n}-gram" for n in range(order + 1))


STRATEGIES = strategies(2)
"""Strategies for chains of order 2."""


@tasks.register
@dataclass(frozen=True)
class MarkovChains(tasks.Task):
    """In-context Markov chains.

    Parameters
    ----------
    prior : Prior
        Law of the transition matrices; sequences start from the stationary law.
    context : int
        T: tokens the model sees; a sequence has T + 1.
    tested_on : tuple of Prior
        Other priors over the same states, on whose chains the model is measured along training.
    """

    prior: Prior = entry(check=checked, write=prior_to_dict, read=prior_from_dict)
    context: int = entry(
        100,
        check=partial(arguments.integer, least=2, most=tasks.LARGEST_CONTEXT),
        about="Tokens T that the model sees.",
    )
    tested_on: tuple[Prior, ...] = entry(
        (),
        check=arguments.items,
        optional=True,
        write=lambda priors: [prior_to_dict(prior) for prior in priors],
        read=lambda data: tuple(
            prior_from_dict(arguments.table("tested_on", prior)) for prior in arguments.items("tested_on", data)
        ),
    )

    kind: ClassVar[str] = "markov-chains"

    def __post_init__(self) -> None:
        super().__post_init__()
        for prior in self.tested_on:
            if (prior.states, prior.order) != (self.states, self.order):
                raise ValueError(
                    f"tested_on = {prior}: expected states = {self.states} and order = {self.order}, "
                    "those of the chains trained on."
                )

    @classmethod
    def of(
        cls,
        *,
        prior: Prior | None = None,
        states: int | None = None,
        order: int | None = None,
        context: int = 100,
        tested_on: Sequence[Prior] = (),
    ) -> MarkovChains:
        """Make the task; without a prior, rows are flat Dirichlet over `states` (2) with `order` (2)."""
        if prior is None:
            prior = Dirichlet(2 if states is None else states, order=2 if order is None else order)
        for name, value in (("states", states), ("order", order)):
            if value is not None and value != getattr(prior, name):
                raise ValueError(
                    f"{name} = {value} but the prior has {name} = {getattr(prior, name)}: expected the same; "
                    "leave one of them out."
                )
        return cls(prior, context, tested_on)  # type: ignore[arg-type]

    @property
    def states(self) -> int:
        """k: number of symbols."""
        return self.prior.states

    @property
    def order(self) -> int:
        """n: the next symbol depends on the last n - 1."""
        return self.prior.order

    @property
    def vocabulary(self) -> int:
        return self.states

    @property
    def strategies(self) -> tuple[str, ...]:
        return strategies(self.order)

    @property
    def lags(self) -> tuple[int, ...]:
        return tuple(range(1, self.order))

    @property
    def variants(self) -> tuple[MarkovChains, ...]:
        return tuple(MarkovChains(prior, self.context) for prior in self.tested_on)

    @property
    def label(self) -> str:
        flat = self.prior == Dirichlet(self.states, order=self.order)
        prior = f" {prior_label(self.prior)}" if not flat else "" if self.order == 2 else f" n={self.order}"
        return f"k={self.states} T={self.context}{prior}"

    def expected_loss(self, strategy: str, *, tolerance: float = 2e-3, seed: int = 0) -> Expectation:
        from onset.theory.markov.ideal import finite_loss

        return finite_loss(self.prior, strategy, self.context, tolerance=tolerance, seed=seed)

    def facts(self) -> dict[str, Any]:
        components = self.prior.components if isinstance(self.prior, Mixture) else (self.prior,)
        facts = {
            "states": self.states,
            "order": self.order,
            "context": self.context,
            "prior": self.prior.kind,
            "concentration": tuple(c.concentration for c in components if hasattr(c, "concentration")),  # type: ignore[union-attr]
        }
        return facts | ({"weight": self.prior.weights[0]} if isinstance(self.prior, Mixture) else {})


def require_markov_chains(task: tasks.Task, method: str) -> None:
    """Raise ``ValueError`` unless `task` is of Markov chains with an exchangeable prior, all that `method` supports."""
    if not isinstance(task, MarkovChains):
        raise ValueError(f"task = {task.kind!r}: {method} supports Markov chains only; train it.")
    require_exchangeable(task.prior, method)


def require_first_order(task: tasks.Task, method: str) -> None:
    """Raise ``ValueError`` unless `task` is of Markov chains of order 2, all that `method` supports."""
    require_markov_chains(task, method)
    if task.order != 2:  # type: ignore[attr-defined]
        raise ValueError(
            f"order = {task.order}: {method} supports Markov chains, order = 2, only; "  # type: ignore[attr-defined]
            "use the finite context, or order = 2."
        )
