"""Compiled arithmetic of both ends of the transformer: embedding with dropout, and norm, head and cross-entropy, with their derivatives."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import float32, njit, prange

from onset.validate.models.compiled.elementwise import affine, exponentiate, keep_words, normalize, normalize_back
from onset.validate.models.compiled.tiles import chunk, chunks_of, filled, multiply

__all__ = ["Head", "embed", "embed_back", "logits", "losses"]


class Head(NamedTuple):
    """Scale and shift of the last norm (S, 2, D), empty without one, and the head's weights (S, k, D), filled up."""

    norm: np.ndarray
    out: np.ndarray


@njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def embed(tokens, embedding, positions, words, least, factor, x):
    """x (S, B, T, D): rows of the embedding (S, k, D), plus those of positions (S, T, D) if there are any, as dropped by words."""
    seeds, batch, length, width = x.shape
    for n in prange(seeds * chunks_of(batch)):
        s, first, last = chunk(n, batch)
        for b in range(first, last):
            for t in range(length):
                for c in range(width):
                    x[s, b, t, c] = embedding[s, tokens[s, b, t], c]
                for c in range(positions.shape[2]):
                    x[s, b, t, c] += positions[s, t, c]
            keep_words(x[s, b], words[s, b], least, factor, x[s, b])


@njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def embed_back(tokens, words, least, factor, by_x, by_embedding, by_positions):
    """Each chunk's share of the derivatives by embedding and positions; `by_x` is overwritten."""
    seeds, batch, length, width = by_x.shape
    for n in prange(seeds * chunks_of(batch)):
        s, first, last = chunk(n, batch)
        for b in range(first, last):
            keep_words(by_x[s, b], words[s, b], least, factor, by_x[s, b])
            for t in range(length):
                for c in range(width):
                    by_embedding[n, tokens[s, b, t], c] += by_x[s, b, t, c]
                for c in range(by_positions.shape[2]):
                    by_positions[n, t, c] += by_x[s, b, t, c]


@njit(cache=True, nogil=True)
def _scores(x, norm, turned, normal, spread, scaled, score):
    """Logits (T, k) of one sequence, filled up, and its norm on the way."""
    if norm.size:
        normalize(x, normal, spread)
        affine(normal, norm, scaled)
    else:
        affine(x, norm, scaled)
    score[:] = float32(0.0)
    multiply(score, scaled[:, : x.shape[1]], turned)


@njit(cache=True, nogil=True)
def _turned(out, width):
    """The head's weights (k, D) as (D, k), filled up."""
    turned = np.zeros((width, filled(out.shape[0])), dtype=np.float32)
    turned[:, : out.shape[0]] = out[:, :width].T
    return turned


@njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def logits(x, head, found):
    """Next-token logits (S, B, T, k) of x (S, B, T, D)."""
    seeds, batch, length, width = x.shape
    states = head.out.shape[1]
    for n in prange(seeds * chunks_of(batch)):
        s, first, last = chunk(n, batch)
        normal, spread = np.empty((length, width), dtype=np.float32), np.empty(length, dtype=np.float32)
        scaled, score = np.zeros((length, filled(width)), np.float32), np.empty((length, filled(states)), np.float32)
        turned = _turned(head.out[s], width)
        for b in range(first, last):
            _scores(x[s, b], head.norm[s], turned, normal, spread, scaled, score)
            found[s, b] = score[:, :states]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _to_shares(score, targets, states, bits):
    """The sum over positions of ln Σ_j exp(score_j) less the target's; the scores become the derivative by themselves."""
    length, columns = score.shape
    total = 0.0
    for t in range(length):
        top = score[t, 0]
        for j in range(states):
            top = max(top, score[t, j])
        total -= score[t, targets[t]] - top
        for j in range(columns):
            score[t, j] = score[t, j] - top if j < states else float32(-1e30)
    exponentiate(score.ravel(), bits)
    for t in range(length):
        mass = float32(0.0)
        for j in range(states):
            mass += score[t, j]
        total += np.log(mass)
        for j in range(states):
            score[t, j] /= mass
        score[t, targets[t]] -= float32(1.0)
    return total


@njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def losses(x, targets, head, loss, by_x, by):
    """Each chunk's sum of the cross-entropy of `targets` (S, B, T), the derivative of the mean loss by x (S, B, T, D), and each chunk's share of
    those by the head in `by`, whose arrays have S·chunks in place of S."""
    seeds, batch, length, width = x.shape
    states = head.out.shape[1]
    for n in prange(seeds * chunks_of(batch)):
        s, first, last = chunk(n, batch)
        normal, spread = np.empty((length, width), dtype=np.float32), np.empty(length, dtype=np.float32)
        scaled, by_scaled = np.zeros((length, filled(width)), np.float32), np.empty((length, filled(width)), np.float32)
        score, bits = np.empty((length, filled(states)), np.float32), np.empty(length * filled(states), np.int32)
        turned = _turned(head.out[s], width)
        for b in range(first, last):
            _scores(x[s, b], head.norm[s], turned, normal, spread, scaled, score)
            loss[n] += _to_shares(score, targets[s, b], states, bits)
            for t in range(length):
                for j in range(states):
                    score[t, j] /= float32(batch * length)
            by_scaled[:], by_x[s, b] = float32(0.0), float32(0.0)
            multiply(by_scaled, score[:, :states], head.out[s])
            multiply(by.out[n], score[:, :states].T, scaled)
            if head.norm.size:
                normalize_back(normal, head.norm[s], spread, by_scaled, by_x[s, b], by.norm[n])
            else:
                by_x[s, b] = by_scaled[:, :width]
