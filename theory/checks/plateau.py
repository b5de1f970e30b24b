"""Checks of "plateau": the fixed point, its Hessian, height and approach with the mean field at finite contexts."""

from __future__ import annotations

import numpy as np
from scipy.integrate import solve_ivp

from onset.theory.arrays import Array
from onset.theory.derivations.derivation import Check, Outcome
from onset.theory.laws.escape import NODES, Reduced
from onset.theory.laws.plateau import plateau
from onset.theory.markov.priors import Dirichlet
from onset.theory.mean_fields.limit import LAGS

__all__ = ["CHECKS"]


def _gradient(context: int, match: Array) -> Array:
    """∂L/∂(C, Ω) of the mean field at `match`, no lag grown, on the chains that onset.theory.laws.escape's tables use."""
    return Reduced(Dirichlet(2), context).gradient(match, np.zeros(LAGS))[:2]


def _found() -> tuple[Array, Array]:
    found = plateau(Dirichlet(2), NODES)
    return found.match, found.hessian


def _stationary() -> Outcome:
    contexts = 4 ** np.arange(4, 8)
    sizes = [np.abs(_gradient(int(t), _found()[0])).max() for t in contexts]
    slope = np.polyfit(np.log(np.log(contexts) / contexts), np.log(sizes), 1)[0]
    return Outcome(
        float(abs(slope - 1)), 1 / np.log(contexts[0]), "a constant beside ln T shifts the slope by about 1/ln T"
    )


def _hessian() -> Outcome:
    match, hessian = _found()
    context, h = 4**8, 1e-3
    columns = [(_gradient(context, match + s) - _gradient(context, match - s)) / (2 * h) for s in h * np.eye(2)]
    residual = np.abs(np.array(columns) - hessian).max() / np.abs(hessian).max()
    return Outcome(float(residual), 10 * np.log(context) / context, "finite T: 10 times a relative ln T/T = 2e-4")


def _above() -> Outcome:
    lowest = min(plateau(Dirichlet(k)).excess for k in (2, 3, 4, 8))
    return Outcome(float(-lowest), 0.0, "the ideal loss is a minimum over all functions of the counts")


def _approach() -> Outcome:
    """Integrate θ' = -∇L at finite T from a match displaced along the slow direction, and compare its decay over one time constant."""
    context = 4**6
    centre, columns = _found()[0], []
    for _ in range(8):
        columns = [(_gradient(context, centre + s) - _gradient(context, centre - s)) / 2e-3 for s in 1e-3 * np.eye(2)]
        centre = centre - np.linalg.solve(np.array(columns), _gradient(context, centre))
    rates, directions = np.linalg.eigh(np.array(columns))
    size = 0.01
    start = centre + size * directions[:, 0]
    ran = solve_ivp(lambda _, m: -_gradient(context, m), (0, 1 / rates[0]), start, rtol=1e-8, atol=1e-10)
    left = directions[:, 0] @ (ran.y[:, -1] - centre) / size
    return Outcome(
        float(abs(left * np.e - 1)), size, "third derivatives of the loss, of relative order the displacement, 0.01"
    )


CHECKS = (
    Check("stationary", "gradient of the mean field at (C*, Ω*), T = 4⁴ … 4⁷: falls like ln T/T", _stationary),
    Check("hessian", "onset.theory.laws.plateau's Hessian with differences of the mean field's gradient", _hessian),
    Check("above-unigram", "height less the ideal unigram loss, k = 2 … 8: positive", _above),
    Check("approach", "slowest rate of gradient flow to the plateau with the Hessian's eigenvalue", _approach),
)
