r"""Population loss and gradient of both toy families at finite context, in reduced coordinates.

Nothing is neglected but sampling error: sequences are drawn, every position t ≤ T and every one of the T lag logits is
kept, and W = ωI + c·11ᵀ, U = μI + d·11ᵀ as `theory.dynamics` explains. With 1[·] the indicator,

    z_s[i] = Σ_r a_{s,r} 1[x_{s-r} = i],    a_{s,r} = e^{v_r} / Σ_{r'<s} e^{v_r'},
    linear    f_t[j] = Σ_{s≤t} (ω z_s[x_t] + c) 1[x_s = j]
    softmax   f_t[j] = μ S_t[x_t, j] / Σ_l S_t[x_t, l] + d,    S_t[i, j] = Σ_{s≤t} e^{ω z_s[i]} 1[x_s = j].

Scores depend on t only through x_t, so running sums replace the T × T scores: O(Tk²) per sequence, and T²/2 additions for z
and for the gradient by v, laid out as contiguous sums. Each chunk of sequences adds up in order, and chunks are added in
order, so numbers do not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from simulate.sequences import Sample, Tokens, next_rows, sample
from simulate.strategies import predict
from theory import arguments
from theory.chains import Array, entropy
from theory.dynamics import Gradient, Layout, Measurement
from theory.setting import Setting
from theory.transitions import STRATEGIES

__all__ = ["FiniteContext", "log_predictions", "loss_and_gradient"]

CHUNK = 16
SERIAL = 2048
"""Below so many tokens a gradient (some 100 ns a token) uses one thread: on a shared machine threads may wait milliseconds for each other."""


class FiniteContext:
    """The dynamics of a toy family at its actual context, for `theory.dynamics.descend`.

    Each step draws `count` fresh sequences, so the error of a trajectory falls with all that were drawn along it;
    distances are measured on `held_out` sequences that stay the same.

    Parameters
    ----------
    setting : Setting
        Of the linear or the softmax family.
    count, held_out : int
        Sequences per gradient and per measurement.
    seed : int
        The same seed gives the same numbers, whatever the number of threads.
    """

    def __init__(self, setting: Setting, *, count: int = 512, held_out: int = 512, seed: int = 0) -> None:
        arguments.one_of("family of a finite-context prediction", setting.family, ("linear", "softmax"))
        self.setting = setting
        self.layout = Layout.of(setting, setting.context)
        self._count = arguments.integer("count", count, least=2)
        self._noisy = setting.optimizer.name != "sgd"
        self._stream, fixed = np.random.default_rng(seed).spawn(2)
        self._held_out = sample(setting, arguments.integer("held_out", held_out, least=1), fixed)
        laws = {s: predict(self._held_out.tokens, setting.states, s, setting.prior.pseudo_count) for s in STRATEGIES}
        self._laws = {name: (law, float(entropy(law).mean())) for name, law in laws.items()}
        self._rows = next_rows(self._held_out)

    def gradient(self, point: Array, step: int = 0) -> Gradient:
        """Loss and gradient at `point` on fresh sequences. Under Adam also the variance of one sequence's gradient, for which
        the sampled next token is the target, as in training; otherwise the next token is averaged out."""
        drawn = sample(self.setting, self._count, self._stream)
        return loss_and_gradient(self.setting, point, drawn, sampled=self._noisy, variance=self._noisy)

    def measure(self, point: Array) -> Measurement:
        model = log_predictions(self.setting, point, self._held_out.tokens)
        loss = -float(np.einsum("ntj,ntj->", self._rows, model)) / model[..., 0].size
        distances = {
            name: -float(np.einsum("ntj,ntj->", law, model)) / model[..., 0].size - own
            for name, (law, own) in self._laws.items()
        }
        weight = np.exp(point[self.layout.lags])
        return Measurement(loss, distances, weight / weight.sum())


def loss_and_gradient(
    setting: Setting, point: Array, drawn: Sample, *, sampled: bool = False, variance: bool = False
) -> Gradient:
    """Mean loss over the sequences and positions of `drawn` and its derivative by the coordinates `point` (layout with T lags).

    Parameters
    ----------
    setting : Setting
    point : array, shape (n,)
    drawn : Sample
    sampled : bool
        Whether the target is the sampled next token rather than its law.
    variance : bool
        Whether to estimate the variance over sequences of one entry's gradient.
    """
    tokens = drawn.tokens
    count, length = tokens.shape
    k = setting.states
    softmax = setting.family == "softmax"
    matrices = 2 * k * k if softmax else k * k
    chunks = -(-count // CHUNK)
    loss = np.zeros(chunks)
    first = np.zeros((chunks, matrices + length - 1))
    second = np.zeros_like(first) if variance else np.zeros((chunks, 0))
    gradient = _gradient if count * length > SERIAL else _gradient_serial
    gradient(tokens, drawn.transition, sampled, softmax, *_unpacked(setting, point), loss, first, second)
    derivative = _to_orbits(first.sum(axis=0) / count, k, matrices)
    if not variance:
        return Gradient(float(loss.sum() / count), derivative)
    entries = Layout.of(setting, length - 1).entries
    square = _to_orbits(second.sum(axis=0) / count, k, matrices) / entries
    noise = np.maximum(square - (derivative / entries) ** 2, 0.0) * count / (count - 1)
    return Gradient(float(loss.sum() / count), derivative, noise)


def log_predictions(setting: Setting, point: Array, tokens: Tokens) -> Array:
    """ln of the model's predictive distributions at `point`, shape (n, T, k)."""
    out = np.empty((len(tokens), tokens.shape[1] - 1, setting.states))
    _log_predictions(tokens, setting.family == "softmax", *_unpacked(setting, point), out)
    return out


