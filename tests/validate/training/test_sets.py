"""onset.validate.training.held_out: measurements of a task with answers, on the set trained on and on the others."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from onset.simulate.tasks import sampler
from onset.theory.architecture import Architecture
from onset.theory.modular import ideal
from onset.theory.modular.task import STRATEGIES, ModularArithmetic
from onset.theory.setting import Setting
from onset.validate.store.runs import Record, Store, read
from onset.validate.training import train
from onset.validate.training.held_out import HELD_OUT, HeldOutSequences

TASK = ModularArithmetic(modulus=5, rules=12, share=0.6, examples=4)


@pytest.mark.parametrize("strategy", STRATEGIES[:3] + STRATEGIES[-2:])
@pytest.mark.parametrize("task", [TASK, TASK.variants[1]], ids=["trained rules", "new rules"])
def test_a_model_that_predicts_as_a_strategy_has_no_distance_from_it(task, strategy):
    """And answers as well as the strategy is expected to, to five standard errors; its loss is its distance from the
    true law, which is without entropy."""
    sequences = HeldOutSequences(task, np.random.default_rng(3), torch.device("cpu"))
    sample = sampler(task).held_out(HELD_OUT, np.random.default_rng(3))
    laws = sampler(task).laws(sample)
    place = STRATEGIES.index(strategy)
    tie_breaks = 1e-6 * np.random.default_rng(0).random(laws.values[0].shape)
    predicted = torch.from_numpy(np.log(laws.values[place] + tie_breaks + 1e-9)).float()
    done = 0

    def model(tokens):
        nonlocal done
        done += len(tokens)
        return predicted[done - len(tokens) : done]

    cross_entropies, accuracy = sequences.passed(model)
    distances = sequences.by_position(cross_entropies)
    assert distances.shape == (len(STRATEGIES) + 1, TASK.examples)
    assert distances[place] == pytest.approx(0, abs=1e-4)
    expected = ideal.accuracies(task, strategy)
    errors = np.sqrt(expected * (1 - expected) / HELD_OUT) + 1e-9
    print((accuracy - expected) / errors)
    assert (np.abs(accuracy - expected) < 5 * errors).all()
    assert distances[-1] == pytest.approx(laws.losses()[place].mean(axis=0)[TASK.scored], abs=1e-3)


def test_sets_are_recorded_and_stored(tmp_path):
    setting = Setting.of(
        "transformer",
        task=TASK,
        architecture=Architecture(1, 16, 2, dropout=0.0),
        learning_rate=1e-3,
        steps=4,
        record_every=2,
    )
    run = train(setting, seed=0)
    assert run.probes["accuracy"].shape == (3, 4, TASK.examples)
    assert run.probes["set_distance"].shape == (3, 4, len(STRATEGIES) + 1, TASK.examples)
    of_own_set = run.probes["set_distance"][:, 0, :-1].mean(axis=-1)
    assert of_own_set == pytest.approx(np.array([run.distances[name] for name in STRATEGIES]).T, abs=1e-6)
    assert run.probes["tested_on"] == pytest.approx(run.probes["set_distance"][:, 1:, -1, -1])
    store = Store(tmp_path)
    path = store.save("run", Record(setting, (run,), {}))
    again = read(path).trajectories[0]
    assert np.array_equal(again.probes["accuracy"], run.probes["accuracy"])
