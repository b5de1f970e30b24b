r"""Whether a toy model leaves the unigram plateau towards an induction head, or into a basin without one.

Let no lag have grown, v = 0, and layer 2 read counts alone, W = c·11ᵀ: both families then predict σ = softmax of a
multiple μ of the frequencies N_j/t (μ = ct in the linear family). The match ω leaves zero in the direction of

    push = -∂L/∂ω = (1/T) Σ_t E Σ_j (P_{x_t j} - σ_tj) g_tj,    g = ∂f/∂ω,
    linear    g_tj = Σ_{s≤t} 1[x_s = j] N_{x_t}(s)/s
    softmax   g_tj = (μ/t) Σ_{s≤t} (1[x_s = j] - N_j/t) N_{x_t}(s)/s.

Lag r is then driven by ω D_r with D_r = -∂²L/∂ω∂v_r. With push > 0 the lag of largest D, as a rule lag 1, wins and an
induction head forms. With push < 0 lags of negative D win, the even ones: layer 2 turns away from sources whose
predecessor matches, lag 1 loses its attention, ω falls further, and the model stays there. (Of those lags 0 is driven
most at first; trained softmax models end on 2 and 4.)

The optimiser decides at which μ the sign counts. SGD lifts the read-out first and waits on the plateau: μ = μ*, the
minimum of the loss. Adam moves ω and the read-out alike from the first step: μ = μ_0, the start; where that is zero,
push and D are per unit of μ.

Expectations are means over sampled sequences with standard errors. Derived here, "trapped-basin".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from onset.theory import arguments, randomness
from onset.theory.arrays import Array
from onset.theory.estimates import largest_score
from onset.theory.laws.sampling import best_readout, covariance, positions, relative
from onset.theory.markov.chains import stationary
from onset.theory.markov.task import MarkovChains, require_first_order
from onset.theory.mean_fields.base import LAGS
from onset.theory.setting import Setting

__all__ = ["FALSE_ALARM", "Basin", "escapes", "limit_constants", "supports"]

FAMILIES = ("linear", "softmax")
"""Families with a match and a plateau."""

CHUNK = 2048
"""Sequences that are sampled together."""

FALSE_ALARM = 1e-3
"""Probability of a sign where there is none."""


@dataclass(frozen=True)
class Basin:
    """The basin that a setting's plateau leads to.

    Attributes
    ----------
    sign : int
        1: towards an induction head; -1: trapped; 0: not decided by the number of sequences.
    size : float
        push = -∂L/∂ω where ω leaves zero, nats per token and unit of ω (softmax family under Adam: and of μ).
    error : float
        Standard error of `size`.
    readout : float
        The μ (softmax) or c (linear) of `size`.
    match : float
        ω at which push and curvature balance with no lag grown, to first order: the plateau's own match. NaN where the
        read-out is zero.
    drives : array, shape (R,)
        D_r: drive of each lag per unit of ω, same unit as `size` per lag logit.
    lags : tuple of int
        The lags that layer 1 turns to when ω leaves zero in this direction, the most driven first.
    explanation : str
    """

    sign: int
    size: float
    error: float
    readout: float
    match: float
    drives: Array
    lags: tuple[int, ...]
    explanation: str


def supports(setting: Setting) -> bool:
    """Whether the map of basins covers a setting's family and task: toy models on Markov chains of order 2."""
    task = setting.task
    return setting.model.family in FAMILIES and isinstance(task, MarkovChains) and task.order == 2


