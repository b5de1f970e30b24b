"""Executors on this machine: in this process, or in processes of one thread each, which are replaced when they die."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import connection
from typing import Any, Self

from onset.theory.recording import Progress
from onset.validate.execution.worker import DIED, Answer, Assignment, carry_out

__all__ = ["Ended", "Executor", "InProcess", "Processes", "one_thread"]

Ended = list[list[Answer]]
"""Answers of the assignments that ended, one list for each."""

Work = Callable[[Assignment, Progress], list[Answer]]


class Executor(ABC):
    """Brings assignments to workers; a context manager, at whose end nothing runs any more."""

    @property
    def workers(self) -> int:
        """Assignments that run side by side."""
        return 1

    @property
    def free(self) -> bool:
        """Whether it takes another assignment."""
        return True

    @property
    def steps(self) -> int:
        """Steps trained so far, of all assignments, where that is known."""
        return 0

    @abstractmethod
    def submit(self, assignment: Assignment) -> None: ...

    @abstractmethod
    def wait(self, seconds: float, tick: Callable[[], None]) -> Ended:
        """Assignments that ended, after about `seconds`; an executor that takes longer calls `tick` now and then."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:  # noqa: B027
        """End what still runs; by default nothing does."""


class InProcess(Executor):
    """One assignment at a time, in this process; `progress` is called with its steps."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._assignment: Assignment | None = None
        self._steps = 0

    @property
    def free(self) -> bool:
        return self._assignment is None

    @property
    def steps(self) -> int:
        return self._steps

    def submit(self, assignment: Assignment) -> None:
        self._assignment = assignment

    def wait(self, seconds: float, tick: Callable[[], None]) -> Ended:
        if self._assignment is None:
            time.sleep(seconds)
            return []
        assignment, self._assignment = self._assignment, None
        count = _counting(self._add)

        def progress(step: int, steps: int) -> None:
            count(step, steps)
            self._progress(step, steps)
            tick()

        return [carry_out(assignment, progress)]

    def _add(self, steps: int) -> None:
        self._steps += steps


class Processes(Executor):
    """Up to `workers` processes side by side. One that dies is replaced; its jobs are answered with `DIED`."""

    def __init__(self, workers: int, work: Work = carry_out) -> None:
        self._workers = [_Worker(work) for _ in range(workers)]

    @property
    def workers(self) -> int:
        return len(self._workers)

    @property
    def free(self) -> bool:
        return any(worker.assignment is None for worker in self._workers)

    @property
    def steps(self) -> int:
        return sum(worker.steps.value for worker in self._workers)

    def submit(self, assignment: Assignment) -> None:
        next(worker for worker in self._workers if worker.assignment is None).begin(assignment)

    def wait(self, seconds: float, tick: Callable[[], None]) -> Ended:
        busy = {worker.pipe: worker for worker in self._workers if worker.assignment is not None}
        return [busy[pipe].end() for pipe in connection.wait(list(busy), seconds)]  # type: ignore[index]

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.kill()


class _Worker:
    """A process, started when there is something to do, and the pipe to it."""

    def __init__(self, work: Work) -> None:
        self._work, self._context = work, multiprocessing.get_context("spawn")
        self.assignment: Assignment | None = None
        self.steps: Any = self._context.RawValue("q", 0)
        self.pipe: Any = None
        self._process: Any = None

    def begin(self, assignment: Assignment) -> None:
        self.assignment = assignment
        if self._process is None or not self._process.is_alive():
            self.kill()
            self.pipe, end = self._context.Pipe()
            self._process = self._context.Process(target=_serve, args=(end, self.steps, self._work), daemon=True)
            with _interrupts_ignored():
                self._process.start()
            end.close()
        self.pipe.send(assignment)

    def end(self) -> list[Answer]:
        """The assignment's answers, once the pipe is ready."""
        assignment, self.assignment = self.assignment, None
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            reason = _reason_of_death(self._process.exitcode)
            self.kill()
            return [Answer(job, DIED, reason) for job in assignment.jobs] if assignment else []

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self.pipe.close()
            self._process = None


def _reason_of_death(code: int) -> str:
    if code == -signal.SIGKILL:
        return "its process was killed (SIGKILL), as happens when memory runs out"
    return f"its process was ended by {signal.Signals(-code).name}" if code < 0 else f"its process exited with {code}"


def _serve(pipe: Any, steps: Any, work: Work) -> None:
    """Carry out assignments in a worker process until the pipe is closed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    one_thread()

    def add(trained: int) -> None:
        steps.value += trained

    while True:
        try:
            assignment = pipe.recv()
        except EOFError:
            return
        pipe.send(work(assignment, _counting(add)))


def _end_with_parent() -> None:
    """End this process when its parent does, even by SIGKILL: the locks of its jobs are free for others at once."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def one_thread() -> None:
    """Keep compiled kernels from using more than one core: jobs run side by side instead."""
    import numba

    numba.set_num_threads(1)


def _counting(add: Callable[[int], None]) -> Progress:
    """Progress of one assignment that adds the steps it trains; the first call says where it resumes."""
    last: int | None = None

    def progress(step: int, steps: int) -> None:
        nonlocal last
        if last is not None and step > last:
            add(step - last)
        last = step

    return progress


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Processes started inside ignore Ctrl-C, which a terminal sends to all of them; their parent ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
