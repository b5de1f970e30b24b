"""onset.theory.derivations of both mean fields and of the plateau: what their checks find beyond wrong equations."""

from __future__ import annotations

import numpy as np
import sympy as sp

from onset.theory.checks import plateau
from onset.theory.derivations import get, softmax_mean_field
from onset.theory.mean_fields import linear


def test_the_statement_is_what_the_library_evaluates():
    """One expression: the derivation's right-hand side is onset.theory.mean_fields.linear.logit() itself."""
    assert get("linear-mean-field").value == linear.logit()
    logit = get("linear-mean-field").function(linear.u, linear.C, linear.Omega, linear.pi_i, linear.pi_j, linear.excess)
    assert logit(0.5, 1.0, 2.0, 0.3, 0.7, 0.1) == linear.logit_and_slopes(0.5, 1.0, 2.0, 0.3, 0.7, 0.1)[0]


def test_a_product_in_the_wrong_order_is_found(monkeypatch, theory_derivation):
    """D_0 P D_1 in place of D_1 P D_0."""

    def wrong(lags, query):
        law = softmax_mean_field.stationary
        for r in range(lags):
            raised = sp.eye(2)
            raised[query, query] = sp.exp(softmax_mean_field.omega * softmax_mean_field.shares[r])
            law = law * raised * (softmax_mean_field.transition if r < lags - 1 else sp.eye(2))
        return law

    monkeypatch.setattr(softmax_mean_field, "source_law", wrong)
    derivation = theory_derivation("softmax-mean-field")
    assert derivation.run(softmax_mean_field._enumeration).passed is False
    assert derivation.run(softmax_mean_field._first_order).passed is False


def test_a_shifted_plateau_is_found(monkeypatch):
    """1% off in C*: the gradient there no longer falls with T."""
    match, hessian = plateau._plateau()
    monkeypatch.setattr(plateau, "_plateau", lambda: (match * np.array([1.01, 1.0]), hessian))
    assert not plateau._stationary().passed
