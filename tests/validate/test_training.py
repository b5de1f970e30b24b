"""validate.training and validate.observed: seeds, divergence, resuming, and agreement with the finite-context theory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("torch")

from simulate.reduced import FiniteContext
from theory.dynamics import descend
from theory.setting import Architecture, Setting
from validate.observed import Task, compute, observation, prediction
from validate.runs import Store
from validate.training import resolve_device, train

TINY = Setting.of("linear", states=2, context=16, learning_rate={"match": 0.4}, steps=60)


def test_the_same_seed_gives_the_same_numbers():
    """Twice the same seed: equal to the last bit, for a toy and a transformer; another seed: not."""
    for setting in (TINY, Setting.of("transformer", states=2, context=8, steps=20, architecture=Architecture(width=8))):
        first, again, other = train(setting, 3), train(setting, 3), train(setting, 4)
        assert np.array_equal(first.loss, again.loss)
        assert np.array_equal(first.attention, again.attention)
        assert not np.array_equal(first.loss, other.loss)


def test_trained_toy_follows_the_finite_context_dynamics(within):
    """Order parameters of trained models minus predicted ones, in units of the spread over seeds (z printed)."""
    setting = TINY.replace(steps=40, record_every=40)
    seeds = 12
    observed = [train(setting, seed) for seed in range(seeds)]
    expected = descend(FiniteContext(setting, count=8192), setting)
    for name in ("match.diagonal", "match.off_diagonal", "lag_logits.0", "lag_logits.1"):
        values = np.array([one.parameters[name][-1] for one in observed])
        # The theory's own error is that of 8192 × 40 sequences against the 64 × 40 of a run: 1/128 of the variance over seeds.
        error = values.std(ddof=1) * np.sqrt(1 / seeds + 64 / 8192)
        within(name, values.mean(), expected.parameters[name][-1], error)


def test_divergence_is_reported_and_what_came_before_is_kept(tmp_path):
    """At an absurd rate the run ends at a step it names; its records before that are finite and saved."""
    setting = TINY.replace(
        record_every=1, optimizer=Setting.of("linear", states=2, context=16, learning_rate=1e4).optimizer
    )
    store = Store(tmp_path)
    compute([Task(setting, "train")], store)
    found = observation(setting, [0], store)
    (run,) = found.trajectories
    assert run.diverged is not None
    assert run.steps[-1] < run.diverged
    assert np.isfinite(run.loss).all()
    transition = found.transitions()[0][-1]
    assert transition.step is None
    assert f"diverged at step {run.diverged}" in str(transition.reason)


def test_a_second_call_reuses_finished_runs_and_fresh_does_not(tmp_path):
    """Modification times tell: unchanged on a second call, new with `fresh`."""
    store = Store(tmp_path)
    tasks = [Task(TINY, "train", 0), Task(TINY, "mean-field")]
    compute(tasks, store, workers=1)
    before = [store.path(task.name).stat().st_mtime_ns for task in tasks]
    compute(tasks, store, workers=1)
    assert [store.path(task.name).stat().st_mtime_ns for task in tasks] == before
    compute(tasks, store, workers=1, fresh=True)
    assert all(store.path(task.name).stat().st_mtime_ns > then for task, then in zip(tasks, before, strict=True))
    assert prediction(TINY, "mean-field", store).plateaus["uniform"].value == np.log(2)


def test_workers_do_not_change_numbers(tmp_path):
    """Two processes side by side write what one writes."""
    tasks = [Task(TINY, "train", seed) for seed in (0, 1)]
    for workers in (1, 2):
        compute(tasks, Store(tmp_path / str(workers)), workers=workers)
    one, two = (observation(TINY, (0, 1), Store(tmp_path / str(workers))) for workers in (1, 2))
    for a, b in zip(one.trajectories, two.trajectories, strict=True):
        assert np.array_equal(a.loss, b.loss)


def test_a_killed_process_loses_only_what_was_not_finished(tmp_path):
    """kill -9 after the first of many runs: that file is whole, no half-written one is taken for a run, and the rest is computed."""
    script = (
        "import sys; from tests_setting import SETTING; from validate.observed import Task, compute; from validate.runs import Store\n"
        "compute([Task(SETTING, 'train', seed) for seed in range(200)], Store(sys.argv[1]), workers=1)"
    )
    (tmp_path / "tests_setting.py").write_text(
        "from theory.setting import Setting\nSETTING = Setting.of('linear', states=2, context=16, learning_rate={'match': 0.4}, steps=60)\n"
    )
    runs = tmp_path / "runs"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.getcwd()])}
    process = subprocess.Popen([sys.executable, "-c", script, str(runs)], env=environment)
    patience = time.monotonic() + 60
    while not list(runs.glob("*.nc")) and time.monotonic() < patience:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    store = Store(runs)
    finished = list(runs.glob("*.nc"))
    assert finished
    assert all(store.load(path.stem) is not None for path in finished)
    todo = []
    seeds = range(len(finished) + 1)
    compute(
        [Task(TINY, "train", seed) for seed in seeds],
        store,
        workers=1,
        finished=lambda task, *_: todo.append(task.seed),
    )
    assert todo == [seed for seed in seeds if f"{TINY.id}-train-{seed}.nc" not in {path.name for path in finished}]


def test_devices_are_named(monkeypatch):
    """`auto` finds one; a missing or unknown one is a clear error."""
    assert resolve_device("cpu").type == "cpu"
    assert resolve_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(ValueError, match="did you mean 'cuda'"):
        resolve_device("cudo")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match="finds none on this machine"):
        resolve_device("cuda")
