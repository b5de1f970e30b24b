r"""One Markov chain: stationary law, lagged transition matrices, entropy rate.

A *transition* matrix :math:`P` has shape (..., k, k), rows summing to one; its *stationary* law :math:`\pi` solves
:math:`\pi P = \pi`. Entropies are in nats.

A chain of order n (an n-gram: the next symbol depends on the last n - 1) has one row for each *history* of n - 1
symbols, shape (..., k^{n-1}, k), histories counted with the latest symbol fastest. It is a chain of order 2 on
histories, see `lift`.

References
----------
Grassmann, Taksar, Heyman, "Regenerative analysis and steady state distributions for Markov chains",
Operations Research 33 (1985): the elimination without subtractions used in `stationary`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.csgraph import connected_components
from scipy.special import entr

from onset.theory import arguments
from onset.theory.arrays import Array, floats

__all__ = [
    "block_law",
    "check_transition",
    "conditional_entropy",
    "entropy",
    "entropy_rate",
    "history_law",
    "lag_matrices",
    "lift",
    "order_of",
    "stationary",
    "stationary_from_logs",
]

LEAST_PRECISE = np.finfo(np.float64).tiny
"""Least normal double: results below it are rounded to multiples of the least double, half of which is this times
2^-53."""


def check_transition(transition: ArrayLike) -> Array:
    """Return `transition` as float64 of shape (..., k, k), k ≥ 2.

    Raises
    ------
    ValueError
        If the shape is not square, an entry is negative or not finite, or a row does not sum to one
        within k rounding errors of a double.
    """
    matrix = floats("transition", transition)
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2] or matrix.shape[-1] < 2:
        raise ValueError(
            f"transition has shape {matrix.shape}: expected (..., k, k) with k of at least 2; pass one row per state."
        )
    if not np.all(np.isfinite(matrix)) or np.any(matrix < 0):
        raise ValueError(
            "transition has an entry that is negative or not finite: expected probabilities; mend that entry."
        )
    sums = matrix.sum(axis=-1)
    worst = float(np.max(np.abs(sums - 1), initial=0.0))
    if worst > 8 * matrix.shape[-1] * np.finfo(np.float64).eps:
        raise ValueError(
            f"transition has a row whose sum misses one by {worst:.3g}: expected rows that sum to one; "
            "divide each row by its sum."
        )
    return matrix


def stationary(transition: ArrayLike) -> Array:
    r"""Stationary law :math:`\pi = \pi P` of each chain.

    Elimination without subtractions (GTH), so that every entry keeps its relative accuracy however close the
    chain is to reducible, with logarithms where a number leaves the range of doubles; chains that a state leaves for
    good are solved on their one recurrent class.

    Parameters
    ----------
    transition : array, shape (..., k, k)

    Returns
    -------
    array, shape (..., k)

    Raises
    ------
    ValueError
        If a matrix is not a transition matrix, or has several recurrent classes and hence no unique stationary law.
    """
    matrix = check_transition(transition)
    states = matrix.shape[-1]
    flat = matrix.reshape(-1, states, states)
    law, regular = _solve(flat)
    for n in np.flatnonzero(~regular):
        law[n] = _on_recurrent_class(flat[n])
    return law.reshape(matrix.shape[:-1])


def stationary_from_logs(logs: Array) -> Array:
    """Stationary law of chains whose transition probabilities, given by their logarithms, may be below all doubles.

    Parameters
    ----------
    logs : array, shape (..., k, k)
        ln P; the diagonal is not used. Every state can be reached from every other.

    Returns
    -------
    array, shape (..., k)
        Relative error of each entry: about that of a rounding of the largest -ln P.
    """
    states = logs.shape[-1]
    law, _ = _eliminate_logs(logs.reshape(-1, states, states).copy())
    return law.reshape(logs.shape[:-1])


def _solve(matrices: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Stationary laws (n, k) of matrices (n, k, k), and which of these have no state without a way to the first."""
    law, regular, lost = _eliminate(matrices.copy())
    if lost.any():
        with np.errstate(divide="ignore"):
            law[lost], regular[lost] = _eliminate_logs(np.log(matrices[lost]))
    return law, regular


def _eliminate(matrices: Array) -> tuple[Array, NDArray[np.bool_], NDArray[np.bool_]]:
    """As `_solve`, in place; also which laws have lost precision where a number left the range of doubles."""
    count, states, _ = matrices.shape
    regular, lost = np.ones(count, dtype=bool), np.zeros(count, dtype=bool)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for last in range(states - 1, 0, -1):
            to = matrices[:, last, None, :last]
            leaving = to.sum(axis=-1)
            regular &= leaving[:, 0] > 0
            share = matrices[:, :last, last] / np.where(leaving > 0, leaving, 1.0)
            matrices[:, :last, last] = share
            added = share[:, :, None] * to
            rest = matrices[:, :last, :last]
            rest += added
            if added.min(initial=1.0) < LEAST_PRECISE:
                lost |= ((rest < LEAST_PRECISE) & (share[:, :, None] > 0) & (to > 0)).any(axis=(1, 2))
                lost |= ((share > 0) & (share < LEAST_PRECISE)).any(axis=1)
        law = np.ones((count, states))
        for state in range(1, states):
            law[:, state] = np.einsum("ni,ni->n", law[:, :state], matrices[:, :state, state])
            if law[:, state].min(initial=1.0) < LEAST_PRECISE:
                reached = ((law[:, :state] > 0) & (matrices[:, :state, state] > 0)).any(axis=1)
                lost |= reached & (law[:, state] < LEAST_PRECISE)
        total = law.sum(axis=-1, keepdims=True)
        return law / total, regular, lost | ~np.isfinite(total[:, 0])


