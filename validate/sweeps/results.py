"""Results of a sweep: `sweep.json` with everything, `sweep.csv` with one line per setting, kind and transition."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onset.theory.plain_data import plain, without
from onset.theory.setting import Setting
from onset.validate.execution import failed_in
from onset.validate.store.files import write_table, write_text
from onset.validate.store.jobs import BASIN, TRAIN, Job, Refused, basin, observation, prediction
from onset.validate.store.runs import Store
from onset.validate.sweeps.plan import Sweep

__all__ = ["CSV", "JSON", "answered", "collect", "lines", "write"]

CSV, JSON = "sweep.csv", "sweep.json"
FORMAT = 1
COLUMNS = ("kind", "seeds", "quantity", "step", "low", "high", "reason")


def collect(sweep: Sweep, store: Store) -> dict[str, Any]:
    """All results of a sweep in `store`, as plain data; missing jobs are named, with the reason if they failed."""
    failures, rows = failed_in(store), []
    missing = [job for job in sweep.jobs() if job not in store]
    for point in sweep.points:
        identity = {"label": point.setting.label, "setting": point.setting.to_dict() | {"id": point.setting.id}}
        answers = {kind: _answer(point.setting, kind, sweep, store) for kind in sweep.kinds}
        rows.append({"changes": dict(point.changes)} | identity | {"answers": answers})
    data = {
        "format": FORMAT,
        "seeds": list(sweep.seeds),
        "kinds": list(sweep.kinds),
        "axes": list(sweep.axes),
        "complete": not missing,
        "missing": [
            {"job": job.label, "reason": failures[job.name].reason if job.name in failures else "not computed"}
            for job in missing
        ],
        "rows": rows,
    }
    return plain(data)


def _answer(setting: Setting, kind: str, sweep: Sweep, store: Store) -> dict[str, Any] | None:
    """Result of one kind of job for a setting; None if the store has none."""
    seeds = [seed for seed in (sweep.seeds if kind == TRAIN else (0,)) if Job(setting, kind, seed) in store]
    if not seeds:
        return None
    try:
        if kind == BASIN:
            result = basin(setting, store)
            return {"sign": result.sign, "size": result.size, "error": result.error, "lags": list(result.lags)}
        curves = observation(setting, seeds, store) if kind == TRAIN else prediction(setting, kind, store)
    except Refused as problem:
        return {"refused": str(problem)}
    return without(curves.to_dict(), "setting", "method")


def answered(data: dict[str, Any]) -> bool:
    """Whether any setting of a sweep's results has an answer of any kind, not a refusal."""
    answers = (answer for row in data["rows"] for answer in row["answers"].values())
    return any(answer is not None and "refused" not in answer for answer in answers)


def lines(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Transitions of a sweep's results and the changes of their setting; a line with the reason where there is none."""
    for row in data["rows"]:
        for kind, answer in row["answers"].items():
            start = {"changes": row["changes"], "setting": row["setting"]["id"], "label": row["label"], "kind": kind}
            start |= dict.fromkeys(COLUMNS[1:])
            if answer is None or "refused" in answer:
                yield start | {"reason": "not computed" if answer is None else answer["refused"]}
                continue
            start["seeds"] = len(answer["seeds"]) if "seeds" in answer else None
            for transition in (*answer.get("transitions", ()), *answer.get("formations", ())):
                source, target = transition["source"], transition["target"]
                name = target if source == "none" else f"{source} → {target}"
                yield start | {"quantity": name} | {key: transition[key] for key in ("step", "low", "high", "reason")}


def write(folder: Path, data: dict[str, Any]) -> list[Path]:
    """Write `sweep.json` and `sweep.csv` into `folder`; return their paths."""
    table = [
        [
            *(line["changes"].get(axis, "") for axis in data["axes"]),
            line["setting"],
            *("" if line[column] is None else line[column] for column in COLUMNS),
        ]
        for line in lines(data)
    ]
    return [
        write_text(folder / JSON, json.dumps(data, indent=1, allow_nan=False) + "\n"),
        write_table(folder / CSV, [*data["axes"], "setting", *COLUMNS], table),
    ]
