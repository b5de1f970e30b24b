"""Findings on basins: whether trained models leave the plateau for an induction head where `onset.theory.laws.basins` says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from onset.theory.recording import Trajectory
from onset.validate.judging.verdicts import AGREES, DISAGREES, INCONCLUSIVE
from onset.validate.suite.comparisons import Outcome

__all__ = ["ESCAPED", "TRAPPED", "UNDECIDED", "BasinFinding", "basins", "fate"]

ESCAPED, TRAPPED, UNDECIDED = "escaped", "trapped", "undecided"
SIGNS = {1: ESCAPED, -1: TRAPPED, 0: UNDECIDED}


@dataclass(frozen=True)
class BasinFinding:
    """Predicted and trained basin of one setting.

    Attributes
    ----------
    setting, group : str
    states, context : int
    concentration : float or None
        Of the rows, where the prior has one.
    predicted : {"escaped", "trapped", "undecided"} or None
        None if the theory does not answer, for the reason in `because`.
    z : float or None
        Of the push that decides it.
    lags : list of int
        Those that layer 1 should turn to, the most driven first.
    trained : dict of fate to int
        Seeds.
    verdict : str or None
    because : str
    """

    setting: str
    group: str
    family: str
    optimizer: str
    states: int
    context: int
    concentration: float | None
    predicted: str | None
    z: float | None
    lags: list[int]
    trained: dict[str, int]
    verdict: str | None
    because: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def fate(one: Trajectory) -> str:
    """Where a run ended: *escaped* if the previous-token head formed, *trapped* if lag 1 lost attention since the start, else *undecided*."""
    if one.transitions()[1].step is not None:
        return ESCAPED
    return TRAPPED if one.attention[-1, :, 1].max() < one.attention[0, :, 1].max() else UNDECIDED


def basins(outcomes: Sequence[Outcome]) -> Iterator[BasinFinding]:
    """Of every setting that is trained and for which the theory of basins was asked."""
    for outcome in outcomes:
        if outcome.basin is None or outcome.observed is None:
            continue
        fates = [fate(one) for one in outcome.observed.trajectories]
        trained = {name: fates.count(name) for name in (ESCAPED, TRAPPED, UNDECIDED)}
        setting, found = outcome.setting, outcome.basin
        shown = (
            setting.label,
            outcome.case.group,
            setting.model.family,
            setting.training.optimizer.name,
            setting.task.states,
            setting.task.context,
        )
        rows = getattr(setting.task.prior, "concentration", None)
        if isinstance(found, str):
            yield BasinFinding(*shown, rows, None, None, [], trained, None, found)
            continue
        predicted = SIGNS[found.sign]
        verdict = INCONCLUSIVE
        if found.sign:
            agree = trained[predicted]
            verdict = (
                AGREES
                if agree == len(fates)
                else INCONCLUSIVE
                if trained[UNDECIDED] and not _other(trained, predicted)
                else DISAGREES
            )
        z = found.size / found.error if found.error else None
        yield BasinFinding(*shown, rows, predicted, z, list(found.lags), trained, verdict, found.explanation)


def _other(trained: dict[str, int], predicted: str) -> int:
    """Seeds that went the other way."""
    return trained[TRAPPED if predicted == ESCAPED else ESCAPED]
