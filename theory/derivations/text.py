r"""Derivations written as functions: the docstring is the text, the result is the statement and the steps' expressions.

    @derives("two-state-chain")
    def derive() -> Expressions:
        r'''Two states: powers of the transition matrix

        Symbols
        -------
        rho : second eigenvalue, $1 - a - b$
        P, a, b

        Assumptions
        -----------
        - $0 < a, b$ and $a + b < 2$

        Steps
        -----
        - solve $\pi P = \pi$: two equations and $\pi_0 + \pi_1 = 1$ [stationary]
        - split off the limit: $1\pi$ is a projection

        Validity
        --------
        All lags.

        Source
        ------
        Kemeny, Snell, Finite Markov Chains (1960), chapter 4

        References
        ----------
        kemeny1960finite
        '''
        return {"statement": equation(P**r, power), "stationary": stationary}

A symbol stands by its name in sympy; without a meaning it has that of `MEANINGS`. A step is its name, the reason behind
a colon, and in brackets the label of its equation, if it has one. Indented lines continue the line before.
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any, TypeAlias

import sympy as sp
from sympy.core.function import AppliedUndef

from onset.theory.derivations.derivation import STATEMENT, Check, Derivation, Step
from onset.theory.derivations.notation import MEANINGS

__all__ = ["Expressions", "derives", "equation"]

Expressions: TypeAlias = Mapping[str, Any]
"""The statement and the equations of steps, by label: of sympy, whose types are not precise enough to say more."""

_SYMBOLS = (sp.Symbol, sp.MatrixSymbol, sp.Indexed, sp.IndexedBase, AppliedUndef)


def equation(left: Any, right: Any) -> sp.Basic:
    """`left` = `right`, left as it stands; a string is the name of a symbol."""
    return sp.Eq(*map(_immutable, (sp.Symbol(left) if isinstance(left, str) else left, right)), evaluate=False)


def derives(name: str) -> Callable[[Callable[[], Expressions]], Callable[[], Derivation]]:
    """Decorator: make a function with a text as above return the derivation `name`, with all checks of its module."""

    def decorate(function: Callable[[], Expressions]) -> Callable[[], Derivation]:
        @wraps(function)
        def build() -> Derivation:
            title, *parts = re.split(r"\n\n(\w+)\n-+\n", inspect.getdoc(function) or "")
            sections = dict(zip(parts[::2], parts[1::2], strict=True))
            steps = list(map(_step, _items(sections.get("Steps", ""))))
            equations = {label: _immutable(expression) for label, expression in function().items()}
            if (labels := [STATEMENT, *(step.label for step in steps if step.label)]) != list(equations):
                raise ValueError(
                    f"derivation {name}: expected the equations {labels}, as labelled in brackets by the steps of its "
                    f"docstring, got {list(equations)}; return one for each label, in this order."
                )
            return Derivation(
                name=name,
                title=" ".join(title.split()),
                statement=equations[STATEMENT],
                symbols=_symbols(_items(sections.get("Symbols", "")), equations.values()),
                assumptions=_items(sections.get("Assumptions", "")),
                validity=" ".join(sections["Validity"].split()),
                source=" ".join(sections["Source"].split()),
                steps=[replace(step, expression=equations.get(step.label)) for step in steps],
                checks=_checks(function.__globals__),
                references=re.findall(r"[^\s,]+", sections.get("References", "")),
            )

        return build

    return decorate


def _checks(module: Mapping[str, Any]) -> list[Check]:
    """Checks of a module, and those in its tuples, in the order in which they are defined."""
    values = (value if isinstance(value, tuple) else (value,) for value in module.values())
    return [value for value in itertools.chain.from_iterable(values) if isinstance(value, Check)]


def _immutable(expression: Any) -> Any:
    return sp.ImmutableMatrix(expression) if isinstance(expression, sp.MatrixBase) else expression


def _items(section: str) -> list[str]:
    """Lines of a section without their bullets, each joined with the indented lines that continue it."""
    return [line.removeprefix("- ") for line in re.sub(r"\n\s+", " ", section).splitlines()]


def _step(text: str) -> Step:
    """A step without its expression."""
    label = re.search(r" \[([a-z0-9_]+)\]$", text)
    name, _, reason = (text[: label.start()] if label else text).partition(": ")
    return Step(name, reason, label[1] if label else "")


def _symbols(rows: Sequence[str], expressions: Iterable[sp.Basic]) -> dict[sp.Basic, str]:
    """Meaning of each symbol; one that only the prose uses has no assumptions."""
    known: dict[str, sp.Basic] = {}
    for node in (node for expression in expressions for node in sp.preorder_traversal(expression)):
        if isinstance(node, _SYMBOLS):
            known.setdefault(str(node), node)
    table: dict[sp.Basic, str] = {}
    for row in rows:
        name, colon, meaning = row.partition(" : ")
        for symbol in [name] if colon else name.split(", "):
            if not colon and symbol not in MEANINGS:
                raise ValueError(
                    f"symbol {symbol!r} of the docstring: expected a meaning, or one of {', '.join(MEANINGS)}, "
                    f"which have theirs in the notation; write '{symbol} : its meaning'."
                )
            table[known.get(symbol) or _symbol(symbol)] = meaning or MEANINGS[symbol]
    return table


def _symbol(name: str) -> sp.Basic:
    """A symbol, or a function of one."""
    function, _, argument = name.removesuffix(")").partition("(")
    return sp.Function(function)(sp.Symbol(argument)) if argument else sp.Symbol(name)
