"""Symbols that mean the same in all derivations."""

from __future__ import annotations

import sympy as sp

__all__ = ["meanings"]

MEANINGS = {
    "k": "number of states",
    "T": "context, in tokens",
    "P": "transition matrix",
    "pi": "stationary law",
    "alpha": "Dirichlet concentration per entry of a row",
    "H": "entropy, nats",
    "L": "loss, nats per token",
    "x_t": "token at position $t$",
    "r": "lag, in tokens",
    "eta": "learning rate",
    "B": "sequences per mini-batch",
    "W": r"matrix of the second-layer match, $W = \omega I + c\,\mathbf{1}\mathbf{1}^\top$",
    "omega": "second-layer match",
    "c": r"part of $W$ common to all its entries",
    "U": r"matrix of the read-out, $U = \mu I + d\,\mathbf{1}\mathbf{1}^\top$",
    "mu": "read-out",
    "C": "$Tc$, the scale of the linear family's logits",
    "Omega": r"$T\omega$, the match",
    "I": "identity matrix",
    "a": "probability of leaving state 0",
    "b": "probability of leaving state 1",
    "gamma": "Euler's constant",
    "H_n": "harmonic number",
}


def meanings(*symbols: sp.Basic | str) -> dict[sp.Basic, str]:
    """Rows of a derivation's table of symbols, from `MEANINGS`; a name stands for a symbol that only prose uses."""
    return {sp.Symbol(s) if isinstance(s, str) else s: MEANINGS[str(s)] for s in symbols}
