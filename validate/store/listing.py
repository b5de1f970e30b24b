"""Runs in a folder: the setting of each, how it ended, and its transitions. Files are only read.

Facts about a setting have the names of command-line options, and `select` selects runs by them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from onset.theory import arguments
from onset.theory.entries import entries_of
from onset.theory.models import FAMILIES
from onset.theory.plain_data import plain
from onset.theory.recording import combined
from onset.theory.setting import Setting
from onset.theory.training import Training
from onset.theory.transitions import FORMATION_LEVEL
from onset.validate.store.runs import FAILURE, Damaged, Record, read

__all__ = ["NAMES", "ListedRun", "facts", "list_runs", "select"]

Fact = str | float | tuple[Any, ...]

GROUPS = tuple(dict.fromkeys(group for family in FAMILIES.values() for group in family.groups))
TRAINING = tuple(name for name in entries_of(Training) if name != "optimizer")
NAMES = (
    *("task", "family", "states", "order", "context", "prior", "concentration", "weight"),
    *(name.replace("_", "-") for name in TRAINING),
    *("optimizer", "weight-decay", "architecture"),
    *(f"{what}{end}" for what in ("learning-rate", "initialization") for end in ("", *(f".{g}" for g in GROUPS))),
    *("id", "kind", "seed", "device", "state"),
)
"""Names of facts that every table of runs has as columns; a task's own facts follow them."""

FINISHED, DIVERGED, REFUSED, FAILED = "finished", "diverged", "refused", "failed"
DAMAGED, UNREADABLE = "damaged", "unreadable"


@dataclass(frozen=True)
class ListedRun:
    """A run file, or the note that a run failed, with its `state`; `problem` says what is wrong."""

    path: Path
    record: Record | None
    state: str
    problem: str = ""

    @cached_property
    def facts(self) -> dict[str, Fact]:
        """Facts by name; of a file that cannot be read, its state alone."""
        if self.record is None:
            return {"state": self.state}
        notes = {name: self.record.notes[name] for name in ("kind", "seed", "device") if name in self.record.notes}
        return facts(self.record.setting) | notes | {"state": self.state}

    def to_dict(self, level: float = FORMATION_LEVEL) -> dict[str, Any]:
        """Plain data: file, setting, and in optimiser steps the end, transitions and formations (means of curves)."""
        data: dict[str, Any] = {"file": str(self.path), "state": self.state, "problem": self.problem or None}
        if self.record is None:
            return data
        setting, notes, curves = self.record.setting, self.record.notes, self.record.trajectories
        transitions, formations = combined(curves, level) if curves else ([], [])
        data |= {"label": setting.label, "setting": setting.to_dict() | {"id": setting.id}}
        data |= {name: notes.get(name) for name in ("kind", "seed", "device", "started", "seconds", "versions")}
        return data | {
            "steps": float(np.mean([curve.steps[-1] for curve in curves])) if curves else None,
            "passages": [transition.to_dict() for transition in transitions],
            "formations": [formation.to_dict() | {"level": level} for formation in formations],
            "final_loss": plain(float(np.mean([curve.loss[-1] for curve in curves]))) if curves else None,
            "diverged": next((curve.diverged for curve in curves if curve.diverged is not None), None),
            "outcome": notes.get("refused") or notes.get("failed") or notes.get("basin", {}).get("explanation"),
        }


def list_runs(folder: str | Path, progress: Callable[[int, int], None] = lambda done, total: None) -> list[ListedRun]:
    """Every run file in `folder`, or in its folder `runs`, and every run that failed; similar settings stand together.

    Raises
    ------
    ValueError
        If there is none.
    """
    folder = Path(folder)
    files = _files(folder / "runs") or _files(folder)
    if not files:
        raise ValueError(
            f"folder {folder}: holds no run files; give the --out folder of onset train or onset validate."
        )
    runs = []
    for done, file in enumerate(files, 1):
        runs.append(_read(file) if file.suffix == ".nc" else _read_failure(file))
        progress(done, len(files))
    return sorted(runs, key=_position)


