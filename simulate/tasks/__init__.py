"""Sampling of tasks, a module each."""

from __future__ import annotations

from onset.simulate.tasks import markov_chains, modular_arithmetic, repeated_segments, text
from onset.simulate.tasks.sampler import SAMPLERS, Sample, Sampler, register, sampler, token_type

__all__ = [
    "SAMPLERS",
    "Sample",
    "Sampler",
    "markov_chains",
    "modular_arithmetic",
    "register",
    "repeated_segments",
    "sampler",
    "text",
    "token_type",
]