def escapes(setting: Setting, *, count: int = 16384, seed: int = 0) -> Basin:
    """Whether `setting` leaves its unigram plateau towards an induction head.

    Parameters
    ----------
    setting : Setting
        Of the linear or the softmax family.
    count : int
        Sequences; the error falls like 1/√count.
    seed : int

    Returns
    -------
    Basin

    Raises
    ------
    ValueError
        If the family has no match, or the loss fixes no read-out of counts, as for doubly stochastic matrices.

    Notes
    -----
    Range of validity: the match settles before a lag grows. Near the change of sign the noise of mini-batches chooses,
    seed by seed; and where lags grow as fast as the match settles, the start decides: linear family, concentration 0.3,
    k = 2, T = 10, is trapped as predicted at a rate of 0.1 for the lag logits, and escapes at a rate of 1.
    """
    arguments.one_of("family of a basin", setting.model.family, FAMILIES)
    require_first_order(setting.task, "the map of basins")
    setting.training.require_all_trained("the map of basins")
    count = arguments.integer("count", count, least=2)
    pilot, main = randomness.generator(seed).spawn(2)
    waits = setting.training.optimizer.name == "sgd"  # the read-out settles before the match moves
    linear = setting.model.family == "linear"
    if waits:
        readout = best_readout(setting.task.prior, setting.task.context, pilot, shares=not linear)
    else:
        readout = setting.model.initialization["match"] if linear else 0.0
    parts = [
        _moments(setting, readout, min(CHUNK, count - done), generator)
        for done, generator in zip(range(0, count, CHUNK), main.spawn(-(-count // CHUNK)), strict=True)
    ]
    by_sequence = np.concatenate([p for p, _ in parts], axis=1)
    curvature = np.average([s for _, s in parts], axis=0, weights=[p.shape[1] for p, _ in parts])
    push, drives = by_sequence[1], by_sequence[2:].mean(axis=1)
    if waits:
        # At the optimum the read-out's own slope is zero on average; to first order its deviation in this sample moves
        # the push by the mixed second derivative.
        push = push - curvature[1] / curvature[0] * by_sequence[0]
    size, error = float(push.mean()), float(push.std(ddof=1) / np.sqrt(count))
    sign = int(np.sign(size)) if abs(size) > largest_score(FALSE_ALARM) * error else 0
    gains = np.sign(size) * drives
    lags = tuple(int(r) for r in np.argsort(-gains) if gains[r] > 0)
    stiffness = curvature[2] - curvature[1] ** 2 / curvature[0] if waits else np.nan
    where = "on the plateau" if waits else "at the start, where Adam moves match and read-out alike"
    explanation = (
        f"{setting.label}: the match's first gradient {where} (read-out {readout:.3g}) drives it "
        f"{'up' if size > 0 else 'down'}, {abs(size / error):.1f} standard errors from zero: "
        f"{_consequence(sign, lags)}."
    )
    return Basin(sign, size, error, readout, size / stiffness, drives, lags, explanation)


def limit_constants(transition: Array, weights: Array, readout: float) -> tuple[float, float]:
    """A and B of the push at T → ∞ in the softmax family (`onset.theory.derivations.trapped`), at μ = `readout`.

    Diverges like an inverse power of the spectral gap where the prior does not keep chains away from the identity.

    Parameters
    ----------
    transition : array, shape (n, k, k)
    weights : array, shape (n,)
    readout : float
    """
    law, eye = stationary(transition), np.eye(transition.shape[-1])
    limit = np.broadcast_to(law[:, None, :], transition.shape)
    rates, axes = np.linalg.eig(transition - limit)
    back = np.linalg.inv(axes)

    def function(values: Array) -> Array:
        """The function of P - 1πᵀ that has these `values` at the eigenvalues."""
        return ((axes * values[:, None, :]) @ back).real

    summed, delayed = function(1 / (1 - rates)) - limit, function(-np.log(1 - rates) / (1 - rates))
    shared = law[:, :, None] * summed
    spread = shared + shared.swapaxes(1, 2) - law[:, :, None] * (eye - limit)
    residual = law[:, :, None] * (transition - softmax(readout * law, axis=-1)[:, None, :])
    first = (residual * shared).sum(axis=(1, 2))
    second = (residual * (law[:, :, None] * delayed + spread)).sum(axis=(1, 2))
    return float(weights @ first), float(weights @ second)


def _moments(setting: Setting, readout: float, count: int, generator: np.random.Generator) -> tuple[Array, Array]:
    """Slopes and second derivatives of the loss at v = 0, ω = 0.

    Returns
    -------
    slopes : array, shape (2 + R, count)
        Per sequence, -∂L/∂ of the read-out, of ω, and of ω and each v_r.
    curvature : array, shape (3,)
        Means over sequences of the second derivatives by read-out twice, by read-out and ω, and by ω twice, in the
        softmax family without what the logits' own second derivatives add, which is of the order of the push.
    """
    lags, context = min(LAGS, setting.task.context), setting.task.context
    slopes, curvature = np.zeros((2 + lags, count)), np.zeros(3)
    linear = setting.model.family == "linear"
    for p in positions(setting.task.prior, context, count, generator, range(lags)):
        features = p.counts if linear else p.counts / p.t
        rises = p.sums if linear else (readout or 1.0) * relative(p.sums, p.counts, p.t)
        law = softmax(readout * features, axis=-1)
        along = np.concatenate([features[None], rises])
        slopes += ((p.row - law) * along).sum(axis=2) / context
        pairs = ((features, features), (features, rises[0]), (rises[0], rises[0]))
        curvature += [covariance(law, a, b).mean() / context for a, b in pairs]
    return slopes, curvature


def _consequence(sign: int, lags: tuple[int, ...]) -> str:
    """What follows from the push, in words."""
    listed = ", ".join(map(str, lags)) or "none"
    if sign == 0:
        return "not decided; raise count. So weak a push may leave the basin to the noise of mini-batches, seed by seed"
    if sign < 0:
        return (
            "layer 2 turns away from sources whose predecessor matches, "
            f"layer 1 to lags {listed}; no induction head forms"
        )
    outcome = "an induction head forms" if lags[:1] == (1,) else "no induction head forms at first"
    return f"layer 2 seeks sources whose predecessor matches, layer 1 turns to lags {listed}; {outcome}"
