r"""Whether a toy model leaves the unigram plateau towards an induction head, or into a basin without one.

Let no lag have grown, v = 0, and layer 2 read counts alone, W = c·11ᵀ: both families then predict σ = softmax of a multiple μ of the
frequencies N_j/t (μ = ct in the linear family). The match ω leaves zero the way that

    push = -∂L/∂ω = (1/T) Σ_t E Σ_j (P_{x_t j} - σ_tj) g_tj,    g = ∂f/∂ω,
    linear    g_tj = Σ_{s≤t} 1[x_s = j] N_{x_t}(s)/s
    softmax   g_tj = (μ/t) Σ_{s≤t} (1[x_s = j] - N_j/t) N_{x_t}(s)/s

points. Lag r is then driven by ω D_r with D_r = -∂²L/∂ω∂v_r. With push > 0 the lag of largest D, as a rule lag 1, wins and an induction
head forms. With push < 0 lags of negative D win, the even ones: layer 2 turns away from sources whose predecessor matches, lag 1
loses its attention, ω falls further, and the model stays there. (Of those lags 0 is driven most at first; trained softmax models end on 2 and 4.)

At which μ the sign counts depends on the optimiser. SGD lifts the read-out first and waits on the plateau: μ = μ*, the minimum of the
loss. Adam moves ω and the read-out alike from the first step: μ = μ_0, the start; where that is zero, push and D are per unit of μ.

Expectations are means over sampled sequences with standard errors. Derived here, "trapped-basin".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from onset.theory import arguments
from onset.theory.arrays import Array
from onset.theory.markov.chains import stationary
from onset.theory.markov.priors import Prior, sample
from onset.theory.markov.task import MarkovChains
from onset.theory.setting import Setting

__all__ = [
    "Basin",
    "draw",
    "escapes",
    "limit_constants",
    "place_readout",
    "relative",
    "softmax",
    "supports",
    "walk",
    "walk_whole",
]

FAMILIES = ("linear", "softmax")
"""Families with a match and a plateau."""

LAGS = 6
PILOT = 1024
"""Sequences that place μ*; what it misses is removed to first order."""

CHUNK = 2048
FALSE_ALARM = 1e-3
"""Probability of a sign where there is none."""

ITERATIONS = 50


@dataclass(frozen=True)
class Basin:
    """Which basin a setting's plateau leads to.

    Attributes
    ----------
    sign : int
        1: towards an induction head; -1: trapped; 0: not decided by as many sequences.
    size : float
        push = -∂L/∂ω where ω leaves zero, nats per token and unit of ω (softmax family under Adam: and of μ).
    error : float
        Standard error of `size`.
    readout : float
        The μ (softmax) or c (linear) at which `size` was taken.
    match : float
        ω at which push and curvature balance with no lag grown, to first order: the plateau's own match. Not a number where the
        read-out is zero.
    drives : array, shape (R,)
        D_r: drive of each lag per unit of ω, same unit as `size` per lag logit.
    lags : tuple of int
        The lags that layer 1 turns to when ω leaves zero that way, the most driven first.
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
    Range of validity: the match settles before a lag grows. Near the change of sign the noise of mini-batches chooses, seed by
    seed; and where lags grow as fast as the match settles, the start decides: linear family, concentration
    0.3, k = 2, T = 10, is trapped as predicted at a rate of 0.1 for the lag logits, and escapes at a rate of 1.
    """
    arguments.one_of("family of a basin", setting.model.family, FAMILIES)
    setting.task.require_first_order("the map of basins")
    count = arguments.integer("count", count, least=2)
    pilot, main = np.random.default_rng(seed).spawn(2)
    readout = place_readout(setting, pilot)
    parts = [
        _moments(setting, readout, min(CHUNK, count - done), generator)
        for done, generator in zip(range(0, count, CHUNK), main.spawn(-(-count // CHUNK)), strict=True)
    ]
    per_sequence = np.concatenate([p for p, _ in parts], axis=1)
    shared = np.average([s for _, s in parts], axis=0, weights=[p.shape[1] for p, _ in parts])
    push, drives = _placed(per_sequence, shared, setting)
    size, error = float(push.mean()), float(push.std(ddof=1) / np.sqrt(count))
    decided = abs(size) > norm.isf(FALSE_ALARM / 2) * error
    sign = int(np.sign(size)) if decided else 0
    gains = np.sign(size) * drives
    lags = tuple(int(r) for r in np.argsort(-gains) if gains[r] > 0)
    stiffness = shared[2] - shared[1] ** 2 / shared[0] if _waits(setting) else np.nan
    text = _explanation(setting, sign, size / error, readout, lags)
    return Basin(sign, size, error, readout, size / stiffness, drives, lags, text)


def limit_constants(transition: Array, weights: Array, readout: float) -> tuple[float, float]:
    """A and B of the push at T → ∞ in the softmax family (`onset.theory.derivations.trapped`), at μ = `readout`, for chains (n, k, k) with weights.

    Diverges like an inverse power of the spectral gap where the prior does not keep chains away from the identity.
    """
    law, eye = stationary(transition), np.eye(transition.shape[-1])
    limit = np.broadcast_to(law[:, None, :], transition.shape)
    rates, axes = np.linalg.eig(transition - limit)
    back = np.linalg.inv(axes)

    def of(values: Array) -> Array:
        return ((axes * values[:, None, :]) @ back).real

    passed, delayed = of(1 / (1 - rates)) - limit, of(-np.log(1 - rates) / (1 - rates))
    shared = law[:, :, None] * passed
    covariance = shared + shared.swapaxes(1, 2) - law[:, :, None] * (eye - limit)
    residual = law[:, :, None] * (transition - softmax(readout * law)[:, None, :])
    first = (residual * shared).sum(axis=(1, 2))
    second = (residual * (law[:, :, None] * delayed + covariance)).sum(axis=(1, 2))
    return float(weights @ first), float(weights @ second)


def _waits(setting: Setting) -> bool:
    """Whether the read-out settles before the match moves."""
    return setting.training.optimizer.name == "sgd"


def place_readout(setting: Setting, generator: np.random.Generator) -> float:
    """c or μ: under SGD where the loss at ω = v = 0 is least, by Newton's iteration on a pilot sample; else its start."""
    if not _waits(setting):
        return setting.model.initialization["match"] if setting.model.family == "linear" else 0.0
    steps = [
        (_features(setting, counts, t), rows)
        for t, counts, rows, _ in walk(setting.task.prior, setting.task.context, PILOT, generator, ())
    ]
    features, rows = (np.array(part) for part in zip(*steps, strict=True))
    level = 0.0
    for _ in range(ITERATIONS):
        law = softmax(level * features)
        slope = float(((law - rows) * features).sum())
        change = slope / float(_covariance(law, features, features).sum())
        level -= change
        if abs(change) <= np.sqrt(np.finfo(float).eps) * abs(level):
            return level
    raise ValueError(
        f"prior = {setting.task.prior} at T = {setting.task.context}: expected a plateau with one best read-out of counts, but none was found; use a prior whose stationary laws differ."
    )


