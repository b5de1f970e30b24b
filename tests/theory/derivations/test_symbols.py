"""All derivations: every symbol is in the table, and no two symbols, or meanings, share a printed name."""

from __future__ import annotations

import itertools
import re

import pytest
import sympy as sp
from sympy.core.alphabets import greeks
from sympy.core.function import AppliedUndef, UndefinedFunction

from onset.paper.citation import references
from onset.theory.derivations import get, names
from onset.theory.derivations.derivation import Derivation
from onset.theory.derivations.printing import latex
from onset.validate.checks.running import attach_all

COMMON = {"e", "d", "O", "I", "i", "j", "l", "z", r"\psi"}
"""Letters without a row: the number e, differentials, orders of terms, identity, states as indices, scores, digamma."""

GREEK = {f"\\{name}" for letter in (*greeks, "ell") for name in (letter, letter.capitalize())}

STATISTICS = {"Cov"}
"""Functions whose name says what they are."""


def _named(expression: sp.Basic) -> set:
    """Symbols, arrays, matrices and undefined functions in an expression, bound or free."""
    if isinstance(expression, sp.Symbol | sp.MatrixSymbol | sp.IndexedBase):
        return {expression}
    inner = [_named(argument) for argument in expression.args if isinstance(argument, sp.Basic)]
    return set().union(*inner, {expression.func} if isinstance(expression, AppliedUndef) else set())


def _printed(symbol) -> str:
    return latex(sp.Symbol(symbol.__name__) if isinstance(symbol, UndefinedFunction) else symbol)


def _expressions(derivation: Derivation) -> list[sp.Basic]:
    return list(derivation.equations.values())


def _prose(derivation: Derivation) -> list[str]:
    steps = itertools.chain.from_iterable((step.name, step.reason) for step in derivation.steps)
    texts = [derivation.title, derivation.validity, derivation.source, *derivation.assumptions, *steps]
    return [*texts, *derivation.symbols.values(), *(check.compares for check in derivation.checks)]


def _letters(mathematics: str) -> set[str]:
    """Letters and Greek letters of a formula, without indices, words and names of functions."""
    bare = re.sub(r"\\(operatorname|mathrm|mathbf|mathbb)\{[^}]*\}", " ", mathematics)
    bare = re.sub(r"_(\{[^{}]*(\{[^{}]*\}[^{}]*)*\}|\\?[A-Za-z]+|.)", " ", bare)
    tokens = re.findall(r"\\[A-Za-z]+|[A-Za-z]", bare)
    return {token for token in tokens if not token.startswith("\\") or token in GREEK}


@pytest.fixture(params=names())
def derivation(request):
    """With the checks of all packages."""
    attach_all()
    return get(request.param)


def test_every_free_symbol_is_in_the_table(derivation):
    """Also arrays and functions: each occurs in a row of the table."""
    known = set().union(*map(_named, derivation.symbols))
    for expression in _expressions(derivation):
        free = {symbol for symbol in expression.free_symbols if not isinstance(symbol, sp.Indexed)}
        functions = {f.func for f in expression.atoms(AppliedUndef) if f.func.__name__ not in STATISTICS}
        labels = {sp.Symbol(str(base)) for base in expression.atoms(sp.IndexedBase)}
        missing = (free - labels | functions) - known
        assert not missing, f"{missing} of {expression}"


def test_a_printed_name_stands_for_one_symbol(derivation):
    """No variable of integration is printed like a parameter, no array like a number, no symbol like another."""
    objects = set().union(*map(_named, [*derivation.symbols, *_expressions(derivation)]))
    shared = [pair for pair in itertools.combinations(objects, 2) if _printed(pair[0]) == _printed(pair[1])]
    assert not shared


def test_rows_of_the_table_differ(derivation):
    printed = [latex(symbol) for symbol in derivation.symbols]
    assert len(printed) == len(set(printed))


def test_prose_uses_symbols_of_the_table(derivation):
    """Letters in its formulas, indices aside, are those of the table, of bound variables, or constants."""
    objects = set().union(*map(_named, [*derivation.symbols, *_expressions(derivation)]))
    known = set().union(*(_letters(_printed(symbol)) for symbol in objects)) | COMMON
    for text in _prose(derivation):
        assert text.count("$") % 2 == 0, text
        used = set().union(*(_letters(formula) for formula in re.findall(r"\$([^$]*)\$", text)))
        assert used <= known, f"{used - known} in: {text}"


def test_prose_has_no_mathematics_outside_dollar_signs(derivation):
    """Neither Unicode mathematics nor scripts."""
    for text in _prose(derivation):
        outside = re.sub(r"\$[^$]*\$|`[^`]*`", "", text)
        assert not re.search(r"[Α-ω∂∇∫∑√∞≤≥≠≈→⁰-⁹₀-₉·×\\^_]", outside), outside


def test_references_exist(derivation):
    """Keys of references are in the file."""
    assert set(derivation.references) <= set(references().entries)
