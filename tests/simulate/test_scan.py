"""onset.simulate.scan and onset.simulate.exponents: settings of a grid, their rows, and exponents of the times."""

from __future__ import annotations

import numpy as np
import pytest

from onset.simulate.exponents import _exponent, fits
from onset.simulate.scan import Grid, Row, grid, predict_one
from onset.theory.axes import parse
from onset.theory.laws import law
from onset.theory.laws.terms import terms
from onset.theory.markov.priors import Dirichlet, DoublyStochastic, Mixture, Unigram
from onset.theory.setting import Setting


def _run(points: Grid, method: str = "law") -> list[Row]:
    return [predict_one(points, point, method) for point in points.points()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("context=50,100,50", ("context", (50, 100))),
        ("concentration=1:4:3", ("concentration", (1, 2, 4))),
        ("concentration=1:4:3:geo", ("concentration", (1, 2, 4))),
        ("batch=1:4:4:lin", ("batch", (1, 2, 3, 4))),
        ("context=2:4:9", ("context", (2, 3, 4))),  # whole numbers, each once
        ("learning_rate.lag_logits=0.1", ("learning-rate.lag_logits", (0.1,))),
    ],
)
def test_parse(text, expected):
    name, values = parse(text)
    assert name == expected[0]
    assert values == pytest.approx(expected[1], rel=1e-12)


def test_defaults_follow_the_grid_and_what_is_set_stays():
    """The match's default rate is 100/T²; one that was set does not move, nor does Adam's epsilon."""
    free = grid(Setting.of("linear"), ["context=50,200"])
    assert [free.setting(p).training.optimizer.learning_rate["match"] for p in free.points()] == [
        100 / 50**2,
        100 / 200**2,
    ]
    assert [free.setting(p).training.steps for p in free.points()] == [1000, 2500]
    held = grid(Setting.of("linear", learning_rate={"match": 0.3}, steps=77), ["context=50,200"])
    assert [held.setting(p).training.optimizer.learning_rate["match"] for p in held.points()] == [0.3, 0.3]
    assert {held.setting(p).training.steps for p in held.points()} == {77}
    assert free.setting([100.0]) == Setting.of("linear")


def test_every_axis_moves_its_own_number():
    """Each axis by itself, compared with the setting made by hand."""
    base = Setting.of("softmax", states=3, context=40)
    cases = {
        "states": (4, Setting.of("softmax", states=4, context=40)),
        "concentration": (0.5, Setting.of("softmax", prior=Dirichlet(3, 0.5), context=40)),
        "batch": (8, Setting.of("softmax", states=3, context=40, batch=8)),
        "weight": (0.25, Setting.of("softmax", prior=Mixture((Dirichlet(3), Unigram(3)), (0.25, 0.75)), context=40)),
        "readout": (2.0, Setting.of("softmax", states=3, context=40, learning_rate={"readout": 2.0})),
        "learning-rate": (2.0, Setting.of("softmax", states=3, context=40, learning_rate=2.0)),
        "initialization.match": (0.1, Setting.of("softmax", states=3, context=40, initialization={"match": 0.1})),
    }
    for name, (value, expected) in cases.items():
        assert grid(base, {name: [value]}).setting([value]) == expected, name
    mixed = grid(Setting.of(prior=Mixture((DoublyStochastic(3), Unigram(3)), (0.5, 0.5))), {"weight": [0, 0.2, 1]})
    priors = [mixed.setting(p).task.prior for p in mixed.points()]
    assert priors == [Unigram(3), Mixture((DoublyStochastic(3), Unigram(3)), (0.2, 0.8)), DoublyStochastic(3)]


BAD = [
    (["contxt=1"], "did you mean 'context'"),
    (["context="], "at least one value"),
    (["context=a"], "'a' is none"),
    (["context=9:3:2"], "it is empty"),
    (["context=0:3:2"], "put :lin behind"),
    (["context=50.5"], "context = 50.5"),
    (["context=50", "context=60"], "twice"),
    (["weight=2"], "weight = 2"),
    (["context=2:1e6:1001:lin", "batch=1:1000:1000:lin"], "at most 1000000"),
    ([], "at least one axis"),
]


@pytest.mark.parametrize(("axes", "names"), BAD, ids=[" ".join(a) for a, _ in BAD])
def test_a_bad_grid_is_refused_before_anything_runs(axes, names):
    with pytest.raises(ValueError, match=names):
        grid(Setting.of("linear"), axes)


def test_rows_outside_the_laws_range_are_kept_with_the_reason():
    points = grid(Setting.of("linear"), ["initialization.match=0.01,3"])
    inside, outside = _run(points)
    expected = terms(points.setting([0.01]))["formation"]
    assert inside.formation == (expected.step, expected.low, expected.high)
    assert inside.reason == ""
    assert outside.formation is outside.passage is None
    assert "too far from the plateau" in outside.reason


