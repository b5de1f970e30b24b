"""The softmax family's plateau law against the dynamics at finite context, which it expands, and its explanation."""

from __future__ import annotations

import numpy as np
import pytest

from onset.simulate.explain import explain
from onset.simulate.finite_context import predict as finite
from onset.simulate.predict import predict
from onset.theory.laws import expansion, law
from onset.theory.laws.softmax import escape
from onset.theory.setting import Setting


@pytest.fixture(autouse=True, scope="module")
def few_tokens():
    before, expansion.TOKENS = expansion.TOKENS, expansion.TOKENS // 4
    expansion.expansion.cache_clear()
    yield
    expansion.TOKENS = before
    expansion.expansion.cache_clear()


@pytest.fixture(scope="module")
def setting() -> Setting:
    return Setting.of("softmax", states=3, context=48, learning_rate={"match": 4.0, "lag_logits": 4.0})


def test_both_transitions_at_finite_context(setting, monkeypatch):
    """Formation within the law's interval, which is narrower than 10%, and one recording step; the other likewise."""
    monkeypatch.setattr(finite, "REPLICATES", 1)
    (_, to_bigram), formation = law(setting).transitions()
    (_, exact_bigram), formed = finite.finite_context(setting.replace(record_every=5)).transitions()
    print(f"formation {formation} | {formed.step:.1f}", f"bigram {to_bigram} | {exact_bigram.step:.1f}", sep="\n")
    assert (formation.high - formation.low) / 2 < 0.1 * formation.step
    assert formation.low - 5 < formed.step < formation.high + 5
    assert to_bigram.low - 5 < exact_bigram.step < to_bigram.high + 5


def test_explanation_names_what_the_law_is_made_of(setting):
    explanation, escaped = explain(setting), escape(setting)
    assert explanation.regime == "amplified"
    numbers = explanation.numbers["escape"]
    assert numbers["gamma"] == pytest.approx(escaped.push / escaped.drives[1])
    assert np.argmax(numbers["drives"]) == 1
    assert f"step {escaped.steps:.0f}" in explanation.sentences[0]
    assert explanation.to_dict()["escape"]["steps"] == escaped.steps


def test_a_trapped_setting_is_explained_as_such():
    explanation = explain(Setting.of("softmax", states=2, context=32))
    assert explanation.regime == "outside"
    assert "trapped" in explanation.sentences[0]


def test_the_corrected_law_agrees_with_finite_context(setting, monkeypatch):
    """Both families: formation within a tenth, the stated target, at T = 64 and 48; the linear law without correction
    is 10% off."""
    monkeypatch.setattr(finite, "REPLICATES", 1)
    for example in (Setting.of("linear", states=2, context=64, record_every=2), setting.replace(record_every=5)):
        expected = finite.finite_context(example).transitions()[1]
        predicted = predict(example, "law-corrected").transitions()[1]
        print(f"{example.label}: {predicted.step / expected.step - 1:+.3f}")
        assert abs(predicted.step / expected.step - 1) < 0.1
        assert predicted.low < predicted.step < predicted.high
