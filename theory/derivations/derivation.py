r"""Executable derivations: a statement, the steps that lead to it, and checks that can fail.

The statement is a sympy equation or inequality, the expressions of the steps are results of sympy operations, each with
the reason why it follows. Every equation that is printed has a label. **A check is given the very expressions that are
printed, as parameters named after their labels**, and compares them with something independent. So a printed equation
cannot be wrong unnoticed, and its mark is that of the checks which evaluate it.

Titles, meanings, reasons and all other prose hold mathematics as LaTeX between dollar signs, ``$\pi P = \pi$``, and
names from the code between backquotes.
"""

from __future__ import annotations

import inspect
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, wraps
from typing import Any, TypeAlias

import numpy as np
import sympy as sp

from onset.theory.derivations import printing
from onset.theory.plain_data import plain

__all__ = [
    "STATEMENT",
    "Check",
    "CheckResult",
    "Derivation",
    "Identities",
    "Residual",
    "Step",
    "check",
    "numerical",
    "worst",
]

STATEMENT = "statement"
"""Label of a derivation's statement."""

VISIBLE = 1e-6
"""Value at a point that an expression of order one has if it does not vanish: rounding is 1e-15."""


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
        expressions = list(map(sp.sympify, differences))
        failed = sum(map(_differs, expressions)) or sum(sp.simplify(expression) != 0 for expression in expressions)
        return cls(float(failed), 0.0, f"exact arithmetic, {len(differences)} identities")


def worst(*values: Any) -> float:
    """The largest of several numbers; NaN if one is, which `max` passes over."""
    return float(np.max([float(value) for value in values]))


def _differs(expression: Any) -> bool:
    """True if an expression is seen not to vanish at a point, which takes far less time than to show that it does."""
    symbols = sorted(expression.free_symbols, key=str)
    for seed in (0, 1):
        numbers = map(int, np.random.default_rng(seed).integers(2, 12, len(symbols)))
        point = {s: n if s.is_integer else sp.Rational(n, 2 * n + 3) for s, n in zip(symbols, numbers, strict=True)}
        size = sp.Abs(sp.N(expression.subs(point)))
        if size.is_comparable and size > VISIBLE:
            return True
    return False


@dataclass(frozen=True)
class Check:
    """A comparison that can fail: `compares` says what is compared with what, `run` does it.

    The parameters of `run` without a default are labels of printed equations, which it is given.
    """

    name: str
    compares: str
    run: Callable[..., Residual]

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Labels of the equations that the check evaluates."""
        parameters = inspect.signature(self.run).parameters.values()
        return tuple(one.name for one in parameters if one.default is one.empty)

    def __call__(self, *equations: Any, **labelled: Any) -> Residual:
        return self.run(*equations, **labelled)


Identities: TypeAlias = Iterable[Any]
"""Differences of sympy expressions, each of which has to vanish."""


def check(compares: str) -> Callable[[Callable[..., Residual | Identities]], Check]:
    """Decorator: make a function of printed equations, which returns a residual or identities, a check of its name."""

    def decorate(function: Callable[..., Residual | Identities]) -> Check:
        @wraps(function)
        def run(*equations: Any, **labelled: Any) -> Residual:
            result = function(*equations, **labelled)
            return result if isinstance(result, Residual) else Residual.of_identities(*result)

        return Check(function.__name__.strip("_").replace("_", "-"), compares, run)

    return decorate


def numerical(arguments: Sequence[Any], expression: Any, modules: str = "numpy") -> Callable[..., Any]:
    """`expression` as a function of `arguments`, compiled when it is first called."""
    compiled = cache(lambda: sp.lambdify(arguments, _compilable(expression), modules))

    def evaluate(*values: Any) -> Any:
        return compiled()(*values)

    return evaluate


def _compilable(expression: Any) -> Any:
    """With harmonic numbers as digammas: sympy's printer of the former leaves out brackets, which changes products."""
    if isinstance(expression, list | tuple):
        return [_compilable(part) for part in expression]
    return sp.sympify(expression).replace(sp.harmonic, lambda *arguments: sp.harmonic(*arguments).rewrite(sp.polygamma))


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
    """A step: what is done (`name`) and why it follows; its result and the label of that, unless words suffice."""

    name: str
    reason: str = ""
    label: str = ""
    expression: sp.Basic | None = None


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
        labels = [step.label for step in self.steps if step.expression is not None]
        if STATEMENT in labels or len(set(labels)) < len(labels) or not all(map(str.isidentifier, labels)):
            raise ValueError(
                f"labels of the steps of {self.name} = {labels}: expected names of Python, each once and none "
                f"{STATEMENT!r}; relabel them."
            )
        for check in self.checks:
            if unknown := set(check.labels) - set(self.equations):
                raise ValueError(
                    f"check {check.name} of {self.name} asks for {sorted(unknown)}: expected labels of printed "
                    f"equations, {list(self.equations)}; rename its parameters."
                )

    @cached_property
    def equations(self) -> dict[str, sp.Basic]:
        """All that is printed, by label: the statement and the expressions of the steps."""
        printed = {step.label: step.expression for step in self.steps if step.expression is not None}
        return {STATEMENT: self.statement} | printed

    @property
    def unevaluated(self) -> list[str]:
        """Labels of printed equations that no check asks for."""
        evaluated = {label for check in self.checks for label in check.labels}
        return [label for label in self.equations if label not in evaluated]

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
        return sp.lambdify(chosen, _compilable(self.value), modules, cse=not self.value.has(sp.Integral, sp.Sum))

    def latex(self) -> str:
        """The statement in LaTeX."""
        return printing.latex(self.statement)

    def check(self) -> list[CheckResult]:
        """Run every check; one that raises has failed and does not stop the others."""
        return list(self.run_checks())

    def run_checks(self) -> Iterator[CheckResult]:
        """Run the checks one at a time."""
        return map(self.run, self.checks)

    def run(self, check: Check, **others: sp.Basic) -> CheckResult:
        """Run one check on the printed equations, or on `others` in place of those of their labels."""
        start, residual, error = time.perf_counter(), None, None
        equations = self.equations | others
        try:
            residual = check.run(**{label: equations[label] for label in check.labels})
        except Exception as problem:
            error = f"{type(problem).__name__}: {problem}"
        return CheckResult(check, residual, error, seconds=time.perf_counter() - start)
