"""Parts that keep their start, in theory as in training."""

from __future__ import annotations

import numpy as np
import pytest

from onset.simulate.explain import explain
from onset.simulate.predict import predict
from onset.theory.laws import law, law_corrected
from onset.theory.laws.basins import escapes
from onset.theory.laws.softmax import escape
from onset.theory.laws.terms import terms
from onset.theory.setting import Setting


@pytest.mark.parametrize("method", ["mean-field", "finite-context"])
@pytest.mark.parametrize("family", ["linear", "softmax"])
def test_frozen_parts_stay_where_they_are_in_theory_too(family, method):
    """Freeze the match and no head ever forms: there is no signal for layer 1; freeze layer 1 and the match still
    moves, to the unigram strategy alone.
    """
    rate = {"optimizer": "adam"} if family == "softmax" else {}
    setting = Setting.of(family, states=2, context=16, steps=200, initialization={"match": 0.0}, **rate)
    no_match = predict(setting.replace(frozen=("match",)), method)
    assert all(np.ptp(one.parameters["match.diagonal"]) == 0 for one in no_match.trajectories)
    assert no_match.transitions()[1].step is None
    no_lags = predict(setting.replace(frozen=("lag_logits",)), method)
    assert all(np.ptp(one.parameters["lag_logits.1"]) == 0 for one in no_lags.trajectories)
    assert all(np.ptp(one.parameters["match.diagonal"]) > 0 for one in no_lags.trajectories)
    (to_unigram, to_bigram), formed = no_lags.transitions()
    assert to_unigram.step is not None
    assert to_bigram.step is None
    assert formed.step is None
    with pytest.raises(ValueError, match="supports training of all parts only"):
        predict(setting.replace(frozen=("match",)), "law")


@pytest.mark.parametrize(
    ("family", "ask"),
    [("linear", law), ("linear", law_corrected), ("linear", terms), ("linear", escapes), ("softmax", escape)],
)
def test_laws_refuse_frozen_parts_whoever_calls(family, ask):
    with pytest.raises(ValueError, match=r"frozen = \['match'\]: the .* supports training of all parts only"):
        ask(Setting.of(family, context=64, frozen=["match"]))


def test_a_setting_with_frozen_parts_is_explained_by_the_mean_field():
    """Not by the terms of a law that moves all parts."""
    explanation = explain(Setting.of("linear", context=32, frozen=["match"], initialization={"match": 0.0}))
    assert explanation.regime == "outside"
    assert "frozen" in explanation.sentences[0]
    assert "terms" not in explanation.numbers
