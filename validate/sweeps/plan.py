"""What a sweep's TOML file says: which settings, from which seeds, computed in which ways.

``[setting]`` is a setting as `Setting.from_dict` reads it. ``[grid]`` gives entries of it, under dotted names, several values each; every ``[[runs]]``
is a table of changes. With both, each run goes over the grid. What the file leaves at its default follows the changes, as in `onset.simulate.scan`, whose
short names of axes and ranges FIRST:LAST:COUNT are understood too.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onset.simulate import scan
from onset.theory import arguments, setting_files
from onset.theory.setting import Setting
from onset.validate.store.jobs import KINDS, TRAIN, Job

__all__ = ["LARGEST", "Point", "Sweep", "load", "read"]

LARGEST = 10**4
"""Settings of the largest sweep."""

LARGEST_FILE = 2**18
"""Bytes of a sweep's file."""

SHORT = {name: f"prior.{name}" for name in ("states", "order", "concentration")} | {
    "learning_rate": "optimizer.learning_rate"
}
"""Names that a scan's axes have for entries of a setting."""


@dataclass(frozen=True)
class Point:
    """One setting of a sweep and the changes that lead to it, by dotted name."""

    setting: Setting
    changes: Mapping[str, Any]


@dataclass(frozen=True)
class Sweep:
    """Settings, seeds of the trained models, and kinds of jobs, of `onset.validate.store.jobs.KINDS`."""

    points: tuple[Point, ...]
    seeds: tuple[int, ...]
    kinds: tuple[str, ...]

    @property
    def axes(self) -> tuple[str, ...]:
        """All entries that some point changes."""
        return tuple(dict.fromkeys(name for point in self.points for name in point.changes))

    def jobs_of(self, point: Point) -> list[Job]:
        return [
            Job(point.setting, kind, seed) for kind in self.kinds for seed in (self.seeds if kind == TRAIN else (0,))
        ]

    def jobs(self) -> list[Job]:
        """What has to be computed, setting by setting."""
        return [job for point in self.points for job in self.jobs_of(point)]


def load(path: str | Path, *, seeds: int | None = None) -> Sweep:
    """Read a sweep from a `.toml` file; `seeds` stands for what the file says of them.

    Raises
    ------
    ValueError
        Naming the file, the point of the sweep, and what is wrong: an unknown entry with the nearest known one, or a value out of range.
    """
    path = Path(path)
    arguments.one_of("sweep file's ending", path.suffix, (".toml",))
    try:
        data = setting_files.parse(path, LARGEST_FILE)
    except (OSError, RecursionError, ValueError) as problem:
        raise ValueError(
            f"sweep file {path} cannot be read ({setting_files.reason(problem)}): expected TOML in UTF-8; mend it there."
        ) from problem
    try:
        return read(data if seeds is None else data | {"seeds": seeds})
    except (RecursionError, ValueError) as problem:
        raise ValueError(f"sweep file {path}: {setting_files.reason(problem)}") from problem


def read(data: Mapping[str, Any]) -> Sweep:
    """The sweep that plain data describe; raises as `load` does."""
    arguments.only_known("sweep", data, ("seeds", "kinds", "setting", "grid", "runs"))
    base = arguments.table("setting", data.get("setting", {}))
    axes = {name: _values(name, given) for name, given in _flat("grid", data.get("grid", {})).items()}
    runs = [_flat("runs", one) for one in arguments.items("runs", data.get("runs", [{}]), least=1)]
    if (count := len(runs) * math.prod(map(len, axes.values()))) > LARGEST:
        raise ValueError(f"sweep has {count} settings: expected at most {LARGEST}; give fewer values.")
    points: dict[Setting, Point] = {}
    for changes in _changes(runs, axes):
        setting = _changed(base, changes)
        points.setdefault(setting, Point(setting, changes))
    kinds = [
        arguments.one_of("kind", kind, KINDS) for kind in arguments.items("kinds", data.get("kinds", [TRAIN]), least=1)
    ]
    return Sweep(tuple(points.values()), _seeds(data.get("seeds", 1)), tuple(dict.fromkeys(kinds)))


def _changes(runs: Sequence[Mapping[str, Any]], axes: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    for run in runs:
        for name in run:
            if name in axes:
                raise ValueError(
                    f"{name} stands in grid and in runs: expected it in one of them; take it out of the other."
                )
        for values in itertools.product(*axes.values()):
            yield dict(run) | dict(zip(axes, values, strict=True))


def _changed(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Setting:
    data = copy.deepcopy(dict(base))
    try:
        for name, value in changes.items():
            *above, last = name.split(".")
            inner: Any = data
            for part in above:
                inner = arguments.table(part, inner.setdefault(part, {}))
            inner[last] = value
        return Setting.from_dict(data)
    except ValueError as problem:
        at = ", ".join(f"{name} = {arguments.shown(value)}" for name, value in changes.items())
        raise ValueError(f"at {at}: {problem}" if at else str(problem)) from problem


def _flat(where: str, given: Any) -> dict[str, Any]:
    """Entries by full dotted name: ``prior.concentration = 1`` is a table in TOML unless it is quoted."""
    found: dict[str, Any] = {}
    for dotted, value in _leaves(arguments.table(where, given)):
        head, dot, rest = dotted.replace("-", "_").partition(".")
        name = SHORT.get(head, head) + dot + rest
        if name in found:
            raise ValueError(f"{where} has {name} twice: expected it once; take one out.")
        found[name] = value
    return found


def _leaves(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}.{inner}", leaf) for inner, leaf in _leaves(value))
        else:
            yield key, value


def _values(name: str, given: Any) -> list[Any]:
    if isinstance(given, str) and ":" in given:
        return list(scan.parse(f"{name.rpartition('.')[2] if name.startswith('prior.') else name}={given}")[1])
    if not isinstance(given, list) or not given:
        raise ValueError(
            f'grid has {name} = {arguments.shown(given)}: expected a list of values, or a range as text; give for instance [1, 2] or "10:100:3".'
        )
    return [value for n, value in enumerate(given) if value not in given[:n]]


def _seeds(given: Any) -> tuple[int, ...]:
    if not isinstance(given, list):
        return tuple(range(arguments.integer("seeds", given, least=1)))
    return tuple(
        dict.fromkeys(arguments.integer("seed", one, least=0) for one in arguments.items("seeds", given, least=1))
    )
