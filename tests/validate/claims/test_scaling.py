"""onset.validate.claims.markov.scaling: its arithmetic returns a constant and exponents that runs were made with, and
sees what breaks them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")

from onset.paper import style
from onset.paper.figures.registry import FIGURES
from onset.paper.figures.scaling import of_runs
from onset.theory.estimates import SEEDS, StandardError
from onset.theory.prediction import Prediction
from onset.theory.recording import Trajectory
from onset.theory.setting import Setting
from onset.validate.claims import ClaimResult
from onset.validate.claims.markov.scaling import (
    CLAIM,
    SeedScatter,
    calibration,
    geometric_mean,
    path,
    predicted,
    seed_scatter,
)
from onset.validate.claims.markov.scaling_settings import BASE, VARIATIONS, toy
from onset.validate.judging.intervals import Interval
from onset.validate.judging.verdicts import AGREES, DISAGREES, INCONCLUSIVE
from onset.validate.store.jobs import Observation
from onset.validate.store.probes import PROBES
from onset.validate.suite import Results

CONSTANT, SPREAD = 0.4, 0.02
SHAPE = np.array([2.0, 3.0, 1.5])
"""v₁, ω and μ at the passage."""


TOY, QUARTER, HALF = (
    f"AdamW: exponent d ln t/d ln batch{more}"
    for more in ("", ", of a product's escape", ", of a product's escape, its match limited by noise")
)
SPEED = "AdamW: exponent of the match's speed in the batch"


def toy_step(setting: Setting) -> float:
    """Any law: here like √T/η."""
    rates = setting.training.optimizer.learning_rate
    return math.sqrt(setting.task.context) / next(iter(rates.values()))


def made_run(setting: Setting, step: float, power: float = 1.0) -> Trajectory:
    """Nearer to unigram until `step`, then to bigram, exactly; order parameters grow like (t/step)^power, up to their
    last value.
    """
    steps = np.linspace(0, 2 * step, 201)
    part = steps / step
    distances = {"uniform": part, "unigram": 0.1 + part, "bigram": 2.1 - part}
    grown = SHAPE * np.minimum(part, 1.5)[:, None] ** power
    parameters, probes = {}, {}
    if setting.model.architecture:
        probes = {
            name: np.zeros((len(steps), *(len(dimension.labels(setting)) for dimension in PROBES[name].dimensions)))
            for name in ("lag_logit", "match", "readout")
        }
        probes["lag_logit"][:, 0, 1], probes["match"][:, 0, 1, 0], probes["readout"][:, 1, 0] = grown.T
    else:
        parameters = {"lag_logits.1": grown[:, 0]}
        for name, values in zip(("match", "readout"), grown[:, 1:].T, strict=True):
            # Contrasts, whatever is added to all entries.
            parameters |= {f"{name}.diagonal": values + 7, f"{name}.off_diagonal": 7 + 0 * values}
    return Trajectory(steps, 1 - 0 * steps, distances, np.zeros((len(steps), 1, 2)), parameters, {}, probes)


def observed(setting: Setting, steps: list[float], power: float = 1.0) -> Observation:
    runs = tuple(made_run(setting, step, power) for step in steps)
    return Observation(setting, tuple(range(len(steps))), runs, ({},) * len(steps))


def runs(factor: Callable[[str], float] = lambda name: 1.0, power: float = 1.0) -> dict[str, Observation | Prediction]:
    """Everything that the claim needs: toys at their law's step, transformers at `CONSTANT` times that, times `factor`
    of the name and a spread over seeds.
    """
    result = {}
    for name, need in CLAIM.needs("standard").items():
        if name.endswith("toy"):
            curve = made_run(need.setting, toy_step(need.setting), 1.0)
            result[name] = Prediction(need.setting, "mean-field", (curve,), {}, (), ())
        else:
            away = np.random.default_rng(len(name)).permutation(np.linspace(-1, 1, need.seeds))
            middle = CONSTANT * toy_step(toy(need.setting)) * factor(name)
            result[name] = observed(need.setting, [middle * math.exp(SPREAD * z) for z in away], power)
    return result


def kinds(result: dict[str, Observation | Prediction]) -> dict[str, str]:
    return {finding.quantity: finding.verdict.kind for finding in CLAIM.judge(result)}


def test_runs_made_with_a_constant_agree_with_it_everywhere_but_not_without_it():
    """Every calibrated step, exponent, order parameter and control agrees; what takes no constant does not."""
    verdicts = kinds(runs())
    (uncalibrated,) = (name for name in verdicts if "uncalibrated" in name)
    assert verdicts.pop(uncalibrated) == DISAGREES
    # Steps that do not know the batch are none of an escaping product's, nor is a match whose speed does not.
    assert {verdicts.pop(name) for name in (QUARTER, HALF, SPEED)} == {DISAGREES}
    assert set(verdicts.values()) == {AGREES}
    assert len(verdicts) == len(VARIATIONS) + 3 + 5 + 6 + 1


def test_predictions_are_the_constant_times_the_toys():
    """To rounding, since seeds are symmetric about their geometric_mean mean."""
    by_name = {finding.quantity: finding for finding in CLAIM.judge(runs())}
    for variation in VARIATIONS:
        result = by_name[f"{variation.name}: unigram → bigram, calibrated at base"]
        assert result.predicted.value == pytest.approx(CONSTANT * toy_step(toy(variation.setting)), rel=1e-9)
        assert result.error == pytest.approx(0, abs=1e-9)
    slope = by_name["AdamW: exponent d ln t/d ln T"]
    assert (slope.predicted.value, slope.observed.value) == pytest.approx((0.5, 0.5), abs=1e-9)
    assert by_name["SGD: exponent d ln t/d ln rate"].predicted.value == pytest.approx(-1, abs=1e-9)


def test_what_breaks_the_scaling_is_named():
    """One setting twice as late disagrees, and so does another power of the rate; the rest stays."""
    name = "AdamW, k = 4: unigram → bigram, calibrated at base"
    expected = kinds(runs())
    late = kinds(runs(lambda name: 2.0 if name == "AdamW, k = 4" else 1.0))
    assert {one for one in expected if late[one] != expected[one]} == {name}
    assert late[name] == DISAGREES

    def steeper(name: str) -> float:
        return next((v.value / 5e-4 for v in VARIATIONS if v.name == name and "AdamW, rate" in name), 1.0)

    slope = {finding.quantity: finding for finding in CLAIM.judge(runs(steeper))}["AdamW: exponent d ln t/d ln rate"]
    assert slope.verdict.kind == DISAGREES
    assert (slope.predicted.value, slope.observed.value) == pytest.approx((-1, 0), abs=1e-9)
    bent = kinds(runs(power=2.0))
    assert {one for one in expected if bent[one] != expected[one]} == {one for one in expected if "half-way" in one}
    unanswered = kinds({one: run for one, run in runs().items() if one != "AdamW, k = 4, toy"})
    assert set(expected) - set(unanswered) == {name}


@pytest.mark.parametrize(("power", "agrees"), [(-0.25, {QUARTER}), (-0.5, {HALF, SPEED})])
def test_the_batchs_exponent_tells_escapes_apart(power, agrees):
    """Steps that go as B^power: of the toy, and of the two escapes, the one whose exponent it is; a match that ends at
    the same value is as fast as they are short.
    """
    by_batch = {v.name: (v.value / 64) ** power for v in VARIATIONS if v.axis == "batch"}
    verdicts = kinds(runs(lambda name: by_batch.get(name, 1.0)))
    assert {name for name in (TOY, QUARTER, HALF, SPEED) if verdicts[name] == AGREES} == agrees


def test_sgd_may_have_a_constant_of_its_own():
    """Three times as slow under SGD: the base's constant disagrees everywhere, the one fitted at an SGD setting
    nowhere.
    """
    verdicts = kinds(runs(lambda name: 3.0 if name.startswith("SGD") else 1.0))
    for at, kind in (("base", DISAGREES), ("SGD, rate = 1", AGREES)):
        sgd = {name for name in verdicts if name.startswith("SGD") and name.endswith(f"calibrated at {at}")}
        assert {verdicts[name] for name in sgd} == {kind}


def test_a_transformer_that_never_passes_has_no_step():
    """A run that ended long after its predicted step disagrees; one that ended before it is inconclusive."""
    result = runs()
    name = "AdamW, T = 50"
    setting, predicted_step = result[name].setting, CONSTANT * toy_step(toy(result[name].setting))
    passing = made_run(setting, predicted_step)
    stuck = replace(passing, distances=passing.distances | {"bigram": 9 + 0 * passing.steps})
    for steps, kind in ((round(2 * predicted_step), DISAGREES), (round(predicted_step / 2), INCONCLUSIVE)):
        never = Observation(setting.replace(steps=steps), (0, 1), (stuck, stuck), ({}, {}))
        assert kinds(result | {name: never})[f"{name}: unigram → bigram, calibrated at base"] == kind


def test_standard_errors_of_a_product_add_in_squares():
    """3% of the transformer and 4% of the toy make 5% of the constant; the constant's 5% and 12% of a toy make 13%."""
    transformer, theory = (
        Interval.around(value, StandardError(error), SEEDS) for value, error in ((100.0, 3.0), (200.0, 8.0))
    )
    constant = calibration(transformer, theory)
    assert (constant.value, constant.error.value) == pytest.approx((0.5, 0.025))
    step = predicted(constant, Interval.around(10.0, StandardError(1.2), SEEDS))
    assert (step.value, step.error.value) == pytest.approx((5.0, 0.65))
    assert predicted(constant, Interval(None, reason="never")).value is None
    assert calibration(Interval(100.0), theory).error is None


