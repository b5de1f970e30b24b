r"""In-context Markov chains: sampled sequences, true laws, and the laws of the ideal strategies.

A sequence of T + 1 tokens starts from the chain's stationary law and follows its transition matrix; for chains of order
n the first n - 1 tokens come from the stationary law of histories (`onset.theory.markov.chains`). Uniforms are drawn
from a ``numpy.random.Generator`` and passed to a compiled kernel that inverts cumulative sums, so that tokens depend on
the uniforms alone. The kernel is serial, as the generator is, and takes about as long. The last threshold of a row is
never compared, so a cumulative sum that rounds below one cannot push a token out of range.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onset.simulate.compiling import njit
from onset.simulate.strategies.laws import TRUE, DenseLaws, Laws
from onset.simulate.strategies.ngrams import first_visits, histories, predict
from onset.simulate.tasks.sampler import Sampler, register, token_type
from onset.theory import arguments
from onset.theory.arrays import Array, Tokens, numbers
from onset.theory.markov import priors
from onset.theory.markov.chains import block_law, history_law
from onset.theory.markov.task import MarkovChains

__all__ = ["MarkovChainSampler", "MarkovSample", "next_rows", "sample", "tokens_from_uniforms"]


class MarkovSample(NamedTuple):
    """Sequences and the chains they came from.

    Attributes
    ----------
    tokens : integer array, shape (n, T + 1)
    transition : array, shape (n, k^{order-1}, k)
        Transition matrix of each chain.
    stationary : array, shape (n, k^{order-1})
        Stationary law of its histories.
    """

    tokens: Tokens
    transition: Array
    stationary: Array


def sample(task: MarkovChains, count: int, generator: np.random.Generator) -> MarkovSample:
    """Draw `count` fresh chains from the task's prior and one sequence of T + 1 tokens from each.

    Raises
    ------
    ValueError
        If `count` is below 1.
    """
    count = arguments.integer("count", count, least=1)
    transition = priors.sample(task.prior, generator, count)
    law = history_law(transition)
    uniforms = generator.random((count, task.context + 1))
    return MarkovSample(tokens_from_uniforms(transition, law, uniforms), transition, law)


@register(MarkovChains)
class MarkovChainSampler(Sampler[MarkovChains, MarkovSample]):
    """Sampler of Markov chains; `pseudo_count` (default: the prior's) is added to every count of the strategies."""

    def __init__(self, task: MarkovChains, pseudo_count: float | None = None) -> None:
        super().__init__(task)
        self._pseudo_count = (
            task.prior.pseudo_count if pseudo_count is None else arguments.scale("pseudo_count", pseudo_count)
        )

    def sample(self, count: int, generator: np.random.Generator) -> MarkovSample:
        return sample(self.task, count, generator)

    def laws(self, sample: MarkovSample) -> Laws:
        names = self.task.strategies
        values = np.empty((len(names) + 1, len(sample.tokens), self.task.context, self.task.states))
        for name, law in zip(names, values, strict=False):
            law[:] = predict(sample.tokens, self.task.states, name, self._pseudo_count)
        values[-1] = next_rows(sample)
        return DenseLaws((*names, TRUE), values)

    def masks(self, sample: MarkovSample) -> dict[str, NDArray[np.bool_]]:
        return {"unseen": first_visits(sample.tokens, self.task.states, self.task.order - 1)}


def next_rows(drawn: MarkovSample) -> Array:
    """True law of the next token at each position, given the tokens before it, shape (n, T, k)."""
    tokens, (rows, states) = drawn.tokens, drawn.transition.shape[1:]
    length = round(np.log(rows) / np.log(states))
    sequence = np.arange(len(tokens))[:, None]
    laws = drawn.transition[sequence, histories(tokens, states, length)]
    for known in range(1, min(length, tokens.shape[1])):  # fewer tokens than a history has
        blocks = block_law(drawn.transition, known + 1)
        joint = blocks[(sequence[:, 0], *tokens[:, :known].T)]
        laws[:, known - 1] = joint / joint.sum(axis=1, keepdims=True)
    return laws


def tokens_from_uniforms(transition: Array, law: Array, uniforms: Array) -> Tokens:
    """Tokens (n, length) of chains `transition` (n, k^{order-1}, k) that start from `law` (n, k^{order-1}).

    `uniforms`, shape (n, length), lie in [0, 1). The first of a sequence selects its first history; the next order - 2
    are unused.
    """
    transition, law = numbers("transition", transition, None, None, None), numbers("law", law, None, None)
    uniforms = numbers("uniforms", uniforms, None, None)
    rows, states = transition.shape[1:]
    if law.shape != transition.shape[:-1] or uniforms.shape[:1] != transition.shape[:1]:
        raise ValueError(
            f"transition {transition.shape}, law {law.shape}, uniforms {uniforms.shape}: expected (n, k, k), (n, k), "
            "(n, length) with one n and k."
        )
    out = np.empty(uniforms.shape, dtype=token_type(states))
    (_tokens if rows == states else _tokens_of_order)(transition, law, uniforms, out)
    return out


@njit(cache=True)
def _tokens_of_order(transition, law, uniforms, out):
    """Chains of any order, one sequence after the other."""
    count, rows, states = transition.shape
    length = uniforms.shape[1]
    for n in range(count):
        history, total = 0, law[n, 0]
        while history < rows - 1 and uniforms[n, 0] >= total:
            history += 1
            total += law[n, history]
        t, place = 0, rows // states
        while place > 0 and t < length:
            out[n, t] = history // place % states
            t += 1
            place //= states
        for s in range(t, length):
            symbol, total = 0, transition[n, history, 0]
            while symbol < states - 1 and uniforms[n, s] >= total:
                symbol += 1
                total += transition[n, history, symbol]
            out[n, s] = symbol
            history = history % (rows // states) * states + symbol


@njit(cache=True)
def _tokens(transition, law, uniforms, out):
    """Chains of order 2. Four sequences advance side by side, so that the processor never waits for a single token.

    Indices are unsigned: a signed index is tested for counting from the end at every access. The last sequence is
    repeated to fill a group of four.
    """
    count, states = law.shape
    thresholds = np.uint64(states - 1)
    table = np.uint64((states + 1) * (states - 1))
    second, third, fourth = table, table + table, table + table + table
    edges = np.empty(fourth + table)
    for first in range(0, count, 4):
        last = count - 1
        a, b, c, d = first, min(first + 1, last), min(first + 2, last), min(first + 3, last)
        _cumulate(transition[a], law[a], edges[:second])
        _cumulate(transition[b], law[b], edges[second:third])
        _cumulate(transition[c], law[c], edges[third:fourth])
        _cumulate(transition[d], law[d], edges[fourth:])
        row_a = np.uint64(states) * thresholds
        row_b, row_c, row_d = row_a + second, row_a + third, row_a + fourth
        u, v, w, x = uniforms[a], uniforms[b], uniforms[c], uniforms[d]
        out_a, out_b, out_c, out_d = out[a], out[b], out[c], out[d]
        for t in range(uniforms.shape[1]):
            p, q, r, s = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
            for e in range(thresholds):
                p += np.uint64(u[t] >= edges[row_a + e])
                q += np.uint64(v[t] >= edges[row_b + e])
                r += np.uint64(w[t] >= edges[row_c + e])
                s += np.uint64(x[t] >= edges[row_d + e])
            out_a[t], out_b[t], out_c[t], out_d[t] = p, q, r, s
            row_a = p * thresholds
            row_b = second + q * thresholds
            row_c = third + r * thresholds
            row_d = fourth + s * thresholds


@njit(cache=True)
def _cumulate(transition, law, edges):
    """Thresholds of every row of `transition`, then of `law`."""
    states = len(law)
    for row in range(states + 1):
        total = 0.0
        for j in range(states - 1):
            total += law[j] if row == states else transition[row, j]
            edges[row * (states - 1) + j] = total