def test_match_limited_rows_are_answered_without_terms():
    """Where the law follows match and lag 1 together, the row has its times."""
    points = grid(Setting.of("linear"), ["states=2,4"])
    inside, limited = _run(points)
    assert inside.terms is not None
    assert limited.terms is None
    formed = law(points.setting([4])).transitions()[1]
    assert limited.formation == (formed.step, formed.low, formed.high)


def test_a_power_law_is_fitted_exactly_and_its_error_comes_from_the_residuals():
    """t = 5 x^1.5 has its exponent, no error and so no z; scattered by known residuals, the textbook standard error."""
    points = grid(Setting.of("linear"), ["context=10,20,40,80"])
    x = np.array(points.axes["context"])

    def fitted(noise):
        times = 5 * x**1.5 * np.exp(noise)
        return fits(points, [Row((c,), (t, t, t), None) for c, t in zip(x, times, strict=True)], "mean-field")

    (exact,) = fitted(np.zeros(4))
    assert exact.exponent == pytest.approx(1.5)
    assert exact.error == pytest.approx(0, abs=1e-12)
    assert [s for _, s in exact.local] == pytest.approx([1.5] * 3)
    noise = np.array([1.0, -1, -1, 1]) / 100  # orthogonal to a constant and to ln x
    (scattered,) = fitted(noise)
    assert scattered.exponent == pytest.approx(1.5)
    spread = np.log(x) - np.log(x).mean()
    assert scattered.error == pytest.approx(np.sqrt(noise @ noise / 2 / (spread @ spread)))


def test_fitted_exponents_of_rates_are_the_laws_derivatives():
    """Over a narrow range the rates' fits agree with the law differentiated to the curvature, and the batch has
    exponent 0.
    """
    base = Setting.of("linear", states=3, context=400)
    points = grid(base, ["lag_logits=0.9:1.1:5", "batch=16,32,64"])
    expected = {(f.axis, f.quantity): f for f in fits(points, _run(points), "law")}
    for quantity in ("formation", "passage"):
        rate = expected["learning-rate.lag_logits", quantity]
        assert rate.predicted is not None
        assert rate.exponent == pytest.approx(rate.predicted, rel=1e-3)
        assert expected["batch", quantity].exponent == pytest.approx(0, abs=1e-12)
        assert expected["batch", quantity].z is None
    assert -1 < expected["learning-rate.lag_logits", "formation"].exponent < -0.8


def test_another_method_is_set_beside_the_laws_own_fit():
    points = grid(Setting.of("linear", initialization={"match": 0.005}), ["context=100,200,400"])
    fit = next(f for f in fits(points, _run(points, "mean-field"), "mean-field") if f.quantity == "formation")
    assert fit.law == pytest.approx(fit.exponent, abs=0.05)  # mean-field and law differ by ln T/T, 5% at T = 100
    assert fit.theory == "leading logarithmic integral"


def test_two_times_have_an_exponent_and_local_slopes_stand_between_them():
    """t = x^2 at x = 1, 4, of which the middle on a logarithmic axis is 2."""
    two = grid(Setting.of("linear"), ["batch=1,4"])
    rows = [Row((x,), (x**2,) * 3, None, "", None) for (x,) in two.points()]
    (fit,) = [fit for fit in fits(two, rows, "mean-field") if fit.quantity == "formation"]
    assert fit.exponent == pytest.approx(2)
    assert _exponent(np.array([1.0, 4.0]), np.array([1.0, 64.0])) == pytest.approx(3)
    assert _exponent(np.array([1.0, 4.0]), np.array([1.0, np.nan])) is None
    ((x, slope),) = fit.local
    assert (x, slope) == pytest.approx((2, 2))


def test_the_reason_of_either_transition_is_kept(monkeypatch):
    """A head that forms while the last transition does not come, and says why; and the other way round."""
    from onset.theory.prediction import Prediction
    from onset.theory.transitions import Transition

    def transition(reason: str) -> Transition:
        step = None if reason else 5.0
        return Transition("unigram", "bigram", step, step, step, reason or None)

    points = grid(Setting.of("softmax", states=3), ["batch=8"])
    for first, last, formed in (("early", "late", ""), ("", "late", "not formed"), ("early", "", "")):
        both = [transition(first), transition("between"), transition(last)], transition(formed)
        monkeypatch.setattr(Prediction, "transitions", lambda self, both=both: both)
        row = predict_one(points, [8.0], "mean-field")
        assert row.reason == "; ".join(filter(None, (formed, last)))
