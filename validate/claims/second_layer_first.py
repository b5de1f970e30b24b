"""Claim 2: the second layer moves first, and each layer needs the other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from onset.validate.claims.claim import Claim, Finding, Need, Runs, positive, share
from onset.validate.claims.trained import EDELMAN, FEWER, SEEDS, at, passage, published, seen, untrained
from onset.validate.inspection.formation import find_formations

__all__ = ["CLAIM"]

EARLY = 0.5
"""Of the step of formation: where the layers' movements are compared, before layer 1 attends to any lag."""

WIDTH = 200
"""Steps from a passage within which a head forms at it: the published fall of the test KL takes steps 1,490 to 1,690, k = 3."""


def needs(size: str) -> Mapping[str, Need]:
    if size == "quick":
        return {}
    frozen = {f"layer {n} frozen": Need(published(3, frozen=[f"layer_{n}"]), FEWER[size]) for n in (1, 2)}
    return {"all": Need(published(3), SEEDS[size])} | frozen


def judge(runs: Runs) -> list[Finding]:
    whole, ahead = runs["all"], []
    for one in whole.trajectories:
        formed = one.transitions()[1].step
        step = EARLY * (one.steps[-1] if formed is None else formed)
        layers = [float(at(one, seen(whole.setting, one, "movement", f"layer_{n}"), step)) for n in (1, 2)]
        ahead.append(float(np.log(layers[1] / layers[0])))
    found = [positive("ln of layer 2's movement over layer 1's, half-way to the head", "1", ahead)]
    for layer, kind in ((1, "previous-token head"), (2, "induction head")):
        near = []
        for one in whole.trajectories:
            formations = find_formations(whole.setting, one)
            formed, passed = formations[layer, kind].step, passage(one, "unigram", "bigram").step
            near.append(formed is not None and passed is not None and abs(formed - passed) <= WIDTH)
        found.append(share(f"{kind} in layer {layer} forms at the passage", near, f"seeds: within {WIDTH} steps of it"))
    for name in ("layer 1 frozen", "layer 2 frozen"):
        each = runs[name].trajectories
        never = [one.transitions()[0][-1].step is None for one in each]
        found.append(share(f"{name}: no passage to bigram", never, "seeds never pass", control=True))
    stays = [one.transitions()[1].step is None for one in runs["layer 2 frozen"].trajectories]
    found.append(share("layer 2 frozen: no head in layer 1", stays, "seeds form none"))
    return [*found, untrained("all", whole.trajectories)]


CLAIM = Claim(
    id="second-layer-first",
    title="The second layer moves first",
    statement="From an uninformed start there is signal for the second layer and none for the first; once the second begins to form, the first follows, and the heads of both form at the passage to bigram.",
    source=f"{EDELMAN}; exact for the toy families: derivation signals",
    needs=needs,
    judge=judge,
    untested="Movement is the root mean square change of a layer's parameters, not of what it computes.",
)
