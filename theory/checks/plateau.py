"""Checks of "plateau": the fixed point, its Hessian, height and approach with the mean field at finite contexts."""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp
from scipy.integrate import solve_ivp
from scipy.special import softmax

from onset.theory.arrays import Array
from onset.theory.derivations import plateau as derived
from onset.theory.derivations.derivation import Residual, check, worst
from onset.theory.laws.plateau import plateau
from onset.theory.markov.chains import stationary
from onset.theory.markov.priors import Dirichlet
from onset.theory.mean_fields import linear
from onset.theory.mean_fields.base import LAGS
from onset.theory.mean_fields.match_and_lags import MatchAndLags
from onset.theory.mean_fields.quadrature import rules

__all__ = ["CHECKS"]


def _gradient(context: int, match: Array) -> Array:
    """∂L/∂(C, Ω) of the mean field at `match`, no lag grown, on the mean rule for the prior."""
    return MatchAndLags(Dirichlet(2), context).gradient(match, np.zeros(LAGS))[:2]


def _differences(context: int, match: Array, h: float = 1e-3) -> Array:
    """Second derivatives of the mean field's loss by (C, Ω), by differences of the gradient."""
    columns = [(_gradient(context, match + s) - _gradient(context, match - s)) / (2 * h) for s in h * np.eye(2)]
    return np.array(columns)


def _plateau() -> tuple[Array, Array]:
    """Match and Hessian."""
    limit = plateau(Dirichlet(2))
    return limit.match, limit.hessian


def _slopes(chains: Array, weights: Array, match: Array) -> Array:
    """∂L₀/∂(C, Ω) of the plateau's loss by complex steps, over `chains`."""
    law, (node, weight) = stationary(chains), np.polynomial.legendre.leggauss(16)
    u, step, slopes = (node + 1) / 2, 1e-30, []
    for moved in match + 1j * step * np.eye(2):
        # Axes: chain, query i, symbol j, position.
        logits = linear.logit_and_slopes(u, moved[0], moved[1], law[:, :, None, None], law[:, None, :, None], 0.0)[0]
        losses = np.log(np.exp(logits).sum(axis=2)) - (chains[..., None] * logits).sum(axis=2)
        slopes.append((weights @ (law[..., None] * losses).sum(axis=1) @ weight / 2).imag / step)
    return np.array(slopes)


@check(
    "left less right side with 0 at the match of `onset.theory.laws.plateau`, beside it with minus the loss's slopes"
)
def _fixed_point(statement: Any) -> Residual:
    prior = Dirichlet(2)
    chains, weights = rules(linear.LinearMeanField, prior, LAGS).mean
    symbols = derived.k, derived.pi, derived.P, derived.sigma, derived.mean
    difference = sp.lambdify(symbols, statement.lhs - statement.rhs, "scipy")

    def averaged(match: Array) -> Array:
        total = np.zeros(2)
        for chain, weight, law in zip(chains, weights, stationary(chains), strict=True):

            def model(i: int, j: int, u: Any, law: Array = law) -> float:
                return softmax(linear.logit_and_slopes(u, match[0], match[1], law[i], law, 0.0)[0])[j]

            total += weight * np.ravel(difference(2, law, chain, model, lambda value: value))
        return total

    match = plateau(prior).match
    beside = match + np.array([0.5, -0.3])
    slopes = np.abs(averaged(beside) + _slopes(chains, weights, beside)).max()
    moments = [weights @ stationary(chains)[:, state] ** (2 * LAGS) for state in (0, 1)]
    unlike = abs(moments[0] - moments[1])
    largest = worst(slopes / 1e-14, np.abs(averaged(match)).max() / (10 * unlike))
    because = (
        "rounding of slopes; at the match ten times the difference between moments of both states that the rule for "
        f"the prior does not match, {unlike:.0e}, as the match is that of one state as query"
    )
    return Residual(largest, 1.0, because)


@check(r"gradient of the mean field at $(C_*, \Omega_*)$, $T = 4^4, \dots, 4^7$: falls like $\ln T/T$")
def _stationary() -> Residual:
    contexts = 4 ** np.arange(4, 8)
    sizes = [np.abs(_gradient(int(t), _plateau()[0])).max() for t in contexts]
    slope = np.polyfit(np.log(np.log(contexts) / contexts), np.log(sizes), 1)[0]
    because = r"a constant beside $\ln T$ shifts the slope by about $1/\ln T$"
    return Residual(float(abs(slope - 1)), 1 / np.log(contexts[0]), because)


@check("Hessian of `onset.theory.laws.plateau` with differences of the mean field's gradient")
def _hessian() -> Residual:
    (match, hessian), context = _plateau(), 4**8
    residual = np.abs(_differences(context, match) - hessian).max() / np.abs(hessian).max()
    because = r"finite $T$: 10 times a relative $\ln T/T = 2 \times 10^{-4}$"
    return Residual(float(residual), 10 * np.log(context) / context, because)


@check(r"height less the ideal unigram loss, $k = 2, \dots, 8$: positive")
def _above_unigram() -> Residual:
    lowest = min(plateau(Dirichlet(k)).excess for k in (2, 3, 4, 8))
    return Residual(float(-lowest), 0.0, "the ideal loss is a minimum over all functions of the counts")


@check("slowest rate of gradient flow to the plateau with the Hessian's eigenvalue")
def _approach() -> Residual:
    """Decay over one time constant of θ' = -∇L at finite T, from a match displaced along the slow direction."""
    context = 4**6
    centre, hessian = _plateau()[0], np.eye(2)
    for _ in range(8):
        hessian = _differences(context, centre)
        centre = centre - np.linalg.solve(hessian, _gradient(context, centre))
    rates, directions = np.linalg.eigh(hessian)
    size = 0.01
    start = centre + size * directions[:, 0]
    solution = solve_ivp(lambda _, m: -_gradient(context, m), (0, 1 / rates[0]), start, rtol=1e-8, atol=1e-10)
    remaining = directions[:, 0] @ (solution.y[:, -1] - centre) / size
    because = "third derivatives of the loss, of relative order the displacement, 0.01"
    return Residual(float(abs(remaining * np.e - 1)), size, because)


CHECKS = (_fixed_point, _stationary, _hessian, _above_unigram, _approach)
