"""From an uninformed start there is signal for the second layer and none for the first; once the second begins to form,
the first follows, and the heads of both form at the passage to bigram.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from onset.validate.claims.claim import Claim, Finding, Need, Runs, first_paragraph, holds_in_all, is_above
from onset.validate.claims.markov.published import EDELMAN, FEWER, SEEDS, published
from onset.validate.claims.markov.readings import probe_curve, transition, untrained, value_at
from onset.validate.inspection.formation import find_formations

__all__ = ["CLAIM"]

READ_AT = 0.5
"""Share of the step of formation at which the layers' movements are compared, before layer 1 attends to any lag."""

WINDOW = 200
"""Steps around a transition within which a head forms at it.

The published fall of the test KL takes steps 1,490 to 1,690, k = 3.
"""


def needs(size: str) -> Mapping[str, Need]:
    frozen = {f"layer {n} frozen": Need(published(3, frozen=[f"layer_{n}"]), FEWER[size]) for n in (1, 2)}
    return {"all": Need(published(3), SEEDS[size])} | frozen


def judge(runs: Runs) -> list[Finding]:
    setting, trajectories = runs["all"].setting, runs["all"].trajectories
    ahead = []
    for run in trajectories:
        formation = run.transitions()[1].step
        step = READ_AT * (run.steps[-1] if formation is None else formation)
        first, second = (
            float(value_at(run, probe_curve(setting, run, "movement", f"layer_{n}"), step)) for n in (1, 2)
        )
        ahead.append(float(np.log(second / first)))
    findings = [is_above("ln of layer 2's movement over layer 1's, half-way to the head", "1", ahead)]
    for layer, kind in ((1, "previous-token head"), (2, "induction head")):
        near = []
        for run in trajectories:
            formed, to_bigram = find_formations(setting, run)[layer, kind], transition(run, "unigram", "bigram")
            steps = formed.step, to_bigram.step
            near.append(None not in steps and abs(steps[0] - steps[1]) <= WINDOW)  # type: ignore[operator]
        what = f"seeds: within {WINDOW} steps of it"
        findings.append(holds_in_all(f"{kind} in layer {layer} forms at the passage", near, what))
    for name in ("layer 1 frozen", "layer 2 frozen"):
        never = [run.transitions()[0][-1].step is None for run in runs[name].trajectories]
        findings.append(holds_in_all(f"{name}: no passage to bigram", never, "seeds never pass", control=True))
    no_head = [run.transitions()[1].step is None for run in runs["layer 2 frozen"].trajectories]
    findings.append(holds_in_all("layer 2 frozen: no head in layer 1", no_head, "seeds form none"))
    return [*findings, untrained("all", trajectories)]


CLAIM = Claim(
    id="second-layer-first",
    title="The second layer moves first",
    statement=first_paragraph(__doc__),
    source=f"{EDELMAN}; exact for the toy families: derivation signals",
    needs=needs,
    judge=judge,
    untested="Movement is the root mean square change of a layer's parameters, not of what it computes.",
)
