"""onset.validate.checks: attached to the derivations once, they pass, and fail when a formula is wrong."""

from __future__ import annotations

import pytest
import sympy as sp
from corruptions import blind

pytest.importorskip("torch")

from onset.theory.derivations import get, signals
from onset.validate import checks
from onset.validate.checks import signals as signal_checks
from onset.validate.checks import small_models
from onset.validate.checks import symmetry as symmetry_checks
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


@pytest.mark.parametrize(
    ("check", "label"),
    [
        ("enumerated-linear", "linear"),
        ("enumerated-linear", "by_scale"),
        ("enumerated-softmax", "softmax"),
        ("enumerated-softmax", "by_readout"),
    ],
)
def test_slightly_wrong_first_gradients_are_found(check, label):
    """Each formula changed by a part in 10⁸ turns the enumeration of its family red."""
    derivation = get("signals")
    (chosen,) = (known for known in derivation.checks if known.name == check)
    wrong = derivation.equations[label] * (1 + sp.Rational(1, 10**8))
    assert derivation.run(chosen, **{label: wrong}).passed is False


@pytest.mark.parametrize("check", ["enumerated-linear", "enumerated-softmax"])
def test_a_slightly_wrong_slope_is_found(check, monkeypatch):
    """The library's kernel, by which layer 1 is driven."""
    monkeypatch.setattr(signals, "slope", signals.slope * (1 + sp.Rational(1, 10**8)))
    (chosen,) = (known for known in get("signals").checks if known.name == check)
    assert get("signals").run(chosen).passed is False


@pytest.mark.parametrize("name", checks.CHECKS)
def test_wrong_equations_are_found(name):
    """By each check that asks for them."""
    assert blind(get(name), [(check, label) for check in checks.CHECKS[name] for label in check.labels]) == []


def test_open_batches_are_found(monkeypatch):
    """If batches are not closed under relabelling, gradients and trajectories leave the subspace."""
    whole = small_models.random_batch
    monkeypatch.setattr(symmetry_checks, "random_batch", lambda setting, count: whole(setting, 4 * count, closed=False))
    for check in (symmetry_checks._autodiff, symmetry_checks._trajectory):
        assert get("symmetry").run(check).passed is False


def test_a_closed_prior_does_not_leave(monkeypatch):
    """The check that a prior without exchangeability leaves the subspace is red for batches that stay in it."""
    from onset.theory.setting import Setting

    monkeypatch.setattr(
        symmetry_checks,
        "every_sequence",
        lambda states, context: small_models.random_batch(Setting.of(states=states, context=context), 3),
    )
    assert get("symmetry").run(symmetry_checks._leaves).passed is False


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
