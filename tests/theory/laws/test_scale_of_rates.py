"""Laws under SGD know learning rates by their ratios alone: a tenth of all rates takes ten times as many steps."""

from __future__ import annotations

import pytest

from onset.theory.laws import law
from onset.theory.laws.corrected import predict_linear
from onset.theory.setting import Setting


@pytest.mark.parametrize("states", [2, 3])
@pytest.mark.parametrize("predict", [law, predict_linear], ids=["law", "law-corrected"])
@pytest.mark.parametrize("slow_match", [1.0, 0.01], ids=["match settled", "match-limited"])
def test_a_tenth_of_all_rates(predict, states, slow_match):
    rates = {"lag_logits": 1.0, "match": slow_match * 100 / 100**2}
    slower = {name: rate / 10 for name, rate in rates.items()}
    once, tenfold = (
        predict(Setting.of("linear", states=states, context=100, learning_rate=r, steps=10**6)).transitions()
        for r in (rates, slower)
    )
    pairs = zip([*once[0], once[1]], [*tenfold[0], tenfold[1]], strict=True)
    for transition, other in pairs:
        for name in ("step", "low", "high"):
            one, ten = getattr(transition, name), getattr(other, name)
            if one is None:
                assert ten is None
            else:
                assert ten == pytest.approx(10 * one, rel=1e-3, abs=0.1), f"{name} of {transition.target}"
