"""The README's section on what is corrected for finite context, written from the results of the suite `corrections`.

A cell is one quantity, passage to bigram or formation, of one setting. It meets the target if its relative error against finite context is within
`tolerance`; both saying that it never comes is agreement.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["Cell", "cells", "section", "tolerance"]

REFERENCE = "finite-context"
METHODS = {
    "law-corrected": "corrected law",
    "mean-field-corrected": "corrected mean field",
    "law": "law under Adam",
}
"""In the order in which they are shown."""

NAMED = 6
"""Misses told by name in a row, the largest first."""


class Cell(NamedTuple):
    """One quantity of one setting by one method: relative error against finite context, None without one; and whether the method refused."""

    method: str
    family: str
    optimizer: str
    context: int
    name: str
    error: float | None
    agrees: bool
    refused: bool


def tolerance(optimizer: str, context: int) -> float:
    """Targets set beforehand: 5% from T = 100 on and 10% below under SGD, 15% under Adam."""
    if optimizer != "sgd":
        return 0.15
    return 0.05 if context >= 100 else 0.1


def cells(data: Mapping[str, Any]) -> Iterator[Cell]:
    """Of every method and setting that finite context has answered."""
    settings = {s["label"]: s["setting"] for s in data["settings"]}
    for c in data["comparisons"]:
        setting, exact = settings[c["setting"]], c["predicted"].get(REFERENCE)
        if exact is None:
            continue
        optimizer = setting["optimizer"]["name"]
        for method in METHODS:
            told = c["predicted"].get(method)
            if told is None:
                continue
            both = told["value"] is not None and exact["value"] is not None
            error = told["value"] / exact["value"] - 1 if both else None
            never = told["value"] is None and exact["value"] is None and not told["refused"]
            agrees = never or (error is not None and abs(error) <= tolerance(optimizer, setting["context"]))
            named = c["setting"].partition(f"{optimizer} ")[2]
            yield Cell(
                method,
                setting["family"],
                optimizer,
                setting["context"],
                f"{named}, {c['quantity']}",
                error,
                agrees,
                told["refused"],
            )


def section(data: Mapping[str, Any]) -> str:
    """The section as Markdown."""
    found = list(cells(data))
    rows = dict.fromkeys((c.method, c.family, c.optimizer, c.context) for c in found)
    missing = f" {len(data['missing'])} of its predictions are not computed yet." if data["missing"] else ""
    lines = [
        f"`onset validate --suite {data['suite']}`: steps of the passage to bigram and of the head's formation against finite context, nothing trained, over k = 2, 3, 4, 8 and "
        f"concentrations 0.3, 1, 3 (Adam: 1); a cell is one quantity of one setting.{missing}",
        "",
        "| | target | cells within it | refused | misses |",
        "|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: (list(METHODS).index(row[0]), row[1:3], row[3])):
        method, family, optimizer, context = row
        here = [c for c in found if (c.method, c.family, c.optimizer, c.context) == row]
        lines.append(
            f"| {METHODS[method]}, {family}, {optimizer}, T = {context} | {100 * tolerance(optimizer, context):g}% "
            f"| {sum(c.agrees for c in here)} of {len(here)} | {sum(c.refused for c in here)} | {_misses(here)} |"
        )
    return "\n".join((*lines, ""))


def _misses(here: Sequence[Cell]) -> str:
    missed = [c for c in here if not c.agrees and not c.refused]
    missed.sort(key=lambda c: -math.inf if c.error is None else -abs(c.error))
    told = [f"{c.name} {_signed(c.error)}" for c in missed[:NAMED]]
    return "; ".join(told) + (f"; {len(missed) - NAMED} more" if len(missed) > NAMED else "")


def _signed(error: float | None) -> str:
    return "by one of the two never" if error is None else f"{100 * error:+.1f}%".replace("-", "−")
