"""onset.validate.execution.cluster: the same numbers wherever a job runs, also when a worker or the scheduler dies on
the way.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("distributed")

import distributed

from onset.theory.setting import Setting
from onset.validate.errors import ComputationStopped
from onset.validate.execution import compute
from onset.validate.execution.cluster import Cluster, _on_worker
from onset.validate.execution.computing import missing
from onset.validate.execution.worker import UNWRITABLE, Assignment, Plan
from onset.validate.store.jobs import Job
from onset.validate.store.runs import Store

SETTING = Setting.of("linear", states=2, context=10, steps=200, record_every=100, whole=True)
JOBS = [Job(SETTING, "train", seed) for seed in range(6)] + [Job(Setting.of("linear"), "law")]


def dask(*arguments: object) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    call = [sys.executable, "-m", "dask", *map(str, arguments), "--no-dashboard"]
    return subprocess.Popen(call, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Machines:
    """A scheduler and two workers in separate processes, all of which can be killed."""

    def __init__(self, held: ExitStack) -> None:
        self._held = held
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.start()

    def start(self, workers: int = 2) -> None:
        self.scheduler = self._started("scheduler", "--host", "127.0.0.1", "--port", self.port)
        self.workers = [self._started("worker", self.address, "--nthreads", 1, "--no-nanny") for _ in range(workers)]
        with distributed.Client(self.address, timeout="120s", set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=120)

    def _started(self, *arguments: object) -> subprocess.Popen[bytes]:
        process = dask(*arguments)
        self._held.callback(process.wait)
        self._held.callback(process.kill)
        return process


@pytest.fixture(scope="module")
def machines():
    """One test kills a worker, the next the scheduler: each goes on with what is left."""
    with ExitStack() as held:
        yield Machines(held)


def numbers(store: Store) -> list[np.ndarray]:
    """Every number of every trajectory of every job."""
    tally = []
    for job in JOBS:
        record = store.load(job.name)
        assert record is not None
        for trajectory in record.trajectories:
            tally += [
                trajectory.steps,
                trajectory.loss,
                trajectory.attention,
                *trajectory.distances.values(),
                *trajectory.parameters.values(),
            ]
    return tally


def test_a_sweep_gives_the_same_numbers_wherever_it_runs(tmp_path, machines):
    """To the last bit: in this process, on a local cluster, and on a separate scheduler, one of whose two workers is
    killed.
    """
    here, local, apart = (Store(tmp_path / name) for name in ("here", "local", "apart"))
    compute(JOBS, here, device="cpu", workers=1)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as cluster:
        tally = compute(JOBS, local, device="cpu", scheduler=cluster.scheduler_address)
        assert set(tally.computed) == set(JOBS)

    def watch(status) -> None:
        if status.last is not None and status.done == 1:
            machines.workers[0].kill()

    tally = compute(JOBS, apart, device="cpu", scheduler=machines.address, watch=watch)
    assert machines.workers[0].wait() < 0
    assert tally.failed == ()
    assert {*tally.computed, *tally.by_others} == set(JOBS)
    for store in (local, apart):
        for trajectory, other in zip(numbers(here), numbers(store), strict=True):
            assert np.array_equal(trajectory, other)


def test_a_scheduler_that_goes_away_and_comes_back(run, tmp_path, machines):
    """Exit status 1 with one sentence that says how to go on; what was finished stays; when it is back the same command
    computes the rest.
    """
    file, runs = tmp_path / "night.toml", tmp_path / "out" / "runs"
    file.write_text(
        'seeds = 6\n[setting]\nfamily = "linear"\ncontext = 10\nsteps = 300\nrecord_every = 100\nwhole = true\n'
    )

    def kill() -> None:
        patience = time.monotonic() + 300
        while not list(runs.glob("*.nc")) and time.monotonic() < patience:
            time.sleep(0.01)
        machines.scheduler.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    call = ("sweep", str(file), "--out", str(tmp_path / "out"), "--device", "cpu", "--scheduler", machines.address)
    status, out, err = run(*call)
    killer.join()
    assert (status, out) == (1, "")
    last = err.splitlines()[-1]
    assert machines.address in last
    assert "same command" in last
    assert "Traceback" not in err
    finished = {path.name: path.stat().st_mtime_ns for path in runs.glob("*.nc")}
    assert 0 < len(finished) < 6
    machines.start(1)
    status, out, _ = run(*call, "--json")
    assert status == 0
    assert '"complete": true' in out
    after = {path.name: path.stat().st_mtime_ns for path in runs.glob("*.nc")}
    assert len(after) == 6
    assert finished.items() <= after.items()


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    """One sentence with the address and what to do; and so where dask.distributed is not installed."""
    with pytest.raises(ValueError, match=r"scheduler = 'tcp://127.0.0.1:1': expected .*start one with dask scheduler"):
        Cluster("tcp://127.0.0.1:1", patience=0.2)
    with pytest.raises(ValueError, match=r"scheduler = 'nowhere://x': expected"):
        Cluster("nowhere://x", patience=0.2)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ValueError, match=r"not installed.*pip install 'icl-onset\[cluster\]'"):
        Cluster("tcp://127.0.0.1:1")


def test_a_worker_that_does_not_see_the_folder_says_so(tmp_path):
    """It makes no new folder, in which its runs would be lost."""
    (answer,) = _on_worker(Assignment(tuple(JOBS[:1]), Plan(str(tmp_path / "elsewhere"))))
    assert answer.end == UNWRITABLE
    assert socket.gethostname() in answer.reason
    assert missing(JOBS[:1], Store(tmp_path)) == JOBS[:1]
    assert not (tmp_path / "elsewhere").exists()


def test_a_scheduler_that_goes_away_before_its_workers_are_counted():
    """Whatever is asked first of a scheduler that is gone: the same sentence."""
    with distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as scheduler:
        cluster = Cluster(scheduler.scheduler_address, patience=1)
    with pytest.raises(ComputationStopped, match=r"is gone.*give the same command"):
        _ = cluster.workers
    cluster.__exit__()
