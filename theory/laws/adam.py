r"""How long Adam waits on the unigram plateau: the mean field with every lag, and the noise of mini-batches in Adam's second moment.

A mini-batch's gradient ĝ has E ĝ² = g² + Var/B. Lag 1 has a signal-to-noise ratio of several and climbs by η per step; the T - 2 lags
that nothing drives up have ratios around one and fall, each by η g/√(g² + Var/B). The head forms when lag 1 has outgrown them all:
a mean field that leaves untracked lags at their start is late, one that tracks them without noise is early.

The variance of a lag logit's gradient is taken at v = 0 on the plateau, from sampled sequences with sampled next tokens, per ω² (softmax:
and μ²); away from v = 0 it follows

    Var_r ∝ Σ_{s>r} [a_{s,r} (1 - a_{s,r})]² (T + 1 - s)/T,

the expression of `theory.derivations.adam_law`, which also has the law's closed form for one untouched lag: a head after between ln(T)/(2η) and
ln(T)/η steps. In the softmax family the entries of W and U have their noise too, W's per μ². In the linear family W's is left out: it slows the match's start as
much as fluctuations of counts, which the mean field leaves out, speed it up; the one without the other errs more (k = 8: passage 18% late instead of 1%).

Curves are measured at finite context (`theory.mean_fields.corrected`), six lags told apart and the others at their mean weight: by the limit's strategies
the passage would come out 7 to 250% late.

How far it is off finite context tells the suite `corrections` (`paper/results/corrections.json`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from theory import arguments
from theory.chains import Array
from theory.derivations.adam_law import noise_profile
from theory.dynamics import Gradient, Measurement, Progress, descend, last_attention
from theory.laws.basins import place_readout, relative, softmax, walk, walk_whole
from theory.laws.plateau import plateau
from theory.mean_fields.corrected.predict import CORRECTED
from theory.predict import MEAN_FIELDS, Prediction, finite_plateaus
from theory.setting import Setting

__all__ = ["NoisyMeanField", "adam_law", "lag_noise"]

NODES = 64
COUNT = 1024
"""Sequences behind the variances, each known to √(2/COUNT) = 4%, and its root to 2%."""

TRACKED = 6
"""Lags with which the curves are measured at finite context, the others at their mean weight."""

MEASURED_NODES = 32

CLOSE = 4
"""Lags up to which every variance is sampled; beyond, lags by factors of about √2 and powers of r between them."""

LONGEST = {"linear": 512, "softmax": 128}
"""Longest context, every lag being followed: memory and time grow like T²."""

ASSUMPTIONS = (
    "mean field with every lag: counts equal their expectations",
    "Adam with its expected second moment E g² + Var/B of the lag logits' gradients, in the softmax family also of W's and U's",
    "curves at finite context, six lags told apart",
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
        nodes, noise, matrices = np.random.default_rng(seed).spawn(3)
        family = MEAN_FIELDS[setting.family]
        self.base = family(setting, lags=setting.context, count=NODES, generator=nodes)
        self.layout, self.setting = self.base.layout, setting
        start = noise_profile(np.zeros(setting.context))
        self._corrected = CORRECTED[setting.family](
            setting, lags=TRACKED, count=MEASURED_NODES, generator=np.random.default_rng(seed)
        )
        self._matrices = excess * matrix_noise(setting, matrices) if setting.family == "softmax" else np.zeros(2)
        self._scale = excess * lag_noise(setting, noise) / np.where(start > 0, start, 1.0)

    def gradient(self, point: Array, step: int = 0) -> Gradient:
        found = self.base.gradient(point, step)
        variance = np.zeros(len(point))
        # A linear family has no read-out: its one matrix is the match.
        readout = point[2] - point[3] if self.layout.lags.start == 4 else 1.0
        variance[: self.layout.lags.start] = self._matrices
        variance[:2] *= readout**2
        factor = (point[0] - point[1]) * readout
        variance[self.layout.lags] = factor**2 * self._scale * noise_profile(point[self.layout.lags])
        return Gradient(found.loss, found.derivative, variance)

    def near(self, point: Array) -> Array:
        """The point with `TRACKED` lags, the others at zero, where their mean weight puts them: a common shift changes nothing."""
        matrices, lag_logits = point[: self.layout.lags.start], point[self.layout.lags]
        common = np.log(np.exp(lag_logits[TRACKED:]).mean())
        return np.concatenate([matrices, lag_logits[:TRACKED] - common])

    def measure(self, point: Array) -> Measurement:
        """At finite context but for the attention, which knows every lag."""
        found = self._corrected.measure(self.near(point))
        attention = last_attention(point[self.layout.lags], self.setting.context)[None]
        return Measurement(found.loss, found.distances, attention)


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


def matrix_noise(setting: Setting, generator: np.random.Generator, *, count: int = COUNT) -> Array:
    """Variance over sequences of ∂(-L)/∂ of one entry of W on the diagonal and off it (softmax: per μ²), and of U likewise, shape (2,) or (4,);
    at v = 0 on the plateau, the next token sampled."""
    states, context = setting.states, setting.context
    readout, match = _plateau(setting, generator)
    linear, each = setting.family == "linear", np.arange(count)
    # Of every entry W[i, j], and of U[j, l].
    own, held = np.zeros((1 if linear else 2, count, states, states)), None
    for t, now, counts, _, sums in walk_whole(setting.prior, context + 1, count, generator, ()):
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
        finite_plateaus(setting, seed),
        ASSUMPTIONS,
        (
            f"neglects terms of relative order ln²T/T = {np.log(setting.context) ** 2 / setting.context:.2g}; how far it was off finite context elsewhere: suite corrections",
            "predicts the head where `theory.laws.basins.escapes` does; the softmax family below T of about 16 may be trapped instead",
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
