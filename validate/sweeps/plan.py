"""Sweep files (TOML): which settings, from which seeds, computed in which ways.

``[setting]`` is a setting as `Setting.from_dict` reads it. ``[grid]`` gives several values for some of its entries, by
dotted name; each ``[[runs]]`` is a table of changes. With both, each run goes over the grid. Names of entries are those
of `onset.theory.setting_changes`; ranges FIRST:LAST:COUNT are as in `onset.theory.axes`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onset.theory import arguments, setting_files
from onset.theory.axes import parse
from onset.theory.setting import Setting
from onset.theory.setting_changes import entry_name, setting_from
from onset.validate.store.jobs import KINDS, TRAIN, Job

__all__ = ["MOST_SETTINGS", "Point", "Sweep", "load", "read"]

MOST_SETTINGS = 10**4
"""Settings of the largest sweep."""

MOST_JOBS = 10**6
"""Jobs of the largest sweep: settings, times kinds, times seeds."""

LARGEST_FILE = 2**18
"""Bytes of the largest sweep file."""


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
        """Jobs of one point, by kind and seed."""
        return [
            Job(point.setting, kind, seed) for kind in self.kinds for seed in (self.seeds if kind == TRAIN else (0,))
        ]

    def jobs(self) -> list[Job]:
        """All jobs, point by point."""
        return [job for point in self.points for job in self.jobs_of(point)]


def load(path: str | Path, *, seeds: int | None = None) -> Sweep:
    """Read a sweep from a `.toml` file; `seeds` replaces the file's own.

    Raises
    ------
    ValueError
        Naming the file, the point of the sweep, and what is wrong: an unknown entry with the nearest known one, or a
        value out of range.
    """
    path = Path(path)
    arguments.one_of(f"ending of sweep file {path}", path.suffix, (".toml",))
    try:
        data = setting_files.parse(path, LARGEST_FILE)
    except (OSError, RecursionError, ValueError) as problem:
        raise ValueError(
            f"sweep file {path} cannot be read ({setting_files.reason(problem)}): "
            "expected TOML in UTF-8; mend it there."
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
    runs = [_flat("runs", run) for run in arguments.items("runs", data.get("runs", [{}]), least=1)]
    if (count := len(runs) * math.prod(map(len, axes.values()))) > MOST_SETTINGS:
        raise ValueError(f"sweep has {count} settings: expected at most {MOST_SETTINGS}; give fewer values.")
    if both := next((name for run in runs for name in run if name in axes), None):
        raise ValueError(f"{both} stands in grid and in runs: expected it in one of them; take it out of the other.")
    points: dict[Setting, Point] = {}
    for run, *values in itertools.product(runs, *axes.values()):
        changes = run | dict(zip(axes, values, strict=True))
        setting = setting_from(base, changes)
        points.setdefault(setting, Point(setting, changes))
    kinds = [
        arguments.one_of("kind", kind, KINDS) for kind in arguments.items("kinds", data.get("kinds", [TRAIN]), least=1)
    ]
    sweep = Sweep(tuple(points.values()), arguments.seeds("seeds", data.get("seeds", 1)), tuple(dict.fromkeys(kinds)))
    if (count := len(points) * len(sweep.kinds) * len(sweep.seeds)) > MOST_JOBS:
        raise ValueError(f"sweep has {count} jobs: expected at most {MOST_JOBS}; give fewer seeds or fewer values.")
    return sweep


def _flat(where: str, given: Any) -> dict[str, Any]:
    """Entries by full dotted name: ``prior.concentration = 1`` is a table in TOML unless it is quoted."""
    entries: dict[str, Any] = {}
    for dotted, value in _leaves(arguments.table(where, given)):
        name = entry_name(dotted)
        if name in entries:
            raise ValueError(f"{where} has {name} twice: expected it once; take one out.")
        entries[name] = value
    return entries


def _leaves(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}.{inner}", leaf) for inner, leaf in _leaves(value))
        else:
            yield key, value


def _values(name: str, given: Any) -> list[Any]:
    if isinstance(given, str) and ":" in given:
        return list(parse(f"{name.removeprefix('prior.')}={given}")[1])
    if not isinstance(given, list) or not given:
        raise ValueError(
            f"grid has {name} = {arguments.shown(given)}: expected a list of values, or a range as text; "
            'give for instance [1, 2] or "10:100:3".'
        )
    return [value for n, value in enumerate(given) if value not in given[:n]]
