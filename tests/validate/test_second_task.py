"""A task defined in this file trains, is stored, swept, listed, exported, drawn and judged by the library as it is."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from onset.simulate.explain import explain
from onset.simulate.finite_context.predict import finite_context
from onset.simulate.losses import strategy_losses
from onset.simulate.strategies.laws import TRUE, SparseLaws
from onset.simulate.tasks import SAMPLERS, Sampler, register, token_type
from onset.theory import arguments, tasks
from onset.theory.architecture import Architecture
from onset.theory.entries import entry
from onset.theory.expectation import Expectation
from onset.theory.laws import law, law_corrected
from onset.theory.laws.basins import escapes
from onset.theory.mean_fields.corrected.predict import mean_field_corrected
from onset.theory.mean_fields.predict import mean_field
from onset.theory.setting import Setting
from onset.theory.tasks import TASKS
from onset.validate.judging.verdicts import AGREES
from onset.validate.store.jobs import observation
from onset.validate.store.runs import Store
from onset.validate.suite.comparisons import CaseResult, compare
from onset.validate.suite.jobs import jobs
from onset.validate.suite.series import series
from onset.validate.suite.settings import Case


@tasks.register
@dataclass(frozen=True)
class CopyFirst(tasks.Task):
    """Every token repeats the first one with probability `fidelity`, and is uniform otherwise."""

    vocabulary: int = entry(4, check=partial(arguments.integer, least=2))  # type: ignore[assignment]
    context: int = entry(16, check=partial(arguments.integer, least=2))
    fidelity: float = entry(0.9, check=arguments.positive)

    kind: ClassVar[str] = "copy-first"
    strategies: ClassVar = ("uniform", "copy")

    @property
    def label(self) -> str:
        return f"copy V={self.vocabulary} T={self.context}"

    @property
    def scored(self):
        return np.arange(self.context) > 0  # the first prediction is left out

    def expected_loss(self, strategy: str, *, tolerance: float = 2e-3, seed: int = 0) -> Expectation:
        low = (1 - self.fidelity) / self.vocabulary
        true = np.full(self.vocabulary, low) + self.fidelity * (np.arange(self.vocabulary) == 0)
        law = true if strategy == "copy" else np.full(self.vocabulary, 1 / self.vocabulary)
        return Expectation(float(-true @ np.log(law)), 0.0)


class CopySample(NamedTuple):
    tokens: np.ndarray


@register(CopyFirst)
class CopyFirstSampler(Sampler[CopyFirst, CopySample]):
    """Sequences, and laws that are one atom over a uniform background."""

    def sample(self, count, generator):
        shape = count, self.task.context + 1
        tokens = generator.integers(self.task.vocabulary, size=shape)
        copies = generator.random(shape) < self.task.fidelity
        return CopySample(np.where(copies, tokens[:, :1], tokens).astype(token_type(self.task.vocabulary)))

    def laws(self, sample):
        first = sample.tokens[:, :1, None].astype(np.int64)
        tokens = np.broadcast_to(first, (3, len(first), self.task.context, 1))
        weights = np.zeros(tokens.shape)
        weights[1:] = self.task.fidelity
        background = np.full((3, self.task.vocabulary), 1 / self.task.vocabulary)
        return SparseLaws(("uniform", "copy", TRUE), tokens, weights, 1 - weights[..., 0], background)


SHAPE = Architecture(layers=1, width=8, dropout=0.0)
SETTING = Setting.of(
    "transformer", task=CopyFirst(), architecture=SHAPE, learning_rate=5e-3, steps=120, record_every=10
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two runs of the task, trained by the command line from a setting's file."""
    import onset

    folder = tmp_path_factory.mktemp("copy")
    SETTING.save(folder / "copy.toml")
    options = ["--seeds", "2", "--workers", "1", "--out", str(folder), "--device", "cpu"]
    with pytest.raises(SystemExit) as end:
        onset.main(["train", "--setting", str(folder / "copy.toml"), *options])
    assert not end.value.code
    return folder


def test_its_setting_has_a_file_and_an_id(tmp_path):
    """What is saved is loaded: the same setting, id and label; the task is a table of its own."""
    for name in ("copy.toml", "copy.json"):
        SETTING.save(tmp_path / name)
        assert Setting.load(tmp_path / name) == SETTING
    assert SETTING.to_dict()["task"] == {"kind": "copy-first", "vocabulary": 4, "context": 16, "fidelity": 0.9}
    assert "copy V=4 T=16" in SETTING.label
    with pytest.raises(ValueError, match="context with a task"):
        Setting.of("transformer", task=CopyFirst(), context=3)
    with pytest.raises(ValueError, match=r"(?s)copy-frist.*markov-chains"):
        Setting.from_dict({"task": {"kind": "copy-frist"}})
    with pytest.raises(ValueError, match=r"vocabulry.*did you mean 'vocabulary'"):
        Setting.from_dict({"task": {"kind": "copy-first", "vocabulry": 3}})


