"""validate.suite and validate.report: verdicts, what the quick suite must hold, the page and results.json."""

from __future__ import annotations

import base64
import json
import re

import pytest

pytest.importorskip("torch")

from theory.priors import Dirichlet, DoublyStochastic
from validate import report, suite
from validate.runs import Store
from validate.suite import Comparison, Interval, judge


@pytest.mark.parametrize(
    ("predicted", "observed", "verdict"),
    [
        (Interval(104, 103, 105), Interval(100, 99, 101), "agrees"),
        (Interval(110, 100, 120), Interval(100, 95, 105), "inconclusive"),
        (Interval(110, 109, 111), Interval(100, 99, 101), "disagrees"),
        (Interval(None, reason="never"), Interval(100, 99, 101), "disagrees"),
        (Interval(110, 109, 111), Interval(None, reason="never"), "disagrees"),
        (Interval(None, reason="never"), Interval(None, reason="never"), "agrees"),
    ],
)
def test_verdicts(predicted, observed, verdict):
    """Within 5%; beyond it with overlapping intervals; beyond it without; one or both without a transition."""
    assert judge(predicted, observed, 0.05) == verdict


def test_an_expected_disagreement_fails_the_suite():
    """Only verdicts that are counted on decide."""
    one = Comparison("s", "q", "steps", {"r": Interval(1.0)}, Interval(2.0), "r", "disagrees", True)
    assert not one.holds
    assert Comparison(*list(vars(one).values())[:-1], False).holds


def test_the_quick_suite_holds_what_it_must():
    """Both toy families, SGD and Adam, the named (k, T), another concentration, a doubly stochastic prior and a transformer."""
    settings = [case.setting for case in suite.SUITES["quick"]()]
    flat = {(s.family, s.optimizer.name, s.states, s.context) for s in settings if s.prior == Dirichlet(s.states)}
    assert flat >= {("linear", "sgd", k, t) for k, t in ((2, 50), (2, 100), (3, 100), (4, 100))}
    assert flat >= {("softmax", name, 3, t) for name in ("sgd", "adam") for t in (25, 50, 100)}
    assert any(isinstance(s.prior, DoublyStochastic) for s in settings)
    assert any(getattr(s.prior, "concentration", 1.0) != 1.0 for s in settings)
    assert [(s.family, s.context) for s in settings].count(("transformer", 100)) == 1
    assert len({s.id for s in settings}) == len(settings)


def test_results_hold_each_quantity_of_each_setting(tiny_suite):
    """The toy has both quantities with an interval; the transformer that was too short says so instead of giving a number."""
    _, results = tiny_suite
    toy = {c.quantity: c for c in results.comparisons if c.setting.startswith("linear")}
    assert set(toy) == {"unigram → bigram", "formation"}
    for comparison in toy.values():
        assert comparison.observed.low <= comparison.observed.value <= comparison.observed.high
        assert set(comparison.errors) == {"mean-field", "finite-context"}
    transformer = {c.quantity: c for c in results.comparisons if c.setting.startswith("transformer")}
    assert transformer["unigram → bigram"].observed.value is None
    assert "2 of 2 curves" in transformer["unigram → bigram"].observed.reason
    assert transformer["seeds in order uniform → unigram → bigram"].verdict == "disagrees"
    assert not results.holds


def test_collecting_again_gives_the_same_comparisons(tiny_suite):
    """From the files alone."""
    folder, results = tiny_suite
    assert suite.collect("tiny", Store(folder / "runs")).comparisons == results.comparisons


def test_collecting_without_runs_names_what_is_missing(tmp_path, tiny_suite):
    with pytest.raises(ValueError, match="has no finished run"):
        suite.collect("tiny", Store(tmp_path))


def test_the_page_is_self_contained_and_the_json_complete(tmp_path, tiny_suite):
    """The picture is inside the page, no address is; every comparison is in both; text is escaped."""
    _, results = tiny_suite
    png = tmp_path / "picture.png"
    png.write_bytes(b"\x89PNG picture")
    page = report.write(results, tmp_path / "page", {"picture": (png, "a <caption>")}, seeds=None).read_text()
    assert base64.b64encode(png.read_bytes()).decode() in page
    assert "a &lt;caption&gt;" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    for comparison in results.comparisons:
        assert comparison.setting in page
    data = json.loads((tmp_path / "page" / "results.json").read_text())
    assert [c["verdict"] for c in data["comparisons"]] == [c.verdict for c in results.comparisons]
    assert data["holds"] is results.holds
    for setting in data["settings"]:
        for transition in setting["observed"]["transitions"]:
            assert set(transition) == {"source", "target", "step", "low", "high", "reason"}
    assert [p.name for p in (tmp_path / "page").iterdir() if p.name.startswith(".")] == []


def test_results_of_reads_what_write_wrote(tiny_suite):
    """`onset report DIR` needs only the folder; a folder without results says what to run."""
    folder, results = tiny_suite
    report.write(results, folder, {}, seeds=None)
    again, seeds = report.results_of(folder)
    assert seeds is None
    assert again.comparisons == results.comparisons
    with pytest.raises(ValueError, match="run onset validate"):
        report.results_of(folder / "runs")
