"""Options of a setting beside a file, a grid and each other: they change entries, or are refused."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onset.command_line import options
from onset.command_line.options import SettingOptions
from onset.theory import arguments, tasks
from onset.theory.architecture import PRESETS
from onset.theory.entries import entry
from onset.theory.markov.priors import PRIORS, Dirichlet, DoublyStochastic, Mixture, Unigram
from onset.theory.setting import Setting

BASE: dict[str, Any] = {"learning_rate": {"match": 0.02}, "batch": 16, "steps": 700}
SAVED = Setting.of("linear", prior=Dirichlet(3, 0.5), context=50, **BASE)
TRANSFORMER = Setting.of("transformer", states=3, order=3, context=50)
CHANGED: dict[str, tuple[dict[str, Any], Setting]] = {
    "states": ({"states": 5}, Setting.of("linear", prior=Dirichlet(5, 0.5), context=50, **BASE)),
    "order": ({"order": 3}, Setting.of("linear", prior=Dirichlet(3, 0.5, 3), context=50, **BASE)),
    "concentration": ({"concentration": 2.0}, Setting.of("linear", prior=Dirichlet(3, 2.0), context=50, **BASE)),
    "prior": ({"prior": "unigram"}, Setting.of("linear", prior=Unigram(3), context=50, **BASE)),
    "context": ({"context": 200}, Setting.of("linear", prior=Dirichlet(3, 0.5), context=200, **BASE)),
    "optimizer": ({"optimizer": "adam"}, Setting.of(prior=Dirichlet(3, 0.5), context=50, optimizer="adam", **BASE)),
    "family": ({"family": "softmax"}, Setting.of("softmax", prior=Dirichlet(3, 0.5), context=50, **BASE)),
    "learning_rate": (
        {"learning_rate": ("lag_logits=2",)},
        SAVED.replace(
            optimizer=dataclasses.replace(SAVED.training.optimizer, learning_rate={"lag_logits": 2.0, "match": 0.02})
        ),
    ),
    "initialization": ({"initialization": ("0.3",)}, SAVED.replace(initialization={"lag_logits": 0.3, "match": 0.3})),
    "batch": ({"batch": 8}, SAVED.replace(batch=8)),
    "steps": ({"steps": 90}, SAVED.replace(steps=90)),
    "record_every": ({"record_every": 7}, SAVED.replace(record_every=7)),
    "frozen": ({"frozen": ("match",)}, SAVED.replace(frozen=("match",))),
    "precision": ({"precision": "float32"}, SAVED),
    "whole": ({"whole": True}, SAVED.replace(whole=True)),
}
"""For each option: values of options beside the file of `SAVED`, and the setting that they describe."""


def build(setting: Setting | None, folder: Path, **given: Any) -> Setting:
    if setting is not None:
        setting.save(folder / "saved.toml")
        given["setting"] = folder / "saved.toml"
    return SettingOptions(**given).build()


@pytest.mark.parametrize("option", [field.name for field in dataclasses.fields(SettingOptions)])
def test_every_option_changes_the_file(option, tmp_path):
    """Its own entry; entries at their defaults follow as they do in a scan, those set in the file stay."""
    if option == "architecture":
        saved, given = TRANSFORMER, {"architecture": "one-layer"}
        expected = Setting.of("transformer", states=3, order=3, context=50, architecture=PRESETS["one-layer"](2))
    elif option == "setting":
        saved, given, expected = SAVED, {}, SAVED
    else:
        saved, (given, expected) = SAVED, CHANGED[option]
    assert build(saved, tmp_path, **given) == expected


def test_defaults_follow_and_what_is_set_stays(tmp_path):
    """Of a saved file too, which holds all numbers: the rate of the match goes as 1/T² where it was the default."""
    assert build(Setting.of(context=50), tmp_path, context=200) == Setting.of(context=200)
    fixed = Setting.of(context=50, learning_rate={"match": 0.02})
    assert build(fixed, tmp_path, context=200) == Setting.of(context=200, learning_rate={"match": 0.02})


@given(st.integers(2, 40), st.integers(2, 10**6), st.sampled_from(["linear", "softmax"]), st.floats(1e-6, 1e6))
def test_without_a_file_options_say_what_arguments_say(states, context, family, rate):
    given = {"states": states, "context": context, "family": family, "learning_rate": (f"match={rate!r}",)}
    expected = Setting.of(family, states=states, context=context, learning_rate={"match": rate})
    assert SettingOptions(**given).build() == expected
    assert SettingOptions().build() == Setting.of()


MIXED = Setting.of(prior=Mixture((Dirichlet(3, 0.5), Unigram(3)), (0.75, 0.25)), context=50)


def test_options_reach_the_components_of_a_mixture(tmp_path):
    assert build(MIXED, tmp_path, states=4).task.prior == Mixture((Dirichlet(4, 0.5), Unigram(4)), (0.75, 0.25))
    assert build(MIXED, tmp_path, prior="mixture", batch=8) == MIXED.replace(batch=8)
    assert build(MIXED, tmp_path, prior="doubly-stochastic").task.prior == DoublyStochastic(3)
    nested = MIXED.replace(prior=Mixture((MIXED.task.prior, DoublyStochastic(3)), (0.5, 0.5)))
    changed = build(nested, tmp_path, states=4).task.prior
    assert changed == Mixture((Mixture((Dirichlet(4, 0.5), Unigram(4)), (0.75, 0.25)), DoublyStochastic(4)), (0.5, 0.5))


@pytest.fixture
def own_task():
    """A task other than Markov chains, registered for the time of a test."""

    @tasks.register
    @dataclass(frozen=True)
    class Echo(tasks.Task):
        vocabulary: int = entry(4, check=partial(arguments.integer, least=2))
        context: int = entry(16, check=partial(arguments.integer, least=2))
        kind: ClassVar[str] = "echo"
        strategies: ClassVar = ("uniform", "copy")
        label: ClassVar[str] = "echo"

        def expected_loss(self, strategy, *, tolerance=2e-3, seed=0): ...

    yield Echo
    del tasks.TASKS["echo"]


def test_a_file_with_a_task_of_its_own(own_task, tmp_path):
    """Its context can be changed, as anything of model and training; what describes chains is refused."""
    setting = Setting.of("transformer", task=own_task())
    changed = build(setting, tmp_path, context=40, batch=8, architecture="one-layer")
    assert changed.task == own_task(context=40)
    assert (changed.training.batch, changed.model.architecture) == (8, PRESETS["one-layer"](1))
    for option, value in {"states": 3, "order": 3, "prior": "unigram", "concentration": 2.0}.items():
        assert option in options.CHAINS
        with pytest.raises(ValueError, match=rf"--{option} with setting file .*{option} = {value}: .*'echo'"):
            build(setting, tmp_path, **{option: value})


@pytest.mark.parametrize(
    ("setting", "given", "says"),
    [
        (MIXED, {"order": 3}, "--order with setting file .*order = 3: the mixture prior has chains of order 2 only"),
        (SAVED, {"prior": "mixture"}, "expected its components"),
        (SAVED, {"prior": "doubly-stochastic", "concentration": 2.0}, "concentration = 2: the doubly-stochastic"),
        (SAVED, {"optimizer": "adamw"}, "optimizer of the linear family = 'adamw'"),
        (SAVED, {"family": "transformer"}, "learning_rate has no entry 'match'"),
        (SAVED, {"architecture": "published"}, "architecture = 'published' with family = 'linear'"),
        (None, {"learning_rate": ("match=1", "match=2")}, "expected each group once; leave one match out"),
        (None, {"initialization": ("1", "match=2")}, "name the groups"),
        (None, {"order": 3, "prior": "unigram"}, "order = 3: the unigram prior has chains of order 2 only"),
    ],
)
def test_contradictions_are_refused(setting, given, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        build(setting, tmp_path, **given)


def test_a_prior_without_an_order_has_that_of_two(tmp_path):
    assert build(None, tmp_path, prior="unigram", order=2) == Setting.of(prior=PRIORS["unigram"](2))


@pytest.mark.parametrize(
    ("grid", "given", "says"),
    [
        ("states=2,3", ["--states", "5"], "--grid = states with --states = 5: expected one of them"),
        ("context=20,30", ["--context", "5"], "--grid = context with --context = 5"),
        ("concentration=1,2", ["--concentration", "1"], "--concentration = 1.0"),
        ("batch=1,2", ["--batch", "4"], "--batch = 4"),
        ("match=1,2", ["--learning-rate", "match=1"], "--grid = learning-rate.match with --learning-rate"),
        ("match=1,2", ["--learning-rate", "0.1"], "--grid = learning-rate.match with --learning-rate"),
        ("learning-rate=1,2", ["--learning-rate", "match=1"], "--grid = learning-rate with --learning-rate"),
        ("initialization=1,2", ["--initialization", "match=1"], "--initialization = "),
    ],
)
def test_an_entry_is_given_in_the_grid_or_by_an_option(refused, grid, given, says):
    pytest.importorskip("xarray")
    refused(["scan", "--grid", grid, *given], says)


@pytest.mark.parametrize("axes", [["learning-rate=1,2", "match=1,2"], ["match=1,2", "learning-rate=1,2"]])
def test_an_axis_is_no_part_of_another(axes):
    from onset.simulate.scan import grid

    with pytest.raises(ValueError, match="expected one of them"):
        grid(Setting.of(), axes)
    assert len(grid(Setting.of(), ["initialization.match=1,2", "learning-rate=1,2"])) == 4


def test_options_and_grids_of_different_groups_go_together():
    from onset.simulate.scan import grid

    points = grid(SettingOptions(learning_rate=("match=1",)).build(), ["lag_logits=1,2"])
    rates = [points.setting(point).training.optimizer.learning_rate for point in points.points()]
    assert rates == [{"lag_logits": 1.0, "match": 1.0}, {"lag_logits": 2.0, "match": 1.0}]
    assert dict(points.entries) == {"learning-rate.lag_logits": "optimizer.learning_rate.lag_logits"}


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (["runs", "somewhere", "--out", "here"], "--out = 'here' without --picture"),
        (["figures", "signals", "--json", "--out", "here"], "--out = 'here' with --json"),
        (["figures", "signals", "--results", "."], "--results = '.' with signals"),
        (["train", "--workers", "2", "--scheduler", "tcp://h:1"], "--workers = 2 with --scheduler"),
    ],
)
def test_options_without_effect_are_refused(refused, call, says):
    pytest.importorskip("torch")
    refused(call, says)
