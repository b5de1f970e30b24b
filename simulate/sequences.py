r"""Sample chains and sequences.

A sequence of T + 1 tokens starts from the chain's stationary law and follows its transition matrix; for chains of order n the first
n - 1 tokens come from the stationary law of histories (`onset.theory.chains`). Uniforms are drawn
from a ``numpy.random.Generator`` and passed to a compiled kernel that inverts cumulative sums, so the tokens depend on
the uniforms alone. The kernel is serial, as the generator is: it takes about as long, and several processes may share a
machine. The last threshold of a row is never compared, so a cumulative sum that rounds below one cannot push a token out
of range.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from onset.theory import arguments, priors
from onset.theory.chains import Array, block_law, history_law
from onset.theory.setting import Setting

__all__ = ["Sample", "Tokens", "next_rows", "sample", "tokens_from_uniforms"]

Tokens = NDArray[np.uint8]


class Sample(NamedTuple):
    """`tokens`, shape (n, T + 1), and the chains they came from: `transition` and the stationary law of its histories, `stationary`;
    (n, k, k) and (n, k) for Markov chains, (n, k^{order-1}, k) and (n, k^{order-1}) for chains of higher order."""

    tokens: Tokens
    transition: Array
    stationary: Array


def sample(setting: Setting, count: int, generator: np.random.Generator) -> Sample:
    """Draw `count` fresh chains from the setting's prior and one sequence of T + 1 tokens from each.

    Raises
    ------
    ValueError
        If `count` is below 1 or the prior has more states than a token can hold (256).
    """
    count = arguments.integer("count", count, least=1)
    transition = priors.sample(setting.prior, generator, count)
    law = history_law(transition)
    return Sample(
        tokens_from_uniforms(transition, law, generator.random((count, setting.context + 1))),
        transition,
        law,
    )


def histories(tokens: Tokens, states: int, length: int) -> NDArray[np.int64]:
    """The last `length` of the tokens seen at each position, as the number of a history, shape (n, T); fewer tokens count with 0s before them."""
    seen = tokens[:, :-1].astype(np.int64)
    code = seen.copy()
    for lag in range(1, length):
        code[:, lag:] += seen[:, :-lag] * states**lag
    return code


def next_rows(drawn: Sample) -> Array:
    """True law of the next token at each position, given the tokens before it, shape (n, T, k)."""
    tokens, (rows, states) = drawn.tokens, drawn.transition.shape[1:]
    length = round(np.log(rows) / np.log(states))
    each = np.arange(len(tokens))[:, None]
    found = drawn.transition[each, histories(tokens, states, length)]
    for seen in range(1, min(length, tokens.shape[1])):  # too few tokens for a history
        blocks = block_law(drawn.transition, seen + 1)
        here = blocks[(each[:, 0], *tokens[:, :seen].T)]
        found[:, seen - 1] = here / here.sum(axis=1, keepdims=True)
    return found


def tokens_from_uniforms(transition: Array, law: Array, uniforms: Array) -> Tokens:
    """Tokens (n, length) of chains `transition` (n, k^{order-1}, k) that start from `law` (n, k^{order-1}), given `uniforms` (n, length) in
    [0, 1); the first of a sequence picks its first history, so that of the order - 2 that follow nothing depends."""
    rows, states = transition.shape[1:]
    if states > 256:
        raise ValueError(f"states = {states}: expected at most 256, what a token's byte holds; use fewer states.")
    if law.shape != transition.shape[:-1] or uniforms.shape[:1] != transition.shape[:1]:
        raise ValueError(
            f"transition {transition.shape}, law {law.shape}, uniforms {uniforms.shape}: expected (n, k, k), (n, k), (n, length) with one n and k."
        )
    out = np.empty(uniforms.shape, dtype=np.uint8)
    (_tokens if rows == states else _tokens_of_order)(transition, law, uniforms, out)
    return out


@njit(cache=True)
def _tokens_of_order(transition, law, uniforms, out):
    """One sequence after the other, histories of any length."""
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
    """Four sequences advance side by side, so that a processor need not wait for one token before it starts on the next.

    Indices are unsigned: a signed one is tested for counting from the end at every access. Past the last sequence it is repeated.
    """
    count, states = law.shape
    thresholds = np.uint64(states - 1)
    table = np.uint64((states + 1) * (states - 1))
    second, third, fourth = table, table + table, table + table + table
    edges = np.empty(fourth + table)
    for first in range(0, count, 4):
        a, b, c, d = (
            min(first, count - 1),
            min(first + 1, count - 1),
            min(first + 2, count - 1),
            min(first + 3, count - 1),
        )
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
    """Thresholds of every row of `transition`, then of `law`, one after the other."""
    states = len(law)
    for row in range(states + 1):
        total = 0.0
        for j in range(states - 1):
            total += law[j] if row == states else transition[row, j]
            edges[row * (states - 1) + j] = total
