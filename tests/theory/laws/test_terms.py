"""onset.theory.laws.terms: the terms are the law's own, and the exponents its derivatives."""

from __future__ import annotations

import numpy as np
import pytest

from onset.theory.derivations import plateau_law
from onset.theory.laws import law
from onset.theory.laws.plateau import plateau
from onset.theory.laws.terms import (
    TRANSITIONS,
    _leading,
    concentration_exponent,
    elasticities,
    leading_exponent,
    terms,
)
from onset.theory.markov.priors import Dirichlet, DoublyStochastic
from onset.theory.setting import Setting


def _setting(states=2, context=100, lag_logits=0.7, match=0.01, start=0.007):
    rates = {"lag_logits": lag_logits, "match": match}
    return Setting.of("linear", states=states, context=context, learning_rate=rates, initialization={"match": start})


@pytest.mark.parametrize(("states", "context"), [(2, 100), (2, 333), (3, 200)])
def test_terms_give_the_law(states, context):
    """Step and interval of both transitions, at other rates than the unit ones that the terms are kept at."""
    setting = _setting(states, context, match=0.7 / context)
    transitions, formation = law(setting).transitions()
    for name, expected in zip(TRANSITIONS, (formation, transitions[-1]), strict=True):
        predicted = terms(setting)[name]
        bounds, expected_bounds = (
            (predicted.step, predicted.low, predicted.high),
            (expected.step, expected.low, expected.high),
        )
        np.testing.assert_allclose(bounds, expected_bounds, rtol=1e-3)  # between two nodes of 513
        assert predicted.step == pytest.approx(predicted.slow + predicted.moving + predicted.start, rel=1e-12)
        assert predicted.by_slow + predicted.by_delay == pytest.approx(1)


def test_elasticities_are_the_laws_derivatives():
    """Central differences of ln t by each rate and the start, all else fixed."""
    base, formation = {"lag_logits": 0.7, "match": 0.01, "start": 0.007}, terms(_setting(3, 200))["formation"]
    exponents = elasticities(*(np.array(getattr(formation, name)) for name in ("by_slow", "by_delay", "by_start")))
    names = {"lag_logits": "learning-rate.lag_logits", "match": "learning-rate.match", "start": "initialization.match"}
    for knob, name in names.items():
        h = 1e-3
        up, down = (terms(_setting(3, 200, **base | {knob: base[knob] * f}))["formation"].step for f in (1 + h, 1 - h))
        # Nodes of the law lie ln E / 512 apart, so that t is linear between them: relative error of order 1e-3.
        assert (np.log(up) - np.log(down)) / (2 * h) == pytest.approx(float(exponents[name]), rel=2e-3, abs=1e-6)
    assert exponents["learning-rate.lag_logits"] + exponents["learning-rate.match"] == pytest.approx(-1)
    assert exponents["batch"] == 0


def test_the_leading_exponent_is_that_of_the_leading_form():
    """Central difference of the li expression at E ∝ T; no answer once its drive has changed sign."""
    import sympy as sp

    flat = plateau(Dirichlet(2))
    put = {plateau_law.A: float(flat.drives[1]), plateau_law.B: flat.offset, plateau_law.eta: 1}

    def time(context: float) -> float:
        return float(sp.N(plateau_law.leading.subs(put | {plateau_law.T: context, plateau_law.E: context / 9})))

    h = 1e-4
    slope = (np.log(time(400 * np.exp(h))) - np.log(time(400 * np.exp(-h)))) / (2 * h)
    assert float(leading_exponent(Dirichlet(2), np.array(400), np.log(400 / 9))) == pytest.approx(slope, rel=1e-6)
    assert np.isnan(leading_exponent(Dirichlet(2), np.array(400), np.log(400 / 2)))


@pytest.mark.parametrize(
    ("setting", "names"),
    [
        (Setting.of("softmax"), "family of the plateau law"),
        (Setting.of("linear", optimizer="adam"), "optimizer of the plateau law"),
        (Setting.of("linear", prior=DoublyStochastic(2)), "no"),
        (_setting(4, 100, 1.0, 0.001), "relaxes too slowly"),
    ],
)
def test_outside_the_laws_range_it_says_why(setting, names):
    """The same reason twice, the second time from memory."""
    for _ in range(2):
        with pytest.raises(ValueError, match=names):
            terms(setting)


def test_exponent_by_the_concentration_is_that_of_the_leading_form(slope):
    """Against the law at a long context, where the leading form is near: the sign, and the size within 3/ln T."""
    contexts = np.array([4096.0])
    formation = terms(Setting.of("linear", states=2, context=4096, initialization={"match": 1 / 4096}))["formation"]
    stated = concentration_exponent(Dirichlet(2), contexts, np.array([formation.log_e]))[0]
    steps = [
        terms(Setting.of("linear", prior=Dirichlet(2, c), context=4096, initialization={"match": 1 / 4096}))[
            "formation"
        ].step
        for c in (0.9, 1.1)
    ]
    by_law = slope([0.9, 1.1], steps)
    print(stated, by_law)
    assert stated > 0
    assert abs(stated - by_law) < 3 / np.log(4096)
    assert np.isnan(concentration_exponent(DoublyStochastic(2), contexts, np.array([3.0]))).all()


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_the_leading_exponent_is_the_slope_at_a_fixed_share(share):
    """d ln t/d ln T of the leading form with E growing as T, by central differences."""
    prior, context, step = Dirichlet(3), np.array([200.0, 1000.0]), 1e-4
    values = [
        _leading(prior, context * factor, np.log(share * context * factor), exponent=False)
        for factor in (np.exp(-step), np.exp(step))
    ]
    expected = np.log(values[1] / values[0]) / (2 * step)
    np.testing.assert_allclose(leading_exponent(prior, context, np.log(share * context)), expected, rtol=1e-6)