def _eliminate_logs(logs: Array) -> tuple[Array, NDArray[np.bool_]]:
    """As `_solve`, in place, from logarithms."""
    count, states, _ = logs.shape
    regular = np.ones(count, dtype=bool)
    for last in range(states - 1, 0, -1):
        leaving = np.logaddexp.reduce(logs[:, last, :last], axis=-1)
        regular &= leaving > -np.inf
        share = logs[:, :last, last] - np.where(leaving > -np.inf, leaving, 0.0)[:, None]
        logs[:, :last, last] = share
        logs[:, :last, :last] = np.logaddexp(logs[:, :last, :last], share[:, :, None] + logs[:, last, None, :last])
    law = np.zeros((count, states))
    for state in range(1, states):
        law[:, state] = np.logaddexp.reduce(law[:, :state] + logs[:, :state, state], axis=-1)
    return np.exp(law - np.logaddexp.reduce(law, axis=-1)[:, None]), regular


def _on_recurrent_class(matrix: Array) -> Array:
    classes, label = connected_components(matrix > 0, directed=True, connection="strong")
    closed = [c for c in range(classes) if not np.any(matrix[np.ix_(label == c, label != c)] > 0)]
    if len(closed) != 1:
        raise ValueError(
            f"transition has {len(closed)} closed classes of states and so no unique stationary law: expected one; "
            "join the classes by giving some transition between them a positive probability."
        )
    members = np.flatnonzero(label == closed[0])
    law = np.zeros(len(matrix))
    law[members] = 1.0 if len(members) == 1 else _solve(matrix[np.ix_(members, members)][None])[0][0]
    return law


def lag_matrices(transition: ArrayLike, lags: int) -> Array:
    r"""Powers :math:`P^0, \dots, P^{\text{lags}-1}`, shape (lags, ..., k, k): laws of a symbol given an earlier one."""
    matrix, lags = check_transition(transition), arguments.integer("lags", lags, least=1)
    powers = [np.broadcast_to(np.eye(matrix.shape[-1]), matrix.shape)]
    for _ in range(lags - 1):
        powers.append(powers[-1] @ matrix)
    return np.stack(powers)


def order_of(transition: Array) -> int:
    """Order n of the chain whose rows, shape (..., k^{n-1}, k), these are.

    Raises
    ------
    ValueError
        If the number of rows is no power of the number of symbols.
    """
    rows, states = (0, 0, *transition.shape)[-2:]
    order, reached = 1, 1
    while reached < rows and states > 1:
        order, reached = order + 1, reached * states
    if reached != rows or rows < states:
        raise ValueError(
            f"transition has shape {transition.shape}: expected (..., k^(n-1), k), one row per history of n - 1 "
            "symbols; add or drop rows."
        )
    return order


def lift(transition: Array) -> Array:
    """The chain on histories, shape (..., k^{n-1}, k^{n-1}): the oldest symbol is dropped, the next one appended."""
    order_of(transition)
    rows, states = transition.shape[-2:]
    if rows == states:
        return transition
    lifted = np.zeros((*transition.shape[:-1], rows))
    history = np.arange(rows)
    for symbol in range(states):
        lifted[..., history, history % (rows // states) * states + symbol] = transition[..., symbol]
    return lifted


def history_law(transition: ArrayLike) -> Array:
    """Stationary law of histories of n - 1 symbols, shape (..., k^{n-1}); for n = 2 of symbols."""
    return stationary(lift(floats("transition", transition)))


def block_law(transition: Array, length: int) -> Array:
    """Stationary law of 0 ≤ `length` ≤ n successive symbols, shape (..., k, …, k), the earliest first."""
    states, order = transition.shape[-1], order_of(transition)
    length = arguments.integer("length", length, least=0, most=order)
    blocks = history_law(transition)[..., None] * transition
    blocks = blocks.reshape(*transition.shape[:-2], *[states] * order)
    return blocks.sum(axis=tuple(range(-order, -length)))


def conditional_entropy(transition: Array, order: int) -> Array:
    """Entropy of a symbol given the `order` - 1 before it, nats, shape (...): the n-gram strategy's loss as T → ∞."""
    blocks = block_law(transition, order)
    given = blocks.sum(axis=-1, keepdims=True)
    rows = np.divide(blocks, given, out=np.zeros_like(blocks), where=given > 0)
    return (given[..., 0] * entropy(rows)).sum(axis=tuple(range(-order + 1, 0)))


def entropy(law: ArrayLike) -> Array:
    r"""Entropy :math:`-\sum_j p_j \ln p_j` over the last axis, in nats.

    Raises
    ------
    ValueError
        If an entry is negative or not finite, or there is no axis.
    """
    law = floats("law", law)
    if not law.ndim or not np.all((law >= 0) & (law < np.inf)):
        raise ValueError(f"law = {arguments.shown(law)}: expected probabilities along the last axis; give them.")
    return entr(law).sum(axis=-1)


def entropy_rate(transition: ArrayLike) -> Array:
    r"""Entropy rate :math:`\sum_i \pi_i H(P_{i\cdot})` in nats per token, shape (...)."""
    matrix = check_transition(transition)
    return np.einsum("...i,...i->...", stationary(matrix), entropy(matrix))