def test_steps_are_averaged_as_logarithms():
    """√(100·400), with Student's interval of the logarithms; none if a seed lacks the passage."""
    result = geometric_mean([100.0, 400.0], SeedScatter(0.3, 4))
    half = 2.776445 * 0.3 / math.sqrt(2)  # Student's 97.5% quantile for four degrees of freedom
    assert result.value == pytest.approx(200)
    assert math.log(result.high / result.value) == pytest.approx(half, rel=1e-6)
    assert math.log(result.value / result.low) == pytest.approx(half, rel=1e-6)
    partly = geometric_mean([100.0, None], SeedScatter(0.3, 4), 3000.0)
    assert (partly.value, partly.share, partly.limit) == (None, 0.5, 3000.0)
    assert geometric_mean([None, None], SeedScatter(0.3, 4), 3000.0).share is None


def test_the_spread_over_seeds_is_pooled():
    """Of ln t: 0.1 about the mean twice over, and 0.2 to both sides: 0.02 and 0.08 over one and one degrees of freedom;
    toys do not count.
    """
    setting = VARIATIONS[0].setting
    steps = {"a": [math.exp(-0.1), math.exp(0.1)], "b": [3 * math.exp(-0.2), 3 * math.exp(0.2)], "c": [5.0]}
    result = {name: observed(setting, each) for name, each in steps.items()}
    result["a, toy"] = observed(toy(setting), [1.0, 9.0])
    assert seed_scatter(result) == SeedScatter(pytest.approx(math.sqrt(0.1 / 2)), 2)


