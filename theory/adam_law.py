r"""How long Adam waits on the unigram plateau: the mean field with every lag, and the noise of mini-batches in Adam's second moment.

A mini-batch's gradient ĝ has E ĝ² = g² + Var/B. Lag 1 has a signal-to-noise ratio of several and climbs by η per step; the T - 2 lags
that nothing drives up have ratios around one and fall, each by η g/√(g² + Var/B). The head forms when lag 1 has outgrown them all:
a mean field that leaves untracked lags at their start is late, one that tracks them without noise is early.

The variance of a lag logit's gradient is taken at v = 0 on the plateau, from sampled sequences with sampled next tokens, per ω² (softmax:
and μ²); away from v = 0 it follows

    Var_r ∝ Σ_{s>r} [a_{s,r} (1 - a_{s,r})]² (T + 1 - s)/T,

the expression of `theory.derivations.adam_law`, which also has the law's closed form for one untouched lag. The noise of W and U is neglected.

Against `simulate.reduced` (η = 0.01, B = 64, flat rows, one replicate of 128 sequences a step), error of the steps of formation and of
unigram → bigram, in brackets those of the six-lag mean field:

    softmax  k = 2, T = 50    4%  (27%)    0%  (9%)
    softmax  k = 3, T = 100   4%  (42%)    1% (19%)
    linear   k = 2, T = 50    9%  (28%)   16% (41%)
    linear   k = 3, T = 100  17%  (38%)   18% (69%)
    linear   k = 2, T = 200   1%  (26%)    5% (44%)
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from theory import arguments
from theory.basins import place_readout, relative, softmax, walk
from theory.chains import Array
from theory.derivations.adam_law import noise_profile
from theory.dynamics import Gradient, Measurement, Progress, descend
from theory.plateau import plateau
from theory.predict import MEAN_FIELDS, Prediction, limit_plateaus
from theory.setting import Setting

__all__ = ["NoisyMeanField", "adam_law", "lag_noise"]

NODES = 64
COUNT = 1024
"""Sequences behind the variances, each known to √(2/COUNT) = 4%, and its root to 2%."""

CLOSE = 4
"""Lags up to which every variance is sampled; beyond, lags by factors of about √2 and powers of r between them."""

LONGEST = {"linear": 512, "softmax": 128}
"""Longest context, every lag being followed: memory and time grow like T²."""

ASSUMPTIONS = (
    "mean field with every lag: counts equal their expectations",
    "Adam with its expected second moment E g² + Var/B of the lag logits' gradients; the noise of W and U neglected",
    "variances sampled at v = 0 on the plateau, then followed by their profile over sources",
    "prior and initialisation exchangeable",
)


class NoisyMeanField:
    """The mean field of a toy family with all T lags and the variance of their gradients, for `theory.dynamics.descend`.

    Parameters
    ----------
    setting : Setting
    excess : float
        Multiplies the variances; 0 leaves the mean field alone.
    seed : int
    """

    def __init__(self, setting: Setting, *, excess: float = 1.0, seed: int = 0) -> None:
        nodes, noise = np.random.default_rng(seed).spawn(2)
        family = MEAN_FIELDS[setting.family]
        self.base = family(setting, lags=setting.context, count=NODES, generator=nodes)
        self.layout = self.base.layout
        start = noise_profile(np.zeros(setting.context))
        self._scale = excess * lag_noise(setting, noise) / np.where(start > 0, start, 1.0)

    def gradient(self, point: Array, step: int = 0) -> Gradient:
        found = self.base.gradient(point, step)
        variance = np.zeros(len(point))
        # A linear family has no read-out: its one matrix is the match.
        factor = (point[0] - point[1]) * (point[2] - point[3] if self.layout.lags.start == 4 else 1.0)
        variance[self.layout.lags] = factor**2 * self._scale * noise_profile(point[self.layout.lags])
        return Gradient(found.loss, found.derivative, variance)

    def measure(self, point: Array) -> Measurement:
        return self.base.measure(point)


def lag_noise(setting: Setting, generator: np.random.Generator, *, count: int = COUNT) -> Array:
    """Variance over sequences of ∂(-L)/∂v_r per ω² (softmax: and μ²) at v = 0 on the plateau, shape (T,), the next token sampled."""
    context = setting.context
    lags = sorted(
        {*range(min(CLOSE, context)), *np.unique(np.round(2 ** np.arange(2, np.log2(context), 0.5)).astype(int))}
    )
    lags = [int(r) for r in lags if r < context - 1]
    readout, match = _plateau(setting, generator)
    own, held = np.zeros((len(lags), count)), None
    for t, counts, _, sums in walk(setting.prior, context + 1, count, generator, lags):
        if held is not None:
            before, law, rises = held
            own += ((counts - before - law) * rises).sum(axis=2) / context
        if setting.family == "linear":
            law, rises = softmax(readout * counts + match * sums[0]), sums[1:]
        else:
            law, rises = softmax(readout * counts / t), relative(sums[1:], counts, t)
        held = counts, law, rises
    found = np.log(own.var(axis=1, ddof=1))
    return np.exp(np.interp(np.log1p(np.arange(context)), np.log1p(lags), found))


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
    arguments.one_of("family of the Adam law", setting.family, MEAN_FIELDS)
    arguments.one_of("optimizer of the Adam law", setting.optimizer.name, ("adam",))
    if setting.context > LONGEST[setting.family]:
        raise ValueError(
            f"context = {setting.context}: expected at most {LONGEST[setting.family]} for the Adam law of the {setting.family} family, which follows every lag; use the mean field or the finite context."
        )
    found = []
    for done, excess in enumerate((1.0, 0.0, 2.0)):
        found.append(descend(NoisyMeanField(setting, excess=excess, seed=seed), setting))
        progress(done + 1, 3)
    return Prediction(
        setting,
        "law",
        tuple(found),
        limit_plateaus(setting.prior),
        ASSUMPTIONS,
        (
            "erred against the finite context by up to 4% (softmax) and 18% (linear) at k = 2 and 3, T = 50 to 200, flat rows, rate 0.01, batch 64; untested elsewhere",
            "predicts the head where `theory.basins.escapes` does; the softmax family below T of about 16 may be trapped instead",
        ),
        bounds=True,
    )


def _plateau(setting: Setting, generator: np.random.Generator) -> tuple[float, float]:
    """Read-out (c or μ) and match ω there."""
    if setting.family == "linear":
        scale, match = plateau(setting.prior, COUNT).match / setting.context
        return float(scale), float(match)
    waiting = setting.replace(optimizer=replace(setting.optimizer, name="sgd"))
    return place_readout(waiting, generator), 0.0
