"""What is compared of a transformer, which has no theory of its own: order of the phases, losses beside ideal ones, steps beside a toy's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from theory.dynamics import Trajectory
from theory.ideal import finite_loss
from theory.setting import Setting
from theory.transitions import STRATEGIES
from validate.suite.comparisons import Comparison, Judged, Outcome, compare
from validate.suite.intervals import Interval, Z
from validate.suite.tolerances import SHARE, TRAINED
from validate.suite.verdicts import Tolerance, Verdict, judge, of_share

__all__ = ["compare_transformer", "losses"]

PART = 0.1
"""Of the gap between the ideal unigram and bigram losses: nearer than this, a loss stands for its strategy."""


def compare_transformer(outcome: Outcome) -> Iterator[Comparison]:
    """Steps as for a toy, then the plateau's loss, the last loss and the share of seeds whose phases come in order."""
    yield from compare(outcome)
    if outcome.observed is None:
        return
    setting, runs = outcome.setting, outcome.observed.trajectories
    for quantity, strategy, exact, seen, verdict in losses(setting, runs):
        yield _one(outcome, quantity, "nats", f"ideal {strategy}", exact, seen, verdict)
    order = [[t.step for t in one.transitions()[0]] for one in runs]
    in_order = sum(None not in steps and steps == sorted(steps) for steps in order)  # type: ignore[type-var]
    verdict = of_share(in_order, len(order), "seeds take them in order", SHARE)
    quantity = f"seeds in order {' → '.join(STRATEGIES)}"
    share = Interval(in_order / len(order))
    yield _one(outcome, quantity, "share", "theory", Interval(1.0), share, verdict, promised=True)


def losses(setting: Setting, runs: tuple[Trajectory, ...]) -> Iterator[tuple[str, str, Interval, Interval, Verdict]]:
    """The plateau's loss beside the exact ideal unigram loss and the last loss beside the bigram one: quantity, strategy, both, the verdict."""
    ideal = {name: finite_loss(setting.prior, name, setting.context).value for name in ("unigram", "bigram")}
    gap = ideal["unigram"] - ideal["bigram"]
    for quantity, strategy in (("plateau loss", "unigram"), ("final loss", "bigram")):
        exact = Interval(ideal[strategy], ideal[strategy], ideal[strategy])
        seen = _loss(runs, strategy, ideal[strategy])
        source = f"{PART:g} of the gap between the ideal unigram and bigram losses"
        tolerance = Tolerance(PART * gap / ideal[strategy], source)
        yield quantity, strategy, exact, seen, judge(exact, seen, tolerance, seeds=len(runs))


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


def _loss(runs: tuple[Trajectory, ...], strategy: str, ideal: float) -> Interval:
    """The runs' mean loss, at the end or, for the plateau, where they are nearest to unigram, above the ideal one on the same sequences."""
    at = [int(np.argmin(one.distances["unigram"])) if strategy == "unigram" else -1 for one in runs]
    above, error = np.mean([one.excess[strategy][n] for one, n in zip(runs, at, strict=True)], axis=0)
    # Seeds are measured on sequences of their own, so their errors are independent.
    half = Z * float(error / np.sqrt(len(runs)))
    loss = ideal + float(above)
    return Interval(loss, loss - half, loss + half)
