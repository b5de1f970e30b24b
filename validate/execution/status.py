"""How far a computation is: jobs done, running and failed, steps per second, time left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable

from onset.theory.models import FAMILIES
from onset.validate.store.jobs import BASIN, TRAIN, Job
from onset.validate.store.public_models import PublicModel

__all__ = ["Status", "cost"]

USED_STEPS = 0.35
"""Usual share of the longest run at which a model is a quarter past its last transition."""

DEEP, TOY, POPULATION = 1.4e-4, 6e-5, 1e-4
"""Seconds per step at T = 1 with three states: training of a transformer, of a toy model, and the finite context.

Only ratios matter; the machine's speed is measured.
"""

PREDICTION_SECONDS = {"law": 5.2, "law-corrected": 4.0, "mean-field": 0.9, "mean-field-corrected": 9.8, BASIN: 1.8}
"""Seconds at T = 100 with three states, averaged over the standard suite."""

MEASURE_SECONDS = 60.0
"""Of one measure of a public model of a hundred million parameters."""

RUN_MEASURE_SECONDS = 5.0
"""Of one measure of a run of a small transformer."""

COSTLIEST_CONTEXT = 1000
"""Context from which on predictions take no longer."""

START = 0.5
"""Seconds before a job's first step."""

SPENT = 0.01
"""Share of the estimated seconds that have to be spent before anything is said of the time left: the first jobs of each
kind import and compile."""

WINDOW = 30.0
"""Seconds over which the speed of training is averaged."""


def cost(job: Job) -> float:
    """Estimated seconds of a job, up to a factor common to all jobs."""
    if job.measures:
        return MEASURE_SECONDS if isinstance(job.subject, PublicModel) else START + RUN_MEASURE_SECONDS
    task, training, deep = job.setting.task, job.setting.training, FAMILIES[job.setting.model.family].has_architecture
    if job.kind not in (TRAIN, "finite-context"):
        longer = min(task.context, COSTLIEST_CONTEXT) / 100 * task.vocabulary / 3
        return START + PREDICTION_SECONDS.get(job.kind, 1.0) * longer
    steps = training.steps if training.whole else USED_STEPS * training.steps
    per_step = POPULATION if job.kind != TRAIN else DEEP if deep else TOY
    return START + per_step * steps * (task.context + 10) * max(1, len(task.lags)) ** 2 * (task.vocabulary / 3) ** 0.5


class Status:
    """How far a computation is; `last` is the job that has just ended, if any.

    Parameters
    ----------
    jobs : iterable of Job
        All jobs.
    workers : int
        Jobs that run side by side. Their first jobs say little about the time left: they include imports and
        compilation.
    """

    def __init__(self, jobs: Iterable[Job], workers: int = 1) -> None:
        self._costs = {job: cost(job) for job in jobs}
        self._whole = sum(self._costs.values())
        self.total, self.workers = len(self._costs), workers
        self.done = self.failed = self.running = self.elsewhere = 0
        self.last: Job | None = None
        self._spent, self._started = 0.0, time.monotonic()
        self._counts = deque([(self._started, 0)])

    def end(self, job: Job, *, failed: bool = False) -> None:
        """Count a job that has ended."""
        self.done += not failed
        self.failed += failed
        self.last = job
        self._spent += self._costs[job]

    def count(self, steps: int) -> None:
        """Note how many steps have been trained by now."""
        now = time.monotonic()
        self._counts.append((now, steps))
        while len(self._counts) > 2 and now - self._counts[1][0] > WINDOW:
            self._counts.popleft()

    @property
    def steps_per_second(self) -> float:
        (then, before), (now, after) = self._counts[0], self._counts[-1]
        return (after - before) / (now - then) if now > then else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Estimated seconds left; None before each worker has ended a job, and a share of the work is done."""
        if self.done + self.failed <= self.workers or self._spent < SPENT * self._whole:
            return None
        return (time.monotonic() - self._started) * (self._whole - self._spent) / self._spent

    @property
    def summary(self) -> str:
        """What runs, who computes the rest, failures, speed and time left."""
        running, left = min(self.running, self.workers), self.seconds_left
        parts = {
            "no workers yet": not self.workers,
            f"{running} running": running,
            f"{self.elsewhere} computed by others": self.elsewhere,
            f"{self.failed} failed": self.failed,
            f"{self.steps_per_second:.0f} steps/s": self.steps_per_second >= 1,
        }
        if left is not None:
            parts[f"about {left / 60:.0f} min left" if left >= 90 else f"about {left:.0f} s left"] = True
        return ", ".join(text for text, shown in parts.items() if shown)
