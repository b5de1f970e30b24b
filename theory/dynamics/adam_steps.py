r"""Adam's own steps on several replicates of a mean field at once, with gradients interpolated between strides.

Adam (Kingma, Ba, arXiv 1412.6980) is a linear recursion of its moments, driven by gradients that change little from step to step once
the first transient is over. So gradients are evaluated at the ends of strides of h steps, and each step in between takes the polynomial
through the last `ORDER` of them: first extrapolated, then, with the gradient where that ends, interpolated. The
difference of the two ends is the error estimate (Milne's device) that sets h. At h = 1 every gradient is the model's own and the
steps are Adam's, exactly; where the match oscillates, as in the linear family at long context, strides stay that short.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from onset.theory.arrays import Array
from onset.theory.dynamics.flow import BRIEFLY, Curves, Ensemble, Watch, scale
from onset.theory.recording import Trajectory
from onset.theory.setting import Setting
from onset.theory.training import Optimizer

__all__ = ["adam_steps"]

TOLERANCE = 3e-3
"""Error that a stride may add to a coordinate, relative to its size plus its scale."""

ORDER = 4
"""Gradients that a polynomial goes through."""

SHRINK, GROW, SAFETY = 0.3, 2.0, 0.9
"""Least and largest factor between two strides, and what the best one is multiplied by."""

TRANSIENT = 5
"""First steps, taken one by one."""

TINY = np.finfo(float).tiny
CHUNK = 16
"""Records that are measured together."""


class _State(NamedTuple):
    """After some steps: coordinates and Adam's two moments, each (replicates, p), or (steps, replicates, p) along a stride."""

    point: Array
    first: Array
    second: Array


def adam_steps(
    ensemble: Ensemble, setting: Setting, *, tolerance: float = TOLERANCE, watch: Watch = BRIEFLY
) -> list[Trajectory]:
    """Adam on all replicates, recorded at steps at which `onset.theory.dynamics.descent.descend` records; one trajectory each.

    Parameters
    ----------
    ensemble : Ensemble
    setting : Setting
        Under Adam.
    tolerance : float
        Of a stride.
    watch : Watch
    """
    layout, optimizer = ensemble.layout, setting.training.optimizer
    rates, unit = layout.rates(setting), scale(layout, setting)
    start = np.tile(layout.start, (ensemble.replicates, 1))
    state, step, stride = _State(start, np.zeros_like(start), np.zeros_like(start)), 0, 1
    curves, waiting = Curves(ensemble, setting, watch), []

    def entry_gradient(point: Array) -> Array:
        return ensemble.derivatives(point[:, None])[:, 0] / layout.entries

    at, known = [0], [entry_gradient(start)]
    while step < setting.training.steps:
        stride = min(stride, setting.training.steps - step)
        taken = _advance(state, step, _between(at, known, step, stride), rates, optimizer)
        arrived, order = entry_gradient(taken.point[-1]), len(at)
        if stride == 1:
            # What a longer stride would have missed.
            missed = arrived - _between(at, known, step + 1, 1)[0]
            root = np.sqrt(taken.second[-1] / (1 - optimizer.betas[1] ** (step + 1)))
            error = rates * missed / (root + optimizer.epsilon)
        else:
            better = _between([*at[1:], step + stride], [*known[1:], arrived], step, stride)
            predicted, taken = taken, _advance(state, step, better, rates, optimizer)
            error = taken.point[-1] - predicted.point[-1]
        size = float((np.abs(error) / (tolerance * (unit + np.abs(taken.point[-1])))).max())
        factor = min(GROW, max(SHRINK, SAFETY * max(size, TINY) ** (-1 / (order + 1))))
        if size > 1 and stride > 1:
            stride = max(1, int(factor * stride))
            continue
        waiting += [(step + 1 + n, taken.point[n]) for n in range(stride) if setting.training.records(step + 1 + n)]
        state, step = _State(*(part[-1] for part in taken)), step + stride
        at, known = [*at[-ORDER + 1 :], step], [*known[-ORDER + 1 :], arrived]
        stride = max(1, int(factor * stride)) if step >= TRANSIENT else 1
        if waiting and (len(waiting) >= CHUNK or step == setting.training.steps or not np.isfinite(size)):
            steps = np.array([n for n, _ in waiting], dtype=float)
            curves.add(steps, np.tile(steps, (len(start), 1)), np.stack([p for _, p in waiting], axis=1))
            waiting = []
            if curves.done:
                break
    return curves.trajectories()


def _between(at: list[int], known: list[Array], step: int, stride: int) -> Array:
    """Gradients at steps `step` … `step + stride - 1`, shape (stride, replicates, p), by the polynomial through those known."""
    if stride == 1 and at[-1] == step:
        return known[-1][None]
    weights = _polynomial(tuple(n - step for n in at), stride)
    return (weights @ np.concatenate(known).reshape(len(known), -1)).reshape(stride, *known[0].shape)


@lru_cache(maxsize=4096)
def _polynomial(nodes: tuple[int, ...], stride: int) -> Array:
    """Weights of values at `nodes` in their polynomial's values at 0 … `stride` - 1, shape (stride, nodes)."""
    at, wanted = np.array(nodes, dtype=float), np.arange(stride)[:, None, None]
    own = np.eye(len(at), dtype=bool)
    gaps = np.where(own, 1.0, at[:, None] - at)
    return np.asarray(np.where(own, 1.0, (wanted - at) / gaps).prod(axis=2))


@lru_cache(maxsize=1024)
def _memory(decay: float, stride: int) -> tuple[Array, Array]:
    """What is left of a moment after 1 … `stride` steps, (stride, 1, 1), and of each gradient since, (stride, stride)."""
    n = np.arange(stride)
    kept = np.float64(decay) ** np.abs(n[:, None] - n)
    return np.asarray(decay ** (n[:, None, None] + 1.0), dtype=np.float64), (1 - decay) * np.tril(kept)


def _advance(state: _State, step: int, gradients: Array, rates: Array, optimizer: Optimizer) -> _State:
    """`len(gradients)` steps of Adam."""
    stride, after, unbiased = len(gradients), [], []
    flat = gradients.reshape(stride, -1)
    count = np.arange(step + 1, step + 1 + stride)[:, None, None]
    for moment, decay, driven in zip(state[1:], optimizer.betas, (flat, flat**2), strict=True):
        left, weights = _memory(decay, stride)
        after.append(left * moment + (weights @ driven).reshape(gradients.shape))
        unbiased.append(after[-1] / (1 - decay**count))
    moves = rates * unbiased[0] / (np.sqrt(unbiased[1]) + optimizer.epsilon)
    return _State(state.point - moves.cumsum(axis=0), *after)
