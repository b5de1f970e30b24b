"""Without its induction heads a small attention-only model loses nearly all of its in-context learning.

The output of the heads is zero while all patterns stay those of the intact model. The share lost is the change of the
in-context-learning score over the score itself. Beside it stand the heads of layer 1 that attend to the previous token,
with patterns of their own, and before-and-after attribution: the part of an ablation's change of each token's loss that
undoes what training has changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from onset.theory.arrays import Array
from onset.validate.claims.claim import Claim, Finding, Need, Runs, first_paragraph, is_positive
from onset.validate.claims.induction.readings import Trained, of_seeds
from onset.validate.claims.induction.settings import OLSSON, SEEDS, segments
from onset.validate.inspection.inspectable import Head, record
from onset.validate.inspection.interventions import Zero, intervene, preserved_patterns
from onset.validate.inspection.losses import before_and_after, in_context_positions, position_losses, token_losses

__all__ = ["CLAIM"]

NEARLY_ALL = 0.75
"""Published share of in-context learning that forms in the stage in which induction heads do."""


def needs(size: str) -> Mapping[str, Need]:
    return {"two layers": Need(segments(), SEEDS[size]), "three layers": Need(segments(3), SEEDS[size])}


def judge(runs: Runs) -> list[Finding]:
    findings = []
    for name in ("two layers", "three layers"):
        lost, undone, others = np.transpose([_of_seed(trained) for trained in of_seeds(runs[name])])
        findings += [
            is_positive(
                f"{name}: share of in-context learning lost, above {NEARLY_ALL:g}", "1", np.array(lost) - NEARLY_ALL
            ),
            is_positive(f"{name}: before-and-after attribution of the induction heads, undone", "nats", undone),
            is_positive(
                f"{name}, control: other heads lose less than half of that",
                "1",
                np.array(lost) / 2 - others,
                control=True,
            ),
        ]
    return findings


def _of_seed(trained: Trained) -> tuple[float, float, float]:
    """Share lost without the induction heads; what of each token's change is undone; share lost without as many other
    heads of the model, that is all there are."""
    model, batches = trained.model, list(trained.tokens().split(64))
    heads = trained.heads("prefix-matching")
    rest = [Head(layer, n) for layer, number in enumerate(model.heads) for n in range(number)]
    others = [head for head in rest if head not in heads][: len(heads)]
    intact = position_losses(model, batches)
    before = position_losses(trained.untrained, batches)
    ablated = _preserved(trained, heads)
    undone = -before_and_after(before.ravel(), intact.ravel(), ablated.ravel())
    scale = np.sqrt(intact.size)  # per token
    return _lost(intact, ablated), float(undone / scale), _lost(intact, _preserved(trained, others))


def _preserved(trained: Trained, heads: Sequence[Head]) -> Array:
    """Losses with the outputs of heads zero and all patterns as they were."""
    rows = []
    for tokens in trained.tokens().split(64):
        patterns = preserved_patterns(record(trained.model, tokens, "patterns"))
        with intervene(trained.model, *map(Zero, heads), *patterns):
            rows.append(token_losses(trained.model(tokens).detach(), tokens).double().numpy())
    return np.concatenate(rows)


def _lost(intact: Array, ablated: Array) -> float:
    """Share of the in-context-learning score that is lost."""
    early, late = in_context_positions(intact.shape[1])
    scores = [float((losses[:, late - 1] - losses[:, early - 1]).mean()) for losses in (intact, ablated)]
    return 1 - scores[1] / scores[0]


CLAIM = Claim(
    id="ablation",
    title="Without induction heads in-context learning is gone",
    statement=first_paragraph(__doc__),
    source=f"{OLSSON}, argument 3",
    needs=needs,
    judge=judge,
    untested="Models with feed-forward blocks, where ablations of values act on later patterns too.",
    sizes=("heads",),
)
