"""Exact expected losses of the ideal strategies at finite context, k = 2, flat Dirichlet rows. Left: loss at each
position, with the limits T → ∞ (dashed). Right: total regret, with its asymptote (dotted): ½ ln T per parameter of the
chain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import sympy as sp
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from onset.paper.style import AMBER, BLUE, DARK, GREEN, GREY
from onset.theory.arrays import Array
from onset.theory.derivations import bigram_regret, ideal_limit_losses
from onset.theory.markov.bayes import position_losses
from onset.theory.markov.priors import Dirichlet
from onset.validate.suite import Results

__all__ = ["IdealLosses", "compute", "draw"]

CONTEXT = 400
COLOURS = {"unigram": AMBER, "bigram": BLUE, "Bayes": GREEN}


@dataclass(frozen=True)
class IdealLosses:
    """At positions 1 … T: loss of each strategy, nats; its limit; total regret, nats; and the bigram's asymptote."""

    position: Array
    losses: dict[str, Array]
    limits: dict[str, float]
    regret: dict[str, Array]
    asymptote: Array


def compute(results: Results | None = None) -> IdealLosses:
    """Losses up to `CONTEXT`; no suite's results are needed."""
    prior = Dirichlet(2)
    unigram, bigram, bayes = position_losses(prior, CONTEXT)
    losses = {"unigram": unigram, "bigram": bigram, "Bayes": bayes}
    limits = {"unigram": float(ideal_limit_losses.unigram), "bigram": float(ideal_limit_losses.bigram)}
    limits["Bayes"] = limits["bigram"]
    position = np.arange(1.0, CONTEXT + 1)
    regret = {name: np.cumsum(loss - limits[name]) for name, loss in losses.items()}
    flat = {bigram_regret.k: 2, bigram_regret.alpha: 1, bigram_regret.log_stationary: bigram_regret.flat}
    asymptote = sp.lambdify(bigram_regret.T, bigram_regret.regret.subs(flat), "numpy")
    return IdealLosses(position, losses, limits, regret, asymptote(position))


def draw(data: IdealLosses) -> Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.2, 3.9), layout="constrained")
    for name, loss in data.losses.items():
        dashes = "--" if name == "Bayes" else "-"
        left.plot(data.position, loss, dashes, color=COLOURS[name], label=name)
        right.plot(data.position, data.regret[name], dashes, color=COLOURS[name], label=name)
    for name in ("unigram", "bigram"):
        left.axhline(data.limits[name], color=COLOURS[name], ls=(0, (6, 3)), lw=0.9)
    left.axhline(np.log(2), color=GREY, lw=0.9)
    for text, level in (
        ("uniform, ln 2", np.log(2)),
        ("E H(π)", data.limits["unigram"]),
        ("entropy rate", data.limits["bigram"]),
    ):
        left.annotate(text, (1.1, level), xytext=(0, 2), textcoords="offset points", fontsize=7.5, color=DARK)
    late = data.position >= 5
    right.plot(data.position[late], data.asymptote[late], ":", color="black", label="ln T + constant (bigram)")
    left.set(xscale="log", xlabel="position t", ylabel="expected loss / nats")
    right.set(xscale="log", xlabel="context T", ylabel="total regret / nats", ylim=(-0.3, None))
    left.legend(loc="upper right", bbox_to_anchor=(1.0, 0.94))
    right.legend(loc="upper left")
    left.set_title("Loss at each position", loc="left")
    right.set_title("Cost of not knowing the chain", loc="left")
    return figure
