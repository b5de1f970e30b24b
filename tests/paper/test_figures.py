"""paper.figures: each figure shows the numbers of the results, and is written as PDF and PNG."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from paper.figures import FIGURES, attention, caption, ladder, phases, render


def test_every_figure_is_drawn_and_written(tmp_path, tiny_suite):
    """PDF and PNG of each, the same bytes when drawn again, and a caption."""
    _, results = tiny_suite
    first, again = (render(results, tmp_path / name) for name in ("a", "b"))
    assert set(first) == set(FIGURES)
    for name, png in first.items():
        assert png.read_bytes().startswith(b"\x89PNG")
        assert png.read_bytes() == again[name].read_bytes()
        assert png.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
        assert len(caption(name)) > 40


def test_an_unknown_figure_is_refused(tmp_path, tiny_suite):
    with pytest.raises(ValueError, match="did you mean 'ladder'"):
        render(tiny_suite[1], tmp_path, ["lader"])


def test_the_ladder_has_a_point_for_each_prediction_that_was_observed(tiny_suite):
    """Values and intervals are those of the comparisons; what was not observed has no point."""
    _, results = tiny_suite
    points = ladder.compute(results)
    expected = [
        (rung, told.value, c.observed.value)
        for c in results.comparisons
        if c.unit == "steps" and c.observed.value is not None
        for rung, told in c.predicted.items()
        if told.value is not None
    ]
    assert [(p.rung, p.predicted[0], p.observed[0]) for p in points] == expected
    assert len(points) == 4


def test_phases_shows_a_transformer_and_its_ideal_losses(tiny_suite):
    """The plateaus drawn are the exact finite-context losses, ordered uniform > unigram > bigram."""
    data = phases.compute(tiny_suite[1])
    assert "transformer" in data.label
    assert data.plateaus["uniform"] > data.plateaus["unigram"] > data.plateaus["bigram"]


def test_attention_starts_uniform_and_ends_on_lag_one(tiny_suite):
    """Attention × T starts at one on every lag; in the toy, lag 1 leads at the end, predicted and observed alike."""
    predicted, observed, *_ = attention.compute(tiny_suite[1])
    for panel in (predicted, observed):
        np.testing.assert_allclose(panel.attention[0], 1.0, rtol=1e-6)
        assert panel.attention[panel.time <= 1][-1].argmax() == 1
