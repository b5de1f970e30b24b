"""Carrying out jobs: each is computed once, in a process that holds its lock, and its answer written to the shared folder.

`worker` is what a worker does, `locks` keeps two from doing the same, `failures` keeps what failed; `local` and `cluster` are the executors, in this
process, in processes of this machine, on a dask cluster; `computing` hands out the jobs and listens; `status` says how far it is.
"""

from __future__ import annotations

from onset.validate.execution.computing import Tally, compute, missing
from onset.validate.execution.failures import Failure, failed_in
from onset.validate.execution.status import Status, cost

__all__ = ["Failure", "Status", "Tally", "compute", "cost", "failed_in", "missing"]