def walk(
    prior: Prior, context: int, count: int, generator: np.random.Generator, lags: Sequence[int]
) -> Iterator[tuple[int, Array, Array, Array]]:
    """Along `count` sequences: t, counts N (n, k), next row P (n, k), and Σ_{s≤t} 1[x_s = j] of z_s[x_t] and of ∂z_s[x_t]/∂v_r for each of `lags`, (1 + lags, n, k)."""
    for t, now, counts, rows, sums in walk_whole(prior, context, count, generator, lags):
        yield t, counts.copy(), rows, sums[:, np.arange(count), now]


def walk_whole(
    prior: Prior, context: int, count: int, generator: np.random.Generator, lags: Sequence[int]
) -> Iterator[tuple[int, NDArray[np.int_], Array, Array, Array]]:
    """The same with the tokens (n,), and sums for every state i in place of x_t, (1 + lags, n, i, k); arrays that the next step changes."""
    transition = sample(prior, generator, count)
    tokens = draw(transition, context, generator)
    states, each = prior.states, np.arange(count)
    counts, sums = np.zeros((count, states)), np.zeros((1 + len(lags), count, states, states))
    for t in range(1, context + 1):
        now = tokens[t - 1]
        counts[each, now] += 1
        share = counts / t
        sums[0, each, :, now] += share
        for n, r in enumerate(lags):
            if r < t:
                held = -share / t
                held[each, tokens[t - 1 - r]] += 1 / t
                sums[1 + n, each, :, now] += held
        yield t, now, counts, transition[each, now], sums