def _unpacked(setting: Setting, point: Array) -> tuple[float, float, float, Array, Array]:
    """ω, c, μ, the lag weights e^{v_r} up to a common factor, and their running sum."""
    diagonal, off_diagonal = point[:2]
    mu = point[2] - point[3] if setting.family == "softmax" else 0.0
    lag_logits = point[4:] if setting.family == "softmax" else point[2:]
    weight = np.exp(lag_logits - lag_logits.max())
    return diagonal - off_diagonal, off_diagonal, mu, weight, weight.cumsum()


def _to_orbits(entries: Array, states: int, matrices: int) -> Array:
    """Sum over the entries of each orbit: diagonal and off-diagonal of each matrix, then the lags as they are."""
    blocks = entries[:matrices].reshape(-1, states, states)
    diagonal = np.trace(blocks, axis1=1, axis2=2)
    return np.concatenate(
        [np.stack([diagonal, blocks.sum(axis=(1, 2)) - diagonal], axis=1).ravel(), entries[matrices:]]
    )


@njit(cache=True)
def _first_layer(tokens, weight, normaliser, z):
    """z[i, s]: share of layer-1 attention of source s that falls on symbol i."""
    states, positions = z.shape
    z[:] = 0.0
    for origin in range(positions):
        row = z[tokens[origin]]
        for lag in range(positions - origin):
            row[origin + lag] += weight[lag]
    for s in range(positions):
        for i in range(states):
            z[i, s] /= normaliser[s]


@njit(cache=True)
def _forward(tokens, z, softmax, omega, c, mu, model, log_model, read, mass):
    """Predictive distributions and their logarithms (T, k); for softmax also what layer 2 reads (T, k) and its normaliser (T,)."""
    states, positions = z.shape
    sums = np.zeros((states, states))
    counts = np.zeros(states)
    highest_score = max(omega, 0.0)
    for t in range(positions):
        x = tokens[t]
        if softmax:
            for i in range(states):
                sums[i, x] += np.exp(omega * z[i, t] - highest_score)
            total = 0.0
            for j in range(states):
                total += sums[x, j]
            mass[t] = total
            scale = 1 / total
            for j in range(states):
                read[t, j] = sums[x, j] * scale
                log_model[t, j] = mu * read[t, j]
        else:
            counts[x] += 1
            for i in range(states):
                sums[i, x] += z[i, t]
            for j in range(states):
                log_model[t, j] = omega * sums[x, j] + c * counts[j]
        highest = log_model[t, 0]
        for j in range(1, states):
            highest = max(highest, log_model[t, j])
        total = 0.0
        for j in range(states):
            log_model[t, j] -= highest
            likelihood = np.exp(log_model[t, j])
            model[t, j] = likelihood
            total += likelihood
        scale, shift = 1 / total, np.log(total)
        for j in range(states):
            model[t, j] *= scale
            log_model[t, j] -= shift


