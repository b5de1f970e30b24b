"""What is compared of a transformer, which has no theory of its own: order of the phases, losses beside ideal ones, steps beside a toy's."""

from __future__ import annotations

from collections.abc import Iterator

from onset.theory.markov.task import STRATEGIES
from onset.validate.claims.trained import in_order, losses
from onset.validate.judging.intervals import Interval
from onset.validate.judging.verdicts import Verdict, of_share
from onset.validate.suite.comparisons import Comparison, Judged, Outcome, compare
from onset.validate.suite.tolerances import TRAINED

__all__ = ["compare_transformer"]


def compare_transformer(outcome: Outcome) -> Iterator[Comparison]:
    """Steps as for a toy, then the plateau's loss, the last loss and the share of seeds whose phases come in order."""
    yield from compare(outcome)
    if outcome.observed is None:
        return
    setting, runs = outcome.setting, outcome.observed.trajectories
    for quantity, strategy, exact, seen, verdict in losses(setting, runs):
        yield _one(outcome, quantity, "nats", f"ideal {strategy}", exact, seen, verdict)
    ordered = sum(in_order([t.step for t in one.transitions()[0]]) for one in runs)
    verdict = of_share(ordered, len(runs), "seeds take them in order")
    quantity = f"seeds in order {' → '.join(STRATEGIES)}"
    share = Interval(ordered / len(runs))
    yield _one(outcome, quantity, "share", "theory", Interval(1.0), share, verdict, promised=True)


def _one(
    outcome: Outcome,
    quantity: str,
    unit: str,
    by: str,
    told: Interval,
    seen: Interval,
    verdict: Verdict,
    *,
    promised: bool = False,
) -> Comparison:
    judged = Judged(by, TRAINED, verdict, promised)
    return Comparison(outcome.setting.label, outcome.case.group, quantity, unit, {by: told}, seen, (judged,))
