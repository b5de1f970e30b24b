r"""Population loss and gradient of both toy families at finite context, in reduced coordinates.

Nothing is neglected but sampling error: sequences are drawn, every position t ≤ T and every one of the T lag logits is
kept, and W = ωI + c·11ᵀ, U = μI + d·11ᵀ as `onset.theory.dynamics` explains. With 1[·] the indicator,

    z_s[i] = Σ_r a_{s,r} 1[x_{s-r} = i],    a_{s,r} = e^{v_r} / Σ_{r'<s} e^{v_r'},
    linear    f_t[j] = Σ_{s≤t} (ω z_s[x_t] + c) 1[x_s = j]
    softmax   f_t[j] = μ S_t[x_t, j] / Σ_l S_t[x_t, l] + d,    S_t[i, j] = Σ_{s≤t} e^{ω z_s[i]} 1[x_s = j].

`onset.simulate.finite_context.kernels` does the arithmetic, in O(T²) additions per sequence. For chains of order n > 2
there are n - 1 heads, and the query of head h is the output of head h - 1, see
`onset.simulate.finite_context.ngram_kernels`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from onset.simulate.finite_context import kernels, ngram_kernels
from onset.simulate.finite_context.kernels import CHUNK, Model
from onset.simulate.strategies.ngrams import predict
from onset.simulate.tasks.markov_chains import MarkovSample, next_rows, sample
from onset.simulate.threads import Threads
from onset.theory import arguments, costs, randomness
from onset.theory.arrays import Array, Tokens
from onset.theory.dynamics.layout import Gradient, Layout
from onset.theory.markov.chains import entropy
from onset.theory.markov.task import require_markov_chains
from onset.theory.recording import Measurement
from onset.theory.setting import Setting

__all__ = ["FiniteContext", "log_predictions", "loss_and_gradient"]


class FiniteContext:
    """The dynamics of a toy family at its actual context, for `onset.theory.dynamics.descent.descend`.

    Each step draws `count` fresh sequences, so the error of a trajectory falls with all that were drawn along it;
    distances are measured on `held_out` sequences that stay the same.

    Parameters
    ----------
    setting : Setting
        Of the linear or the softmax family.
    count, held_out : int
        Sequences per gradient, under Adam at least a mini-batch, and per measurement.
    seed : int
        The same seed gives the same numbers, whatever the number of threads.
    """

    def __init__(self, setting: Setting, *, count: int = 512, held_out: int = 512, seed: int = 0) -> None:
        arguments.one_of("family of a finite-context prediction", setting.model.family, ("linear", "softmax"))
        require_markov_chains(setting.task, "the finite context")
        self.setting = setting
        self.layout = Layout.of(setting.task, setting.model.initialization, setting.task.context)
        self._count = arguments.integer("count", count, least=2)
        self._noisy = setting.training.optimizer.name != "sgd"
        if self._noisy:
            self._count = max(self._count, setting.training.batch)
        held_out = arguments.integer("held_out", held_out, least=1)
        sizes = {"gradient": self._count, "predictions": held_out}
        self._threads = {name: Threads(name, setting.model.family, setting.task, n) for name, n in sizes.items()}
        _require_memory(setting, self._count, held_out)
        self._stream, fixed = randomness.generator(seed).spawn(2)
        self._held_out = sample(setting.task, held_out, fixed)
        states, pseudo_count = setting.task.states, setting.task.prior.pseudo_count
        laws = {name: predict(self._held_out.tokens, states, name, pseudo_count) for name in setting.task.strategies}
        self._laws = {name: (law, float(entropy(law).mean())) for name, law in laws.items()}
        self._rows = next_rows(self._held_out)

    def gradient(self, point: Array, step: int = 0) -> Gradient:
        """Loss and gradient at `point` on fresh sequences.

        Under Adam the target is the sampled next token, as in training, and the variance of one sequence's gradient is
        estimated; otherwise the next token is averaged out. Adam squares the gradient, which is an estimate here:
        1/count of the variance is in the square already, divided by the number of entries that share a value (as if
        these were independent), and is subtracted.
        """
        drawn = sample(self.setting.task, self._count, self._stream)
        with self._threads["gradient"].turn():
            gradient = loss_and_gradient(self.setting, point, drawn, sampled=self._noisy, variance=self._noisy)
        if not self._noisy:
            return gradient
        squared = self.setting.training.batch / (self._count * self.layout.entries)
        return replace(gradient, variance=gradient.variance * (1 - squared))

    def measure(self, point: Array) -> Measurement:
        with self._threads["predictions"].turn():
            log_model = log_predictions(self.setting, point, self._held_out.tokens)

        def cross_entropy(law: Array) -> float:
            return -float(np.einsum("ntj,ntj->", law, log_model)) / log_model[..., 0].size

        distances = {name: cross_entropy(law) - mean_entropy for name, (law, mean_entropy) in self._laws.items()}
        weight = np.exp(point[self.layout.lags]).reshape(-1, self.setting.task.context)
        return Measurement(cross_entropy(self._rows), distances, weight / weight.sum(axis=1, keepdims=True))


def _require_memory(setting: Setting, count: int, held_out: int) -> None:
    """Raise ``ValueError`` unless the arrays of `FiniteContext` fit into memory."""
    states, strategies = setting.task.states, len(setting.task.strategies)

    def needed(context: int, batch: int = count) -> float:
        # Laws of the strategies, the true one and the model's; of a gradient, uniforms, tokens, and targets if n > 2.
        targets = states if setting.task.order > 2 else 0
        return 8.0 * context * (held_out * states * (strategies + 2) + batch * (2 + targets))

    sizes = {"context": setting.task.context}
    if count == setting.training.batch:
        sizes["batch"] = count  # else the number is not the user's
    costs.require_memory("the finite context", needed, **sizes)


def loss_and_gradient(
    setting: Setting, point: Array, drawn: MarkovSample, *, sampled: bool = False, variance: bool = False
) -> Gradient:
    """Mean loss over sequences and positions, and its derivative by the coordinates `point` (layout with T lags).

    Parameters
    ----------
    setting : Setting
    point : array, shape (n,)
    drawn : MarkovSample
    sampled : bool
        Whether the target is the sampled next token rather than its law.
    variance : bool
        Whether to estimate the variance over sequences of one entry's gradient.
    """
    tokens = drawn.tokens
    count, length = tokens.shape
    chunks = -(-count // CHUNK)
    loss = np.zeros(chunks)
    first = np.zeros((chunks, len(point)))
    second = np.zeros((chunks, len(point) if variance else 0))
    if setting.task.order > 2:
        rows = np.eye(setting.task.states)[tokens[:, 1:]] if sampled else next_rows(drawn)
        ngram_kernels.gradient(tokens, rows, _ngram_model(setting, point), loss, first, second)
    else:
        kernels.gradient(tokens, drawn.transition, sampled, _model(setting, point), loss, first, second)
    derivative = first.sum(axis=0) / count
    if not variance:
        return Gradient(float(loss.sum() / count), derivative)
    entries = Layout.of(setting.task, setting.model.initialization, length - 1).entries
    square = second.sum(axis=0) / count / entries
    noise = np.maximum(square - (derivative / entries) ** 2, 0.0) * count / (count - 1)
    return Gradient(float(loss.sum() / count), derivative, noise)


def log_predictions(setting: Setting, point: Array, tokens: Tokens) -> Array:
    """ln of the model's predictive distributions at `point`, shape (n, T, k)."""
    out = np.empty((len(tokens), tokens.shape[1] - 1, setting.task.states))
    if setting.task.order > 2:
        ngram_kernels.log_predictions(tokens, _ngram_model(setting, point), out)
    else:
        kernels.log_predictions(tokens, _model(setting, point), out)
    return out


def _ngram_model(setting: Setting, point: Array) -> ngram_kernels.Model:
    heads, softmax = setting.task.order - 1, setting.model.family == "softmax"
    match = point[: 2 * heads].reshape(heads, 2)
    mu = float(point[2 * heads] - point[2 * heads + 1]) if softmax else 1.0
    lag_logits = point[Layout.of(setting.task, setting.model.initialization, setting.task.context).lags].reshape(
        heads, -1
    )
    weight = np.exp(lag_logits - lag_logits.max(axis=1, keepdims=True))
    omega = match[:, 0] - match[:, 1]
    return ngram_kernels.Model(softmax, omega, float(match[:, 1].sum()), mu, weight, 1 / weight.cumsum(axis=1))


def _model(setting: Setting, point: Array) -> Model:
    softmax = setting.model.family == "softmax"
    omega, mu = point[0] - point[1], point[2] - point[3] if softmax else 1.0
    lag_logits = point[4:] if softmax else point[2:]
    weight = np.exp(lag_logits - lag_logits.max())
    return Model(softmax, omega, point[1], mu, weight, 1 / weight.cumsum())
