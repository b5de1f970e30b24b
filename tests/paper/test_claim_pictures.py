"""onset.paper.figures.claims: the figure of each claim shows its runs, one line per seed."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest

pytest.importorskip("torch")

from onset.paper.figures.claims import PANELS
from onset.paper.figures.registry import FIGURES, caption, of_suite
from onset.theory.architecture import Architecture
from onset.theory.markov.priors import DoublyStochastic
from onset.theory.setting import Setting
from onset.validate.claims import CLAIMS, ClaimResult
from onset.validate.store.jobs import TRAIN, Observation
from onset.validate.suite import Results
from onset.validate.training import train_together


@cache
def trained(order: int) -> Observation:
    """Two seeds of a transformer too small and too short to learn anything."""
    shape = Architecture(width=8 * (order - 1), heads=(order - 1, 1), dropout=0.0)
    tested = [DoublyStochastic(3)] if order == 2 else []
    setting = Setting.of(
        "transformer",
        states=3,
        order=order,
        context=12,
        steps=30,
        record_every=10,
        architecture=shape,
        tested_on=tested,
    )
    return Observation(setting, (0, 1), tuple(train_together(setting, [0, 1])), ({}, {}))


def results(claim: str, *, refused: bool = False) -> Results:
    """A suite with the runs of one claim, all of the same small model; with `refused`, without any prediction."""
    needs = {n: need for n, need in CLAIMS[claim].needs("standard").items() if need.kind == TRAIN or not refused}
    runs = {name: trained(3 if need.setting.task.order > 2 else 2) for name, need in needs.items()}
    return Results("made up", (), (), (), (), (), (ClaimResult(CLAIMS[claim], {}, (), (), runs),))


@pytest.mark.parametrize("claim", PANELS)
def test_every_picture_shows_every_seed_and_is_drawn(claim, draw):
    """Two lines per curve, finite values, and a caption."""
    shown, name = results(claim), f"claim-{claim}"
    assert name in of_suite(shown)
    panels = FIGURES[name].compute(shown)
    assert all(len(curve.seeds) == 2 for panel in panels for curve in panel.curves)
    assert all(np.isfinite(y).all() for panel in panels for curve in panel.curves for _, y in curve.seeds)
    draw(FIGURES[name], panels)
    assert len(caption(name)) > 40


@pytest.mark.parametrize(
    "claim", [claim for claim in PANELS if any(n.kind != TRAIN for n in CLAIMS[claim].needs("standard").values())]
)
def test_figures_need_no_predictions(claim):
    """Where predictions are refused, training alone is shown."""
    name = f"claim-{claim}"
    panels = FIGURES[name].compute(results(claim, refused=True))
    assert sum(len(panel.curves) for panel in panels) > 0


def test_the_delay_is_drawn_against_doubly_stochastic_sequences():
    """Three quarters of the sequences of the mixture, in thousands; the level lies below the start."""
    (panel,) = FIGURES["claim-delay"].compute(results("delay"))
    pure, mixed = panel.curves
    run = trained(2).trajectories[1]
    np.testing.assert_allclose(pure.seeds[1][0], run.steps * 64 / 1000)
    np.testing.assert_allclose(mixed.seeds[1][0], 0.75 * run.steps * 64 / 1000)
    np.testing.assert_array_equal(mixed.seeds[1][1], run.probes["tested_on"][:, 0])
    assert panel.levels["half-drop"][0] < run.probes["tested_on"][0, 0]


def test_a_claim_without_runs_has_no_picture():
    """It is not listed, and asking for it names the command to run."""
    empty = Results("standard", (), (), (), (), (), (ClaimResult(CLAIMS["phases"], {}, (), ("a run",)),))
    assert "claim-phases" not in of_suite(empty)
    with pytest.raises(ValueError, match=re.escape("onset validate --suite standard --claims phases")):
        FIGURES["claim-phases"].compute(empty)
