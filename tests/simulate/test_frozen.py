"""Parts that keep their start, in theory as in training."""

from __future__ import annotations

import numpy as np
import pytest

from onset.simulate.predict import predict
from onset.theory.setting import Setting


@pytest.mark.parametrize("method", ["mean-field", "finite-context"])
@pytest.mark.parametrize("family", ["linear", "softmax"])
def test_frozen_parts_stay_where_they_are_in_theory_too(family, method):
    """Freeze the match and no head ever forms: there is no signal for layer 1; freeze layer 1 and the match still
    moves, to the unigram strategy alone.
    """
    rate = {"optimizer": "adam"} if family == "softmax" else {}
    setting = Setting.of(family, states=2, context=16, steps=80, initialization={"match": 0.0}, **rate)
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
