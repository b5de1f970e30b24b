"""onset.theory.derivations.text: a function's docstring and expressions become a derivation."""

from __future__ import annotations

import pytest
import sympy as sp

from onset.theory.derivations.derivation import Step, check
from onset.theory.derivations.text import derives, equation

x, n = sp.symbols("x n", positive=True)
S = sp.IndexedBase("S")


@check("twice $x$ with $x + x$")
def _twice(statement):
    yield statement.rhs - (x + x)


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
    - double: by adding [a, b], to $[0, 1]$ [double]
    - no reason [pair]
    - no equation: in words

    Validity
    --------
    Up to
    $x$.

    Source
    ------
    derived here
    """
    return {"statement": equation("y", 2 * x), "double": S[n], "pair": sp.Matrix([x, n])}


def test_a_docstring_becomes_a_derivation():
    """Symbols are those of the expressions; lines are joined; only brackets at the end are a label."""
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
    first, second, last = derived.steps
    assert first == Step("double", "by adding [a, b], to $[0, 1]$", "double", S[n])
    assert second == Step("no reason", "", "pair", sp.ImmutableMatrix([x, n]))
    assert last == Step("no equation", "in words")
    assert (derived.validity, derived.source, list(derived.references)) == ("Up to $x$.", "derived here", [])
    assert [result.passed for result in derived.check()] == [True]


@pytest.mark.parametrize("change", [{"double": None}, {"other": x}])
def test_equations_and_labels_that_do_not_match_are_named(change):
    def other():
        return {label: value for label, value in (_line() | change).items() if value is not None}

    other.__doc__ = _line.__doc__
    with pytest.raises(ValueError, match=r"expected the equations \['statement', 'double', 'pair'\]"):
        derives("line")(other)()


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


def test_an_equation_stays_as_it_stands():
    """Also where both sides are the same."""
    x = sp.Symbol("x")
    assert equation(x, x) == sp.Eq(x, x, evaluate=False) != sp.true
