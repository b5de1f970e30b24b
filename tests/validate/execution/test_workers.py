"""onset.validate.execution.local: a worker process that dies is replaced, and its job tried again, a few times."""

from __future__ import annotations

import os
import signal
from functools import partial

import pytest

pytest.importorskip("xarray")

from onset.theory.setting import Setting
from onset.validate.execution.computing import drive, missing
from onset.validate.execution.local import Processes
from onset.validate.execution.worker import COMPUTED, Answer, Plan
from onset.validate.store.jobs import Job
from onset.validate.store.runs import Record, Store


def mortal(assignment, progress, deaths):
    """Work that kills its process as often as `deaths` says for a job, then writes an empty record."""
    store, (job,) = Store(assignment.plan.folder), assignment.jobs
    with (store.folder / f"{job.name}.begun").open("a") as counted:
        counted.write("x")
    if (store.folder / f"{job.name}.begun").stat().st_size <= deaths.get(job.name, 0):
        os.kill(os.getpid(), signal.SIGKILL)
    store.save(job.name, Record(job.setting, (), {}))
    return [Answer(job, COMPUTED)]


def test_a_worker_that_dies_is_replaced_and_its_job_tried_again_at_most_twice(tmp_path):
    """kill -9 of a worker once: its job succeeds. Three times: it is listed with the reason. Others are computed
    once.
    """
    store, setting = Store(tmp_path), Setting.of("linear")
    unlucky, deadly, *_ = jobs = [Job(setting, "law", seed) for seed in range(5)]
    work = partial(mortal, deaths={unlucky.name: 1, deadly.name: 3})
    tally = drive(jobs, Plan(str(tmp_path), "cpu"), store, Processes(2, work))
    (failure,) = tally.failed
    assert failure.name == deadly.name
    assert "SIGKILL" in failure.reason
    assert missing(jobs, store) == [deadly]
    begun = [(tmp_path / f"{job.name}.begun").stat().st_size for job in jobs]
    assert begun == [2, 3, 1, 1, 1]
