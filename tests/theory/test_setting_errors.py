"""onset.theory.setting: every bad input is a ValueError that names the argument and shows its value."""

from __future__ import annotations

import json

import pytest

from onset.theory.architecture import Architecture
from onset.theory.markov.priors import Dirichlet
from onset.theory.setting import Setting
from onset.theory.training import Optimizer


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Setting.of("linaer"), "family = 'linaer'.*'linear'"),
        (lambda: Setting.of(context=1), "context = 1"),
        (lambda: Setting.of(context="100"), "context = '100'"),
        (lambda: Setting.of(states=1), "states = 1"),
        (lambda: Setting.of(states=3, prior=Dirichlet(2)), "states = 3 but the prior has states = 2"),
        (lambda: Setting.of(batch=0), "batch = 0"),
        (lambda: Setting.of(steps=2.5), "steps = 2.5"),
        (lambda: Setting.of(record_every=True), "record_every = True"),
        (lambda: Setting.of(optimizer="rmsprop"), "optimizer = 'rmsprop'"),
        (lambda: Setting.of("linear", optimizer="adamw"), "optimizer of the linear family = 'adamw'"),
        (lambda: Setting.of(learning_rate=-1), r"learning_rate\[\w+\] = -1"),
        (lambda: Setting.of(learning_rate={"readout": 1.0}), "learning_rate has no entry 'readout'"),
        (lambda: Setting.of(initialization={"match": "a"}), r"initialization\[match\] = 'a'"),
        (lambda: Setting.of(initialization=float("inf")), r"initialization\[\w+\] = inf"),
        (lambda: Setting.of(betas=(0.9, 1.0)), r"betas = \(0.9, 1.0\)"),
        (lambda: Setting.of(betas=(-0.1, 0.9)), r"betas = \(-0.1, 0.9\)"),
        (lambda: Setting.of(betas=(0.9,)), r"betas = \(0.9,\)"),
        (lambda: Setting.of(betas=0.9), "betas = 0.9"),
        (lambda: Setting.of("transformer", weight_decay=-0.1), "weight_decay = -0.1"),
        (lambda: Setting.of("linear", weight_decay=0.1), "weight_decay = 0.1 with optimizer = 'sgd'"),
        (lambda: Setting.of("linear", architecture=Architecture()), "architecture = .* with family = 'linear'"),
        (
            lambda: Setting.of().replace(optimizer=Optimizer("sgd", {"match": 1.0}, (0, 0))),
            "learning_rate lacks lag_logits",
        ),
        (lambda: Optimizer("sgd", {}, (0, 0), epsilon=0), "epsilon = 0"),
        (lambda: Architecture(width=10, heads=4), "width = 10 .* heads = 4.*width = 12"),
        (lambda: Architecture(dropout=1), "dropout = 1"),
        (lambda: Architecture(layers=0), "layers = 0"),
        (lambda: Setting.from_dict({"contxt": 3}), "no entry 'contxt'.*'context'"),
        (lambda: Setting.from_dict({"version": 2}), "version = 2: expected 1"),
        (
            lambda: Setting.from_dict({"prior": {"kind": "dirichlet", "alpha": 1}}),
            "prior 'dirichlet' has no entry 'alpha'",
        ),
        (lambda: Setting.from_dict({"prior": {"kind": "dirichle"}}), "prior = 'dirichle'.*'dirichlet'"),
        (lambda: Setting.from_dict({"prior": "dirichlet"}), "prior = 'dirichlet': expected a table"),
        (
            lambda: Setting.from_dict({"prior": {"kind": "mixture", "components": [{}]}}),
            "prior 'mixture' lacks weights",
        ),
        (lambda: Setting.from_dict({"optimizer": {"name": "sgd", "lr": 1}}), "optimizer has no entry 'lr'"),
        (lambda: Setting.from_dict({"optimizer": {"betas": 0.9}}), "betas = 0.9"),
        (lambda: Setting.from_dict({"prior": {"kind": "mixture", "components": 3, "weights": [1]}}), "components = 3"),
        (lambda: Setting.from_dict({"prior": {"kind": "mixture", "components": [{}], "weights": 1}}), "weights = 1"),
    ],
)
def test_bad_input_is_named(make, message):
    """Every bad input is a ValueError that names the argument and shows its value."""
    with pytest.raises(ValueError, match=message):
        make()


def test_bad_files_are_named(tmp_path):
    """A file that is missing, malformed, of an unknown ending or with a bad value says which file and what is wrong."""
    (tmp_path / "broken.toml").write_text("context = ")
    (tmp_path / "bad.json").write_text(json.dumps({"context": 1}))
    (tmp_path / "list.json").write_text("[1]")
    for name, message in (
        ("broken.toml", "broken.toml"),
        ("bad.json", "bad.json: context = 1"),
        ("none.toml", "none.toml"),
        ("list.json", "setting = .*table"),
        ("a.yaml", "ending of setting file .*a.yaml = '.yaml'"),
    ):
        with pytest.raises(ValueError, match=message):
            Setting.load(tmp_path / name)
