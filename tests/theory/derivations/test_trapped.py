"""onset.theory.derivations.trapped: what its checks find beyond wrong equations."""

from __future__ import annotations

from onset.theory.checks import trapped as checks
from onset.theory.derivations import trapped
from onset.theory.laws import basins


def test_wrong_constants_are_found(monkeypatch, theory_derivation):
    """A tenth more of A, or of B, and the remainder grows with ln T."""
    right = checks.limit_constants
    for factors in ((1.1, 1.0), (1.0, 1.1)):
        monkeypatch.setattr(
            checks, "limit_constants", lambda *a, f=factors: tuple(x * y for x, y in zip(right(*a), f, strict=True))
        )
        assert theory_derivation("trapped-basin").run(checks._limit).passed is False


def test_a_wrong_recursion_is_found(monkeypatch):
    """Counts that reach their sums one position late."""
    right = trapped._next_position
    monkeypatch.setattr(trapped, "_next_position", lambda p, c, s, share: right(p, c, s, 0.9 * share))
    assert not checks._start().passed


def test_wrong_samples_are_found(monkeypatch):
    """Scores not taken relative to their mean over sources."""
    monkeypatch.setattr(basins, "relative", lambda sums, counts, t: sums / t)
    assert not checks._sampled().passed
