"""onset.validate.checks: attached to the derivations once, they pass, and fail when a formula is wrong."""

from __future__ import annotations

import pytest
import sympy as sp

pytest.importorskip("torch")

from onset.theory.derivations import get, signals, symmetry
from onset.validate import checks
from onset.validate.checks import signals as signal_checks
from onset.validate.checks import small_models, third_order
from onset.validate.checks import symmetry as symmetry_checks
from onset.validate.checks.running import attach_all

ALL = [(name, check) for name, group in checks.CHECKS.items() for check in group]


@pytest.mark.parametrize(("name", "check"), ALL, ids=lambda item: getattr(item, "name", item))
def test_check(name, check):
    """Every check is within its tolerance."""
    residual = check()
    print(f"{name}: {residual}")
    assert residual.passed, residual


def test_attaching_twice_adds_once():
    """After attach_all, however often, each derivation has every check of this module exactly once."""
    attach_all()
    attach_all()
    for name, check in ALL:
        assert [known.name for known in get(name).checks].count(check.name) == 1


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("linear", "linear"),
        ("by_scale", "linear"),
        ("softmax", "softmax"),
        ("by_readout", "softmax"),
        ("slope", "linear"),
        ("slope", "softmax"),
    ],
)
def test_wrong_first_gradients_are_found(name, family, monkeypatch):
    """Each formula changed by a part in 10⁸ turns the enumeration of its family red."""
    monkeypatch.setattr(signals, name, getattr(signals, name) * (1 + sp.Rational(1, 10**8)))
    assert not signal_checks._enumerated(family).passed


def test_open_batches_are_found(monkeypatch):
    """If batches are not closed under relabelling, gradients and trajectories leave the subspace."""
    whole = small_models.random_batch
    monkeypatch.setattr(symmetry_checks, "random_batch", lambda setting, count: whole(setting, 4 * count, closed=False))
    assert not symmetry_checks._autodiff().passed
    assert not symmetry_checks._trajectory().passed


def test_a_wrong_decomposition_is_found(monkeypatch):
    """a·11ᵀ + b·I with a and b exchanged does not give the gradient back."""
    right = get("symmetry").function(symmetry.g_omega, symmetry.g_c, symmetry.k)
    monkeypatch.setattr(symmetry_checks, "_decomposition", lambda: lambda *partials: right(*partials)[::-1])
    assert not symmetry_checks._autodiff().passed


def test_a_closed_prior_does_not_leave(monkeypatch):
    """The check that a prior without exchangeability leaves the subspace is red for batches that stay in it."""
    from onset.theory.setting import Setting

    monkeypatch.setattr(
        symmetry_checks,
        "every_sequence",
        lambda states, context: small_models.random_batch(Setting.of(states=states, context=context), 3),
    )
    assert not symmetry_checks._leaves().passed


def test_a_saddle_is_found(monkeypatch):
    """Just after the start of the softmax family, k = 3, transverse second derivatives are negative."""
    whole = symmetry_checks._plateau
    monkeypatch.setattr(
        symmetry_checks, "_plateau", lambda family, states, context, steps: whole(family, states, context, 5)
    )
    assert not symmetry_checks._transverse().passed


def test_layer_one_heard_early_is_found(monkeypatch):
    """With a match that is not constant along rows, layer 1 has a gradient and the check is red."""
    import torch

    def uneven(matrix: torch.Tensor, level: float) -> torch.Tensor:
        return matrix.copy_(level + torch.eye(len(matrix)))

    monkeypatch.setattr(torch.Tensor, "fill_", uneven)
    assert not signal_checks._silent().passed


def test_a_wrong_signal_of_the_second_head_is_found(monkeypatch):
    """The signals with the other sign."""
    from onset.theory.derivations import third_order as derived

    monkeypatch.setattr(derived, "after", -derived.after)
    assert not third_order._second_head().passed
