"""What is recorded of trained models beside what theory predicts of them: names, units and dimensions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from onset.theory.setting import Setting

__all__ = ["MATCHED", "PROBES", "SCORES", "Probe", "labels"]

SCORES = ("previous-token", "prefix-matching", "duplicate-token", "copying")
"""Head scores, defined in `onset.validate.inspection.scores`."""

MATCHED = ("previous", "same")
"""Symbols of a source that may match the query's: that before it, its own; see `onset.validate.inspection.order_parameters`."""


class Probe(NamedTuple):
    """Unit and dimensions of what is recorded, and what it is."""

    unit: str
    dims: tuple[str, ...]
    meaning: str


PROBES = {
    "last": Probe(
        "nats per token", ("law",), "KL(law || model) on the last token: of each strategy's law, and of the true one"
    ),
    "loss_at": Probe("nats per token", ("position",), "loss at each position, the next token averaged out"),
    "unseen": Probe(
        "nats per token", (), "loss where the current history did not occur before, the next token averaged out"
    ),
    "tested_on": Probe("nats per token", ("chains",), "KL(true law || model) on the last token of other chains"),
    "head_score": Probe(
        "1", ("score", "layer", "head_of_layer"), "head scores; those of patterns above their controls"
    ),
    "lag_logit": Probe("natural logits", ("head", "lag"), "layer-1 score by lag above that of far lags: v of a toy"),
    "match": Probe(
        "natural logits",
        ("head", "layer", "head_of_layer"),
        "score by the match with what a layer-1 head shows: ω of a toy",
    ),
    "contrast": Probe(
        "natural logits",
        ("matched", "layer", "head_of_layer"),
        "score of sources that match the query, above the others'",
    ),
    "readout": Probe("natural logits", ("layer", "head_of_layer"), "logit of the symbol attended to: μ of a toy"),
    "movement": Probe("1", ("part",), "root mean square change of the parameters of a part since the start"),
}
"""The one place where a probe is registered."""


def labels(setting: Setting, dimension: str) -> list[str] | list[int]:
    """Names along a dimension of a probe."""
    shape = setting.model.architecture
    named: dict[str, list[str] | list[int]] = {
        "law": [*setting.task.strategies, "true"],
        "position": (np.flatnonzero(setting.task.scored) + 1).tolist(),
        "chains": [variant.label for variant in setting.task.variants],
        "score": list(SCORES),
        "part": list(setting.model.parts),
        "matched": list(MATCHED),
        "head": list(range(1, 1 + (shape.heads_of[0] if shape else 1))),
        "lag": list(range(setting.task.context)),
        "layer": list(range(1, 1 + (shape.layers if shape else 1))),
        "head_of_layer": list(range(1, 1 + max(shape.heads_of if shape else (1,)))),
    }
    return named[dimension]
