"""Findings on basins: whether trained models leave the plateau for a head as `onset.theory.laws.basins` predicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from onset.theory.recording import Trajectory
from onset.validate.judging.verdicts import AGREES, DISAGREES, INCONCLUSIVE
from onset.validate.suite.comparisons import CaseResult

__all__ = ["ESCAPED", "TRAPPED", "UNDECIDED", "BasinFinding", "basins", "fate"]

ESCAPED, TRAPPED, UNDECIDED = "escaped", "trapped", "undecided"
FATES = {1: ESCAPED, -1: TRAPPED, 0: UNDECIDED}
"""Predicted fate by the sign of the push."""


@dataclass(frozen=True)
class BasinFinding:
    """Predicted and trained basin of one setting.

    Attributes
    ----------
    setting, group, family, optimizer : str
    states, context : int
    concentration : float or None
        Concentration of the prior, where it has one.
    predicted : {"escaped", "trapped", "undecided"} or None
        None if the theory does not answer, for the reason in `because`.
    z : float or None
        Of the push that decides it.
    lags : list of int
        Lags that layer 1 should turn to, the most driven first.
    trained : dict of fate to int
        Number of seeds.
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


def fate(run: Trajectory) -> str:
    """Where a run ended: *escaped* if the previous-token head formed, *trapped* if lag 1 has lost attention."""
    if run.transitions()[1].step is not None:
        return ESCAPED
    return TRAPPED if run.attention[-1, :, 1].max() < run.attention[0, :, 1].max() else UNDECIDED


def basins(results: Sequence[CaseResult]) -> Iterator[BasinFinding]:
    """Findings on the settings that are trained and whose basin was asked for."""
    for result in results:
        if result.basin is None or result.observed is None:
            continue
        counts = Counter(map(fate, result.observed.trajectories))
        trained = {name: counts[name] for name in (ESCAPED, TRAPPED, UNDECIDED)}
        setting, basin = result.setting, result.basin
        if isinstance(basin, str):
            predicted, z, lags, verdict, because = None, None, [], None, basin
        else:
            predicted, because, lags = FATES[basin.sign], basin.explanation, list(basin.lags)
            z = basin.size / basin.error if basin.error else None
            verdict = _verdict(predicted, trained)
        yield BasinFinding(
            setting=setting.label,
            group=result.case.group,
            family=setting.model.family,
            optimizer=setting.training.optimizer.name,
            states=setting.task.vocabulary,
            context=setting.task.context,
            concentration=getattr(getattr(setting.task, "prior", None), "concentration", None),
            predicted=predicted,
            z=z,
            lags=lags,
            trained=trained,
            verdict=verdict,
            because=because,
        )


def _verdict(predicted: str, trained: dict[str, int]) -> str:
    """Agrees if every seed goes as predicted; a seed that has not gone yet leaves it open."""
    if predicted == UNDECIDED:
        return INCONCLUSIVE
    if trained[TRAPPED if predicted == ESCAPED else ESCAPED]:
        return DISAGREES
    return INCONCLUSIVE if trained[UNDECIDED] else AGREES
