"""onset.theory.derivations.text: a function's docstring and expressions become a derivation."""

from __future__ import annotations

import pytest
import sympy as sp

from onset.theory.derivations.derivation import check
from onset.theory.derivations.text import derives, equation

x, n = sp.symbols("x n", positive=True)
S = sp.IndexedBase("S")


@check("twice $x$ with $x + x$")
def _twice():
    yield 2 * x - (x + x)


def _line():
    r"""Title of
    two lines

    Symbols
    -------
    S[n] : signal,
        continued
    T, k
    f(v) : only in the prose

    Assumptions
    -----------
    - one
    - two,
      continued

    Steps
    -----
    - double: by adding [a, b], to $[0, 1]$ [twice]
    - no reason

    Validity
    --------
    Up to
    $x$.

    Source
    ------
    derived here
    """
    return equation("y", 2 * x), S[n], sp.Matrix([x, n])


def test_a_docstring_becomes_a_derivation():
    """Symbols are those of the expressions; lines are joined; only brackets at the end name checks."""
    derived = derives("line")(_line)()
    assert (derived.name, derived.title) == ("line", "Title of two lines")
    assert derived.statement == sp.Eq(sp.Symbol("y"), 2 * x)
    assert derived.symbols == {
        S[n]: "signal, continued",
        sp.Symbol("T"): "context, in tokens",
        sp.Symbol("k"): "number of states",
        sp.Function("f")(sp.Symbol("v")): "only in the prose",
    }
    assert list(derived.assumptions) == ["one", "two, continued"]
    first, second = derived.steps
    assert (first.name, first.reason, list(first.checks)) == ("double", "by adding [a, b], to $[0, 1]$", ["twice"])
    assert (second.name, second.reason, list(second.checks)) == ("no reason", "", [])
    assert second.expression == sp.ImmutableMatrix([x, n])
    assert (derived.validity, derived.source, list(derived.references)) == ("Up to $x$.", "derived here", [])
    assert [result.passed for result in derived.check()] == [True]


def test_steps_without_an_expression_are_named():
    def short():
        return _line()[:2]

    short.__doc__ = _line.__doc__
    with pytest.raises(ValueError, match="each of the 2 steps of its docstring, got 1"):
        derives("line")(short)()


def test_a_symbol_without_a_meaning_is_named():
    def unknown():
        return _line()

    unknown.__doc__ = _line.__doc__.replace("T, k", "T, zeta")
    with pytest.raises(ValueError, match="symbol 'zeta'"):
        derives("line")(unknown)()


def test_a_check_of_nothing_fails():
    @check("nothing")
    def empty():
        return ()

    with pytest.raises(ValueError, match="expected one expression or more"):
        empty.run()
