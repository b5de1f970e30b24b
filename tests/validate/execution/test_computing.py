"""onset.validate.execution: every job is computed once, by whichever process; failures are listed with their reason."""

from __future__ import annotations

import json
import threading
import time

import pytest

pytest.importorskip("torch")

import torch

from onset.theory.setting import Setting
from onset.validate.execution import batched_seeds as together
from onset.validate.execution import compute, failed_in, worker
from onset.validate.execution.computing import missing
from onset.validate.execution.status import Status
from onset.validate.execution.worker import BUSY, Assignment, Plan, carry_out, locked
from onset.validate.store.jobs import Job, finished, measured, observation
from onset.validate.store.runs import Record, Store

TINY = Setting.of("linear", states=2, context=10, steps=40, record_every=10)
QUICK = [Job(Setting.of("linear", states=2, context=20 + n), "law") for n in range(3)]


def ends(ended: list[str]):
    """A watch that notes the jobs that end."""
    return lambda status: ended.append(status.last.name) if status.last else None


def test_a_failing_job_is_listed_and_the_rest_is_computed(tmp_path, monkeypatch):
    """The reason is in the tally and in the folder; a later call tries it again, and when it succeeds nothing is left
    of it.
    """
    real = worker.predict

    def broken(setting, *rest, **more):
        if setting == QUICK[1].setting:
            raise RuntimeError("out of luck")
        return real(setting, *rest, **more)

    store = Store(tmp_path)
    monkeypatch.setattr(worker, "predict", broken)
    for _ in range(2):
        tally = compute(QUICK, store, workers=1)
        assert [one.reason for one in tally.failed] == ["RuntimeError: out of luck"]
        assert [job in store for job in QUICK] == [True, False, True]
        assert failed_in(store) == {QUICK[1].name: tally.failed[0]}
        kept = json.loads((tmp_path / f"{QUICK[1].name}.failed.json").read_text())
        assert Setting.from_dict(kept["setting"]) == QUICK[1].setting
        assert "out of luck" in kept["details"]
    assert tally.computed == ()
    monkeypatch.undo()
    assert compute(QUICK, store, workers=1).computed == (QUICK[1],)
    assert failed_in(store) == {}
    assert not list(tmp_path.glob("*.failed.json"))
    assert missing(QUICK, store) == []


@pytest.mark.parametrize("finishes", [True, False])
def test_a_job_of_another_process_is_left_to_it_and_waited_for(tmp_path, finishes):
    """The others come first; then its answer is taken if it gave one, and the job is computed if it gave up."""
    store, order = Store(tmp_path), []
    first, *others = QUICK
    others_ended = threading.Event()

    def other() -> None:
        with locked(store.folder, first.name) as free:
            assert free
            begun.set()
            others_ended.wait(60)
            if finishes:
                store.save(first.name, Record(first.setting, (), {"refused": "by the other"}))

    begun = threading.Event()
    thread = threading.Thread(target=other)
    thread.start()
    begun.wait(60)

    def watch(status: Status) -> None:
        ends(order)(status)
        if len(order) == len(others):
            assert status.elsewhere == 1
            others_ended.set()

    tally = compute(QUICK, store, workers=1, watch=watch)
    thread.join()
    assert order == [*(job.name for job in others), first.name]
    assert tally.by_others == ((first,) if finishes else ())
    record = store.load(first.name)
    assert record is not None
    assert (record.notes.get("refused") == "by the other") == finishes


MEASURE = Job(TINY, "circuits", 5)


@pytest.fixture
def measured_runs(monkeypatch) -> list[tuple[str, int]]:
    """Measures of runs that are asked for, with the seed of the run that they are given."""
    asked: list[tuple[str, int]] = []

    def measure_run(run, name):
        asked.append((name, run.notes["seed"]))
        return {"steps": float(run.trajectories[0].steps[-1])}

    monkeypatch.setattr("onset.validate.measures.measure_run", measure_run)
    return asked