def select(runs: Sequence[ListedRun], where: Sequence[str]) -> list[ListedRun]:
    """The runs that meet every condition ``NAME=VALUE`` or ``NAME=VALUE,VALUE`` of `where`.

    Raises
    ------
    ValueError
        If a name is unknown, or a condition leaves none; the message lists the values that there are.
    """
    selected = list(runs)
    for text in where:
        name, equals, given = text.partition("=")
        name = name.strip().replace("_", "-").replace("lag-logits", "lag_logits")
        values = [value.strip() for value in given.split(",") if value.strip()]
        if not name or not equals or not values:
            raise ValueError(f"where = {text!r}: expected NAME=VALUE; give for instance context=100.")
        arguments.one_of("name in --where", name, {*NAMES, *(fact for run in runs for fact in run.facts)})
        present = [_values(run.facts.get(name)) for run in selected]
        if not any(matching := [any(_equal(fact, v) for fact in facts_of for v in values) for facts_of in present]):
            known = sorted({fact for facts_of in present for fact in facts_of}, key=lambda v: (isinstance(v, str), v))
            raise ValueError(
                f"where = {text!r}: none of {len(selected)} runs has it; "
                f"expected one of: {', '.join(map(_text, known)) or 'none'}."
            )
        selected = [run for run, matches in zip(selected, matching, strict=True) if matches]
    return selected


def facts(setting: Setting) -> dict[str, Fact]:
    """Values of a setting by option name; several values stand in a tuple."""
    model, training, optimizer = setting.model, setting.training, setting.training.optimizer
    values: dict[str, Fact] = {"id": setting.id, "task": setting.task.kind, "family": model.family}
    values |= setting.task.facts() | {"optimizer": optimizer.name}
    values |= {name.replace("_", "-"): getattr(training, name) for name in TRAINING}
    if optimizer.weight_decay:
        values["weight-decay"] = optimizer.weight_decay
    for what, by_group in (("learning-rate", optimizer.learning_rate), ("initialization", model.initialization)):
        values |= {f"{what}.{group}": value for group, value in by_group.items()}
        if len(set(by_group.values())) == 1:
            values[what] = next(iter(by_group.values()))
    if model.architecture is not None:
        values["architecture"] = model.preset(setting.task)
    return values


def _files(folder: Path) -> list[Path]:
    """Run files, then notes on runs that failed and have not succeeded since."""
    finished, failed = sorted(folder.glob("*.nc")), sorted(folder.glob(f"*{FAILURE}"))
    names = {path.stem for path in finished}
    return finished + [path for path in failed if path.name.removesuffix(FAILURE) not in names]


def _read_failure(path: Path) -> ListedRun:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        setting, reason = Setting.from_dict(data["setting"]), data["reason"]
        notes = {"kind": data["kind"], "seed": data["seed"], "failed": reason}
    except (OSError, ValueError, KeyError, TypeError) as problem:
        return ListedRun(path, None, UNREADABLE, f"{path} cannot be read ({type(problem).__name__}: {problem}).")
    problem = f"{setting.label} failed, as {path} says: {reason}"
    return ListedRun(path, Record(setting, (), notes), FAILED, problem)


def _read(path: Path) -> ListedRun:
    try:
        record = read(path)
    except Damaged as damage:
        problem = f"run file {path} is damaged ({damage}): the command that made it makes it again."
        return ListedRun(path, None, DAMAGED, problem)
    except (OSError, ValueError) as problem:
        return ListedRun(path, None, UNREADABLE, str(problem))
    if "refused" in record.notes:
        return ListedRun(path, record, REFUSED)
    diverged = any(curve.diverged is not None for curve in record.trajectories)
    return ListedRun(path, record, DIVERGED if diverged else FINISHED)


def _position(run: ListedRun) -> tuple[Any, ...]:
    """Place of a run in a listing; files that cannot be read come last."""
    if run.record is None:
        return (1, str(run.path))
    setting, task = run.record.setting, run.record.setting.task
    shape = task.vocabulary, task.lags, task.context
    kind, seed = str(run.facts.get("kind", "")), int(run.record.notes.get("seed", 0))
    return 0, setting.model.family, setting.training.optimizer.name, *shape, setting.label, setting.id, kind, seed


def _values(fact: Fact | None) -> tuple[Any, ...]:
    return () if fact is None else fact if isinstance(fact, tuple) else (fact,)


def _equal(fact: Any, value: str) -> bool:
    """Whether a fact has a value given as text, or as a number."""
    try:
        return float(value) == fact or value.lower() == _text(fact).lower()
    except ValueError:
        return value.lower() == _text(fact).lower()


def _text(fact: Any) -> str:
    return f"{fact:.12g}" if isinstance(fact, float) else str(fact).lower() if isinstance(fact, bool) else str(fact)
