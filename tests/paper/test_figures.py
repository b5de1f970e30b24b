"""onset.paper.figures: each figure shows the numbers of the results, and is written as PDF and PNG."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from onset.paper.figures import attention, ideal_losses, ladder, phase_portrait, phases, plateau_law, signals
from onset.paper.figures.registry import FIGURES, OF_SUITE, caption, of_suite, render
from onset.paper.style import strategy_colours
from onset.theory.laws.terms import terms
from onset.validate.store.runs import Store
from onset.validate.suite import collect, run_jobs, settings
from onset.validate.suite.settings import SURROGATE


@pytest.fixture(scope="module")
def small():
    """Figures of the theory at sizes that take seconds."""
    sizes = {
        signals: {"STATES": (2,)},
        ideal_losses: {"CONTEXT": 40},
        phase_portrait: {"STATES": 2, "CONTEXT": 32},
    }
    with pytest.MonkeyPatch.context() as patch:
        for figure, values in sizes.items():
            for name, value in values.items():
                patch.setattr(figure, name, value)
        yield


def test_every_figure_is_drawn_and_written(tmp_path, tiny_suite, small):
    """PDF and PNG of each, and a caption; the same bytes when drawn again."""
    _, results = tiny_suite
    written = render(results, tmp_path / "a")
    assert set(written) == set(FIGURES) - set(OF_SUITE) | set(of_suite(results))
    for name, png in written.items():
        assert png.read_bytes().startswith(b"\x89PNG")
        assert png.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
        assert len(caption(name)) > 40
    (again,) = render(results, tmp_path / "b", ["phases"]).values()
    for suffix in (".png", ".pdf"):
        assert written["phases"].with_suffix(suffix).read_bytes() == again.with_suffix(suffix).read_bytes()


def test_an_unknown_figure_is_refused(tmp_path, tiny_suite):
    with pytest.raises(ValueError, match="did you mean 'ladder'"):
        render(tiny_suite[1], tmp_path, ["lader"])


def test_the_ladder_has_a_marker_for_each_quantity(draw):
    """Chains of order 5 have further transitions and heads; quantities of order 2 keep their markers."""
    names = [*ladder.FIRST[:2], "bigram → trigram", "trigram → 4-gram", "4-gram → 5-gram"]
    names += [f"formation of lag {lag}" for lag in range(2, 5)]
    points = [ladder.LadderPoint("finite-context", name, (10.0, 9.0, 11.0), (10.0, 9.0, 11.0)) for name in names]
    markers = ladder._markers(points)
    assert set(markers) == set(names)
    assert len(set(markers.values())) == len(names)
    assert {name: markers[name] for name in ladder.FIRST[:2]} == ladder._markers(points[:2])
    draw(ladder, points)


def test_the_ladder_has_a_point_for_each_prediction_that_was_observed(tiny_suite):
    """Values are those of the comparisons; a prediction without an observation has no point."""
    _, results = tiny_suite
    points = ladder.compute(results)
    expected = [
        (rung, interval.value, c.observed.value)
        for c in results.comparisons
        if c.unit == "steps" and c.observed.value is not None
        for rung, interval in c.predicted.items()
        if interval.value is not None and rung != SURROGATE
    ]
    assert [(p.rung, p.predicted[0], p.observed[0]) for p in points] == expected
    assert len(points) == 6


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


def test_the_plateau_laws_figure_shows_the_law(tmp_path, monkeypatch):
    """Steps and interval of the transition where the law applies, and those of the other rungs."""
    monkeypatch.setattr(plateau_law, "LAW_CONTEXTS", 5)
    cases = tuple(
        settings.Case(settings.plateau_setting(2, t), seeds, methods=methods)
        for t, seeds, methods in ((16, 1, ()), (100, 0, ("mean-field",)))
    )
    monkeypatch.setitem(settings.SUITES, "plateau-law", lambda: cases)
    store = Store(tmp_path)
    run_jobs("plateau-law", store, kinds=("train", "mean-field"), workers=1)
    results = collect("plateau-law", store)
    (lengths,) = plateau_law.compute(results)
    for t, *expected in lengths.law:
        transition = terms(settings.plateau_setting(2, int(t)))["passage"]
        assert expected == [transition.step, transition.low, transition.high]
    assert len(lengths.law) > 1
    assert lengths.rungs["mean field"].shape == (1, 4)
    assert lengths.rungs["finite context"].shape == (0, 4)
    assert lengths.rungs["trained"][:, 0].tolist() == [16]
    (picture,) = render(results, tmp_path / "figures", ["plateau_law"]).values()
    assert picture.exists()


def test_the_plateau_laws_figure_says_which_command_computes_its_runs(tiny_suite):
    with pytest.raises(ValueError, match="onset validate --suite plateau-law"):
        plateau_law.compute(tiny_suite[1])


def test_the_signals_figure_alternates(small):
    """Two states: signals of odd lags are positive, those of even lags negative or zero."""
    dirichlet, doubly = (panel.signals[2][:, 0] for panel in signals.compute())
    assert (dirichlet[::2] > 0).all()
    assert (dirichlet[1::2] < 0).all()
    assert (doubly[::2] > 0).all()
    assert (doubly[1::2] == 0).all()


def test_ideal_losses_fall_to_their_limits_and_regret_to_its_asymptote(small):
    """Bayes has the least total regret; the bigram's is within 3 ln²T/T of its asymptote."""
    data = ideal_losses.compute()
    assert data.regret["Bayes"][-1] < data.regret["bigram"][-1]
    assert data.losses["bigram"][-1] > data.limits["bigram"]
    size = np.log(len(data.position)) ** 2 / len(data.position)
    assert abs(data.regret["bigram"][-1] - data.asymptote[-1]) < 3 * size


def test_phase_portrait_paths_lead_from_the_start_to_the_manifold(small):
    """Ω = 0 and q₁ = 1/T at step 0; in the mean field the last Ω is nearer to Ω*(q₁) than the first."""
    data = phase_portrait.compute()
    for path in data.paths.values():
        np.testing.assert_allclose(path[0], [0, 0, 1 / phase_portrait.CONTEXT], atol=1e-6)
    omega, weight = data.manifold.T
    distance = [abs(o - np.interp(q, weight, omega)) for _, o, q in data.paths["mean field"][[0, -1]]]
    assert distance[1] < 0.2 * distance[0]


def test_figures_of_the_theory_need_no_suite(tmp_path, small):
    assert set(OF_SUITE) < set(FIGURES)
    assert render(None, tmp_path / "pictures", ["signals"])["signals"].exists()


def test_strategies_of_any_task_have_colours():
    """By their order, whatever their names; further ones start again."""
    names = [f"strategy {n}" for n in range(9)]
    colours = strategy_colours(names)
    assert list(colours) == names
    assert len(set(colours.values())) == 7
    assert colours[names[7]] == colours[names[0]]
