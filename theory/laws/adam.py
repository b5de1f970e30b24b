r"""How long Adam waits on the unigram plateau: the corrected mean field, every lag, and the noise of mini-batches.

A mini-batch's gradient ĝ has E ĝ² = g² + Var/B, which Adam's second moment follows. Lag 1 has a signal-to-noise ratio
of several and climbs by η per step; the lags that nothing drives up have ratios around one and fall, each by η g/√(g² +
Var/B). The head forms when lag 1 has outgrown them all: a mean field that leaves untracked lags at their start is late,
one that tracks them without noise is early.

Drives of the matrices and of the first lags, and the curves, are those of `onset.theory.mean_fields.corrected`, the
further lags sharing one weight: fluctuations of counts weigh on the match (without them it overshoots its plateau, at
k = 4 fourfold) and on neighbouring lags. The gain of the first lags is the loss of the others, each in proportion to

    Σ_{s>r} a_{s,r} A_s (T + 1 - s)/T,

A_s being the attention that source s gives the first lags. Variances over sequences are sampled at v = 0: on the
plateau, of W's entries in the linear family and of lag logits, per ω² (softmax: and μ²); on the way there, of U's
entries and W's per μ² in the softmax family, whose head forms long before μ has reached its plateau. Away from v = 0
those of lag logits follow

    Var_r ∝ Σ_{s>r} [a_{s,r} (1 - a_{s,r})]² (T + 1 - s)/T.

Both are expressions of `onset.theory.derivations.adam_law`, which also has the law's closed form for one untouched lag:
a head after between ln(T)/(2η) and ln(T)/η steps. The suite `corrections` (`paper/results/corrections.json`) compares
it with finite context.
"""

from __future__ import annotations

from itertools import islice

import numpy as np
from scipy.special import softmax

from onset.theory import randomness
from onset.theory.arrays import Array
from onset.theory.derivations.adam_law import profiles
from onset.theory.dynamics.descent import descend
from onset.theory.dynamics.layout import Gradient, Layout, last_attention
from onset.theory.laws.law import Law
from onset.theory.laws.plateau import plateau
from onset.theory.laws.sampling import best_readout, positions, relative
from onset.theory.mean_fields.base import LAGS
from onset.theory.mean_fields.corrected.predict import CORRECTED
from onset.theory.prediction import Prediction
from onset.theory.recording import Measurement, Progress, no_progress
from onset.theory.setting import Setting

__all__ = ["LAW", "NoisyMeanField", "lag_noise", "matrix_noise", "plateau_point", "predict"]

SEQUENCES = 1024
"""Sequences n behind the variances, each known to √(2/n) = 4%, and its root to 2%."""

PRIOR_NODES = 64
"""Matrices that stand for the prior."""

CLOSE_LAGS = 4
"""Number of first lags that are all sampled; beyond, lags by factors of about √2, and powers of r between them."""

LONGEST_CONTEXT = 1024
"""Longest context, every lag being followed: memory and time grow like T²."""

READOUTS = (0.0, 0.5, 1.0)
"""Read-outs of the softmax family at which variances of matrices are sampled, in units of the plateau's."""

NOISE_LEVELS = (1.0, 0.0, 2.0)
"""Multiples of the variance of the prediction, and of the earliest and the latest that noise may make it."""

ASSUMPTIONS = (
    f"corrected mean field, {LAGS} lags told apart; the others, driven by what those gain alone",
    "Adam with its expected second moment E g² + Var/B",
    "variances sampled at v = 0; those of lag logits then followed by their profile over sources",
    "prior and initialisation exchangeable",
)


def predict(setting: Setting, *, seed: int = 0, progress: Progress = no_progress) -> Prediction:
    """Predict a run under Adam.

    The size of what the law knows of noise only approximately is that of noise itself: the interval reaches from none,
    where every lag moves by its rate, to twice the variance.

    Parameters
    ----------
    setting : Setting
        Of the linear or the softmax family, under Adam.

    Raises
    ------
    ValueError
        If the context is too long for every lag to be followed, or has fewer than 3 tokens.
    """
    context = setting.task.context
    if not 3 <= context <= LONGEST_CONTEXT:
        raise ValueError(
            f"context = {context}: expected 3 … {LONGEST_CONTEXT} for the Adam law, which follows every lag; use the "
            "mean field or the finite context."
        )
    trajectories = []
    for done, excess in enumerate(NOISE_LEVELS, start=1):
        trajectories.append(descend(NoisyMeanField(setting, excess=excess, seed=seed), setting.training))
        progress(done, len(NOISE_LEVELS))
    validity = (
        f"neglects terms of relative order ln²T/T = {np.log(context) ** 2 / context:.2g}; how far it was off finite "
        "context elsewhere: suite corrections",
        "predicts the head where `onset.theory.laws.basins.escapes` does; the softmax family below T of about 16 may "
        "be trapped instead",
    )
    losses = setting.task.expected_losses(seed=seed)
    predicted, *bounds = trajectories
    neglected = {"noise away from the plateau": tuple(bounds)}
    return Prediction(setting, "law", (predicted,), losses, ASSUMPTIONS, validity, neglected)


LAW = Law(predict, ASSUMPTIONS, f"a context of 3 to {LONGEST_CONTEXT}; a plateau that leads to an induction head")


