"""onset.validate.measures.runs: what is measured of a trained transformer, on one whose heads are known."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")

from built_transformers import induction_transformer

from onset.theory.architecture import Architecture
from onset.theory.recording import Trajectory
from onset.theory.repeats.segments import RepeatedSegments
from onset.theory.setting import Setting
from onset.validate.measures import measure_run
from onset.validate.store.jobs import RUN_MEASURES
from onset.validate.store.probes import SCORES
from onset.validate.store.runs import Record

TASK = RepeatedSegments(vocabulary=32, context=48, shortest=6, longest=16)


@pytest.fixture(scope="module")
def run() -> Record:
    """A run that ended with a previous-token head L0H1 and an induction head L1H1."""
    model = induction_transformer(TASK.vocabulary, TASK.context)
    shape = Architecture(2, model.embedding.embedding_dim, 2, dropout=0.0, positions="bias", norm=False)
    setting = Setting.of("transformer", task=TASK, architecture=shape)
    scores = np.zeros((1, len(SCORES), 2, 2))
    scores[0, SCORES.index("previous-token"), 0, 1] = 0.9
    scores[0, SCORES.index("prefix-matching"), 1, 1] = 0.9
    scores[0, SCORES.index("copying"), 1, 1] = 0.9
    weights = {name: values.detach().numpy() for name, values in model.state_dict().items()}
    steps, attention = np.zeros(1), np.zeros((1, 1, TASK.context))
    curve = Trajectory(steps, steps, {}, attention, {}, {}, {"head_score": scores}, weights=weights)
    return Record(setting, (curve,), {"seed": 3, "kind": "train"})


def test_without_the_induction_head_learning_from_context_is_gone(run):
    result = measure_run(run, "ablation")
    assert result["lost"] == pytest.approx(1, abs=0.05)
    assert abs(result["others"]) < 0.01
    assert result["undone"] > 0.5


def test_exact_patterns_keep_what_heads_do(run):
    """The previous-token head attends to nothing else; matches of one token are what the induction head looks for."""
    result = measure_run(run, "idealised")
    assert result["exact"] == pytest.approx(1, abs=0.01)
    assert result["matches"] == pytest.approx(1, abs=0.1)
    assert result["longer"] == pytest.approx(result["matches"], abs=0.1)


def test_weights_tell_which_head_induces(run):
    result = measure_run(run, "circuits")
    assert result["traces and prefix matching"] == pytest.approx(1)
    assert result["eigenvalues and copying"] > 0.5


def test_half_of_the_heads_can_go(run):
    """Idle heads go first; the accuracy for second and for later copies stays until then, and the capacity too."""
    result = measure_run(run, "pruning")
    assert list(result["tasks"]) == ["second copies", "later copies"]
    for task in result["tasks"].values():
        accuracy = task["accuracy"]["importance"]
        assert accuracy[0] > 0.7
        assert accuracy[result["percent"].index(40)] == accuracy[0]
        assert task["capacity"][result["percent"].index(40)] == pytest.approx(1)


def test_the_induction_head_exceeds_chance_in_every_draw(run):
    assert measure_run(run, "specificity") == {"heads": [1] * 20}


def test_measures_are_plain_data_and_unknown_ones_are_named(run):
    assert json.dumps(measure_run(run, "circuits"), allow_nan=False)
    with pytest.raises(ValueError, match=f"measure = 'circuit': expected one of {', '.join(RUN_MEASURES)}"):
        measure_run(run, "circuit")
