r"""Executable derivations: a statement, the steps that lead to it, and checks that can fail.

The statement is a sympy equation or inequality. The library evaluates that very expression (`Derivation.function`),
prints it and tests it (`Derivation.check`): it stands once. The expressions of the steps are results of sympy
operations, each with the reason why it follows.

Titles, meanings, reasons and all other prose hold mathematics as LaTeX between dollar signs, ``$\pi P = \pi$``, and
names from the code between backquotes.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, wraps
from typing import Any, TypeAlias

import sympy as sp

from onset.theory.derivations import printing
from onset.theory.plain_data import plain

__all__ = ["Check", "CheckResult", "Derivation", "Identities", "Residual", "Step", "check", "numerical"]


@dataclass(frozen=True)
class Residual:
    """Size of a difference, the largest that is acceptable, and where that limit comes from.

    An exact identity has tolerance 0. A difference in units of its standard error is given as |z|.
    """

    value: float
    tolerance: float
    because: str

    @property
    def passed(self) -> bool:
        """True if the value is within the tolerance; NaN is not."""
        return bool(self.value <= self.tolerance)

    @classmethod
    def of_identities(cls, *differences: Any) -> Residual:
        """Number of `differences`, at least one, that sympy does not simplify to zero."""
        if not differences:
            raise ValueError("differences = (): expected one expression or more; a check of nothing shows nothing.")
        failed = sum(sp.simplify(difference) != 0 for difference in differences)
        return cls(float(failed), 0.0, f"exact arithmetic, {len(differences)} identities")


@dataclass(frozen=True)
class Check:
    """A comparison that can fail: `compares` says what is compared with what, `run` does it."""

    name: str
    compares: str
    run: Callable[[], Residual]

    def __call__(self) -> Residual:
        return self.run()


Identities: TypeAlias = Iterable[Any]
"""Differences of sympy expressions, each of which has to vanish."""


def check(compares: str) -> Callable[[Callable[[], Residual | Identities]], Check]:
    """Decorator: make a function without arguments, which returns a residual or identities, a check of its name."""

    def decorate(function: Callable[[], Residual | Identities]) -> Check:
        @wraps(function)
        def run() -> Residual:
            result = function()
            return result if isinstance(result, Residual) else Residual.of_identities(*result)

        return Check(function.__name__.strip("_").replace("_", "-"), compares, run)

    return decorate


def numerical(arguments: Sequence[Any], expression: Any, modules: str = "numpy") -> Callable[..., Any]:
    """`expression` as a function of `arguments`, compiled when it is first called."""
    compiled = cache(lambda: sp.lambdify(arguments, expression, modules))

    def evaluate(*values: Any) -> Any:
        return compiled()(*values)

    return evaluate


@dataclass(frozen=True)
class CheckResult:
    """A check and the residual or error of its last run, or why it was skipped; all None if it was not run."""

    check: Check
    residual: Residual | None = None
    error: str | None = None
    skipped: str | None = None
    seconds: float | None = None

    @property
    def passed(self) -> bool | None:
        """None if the check was skipped or not run."""
        if self.residual is None:
            return None if self.error is None else False
        return self.residual.passed

    def to_dict(self) -> dict[str, Any]:
        """Plain data; numbers that are not finite become None."""
        return {
            "check": self.check.name,
            "compares": self.check.compares,
            "passed": self.passed,
            "residual": self.residual and plain(float(self.residual.value)),
            "tolerance": self.residual and plain(float(self.residual.tolerance)),
            "because": self.residual and self.residual.because,
            "error": self.error,
            "skipped": self.skipped,
            "seconds": self.seconds,
        }

    @classmethod
    def from_dict(cls, check: Check, data: Mapping[str, Any]) -> CheckResult:
        """The result of `check` that `to_dict` wrote."""
        value, tolerance = (math.nan if data[key] is None else data[key] for key in ("residual", "tolerance"))
        residual = None if data["because"] is None else Residual(value, tolerance, data["because"])
        return cls(check, residual, data["error"], data["skipped"], data["seconds"])


@dataclass(frozen=True)
class Step:
    """A step: what is done (`name`), its result, why it follows, and the names of the checks that test it."""

    name: str
    expression: sp.Basic
    reason: str = ""
    checks: Sequence[str] = ()


@dataclass(frozen=True)
class Derivation:
    """A result that can be read, evaluated and checked.

    Attributes
    ----------
    name : str
        Lower case, words joined by hyphens.
    title : str
    statement : sympy equation or inequality
    symbols : mapping of sympy expression to str
        Meaning of each symbol, with its unit if it has one: all that the statement and the steps leave free, and
        those that the prose uses. No two print alike.
    assumptions : sequence of str
    validity : str
        Where the statement may be used, and what happens outside.
    source : str
        Paper and equation, or "derived here".
    steps : sequence of Step
    checks : sequence of Check
        Those of `onset.theory`; `onset.simulate` and `onset.validate` attach theirs, see `attach`.
    references : sequence of str
        Keys in ``paper/references.bib``.
    """

    name: str
    title: str
    statement: sp.Basic
    symbols: Mapping[sp.Basic, str]
    assumptions: Sequence[str]
    validity: str
    source: str
    steps: Sequence[Step]
    checks: Sequence[Check]
    references: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]+([-.][a-z0-9]+)*", self.name) or self.name == "derivations":
            raise ValueError(
                f"name = {self.name!r}: expected lower-case letters and digits joined by hyphens, and not "
                "'derivations', as files and links are named after it; rename the derivation."
            )
        if not isinstance(self.statement, sp.core.relational.Relational):
            raise ValueError(
                f"statement of {self.name} = {self.statement}: expected a sympy equation or inequality; "
                "write sp.Eq(left, right, evaluate=False)."
            )

    @cached_property
    def value(self) -> sp.Basic:
        """Right-hand side of the statement."""
        return self.statement.args[1]

    def function(self, *arguments: sp.Basic, modules: Any = "numpy") -> Callable[..., Any]:
        """The right-hand side as a numerical function of `arguments`, by default its free symbols sorted by name."""
        chosen = arguments or tuple(sorted(self.value.free_symbols, key=str))
        missing = self.value.free_symbols - set(chosen)
        if missing:
            raise ValueError(
                f"arguments = {chosen}: the statement of {self.name} also depends on {sorted(map(str, missing))}; "
                "add them or substitute values first."
            )
        # A common subexpression must not be lifted out of the integral that binds its variable.
        return sp.lambdify(chosen, self.value, modules, cse=not self.value.has(sp.Integral, sp.Sum))

    def latex(self) -> str:
        """The statement in LaTeX."""
        return printing.latex(self.statement)

    def check(self) -> list[CheckResult]:
        """Run every check; one that raises has failed and does not stop the others."""
        return list(self.run_checks())

    def run_checks(self) -> Iterator[CheckResult]:
        """Run the checks one at a time."""
        for current in self.checks:
            start, residual, error = time.perf_counter(), None, None
            try:
                residual = current.run()
            except Exception as problem:
                error = f"{type(problem).__name__}: {problem}"
            yield CheckResult(current, residual, error, seconds=time.perf_counter() - start)
