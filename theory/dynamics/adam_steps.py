r"""Adam's own steps on several replicates of a mean field at once, with gradients interpolated between strides.

Adam (Kingma, Ba, arXiv 1412.6980) is a linear recursion of its moments, driven by gradients that change little from
step to step once the first transient is over. So gradients are evaluated at the ends of strides of h steps, and each
step in between takes the polynomial through the last `ORDER` of them: first extrapolated, then, with the gradient at
the end of that, interpolated. The difference of the two ends is the error estimate (Milne's device) that sets h. At h =
1 every gradient is the model's own and the steps are Adam's, exactly; where the match oscillates, as in the linear
family at long context, strides stay that short.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from onset.theory.arrays import Array
from onset.theory.dynamics.flow import SPARSE, Curves, Ensemble, Sampling
from onset.theory.recording import Trajectory
from onset.theory.training import Optimizer, Training

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

MEASURED_TOGETHER = 16
"""Records that are measured together."""


class _State(NamedTuple):
    """Coordinates and Adam's two moments, each (replicates, p), or (steps, replicates, p) along a stride."""

    point: Array
    first: Array
    second: Array


def adam_steps(
    ensemble: Ensemble, training: Training, *, tolerance: float = TOLERANCE, sampling: Sampling = SPARSE
) -> list[Trajectory]:
    """Adam on all replicates, recorded at the steps of `onset.theory.dynamics.descent.descend`; one trajectory each.

    Parameters
    ----------
    ensemble : Ensemble
    training : Training
        Under Adam.
    tolerance : float
        Of a stride.
    sampling : Sampling
    """
    layout, optimizer = ensemble.layout, training.optimizer
    rates, scale = layout.rates(training), layout.scale
    start = np.tile(layout.start, (ensemble.replicates, 1))
    state, step, stride = _State(start, np.zeros_like(start), np.zeros_like(start)), 0, 1
    curves, waiting = Curves(ensemble, training, sampling), []

    def entry_gradient(point: Array) -> Array:
        return ensemble.derivatives(point[:, None])[:, 0] / layout.entries

    known_steps, gradients = [0], [entry_gradient(start)]
    while step < training.steps:
        stride = min(stride, training.steps - step)
        path = _advance(state, step, _interpolate(known_steps, gradients, step, stride), rates, optimizer)
        end_gradient, order = entry_gradient(path.point[-1]), len(known_steps)
        if stride == 1:
            # What a longer stride would have missed.
            missed = end_gradient - _interpolate(known_steps, gradients, step + 1, 1)[0]
            root = np.sqrt(path.second[-1] / (1 - optimizer.betas[1] ** (step + 1)))
            error = rates * missed / (root + optimizer.epsilon)
        else:
            corrected = _interpolate([*known_steps[1:], step + stride], [*gradients[1:], end_gradient], step, stride)
            extrapolated, path = path, _advance(state, step, corrected, rates, optimizer)
            error = path.point[-1] - extrapolated.point[-1]
        size = float((np.abs(error) / (tolerance * (scale + np.abs(path.point[-1])))).max())
        factor = min(GROW, max(SHRINK, SAFETY * max(size, TINY) ** (-1 / (order + 1))))
        if size > 1 and stride > 1:
            stride = max(1, int(factor * stride))
            continue
        waiting += [(step + 1 + n, path.point[n]) for n in range(stride) if training.records(step + 1 + n)]
        state, step = _State(*(part[-1] for part in path)), step + stride
        known_steps, gradients = [*known_steps[-ORDER + 1 :], step], [*gradients[-ORDER + 1 :], end_gradient]
        stride = max(1, int(factor * stride)) if step >= TRANSIENT else 1
        if waiting and (len(waiting) >= MEASURED_TOGETHER or step == training.steps or not np.isfinite(size)):
            steps = np.array([n for n, _ in waiting], dtype=float)
            curves.add(steps, np.tile(steps, (len(start), 1)), np.stack([point for _, point in waiting], axis=1))
            waiting = []
            if curves.done:
                break
    return curves.trajectories()


def _interpolate(known_steps: list[int], gradients: list[Array], step: int, stride: int) -> Array:
    """Gradients at `stride` steps from `step` on, shape (stride, replicates, p), by polynomial interpolation."""
    if stride == 1 and known_steps[-1] == step:
        return gradients[-1][None]
    weights = _lagrange_weights(tuple(n - step for n in known_steps), stride)
    return (weights @ np.concatenate(gradients).reshape(len(gradients), -1)).reshape(stride, *gradients[0].shape)


@lru_cache(maxsize=4096)
def _lagrange_weights(nodes: tuple[int, ...], stride: int) -> Array:
    """Weights of values at `nodes` in their polynomial's values at 0 … `stride` - 1, shape (stride, nodes)."""
    known, wanted = (np.vander(x, len(nodes)).T.astype(float) for x in (nodes, np.arange(stride)))
    return np.linalg.solve(known, wanted).T


@lru_cache(maxsize=1024)
def _decay_weights(decay: float, stride: int) -> tuple[Array, Array]:
    """Factor of a moment after 1 … `stride` steps, (stride, 1, 1), and of each gradient since, (stride, stride)."""
    n = np.arange(stride)
    powers = np.float64(decay) ** np.abs(n[:, None] - n)
    return np.asarray(decay ** (n[:, None, None] + 1.0), dtype=np.float64), (1 - decay) * np.tril(powers)


def _advance(state: _State, step: int, gradients: Array, rates: Array, optimizer: Optimizer) -> _State:
    """`len(gradients)` steps of Adam."""
    stride, moments, unbiased = len(gradients), [], []
    flat = gradients.reshape(stride, -1)
    count = np.arange(step + 1, step + 1 + stride)[:, None, None]
    for moment, decay, values in zip(state[1:], optimizer.betas, (flat, flat**2), strict=True):
        factor, weights = _decay_weights(decay, stride)
        moments.append(factor * moment + (weights @ values).reshape(gradients.shape))
        unbiased.append(moments[-1] / (1 - decay**count))
    moves = rates * unbiased[0] / (np.sqrt(unbiased[1]) + optimizer.epsilon)
    return _State(state.point - moves.cumsum(axis=0), *moments)
