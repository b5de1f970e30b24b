"""Gradient descent and Adam in the reduced coordinates of a toy model, one gradient per step.

Gradient flow is in `onset.theory.dynamics.flow`.
"""

from __future__ import annotations

import time

import numpy as np

from onset.theory.dynamics.layout import Dynamics
from onset.theory.floating import diverging
from onset.theory.recording import Progress, Recorder, Trajectory, no_progress
from onset.theory.training import Training

__all__ = ["descend"]

SECONDS_BETWEEN_REPORTS = 1.0
"""Longest time between two calls of `progress`, but for that of one gradient."""


@diverging()
def descend(dynamics: Dynamics, training: Training, *, progress: Progress = no_progress) -> Trajectory:
    r"""Follow the optimiser of `training` until the last transition is well past or the run is over.

    SGD: θ ← θ - η g with g the gradient of one entry. Adam (Kingma, Ba, arXiv 1412.6980) with the *expected* second
    moment of a mini-batch gradient, E ĝ² = g² + Var/B: the mean of ĝ alone would overstate how fast noisy coordinates
    move. Range of validity: fluctuations of the parameters themselves, of relative order 1/B, are neglected.
    """
    layout, optimizer = dynamics.layout, training.optimizer
    rates = layout.rates(training)
    point, first, second = layout.start.copy(), np.zeros(len(rates)), np.zeros(len(rates))
    recorder = Recorder(layout.task, training)
    recorder.add(0, dynamics.measure(point), layout.names, point)
    reported = time.monotonic()
    for step in range(1, training.steps + 1):
        gradient = dynamics.gradient(point, step)
        entry_gradient = gradient.derivative / layout.entries
        if optimizer.name == "sgd":
            point = point - rates * entry_gradient
        else:
            beta1, beta2 = optimizer.betas
            first = beta1 * first + (1 - beta1) * entry_gradient
            second = beta2 * second + (1 - beta2) * (entry_gradient**2 + gradient.variance / training.batch)
            root = np.sqrt(second / (1 - beta2**step)) + optimizer.epsilon
            point = point - rates * (first / (1 - beta1**step)) / root
        if recorder.diverges(gradient.loss) or not np.all(np.isfinite(point)):
            return recorder.trajectory(diverged=step)
        due = training.records(step)
        if due:
            recorder.add(step, dynamics.measure(point), layout.names, point)
        if due or time.monotonic() - reported > SECONDS_BETWEEN_REPORTS:
            progress(step, training.steps)
            reported = time.monotonic()
        if due and recorder.settled:
            break
    return recorder.trajectory()
