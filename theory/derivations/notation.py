"""Symbols that mean the same in all derivations."""

from __future__ import annotations

__all__ = ["MEANINGS"]

MEANINGS: dict[str, str] = {
    "k": "number of states",
    "T": "context, in tokens",
    "P": "transition matrix",
    "pi": "stationary law",
    "alpha": "Dirichlet concentration per entry of a row",
    "H": "entropy, nats",
    "L": "loss, nats per token",
    "x_t": "token at a position",
    "s": "position of a source",
    "t": "position of the query",
    "r": "lag, in tokens",
    "eta": "learning rate",
    "B": "sequences per mini-batch",
    "W": r"matrix of the second-layer match, $\omega I$ plus a constant",
    "omega": "second-layer match",
    "v": "lag logits of layer 1",
    "n": "whole number",
    "u": "position over context",
    "c": "part of the match common to all entries of its matrix",
    "U": r"matrix of the read-out, $\mu I$ plus a constant",
    "mu": "read-out",
    "C": "scale of the linear family's logits, $T$ times what is common to all entries of its match",
    "Omega": "match of the linear family, times $T$",
    "a": "probability of leaving state 0",
    "b": "probability of leaving state 1",
    "gamma": "Euler's constant",
    "H_n": "harmonic number",
}
"""Meaning of a symbol by its name in sympy."""
