"""Commands whose cost grows with an option say at once what would fit, and compute nothing."""

from __future__ import annotations

import importlib.util
import re

import pytest

from onset.theory import costs

LARGE = {
    "finite context, memory": ["predict", "--method", "finite-context", "--context", "1000000"],
    "corrected mean field": ["predict", "--method", "mean-field-corrected", "--context", "1000000", "--states", "3"],
    "corrected mean field, softmax": [
        *("predict", "--family", "softmax", "--method", "mean-field-corrected", "--context", "1000000"),
    ],
    "corrected law": ["predict", "--method", "law-corrected", "--context", "1000000"],
    "law of softmax": ["predict", "--family", "softmax", "--method", "law", "--context", "10000000"],
    "simulate, time": ["simulate", "--sequences", "1000000000", "--context", "1000000"],
}
TRAINING = {
    "train, batch": ["train", "--batch", "100000000", "--context", "50"],
    "train, context": ["train", "--context", "1000000"],
    "train, transformer": ["train", "--family", "transformer", "--batch", "100000", "--context", "1000"],
}


@pytest.mark.parametrize("name", [*LARGE, *(TRAINING if importlib.util.find_spec("torch") else {})])
def test_too_much_is_refused_with_what_would_fit(refused, monkeypatch, name):
    """On a machine with 8 GB; the option that is named is one that was given."""
    monkeypatch.setattr(costs, "available_memory", lambda: 8e9)
    arguments = (LARGE | TRAINING)[name]
    refused(arguments, "or less")


@pytest.mark.parametrize("name", [*LARGE, *(TRAINING if importlib.util.find_spec("torch") else {})])
def test_what_is_said_to_fit_is_less_than_what_was_given(run, monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(costs, "available_memory", lambda: 8e9)
    arguments = (LARGE | TRAINING)[name]
    _, _, err = run(*arguments)
    fitting = dict(re.findall(r"--(\w+) = (\d+) or", err))
    assert fitting
    for option, value in fitting.items():
        if f"--{option}" in arguments:
            assert 0 < int(value) < int(arguments[arguments.index(f"--{option}") + 1])
