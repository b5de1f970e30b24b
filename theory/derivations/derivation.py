r"""What an executable derivation is: a statement, how it follows, and checks that can fail.

The statement is a sympy equation or inequality. The library evaluates that very expression (`Derivation.function`),
prints it (`Derivation.latex`) and tests it (`Derivation.check`): it stands once. Steps are results of sympy operations
carried out by the module, in order, each with the reason why it follows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import sympy as sp

__all__ = ["Check", "Derivation", "Outcome", "Step", "Verdict"]


@dataclass(frozen=True)
class Step:
    """One step: `name` says what is done, `expression` is what sympy returned, `reason` why it follows, `checks` which checks test it."""

    name: str
    expression: sp.Basic
    reason: str = ""
    checks: Sequence[str] = ()


@dataclass(frozen=True)
class Outcome:
    """What a check found: a residual, the largest that is acceptable, and where that limit comes from.

    An exact identity has tolerance 0. A residual against a standard error is given as |z|.
    """

    residual: float
    tolerance: float
    because: str

    @property
    def passed(self) -> bool:
        """Whether the residual is within the tolerance; one that is not a number is not."""
        return bool(self.residual <= self.tolerance)

    @classmethod
    def identity(cls, *differences: sp.Basic) -> Outcome:
        """Exact: how many of `differences` sympy does not simplify to zero."""
        left = sum(sp.simplify(d) != 0 for d in differences)
        return cls(float(left), 0.0, f"exact arithmetic, {len(differences)} identities")


@dataclass(frozen=True)
class Check:
    """A check: `compares` says in words what is compared with what; `run` does it."""

    name: str
    compares: str
    run: Callable[[], Outcome]


@dataclass(frozen=True)
class Verdict:
    """A check that was run: its outcome, or the error it raised, and how long it took."""

    check: Check
    outcome: Outcome | None
    seconds: float
    error: str | None = None

    @property
    def passed(self) -> bool:
        return self.outcome is not None and self.outcome.passed

    def to_dict(self) -> dict[str, Any]:
        found = self.outcome
        return {
            "check": self.check.name,
            "compares": self.check.compares,
            "passed": self.passed,
            "residual": None if found is None or not math.isfinite(found.residual) else found.residual,
            "tolerance": None if found is None else found.tolerance,
            "because": None if found is None else found.because,
            "error": self.error,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class Derivation:
    """A result that can be read, evaluated and checked.

    Attributes
    ----------
    name : str
        Lower case, with hyphens.
    title : str
    statement : sympy equation or inequality
    symbols : mapping of sympy symbol to str
        What each symbol of the statement means, with its unit if it has one.
    assumptions : sequence of str
        In words.
    validity : str
        Where the statement may be used, and what happens outside.
    source : str
        Paper and equation, or "derived here".
    references : sequence of str
        Keys of `onset.theory.derivations.references`.
    steps : sequence of Step
    checks : list of Check
        Those of `theory`; `simulate` and `validate` attach theirs, see `onset.theory.derivations.attach`.
    """

    name: str
    title: str
    statement: sp.Basic
    symbols: Mapping[sp.Basic, str]
    assumptions: Sequence[str]
    validity: str
    source: str
    steps: Sequence[Step]
    checks: list[Check]
    references: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        if not isinstance(self.statement, sp.core.relational.Relational):
            raise ValueError(
                f"statement of {self.name} = {self.statement}: expected a sympy equation or inequality; write sp.Eq(left, right)."
            )

    @cached_property
    def value(self) -> sp.Basic:
        """The statement's right-hand side."""
        return self.statement.args[1]

    def function(self, *arguments: sp.Basic, modules: Any = "numpy") -> Callable[..., Any]:
        """The statement's right-hand side as a numerical function of `arguments` (by default its free symbols by name)."""
        chosen = arguments or tuple(sorted(self.value.free_symbols, key=str))
        missing = self.value.free_symbols - set(chosen)
        if missing:
            raise ValueError(
                f"arguments = {chosen}: the statement of {self.name} also depends on {sorted(map(str, missing))}; add them or substitute values first."
            )
        # A common subexpression must not be lifted out of the integral that binds its variable.
        return sp.lambdify(chosen, self.value, modules, cse=not self.value.has(sp.Integral, sp.Sum))

    def check(self) -> list[Verdict]:
        """Run every check; one that raises fails and does not stop the others."""
        return list(self.checking())

    def checking(self) -> Iterator[Verdict]:
        """The same, one at a time."""
        for check in self.checks:
            start = time.perf_counter()
            try:
                yield Verdict(check, check.run(), time.perf_counter() - start)
            except Exception as error:
                yield Verdict(check, None, time.perf_counter() - start, f"{type(error).__name__}: {error}")

    def latex(self) -> str:
        """The statement in LaTeX."""
        return sp.latex(self.statement)
