"""onset.theory.setting: one validated description, a stable id, lossless files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onset.theory.architecture import PRESETS, Architecture
from onset.theory.markov.priors import (
    LEAST_CONCENTRATION,
    MOST_CONCENTRATION,
    Dirichlet,
    DoublyStochastic,
    Mixture,
    Unigram,
)
from onset.theory.models import FAMILIES
from onset.theory.setting import Setting
from onset.theory.setting_changes import overlap, setting_from
from onset.theory.training import OPTIMIZERS

positive = st.floats(1e-12, 1e12)
concentrations = st.floats(LEAST_CONCENTRATION, MOST_CONCENTRATION)
simple = st.one_of(
    st.builds(Dirichlet, st.just(3), concentrations),
    st.just(DoublyStochastic(3)),
    st.builds(Unigram, st.just(3), concentrations),
)
mixed = st.tuples(simple, simple).map(lambda pair: Mixture(pair, (0.25, 0.75)))
nested = st.tuples(mixed, simple).map(lambda pair: Mixture(pair, (0.5, 0.5)))


@st.composite
def experiments(draw: st.DrawFn) -> Setting:
    family = draw(st.sampled_from(sorted(FAMILIES)))
    optimizer = draw(st.sampled_from(FAMILIES[family].optimizers))
    groups = FAMILIES[family].groups
    return Setting.of(
        family,
        prior=draw(st.one_of(simple, mixed, nested)),
        context=draw(st.integers(2, 10**6)),
        optimizer=optimizer,
        learning_rate={group: draw(positive) for group in groups},
        initialization={group: draw(st.floats(-1e3, 1e3)) for group in groups},
        betas=draw(st.tuples(st.floats(0, 0.999), st.floats(0, 0.999))),
        weight_decay=draw(st.floats(0, 1)) if optimizer == "adamw" else None,
        batch=draw(st.integers(1, 10**9)),
        steps=draw(st.integers(1, 10**9)),
        record_every=draw(st.integers(1, 10**4)),
        architecture=Architecture(draw(st.integers(1, 9)), 4 * draw(st.integers(1, 9)), 4, draw(st.floats(0, 0.99)))
        if family == "transformer"
        else None,
    )


@given(experiments(), st.sampled_from([".toml", ".json"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_files_are_lossless(tmp_path, setting, ending):
    """What is loaded is what was saved: equal, with the same id, in TOML and JSON, and through plain dicts."""
    path = tmp_path / f"setting{ending}"
    setting.save(path)
    loaded = Setting.load(path)
    assert loaded == setting
    assert loaded.id == setting.id
    assert Setting.from_dict(setting.to_dict()) == setting


@given(experiments(), experiments())
def test_id_tells_settings_apart(one, other):
    """Equal settings have equal ids and hashes, different ones different ids; sixteen hexadecimal digits."""
    assert (one == other) == (one.id == other.id)
    assert len(one.id) == 16
    assert int(one.id, 16) >= 0
    assert one.replace(batch=one.training.batch + 1).id != one.id


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"weight_decay": 0, "family": "transformer"}, {"weight_decay": 0.0, "family": "transformer"}),
        ({"initialization": 0}, {"initialization": 0.0}),
        ({"initialization": -0.0}, {"initialization": 0.0}),
        ({"learning_rate": {"match": 1, "lag_logits": 2}}, {"learning_rate": {"lag_logits": 2.0, "match": 1.0}}),
        ({"betas": (0, 0.5)}, {"betas": [0.0, 0.5]}),
        ({"context": 50.0, "batch": 8.0}, {"context": 50, "batch": 8}),
        ({"prior": Dirichlet(2, 2)}, {"prior": Dirichlet(2, 2.0)}),
        (
            {"family": "transformer", "architecture": Architecture(dropout=0)},
            {"family": "transformer", "architecture": Architecture(dropout=0.0)},
        ),
        (
            {"family": "transformer", "architecture": Architecture(layers=3.0)},
            {"family": "transformer", "architecture": Architecture(layers=3)},
        ),
    ],
)
def test_equal_numbers_give_equal_ids(one, other):
    """The id depends on the numbers and on nothing else, not on how they were written: equal settings have equal ids
    and hashes."""
    one, other = Setting.of(**one), Setting.of(**other)
    assert one == other
    assert one.id == other.id
    assert hash(one) == hash(other)


def test_id_ignores_the_order_of_entries():
    """Mappings that hold the same entries in another order are the same setting."""
    one = Setting.of("linear")
    other = one.replace(initialization=dict(reversed(one.model.initialization.items())))
    assert list(other.model.initialization) != list(one.model.initialization)
    assert (other, other.id) == (one, one.id)


def test_id_is_the_same_in_every_process():
    """Another process, with another hash seed, finds the same id."""
    program = (
        "from onset.theory.setting import Setting; from onset.theory.markov.priors import *; "
        "prior = Mixture((Dirichlet(3), Unigram(3)), (.5, .5)); "
        "print(Setting.of('softmax', prior=prior, optimizer='adam').id)"
    )
    ids = set()
    for seed in ("0", "4242"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        )
        ids.add(done.stdout.strip())
    assert ids == {Setting.of("softmax", prior=Mixture((Dirichlet(3), Unigram(3)), (0.5, 0.5)), optimizer="adam").id}


def test_defaults_are_the_published_ones():
    """The transformer's: AdamW 5e-4, betas (.9, .95), decay .1, width 16, two layers, std .02; the linear family's: η_v
    = 1, η_W = 100/T², W₀ = .01."""
    made = Setting.of("transformer").training.optimizer
    assert (made.name, made.learning_rate, made.betas, made.weight_decay) == (
        "adamw",
        {"weights": 5e-4},
        (0.9, 0.95),
        0.1,
    )
    assert Setting.of("transformer").model.architecture == Architecture(2, 16, 1, 0.1)
    linear = Setting.of("linear", context=50)
    assert linear.training.optimizer.learning_rate == {"lag_logits": 1.0, "match": 100 / 50**2}
    assert linear.model.initialization == {"lag_logits": 0.0, "match": 0.01}
    assert {name for family in FAMILIES.values() for name in family.optimizers} <= set(OPTIMIZERS)


def test_what_came_later_leaves_ids_alone_and_survives_files(tmp_path):
    """Frozen parts, precision and other test chains change the id, and come back from TOML and JSON; left out, the id
    is that of before they existed."""
    plain = Setting.of("transformer", states=3, context=20)
    assert plain.id == "ac7009f627e7bba8"
    more = Setting.of(
        "transformer",
        states=3,
        context=20,
        frozen=["layer_2", "embedding"],
        precision="bfloat16",
        whole=True,
        tested_on=[DoublyStochastic(3), Dirichlet(3, 0.3)],
        architecture=Architecture(2, 16, (2, 1), positions="bias", feed_forward=4, tied=True, norm=False),
    )
    assert more.training.frozen == ("embedding", "layer_2")
    assert "head" not in more.model.parts
    assert len({plain.id, more.id, plain.replace(frozen=("head",)).id, plain.replace(precision="bfloat16").id}) == 4
    for ending in (".toml", ".json"):
        more.save(tmp_path / f"setting{ending}")
        assert Setting.load(tmp_path / f"setting{ending}") == more
    assert more.label.endswith(f"{more.model.architecture.label} embedding frozen layer_2 frozen bfloat16")
    assert Setting.of("transformer", architecture=PRESETS["one-layer"](1)).label.endswith("one-layer")
    assert Setting.of("linear", batch=16).label == "linear sgd k=2 T=100 B=16"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frozen": ("layer_3",)}, "did you mean 'layer_2'"),
        ({"frozen": ("embedding", "layer_1", "layer_2", "head")}, "expected a part that is left to train"),
        ({"precision": "float16"}, "precision"),
        ({"whole": 1}, "expected true or false"),
        ({"tested_on": (Dirichlet(2),)}, "expected states = 3"),
    ],
)
def test_bad_training_is_refused(change, message):
    """An unknown part, nothing left to train, an unknown precision, chains of another size: named."""
    with pytest.raises(ValueError, match=message):
        Setting.of("transformer", states=3).replace(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": (1, 2, 1)}, "one for each layer"),
        ({"heads": 3}, "give width = 18"),
        ({"width": 6, "heads": 2, "positions": "rotary"}, "even width of each head"),
        ({"positions": "relativ"}, "did you mean 'relative'"),
        ({"norm": 1}, "expected true or false"),
        ({"feed_forward": -1}, "feed_forward"),
        ({"dropout": 1.0}, "probability"),
    ],
)
def test_bad_architectures_are_refused(change, message):
    """Each field names itself, what it was and the mend."""
    with pytest.raises(ValueError, match=message):
        Architecture(**change)


def test_names_overlap_where_one_holds_the_other():
    assert overlap("prior", "prior.weight")
    assert overlap("prior.weight", "prior")
    assert overlap("prior", "prior")
    assert not overlap("prior.weight", "prior.weights")
    assert not overlap("prior.weight", "prior.states")


def test_shapes_of_ones_own_are_told_apart():
    """By layers, width, heads, and what else differs from the published shape."""
    assert Architecture(3, 32, 4, dropout=0.0, norm=False).label == "3L d=32 H=4 dropout=0.0 no norm"
    assert Architecture(2, 32, (2, 1), smeared=True, even=True).label == "2L d=32 H=2+1 smeared even"
    assert "4L d=16 H=1 feed-forward=4" in Setting.of("transformer", architecture=Architecture(4, feed_forward=4)).label
    with pytest.raises(ValueError, match="even = True: expected smeared = True"):
        Architecture(even=True)


@pytest.mark.parametrize("weight", [-0.5, -1e-9, 1.5])
def test_weights_of_mixtures_are_shares(weight):
    prior = Mixture((DoublyStochastic(2), Unigram(2)), (0.5, 0.5))
    with pytest.raises(ValueError, match=r"weight = .*: expected a share between 0 and 1"):
        setting_from(Setting.of("linear", prior=prior).to_dict(), {"prior.weight": weight})


@pytest.mark.parametrize(
    ("name", "least", "most"), [("layers", 1, 1000), ("width", 1, 2**20), ("feed_forward", 0, 1000)]
)
def test_sizes_of_an_architecture_up_to_their_limits(name, least, most):
    sizes = {"layers": 1, "width": 8, "heads": 1}
    for value in (least, most):
        assert getattr(Architecture(**(sizes | {name: value})), name) == value
    for value in (least - 1, most + 1):
        with pytest.raises(ValueError, match=f"{name} = {value}: expected a whole number of at (least|most)"):
            Architecture(**(sizes | {name: value}))