def test_a_run_that_is_measured_is_trained_first(tmp_path, measured_runs):
    """By whoever measures it, once; then both are there."""
    store = Store(tmp_path)
    assert compute([MEASURE], store, device="cpu", workers=1).computed == (MEASURE,)
    assert measured_runs == [("circuits", 5)]
    assert MEASURE.source == Job(TINY, "train", 5)
    assert finished(MEASURE.source, store)
    assert measured(TINY, "circuits", [5], store) == [{"steps": TINY.training.steps}]
    assert compute([MEASURE.source, MEASURE], store, device="cpu", workers=1).computed == ()
    compute([MEASURE], store, device="cpu", workers=1, fresh=True)  # not the run again
    assert measured_runs == [("circuits", 5)] * 2


def test_a_measure_waits_for_a_run_that_another_process_trains(tmp_path, measured_runs):
    store = Store(tmp_path)
    assert MEASURE.source is not None
    with locked(store.folder, MEASURE.source.name):
        assert [answer[:2] for answer in carry_out(Assignment((MEASURE,), Plan(str(tmp_path))))] == [(MEASURE, BUSY)]
    assert not measured_runs
    compute([MEASURE], store, device="cpu", workers=1)
    assert measured_runs


def test_a_measure_fails_with_its_run(tmp_path, monkeypatch, measured_runs):
    """The run's reason is given; a prediction that was refused cannot be measured, and says why."""
    monkeypatch.setattr("onset.validate.training.train_together", lambda *args, **options: 1 / 0)
    (failure,) = compute([MEASURE], Store(tmp_path), device="cpu", workers=1).failed
    assert (failure.label, failure.reason) == (MEASURE.label, "ZeroDivisionError: division by zero")
    job = Job(TINY, "in-context", 0)
    Store(tmp_path).save(job.source.name, Record(TINY, (), {"refused": "no law"}))
    (failure,) = compute([job], Store(tmp_path), workers=1).failed
    assert failure.reason == "Refused: no law"
    assert not measured_runs


def test_seeds_of_a_setting_train_together_if_asked(tmp_path):
    """One batched model, one checkpoint; each seed's file holds the numbers of its solo run within floating-point
    error. What is there is left out.
    """
    store = Store(tmp_path / "together")
    jobs = [Job(TINY, "train", seed) for seed in (0, 1, 2)] + [QUICK[0]]
    compute(jobs[1:2], store, device="cpu", workers=1)
    before = store.path(jobs[1].name).stat().st_mtime_ns
    begun = []
    compute(jobs, store, device="cpu", workers=1, together=True, progress=lambda step, steps: begun.append(step))
    assert begun == sorted(set(begun))
    assert store.path(jobs[1].name).stat().st_mtime_ns == before
    assert [store.load(job.name).notes["together"] for job in jobs[:3]] == [2, 1, 2]
    alone = Store(tmp_path / "alone")
    compute(jobs, alone, device="cpu", workers=1)
    # Forty steps of single precision, whose unit in the last place is 1.2e-7, as in tests/validate/test_training.py.
    for one, other in zip(*(observation(TINY, (0, 1, 2), held).trajectories for held in (store, alone)), strict=True):
        assert one.loss == pytest.approx(other.loss, abs=40 * 40 * 1.2e-7)
    assert not list(store.folder.glob("*.safetensors"))


def test_status_counts_steps_and_estimates_the_time_left():
    """A pace of the last half minute; the time left in proportion to what jobs cost; nothing before each worker has
    answered.
    """
    jobs = [Job(TINY, "train", seed) for seed in range(4)]
    status = Status(jobs, 1)
    status.end(jobs[0])
    assert status.seconds_left is None
    status.count(100)
    time.sleep(0.05)
    status.end(jobs[1], failed=True)
    assert status.seconds_left == pytest.approx(time.monotonic() - status._started, rel=0.1)
    assert (status.done, status.failed) == (1, 1)
    assert status.steps_per_second > 0
    assert "1 failed" in status.summary


def test_training_together_is_decided_by_measured_steps(monkeypatch):
    """Never on a CPU, where seeds run side by side; elsewhere where a step of all takes less than a step of each."""
    cpu, other = torch.device("cpu"), torch.device("cuda")
    assert together._seconds(TINY, 2, cpu) > 0
    for all_of_them, pays in ((3.9, True), (4.1, False)):
        monkeypatch.setattr(together, "_seconds", lambda _, seeds, __, t=all_of_them: t if seeds == 4 else 1.0)
        assert together.pays(TINY, 4, other) == pays
        assert not together.pays(TINY, 4, cpu)
    assert not together.pays(TINY, 1, other)