@njit(cache=True, parallel=True)
def _log_predictions(tokens, softmax, omega, c, mu, weight, normaliser, out):
    count, positions, states = out.shape
    for n in prange(count):
        z = np.empty((states, positions))
        model, read = np.empty((positions, states)), np.empty((positions, states))
        _first_layer(tokens[n], weight, normaliser, z)
        _forward(tokens[n], z, softmax, omega, c, mu, model, out[n], read, np.empty(positions))


@njit(cache=True, parallel=True)
def _gradient(tokens, transition, sampled, softmax, omega, c, mu, weight, normaliser, loss, first, second):
    for chunk in prange(len(loss)):
        _add_chunk(chunk, tokens, transition, sampled, softmax, omega, c, mu, weight, normaliser, loss, first, second)


@njit(cache=True)
def _gradient_serial(tokens, transition, sampled, softmax, omega, c, mu, weight, normaliser, loss, first, second):
    for chunk in range(len(loss)):
        _add_chunk(chunk, tokens, transition, sampled, softmax, omega, c, mu, weight, normaliser, loss, first, second)


@njit(cache=True)
def _add_chunk(chunk, tokens, transition, sampled, softmax, omega, c, mu, weight, normaliser, loss, first, second):
    """Add the loss, gradient and squared gradient of each sequence of a chunk to the chunk's sums."""
    count, positions = tokens.shape[0], tokens.shape[1] - 1
    states = transition.shape[1]
    z, by_z = np.empty((states, positions)), np.empty((states, positions))
    model, log_model, read = np.empty((positions, states)), np.empty((positions, states)), np.empty((positions, states))
    mass, own = np.empty(positions), np.empty(first.shape[1])
    for n in range(chunk * CHUNK, min((chunk + 1) * CHUNK, count)):
        _first_layer(tokens[n], weight, normaliser, z)
        _forward(tokens[n], z, softmax, omega, c, mu, model, log_model, read, mass)
        total, share = 0.0, 1 / positions
        for t in range(positions):
            for j in range(states):
                target = (1.0 if tokens[n, t + 1] == j else 0.0) if sampled else transition[n, tokens[n, t], j]
                total -= target * log_model[t, j]
                model[t, j] = (model[t, j] - target) * share
        loss[chunk] += total / positions
        own[:] = 0.0
        _backward(tokens[n], z, softmax, omega, mu, weight, normaliser, model, read, mass, by_z, own)
        for p in range(len(own)):
            first[chunk, p] += own[p]
        if second.shape[1]:
            for p in range(len(own)):
                second[chunk, p] += own[p] ** 2


@njit(cache=True)
def _backward(tokens, z, softmax, omega, mu, weight, normaliser, by_logit, read, mass, by_z, own):
    """Gradient of one sequence by every entry of W, of U (softmax) and every lag logit, from ∂L/∂f (T, k)."""
    states, positions = z.shape
    by_match = own[: states * states].reshape(states, states)
    by_readout = own[len(own) - positions - states * states : len(own) - positions].reshape(states, states)
    by_lag = own[len(own) - positions :]
    sums = np.zeros((states, states))
    mean = 0.0
    for s in range(positions - 1, -1, -1):
        x = tokens[s]
        if softmax:
            inner = 0.0
            for j in range(states):
                inner += by_logit[s, j] * read[s, j]
                for i in range(states):
                    by_readout[i, j] += read[s, i] * by_logit[s, j]
            scale = mu / mass[s]
            for j in range(states):
                sums[x, j] += scale * (by_logit[s, j] - inner)
        else:
            for j in range(states):
                sums[x, j] += by_logit[s, j]
        inner, scale = 0.0, omega / normaliser[s]
        for i in range(states):
            by_score = sums[i, x]
            if softmax:
                by_score *= np.exp(omega * z[i, s] - max(omega, 0.0))
            for b in range(states):
                by_match[i, b] += by_score * z[b, s]
            slope = by_score * scale
            by_z[i, s] = slope
            inner += slope * z[i, s]
        mean += inner
        by_lag[s] = -mean
    for origin in range(positions):
        row = by_z[tokens[origin]]
        for lag in range(positions - origin):
            by_lag[lag] += row[origin + lag]
    for lag in range(positions):
        by_lag[lag] *= weight[lag]
