"""onset.validate.inspection.formation: the step at which any head of a layer crosses the level."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from onset.theory.architecture import Architecture
from onset.theory.recording import Trajectory
from onset.theory.setting import Setting
from onset.theory.transitions import FORMATION_LEVEL
from onset.validate.inspection.formation import find_formations, head_formations
from onset.validate.store.jobs import Observation
from onset.validate.store.probes import SCORES

SETTING = Setting.of("transformer", states=3, context=12, architecture=Architecture(2, 8, (2, 1)))
STEPS = np.arange(0, 101, 10.0)


def rising(head: int, at: float) -> Trajectory:
    """A run with scores on straight lines through the level.

    Head `head` of layer 1 becomes a previous-token head at step `at`, layer 2 has an induction head twice as late.
    """
    scores = np.zeros((len(STEPS), len(SCORES), 2, 2))
    scores[:, :, 1, 1] = np.nan
    scores[:, SCORES.index("previous-token"), 0, head] = FORMATION_LEVEL * STEPS / at
    scores[:, SCORES.index("prefix-matching"), 1, 0] = FORMATION_LEVEL * STEPS / (2 * at)
    nothing = np.zeros((len(STEPS), 2, 12))
    return Trajectory(STEPS, STEPS, {}, nothing, {}, {}, {"head_score": scores})


def test_a_head_forms_where_its_score_crosses_the_level():
    """Interpolated, in the layer of the head and in no other."""
    steps = {name: transition.step for name, transition in find_formations(SETTING, rising(1, 33.0)).items()}
    assert steps[1, "previous-token head"] == pytest.approx(33)
    assert steps[2, "induction head"] == pytest.approx(66)
    assert steps[1, "induction head"] is steps[2, "previous-token head"] is None
    assert find_formations(Setting.of("linear"), rising(0, 33.0)) == {}


def test_heads_may_change_places_between_seeds():
    """Seeds with the head in other places are one sample; a spike at one record is no head."""
    runs = (rising(0, 30.0), rising(1, 40.0))
    formations = head_formations(Observation(SETTING, (0, 1), runs, ({}, {})))
    by_head = {(formation.layer, formation.kind): formation.formed for formation in formations}
    formed = by_head[1, "previous-token head"]
    assert formed.value == pytest.approx(35)
    assert formed.low < 30
    assert formed.high > 40
    assert "2 of 2 curves" in by_head[1, "induction head"].reason
    spike = np.zeros((len(STEPS), len(SCORES), 2, 2))
    spike[4] = 1.0
    late = replace(runs[0], probes={"head_score": 0 * spike})
    partly = head_formations(Observation(SETTING, (0, 1), (runs[0], late), ({}, {})))[0].formed
    assert (partly.value, partly.share) == (None, 0.5)
    assert (
        find_formations(SETTING, replace(runs[0], probes={"head_score": spike}))[1, "previous-token head"].step is None
    )
