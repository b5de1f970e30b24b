"""A claim: what is said, by whom, what has to be trained to test it, and how it is judged.

A claim's verdict is the worst of its findings'. Tolerances are fixed here, before anything is trained: a published number is one run's, so it agrees
if it could be one more of our seeds' (`one_more`); a statement about a sign or an order must hold over seeds (`positive`, `of_share`).
Controls are findings too: what must not happen on chains without structure, or before training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy.special import stdtrit

from onset.theory.arrays import Array
from onset.theory.setting import Setting
from onset.validate.judging.intervals import Interval, relative_error
from onset.validate.judging.verdicts import (
    AGREES,
    DISAGREES,
    INCONCLUSIVE,
    Tolerance,
    Verdict,
    counted,
    of_share,
    worst,
)
from onset.validate.store.jobs import TRAIN, Job

__all__ = ["Claim", "Finding", "Need", "Runs", "Told", "mean", "one_more", "positive", "share"]

LEVEL = 0.975
"""Of Student's law: two-sided 95%."""

SIGN = Tolerance(0.0, "the sign, at 95% over seeds")
SPREAD = Tolerance(0.0, "the spread of our seeds: a published run is one more of them")

WIDEST = 0.5
"""Half of the widest prediction interval with which a published number still agrees, relative to it."""

Runs = Mapping[str, Any]
"""Trained models, each an `Observation`, and predictions, each a `Prediction`, by the names that a claim gives them; a refused prediction is left out."""


@dataclass(frozen=True)
class Need:
    """A setting to train from a number of seeds, or to predict by the method that `kind` names."""

    setting: Setting
    seeds: int = 1
    kind: str = TRAIN

    def jobs(self) -> list[Job]:
        return [Job(self.setting, self.kind, seed) for seed in range(self.seeds)]

    @property
    def file(self) -> str:
        """Where a suite's folder holds the setting."""
        return f"settings/{self.setting.id}.toml"

    @property
    def command(self) -> str:
        """What computes it in a suite's folder: runs that are there already are used again."""
        if self.kind == TRAIN:
            return f"onset train --setting {self.file} --seeds {self.seeds} --out ."
        return f"onset predict --setting {self.file} --method {self.kind}"


@dataclass(frozen=True)
class Finding:
    """One quantity: what is predicted, what was observed, and the verdict; `control` if it is about what must not happen."""

    quantity: str
    unit: str
    predicted: Interval
    observed: Interval
    verdict: Verdict
    control: bool = False

    @property
    def error(self) -> float | None:
        """Relative error of the prediction."""
        return relative_error(self.predicted, self.observed)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"error": self.error}


@dataclass(frozen=True)
class Claim:
    """What is claimed and how it is tested.

    Attributes
    ----------
    id, title, statement, source : str
    needs : callable
        Takes the name of a suite's size, returns what has to be trained, by name; empty if that suite leaves the claim out.
    judge : callable
        Takes the trained models by those names, returns the findings.
    untested : str
        What this test leaves open.
    """

    id: str
    title: str
    statement: str
    source: str
    needs: Callable[[str], Mapping[str, Need]]
    judge: Callable[[Runs], Sequence[Finding]]
    untested: str


@dataclass(frozen=True)
class Told:
    """A claim with its findings and the runs that they were read from; `missing` names what is not computed yet."""

    claim: Claim
    needs: Mapping[str, Need]
    findings: tuple[Finding, ...]
    missing: tuple[str, ...] = ()
    runs: Runs = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """The worst of the findings' verdicts; inconclusive while something is missing."""
        found = worst([one.verdict.kind for one in self.findings])
        return INCONCLUSIVE if self.missing or found is None else found

    @property
    def counts(self) -> dict[str, int]:
        """Findings by verdict."""
        return counted(one.verdict.kind for one in self.findings)

    @property
    def against(self) -> list[str]:
        """The quantities that disagree."""
        return [one.quantity for one in self.findings if one.verdict.kind == DISAGREES]

    @property
    def decides(self) -> str | None:
        """If inconclusive, what would decide."""
        if self.missing:
            return f"{len(self.missing)} runs that are not trained yet"
        if self.verdict != INCONCLUSIVE:
            return None
        return next((one.verdict.decides for one in self.findings if one.verdict.decides), None)

    def to_dict(self) -> dict[str, Any]:
        claim = self.claim
        return {
            "id": claim.id,
            "title": claim.title,
            "statement": claim.statement,
            "source": claim.source,
            "verdict": self.verdict,
            "decides": self.decides,
            "findings": [one.to_dict() for one in self.findings],
            "untested": claim.untested,
            "settings": {
                name: {
                    "setting": need.setting.to_dict() | {"id": need.setting.id},
                    "seeds": need.seeds,
                    "method": need.kind,
                    "command": need.command,
                }
                for name, need in self.needs.items()
            },
            "missing": list(self.missing),
        }


