r"""How long Adam waits on the unigram plateau: the corrected mean field, every lag, and the noise of mini-batches in Adam's second moment.

A mini-batch's gradient ĝ has E ĝ² = g² + Var/B. Lag 1 has a signal-to-noise ratio of several and climbs by η per step; the lags that
nothing drives up have ratios around one and fall, each by η g/√(g² + Var/B). The head forms when lag 1 has outgrown them all:
a mean field that leaves untracked lags at their start is late, one that tracks them without noise is early.

Drives of the matrices and of the first lags, and the curves, are those of `onset.theory.mean_fields.corrected`, the further lags sharing one weight:
fluctuations of counts weigh on the match (without them it overshoots its plateau, at k = 4 fourfold) and on neighbouring lags. What the first lags
gain, the others give, each in proportion to

    Σ_{s>r} a_{s,r} A_s (T + 1 - s)/T,

A_s being what source s gives the first lags. Variances over sequences are sampled at v = 0 on the plateau: of W's entries (and U's, and in the softmax
family W's per μ²) and of lag logits, per ω² (softmax: and μ²); away from v = 0 those follow

    Var_r ∝ Σ_{s>r} [a_{s,r} (1 - a_{s,r})]² (T + 1 - s)/T.

Both are expressions of `onset.theory.derivations.adam_law`, which also has the law's closed form for one untouched lag: a head after between
ln(T)/(2η) and ln(T)/η steps. How far it is off finite context tells the suite `corrections` (`paper/results/corrections.json`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from onset.theory import arguments
from onset.theory.arrays import Array
from onset.theory.derivations.adam_law import profiles
from onset.theory.dynamics.descent import descend
from onset.theory.dynamics.layout import Gradient, Layout, last_attention
from onset.theory.laws.basins import place_readout, relative, softmax, walk, walk_whole
from onset.theory.laws.plateau import plateau
from onset.theory.mean_fields.corrected.predict import CORRECTED
from onset.theory.prediction import Prediction
from onset.theory.recording import Measurement, Progress
from onset.theory.setting import Setting

__all__ = ["NoisyMeanField", "adam_law", "lag_noise"]

COUNT = 1024
"""Sequences behind the variances, each known to √(2/COUNT) = 4%, and its root to 2%."""

TRACKED = 6
"""Lags told apart at finite context, the others sharing one weight."""

NODES = 64
"""Points that stand for the prior."""

CLOSE = 4
"""Lags up to which every variance is sampled; beyond, lags by factors of about √2 and powers of r between them."""

LONGEST = 1024
"""Longest context, every lag being followed: memory and time grow like T²."""

ASSUMPTIONS = (
    f"corrected mean field, {TRACKED} lags told apart; the others, driven by what those gain alone",
    "Adam with its expected second moment E g² + Var/B",
    "variances sampled at v = 0 on the plateau, those of lag logits then followed by their profile over sources",
    "prior and initialisation exchangeable",
)


class NoisyMeanField:
    """The corrected mean field of a toy family with all T lags and the variance of its gradients, for `onset.theory.dynamics.descent.descend`.

    Parameters
    ----------
    setting : Setting
    excess : float
        Multiplies the variances; 0 leaves the mean field alone.
    seed : int
    """

    def __init__(self, setting: Setting, *, excess: float = 1.0, seed: int = 0) -> None:
        nodes, noise, matrices = np.random.default_rng(seed).spawn(3)
        self.setting, self.layout = setting, Layout.of(setting.task, setting.model.initialization, setting.task.context)
        self.tracked = min(TRACKED, setting.task.context - 1)
        self.base = CORRECTED[setting.model.family].of(setting, lags=self.tracked, count=NODES, generator=nodes)
        start, _ = profiles(np.zeros(setting.task.context), self.tracked)
        self._matrices = excess * matrix_noise(setting, matrices)
        self._scale = excess * lag_noise(setting, noise) / np.where(start > 0, start, 1.0)

    def gradient(self, point: Array, step: int = 0) -> Gradient:
        first, lag_logits = self.layout.lags.start, point[self.layout.lags]
        noise, given = profiles(lag_logits, self.tracked)
        found = self.base.gradient(self._near(point, given), step)
        # A common shift of all lag logits changes nothing.
        gained = found.derivative[first:].sum()
        derivative = np.concatenate([found.derivative, -gained * given / given.sum()])
        # The linear family has no read-out.
        readout = point[2] - point[3] if first == 4 else 1.0
        variance = np.zeros(len(point))
        variance[:first] = self._matrices
        variance[:2] *= readout**2
        factor = (point[0] - point[1]) * readout
        variance[first:] = factor**2 * self._scale * noise
        return Gradient(found.loss, derivative, variance)

    def near(self, point: Array) -> Array:
        """The point with the first lags, the others at zero: a common shift changes nothing. They are put where, to first order, sources
        together give the first lags as much attention as they do."""
        return self._near(point, profiles(point[self.layout.lags], self.tracked)[1])

    def _near(self, point: Array, given: Array) -> Array:
        matrices, lag_logits = point[: self.layout.lags.start], point[self.layout.lags]
        common = np.log(given.sum() / (given * np.exp(-lag_logits[self.tracked :])).sum())
        return np.concatenate([matrices, lag_logits[: self.tracked] - common])

    def measure(self, point: Array) -> Measurement:
        """At finite context but for the attention, which knows every lag."""
        found = self.base.measure(self.near(point))
        attention = last_attention(point[self.layout.lags], self.setting.task.context)[None]
        return Measurement(found.loss, found.distances, attention)


def lag_noise(setting: Setting, generator: np.random.Generator, *, count: int = COUNT) -> Array:
    """Variance over sequences of ∂(-L)/∂v_r per ω² (softmax: and μ²) at v = 0 on the plateau, shape (T,), the next token sampled."""
    context = setting.task.context
    lags = sorted(
        {*range(min(CLOSE, context)), *np.unique(np.round(2 ** np.arange(2, np.log2(context), 0.5)).astype(int))}
    )
    lags = [int(r) for r in lags if r < context - 1]
    readout, match = _plateau(setting, generator)
    own, held = np.zeros((len(lags), count)), None
    for t, counts, _, sums in walk(setting.task.prior, context + 1, count, generator, lags):
        if held is not None:
            before, law, rises = held
            own += ((counts - before - law) * rises).sum(axis=2) / context
        if setting.model.family == "linear":
            law, rises = softmax(readout * counts + match * sums[0]), sums[1:]
        else:
            law, rises = softmax(readout * counts / t), relative(sums[1:], counts, t)
        held = counts, law, rises
    found = np.log(own.var(axis=1, ddof=1))
    return np.exp(np.interp(np.log1p(np.arange(context)), np.log1p(lags), found))


def matrix_noise(setting: Setting, generator: np.random.Generator, *, count: int = COUNT) -> Array:
    """Variance over sequences of ∂(-L)/∂ of one entry of W on the diagonal and off it (softmax: per μ², and of U likewise), shape (2,) or (4,);
    at v = 0 on the plateau, the next token sampled."""
    states, context = setting.task.states, setting.task.context
    readout, match = _plateau(setting, generator)
    linear, each = setting.model.family == "linear", np.arange(count)
    # Of every entry W[i, j], and of U[j, l].
    own, held = np.zeros((1 if linear else 2, count, states, states)), None
    for t, now, counts, _, sums in walk_whole(setting.task.prior, context + 1, count, generator, ()):
        if held is not None:
            before, query, law, rises, read = held
            residual = counts - before - law
            own[0, each, query] += (rises * residual[:, None, :]).sum(axis=2) / context
            if not linear:
                own[1] += read[:, :, None] * residual[:, None, :] / context
        if linear:
            law, rises = softmax(readout * counts + match * sums[0, each, now]), sums[0].copy()
        else:
            law = softmax(readout * counts / t)
            rises = np.stack([relative(sums[:1, :, i], counts, t)[0] for i in range(states)], axis=1)
        held = counts.copy(), now, law, rises, counts / t
    spread = own.var(axis=1, ddof=1)
    diagonal = np.eye(states, dtype=bool)
    return np.array([part[where].mean() for part in spread for where in (diagonal, ~diagonal)])


def adam_law(setting: Setting, *, seed: int = 0, progress: Progress = lambda step, steps: None) -> Prediction:
    """Predict a run under Adam; the interval reaches from no noise, where every lag moves by its rate, to twice the variance.

    Parameters
    ----------
    setting : Setting
        Of the linear or the softmax family, under Adam.

    Raises
    ------
    ValueError
        If the family or the optimiser is another, or the context too long for every lag to be followed.
    """
    arguments.one_of("family of the Adam law", setting.model.family, CORRECTED)
    arguments.one_of("optimizer of the Adam law", setting.training.optimizer.name, ("adam",))
    if not 3 <= setting.task.context <= LONGEST:
        raise ValueError(
            f"context = {setting.task.context}: expected 3 … {LONGEST} for the Adam law, which follows every lag; use the mean field or the finite context."
        )
    found = []
    for done, excess in enumerate((1.0, 0.0, 2.0)):
        found.append(descend(NoisyMeanField(setting, excess=excess, seed=seed), setting.training))
        progress(done + 1, 3)
    return Prediction(
        setting,
        "law",
        tuple(found),
        setting.task.expected_losses(seed=seed),
        ASSUMPTIONS,
        (
            f"neglects terms of relative order ln²T/T = {np.log(setting.task.context) ** 2 / setting.task.context:.2g}; how far it was off finite context elsewhere: suite corrections",
            "predicts the head where `onset.theory.laws.basins.escapes` does; the softmax family below T of about 16 may be trapped instead",
        ),
        bounds=True,
    )


def _plateau(setting: Setting, generator: np.random.Generator) -> tuple[float, float]:
    """Read-out (c or μ) and match ω there."""
    if setting.model.family == "linear":
        scale, match = plateau(setting.task.prior, COUNT).match / setting.task.context
        return float(scale), float(match)
    waiting = setting.replace(optimizer=replace(setting.training.optimizer, name="sgd"))
    return place_readout(waiting, generator), 0.0
