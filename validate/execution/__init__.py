"""Execution of jobs: each is computed once, by a process that holds its lock, and stored in a shared folder.

`computing` hands out the jobs and collects the answers, through an executor: this process or others of this machine
(`local`), or a dask cluster (`cluster`). `worker` locks a job, computes and stores it, `failures` records what failed,
`status` says how far a computation is.
"""

from __future__ import annotations

from onset.validate.execution.computing import Tally, compute, missing
from onset.validate.execution.failures import Failure, failed_in
from onset.validate.execution.status import Status, cost

__all__ = ["Failure", "Status", "Tally", "compute", "cost", "failed_in", "missing"]
