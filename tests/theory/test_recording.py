"""onset.theory.dynamics: Adam's second moment, what is recorded, when runs stop, what divergence leaves behind."""

from __future__ import annotations

import numpy as np
import pytest

from onset.theory.dynamics.descent import descend
from onset.theory.dynamics.layout import Gradient, Layout
from onset.theory.markov.task import MarkovChains
from onset.theory.recording import MARGIN, Measurement, Recorder
from onset.theory.setting import Setting


def measurement(step: float) -> Measurement:
    """Curves whose transitions are at steps 20 and 100 exactly, and lag-1 attention that passes 0.1 at step 60."""
    return Measurement(
        0.5, {"uniform": step, "unigram": 20.0 + 0 * step, "bigram": 120 - step}, np.array([[0.0, step / 600]])
    )


class Scripted:
    """A model whose gradient is constant and whose curves follow a script."""

    def __init__(self, setting: Setting, gradient: Gradient | None = None) -> None:
        self.layout, self.step = Layout.of(setting.task, setting.model.initialization, 2), 0
        self.constant = Gradient(0.5, np.ones(4)) if gradient is None else gradient

    def gradient(self, point: np.ndarray, step: int = 0) -> Gradient:
        self.step = step
        return self.constant

    def measure(self, point: np.ndarray) -> Measurement:
        return measurement(self.step)


def test_runs_stop_a_quarter_past_the_last_transition():
    """The last record is the first one at MARGIN × the last of all transitions; transitions are read off exactly."""
    setting = Setting.of("linear", context=5, steps=1000, record_every=10)
    computed = descend(Scripted(setting), setting.training)
    assert computed.steps.tolist() == list(range(0, 131, 10))
    assert computed.steps[-1] >= MARGIN * 100 > computed.steps[-2]
    (uniform, bigram), formation = computed.transitions()
    assert (uniform.step, uniform.low, uniform.high) == (20.0, 20.0, 30.0)
    assert bigram.step == pytest.approx(100)
    assert formation.step == pytest.approx(60)


def test_records_are_on_the_grid_and_at_the_end():
    """Steps 0, every `record_every`, and the last; parameters carry the names of the layout."""
    setting = Setting.of("linear", context=5, steps=23, record_every=10)
    computed = descend(Scripted(setting), setting.training)
    assert computed.steps.tolist() == [0, 10, 20, 23]
    assert set(computed.parameters) == {"match.diagonal", "match.off_diagonal", "lag_logits.0", "lag_logits.1"}
    assert computed.attention.shape == (4, 1, 2)
    assert computed.diverged is None


def test_adam_moves_by_the_expected_second_moment():
    """Constant gradient g with variance σ² of one sequence: each step is η g / (sqrt(g² + σ²/B) + ε), from the first
    on."""
    variance = np.array([0.0, 4.0, 1.0, 9.0])
    setting = Setting.of(
        "linear", states=3, context=5, optimizer="adam", learning_rate=0.01, batch=16, steps=7, record_every=1
    )
    derivative = np.array([3.0, -12.0, 0.5, 2.0])
    computed = descend(Scripted(setting, Gradient(0.5, derivative, variance)), setting.training)
    entry = derivative / np.array([3, 6, 1, 1])
    pace = 0.01 * entry / (np.sqrt(entry**2 + variance / 16) + 1e-8)
    moved = np.array([values - values[0] for values in computed.parameters.values()]).T
    np.testing.assert_allclose(moved, -pace * computed.steps[:, None], rtol=1e-12, atol=1e-15)


def test_adam_without_noise_moves_by_the_rate():
    """With zero variance every coordinate moves by η a step whatever the size of its gradient."""
    setting = Setting.of("linear", context=5, optimizer="adam", learning_rate=0.01, steps=10, record_every=10)
    computed = descend(Scripted(setting, Gradient(0.5, np.array([1e-3, 1.0, 1e3, -1.0]))), setting.training)
    moved = [values[-1] - values[0] for values in computed.parameters.values()]
    np.testing.assert_allclose(moved, [-0.1, -0.1, -0.1, 0.1], rtol=1e-4)


