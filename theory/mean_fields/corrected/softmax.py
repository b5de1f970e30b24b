r"""The corrected mean field of the softmax family: the weight G_s of a source, and logits from the sums S."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy

import numpy as np

from onset.theory.arrays import Array
from onset.theory.dynamics.layout import Layout
from onset.theory.markov.expectations import has_product_rule, nearest_weights, nodes
from onset.theory.mean_fields.base import LAGS, signals
from onset.theory.mean_fields.corrected.base import Corrected, EarlyPullback, Link, Pullback
from onset.theory.mean_fields.corrected.counts import Counts
from onset.theory.mean_fields.corrected.moments import Moments
from onset.theory.models import FAMILIES

__all__ = ["SoftmaxCorrected"]

LARGE = 16
"""Size of the rule that matrices are drawn from, relative to their number; each costs a recursion along the context."""

CHAINS_TOGETHER = 256
"""Chains evaluated together when matrices are chosen."""

RARE = 1e-12
"""Frequency of a state at some lag below which it does not count there."""


class SoftmaxCorrected(Corrected):
    r"""The softmax family, G_s = e^{ω z_s} up to a common factor and f = μ S/|S| + d.

    With η = ω/normaliser, what the tracked lags of a source contribute to E[G_s | x_s = b] is a product along the
    reversed chain, as in `onset.theory.mean_fields.softmax`, begun with the background N' of the lags r ≥ R: E e^{ηN'}
    ≈ exp(η E N' + ½ η² Var N'), given x_{s-R+1}. The ratio's second-order bias and covariance are divided by 1 +
    Var|S|/(E|S|)², which keeps them bounded where a few sources take all the attention. The slopes are η g_s for N, and
    κ g_s/(1 + κ E[1(x_{s-r} = 0) | x_s]), κ = e^{η(e^{v_r} - 1)} - 1, for a followed lag r.
    """

    family, more_per_state = "softmax", 24

    def remember(self, transition: Array) -> None:
        super().remember(transition)
        memory = self.memory
        reach = slice(None, self.task.context - len(memory.back) + 1)
        self._mean = memory.mean
        self._background = memory.expected()[reach], memory.variance()[reach]
        self.counts = Counts.of(memory)
        self.skewness = self.counts.third / self.at[:, None, None, None] ** 2

    def chosen(self, count: int, generator: np.random.Generator | None) -> tuple[Array, Array]:
        """At most `count` matrices; for k > 2 chosen by how much they contribute to a few functions.

        Before the head has formed the match's gradient is a small difference, most of it from few chains that mix
        slowly. So matrices are drawn out of a rule `LARGE` times as large, by systematic sampling, each with
        probability proportional to its weight times √(1 + its functions' mean square), in units of their own mean
        squares (Madow, Ann. Math. Stat. 20 (1949), 333-354). Their weights are then changed as little as possible until
        they integrate these functions as the large rule does (`onset.theory.markov.expectations.calibrated_nodes`).
        """
        if has_product_rule(self.task.prior):
            return super().chosen(count, generator)
        generator = np.random.default_rng(0) if generator is None else generator
        matrices, weights = nodes(self.task.prior, LARGE * count, generator)
        values = self._functions(matrices)
        size = np.sqrt(weights @ values**2)
        values = values[:, size > 0] / size[size > 0]
        chance = weights * np.sqrt(1 + (values**2).mean(axis=1))
        drawn = (np.arange(count) + generator.random()) / count * chance.sum()
        chosen, times = np.unique(np.minimum(chance.cumsum().searchsorted(drawn), len(weights) - 1), return_counts=True)
        few = times * weights[chosen] / chance[chosen]
        off = values - weights @ values
        off = off[:, np.abs(off).max(axis=0) > 0]
        return matrices[chosen], nearest_weights(few / few.sum(), (off / np.abs(off).max(axis=0))[chosen])

    def _functions(self, transition: Array) -> Array:
        """Functions that few matrices must integrate as many do, shape (n, m).

        Signals, and how the loss beyond the early positions changes with match, readout and lag 1, on the way to the
        plateau and with the match grown.
        """
        rough = copy(self)
        rough.followed, rough.lags = 1, 2
        rough.layout = Layout.of(self.task, FAMILIES[self.family].initialization, rough.lags)
        # To first order about uniform frequencies 1/k, μ = k reads them as logarithms.
        match, level, lag = np.zeros((3, len(rough.layout.names)))
        match[0], level[2], lag[-1] = 1.0, self.task.states, 1.0
        contributions = []
        for part in np.array_split(transition, -(-len(transition) // CHAINS_TOGETHER)):
            rough.remember(part)
            moved = [
                rough.losses(start + unit / 4) - rough.losses(start - unit / 4)
                for start in (level, level + match)
                for unit in (match, level, lag)
            ]
            contributions.append(np.stack(moved, axis=1))
        return np.concatenate([signals(transition, LAGS), np.concatenate(contributions)], axis=1)

    def source(self, point: Array) -> tuple[Array, Pullback]:
        memory, omega = self.memory, point[0] - point[1]
        excess, inverse, by_lag_logits = self.normaliser(point)
        eta, lags = omega * inverse, len(excess)
        mean, variance = self._background
        late = eta[lags - 1 :, None, None]
        level = np.zeros((len(eta), *memory.law.shape))
        level[lags - 1 :] = late * mean + late**2 / 2 * variance
        # A common factor does not matter, so that its derivative is left out.
        start = np.exp(level - max(omega, 0.0))
        # Row r from source r on; the sources before have no such lag, and a normaliser without it.
        earlier, level, factor = [], start.copy(), np.exp(np.triu(eta * (1 + excess[:, None])))[..., None]
        for r in reversed(range(lags)):
            earlier.append(level[r:, 0].copy())
            level[r:, 0] *= factor[r, r:]
            if r > 0:
                level = np.einsum("ban,san->sbn", memory.reversed, level)
        rate, by_raised = self._rates(eta, excess)
        weights = np.empty((1 + len(rate), *level.shape))
        lacking = 1 - np.einsum("xsbn,xsbn->sbn", rate, self._mean[1:])
        weights[0], weights[1:] = level * lacking, rate * level

        def pullback(by_w: Array) -> Array:
            by_level = by_w[0] * lacking + np.einsum("xsbn,xsbn->sbn", by_w[1:], rate)
            by_rate = level * (by_w[1:] - by_w[0] * self._mean[1:])
            by_eta, by_excess = by_rate[0].sum(axis=(1, 2)), np.zeros(lags)
            for r, slope in enumerate(by_raised, start=1):
                by_product = np.einsum("sbn,sbn->s", by_rate[r], slope)
                by_eta += by_product * excess[r]
                by_excess[r] += by_product @ eta
            for r in range(lags):
                if r > 0:
                    by_level = np.einsum("ban,sbn->san", memory.reversed, by_level)
                by_product = np.einsum("sn,sn->s", by_level[r:, 0], earlier[lags - 1 - r]) * factor[r, r:, 0]
                by_eta[r:] += by_product * (1 + excess[r])
                by_excess[r] += by_product @ eta[r:]
                by_level[r:, 0] *= factor[r, r:]
            by_start = by_level[lags - 1 :] * start[lags - 1 :]
            by_eta[lags - 1 :] += (by_start * (mean + late * variance)).sum(axis=(1, 2))
            by_omega = float(by_eta @ inverse)
            return np.array([by_omega, -by_omega, *by_lag_logits(by_excess, omega * by_eta)])

        return weights, pullback

    def _rates(self, eta: Array, excess: Array) -> tuple[Array, list[Array]]:
        """∂ ln g_s by N and each followed lag, shape (F, T, k, n), and the latter's derivatives by η (e^{v_r} - 1)."""
        rate = np.empty_like(self._mean[1:])
        rate[0] = eta[:, None, None]
        derivative = []
        for r in range(1, len(rate)):
            raised = (eta * excess[r])[:, None, None]
            # Whichever sign the exponent has, the exponential is below one.
            low = np.expm1(-np.abs(raised))
            held = np.where(raised > 0, 1 - self._mean[1 + r], self._mean[1 + r])
            bottom = 1 + low * np.minimum(held, 1 - RARE)
            rate[r] = np.where(raised > 0, -low, low) / bottom
            derivative.append((1 + low) / bottom**2)
        return rate, derivative

    def early_logits(self, attention: Array, point: Array) -> tuple[Array, EarlyPullback]:
        omega, mu, held = point[0] - point[1], point[2] - point[3], self.early.held
        weight = np.exp(omega * attention - max(omega, 0.0))
        summed = (weight[:, None, :] @ held)[:, 0]
        total = summed.sum(axis=1, keepdims=True)
        read = summed / total

        def pullback(by_logits: Array) -> tuple[Array, Array]:
            by_mu = (by_logits * read).sum(axis=1, keepdims=True)
            by_exponent = weight * (held @ (mu * (by_logits - by_mu) / total)[..., None])[..., 0]
            by_omega, by_mu = float((by_exponent * attention).sum()), float(by_mu.sum())
            return omega * by_exponent, np.array([by_omega, -by_omega, by_mu, -by_mu])

        return mu * read, pullback

    def link(self, moments: Moments, point: Array) -> Link:
        mu = point[2] - point[3]
        total = moments.mean.sum(axis=-1)[..., None]
        read = moments.mean / total
        scaled = moments.covariance / total[..., None] ** 2
        along = scaled.sum(axis=-1)
        spread = along.sum(axis=-1)[..., None]
        damp = 1 / (1 + spread)
        bias = read * spread - along
        mean = read + damp * bias
        outer = read[..., :, None] * along[..., None, :]
        square = read[..., :, None] * read[..., None, :]
        tilt, by_tilt_entry = self.tilt(moments, total[..., 0])
        bare = scaled - outer - outer.swapaxes(-1, -2) + spread[..., None] * square
        bare -= 2 * tilt[..., None, None] * self.skewness
        covariance = damp[..., None] * bare

        def adjoint(by_m: Array, by_k: Array) -> tuple[Array, Array]:
            by_mu = float((by_m * mean).sum() + 2 * mu * (by_k * covariance).sum())
            by_m, by_k = mu * by_m, mu**2 * by_k
            by_damp = (by_m * bias).sum(axis=-1) + (by_k * bare).sum(axis=(-1, -2))
            by_bias, by_k = damp * by_m, damp[..., None] * by_k
            read_k = (by_k @ read[..., None])[..., 0]
            by_spread = (by_bias * read + read * read_k).sum(axis=-1) - damp[..., 0] ** 2 * by_damp
            by_along = -by_bias - 2 * read_k
            by_read = by_m + by_bias * spread - 2 * (by_k @ along[..., None])[..., 0] + 2 * spread * read_k
            by_scaled = by_k + by_spread[..., None, None]
            by_scaled = by_scaled + (by_along[..., :, None] + by_along[..., None, :]) / 2
            by_total = -(by_read * read).sum(axis=-1) - 2 * (by_scaled * scaled).sum(axis=(-1, -2))
            by_tilted, by_entry = by_tilt_entry(-2 * (by_k * self.skewness).sum(axis=(-1, -2)))
            by_mean = (by_read + by_total[..., None]) / total + by_tilted[..., None]
            return moments.pullback(by_mean, by_scaled / total[..., None] ** 2, by_entry), np.array([by_mu, -by_mu])

        return Link(mu * mean, mu**2 * covariance, adjoint)

    def tilt(self, moments: Moments, total: Array) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
        """β/E|S| (positions, n), and the map from the derivative by it to those by mean and entry of the moments."""
        counts, ahead = self.counts, self.memory.ahead
        steady = np.maximum(counts.variance, RARE)
        entry = moments.entry[:2].transpose(0, 3, 2, 1)[..., None]
        joint = (counts.later @ entry[0] + ahead @ entry[1]).sum(axis=1)[..., 0].T
        tilt = (joint / total - counts.mean) / steady

        def pullback(by_tilt: Array) -> tuple[Array, Array]:
            by_joint = by_tilt / (steady * total)
            by_entry = np.zeros_like(moments.entry)
            column = by_joint.T[:, None, :, None]
            by_entry[0] = (counts.later.swapaxes(-1, -2) @ column)[..., 0].transpose(2, 1, 0)
            by_entry[1] = (ahead.swapaxes(-1, -2) @ column)[..., 0].transpose(2, 1, 0)
            return -by_joint * joint / total, by_entry

        return tilt, pullback

    def with_counts(self, moments: Moments, cross: Array, point: Array) -> Array:
        total = moments.mean.sum(axis=-1)[..., None]
        # Counts sum to t, so Σ_l Cov(S_j, N_l) = 0.
        same, all_sources = np.einsum("gnjj->gnj", cross) / 2, cross.sum(axis=-1)
        return (point[2] - point[3]) * (same - moments.mean / total * all_sources) / total
