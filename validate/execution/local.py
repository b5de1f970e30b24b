"""Executors on this machine: in this process, or in processes of one thread each, which are replaced when they die."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import connection
from typing import Any, Protocol

from onset.theory.recording import Progress
from onset.validate.execution.worker import DIED, Answer, Assignment, carry_out

__all__ = ["Ended", "Executor", "InProcess", "Processes", "one_thread"]

Ended = list[list[Answer]]
"""The answers of assignments that came to an end, one list for each."""

Work = Callable[[Assignment, Progress], list[Answer]]


class Executor(Protocol):
    """Something that brings assignments to workers; used as a context manager, at whose end nothing runs any more."""

    @property
    def workers(self) -> int:
        """How many assignments run side by side."""
        ...

    @property
    def free(self) -> bool:
        """Whether it takes another assignment."""
        ...

    @property
    def steps(self) -> int:
        """Steps trained so far, of all assignments."""
        ...

    def submit(self, assignment: Assignment) -> None: ...

    def wait(self, seconds: float, tick: Callable[[], None]) -> Ended:
        """Assignments that ended, after at most `seconds` where it can be had; `tick` is called now and then if it cannot."""
        ...

    def __enter__(self) -> Executor: ...
    def __exit__(self, *_: object) -> None: ...


class InProcess:
    """One assignment at a time, here; `progress` is told of its steps."""

    def __init__(self, progress: Progress, work: Work = carry_out) -> None:
        self._progress, self._work = progress, work
        self._job: Assignment | None = None
        self._counted = _Steps()

    @property
    def workers(self) -> int:
        return 1

    @property
    def free(self) -> bool:
        return self._job is None

    @property
    def steps(self) -> int:
        return self._counted.total

    def submit(self, assignment: Assignment) -> None:
        self._job = assignment

    def wait(self, seconds: float, tick: Callable[[], None]) -> Ended:
        if self._job is None:
            time.sleep(seconds)
            return []
        assignment, self._job = self._job, None
        count = self._counted.of_an_assignment()

        def told(step: int, steps: int) -> None:
            count(step, steps)
            self._progress(step, steps)
            tick()

        return [self._work(assignment, told)]

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Processes:
    """At most `workers` processes side by side. One that dies is replaced; its assignment's jobs are answered with `DIED` and the reason."""

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
        return sum(worker.counted.value for worker in self._workers)

    def submit(self, assignment: Assignment) -> None:
        next(worker for worker in self._workers if worker.assignment is None).begin(assignment)

    def wait(self, seconds: float, tick: Callable[[], None]) -> Ended:
        busy = {worker.pipe: worker for worker in self._workers if worker.assignment is not None}
        ready = connection.wait(list(busy), seconds)
        return [busy[pipe].end() for pipe in ready]  # type: ignore[index]

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.kill()


class _Worker:
    """A process that is started when there is something to do, and the pipe to it."""

    def __init__(self, work: Work) -> None:
        self._work, self._context = work, multiprocessing.get_context("spawn")
        self.assignment: Assignment | None = None
        self.counted: Any = self._context.RawValue("q", 0)
        self.pipe: Any = None
        self._process: Any = None

    def begin(self, assignment: Assignment) -> None:
        self.assignment = assignment
        if self._process is None or not self._process.is_alive():
            self._start()
        self.pipe.send(assignment)

    def _start(self) -> None:
        self.kill()
        self.pipe, theirs = self._context.Pipe()
        self._process = self._context.Process(target=_serve, args=(theirs, self.counted, self._work), daemon=True)
        with _deaf_to_interrupts():
            self._process.start()
        theirs.close()

    def end(self) -> list[Answer]:
        """The assignment's answers, once the pipe has something to say."""
        assignment, self.assignment = self.assignment, None
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            reason = _last_words(self._process.exitcode)
            self.kill()
            return [Answer(job, DIED, reason) for job in assignment.jobs] if assignment else []

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self.pipe.close()
            self._process = None


def _last_words(code: int) -> str:
    if code == -signal.SIGKILL:
        return "its process was killed (SIGKILL), as happens when memory runs out"
    return f"its process was ended by {signal.Signals(-code).name}" if code < 0 else f"its process exited with {code}"


def _serve(pipe: Any, counted: Any, work: Work) -> None:
    """What a worker process does until nobody wants anything of it any more."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    one_thread()
    steps = _Steps(counted)
    while True:
        try:
            assignment = pipe.recv()
        except EOFError:
            return
        pipe.send(work(assignment, steps.of_an_assignment()))


def _end_with_parent() -> None:
    """A parent that is killed takes its workers along: what they hold is free for others at once."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def one_thread() -> None:
    """Keep compiled kernels from using more than one core: jobs run side by side instead."""
    import numba

    numba.set_num_threads(1)


class _Steps:
    """Counts steps of assignments, one after the other, in `total`, perhaps shared with another process."""

    def __init__(self, shared: Any = None) -> None:
        self._shared = shared
        self.total = 0 if shared is None else int(shared.value)

    def of_an_assignment(self) -> Progress:
        last: int | None = None

        def told(step: int, steps: int) -> None:
            nonlocal last
            if last is not None and step > last:  # the first says where an assignment goes on from
                self.total += step - last
                if self._shared is not None:
                    self._shared.value = self.total
            last = step

        return told


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """What is started inside does not hear Ctrl-C, which a terminal sends to all; the parent hears it and ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
