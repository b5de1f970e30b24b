"""Corruptions of a printed equation: twice a side, plus one, not a number, a term's other sign, a number plus one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational

from onset.theory.derivations.derivation import Check, Derivation

__all__ = ["Corruption", "blind", "corruptions", "sampled", "unnoticed"]

SAMPLED = 3
"""How many terms and numbers of an equation `sampled` changes, one at a time."""


class Corruption(NamedTuple):
    """What was done to an equation, and the wrong equation."""

    what: str
    equation: sp.Basic
    gross: bool = False
    """Twice a side, a side plus one, or not a number."""


def corruptions(printed: Any) -> Iterator[Corruption]:
    """All corruptions of an equation, an expression, or the parts of a tuple or a matrix, one at a time.

    The left side is left alone where it only names what the right side is; twice a side is no corruption where the
    other side is zero.
    """
    if isinstance(printed, Relational):
        left, right = printed.args
        for what, wrong, gross in corruptions(right):
            if not (what.endswith("doubled") and _is_zero(left)):
                yield Corruption(f"right side, {what}", printed.func(left, wrong, evaluate=False), gross)
        for what, wrong, gross in () if _is_name(left) else corruptions(left):
            if not (what.endswith("doubled") and _is_zero(right)):
                yield Corruption(f"left side, {what}", printed.func(wrong, right, evaluate=False), gross)
    elif isinstance(printed, sp.Tuple | sp.MatrixBase):
        parts = list(printed)
        for number, part in enumerate(parts):
            for what, wrong, gross in corruptions(part):
                whole = [*parts[:number], wrong, *parts[number + 1 :]]
                rebuilt = sp.Tuple(*whole) if isinstance(printed, sp.Tuple) else printed.func(*printed.shape, whole)
                yield Corruption(f"part {number}, {what}", rebuilt, gross)
    else:
        one = sp.OneMatrix(*printed.shape) if isinstance(printed, sp.MatrixExpr) else sp.Integer(1)
        if printed != 0:
            yield Corruption("doubled", 2 * printed, gross=True)
        yield Corruption("plus one", printed + one, gross=True)
        if not isinstance(printed, sp.MatrixExpr):
            yield Corruption("not a number", sp.nan, gross=True)
        for path, node in _nodes(printed):
            for what, changed in _changed(node):
                wrong = _replaced(printed, path, changed)
                if wrong != printed:
                    yield Corruption(f"{what} in {_at(printed, path if node.args else path[:-1])}", wrong)


def sampled(printed: Any, seed: int = 0) -> Iterator[Corruption]:
    """The gross corruptions, and `SAMPLED` of the others at random."""
    found = list(corruptions(printed))
    subtle = [corruption for corruption in found if not corruption.gross]
    yield from (corruption for corruption in found if corruption.gross)
    for chosen in np.random.default_rng(seed).permutation(len(subtle))[:SAMPLED]:
        yield subtle[chosen]


def _is_zero(side: Any) -> bool:
    return all(part == 0 for part in side) if isinstance(side, sp.MatrixBase) else side == 0


def _is_name(left: Any) -> bool:
    """True for a symbol, an array's entry, a function of symbols, or a matrix of these."""
    if isinstance(left, sp.MatrixBase):
        return all(map(_is_name, left))
    return isinstance(left, sp.Symbol | sp.MatrixSymbol | sp.Indexed) or (
        isinstance(left, AppliedUndef) and all(map(_is_name, left.args))
    )


def _nodes(expression: Any, path: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Sums and numbers of an expression with the way to each; orders of neglected terms are left out."""
    if isinstance(expression, sp.Add | sp.MatAdd | sp.Rational):
        yield path, expression
    if not isinstance(expression, sp.Order | sp.MatrixSymbol | sp.IndexedBase):
        for number, argument in enumerate(expression.args[: 1 if isinstance(expression, sp.Derivative) else None]):
            yield from _nodes(argument, (*path, number))


def _changed(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, sp.Rational):
        yield f"{node} plus one", node + 1
    else:
        for number, term in enumerate(node.args):
            if not isinstance(term, sp.Order):
                parts = [*node.args[:number], -term, *node.args[number + 1 :]]
                yield f"minus {term}", node.func(*parts)


def _at(expression: Any, path: tuple[int, ...]) -> Any:
    return _at(expression.args[path[0]], path[1:]) if path else expression


def _replaced(expression: Any, path: tuple[int, ...], node: Any) -> Any:
    if not path:
        return node
    arguments = list(expression.args)
    arguments[path[0]] = _replaced(arguments[path[0]], path[1:], node)
    return expression.func(*arguments)


EQUIVALENT = {
    ("alternation", "statement", "right side, minus 1 in m + 1"): "(-1)^(m+1) = (-1)^(m-1)",
    ("alternation", "statement", "right side, minus m in m + 1"): "(-1)^(m+1) = (-1)^(1-m)",
    ("signals", "softmax", "1 plus one in (t, 1, T)"): "with one source, t = 1, its score is its mean over sources",
}
"""Corruptions of an equation that change nothing, and why."""


def unnoticed(derivation: Derivation) -> list[str]:
    """What no check of a derivation notices: corruptions of an equation, as `sampled`, and `blind` checks."""
    seconds: dict[str, float] = {}
    failed, left = set(), []

    def notices(check: Check, label: str, wrong: sp.Basic) -> bool:
        result = derivation.run(check, **{label: wrong})
        seconds[check.name] = result.seconds or 0.0
        if result.passed is False:
            failed.add((check.name, label))
        return result.passed is False

    for label, printed in derivation.equations.items():
        asking = [check for check in derivation.checks if label in check.labels]
        for what, wrong, _ in sampled(printed):
            if (derivation.name, label, what) not in EQUIVALENT:
                quickest = sorted(asking, key=lambda check: seconds.get(check.name, 0.0))
                if not any(notices(check, label, wrong) for check in quickest):
                    left.append(f"{label}: {what}")
    pairs = [(check, label) for check in derivation.checks for label in check.labels]
    return left + blind(derivation, [pair for pair in pairs if (pair[0].name, pair[1]) not in failed])


def blind(derivation: Derivation, pairs: Iterable[tuple[Check, str]]) -> list[str]:
    """Checks that ask for an equation and pass whatever it says, of pairs of a check and a label."""
    return [
        f"{check.name} passes whatever {label} says"
        for check, label in pairs
        if all(
            derivation.run(check, **{label: corruption.equation}).passed
            for corruption in sampled(derivation.equations[label])
        )
    ]
