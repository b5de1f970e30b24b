"""Tables of how well theories corrected for finite context agree with it, from the results of the suite `corrections`.

A cell is one quantity, transition to bigram or formation, of one setting. It meets the target if its relative error
against finite context is within `tolerance`, or if both never reach the transition.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from onset.validate.judging.formats import signed

__all__ = ["Cell", "cells", "section", "tolerance"]

REFERENCE = "finite-context"
METHODS = {"law-corrected": "corrected law", "mean-field-corrected": "corrected mean field", "law": "law under Adam"}
"""Methods and their labels, in the order of the table."""

NAMED = 6
"""Misses named in a row, the largest first."""


class Cell(NamedTuple):
    """One quantity of one setting by one method.

    `error` is relative to finite context, None where either has no step; `refused` is true where the method does not
    apply.
    """

    method: str
    family: str
    optimizer: str
    context: int
    name: str
    error: float | None
    agrees: bool
    refused: bool


def tolerance(optimizer: str, context: int) -> float:
    """Target, fixed before the results: 5% from T = 100 on and 10% below under SGD, 15% under Adam."""
    if optimizer != "sgd":
        return 0.15
    return 0.05 if context >= 100 else 0.1


def cells(data: Mapping[str, Any]) -> Iterator[Cell]:
    """Cells of every method and setting with a finite-context result."""
    settings = {s["label"]: s["setting"] for s in data["settings"]}
    for c in data["comparisons"]:
        setting, exact = settings[c["setting"]], c["predicted"].get(REFERENCE)
        if exact is None:
            continue
        optimizer = setting["optimizer"]["name"]
        for method in METHODS:
            predicted = c["predicted"].get(method)
            if predicted is None:
                continue
            both = predicted["value"] is not None and exact["value"] is not None
            error = predicted["value"] / exact["value"] - 1 if both else None
            never = predicted["value"] is None and exact["value"] is None and not predicted["refused"]
            agrees = never or (error is not None and abs(error) <= tolerance(optimizer, setting["context"]))
            name = f"{c['setting'].partition(f'{optimizer} ')[2]}, {c['quantity']}"
            family, context = setting["family"], setting["context"]
            yield Cell(method, family, optimizer, context, name, error, agrees, predicted["refused"])


def section(data: Mapping[str, Any]) -> str:
    """Markdown of the table, a row for each method, family, optimiser and context."""
    every = list(cells(data))
    rows = dict.fromkeys((c.method, c.family, c.optimizer, c.context) for c in every)
    missing = f" {len(data['missing'])} of its predictions are not computed yet." if data["missing"] else ""
    lines = [
        f"`onset validate --suite {data['suite']}`: steps of the transition to bigram and of the head's formation",
        "against finite context, without training, over k = 2, 3, 4, 8 and concentrations 0.3, 1, 3 (Adam: 1). A cell",
        f"is one quantity of one setting.{missing}",
        "",
        "| | target | cells within it | refused | misses |",
        "|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: (list(METHODS).index(row[0]), row[1:3], row[3])):
        method, family, optimizer, context = row
        here = [c for c in every if (c.method, c.family, c.optimizer, c.context) == row]
        lines.append(
            f"| {METHODS[method]}, {family}, {optimizer}, T = {context} | {100 * tolerance(optimizer, context):g}% "
            f"| {sum(c.agrees for c in here)} of {len(here)} | {sum(c.refused for c in here)} | {_misses(here)} |"
        )
    return "\n".join((*lines, ""))


def _misses(here: Sequence[Cell]) -> str:
    missed = [c for c in here if not c.agrees and not c.refused]
    missed.sort(key=lambda c: -math.inf if c.error is None else -abs(c.error))
    named = [f"{c.name} {_signed(c.error)}" for c in missed[:NAMED]]
    return "; ".join(named) + (f"; {len(missed) - NAMED} more" if len(missed) > NAMED else "")


def _signed(error: float | None) -> str:
    return "in one of the two never" if error is None else f"{signed(100 * error)}%"