def test_the_toy_has_the_transformers_numbers():
    """Prior, context, batch, rate and moments of each optimiser."""
    for variation in VARIATIONS:
        toy_setting = toy(variation.setting)
        assert (toy_setting.task.prior, toy_setting.task.context, toy_setting.training.batch) == (
            variation.setting.task.prior,
            variation.setting.task.context,
            variation.setting.training.batch,
        )
        assert set(toy_setting.training.optimizer.learning_rate.values()) == set(
            variation.setting.training.optimizer.learning_rate.values()
        )
        assert toy_setting.training.optimizer.betas == variation.setting.training.optimizer.betas
        assert toy_setting.training.optimizer.name == variation.setting.training.optimizer.name.removesuffix("w")


def test_a_path_is_read_by_the_names_of_probes():
    """v₁ of head 1, ω from it to the second layer, μ of the second layer."""
    result = runs()[BASE]
    np.testing.assert_allclose(path(result.setting, result.trajectories[0])[100], SHAPE)


def test_the_picture_shows_the_findings(tmp_path):
    """A point for the base, on the line, and one for each finding, at its steps; paths end where the runs do; settings
    without a step are left out.
    """
    result = runs()
    at_base = [finding for finding in CLAIM.judge(result) if finding.quantity.endswith("at base")]
    findings = {finding.quantity.partition(":")[0]: finding for finding in at_base}
    picture = FIGURES["claim-scaling"]
    data = picture.compute(Results("made up", (), (), (), (), (), (ClaimResult(CLAIM, {}, (), (), result),)))
    with style.styled():
        assert style.save(picture.draw(data), tmp_path, "scaling").exists()
    assert data.constant == pytest.approx(CONSTANT)
    assert [point.name for point in data.points] == [BASE, *(v.name for v in VARIATIONS)]
    assert data.points[0].predicted[0] == pytest.approx(data.points[0].observed[0])
    for point in data.points[1:]:
        shown = findings[point.name]
        assert (point.predicted[0], point.observed[0]) == (shown.predicted.value, shown.observed.value)
    for part, values in (*data.transformer, *data.toy):
        np.testing.assert_allclose(values, SHAPE * np.minimum(part, 1.5)[:, None])
    never = result["AdamW, k = 4"]
    stuck = [replace(one, distances=one.distances | {"bigram": 9 + 0 * one.steps}) for one in never.trajectories]
    result |= {"AdamW, k = 4": replace(never, trajectories=tuple(stuck))}
    assert len(of_runs(result).points) == len(VARIATIONS)
