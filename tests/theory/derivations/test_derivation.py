"""onset.theory.derivations.derivation: checks are given what is printed, and nothing is printed that none is given."""

from __future__ import annotations

import math

import pytest
import sympy as sp
from corruptions import corruptions, unnoticed
from hypothesis import given
from hypothesis import strategies as st

from onset.theory import derivations
from onset.theory.derivations.derivation import Derivation, Residual, Step, check, numerical, worst

x, n = sp.symbols("x n", positive=True)
m = sp.Symbol("m", integer=True, positive=True)


@check("twice $x$ with $x + x$")
def _twice(statement):
    yield statement.rhs - (x + x)


@check("the square of $x$ at 3 with 9")
def _square(square):
    return Residual(abs(float(square.subs(x, 3)) - 9), 1e-12, "rounding")


def _derivation(steps=(), checks=(_twice,), **changes) -> Derivation:
    parts = {
        "name": "mine",
        "title": "A line",
        "statement": sp.Eq(sp.Symbol("y"), 2 * x, evaluate=False),
        "symbols": {x: "a number"},
        "assumptions": (),
        "validity": "everywhere",
        "source": "derived here",
    } | changes
    return Derivation(steps=steps, checks=checks, **parts)


SQUARE = Step("square", label="square", expression=x**2)


def test_a_check_is_given_what_is_printed():
    """By the names of its parameters; another equation can be put in its place."""
    derived = _derivation([SQUARE, Step("words", "no equation")], [_twice, _square])
    assert derived.equations == {"statement": derived.statement, "square": x**2}
    assert [result.passed for result in derived.check()] == [True, True]
    assert derived.run(_square, square=x**2 + 1).passed is False
    assert derived.run(_twice, square=x**2 + 1).passed is True


@pytest.fixture
def registered():
    """Register a derivation as "mine" for the time of a test."""

    def register(derived: Derivation) -> None:
        derivations.register("mine")(lambda: derived)

    yield register
    derivations._REGISTERED.pop("mine", None)
    derivations._ATTACHED.pop("mine", None)
    derivations.get.cache_clear()


def test_an_equation_that_no_check_evaluates_is_refused(registered):
    """Unless a check that is attached later evaluates it."""
    registered(_derivation([SQUARE]))
    with pytest.raises(ValueError, match=r"derivation mine: no check evaluates its equations \['square'\]"):
        derivations.get("mine")
    derivations.attach("mine", [_square])
    assert derivations.get("mine").unevaluated == []


def test_a_check_of_what_is_not_printed_is_refused():
    with pytest.raises(ValueError, match=r"check square of mine asks for \['square'\]"):
        _derivation(checks=[_square])


@pytest.mark.parametrize("labels", [["statement"], ["one", "one"], ["not a name"]])
def test_labels_are_names_and_differ(labels):
    with pytest.raises(ValueError, match="labels of the steps of mine"):
        _derivation([Step("step", label=label, expression=x) for label in labels])


def test_checks_that_do_not_evaluate_are_found():
    """One that passes whatever its equation says, and one that forgets a term that is not a number."""

    @check("nothing")
    def _blind(square):
        return Residual(0.0, 0.0, "")

    @check("largest by max")
    def _forgetful(square):
        return Residual(max(0.0, float(square.subs(x, 3)) - 9), 0.0, "one-sided, and blind to NaN")

    assert unnoticed(_derivation([SQUARE], [_twice, _square])) == []
    assert "blind passes whatever square says" in unnoticed(_derivation([SQUARE], [_twice, _square, _blind]))
    assert "square: not a number" in unnoticed(_derivation([SQUARE], [_twice, _forgetful]))


def test_corruptions_of_a_sum():
    """Both sides where the left is more than a name, terms, numbers and parts; none leaves the equation as it was."""
    printed = sp.Eq(sp.sqrt(x), x**2 - 3, evaluate=False)
    wrong = [corruption.equation for corruption in corruptions(printed)]
    assert printed not in wrong
    for expected in (
        sp.Eq(sp.sqrt(x), 2 * x**2 - 6, evaluate=False),
        sp.Eq(sp.sqrt(x), x**2 - 2, evaluate=False),
        sp.Eq(sp.sqrt(x), -(x**2) - 3, evaluate=False),
        sp.Eq(sp.sqrt(x), x**3 - 3, evaluate=False),
        sp.Eq(2 * sp.sqrt(x), x**2 - 3, evaluate=False),
    ):
        assert expected in wrong
    named = sp.Eq(sp.Symbol("y"), x, evaluate=False)
    assert {c.equation.lhs for c in corruptions(named)} == {sp.Symbol("y")}
    zero = sp.Eq(x - 1, 0, evaluate=False)
    assert sp.Eq(2 * x - 2, 0, evaluate=False) not in [c.equation for c in corruptions(zero)]


@given(st.integers(1, 30), st.floats(-3, 3))
def test_harmonic_numbers_are_compiled_right(count, value):
    """Within a difference, a power and a quotient."""
    expression = x - sp.harmonic(m) ** 2 / (1 + sp.harmonic(m, 2))
    exact = float(value - sp.harmonic(count) ** 2 / (1 + sp.harmonic(count, 2)))
    derived = _derivation(statement=sp.Eq(sp.Symbol("y"), expression, evaluate=False))
    for function in (numerical((x, m), expression, "scipy"), derived.function(x, m, modules="scipy")):
        assert function(value, count) == pytest.approx(exact, abs=1e-13)


def test_the_worst_of_numbers_may_be_none():
    assert worst(1, 3, 2) == 3
    for values in ((math.nan, 1.0), (1.0, math.nan)):
        assert math.isnan(worst(*values))
        assert not Residual(worst(*values), 2.0, "").passed


@given(st.integers(-5, 5))
def test_identities_are_counted(offset):
    """An identity of whole numbers holds; a number that is off is seen, and so is what is not a number."""
    holds = (-1) ** (2 * m) - 1
    residual = Residual.of_identities(holds, sp.sin(x) ** 2 + sp.cos(x) ** 2 - 1, sp.Integer(offset))
    assert residual.value == (offset != 0)
    assert Residual.of_identities(sp.nan).value == 1
