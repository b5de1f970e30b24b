"""onset.simulate.checks: attached to the derivations once, they pass, and fail when a formula is wrong."""

from __future__ import annotations

import pytest
from corruptions import blind

from onset.simulate import checks
from onset.theory.derivations import get, signals
from onset.validate.checks.running import attach_all

ALL = [(name, check) for name, group in checks.CHECKS.items() for check in group]


@pytest.mark.parametrize(("name", "check"), ALL, ids=lambda item: getattr(item, "name", item))
def test_check(name, check):
    """Every check is within its tolerance."""
    result = get(name).run(check)
    print(f"{name}: {result.residual}")
    assert result.passed, result


def test_attaching_twice_adds_once():
    """After attach_all, however often, each derivation has every check of this module exactly once."""
    attach_all()
    attach_all()
    for name, check in ALL:
        assert [known.name for known in get(name).checks].count(check.name) == 1


def test_wrong_equations_are_found():
    """By each check that asks for them."""
    pairs = [(check, label) for check in checks.CHECKS["signals"] for label in check.labels]
    assert pairs
    assert blind(get("signals"), pairs) == []


def test_a_wrong_gradient_of_the_match_is_found(monkeypatch):
    """`softmax` without the mean over sources."""
    whole = signals.kernel
    monkeypatch.setattr(
        signals, "kernel", lambda context, lag=None: (whole(context, lag)[0], 0 * whole(context, lag)[1])
    )
    assert not checks._sequences_softmax(signals.softmax).passed


def test_chains_without_alternation_are_found(monkeypatch):
    """Sticky chains only, ρ > 0: signals fall from lag to lag and the check of asymmetry is red."""
    from onset.theory.markov.priors import DoublyStochastic

    whole = DoublyStochastic.transform
    monkeypatch.setattr(DoublyStochastic, "transform", lambda prior, u: whole(prior, 0.5 + u / 2))
    assert not checks._asymmetry().passed
