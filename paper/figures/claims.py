"""Figures of claims: for each a function that returns the data of its figure from the claim's runs.

Most return panels, which `onset.paper.figures.panels` draws. The docstring of the function is the caption. `PICTURES`
is the one place where the figure of a claim is registered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from onset.paper.figures import scaling
from onset.paper.figures.panels import CurvePanel, SeedCurves
from onset.paper.figures.panels import draw as draw_panels
from onset.paper.style import AMBER, BLUE, GREEN, GREY, strategy_colours
from onset.theory.arrays import Array
from onset.theory.recording import Trajectory
from onset.theory.transitions import FORMATION_LEVEL
from onset.validate.claims import ClaimResult
from onset.validate.claims.claim import Runs
from onset.validate.claims.markov import alternation, delay, ngrams, phases, toy_delay
from onset.validate.claims.markov.readings import probe_curve
from onset.validate.inspection.formation import HEAD_KINDS
from onset.validate.store.jobs import Observation
from onset.validate.store.probes import SCORES
from onset.validate.suite import Results

__all__ = ["PANELS", "PICTURES", "ClaimFigure"]

STEP = "optimiser step"
SEQUENCES = "thousands of doubly stochastic sequences"


class ClaimFigure:
    """The figure of one claim, with the interface of the figures that are modules."""

    def __init__(self, claim: str, of_runs: Callable[[Runs], Any], draw: Callable[[Any], Figure] = draw_panels) -> None:
        self.claim, self._of_runs, self.draw, self.__doc__ = claim, of_runs, draw, of_runs.__doc__

    def _tested(self, results: Results | None) -> ClaimResult | None:
        claims = () if results is None else results.claims
        return next((tested for tested in claims if tested.claim.id == self.claim and tested.runs), None)

    def shows(self, results: Results) -> bool:
        """True if `results` hold runs of the claim."""
        return self._tested(results) is not None

    def compute(self, results: Results | None) -> Any:
        tested = self._tested(results)
        if tested is None:
            suite = "standard" if results is None else results.suite
            raise ValueError(
                f"suite {suite!r} holds no runs of the claim {self.claim!r}: expected them for its picture; run onset "
                f"validate --suite {suite} --claims {self.claim}."
            )
        return self._of_runs(tested.runs)


def _curves(
    label: str, observed: Observation, colour: str, values: Callable[[Trajectory], Array], style: str = "-"
) -> SeedCurves:
    """`values` of each seed against the step."""
    return SeedCurves(label, [(run.steps, values(run)) for run in observed.trajectories], colour, style)


def _probe(observed: Observation, probe: str, entry: str) -> Callable[[Trajectory], Array]:
    """Function that returns an entry of a probe of a run."""
    return lambda run: probe_curve(observed.setting, run, probe, entry)


def _distances(title: str, observed: Observation, published: Sequence[float] = ()) -> CurvePanel:
    """KL(strategy ‖ model) on the last token; transitions of published runs are dotted."""
    colours = strategy_colours(observed.setting.task.strategies)
    curves = [_curves(name, observed, colour, _probe(observed, "last", name)) for name, colour in colours.items()]
    marks = {"published": (published, "black")} if published else {}
    return CurvePanel(title, STEP, "KL(strategy ‖ model) / nats", curves, marks=marks)


def _phases(runs: Runs) -> list[CurvePanel]:
    """Distance of trained transformers to each ideal strategy, one line per seed: the model follows the lowest. Dotted:
    transition to bigram of published runs. On chains without memory (control) nothing leads to bigram.
    """
    return [_distances(name, observed, phases.PUBLISHED.get(name, ())) for name, observed in runs.items()]


def _second_layer_first(runs: Runs) -> list[CurvePanel]:
    """Change of each layer's parameters, scores of the heads (dashed: the level that counts as a head), and distance to
    bigram with a layer frozen: the second layer moves first, and neither layer is enough alone.
    """
    trained = runs["all"]
    movement = [
        _curves(f"layer {n}", trained, colour, _probe(trained, "movement", f"layer_{n}"))
        for n, colour in ((1, BLUE), (2, AMBER))
    ]
    scores = [
        _curves(kind, trained, colour, lambda run, s=score, n=n: run.probes["head_score"][:, SCORES.index(s), n, 0])
        for n, ((kind, score), colour) in enumerate(zip(HEAD_KINDS.items(), (BLUE, AMBER), strict=True))
    ]
    bigram = [
        _curves(name, runs[name], colour, _probe(trained, "last", "bigram"), style)
        for name, colour, style in (("all", GREEN, "-"), ("layer 1 frozen", BLUE, "-"), ("layer 2 frozen", AMBER, "--"))
    ]
    head = {"a head": (FORMATION_LEVEL, GREY)}
    return [
        CurvePanel("movement of the layers", STEP, "root mean square change", movement, log="xy"),
        CurvePanel("heads", STEP, "score above uniform attention", scores, levels=head),
        CurvePanel("with a layer frozen", STEP, "KL(bigram ‖ model) / nats", bigram),
    ]


def _alternation(runs: Runs) -> list[CurvePanel]:
    """Layer-1 attention on each lag shortly before the head forms, relative to its mean over lags: odd lags lie above
    neighbouring even ones. Lag 1, the head, is left out. Control: chains without memory.
    """
    lags = np.arange(2, alternation.LAST_ODD_LAG + 2)
    panels = []
    for name, observed in runs.items():
        context = observed.setting.task.context
        attention = [context * alternation.attention_before_formation(run)[lags] for run in observed.trajectories]
        curves = SeedCurves("one seed", [(lags.astype(float), values) for values in attention], BLUE)
        panels.append(CurvePanel(name, "lag", "attention × T", [curves], levels={"even spread": (1.0, GREY)}))
    return panels


def _by_sequences(runs: Runs, prefix: str, values: Callable[[Trajectory], Array]) -> Iterator[SeedCurves]:
    """`values` against the thousands of doubly stochastic sequences drawn, with and without unigram chains mixed in."""
    for (arm, share), colour in zip(delay.SHARES.items(), (BLUE, AMBER), strict=True):
        observed = runs.get(prefix + arm)
        if observed is not None:  # None where a method has no answer
            thousands = share * observed.setting.training.batch / 1000
            yield SeedCurves(arm, [(thousands * run.steps, values(run)) for run in observed.trajectories], colour)


def _delay(runs: Runs) -> list[CurvePanel]:
    """KL(true ‖ model) on flat Dirichlet chains against the number of doubly stochastic sequences, with and without
    unigram chains mixed in. Dashed: half of the drop from the uniform to the bigram strategy, where the delay is read.
    """
    curves = list(_by_sequences(runs, "", lambda run: run.probes["tested_on"][:, 0]))
    start = np.mean([values[0] for curve in curves for _, values in curve.seeds])
    half = {"half-drop": (float(start) - delay.half_gain(), GREY)}
    return [CurvePanel("", SEQUENCES, "KL(true ‖ model) / nats", curves, half)]


def _toy_delay(runs: Runs) -> list[CurvePanel]:
    """Attention on lag 1 against the number of doubly stochastic sequences, with and without unigram chains mixed in:
    of transformers, one line per seed, and of toy models in theory. Dashed: the level at which the head is formed.
    """
    formed = {"formed": (FORMATION_LEVEL, GREY)}
    panels = []
    for name in ("", *toy_delay.TOYS):
        curves = list(_by_sequences(runs, f"{name}, " if name else "", lambda run: run.attention[:, 0, 1]))
        panels.append(CurvePanel(name or "transformer", SEQUENCES, "attention on lag 1", curves, formed))
    return panels


def _ngrams(runs: Runs) -> list[CurvePanel]:
    """Distance to each ideal strategy on chains of order 3 and 4, and with one head in layer 1 where two are needed.
    Dotted: transitions of published runs. Last: largest attention of any layer-1 head on each lag, order 3.
    """
    panels = [_distances(name, observed, ngrams.PUBLISHED.get(name, ())) for name, observed in runs.items()]
    lags = [
        _curves(f"lag {r}", runs["n=3"], colour, lambda run, r=r: run.attention[:, :, r].max(axis=1))
        for r, colour in ((1, BLUE), (2, AMBER), (3, GREY))
    ]
    return [*panels, CurvePanel("n=3: heads by lag", STEP, "largest attention of a head", lags)]


def _one_layer(runs: Runs) -> list[CurvePanel]:
    """Distance of one-layer transformers, which stay at unigram, and of two-layer ones (control) to each strategy."""
    return [_distances(name, observed) for name, observed in runs.items()]


def _long_context(runs: Runs) -> list[CurvePanel]:
    """Distance to each ideal strategy with eight states, T = 100 and 200: if and how long unigram is the nearest."""
    return [_distances(name, observed) for name, observed in runs.items()]


def _out_of_distribution(runs: Runs) -> list[CurvePanel]:
    """Trained on flat Dirichlet chains: KL(true ‖ model) on doubly stochastic chains rises while it falls on the
    training distribution, and collapses on both at the transition to bigram.
    """
    observed = runs["k=3"]
    curves = [
        _curves("doubly stochastic", observed, AMBER, lambda run: run.probes["tested_on"][:, 0]),
        _curves("trained on", observed, BLUE, _probe(observed, "last", "true")),
    ]
    return [CurvePanel("", STEP, "KL(true ‖ model) / nats", curves)]


def _plateaus(runs: Runs) -> list[CurvePanel]:
    """Loss of trained transformers, one line per seed, and exact expected losses of the ideal strategies at this
    context (dashed).
    """
    panels = []
    for name, observed in runs.items():
        task = observed.setting.task
        colours = strategy_colours(task.strategies)
        levels = {f"ideal {s}": (task.expected_loss(s).value, colour) for s, colour in colours.items()}
        loss = _curves("trained", observed, "black", lambda run: run.loss)
        panels.append(CurvePanel(name, STEP, "loss / nats per token", [loss], levels))
    return panels


PANELS: dict[str, Callable[[Runs], Sequence[CurvePanel]]] = {
    "phases": _phases,
    "second-layer-first": _second_layer_first,
    "alternation": _alternation,
    "delay": _delay,
    "n-grams": _ngrams,
    "one-layer": _one_layer,
    "out-of-distribution": _out_of_distribution,
    "long-context": _long_context,
    "plateaus": _plateaus,
    "toy-delay": _toy_delay,
}

PICTURES = {claim: ClaimFigure(claim, panels) for claim, panels in PANELS.items()}
PICTURES["scaling"] = ClaimFigure("scaling", scaling.of_runs, scaling.draw)
