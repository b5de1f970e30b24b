"""onset.validate.store.measurements: numbers of public models are stored, read, and measured again where damaged."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")

from onset.validate.execution import compute
from onset.validate.store.jobs import Job, finished, measured
from onset.validate.store.measurements import Measurement
from onset.validate.store.public_models import SMOLLM2
from onset.validate.store.runs import Store, UnreadableRun

JOB = Job(SMOLLM2, "ablation", 1)


@pytest.fixture
def calls(monkeypatch) -> list[tuple[object, ...]]:
    """Measures that are asked for; none is made."""
    asked: list[tuple[object, ...]] = []

    def measure(model, name, seed, **options):
        asked.append((model, name, seed))
        return {"value": 0.5 + seed}

    monkeypatch.setattr("onset.validate.measures.measure", measure)
    return asked


def test_a_measure_is_computed_once(tmp_path, calls):
    store = Store(tmp_path)
    assert not finished(JOB, store)
    assert len(compute([JOB], store, workers=1).computed) == 1
    assert len(compute([JOB], store, workers=1).computed) == 0
    assert calls == [(SMOLLM2, "ablation", 1)]
    assert JOB in store
    assert measured(SMOLLM2, "ablation", [1], store) == [{"value": 1.5}]
    result = store.measurement(JOB.name)
    assert result is not None
    assert result.subject is SMOLLM2
    assert result.notes["seed"] == 1
    with pytest.raises(ValueError, match=r"no finished run smollm2-135m-ablation-0 \(SmolLM2-135M · ablation seed 0\)"):
        measured(SMOLLM2, "ablation", [0], store)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 99}', '{"format": 1, "public_model": "other"}', "\xff"])
def test_a_damaged_file_is_set_aside_and_measured_again(tmp_path, calls, content):
    store = Store(tmp_path)
    path = store.save(JOB.name, Measurement(SMOLLM2, {"value": 2.0}, {}))
    path.write_text(content, encoding="latin-1")
    with pytest.warns(UnreadableRun, match="Set aside as"):
        assert store.measurement(JOB.name) is None
    assert compute([JOB], store, workers=1).computed == (JOB,)
    assert measured(SMOLLM2, "ablation", [1], store) == [{"value": 1.5}]


def test_numbers_that_json_does_not_know_are_refused(tmp_path):
    with pytest.raises(ValueError, match="Out of range"):
        Store(tmp_path).save(JOB.name, Measurement(SMOLLM2, {"value": float("nan")}, {}))
    assert not list(tmp_path.glob("*"))


def test_failures_name_the_model_and_are_forgotten_after_success(tmp_path, calls, monkeypatch):
    from onset.validate.execution.failures import failed_in

    store = Store(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("onset.validate.measures.measure", lambda *args, **options: 1 / 0)
        tally = compute([JOB], store, workers=1)
    assert [failure.label for failure in tally.failed] == [JOB.label]
    (note,) = tmp_path.glob("*.failed.json")
    assert json.loads(note.read_text())["setting"] == {"public_model": SMOLLM2.label}
    assert list(failed_in(store)) == [JOB.name]
    compute([JOB], store, workers=1)
    assert not failed_in(store)