def draw(transition: Array, context: int, generator: np.random.Generator) -> NDArray[np.int_]:
    """Tokens (T, n) of one stationary sequence of each chain (n, k, k)."""
    each = np.arange(len(transition))
    edges, first = transition.cumsum(axis=2)[:, :, :-1], stationary(transition).cumsum(axis=1)[:, :-1]
    tokens = np.empty((context, len(transition)), dtype=np.int64)
    for t in range(context):
        before = first if t == 0 else edges[each, tokens[t - 1]]
        tokens[t] = (generator.random(len(transition))[:, None] > before).sum(axis=1)
    return tokens


def _features(setting: Setting, counts: Array, t: int) -> Array:
    return counts if setting.model.family == "linear" else counts / t


def _moments(setting: Setting, readout: float, count: int, generator: np.random.Generator) -> tuple[Array, Array]:
    """Per sequence: slopes -∂L/∂ of the read-out, of ω, and of ω and each v_r, shape (2 + R, n); and, as means over sequences, the
    second derivatives by read-out twice, by read-out and ω, and by ω twice."""
    lags, context = min(LAGS, setting.task.context), setting.task.context
    own, shared = np.zeros((2 + lags, count)), np.zeros(3)
    scale = 1.0 if setting.model.family == "linear" else readout or 1.0
    for t, counts, rows, sums in walk(setting.task.prior, context, count, generator, range(lags)):
        read = _features(setting, counts, t)
        rises = scale * sums if setting.model.family == "linear" else scale * relative(sums, counts, t)
        law = softmax(readout * read)
        along = np.concatenate([read[None], rises])
        own += ((rows - law) * along).sum(axis=2) / context
        pairs = ((read, read), (read, rises[0]), (rises[0], rises[0]))
        shared += [_covariance(law, a, b).mean() / context for a, b in pairs]
    return own, shared


def relative(sums: Array, counts: Array, t: int) -> Array:
    """What a score adds to a softmax over sources: its covariance with the sources' symbols."""
    return sums / t - counts / t * sums.sum(axis=2, keepdims=True) / t


def _placed(per_sequence: Array, shared: Array, setting: Setting) -> tuple[Array, Array]:
    """push per sequence and the mean drives, the read-out moved to this sample's own optimum to first order where it waits there."""
    push, drives = per_sequence[1], per_sequence[2:].mean(axis=1)
    if not _waits(setting):
        return push, drives
    # At the optimum the read-out's own slope is zero on average; its deviation moves push by the mixed second derivative.
    return push - shared[1] / shared[0] * per_sequence[0], drives


def softmax(logits: Array) -> Array:
    law = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return law / law.sum(axis=-1, keepdims=True)


def _covariance(law: Array, a: Array, b: Array) -> Array:
    """Covariance of a and b over symbols under `law`."""
    return (law * a * b).sum(axis=-1) - (law * a).sum(axis=-1) * (law * b).sum(axis=-1)


def _explanation(setting: Setting, sign: int, z: float, readout: float, lags: tuple[int, ...]) -> str:
    where = "on the plateau" if _waits(setting) else "at the start, where Adam moves match and read-out alike"
    begin = f"{setting.label}: the match's first gradient {where} (read-out {readout:.3g}) drives it {'up' if z > 0 else 'down'}, {abs(z):.1f} standard errors from zero"
    gaining = ", ".join(map(str, lags))
    if sign == 0:
        return f"{begin}: not decided; raise count. Under so weak a push the noise of mini-batches may choose the basin, seed by seed."
    if sign < 0:
        return f"{begin}: layer 2 turns away from sources whose predecessor matches, layer 1 to lags {gaining}; no induction head forms."
    then = "an induction head forms" if lags[0] == 1 else "no induction head forms at first"
    return f"{begin}: layer 2 seeks sources whose predecessor matches, layer 1 turns to lags {gaining}; {then}."
