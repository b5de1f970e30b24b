"""The executor on a running dask.distributed cluster, whose workers write to a folder that all machines share.

The scheduler gives a job whose worker died to another worker, three times by default
(`distributed.scheduler.allowed-failures`).
"""

from __future__ import annotations

import logging
import queue
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from onset.validate.errors import ComputationStopped
from onset.validate.execution.local import Ended, Executor, one_thread
from onset.validate.execution.worker import FAILED, LOCKS, UNWRITABLE, Answer, Assignment, carry_out

__all__ = ["PATIENCE", "Cluster"]

PATIENCE = 10
"""Seconds in which a scheduler has to answer."""


class Cluster(Executor):
    """The cluster whose scheduler is at `address`; the scheduler keeps the queue.

    Raises
    ------
    ValueError
        If dask.distributed is not installed, or no scheduler answers.
    """

    def __init__(self, address: str, patience: float = PATIENCE) -> None:
        try:
            from distributed import Client
        except ModuleNotFoundError as problem:
            raise ValueError(
                f"scheduler = {address!r}: dask.distributed is not installed ({problem.name} is missing); "
                "pip install 'icl-onset[cluster]'."
            ) from problem
        self.address = address
        for name in ("distributed.client", "distributed.core", "distributed.comm"):  # our own message says it once
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            self._client = Client(address, timeout=patience, set_as_default=False)
        except (OSError, ValueError) as problem:
            raise ValueError(
                f"scheduler = {address!r}: expected a dask scheduler that answers within {patience:g} s ({problem}); "
                "start one with dask scheduler and give the address that it prints."
            ) from problem
        self._assignments: dict[Any, Assignment] = {}
        self._threads = 0
        self._ended: queue.Queue[Any] = queue.Queue()

    @property
    def workers(self) -> int:
        """Threads of the cluster when it first had any."""
        if not self._threads:
            try:
                self._threads = sum(dict(self._client.nthreads()).values())  # type: ignore[arg-type]
            except OSError as problem:
                raise ComputationStopped(self._gone()) from problem
        return self._threads

    def submit(self, assignment: Assignment) -> None:
        future = self._client.submit(_on_worker, assignment, pure=False)
        self._assignments[future.key] = assignment
        future.add_done_callback(self._ended.put)

    def wait(self, seconds: float, tick: Callable[[], None]) -> Ended:
        ended: Ended = []
        try:
            ended.append(self._answers(self._ended.get(timeout=seconds)))
            while True:
                ended.append(self._answers(self._ended.get_nowait()))
        except queue.Empty:
            return ended

    def _answers(self, future: Any) -> list[Answer]:
        from distributed.scheduler import KilledWorker

        if future.status not in ("finished", "error"):  # cancelled or lost: nobody else cancels
            raise ComputationStopped(self._gone())
        jobs = self._assignments.pop(future.key).jobs
        try:
            return future.result(timeout=PATIENCE)
        except KilledWorker:
            reason = "worker after worker died of it"
        except TimeoutError:
            raise ComputationStopped(self._gone()) from None
        except Exception as problem:  # raised by the worker: it lacks a module, for instance
            reason = f"{type(problem).__name__}: {problem}"
        return [Answer(job, FAILED, reason) for job in jobs]

    def _gone(self) -> str:
        return (
            f"scheduler {self.address} is gone; what was finished is kept: "
            "start it again, with workers, and give the same command again."
        )

    def __exit__(self, *_: object) -> None:
        """Begin nothing more; a worker finishes and writes its current job."""
        self._client.close(timeout=2)


def _on_worker(assignment: Assignment) -> list[Answer]:
    one_thread()
    if not (Path(assignment.plan.folder) / LOCKS).is_dir():
        reason = f"{assignment.plan.folder} is not there on {socket.gethostname()}, where a worker runs"
        return [Answer(job, UNWRITABLE, reason) for job in assignment.jobs]
    return carry_out(assignment)
