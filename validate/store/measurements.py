"""What has been measured of a public model, or of a run: plain data, one JSON file for each job, written atomically."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onset.theory.setting import Setting
from onset.validate.store.files import replacing
from onset.validate.store.provenance import RELEASE
from onset.validate.store.public_models import PublicModel, about

__all__ = ["Measurement", "read", "write"]

FORMAT = 1


@dataclass(frozen=True)
class Measurement:
    """Numbers of a model by name, as JSON can hold them, and notes on how they were measured.

    The `subject` is a public model, or the setting of a run.
    """

    subject: Setting | PublicModel
    numbers: dict[str, Any]
    notes: dict[str, Any]


def write(path: Path, measurement: Measurement) -> None:
    """Write a file."""
    subject = measurement.subject
    about_it = subject.to_dict() if isinstance(subject, PublicModel) else {"setting": subject.to_dict()}
    data = {"format": FORMAT, "release": RELEASE, **about_it}
    data |= {"notes": measurement.notes, "numbers": measurement.numbers}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(data, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read(path: Path) -> Measurement:
    """Content of a file.

    Raises
    ------
    ValueError
        If it is not as `write` writes it.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']}, known is {FORMAT}")
        subject = about(data) or Setting.from_dict(data["setting"])
        return Measurement(subject, dict(data["numbers"]), dict(data["notes"]))
    except (KeyError, OSError, TypeError, UnicodeDecodeError, ValueError) as problem:
        raise ValueError(
            f"file {path} cannot be read ({problem}): expected what was measured of a model; move it away."
        ) from problem
