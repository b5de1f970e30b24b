"""Seeds have one range in all functions that take one: whole numbers from 0 to `LARGEST_SEED`."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

import onset
from onset.simulate.predict import METHODS
from onset.theory import arguments, randomness
from onset.theory.arguments import LARGEST_SEED, MOST_SEEDS
from onset.theory.laws.basins import escapes
from onset.theory.markov.priors import Dirichlet
from onset.theory.markov.signals import signal
from onset.theory.setting import Setting

SETTING = Setting.of("linear", context=16, steps=2)

FUNCTIONS = {method: lambda seed, method=method: onset.predict(SETTING, method, seed=seed) for method in METHODS} | {
    "explain": lambda seed: onset.explain(SETTING, seed=seed),
    "losses": lambda seed: onset.strategy_losses(SETTING, 4, seed=seed),
    "expected losses": lambda seed: SETTING.task.expected_losses(seed=seed),
    "basins": lambda seed: escapes(SETTING, seed=seed),
    "signals": lambda seed: signal(Dirichlet(3), 2, seed=seed),
    "generator": randomness.generator,
}
if find_spec("torch"):
    FUNCTIONS |= {
        "train": lambda seed: onset.train(SETTING, seed),
        "scan": lambda seed: onset.scan(onset.grid(SETTING, ["batch=1,2"]), seed=seed),
    }


@pytest.mark.parametrize("seed", [-1, 1.5, LARGEST_SEED + 1, float("nan"), True, "1", None, [1]])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_bad_seed_is_named(name, seed):
    with pytest.raises(ValueError, match=r"^seed = .*: expected a whole number of at"):
        FUNCTIONS[name](seed)


@pytest.mark.parametrize("seed", [0, 10**9 + 1, LARGEST_SEED, np.uint64(5), 7.0])
@pytest.mark.parametrize("name", ["losses", "generator", *(["train"] if find_spec("torch") else [])])
def test_every_seed_of_the_range_is_taken(name, seed):
    FUNCTIONS[name](seed)


def test_a_number_of_seeds_or_a_list_of_them():
    assert arguments.seeds("seeds", 3) == (0, 1, 2)
    assert arguments.seeds("seeds", [7, 0, 7]) == (7, 0)
    for given in (0, MOST_SEEDS + 1, [], "12", list(range(MOST_SEEDS + 1)), 1e12):
        with pytest.raises(ValueError, match=r"^seeds = .*expected"):
            arguments.seeds("seeds", given)
