"""What a folder of run files holds, run by run: what each was made from, how it ended and when it passed on. Nothing is moved or mended here.

What a setting says goes by the names that the command line has for it, and `chosen` picks runs by them.
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
from onset.theory.recording import combined
from onset.theory.setting import Setting
from onset.theory.training import Training
from onset.theory.transitions import FORMATION_LEVEL
from onset.validate.store.runs import FAILURE, Damaged, Record, read

__all__ = ["NAMES", "Listed", "chosen", "facts", "listed"]

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
"""Names that runs of Markov chains can be selected by; other tasks add their own."""

FINISHED, DIVERGED, REFUSED, FAILED = "finished", "diverged", "refused", "failed"
DAMAGED, UNREADABLE = "damaged", "unreadable"


@dataclass(frozen=True)
class Listed:
    """A run file, or the note that a run failed, with what it holds and its `state`; `problem` says what is wrong."""

    path: Path
    record: Record | None
    state: str
    problem: str = ""

    @cached_property
    def facts(self) -> dict[str, Fact]:
        """By `NAMES`: what the run was made from. Of a file that cannot be read, its state alone."""
        if self.record is None:
            return {"state": self.state}
        notes = {name: self.record.notes[name] for name in ("kind", "seed", "device") if name in self.record.notes}
        return facts(self.record.setting) | notes | {"state": self.state}

    def to_dict(self, level: float = FORMATION_LEVEL) -> dict[str, Any]:
        """As plain data: the file, its setting, and in optimiser steps where it ended, passed on and formed its heads (of several curves, their means)."""
        told: dict[str, Any] = {"file": str(self.path), "state": self.state, "problem": self.problem or None}
        if self.record is None:
            return told
        setting, notes, curves = self.record.setting, self.record.notes, self.record.trajectories
        passages, formations = combined(curves, level) if curves else ([], [])
        told |= {"label": setting.label, "setting": setting.to_dict() | {"id": setting.id}}
        told |= {name: notes.get(name) for name in ("kind", "seed", "device", "started", "seconds", "versions")}
        told |= {
            "steps": float(np.mean([one.steps[-1] for one in curves])) if curves else None,
            "passages": [one.to_dict() for one in passages],
            "formations": [one.to_dict() | {"level": level} for one in formations],
            "final_loss": _finite(np.mean([one.loss[-1] for one in curves])) if curves else None,
            "diverged": next((one.diverged for one in curves if one.diverged is not None), None),
            "outcome": notes.get("refused") or notes.get("failed") or notes.get("basin", {}).get("explanation"),
        }
        return told


def listed(folder: str | Path, progress: Callable[[int, int], None] = lambda done, total: None) -> list[Listed]:
    """Every run file in `folder`, or in its folder `runs`, and every run that failed; alike settings stand together.

    Raises
    ------
    ValueError
        If there is none.
    """
    folder = Path(folder)
    files = next((found for where in (folder / "runs", folder) if (found := _files(where))), [])
    if not files:
        raise ValueError(
            f"folder {folder}: holds no run files; give what onset train or onset validate was given as --out."
        )
    found = []
    for done, file in enumerate(files):
        found.append(_look(file) if file.suffix == ".nc" else _look_at_failure(file))
        progress(done + 1, len(files))
    return sorted(found, key=_place)


def chosen(runs: Sequence[Listed], where: Sequence[str]) -> list[Listed]:
    """The runs for which every condition ``NAME=VALUE`` or ``NAME=VALUE,VALUE`` of `where` holds.

    Raises
    ------
    ValueError
        If a name is unknown, or a condition leaves none: what values there are is said.
    """
    left = list(runs)
    for text in where:
        name, equals, values = text.partition("=")
        name = name.strip().replace("_", "-").replace("lag-logits", "lag_logits")
        wanted = [value.strip() for value in values.split(",") if value.strip()]
        arguments.one_of("name in --where", name, {*NAMES, *(fact for run in runs for fact in run.facts)})
        if not equals or not wanted:
            raise ValueError(f"where = {text!r}: expected NAME=VALUE; give for instance context=100.")
        having = [run for run in left if any(_is(run.facts.get(name), value) for value in wanted)]
        if not having:
            there = {value for run in left for value in _each(run.facts.get(name))}
            known = ", ".join(_text(value) for value in sorted(there, key=lambda v: (isinstance(v, str), v))) or "none"
            raise ValueError(f"where = {text!r}: none of {len(left)} runs has it; expected one of: {known}.")
        left = having
    return left


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
    finished = sorted(folder.glob("*.nc"))
    names = {path.stem for path in finished}
    return finished + [
        path for path in sorted(folder.glob(f"*{FAILURE}")) if path.name.removesuffix(FAILURE) not in names
    ]


def _look_at_failure(path: Path) -> Listed:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        setting, reason = Setting.from_dict(data["setting"]), data["reason"]
        notes = {"kind": data["kind"], "seed": data["seed"], "failed": reason}
    except (OSError, ValueError, KeyError, TypeError) as problem:
        return Listed(path, None, UNREADABLE, f"{path} cannot be read ({type(problem).__name__}: {problem}).")
    return Listed(path, Record(setting, (), notes), FAILED, f"{setting.label} failed, as {path} tells: {reason}")


def _look(path: Path) -> Listed:
    try:
        record = read(path)
    except Damaged as problem:
        return Listed(
            path, None, DAMAGED, f"run file {path} is damaged ({problem}): the command that made it makes it again."
        )
    except (OSError, ValueError) as problem:
        return Listed(path, None, UNREADABLE, str(problem))
    if "refused" in record.notes:
        return Listed(path, record, REFUSED)
    diverged = any(one.diverged is not None for one in record.trajectories)
    return Listed(path, record, DIVERGED if diverged else FINISHED)


def _place(run: Listed) -> tuple[Any, ...]:
    if run.record is None:
        return (1, str(run.path))
    one = run.record.setting
    kind, seed = str(run.facts.get("kind", "")), int(run.record.notes.get("seed", 0))
    return (
        0,
        one.model.family,
        one.training.optimizer.name,
        one.task.vocabulary,
        one.task.lags,
        one.task.context,
        one.label,
        one.id,
        kind,
        seed,
    )


def _each(fact: Fact | None) -> tuple[Any, ...]:
    return () if fact is None else fact if isinstance(fact, tuple) else (fact,)


def _is(fact: Fact | None, wanted: str) -> bool:
    return any(wanted.lower() == _text(value).lower() or _number(wanted) == value for value in _each(fact))


def _text(value: Any) -> str:
    return (
        f"{value:.12g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
