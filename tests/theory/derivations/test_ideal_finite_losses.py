"""onset.theory.derivations.ideal_finite_losses: evidence and classes of two states."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import sympy as sp

from onset.theory.derivations import ideal_finite_losses
from onset.theory.derivations.ideal_finite_losses import alpha, back, c, m, n00, n11
from onset.theory.markov.bayes import class_evidence, class_sizes
from onset.theory.markov.priors import Dirichlet


def test_evidence_of_two_tokens():
    """Flat: Z(0 then 1) = E ab/(a+b) = (2 - 2 ln 2)/3, wherever the path of integration runs."""
    known = {m: 1, back: 0, n00: 0, n11: 0, alpha: 1}
    for real in (0.2, 0.5, 0.7):
        value = float(ideal_finite_losses._along(ideal_finite_losses.evidence.subs({**known, c: real})))
        assert value == pytest.approx(2 * (1 - math.log(2)) / 3, rel=1e-14)


def test_sizes_are_the_binomials_of_the_steps():
    """`class_sizes` at 15 tokens with the sympy expressions, exactly; and the statement, integrated to infinity."""
    for last, (sizes, formula) in enumerate(
        zip(class_sizes(15), (ideal_finite_losses.same, ideal_finite_losses.other), strict=True)
    ):
        for moves, stay in zip(*np.nonzero(sizes), strict=True):
            if moves == 0:
                continue
            rest = int(14 - 2 * moves + last - stay)
            assert int(formula.subs({m: int(moves), n00: int(stay), n11: rest})) == sizes[moves, stay]
    evaluate = sp.lambdify((alpha, c, m, back, n00, n11), ideal_finite_losses.derive().value, "mpmath")
    with mpmath.workdps(15):
        found = complex(evaluate(1, 0.5, 3, 2, 1, 2)).real
    assert found == pytest.approx(class_evidence(Dirichlet(2), 9)[1][3, 1], rel=1e-10)


@pytest.mark.parametrize(
    ("name", "change", "check"),
    [
        ("class_evidence", lambda f: lambda *args: [1.0001 * z for z in f(*args)], "_fold"),
        ("class_evidence", lambda f: lambda *args: [1.0001 * z for z in f(*args)], "_total"),
        ("class_evidence", lambda f: lambda *args: [1.0001 * z for z in f(*args)], "_chain_rule"),
        ("class_sizes", lambda f: lambda *args: [z + (z == 6) for z in f(*args)], "_enumeration"),
        ("finite_loss", lambda f: lambda p, s, t, **rest: f(p, s, t + 1, **rest), "_finite_loss"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_classes_are_found(monkeypatch, theory_derivation, name, change, check):
    """Each check fails when what the library computes is changed."""
    monkeypatch.setattr(ideal_finite_losses, name, change(getattr(ideal_finite_losses, name)))
    assert theory_derivation("ideal-finite-losses").run(getattr(ideal_finite_losses, check)).passed is False
