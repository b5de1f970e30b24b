"""Quantities recorded of trained models besides those that theory predicts: names, units and dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from onset.theory.setting import Setting

__all__ = ["LAW", "MATCHED", "PROBES", "SCORES", "Dimension", "Probe"]

SCORES = ("previous-token", "prefix-matching", "duplicate-token", "copying")
"""Head scores, defined in `onset.validate.inspection.scores`."""

MATCHED = ("previous", "same")
"""Symbols of a source that may match the query's: the one before it, and its own."""


class Dimension(NamedTuple):
    """A dimension of a probe and its labels in a setting."""

    name: str
    labels: Callable[[Setting], Sequence[Any]]


class Probe(NamedTuple):
    """Unit, meaning and dimensions of a recorded quantity."""

    unit: str
    meaning: str
    dimensions: tuple[Dimension, ...] = ()


def _heads_of(setting: Setting) -> tuple[int, ...]:
    """Number of heads in each layer; a toy model counts as one layer of one head."""
    shape = setting.model.architecture
    return (1,) if shape is None else shape.heads_of


LAW = Dimension("law", lambda setting: [*setting.task.strategies, "true"])
POSITION = Dimension("position", lambda setting: (np.flatnonzero(setting.task.scored) + 1).tolist())
SET = Dimension("set", lambda setting: [task.label for task in (setting.task, *setting.task.variants)])
CHAINS = Dimension("chains", lambda setting: [variant.label for variant in setting.task.variants])
SCORE = Dimension("score", lambda setting: SCORES)
MATCH = Dimension("matched", lambda setting: MATCHED)
PART = Dimension("part", lambda setting: setting.model.parts)
LAG = Dimension("lag", lambda setting: range(setting.task.context))
LAYER = Dimension("layer", lambda setting: range(1, 1 + len(_heads_of(setting))))
HEAD = Dimension("head", lambda setting: range(1, 1 + _heads_of(setting)[0]))
HEAD_OF_LAYER = Dimension("head_of_layer", lambda setting: range(1, 1 + max(_heads_of(setting))))

NATS, LOGITS = "nats per token", "natural logits"

PROBES = {
    "last": Probe(NATS, "KL(law || model) on the last token: of each strategy's law, and of the true one", (LAW,)),
    "loss_at": Probe(NATS, "loss at each position, the next token averaged out", (POSITION,)),
    "in_context": Probe(NATS, "in-context-learning score: loss at a late position less that at an early one"),
    "unseen": Probe(NATS, "loss where the current history did not occur before, the next token averaged out"),
    "tested_on": Probe(NATS, "KL(true law || model) on the last token of other chains", (CHAINS,)),
    "set_distance": Probe(
        NATS,
        "KL(law || model) at each position of the task's sequences and of its variants': of each strategy, and of the "
        "true law",
        (SET, LAW, POSITION),
    ),
    "accuracy": Probe("1", "share of right answers at each position, the likeliest token taken", (SET, POSITION)),
    "head_score": Probe(
        "1",
        "head scores; those of patterns above their controls, NaN without a target in the sequences",
        (SCORE, LAYER, HEAD_OF_LAYER),
    ),
    "lag_logit": Probe(LOGITS, "layer-1 score by lag above that of far lags: v of a toy", (HEAD, LAG)),
    "match": Probe(
        LOGITS, "score by the match with what a layer-1 head shows: ω of a toy", (HEAD, LAYER, HEAD_OF_LAYER)
    ),
    "contrast": Probe(
        LOGITS, "score of sources that match the query, above the others'", (MATCH, LAYER, HEAD_OF_LAYER)
    ),
    "readout": Probe(LOGITS, "logit of the symbol attended to: μ of a toy", (LAYER, HEAD_OF_LAYER)),
    "movement": Probe("1", "root mean square change of the parameters of a part since the start", (PART,)),
}
"""Probes by name in run files."""
