"""onset.validate.training and onset.validate.store.jobs: seeds, divergence, resuming, finite-context theory."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from functools import cache
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import safetensors.torch
import torch

from onset.simulate.finite_context.dynamics import FiniteContext
from onset.theory.architecture import Architecture
from onset.theory.dynamics.descent import descend
from onset.theory.markov.priors import DoublyStochastic
from onset.theory.recording import Trajectory
from onset.theory.setting import Setting
from onset.validate.execution import compute
from onset.validate.store.jobs import Job, observation, prediction
from onset.validate.store.runs import Store, UnreadableRun
from onset.validate.training import TrainingRun, resolve_device, train, train_together

CPU = torch.device("cpu")
ARRAY = 4 * sys.getsizeof(np.empty(0))
"""Bytes that a recorded array takes besides its numbers: itself, its entries in lists and dicts, Python numbers."""
TINY = Setting.of("linear", states=2, context=16, learning_rate={"match": 0.4}, steps=60)


def test_the_same_seed_gives_the_same_numbers():
    """To the last bit, for a toy and a transformer; another seed gives others."""
    for setting in (TINY, Setting.of("transformer", states=2, context=8, steps=20, architecture=Architecture(width=8))):
        first, again, other = train(setting, 3), train(setting, 3), train(setting, 4)
        assert np.array_equal(first.loss, again.loss)
        assert np.array_equal(first.attention, again.attention)
        assert not np.array_equal(first.loss, other.loss)


@pytest.mark.parametrize("family", ["linear", "softmax", "transformer"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_seeds_trained_together_are_their_solo_runs(family, optimizer):
    """Records of each of three seeds equal those of its run alone within floating-point error, with dropout too."""
    more = {"architecture": Architecture(width=8, heads=(2, 1))} if family == "transformer" else {}
    rate = 0.02 if optimizer == "adam" else 0.4
    setting = Setting.of(
        family, states=3, context=12, optimizer=optimizer, learning_rate=rate, steps=30, record_every=10, **more
    )
    for seed, run in zip((4, 0, 2), train_together(setting, (4, 0, 2), device=CPU), strict=True):
        alone = train(setting, seed, device=CPU)
        assert np.array_equal(run.steps, alone.steps)
        # Thirty steps in single precision, whose unit in the last place is 1.2e-7.
        for values, expected in (
            (run.loss, alone.loss),
            (run.attention, alone.attention),
            (run.probes["last"], alone.probes["last"]),
        ):
            np.testing.assert_allclose(values, expected, rtol=0, atol=30 * 40 * 1.2e-7)


class Killed(Exception):
    """Raised in place of the end of a process."""


@pytest.mark.parametrize("seeds", [(3,), (3, 5)])
@pytest.mark.parametrize("family", ["linear", "transformer"])
def test_a_killed_training_resumes_to_the_same_numbers_to_the_last_bit(tmp_path, monkeypatch, family, seeds):
    """Stopped after its second checkpoint and resumed by the same call, it has the records of an uninterrupted run."""
    monkeypatch.setattr("onset.validate.training.loop.SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    more = (
        {"architecture": Architecture(width=8), "tested_on": [DoublyStochastic(2)]} if family == "transformer" else {}
    )
    optimizer = "adamw" if family == "transformer" else "adam"
    setting = Setting.of(family, states=2, context=10, optimizer=optimizer, steps=60, record_every=10, **more)
    path = tmp_path / "run.safetensors"

    def stop(step: int, steps: int) -> None:
        if step == 30:
            raise Killed

    with pytest.raises(Killed):
        train_together(setting, seeds, device=CPU, progress=stop, checkpoint=path)
    assert path.exists()
    reached = []
    resumed = train_together(
        setting, seeds, device=CPU, progress=lambda step, steps: reached.append(step), checkpoint=path
    )
    assert reached[0] == 30
    for run, uninterrupted in zip(resumed, train_together(setting, seeds, device=CPU), strict=True):
        assert run.parameters.keys() == uninterrupted.parameters.keys()
        assert list(run.distances) == list(uninterrupted.distances)
        for name in ("steps", "loss", "attention"):
            assert np.array_equal(getattr(run, name), getattr(uninterrupted, name))
        for name, values in uninterrupted.probes.items():
            assert np.array_equal(run.probes[name], values, equal_nan=True)


@cache
def uninterrupted(seed: int) -> Trajectory:
    """A run of TINY."""
    return train(TINY, seed, device=CPU)


def stopped_at(step: int, path: Path) -> bytes:
    """Leave a checkpoint of TINY from seed 1 at `path`; return its content."""

    def stop(reached: int, steps: int) -> None:
        if reached == step:
            raise Killed

    with pytest.raises(Killed):
        train(TINY, 1, device=CPU, checkpoint=path, progress=stop)
    return path.read_bytes()


DAMAGE = {
    "other seed": lambda content: content,
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) - 10],
    "foreign": lambda content: b"not a checkpoint",
    "another tool's": lambda content: safetensors.torch.save({"weight": torch.ones(2)}),
    "one bit flipped": lambda content: content[:-20] + bytes([content[-20] ^ 1]) + content[-19:],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_checkpoint_that_is_damaged_or_of_another_run_is_not_resumed(tmp_path, monkeypatch, damage):
    """A warning names it, it is kept under another name, and training starts again."""
    monkeypatch.setattr("onset.validate.training.loop.SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    path, seed = tmp_path / "run.safetensors", 0 if damage == "other seed" else 1
    content = DAMAGE[damage](stopped_at(10, path))
    path.write_bytes(content)
    with pytest.warns(
        UnreadableRun, match="run.safetensors is not resumed from .*set aside as run.safetensors.corrupt"
    ):
        run = train(TINY, seed, device=CPU, checkpoint=path)
    assert np.array_equal(run.loss, uninterrupted(seed).loss)
    assert (tmp_path / "run.safetensors.corrupt").read_bytes() == content


def test_a_checkpoint_of_a_newer_release_is_refused_and_left_where_it_is(tmp_path, monkeypatch):
    """The message names the file, both releases and what to do; the file is not overwritten."""
    monkeypatch.setattr("onset.validate.training.loop.SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    path = tmp_path / "run.safetensors"
    with monkeypatch.context() as future:
        future.setattr("onset.validate.training.checkpoints.FORMAT", 99)
        future.setattr("onset.validate.training.checkpoints.RELEASE", "9.1")
        before = stopped_at(10, path)
    with pytest.raises(ValueError, match=r"run\.safetensors has format 99, of Onset 9\.1.*release that wrote it"):
        train(TINY, 1, device=CPU, checkpoint=path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"run.safetensors": before}


def test_a_whole_run_continues_past_its_last_transition():
    """The numbers of the run that stops when it has settled, and further ones up to the last step."""
    setting = Setting.of("linear", states=2, context=16, learning_rate={"match": 0.4})
    settled = train(setting, 0, device=CPU)
    last = int(settled.steps[-1]) + 2 * setting.training.record_every
    whole = train(setting.replace(whole=True, steps=last), 0, device=CPU)
    assert settled.steps[-1] < whole.steps[-1] == last < setting.training.steps
    assert np.array_equal(whole.loss[: len(settled.loss)], settled.loss)


@pytest.mark.parametrize("family", ["linear", "transformer"])
def test_memory_grows_by_what_is_recorded_and_nothing_else(monkeypatch, family):
    """Twenty records take no more tensors; memory of Python and NumPy grows by the recorded arrays alone."""
    more = {"architecture": Architecture(width=8)} if family == "transformer" else {}
    setting = Setting.of(family, states=2, context=10, steps=200, record_every=1, whole=True, **more)
    monkeypatch.setattr("onset.validate.training.held_out.HELD_OUT", 16)
    run = TrainingRun(setting, [0], CPU)
    run.record()

    def measured(records: int) -> tuple[int, int, int, int]:
        for _ in range(records):
            run.advance()
            run.record()
        gc.collect()
        tensors = [item for item in gc.get_objects() if issubclass(type(item), torch.Tensor)]
        (recorder,) = run.recorders
        recorded = sum(values.nbytes for values in recorder.arrays().values())
        return len(tensors), sum(tensor.nbytes for tensor in tensors), tracemalloc.get_traced_memory()[0], recorded

    tracemalloc.start()
    try:
        measured(5)
        before, after = measured(5), measured(20)
    finally:
        tracemalloc.stop()
    assert before[:2] == after[:2]
    arrays = len(run.recorders[0].arrays())
    numbers, memory = after[3] - before[3], after[2] - before[2]
    print(f"recorded {numbers} bytes in {20 * arrays} arrays, memory grew by {memory}")
    assert numbers <= memory <= numbers + 20 * arrays * ARRAY


def test_frozen_parts_do_not_change():
    """A frozen part keeps its initial weights, the others change; frozen lag logits form no head."""
    for part in ("layer_1", "layer_2", "embedding", "head"):
        setting = Setting.of(
            "transformer", context=8, steps=10, record_every=10, frozen=[part], architecture=Architecture(width=8)
        )
        moved = dict(zip(setting.model.parts, train(setting, 0, device=CPU).probes["movement"][-1], strict=True))
        assert moved.pop(part) == 0
        assert min(moved.values()) > 0
    toy = train(TINY.replace(frozen=("lag_logits",)), 0, device=CPU)
    assert np.ptp(toy.parameters["lag_logits.1"]) == 0
    assert np.ptp(toy.parameters["match.diagonal"]) > 0


def test_half_precision_follows_single_precision():
    """The loss with bfloat16 products is within their relative error, 2⁻⁸, of that in single precision, but differs."""
    setting = Setting.of("transformer", context=16, steps=20, record_every=20, architecture=Architecture(width=8))
    single, half = (train(setting.replace(precision=p), 0, device=CPU).loss for p in ("float32", "bfloat16"))
    np.testing.assert_allclose(half, single, rtol=2**-8)
    assert half[0] == single[0]
    assert half[-1] != single[-1]


def test_trained_toy_follows_the_finite_context_dynamics(within):
    """Order parameters of trained models minus predicted ones, in units of the spread over seeds (z printed)."""
    setting = TINY.replace(steps=40, record_every=40)
    seeds = 12
    observed = train_together(setting, range(seeds), device=CPU)
    expected = descend(FiniteContext(setting, count=8192), setting.training)
    for name in ("match.diagonal", "match.off_diagonal", "lag_logits.0", "lag_logits.1"):
        values = np.array([run.parameters[name][-1] for run in observed])
        # The theory averages over 8192 × 40 sequences, a run over 64 × 40: 1/128 of the variance over seeds.
        error = values.std(ddof=1) * np.sqrt(1 / seeds + 64 / 8192)
        within(name, values.mean(), expected.parameters[name][-1], error)


def test_a_transformer_with_nan_weights_has_diverged():
    """At an unstable rate its weights become NaN; the next record says so."""
    shape = Architecture(width=8)
    setting = Setting.of(
        "transformer", states=2, context=8, optimizer="sgd", learning_rate=1e6, steps=40, architecture=shape
    )
    run = train(setting, 0, device=CPU)
    assert run.diverged == 20
    assert np.isfinite(run.loss).all()


def test_divergence_is_reported_and_earlier_records_are_kept(tmp_path):
    """At an absurd rate the run ends and names the step; its earlier records are finite and saved."""
    setting = TINY.replace(
        record_every=1, optimizer=Setting.of("linear", states=2, context=16, learning_rate=1e4).training.optimizer
    )
    store = Store(tmp_path)
    compute([Job(setting, "train")], store)
    observed = observation(setting, [0], store)
    (run,) = observed.trajectories
    assert run.diverged is not None
    assert run.steps[-1] < run.diverged
    assert np.isfinite(run.loss).all()
    transition = observed.transitions()[0][-1]
    assert transition.step is None
    assert f"diverged at step {run.diverged}" in str(transition.reason)


def test_a_second_call_reuses_finished_runs_and_fresh_does_not(tmp_path):
    """Modification times are unchanged by a second call, and new with `fresh`."""
    store = Store(tmp_path)
    jobs = [Job(TINY, "train", 0), Job(TINY, "mean-field")]
    compute(jobs, store, workers=1)
    before = [store.path(job.name).stat().st_mtime_ns for job in jobs]
    compute(jobs, store, workers=1)
    assert [store.path(job.name).stat().st_mtime_ns for job in jobs] == before
    compute(jobs, store, workers=1, fresh=True)
    assert all(store.path(job.name).stat().st_mtime_ns > then for job, then in zip(jobs, before, strict=True))
    assert prediction(TINY, "mean-field", store).plateaus["uniform"].value == np.log(2)


def test_workers_do_not_change_numbers(tmp_path):
    """Two processes write what one writes."""
    jobs = [Job(TINY, "train", seed) for seed in (0, 1)]
    for workers in (1, 2):
        compute(jobs, Store(tmp_path / str(workers)), workers=workers)
    alone, parallel = (observation(TINY, (0, 1), Store(tmp_path / str(workers))) for workers in (1, 2))
    for a, b in zip(alone.trajectories, parallel.trajectories, strict=True):
        assert np.array_equal(a.loss, b.loss)


def test_a_killed_process_loses_only_unfinished_runs(tmp_path):
    """After kill -9 finished files are complete, and the others are computed by the next call."""
    script = (
        "import sys\n"
        "from tests_setting import SETTING\n"
        "from onset.validate.execution import compute\n"
        "from onset.validate.store.jobs import Job\n"
        "from onset.validate.store.runs import Store\n"
        "compute([Job(SETTING, 'train', seed) for seed in range(200)], Store(sys.argv[1]), workers=1)"
    )
    (tmp_path / "tests_setting.py").write_text(
        "from onset.theory.setting import Setting\n"
        "SETTING = Setting.of('linear', states=2, context=16, learning_rate={'match': 0.4}, steps=60)\n"
    )
    runs = tmp_path / "runs"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.getcwd()])}
    process = subprocess.Popen([sys.executable, "-c", script, str(runs)], env=environment)
    deadline = time.monotonic() + 60
    while not list(runs.glob("*.nc")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    store = Store(runs)
    finished = list(runs.glob("*.nc"))
    assert finished
    assert all(store.load(path.stem) is not None for path in finished)
    computed = []
    seeds = range(len(finished) + 1)
    compute(
        [Job(TINY, "train", seed) for seed in seeds],
        store,
        workers=1,
        watch=lambda status: computed.append(status.last.seed) if status.last else None,
    )
    assert computed == [seed for seed in seeds if f"{TINY.id}-train-{seed}.nc" not in {path.name for path in finished}]


def test_devices_are_named(monkeypatch):
    """`auto` finds one; a missing or unknown one is a clear error."""
    assert resolve_device("cpu").type == "cpu"
    assert resolve_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(ValueError, match="did you mean 'cuda'"):
        resolve_device("cudo")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match="finds none on this machine"):
        resolve_device("cuda")


def test_torch_has_one_thread_while_models_train():
    """Also after the pool of compiled kernels has started, which shares OpenMP with torch: with more, a step waits for
    a thread that another process may have put to sleep (fifteen times as long, on two cores)."""
    code = """
import torch
from onset.theory.setting import Setting
from onset.validate.training import train
train(Setting.of("transformer", states=3, context=12, batch=4, steps=20, record_every=20), device=torch.device("cpu"))
print(torch.get_num_threads())
"""
    environment = os.environ | {"NUMBA_NUM_THREADS": "2"}
    for name in ("OMP_NUM_THREADS", "NUMBA_THREADING_LAYER"):
        environment.pop(name, None)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"]
