"""What came of a sweep, as far as it is computed: `sweep.json` with everything, `sweep.csv` with one line per setting, kind and transition."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onset.theory.setting import Setting
from onset.validate.execution import failed_in
from onset.validate.store.files import write_text
from onset.validate.store.jobs import BASIN, TRAIN, Job, Refused, basin, observation, prediction
from onset.validate.store.json_data import finite, without
from onset.validate.store.runs import Store
from onset.validate.sweeps.plan import Sweep

__all__ = ["CSV", "JSON", "collect", "lines", "write"]

CSV, JSON = "sweep.csv", "sweep.json"
FORMAT = 1
COLUMNS = ("kind", "seeds", "quantity", "step", "low", "high", "reason")


def collect(sweep: Sweep, store: Store) -> dict[str, Any]:
    """All that `store` holds of a sweep, as plain data; what it lacks is named, with the reason if it failed."""
    failed, rows = failed_in(store), []
    lacking = [job for job in sweep.jobs() if job not in store]
    for point in sweep.points:
        answers = {kind: _answer(point.setting, kind, sweep, store) for kind in sweep.kinds}
        identity = {"label": point.setting.label, "setting": point.setting.to_dict() | {"id": point.setting.id}}
        rows.append({"changes": dict(point.changes)} | identity | {"answers": answers})
    data = {
        "format": FORMAT,
        "seeds": list(sweep.seeds),
        "kinds": list(sweep.kinds),
        "axes": list(sweep.axes),
        "complete": not lacking,
        "missing": [
            {"job": job.label, "reason": failed[job.name].reason if job.name in failed else "not computed"}
            for job in lacking
        ],
        "rows": rows,
    }
    return finite(data)


def _answer(setting: Setting, kind: str, sweep: Sweep, store: Store) -> dict[str, Any] | None:
    """What trained models, or a theory, say of a setting; None if nothing is there."""
    seeds = [seed for seed in (sweep.seeds if kind == TRAIN else (0,)) if Job(setting, kind, seed) in store]
    if not seeds:
        return None
    try:
        if kind == BASIN:
            leads = basin(setting, store)
            return {"sign": leads.sign, "size": leads.size, "error": leads.error, "lags": list(leads.lags)}
        found = observation(setting, seeds, store) if kind == TRAIN else prediction(setting, kind, store)
    except Refused as problem:
        return {"refused": str(problem)}
    return without(found.to_dict(), "setting", "method")


def lines(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The transitions of a sweep's results, each with the changes of its setting, and a line with the reason where there is none."""
    for row in data["rows"]:
        for kind, answer in row["answers"].items():
            start = {"changes": row["changes"], "setting": row["setting"]["id"], "label": row["label"], "kind": kind}
            start |= dict.fromkeys(COLUMNS[1:])
            if answer is None or "refused" in answer:
                yield start | {"reason": "not computed" if answer is None else answer["refused"]}
                continue
            start["seeds"] = len(answer["seeds"]) if "seeds" in answer else None
            for one in (*answer.get("transitions", ()), *answer.get("formations", ())):
                name = one["target"] if one["source"] == "none" else f"{one['source']} → {one['target']}"
                yield start | {"quantity": name} | {key: one[key] for key in ("step", "low", "high", "reason")}


def write(folder: Path, data: dict[str, Any]) -> list[Path]:
    """Write `sweep.json` and `sweep.csv` into `folder`; return their paths."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*data["axes"], "setting", *COLUMNS])
    for line in lines(data):
        changes = [line["changes"].get(axis, "") for axis in data["axes"]]
        table.writerow([*changes, line["setting"], *("" if line[c] is None else line[c] for c in COLUMNS)])
    return [
        write_text(folder / JSON, json.dumps(data, indent=1, allow_nan=False) + "\n"),
        write_text(folder / CSV, text.getvalue()),
    ]