def mean(values: Sequence[float] | Array) -> Interval:
    """Mean over seeds with its 95% interval by Student's law; none for fewer than two."""
    found = np.asarray(values, dtype=float)
    if not len(found):
        return Interval(None, reason="in no seed")
    middle = float(found.mean())
    if len(found) < 2:
        return Interval(middle)
    half = float(stdtrit(len(found) - 1, LEVEL) * found.std(ddof=1) / np.sqrt(len(found)))
    return Interval(middle, middle - half, middle + half)


def one_more(
    quantity: str,
    unit: str,
    published: float | tuple[float, float],
    values: Sequence[float | None],
    *,
    steps: float = 0.0,
) -> Finding:
    """Whether a published run's number, or the range of several, could be one more seed's: within Student's 95% prediction interval.

    `steps` is the resolution of the recording grid, which widens it. An interval too wide (`WIDEST`) or a seed without the number makes it inconclusive, none with it a disagreement.
    """
    low, high = published if isinstance(published, tuple) else (published, published)
    told = Interval((low + high) / 2, low, high)
    found = np.array([value for value in values if value is not None], dtype=float)
    seen = mean(found)
    if not len(found):
        return Finding(quantity, unit, told, seen, Verdict(DISAGREES, SPREAD, because="in none of our seeds"))
    if len(found) < max(2, len(values)):
        decides = "more seeds" if len(values) < 2 else "longer runs: some seeds do not get there"
        because = f"in {len(found)} of {len(values)} seeds"
        return Finding(quantity, unit, told, seen, Verdict(INCONCLUSIVE, SPREAD, because=because, decides=decides))
    middle, spread = float(found.mean()), float(found.std(ddof=1) * np.sqrt(1 + 1 / len(found)))
    room = float(stdtrit(len(found) - 1, LEVEL)) * spread + steps
    off = max(low - middle, middle - high, 0.0)
    kind = DISAGREES if off > room else AGREES if room <= WIDEST * abs(told.value or 0) else INCONCLUSIVE
    because = f"ours {middle:.4g}, one more seed of ours within ± {room:.3g}"
    z = off / spread if spread else None
    if kind == INCONCLUSIVE:
        decides = f"more seeds than {len(found)}: they spread too widely for one more to say anything"
        return Finding(quantity, unit, told, seen, Verdict(kind, SPREAD, None, None, z, because, decides))
    return Finding(quantity, unit, told, seen, Verdict(kind, SPREAD, (told.value or 0) / middle - 1, None, z, because))


def positive(quantity: str, unit: str, values: Sequence[float], *, control: bool = False) -> Finding:
    """Whether a number is above zero, over seeds."""
    seen = mean(values)
    told = Interval(None, reason="above zero")
    if seen.low is None or seen.high is None:
        verdict = Verdict(INCONCLUSIVE, SIGN, because="one seed has no spread", decides="more seeds")
    elif seen.low > 0 or seen.high < 0:
        verdict = Verdict(AGREES if seen.low > 0 else DISAGREES, SIGN, because=f"{seen.value:.3g} on the average")
    else:
        verdict = Verdict(INCONCLUSIVE, SIGN, because="its interval holds zero", decides="more seeds")
    return Finding(quantity, unit, told, seen, verdict, control)


def share(quantity: str, held: Sequence[bool], what: str, *, control: bool = False) -> Finding:
    """Whether something holds for all seeds."""
    verdict = of_share(sum(held), len(held), what)
    return Finding(quantity, "share", Interval(1.0), Interval(sum(held) / len(held)), verdict, control)
