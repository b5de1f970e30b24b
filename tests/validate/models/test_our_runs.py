"""onset.validate.models.our_runs: models from run files and checkpoints compute what they did in training."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from onset.theory.architecture import Architecture
from onset.theory.setting import Setting
from onset.validate.execution import compute
from onset.validate.heads.scoring import inspect
from onset.validate.models.loading import load
from onset.validate.models.our_runs import weights_of
from onset.validate.store.jobs import TRAIN, Job
from onset.validate.store.runs import Record, Store
from onset.validate.training.checkpoints import save_checkpoint
from onset.validate.training.loop import TrainingRun

SHAPE = Architecture(2, 16, (2, 1), feed_forward=2)
SETTING = Setting.of("transformer", states=3, context=20, steps=40, record_every=10, architecture=SHAPE)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("runs"))
    compute([Job(SETTING, TRAIN, seed) for seed in range(2)], store, workers=1, device="cpu").check()
    return store


def path_of(store, seed=0):
    return store.path(Job(SETTING, TRAIN, seed).name)


def test_a_run_file_holds_the_last_weights(store):
    """The model has the last recorded loss on the run's own held-out sequences."""
    for seed in range(2):
        curve = store.load(Job(SETTING, TRAIN, seed).name).trajectories[0]
        loaded = load(path_of(store, seed), device="cpu")
        run = TrainingRun(SETTING, [seed], torch.device("cpu"))
        assert run.held_out[0].measure(loaded.model).loss == pytest.approx(curve.loss[-1], rel=1e-6)
        assert f"seed {seed}, step 40, 2 layers of 1 or 2 heads, vocabulary 3, context 20" in loaded.description
        assert (loaded.context, loaded.task) == (20, SETTING.task)


def test_seeds_that_train_together_keep_weights_of_their_own(store, tmp_path):
    """To rounding those of seeds that train alone."""
    together = Store(tmp_path / "runs")
    jobs = [Job(SETTING, TRAIN, seed) for seed in range(2)]
    compute(jobs, together, workers=1, device="cpu", together=True).check()
    for job in jobs:
        alone, other = (s.load(job.name).trajectories[0].weights for s in (store, together))
        assert alone.keys() == other.keys()
        for name, values in alone.items():
            np.testing.assert_allclose(other[name], values, atol=1e-5)


def test_heads_of_a_run_are_scored_on_its_task(store):
    table = inspect(path_of(store), sequences=4, device="cpu")
    assert table.score.values.tolist()[:3] == ["previous-token", "prefix-matching", "duplicate-token"]
    assert set(table.shown.values[:3]) == {"sequences of the task k=3 T=20"}
    # The control is uniform attention on the same sequences.
    assert np.isfinite(table["mean"].values[:3, 0]).all()
    assert "25 distinct random tokens" in table.attrs["missing"]


def test_a_checkpoint_is_a_model_too(tmp_path):
    run = TrainingRun(SETTING, [3, 4], torch.device("cpu"))
    run.record()
    run.advance()
    save_checkpoint(path := tmp_path / "run.safetensors", SETTING, [3, 4], *run.state())
    setting, weights, what = weights_of(path)
    assert (setting, what) == (SETTING, "seed 3, step 1")
    for name, values in weights.items():
        np.testing.assert_array_equal(values, run.parameters[name][0].detach())
    assert load(path, device="cpu").task == SETTING.task


def saved(store, name, **changes):
    record = store.load(Job(SETTING, TRAIN, 0).name)
    curve = dataclasses.replace(record.trajectories[0], **changes.pop("curve", {}))
    notes = record.notes | changes.pop("notes", {})
    return store.save(name, Record(changes.pop("setting", SETTING), (curve,), notes))


def test_files_without_weights_are_named(store, tmp_path):
    toy = Setting.of("linear")
    for path, says in (
        (saved(store, "a", curve={"weights": {}}), "an earlier release wrote it; train it again with --fresh"),
        (saved(store, "b", curve={"weights": {}, "diverged": 7}), "it diverged at step 7"),
        (saved(store, "c", curve={"weights": {}, "probes": {}}, setting=toy), "a toy model has order parameters alone"),
        (saved(store, "d", notes={"kind": "law"}), "it holds a prediction; expected a trained transformer"),
    ):
        with pytest.raises(ValueError, match=says):
            load(path)
    (broken := tmp_path / "broken.nc").write_bytes(path_of(store).read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"broken.nc: .*; expected a run file of onset train"):
        load(broken)
    (foreign := tmp_path / "foreign.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="not a checkpoint of training of this release"):
        load(foreign)
