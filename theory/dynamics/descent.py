"""Gradient descent and Adam in the reduced coordinates of a toy model, one gradient a step. Gradient flow is in
`onset.theory.dynamics.flow`.
"""

from __future__ import annotations

import numpy as np

from onset.theory.dynamics.layout import Dynamics
from onset.theory.recording import Progress, Recorder, Trajectory, no_progress
from onset.theory.setting import Setting

__all__ = ["descend"]


def descend(dynamics: Dynamics, setting: Setting, *, progress: Progress = no_progress) -> Trajectory:
    r"""Follow `setting`'s optimiser, one gradient a step, until the last transition is well past or `setting.training.steps` is reached.

    SGD: θ ← θ - η g with g the gradient of one entry. Adam (Kingma, Ba, arXiv 1412.6980) with the *expected* second moment
    of a mini-batch gradient, E ĝ² = g² + Var/B: the mean of ĝ alone would overstate how fast noisy coordinates move.
    Range of validity: fluctuations of the parameters themselves, of relative order 1/B, are neglected.
    """
    layout, optimizer = dynamics.layout, setting.training.optimizer
    rates = layout.rates(setting)
    adam = optimizer.name != "sgd"
    point, first, second = layout.start.copy(), np.zeros(len(rates)), np.zeros(len(rates))
    recorder = Recorder(setting)
    recorder.add(0, dynamics.measure(point), layout.names, point)
    for step in range(1, setting.training.steps + 1):
        found = dynamics.gradient(point, step)
        entry = found.derivative / layout.entries
        if adam:
            beta1, beta2 = optimizer.betas
            first = beta1 * first + (1 - beta1) * entry
            second = beta2 * second + (1 - beta2) * (entry**2 + found.variance / setting.training.batch)
            unbiased = np.sqrt(second / (1 - beta2**step)) + optimizer.epsilon
            point = point - rates * (first / (1 - beta1**step)) / unbiased
        else:
            point = point - rates * entry
        if recorder.diverges(found.loss) or not np.all(np.isfinite(point)):
            return recorder.trajectory(diverged=step)
        if setting.training.records(step):
            recorder.add(step, dynamics.measure(point), layout.names, point)
            progress(step, setting.training.steps)
            if recorder.settled:
                break
    return recorder.trajectory()
