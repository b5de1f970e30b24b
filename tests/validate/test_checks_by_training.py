"""validate.checks: attached to the derivations once, they pass, and fail when a formula is wrong."""

from __future__ import annotations

import pytest
import sympy as sp

pytest.importorskip("torch")

from theory.derivations import get, signals, symmetry
from validate import checks

EVERY = [(name, check) for name, of in checks.CHECKS.items() for check in of]


@pytest.mark.parametrize(("name", "check"), EVERY, ids=lambda item: getattr(item, "name", item))
def test_check(name, check):
    """Every check is within its tolerance."""
    found = check.run()
    print(f"{name}: {found}")
    assert found.passed, found


def test_attaching_twice_adds_once():
    """After attach_all, however often, each derivation has every check of this module exactly once."""
    checks.attach_all()
    checks.attach_all()
    for name, check in EVERY:
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
    assert not checks._enumerated(family).passed


def test_open_batches_are_found(monkeypatch):
    """If batches are not closed under relabelling, gradients and trajectories leave the subspace."""
    whole = checks._batch
    monkeypatch.setattr(checks, "_batch", lambda setting, count: whole(setting, 4 * count, closed=False))
    assert not checks._autodiff().passed
    assert not checks._trajectory().passed


def test_a_wrong_decomposition_is_found(monkeypatch):
    """a·11ᵀ + b·I with a and b exchanged does not give the gradient back."""
    right = get("symmetry").function(symmetry.g_omega, symmetry.g_c, symmetry.k)
    monkeypatch.setattr(checks, "_decomposition", lambda: lambda *partials: right(*partials)[::-1])
    assert not checks._autodiff().passed


def test_a_closed_prior_does_not_leave(monkeypatch):
    """The check that a prior without exchangeability leaves the subspace is red for batches that stay in it."""
    from theory.setting import Setting

    monkeypatch.setattr(
        checks, "_every_sequence", lambda states, context: checks._batch(Setting.of(states=states, context=context), 3)
    )
    assert not checks._leaves().passed


def test_a_saddle_is_found(monkeypatch):
    """Just after the start of the softmax family, k = 3, transverse second derivatives are negative and the check is red."""
    whole = checks._plateau
    monkeypatch.setattr(checks, "_plateau", lambda family, states, context, steps: whole(family, states, context, 5))
    assert not checks._transverse().passed


def test_layer_one_heard_early_is_found(monkeypatch):
    """With a match that is not constant along rows, layer 1 has a gradient and the check is red."""
    import torch

    def uneven(matrix: torch.Tensor, level: float) -> torch.Tensor:
        return matrix.copy_(level + torch.eye(len(matrix)))

    monkeypatch.setattr(torch.Tensor, "fill_", uneven)
    assert not checks._silent().passed


def test_a_wrong_signal_of_the_second_head_is_found(monkeypatch):
    """The signals with the other sign."""
    from theory.derivations import third_order

    monkeypatch.setattr(third_order, "after", -third_order.after)
    assert not checks._second_head().passed