class NoisyMeanField:
    """The corrected mean field with all T lags and the variance of its gradients; a dynamics for `descend`.

    Parameters
    ----------
    setting : Setting
        Of a toy family.
    excess : float
        Multiplies the variances; 0 leaves the mean field alone.
    seed : int
    """

    def __init__(self, setting: Setting, *, excess: float = 1.0, seed: int = 0) -> None:
        nodes, noise, matrices = randomness.generator(seed).spawn(3)
        context = setting.task.context
        self.context, self.layout = context, Layout.of(setting.task, setting.model.initialization, context)
        self.tracked = min(LAGS, context - 1)
        self.base = CORRECTED[setting.model.family].of(setting, lags=self.tracked, count=PRIOR_NODES, generator=nodes)
        start, _ = profiles(np.zeros(context), self.tracked)
        self._readouts, noise_at = matrix_noise(setting, matrices)
        self._matrix_noise = excess * noise_at
        self._lag_noise = excess * lag_noise(setting, noise) / start

    def gradient(self, point: Array, step: int = 0) -> Gradient:
        first, lag_logits = self.layout.lags.start, point[self.layout.lags]
        noise, given = profiles(lag_logits, self.tracked)
        near = self.base.gradient(self._near(point, given), step)
        # A common shift of all lag logits changes nothing.
        gained = near.derivative[first:].sum()
        derivative = np.concatenate([near.derivative, -gained * given / given.sum()])
        readout = point[2] - point[3] if "readout" in self.layout.groups else 1.0
        variance = np.zeros(len(point))
        variance[:first] = [np.interp(readout, self._readouts, values) for values in self._matrix_noise.T]
        variance[:2] *= readout**2
        match = (point[0] - point[1]) * readout
        variance[first:] = match**2 * self._lag_noise * noise
        return Gradient(near.loss, derivative, variance)

    def near(self, point: Array) -> Array:
        """The point with the first lags, the others at zero by a common shift, which changes nothing.

        The shift is such that, to first order, sources together give the first lags the same attention as before.
        """
        return self._near(point, profiles(point[self.layout.lags], self.tracked)[1])

    def _near(self, point: Array, given: Array) -> Array:
        matrices, lag_logits = point[: self.layout.lags.start], point[self.layout.lags]
        common = np.log(given.sum() / (given * np.exp(-lag_logits[self.tracked :])).sum())
        return np.concatenate([matrices, lag_logits[: self.tracked] - common])

    def measure(self, point: Array) -> Measurement:
        """Measure at finite context, with the attention of all lags."""
        near = self.base.measure(self.near(point))
        return Measurement(near.loss, near.distances, last_attention(point[self.layout.lags], self.context)[None])


def lag_noise(setting: Setting, generator: np.random.Generator, *, count: int = SEQUENCES) -> Array:
    """Variance over sequences of ∂(-L)/∂v_r per ω² (softmax: and μ²) at v = 0 on the plateau, shape (T,).

    The next token is sampled.
    """
    context = setting.task.context
    spaced = np.round(2 ** np.arange(2, np.log2(context), 0.5)).astype(int)
    lags = [int(r) for r in sorted({*range(min(CLOSE_LAGS, context)), *np.unique(spaced)}) if r < context - 1]
    readout, match = plateau_point(setting, generator)
    slopes = np.zeros((len(lags), count))
    for p in islice(positions(setting.task.prior, context + 1, count, generator, lags), context):
        if setting.model.family == "linear":
            law, rises = softmax(readout * p.counts + match * p.sums[0], axis=-1), p.sums[1:]
        else:
            law, rises = softmax(readout * p.counts / p.t, axis=-1), relative(p.sums[1:], p.counts, p.t)
        slopes += ((p.next_token - law) * rises).sum(axis=2) / context
    log_variance = np.log(slopes.var(axis=1, ddof=1))
    return np.exp(np.interp(np.log1p(np.arange(context)), np.log1p(lags), log_variance))


def matrix_noise(setting: Setting, generator: np.random.Generator, *, count: int = SEQUENCES) -> tuple[Array, Array]:
    """Variances over sequences of ∂(-L)/∂ of one entry of W on the diagonal and off it, at v = 0, by read-out.

    The next token is sampled.

    Returns
    -------
    readouts : array, shape (n,)
        Linear family: c of the plateau alone. Softmax: μ, `READOUTS` times the plateau's.
    variances : array, shape (n, 2) or (n, 4)
        Softmax: of W per μ², and of U likewise.
    """
    states, context = setting.task.states, setting.task.context
    best, match = plateau_point(setting, generator)
    linear, sequence = setting.model.family == "linear", np.arange(count)
    readouts = np.array([best]) if linear else best * np.array(READOUTS)
    # Slopes by every entry W[i, j], and U[j, l].
    slopes = np.zeros((len(readouts), 1 if linear else 2, count, states, states))
    for p in islice(positions(setting.task.prior, context + 1, count, generator), context):
        if linear:
            rises = p.all_sums[0]
        else:
            by_query = [relative(p.all_sums[:1, :, i], p.counts, p.t)[0] for i in range(states)]
            rises = np.stack(by_query, axis=1)
        for readout, slope in zip(readouts, slopes, strict=True):
            logits = readout * p.counts + match * p.sums[0] if linear else readout * p.counts / p.t
            residual = (p.next_token - softmax(logits, axis=-1))[:, None, :]
            slope[0, sequence, p.token] += (rises * residual).sum(axis=2) / context
            if not linear:
                slope[1] += (p.counts / p.t)[:, :, None] * residual / context
    spread = slopes.var(axis=2, ddof=1)
    diagonal = np.eye(states, dtype=bool)
    by_orbit = [
        variance[:, where].mean(axis=1) for variance in spread.swapaxes(0, 1) for where in (diagonal, ~diagonal)
    ]
    return readouts, np.stack(by_orbit, axis=1)


def plateau_point(setting: Setting, generator: np.random.Generator) -> tuple[float, float]:
    """Read-out (c or μ) and match ω on the plateau."""
    prior, context = setting.task.prior, setting.task.context
    if setting.model.family == "linear":
        scale, match = plateau(prior).match / context
        return float(scale), float(match)
    return best_readout(prior, context, generator, shares=True), 0.0