def test_divergence_keeps_what_came_before(quadratic):
    """A rate beyond 2/curvature sets `diverged`; the records before it are finite and every reason says so."""
    setting = Setting.of("linear", context=5, initialization=1.0, learning_rate=1.0, steps=200, record_every=1)
    computed = descend(quadratic(setting, 7.0), setting.training)
    assert computed.diverged is not None
    assert computed.diverged < 200
    assert np.all(np.isfinite(computed.loss))
    assert computed.steps[-1] == computed.diverged - 1
    transitions, formation = computed.transitions()
    assert all(
        t.step is None and f"diverged at step {computed.diverged}" in t.reason for t in [*transitions, formation]
    )


def test_settled_needs_every_transition():
    """A recorder is not settled while formation or the transition to bigram is missing."""
    recorder = Recorder(MarkovChains.of(context=5), Setting.of("linear", context=5).training)
    for step in range(0, 400, 10):
        recorder.add(step, Measurement(0.5, measurement(step).distances, np.array([[0.0, 0.05]])))
        assert not recorder.settled


@pytest.mark.parametrize(("pace", "given_up"), [(0.0, True), (1e-5, True), (5e-5, False)])
def test_a_passage_that_its_pace_forbids_is_given_up(pace, given_up):
    """Order 3: heads at 100 and 200, bigram at 150, then 0.1 nats from trigram, nearing it by `pace` a step with 4,500
    - step to go."""
    setting = Setting.of("linear", order=3, context=100)
    recorder, stopped = Recorder(setting.task, setting.training), None
    for step in range(0, 1200, 10):
        distances = {"uniform": 0.9, "unigram": 0.5, "bigram": 0.65 - 0.001 * min(step, 300)}
        distances["trigram"] = distances["bigram"] + 0.1 - pace * step
        formed = np.array([[0.0, step / 1000, step / 2000]])
        recorder.add(step, Measurement(0.5, distances, formed))
        if recorder.settled:
            stopped = step
            break
    assert (stopped is not None) == given_up
    assert setting.training.steps == 4500
    if given_up:
        assert stopped >= MARGIN * 200


def test_markov_chains_wait_for_their_passage():
    """Order 2: nothing is given up, however far the transition to bigram is."""
    recorder = Recorder(MarkovChains.of(context=5), Setting.of("linear", context=5).training)
    for step in range(0, 800, 10):
        recorder.add(
            step, Measurement(0.5, {"uniform": 2.0, "unigram": 0.1, "bigram": 0.5}, np.array([[0.0, step / 100]]))
        )
        assert not recorder.settled


def test_the_transition_to_the_last_of_three_strategies_is_always_awaited():
    """However slow it is, and however long the head has formed; with it, a run has settled."""
    setting = Setting.of("linear", context=5, steps=200, record_every=1)
    for lead, settled in ((-1.0, False), (1.0, True)):
        recorder = Recorder(setting.task, setting.training)
        for step in range(100):
            last = lead if step > 50 else -1.0
            distances = {
                "uniform": 3.0,
                "unigram": 2.0 if step > 10 else 4.0,
                "bigram": 2.0 - last if step > 10 else 5.0,
            }
            recorder.add(step, Measurement(0.5, distances, np.array([[0.0, step / 100]])))
        assert recorder.settled is settled


@pytest.mark.parametrize(("start", "highest"), [(0.2, 10 * np.log(2)), (3.0, 30.0)])
def test_a_loss_diverges_at_ten_times_its_start_or_that_of_guessing(start, highest):
    recorder = Recorder(MarkovChains.of(context=5), Setting.of("linear", context=5).training)
    recorder.add(0, Measurement(start, measurement(0).distances, np.array([[0.0, 0.05]])))
    assert not recorder.diverges(0.99 * highest)
    assert recorder.diverges(1.01 * highest)
    assert recorder.diverges(np.nan)


def test_the_pace_is_that_of_the_last_third():
    """Half-way the lead jumps and stays: in the last third it does not move, so that the passage is given up."""
    setting = Setting.of("linear", order=3, context=100)
    recorder = Recorder(setting.task, setting.training)
    before, after = -0.5, -0.1
    for step in range(0, 1001, 10):
        lead = before if step < 500 else after
        distances = {"uniform": 0.9, "unigram": 0.5, "bigram": 0.6, "trigram": 0.6 - lead}
        recorder.add(step, Measurement(0.5, distances, np.array([[0.0, 0.5, 0.5]])))
        if step == 600:  # the jump is in the last third
            assert not recorder._too_slow
    assert recorder._too_slow
