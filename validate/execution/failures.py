"""Jobs that failed, kept beside the runs as `NAME.failed.json` until they succeed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from onset.validate.store.files import write_text
from onset.validate.store.jobs import Job
from onset.validate.store.runs import FAILURE, Store

__all__ = ["Failure", "failed_in", "keep"]


@dataclass(frozen=True)
class Failure:
    """A failed job, by name and label: the reason in one sentence, and the traceback where there is one."""

    name: str
    label: str
    reason: str
    details: str = ""


def keep(store: Store, job: Job, reason: str, details: str = "") -> Failure:
    """Write down that `job` failed."""
    failure = Failure(job.name, job.label, reason, details)
    data = {"setting": job.subject.to_dict(), "kind": job.kind, "seed": job.seed} | asdict(failure)
    write_text(_path(store, job.name), json.dumps(data, indent=1) + "\n")
    return failure


def failed_in(store: Store) -> dict[str, Failure]:
    """Jobs that failed and have not succeeded since, by name; files of other tools are ignored."""
    failures = {}
    for path in sorted(store.folder.glob(f"*{FAILURE}")):
        try:
            data = json.loads(path.read_text())
            failure = Failure(*(str(data[field]) for field in ("name", "label", "reason", "details")))
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if not store.holds(failure.name):
            failures[failure.name] = failure
    return failures


def _path(store: Store, name: str) -> Path:
    return store.folder / f"{name}{FAILURE}"
