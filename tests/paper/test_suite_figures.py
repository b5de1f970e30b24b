"""onset.paper.figures.errors, exponents, basins show the findings; figures as JSON."""

from __future__ import annotations

import json
import math

import pytest

pytest.importorskip("torch")

from onset.paper.figures import basins, errors, exponents
from onset.paper.figures.registry import FIGURES, numbers, of_suite
from onset.theory.setting import Setting
from onset.validate.suite import CaseResult
from onset.validate.suite.basins import BasinFinding
from onset.validate.suite.exponents import Exponent, Slope
from onset.validate.suite.results import Results
from onset.validate.suite.settings import Case

CONTEXTS = (50, 100, 200, 400)


@pytest.fixture
def results(comparison):
    """Made-up comparisons of four contexts, exponents of them, and three basins."""
    settings = [Setting.of("linear", states=3, context=t) for t in CONTEXTS]
    comparisons = tuple(
        comparison(s, {"finite-context": 5.1 * t, "mean-field": 4 * t}, 5.0 * t, "unigram → bigram")
        for t, s in zip(CONTEXTS, settings, strict=True)
    )
    outcomes = tuple(CaseResult(Case(s), {}, None) for s in settings)
    slopes = {"trained": Slope(0.8, 0.02, 4), "law": Slope(0.9, 0.01, 3, 0.1, 0.05, 0.12, 2.0, "inconclusive")}
    exponent = Exponent("a series", "context", "formation", [50.0, 100.0, 200.0], {}, slopes, 0.04, {"exponent": 0.7})
    basin_findings = [
        BasinFinding("softmax sgd k=2 T=25", "g", "softmax", "sgd", 2, 25, 1.0, name, z, [1], trained, verdict, "")
        for name, z, trained, verdict in (
            ("escaped", 20.0, {"escaped": 4, "trapped": 0, "undecided": 0}, "agrees"),
            ("trapped", -9.0, {"escaped": 0, "trapped": 4, "undecided": 0}, "agrees"),
            ("escaped", 5.0, {"escaped": 2, "trapped": 2, "undecided": 0}, "disagrees"),
        )
    ]
    return Results("made up", outcomes, comparisons, (), tuple(basin_findings), (exponent,))


def test_errors_by_context(results):
    """One line per rung; the relative error against training and half of its interval."""
    (panel,) = errors.compute(results)
    assert panel.title == "linear, SGD"
    lines = {line.rung: line for line in panel.lines}
    assert lines["finite-context"].points[:, 0].tolist() == list(CONTEXTS)
    assert lines["finite-context"].points[:, 1] == pytest.approx([0.02] * 4)
    assert lines["mean-field"].points[:, 1] == pytest.approx([-0.2] * 4)
    assert lines["mean-field"].points[:, 2] == pytest.approx(
        [0.008 * math.sqrt(2)] * 4, rel=1e-4
    )  # widths are those of Student


def test_exponents_are_relative_to_the_trained_one(results):
    """A rung is at trained + difference, with half of the difference's interval."""
    (row,) = exponents.compute(results)
    assert row.trained == (0.8, 0.02)
    assert row.rungs == {"law": pytest.approx((0.9, 0.12))}
    assert row.stated == 0.7


def test_basins_show_z_and_the_outcome_of_training(results):
    points = basins.compute(results)
    assert [(p.z, p.trained, p.holds) for p in points] == [
        (20, "escaped", True),
        (-9, "trapped", True),
        (5, "both ways", False),
    ]
    assert {(p.panel, p.series, p.context) for p in points} == {("softmax, SGD", "k = 2", 25)}


@pytest.mark.parametrize("name", ["errors", "exponents", "basins"])
def test_figures_are_drawn_from_results_and_from_none(results, name, draw):
    empty = Results("empty", (), (), (), (), ())
    for shown in (results, empty):
        draw(FIGURES[name], FIGURES[name].compute(shown))


def test_unfinished_suites_show_what_they_can(results, tiny_suite):
    """Neither phases nor attention without runs; all figures with all runs."""
    assert of_suite(results) == ("ladder", "errors", "exponents", "basins")
    assert set(of_suite(tiny_suite[1])) == {"ladder", "errors", "exponents", "basins", "phases", "attention"}


def test_figures_as_plain_data(tiny_suite):
    """The result of `compute` as JSON."""
    data = json.loads(json.dumps(numbers(tiny_suite[1], ["ladder", "attention", "ideal_losses"]), allow_nan=False))
    assert set(data) == {"ladder", "attention", "ideal_losses"}
    assert {"rung", "quantity", "predicted", "observed"} == set(data["ladder"][0])
    assert len(data["attention"][0]["time"]) == len(data["attention"][0]["attention"])