def test_strategies_lose_what_they_should(within):
    """Monte-Carlo losses over the scored positions against the expected ones."""
    losses = strategy_losses(SETTING, 4000)
    for name, estimate in losses.items():
        expected = SETTING.task.expected_loss(name).value
        assert len(estimate.by_position) == SETTING.task.context - 1
        within(name, estimate.mean, expected, max(estimate.error, 1e-12))


def test_runs_are_stored_and_read_with_the_tasks_words(folder, run):
    """The transition is from uniform to copy, and the held-out loss ends near the expected one."""
    status, out, _ = run("runs", str(folder), "--json")
    listed = json.loads(out)
    assert status == 0
    assert len(listed["runs"]) == 2
    for row in listed["runs"]:
        (transition,) = row["passages"]
        assert (transition["source"], transition["target"]) == ("uniform", "copy")
        assert 0 < transition["step"] < 120
        assert row["formations"] == []
        assert row["final_loss"] == pytest.approx(SETTING.task.expected_loss("copy").value, abs=0.1)


def test_runs_are_selected_exported_and_drawn(folder, run, tmp_path):
    """By the task's own entries; as a table, as NetCDF, and as a figure."""
    files = [str(tmp_path / name) for name in ("runs.csv", "runs.nc")]
    for file in files:
        status, _, err = run("runs", str(folder), "--where", "vocabulary=4", "fidelity=0.9", "--export", file)
        assert (status, err) == (0, "")
    for row in csv.DictReader((tmp_path / "runs.csv").read_text().splitlines()):
        assert (row["task"], row["vocabulary"], row["fidelity"], row["states"]) == ("copy-first", "4", "0.9", "")
    status, _, _ = run("runs", str(folder), "--where", "task=copy-first", "--picture", "--out", str(tmp_path))
    assert status == 0
    assert (tmp_path / "runs.png").read_bytes().startswith(b"\x89PNG")
    status, _, err = run("runs", str(folder), "--where", "fidelity=0.5")
    assert status == 2
    assert "expected one of: 0.9" in err


def test_it_is_swept(run, tmp_path):
    """A sweep over an entry of the task by its dotted name; finished runs are found again."""
    text = SETTING.to_toml().replace("steps = 120", "steps = 20")
    head, _, rest = text.partition("[task]")
    file = tmp_path / "copies.toml"
    tables = "[setting.task]" + rest.replace("[init", "[setting.init").replace("[arch", "[setting.arch")
    tables = tables.replace("[optim", "[setting.optim")
    file.write_text(f'[setting]\n{head}{tables}\n[grid]\n"task.fidelity" = [0.5, 0.9]\n')
    status, out, err = run("sweep", str(file), "--out", str(tmp_path / "out"), "--workers", "1", "--json")
    assert (status, err) == (0, "")
    assert [row["changes"] for row in json.loads(out)["rows"]] == [{"task.fidelity": 0.5}, {"task.fidelity": 0.9}]
    assert "2 finished" in run("sweep", str(file), "--out", str(tmp_path / "out"), "--list")[1]


def test_theory_says_that_it_has_no_prediction(run, tmp_path):
    """One sentence that names the task."""
    SETTING.save(tmp_path / "copy.toml")
    status, _, err = run("predict", "--setting", str(tmp_path / "copy.toml"))
    assert status == 2
    assert "copy-first" in err


def test_a_suite_compares_it(folder):
    """Its one transition, its losses against the ideal ones, and their order; it has no basin and no series of toys."""
    observed = observation(SETTING, [0, 1], Store(folder / "runs"))
    result = CaseResult(Case(SETTING, surrogate=SETTING), {}, observed)
    comparisons = {comparison.quantity: comparison for comparison in compare(result)}
    names = ["uniform → copy", "plateau loss", "final loss", "seeds in order uniform → copy"]
    assert list(comparisons) == names
    assert comparisons["seeds in order uniform → copy"].holds
    assert comparisons["final loss"].judged[0].verdict.kind == AGREES
    assert {job.kind for job in jobs([Case(SETTING, methods=())])} == {"train"}
    assert series([SETTING, SETTING.replace(task=CopyFirst(context=8))], "context") == []


def test_a_large_vocabulary_trains():
    """50,000 tokens: a step and two records."""
    from onset.validate.training import train

    task = CopyFirst(vocabulary=50_000, context=4)
    small = Architecture(layers=1, width=4, dropout=0.0)
    setting = Setting.of("transformer", task=task, architecture=small, steps=1, batch=4, record_every=1)
    trajectory = train(setting, device=torch.device("cpu"))
    expected = task.expected_loss("uniform").value
    assert trajectory.loss[0] == pytest.approx(expected, abs=0.01)


def test_registries_know_it():
    """One entry in each registry."""
    assert TASKS["copy-first"] is CopyFirst
    assert SAMPLERS[CopyFirst] is CopyFirstSampler


@pytest.mark.parametrize(
    "ask", [explain, law, law_corrected, escapes, mean_field, mean_field_corrected, finite_context]
)
def test_theory_of_markov_chains_says_that_it_has_no_answer(ask):
    """Every entry to it, whoever calls: a sentence with the task's name."""
    with pytest.raises(ValueError, match=r"task = 'copy-first': .* Markov chains only"):
        ask(Setting.of("linear", task=CopyFirst()))
