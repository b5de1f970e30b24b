"""onset.theory.prediction and onset.theory.mean_fields.predict: a prediction is steps with an interval, the curves
behind them, and what was assumed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from onset.theory.markov import ideal
from onset.theory.markov.priors import Dirichlet, DoublyStochastic
from onset.theory.mean_fields import stability
from onset.theory.mean_fields.predict import AtSaddle, mean_field
from onset.theory.mean_fields.quadrature import SCRAMBLINGS
from onset.theory.setting import Setting
from onset.theory.transitions import combine


def test_deterministic_for_two_states():
    """k = 2: one trajectory, whose error is that of reading it; the interval is what it neglects; the seed changes
    nothing."""
    setting = Setting.of("linear", context=50)
    computed, other = mean_field(setting), mean_field(setting, seed=9)
    assert len(computed.trajectories) == 1
    (_, bigram), formation = computed.transitions()
    assert formation.low < formation.step < formation.high
    assert formation.kind == "theoretical"
    assert formation.error.value < 1e-3 * formation.step
    assert other.transitions()[1] == formation
    assert bigram.step is None or bigram.step > formation.step


def test_replicates_for_more_states():
    """k = 3: independent scramblings whose mean is the prediction, with its standard error; another seed's mean is
    within their 95%."""
    setting = Setting.of("linear", states=3, context=100)
    computed, other = mean_field(setting), mean_field(setting, seed=1)
    formation, again = computed.transitions()[1], other.transitions()[1]
    own = [t.transitions()[1] for t in computed.trajectories]
    assert len(own) == SCRAMBLINGS
    assert len({t.step for t in own}) == SCRAMBLINGS
    assert formation.error == combine(own, "numerical").error
    assert formation.step == pytest.approx(np.mean([t.step for t in own]))
    assert abs(formation.step - again.step) < formation.error.beside(again.error).half


def test_formation_scales_with_the_learning_rate():
    """Gradient flow knows flow time only: halving both rates doubles every transition, up to the records around it."""
    steps = []
    for scale in (1, 2):
        rates = {"lag_logits": 1.0 / scale, "match": 0.04 / scale}
        steps.append(
            mean_field(Setting.of("linear", context=50, learning_rate=rates, steps=1000 * scale)).transitions()[1]
        )
    assert steps[1].step == pytest.approx(2 * steps[0].step, rel=1e-3)


def test_plateaus_are_the_ideal_limits():
    """Plateaus are limit_loss of each strategy; the dictionary is plain JSON and states assumptions and validity."""
    prior = Dirichlet(2)
    computed = mean_field(Setting.of("softmax", prior=prior, context=25, optimizer="adam", steps=50))
    for name, plateau in computed.plateaus.items():
        assert plateau.value == pytest.approx(ideal.limit_loss(prior, name).value, abs=1e-6)
    text = json.loads(json.dumps(computed.to_dict()))
    assert text["setting"]["id"] == computed.setting.id
    assert [t["target"] for t in text["transitions"]] == ["unigram", "bigram"]
    assert text["assumptions"]
    assert text["validity"]


def test_families_without_a_mean_field_are_named():
    """The transformer has none."""
    with pytest.raises(ValueError, match="family of a mean-field prediction = 'transformer'"):
        mean_field(Setting.of("transformer"))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_start_without_a_gradient_is_refused(optimizer):
    """Doubly stochastic chains show the softmax family nothing at zero: Adam would follow the rounding of zero,
    gradient flow never leave."""
    setting = Setting.of("softmax", prior=DoublyStochastic(4), context=100, optimizer=optimizer)
    with pytest.raises(AtSaddle, match=r"prior = DoublyStochastic.*mean-field-corrected"):
        mean_field(setting)


def test_what_is_assumed_of_the_optimiser_and_neglected_by_the_family_is_said():
    texts = {
        (family, optimizer): " ".join([*prediction.assumptions, *prediction.validity])
        for family in ("linear", "softmax")
        for optimizer in ("sgd", "adam")
        for prediction in [mean_field(Setting.of(family, states=2, context=30, optimizer=optimizer, steps=20))]
    }
    for (family, optimizer), text in texts.items():
        assert ("SGD as gradient flow" in text) == (optimizer == "sgd")
        assert ("Adam on the population gradient" in text) == (optimizer == "adam")
        assert ("expect the order of magnitude only" in text) == (family == "softmax")
        assert ("noise of mini-batches is not estimated" in text) == ((family, optimizer) == ("linear", "adam"))


@pytest.mark.parametrize(
    ("product", "says"),
    [(0.9, "stable, so flow stands"), (1.1, "close to instability"), (1.9, "close to instability"), (2.1, None)],
)
def test_stability_is_judged_at_one_and_at_two(monkeypatch, product, says):
    """Of the learning rate times the largest curvature: overshooting from 1 on, unstable from 2 on."""
    prediction = mean_field(Setting.of("linear", states=2, context=30))
    monkeypatch.setattr(stability, "sharpness", lambda *arguments: np.array([0.1, product]))
    if says is None:
        with pytest.raises(ValueError, match=r"expected learning rate × curvature below 2, but it is 2\.1"):
            stability.checked(prediction)
    else:
        assert says in stability.checked(prediction).validity[-1]
