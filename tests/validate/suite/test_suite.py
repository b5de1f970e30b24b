"""onset.validate.suite: what each suite holds, what is computed of it, and what is found."""

from __future__ import annotations

import io
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("torch")

from onset.theory.laws.basins import escapes
from onset.theory.markov.priors import Dirichlet, DoublyStochastic, Mixture
from onset.theory.setting import Setting
from onset.validate import suite
from onset.validate.execution import compute, worker
from onset.validate.store.jobs import BASIN, TRAIN, Job, Refused, prediction
from onset.validate.store.runs import Store
from onset.validate.suite import jobs as running
from onset.validate.suite.series import series
from onset.validate.suite.settings import SEEDS, SEEDS_OF_SHORT, SHORT_CONTEXT, cases


def test_the_quick_suite_holds_what_it_must():
    """Both toy families, SGD and Adam, the named (k, T), another concentration, a doubly stochastic prior and a
    transformer.
    """
    settings = [case.setting for case in cases("quick")]
    flat = {
        (s.model.family, s.training.optimizer.name, s.task.states, s.task.context)
        for s in settings
        if s.task.prior == Dirichlet(s.task.states)
    }
    assert flat >= {("linear", "sgd", k, t) for k, t in ((2, 50), (2, 100), (3, 100), (4, 100))}
    assert flat >= {("softmax", name, 3, t) for name in ("sgd", "adam") for t in (25, 50, 100)}
    assert any(isinstance(s.task.prior, DoublyStochastic) for s in settings)
    assert any(getattr(s.task.prior, "concentration", 1.0) != 1.0 for s in settings)
    assert [(s.model.family, s.task.context) for s in settings].count(("transformer", 100)) == 1
    assert len({s.id for s in settings}) == len(settings)


def test_the_standard_suite_spans_what_it_must():
    """Contexts, states, concentrations, ratios of the rates, priors, families, optimisers and orders; more
    seeds at short contexts; labels tell settings apart.
    """
    selected = cases("standard")
    toys = [case.setting for case in selected if case.toy]
    assert {s.task.context for s in toys} >= {25, 50, 100, 200, 400}
    assert {s.task.states for s in toys} == {2, 3, 4, 8}
    assert {s.task.prior.concentration for s in toys if isinstance(s.task.prior, Dirichlet)} >= {0.3, 1, 3}
    assert {type(s.task.prior) for s in toys} >= {DoublyStochastic, Mixture}
    assert {(s.model.family, s.training.optimizer.name) for s in toys} == {
        (f, o) for f in ("linear", "softmax") for o in ("sgd", "adam")
    }
    assert {s.task.order for s in toys} == {2, 3}
    for family in ("linear", "softmax"):
        assert any(
            len(one.values) == 3 for one in series([s for s in toys if s.model.family == family], "learning-rate.match")
        )
    assert {(case.setting.task.context <= SHORT_CONTEXT, case.seeds) for case in selected if case.toy} == {
        (True, SEEDS_OF_SHORT),
        (False, SEEDS),
    }
    assert [case.setting.model.family for case in selected if not case.toy] == ["transformer"]
    assert 60 <= len(toys) <= 70
    assert len({s.id for s in toys}) == len({s.label for s in toys}) == len(toys)


def test_the_full_suite_is_the_standard_one_with_more_seeds_and_more():
    """Every standard setting with ten seeds, and settings that only it has; labels still tell settings apart."""
    full = {case.setting: case for case in cases("full")}
    assert {case.setting for case in cases("standard")} < set(full)
    assert {case.seeds for case in full.values()} == {10}
    assert max(setting.task.context for setting in full) > 400
    assert len({setting.label for setting in full}) == len(full) == len(cases("full"))
    assert len(running.suite_jobs("full", kinds=[TRAIN])) == len(set(running.suite_jobs("full", kinds=[TRAIN])))


def test_the_corrections_train_nothing():
    """Both families, k = 2, 3, 4, 8, three concentrations, T = 50 and 100 under SGD; Adam by the law; predictions
    alone, and no basins, which are compared with trained models.
    """
    selected = cases("corrections")
    sgd = {
        (s.model.family, s.task.states, s.task.prior.concentration, s.task.context)
        for s in (c.setting for c in selected)
        if s.training.optimizer.name == "sgd"
    }
    assert sgd == {
        (f, k, c, t) for f in ("linear", "softmax") for k in (2, 3, 4, 8) for c in (0.3, 1, 3) for t in (50, 100)
    }
    kinds = {job.kind for job in running.jobs(selected)}
    assert kinds == {"law", "law-corrected", "mean-field-corrected", "finite-context"}
    assert BASIN in {job.kind for job in running.jobs(selected, seeds=1)}


def test_some_standard_settings_are_predicted_to_be_trapped():
    """By the sign of the push, in both families."""
    short = [
        c.setting
        for c in cases("standard")
        if c.setting.task.context <= 25 and c.setting.task.order == 2 and c.setting.task.states == 2
    ]
    assert {s.model.family for s in short if escapes(s, count=2048).sign < 0} == {"linear", "softmax"}


