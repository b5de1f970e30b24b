"""How far a computation is: what is done, runs and failed, steps per second, time left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable

from onset.validate.store.jobs import BASIN, TRAIN, Job

__all__ = ["Status", "cost"]

SHARE = 0.35
"""Of the longest run, what a run takes as a rule before it is a quarter past its last transition."""

TRANSFORMER, TOY, POPULATION = 7e-5, 4e-5, 1e-4
"""Seconds of a step at T = 1 with three states: of training, and of finite context. Only ratios matter, the machine's speed is measured."""

PER_PREDICTION = {"law": 4.0, "law-corrected": 4.0, "mean-field": 0.5, "mean-field-corrected": 18.0, BASIN: 1.5}
"""Seconds at T = 100 with three states, averaged over the standard suite."""

WINDOW = 30.0
"""Seconds over which the pace of training is taken."""


def cost(job: Job) -> float:
    """About how many seconds a job takes, up to a factor common to all."""
    setting = job.setting
    if job.kind not in (TRAIN, "finite-context"):
        return PER_PREDICTION.get(job.kind, 1.0) * setting.task.context / 100 * setting.task.vocabulary / 3
    transformer = setting.model.family == "transformer"
    steps = setting.training.steps if transformer or setting.training.whole else SHARE * setting.training.steps
    each = POPULATION if job.kind != TRAIN else TRANSFORMER if transformer else TOY
    return (
        each
        * steps
        * (setting.task.context + 10)
        * max(1, len(setting.task.lags)) ** 2
        * (setting.task.vocabulary / 3) ** 0.5
    )


class Status:
    """Counts of jobs; `last` is the job that has just ended, if one has.

    Parameters
    ----------
    jobs : iterable of Job
        All that is to be done.
    workers : int
        How many run side by side. Their first answers say little of the time left: they waited for imports and compilation.
    """

    def __init__(self, jobs: Iterable[Job], workers: int = 1) -> None:
        self._costs = {job: cost(job) for job in jobs}
        self.total, self.workers = len(self._costs), workers
        self.done = self.failed = self.running = self.elsewhere = 0
        self.last: Job | None = None
        self._spent, self._started = 0.0, time.monotonic()
        self._paces = deque([(self._started, 0)])

    def end(self, job: Job, *, failed: bool = False) -> None:
        """A job came to its end."""
        self.done += not failed
        self.failed += failed
        self.last = job
        self._spent += self._costs[job]

    def count(self, steps: int) -> None:
        """So many steps have been trained by now."""
        now = time.monotonic()
        self._paces.append((now, steps))
        while len(self._paces) > 2 and now - self._paces[1][0] > WINDOW:
            self._paces.popleft()

    @property
    def steps_per_second(self) -> float:
        (then, before), (now, after) = self._paces[0], self._paces[-1]
        return (after - before) / (now - then) if now > then else 0.0

    @property
    def left(self) -> float | None:
        """Seconds left, None while nothing can be said."""
        if self.done + self.failed <= self.workers:
            return None
        whole = sum(self._costs.values())
        return (time.monotonic() - self._started) * (whole - self._spent) / self._spent

    @property
    def words(self) -> str:
        """What is not in the numbers done and in total."""
        running = min(self.running, self.workers)
        told = ["no workers yet"] if not self.workers else [f"{running} running"] if running else []
        told += [f"{self.elsewhere} computed by others"] if self.elsewhere else []
        told += [f"{self.failed} failed"] if self.failed else []
        told += [f"{self.steps_per_second:.0f} steps/s"] if self.steps_per_second >= 1 else []
        if self.left is not None:
            told.append(f"about {self.left / 60:.0f} min left" if self.left >= 90 else f"about {self.left:.0f} s left")
        return ", ".join(told)