def test_jobs_of_some_methods_are_those_alone():
    """Each once per setting, training once per seed; an unknown one is refused."""
    selected = cases("standard")
    toys = sum(case.toy for case in selected)
    assert len(running.jobs(selected, kinds=["law"])) == toys
    assert len(running.jobs(selected, kinds=[TRAIN], seeds=2)) == 2 * len(selected)
    assert {t.setting.task.order for t in running.jobs(selected, kinds=[BASIN])} == {2}
    claimed = running.suite_jobs("standard", claimed=["toy-delay"])
    assert {job.kind for job in claimed} == {TRAIN, "mean-field", "finite-context"}
    assert {job.kind for job in running.suite_jobs("standard", kinds=["law"])} == {"law"}
    assert set(claimed) < set(running.suite_jobs("standard"))
    all_jobs = running.jobs(selected)
    assert len(all_jobs) == len(set(all_jobs))
    with pytest.raises(ValueError, match="did you mean 'finite-context'"):
        running.jobs(selected, kinds=["finite-contxt"])


def test_time_left_is_told_once_each_worker_has_answered(tmp_path, tiny_suite):
    """Nothing at first, then a number that ends at zero."""
    statuses = []
    running.run_jobs(
        "tiny",
        Store(tmp_path),
        seeds=1,
        kinds=["law", "mean-field", BASIN],
        workers=1,
        watch=lambda status: statuses.append((status.done, status.seconds_left)) if status.last else None,
    )
    assert [done for done, _ in statuses] == list(range(1, len(statuses) + 1))
    assert statuses[0][1] is None
    assert statuses[-1][1] == pytest.approx(0, abs=1e-6)


def test_one_method_can_be_computed_again_alone(tmp_path, tiny_suite, monkeypatch):
    """Of what the store holds only the named method's files change."""
    store = Store(tmp_path)
    running.run_jobs("tiny", store, seeds=1, kinds=["law", BASIN], workers=1)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.nc")}
    running.run_jobs("tiny", store, seeds=1, kinds=["law"], workers=1, fresh=True)
    changed = {path.name for path in tmp_path.glob("*.nc") if path.stat().st_mtime_ns != before[path.name]}
    assert changed
    assert all("-law-" in name for name in changed)


def test_a_refusal_is_kept_and_read_again(tmp_path, monkeypatch):
    """The reason comes back, without asking the theory twice."""
    store, job = Store(tmp_path), Job(Setting.of("linear", order=3, context=20), "law")
    compute([job], store, workers=1)
    monkeypatch.setattr(worker, "predict", None)
    compute([job], store, workers=1)
    with pytest.raises(Refused, match="supports Markov chains"):
        prediction(job.setting, "law", store)


def test_results_hold_each_quantity_of_each_setting(tiny_suite):
    """The toy has both quantities with an interval; the transformer that was too short says so instead of giving a
    number.
    """
    _, results = tiny_suite
    toy = {c.quantity: c for c in results.comparisons if c.setting.startswith("linear")}
    assert set(toy) == {"unigram → bigram", "formation"}
    for comparison in toy.values():
        assert comparison.observed.low <= comparison.observed.value <= comparison.observed.high
        assert set(comparison.errors) == {"law", "mean-field", "finite-context"}
        assert comparison.highest_pair.lower == "finite-context"
        assert comparison.highest_pair.promised
    transformer = {c.quantity: c for c in results.comparisons if c.setting.startswith("transformer")}
    assert transformer["unigram → bigram"].observed.value is None
    assert "2 of 2 curves" in transformer["unigram → bigram"].observed.reason
    assert transformer["seeds in order uniform → unigram → bigram"].highest_pair.verdict.kind == "disagrees"
    assert not results.holds
    assert any("in order" in sentence for sentence in results.disagreements)
    assert results.missing == ()


def test_a_finished_suite_opens_each_run_file_once(tiny_suite, run, monkeypatch):
    """Looking for missing runs, results, claims, report and figures: one reading and one checksum for each file."""
    folder, _ = tiny_suite
    opened, open_file = Counter(), io.open

    def count(file, *arguments, **options):
        opened.update([Path(file).name] if str(file).endswith(".nc") else [])
        return open_file(file, *arguments, **options)

    monkeypatch.setattr(io, "open", count)
    status, out, _ = run("validate", "--suite", "tiny", "--out", str(folder), "--json")
    assert (status, json.loads(out)["missing"]) == (1, [])
    assert opened == Counter(path.name for path in (folder / "runs").glob("*.nc"))


def test_collecting_again_gives_the_same_comparisons(tiny_suite):
    """From the files alone."""
    folder, results = tiny_suite
    assert suite.collect("tiny", Store(folder / "runs")).comparisons == results.comparisons


def test_an_unfinished_suite_says_what_is_missing(tmp_path, tiny_suite):
    """What is there is compared; the rest is named, and the suite does not hold while it is missing."""
    folder, results = tiny_suite
    for path in (folder / "runs").glob("*.nc"):
        if "-train-" not in path.name:
            shutil.copy(path, tmp_path)
    unfinished = suite.collect("tiny", Store(tmp_path))
    assert not unfinished.holds
    assert sorted(unfinished.missing) == sorted(t.label for t in running.jobs(cases("tiny"), kinds=[TRAIN]))
    assert {one.upper for c in unfinished.comparisons for one in c.judged} == {"mean-field", "finite-context"}
    assert len(unfinished.cases) == len(results.cases)
    json.dumps(unfinished.to_dict(), allow_nan=False)
