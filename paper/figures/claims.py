"""A picture for each claim: a function takes the claim's runs and returns panels, which what most pictures share draws (`onset.paper.figures.panels`), or other data,
drawn by a function of its own. The first one's docstring is the caption.

`PICTURES` is the one place where a claim gets its picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from onset.paper.figures import scaling
from onset.paper.figures.panels import Curve, Panel
from onset.paper.figures.panels import draw as draw_panels
from onset.paper.style import AMBER, BLUE, GREEN, GREY, STRATEGY_COLOURS
from onset.theory.arrays import Array
from onset.theory.recording import Trajectory
from onset.theory.transitions import FORMATION_LEVEL
from onset.validate.claims import Told, alternation, delay, ngrams, phases, toy_delay
from onset.validate.claims.claim import Runs
from onset.validate.claims.trained import seen
from onset.validate.inspection.formation import HEAD_KINDS
from onset.validate.store.jobs import Observation
from onset.validate.store.probes import SCORES
from onset.validate.suite import Results

__all__ = ["PANELS", "PICTURES", "Picture"]

STEP = "optimiser step"


class Picture:
    """The figure of one claim, with the interface of the figures that are modules."""

    def __init__(self, claim: str, of_runs: Callable[[Runs], Any], draw: Callable[[Any], Figure] = draw_panels) -> None:
        self.claim, self._of_runs, self.draw, self.__doc__ = claim, of_runs, draw, of_runs.__doc__

    def _told(self, results: Results) -> Told | None:
        return next((one for one in results.claims if one.claim.id == self.claim and one.runs), None)

    def shows(self, results: Results) -> bool:
        """Whether the runs of the claim are there."""
        return self._told(results) is not None

    def compute(self, results: Results | None) -> Any:
        told = None if results is None else self._told(results)
        if told is None:
            suite = "standard" if results is None else results.suite
            raise ValueError(
                f"suite {suite!r} holds no runs of the claim {self.claim!r}: expected all that it needs for its picture; run onset validate --suite {suite} --claims {self.claim}."
            )
        return self._of_runs(told.runs)


def _curve(
    label: str, observed: Observation, colour: str, of: Callable[[Trajectory], Array], style: str = "-"
) -> Curve:
    return Curve(label, [(one.steps, of(one)) for one in observed.trajectories], colour, style)


def _strategies(title: str, observed: Observation, published: Sequence[float] = ()) -> Panel:
    """KL(strategy ‖ model) on the last token; dotted, where published runs pass."""
    curves = [
        _curve(name, observed, STRATEGY_COLOURS[name], lambda one, name=name: seen(observed.setting, one, "last", name))
        for name in observed.setting.task.strategies
    ]
    lines = {"published": (published, "black")} if published else {}
    return Panel(title, STEP, "KL(strategy ‖ model) / nats", curves, marks=lines)


def _phases(runs: Runs) -> list[Panel]:
    """Distance of trained transformers to each ideal strategy, a line for each seed: the lowest one is the strategy that the model follows. Dotted: where published runs pass to bigram. On chains without memory (control) nothing leads to bigram."""
    return [_strategies(name, observed, phases.PUBLISHED.get(name, ())) for name, observed in runs.items()]


def _second_layer_first(runs: Runs) -> list[Panel]:
    """How far each layer's parameters have moved, the scores that tell the heads (dashed: the level that counts as a head), and the distance to bigram with a layer frozen: the second layer moves first, and neither does it alone."""
    whole = runs["all"]
    setting = whole.setting
    moved = [
        _curve(f"layer {n}", whole, colour, lambda one, n=n: seen(setting, one, "movement", f"layer_{n}"))
        for n, colour in ((1, BLUE), (2, AMBER))
    ]
    scores = [
        _curve(kind, whole, colour, lambda one, s=score, n=n: one.probes["head_score"][:, SCORES.index(s), n, 0])
        for n, ((kind, score), colour) in enumerate(zip(HEAD_KINDS.items(), (BLUE, AMBER), strict=True))
    ]
    bigram = [
        _curve(name, runs[name], colour, lambda one: seen(setting, one, "last", "bigram"), style)
        for name, colour, style in (("all", GREEN, "-"), ("layer 1 frozen", BLUE, "-"), ("layer 2 frozen", AMBER, "--"))
    ]
    return [
        Panel("movement of the layers", STEP, "root mean square change", moved, log="xy"),
        Panel("heads", STEP, "score above uniform attention", scores, levels={"a head": (FORMATION_LEVEL, GREY)}),
        Panel("with a layer frozen", STEP, "KL(bigram ‖ model) / nats", bigram),
    ]


def _alternation(runs: Runs) -> list[Panel]:
    """Layer-1 attention on each lag shortly before the head forms, relative to its mean over lags: odd lags lie above the even ones beside them. Lag 1 is the head and left out. Control: chains without memory."""
    lags = np.arange(2, alternation.FARTHEST + 2)
    panels = []
    for name, observed in runs.items():
        curves = [
            (lags, observed.setting.task.context * alternation.shortly_before(one)[lags])
            for one in observed.trajectories
        ]
        shown = Curve("a seed each", [(x.astype(float), y) for x, y in curves], BLUE)
        panels.append(Panel(name, "lag", "attention × T", [shown], levels={"even spread": (1.0, GREY)}))
    return panels


def _delay(runs: Runs) -> list[Panel]:
    """KL(true ‖ model) on flat Dirichlet chains against the number of doubly stochastic sequences seen, with and without unigram chains mixed in. Dashed: half of what separates the uniform from the bigram strategy, where the delay is read."""
    curves, start = [], []
    for (arm, share), colour in zip((("doubly stochastic", 1.0), ("mixture", delay.PART)), (BLUE, AMBER), strict=True):
        observed = runs[arm]
        sequences = share * observed.setting.training.batch / 1000
        start += [one.probes["tested_on"][0, 0] for one in observed.trajectories]
        seeds = [(sequences * one.steps, one.probes["tested_on"][:, 0]) for one in observed.trajectories]
        curves.append(Curve(arm, seeds, colour))
    half = {"half-drop": (float(np.mean(start)) - delay.half(), GREY)}
    return [Panel("", "thousands of doubly stochastic sequences", "KL(true ‖ model) / nats", curves, half)]


def _toy_delay(runs: Runs) -> list[Panel]:
    """Attention on lag 1 against the number of doubly stochastic sequences seen, with and without unigram chains mixed in: of transformers, a line for each seed, and of toy models as theory predicts. Dashed: the level at which the head is formed."""
    panels = []
    for name in ("", *toy_delay.TOYS):
        curves = []
        for (arm, share), colour in zip(
            (("doubly stochastic", 1.0), ("mixture", delay.PART)), (BLUE, AMBER), strict=True
        ):
            found = runs.get(f"{name}, {arm}" if name else arm)
            if found is None:  # a method that does not answer
                continue
            thousands = share * found.setting.training.batch / 1000
            seeds = [(thousands * one.steps, one.attention[:, 0, 1]) for one in found.trajectories]
            curves.append(Curve(arm, seeds, colour))
        x = "thousands of doubly stochastic sequences"
        levels = {"formed": (FORMATION_LEVEL, GREY)}
        panels.append(Panel(name or "transformer", x, "attention on lag 1", curves, levels))
    return panels


def _ngrams(runs: Runs) -> list[Panel]:
    """Distance to each ideal strategy on chains of order 3 and 4, and with one head in layer 1 where two are wanted. Dotted: where published runs pass from one strategy to the next. Last: largest attention of any layer-1 head on each lag, order 3."""
    panels = [_strategies(name, observed, ngrams.PUBLISHED.get(name, ())) for name, observed in runs.items()]
    lags = [
        _curve(f"lag {r}", runs["n=3"], colour, lambda one, r=r: one.attention[:, :, r].max(axis=1))
        for r, colour in ((1, BLUE), (2, AMBER), (3, GREY))
    ]
    return [*panels, Panel("n=3: heads by lag", STEP, "largest attention of a head", lags)]


def _one_layer(runs: Runs) -> list[Panel]:
    """Distance to each ideal strategy of one-layer transformers, which stay at unigram, and (control) of two-layer ones."""
    return [_strategies(name, observed) for name, observed in runs.items()]


def _long_context(runs: Runs) -> list[Panel]:
    """Distance to each ideal strategy with eight states: whether unigram is ever the nearest, and for how long, at T = 100 and 200."""
    return [_strategies(name, observed) for name, observed in runs.items()]


def _out_of_distribution(runs: Runs) -> list[Panel]:
    """Trained on flat Dirichlet chains: KL(true ‖ model) on doubly stochastic chains rises while it falls on those trained on, and collapses on both at the passage to bigram."""
    observed = runs["k=3"]
    curves = [
        _curve("doubly stochastic", observed, AMBER, lambda one: one.probes["tested_on"][:, 0]),
        _curve("trained on", observed, BLUE, lambda one: seen(observed.setting, one, "last", "true")),
    ]
    return [Panel("", STEP, "KL(true ‖ model) / nats", curves)]


def _plateaus(runs: Runs) -> list[Panel]:
    """Loss of trained transformers, a line for each seed, and the exact expected losses of the ideal strategies at this context (dashed)."""
    panels = []
    for name, observed in runs.items():
        setting = observed.setting
        levels = {
            f"ideal {s}": (setting.task.expected_loss(s).value, STRATEGY_COLOURS[s]) for s in setting.task.strategies
        }
        curve = _curve("trained", observed, "black", lambda one: one.loss)
        panels.append(Panel(name, STEP, "loss / nats per token", [curve], levels))
    return panels


PANELS: dict[str, Callable[[Runs], Sequence[Panel]]] = {
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

PICTURES = {claim: Picture(claim, panels) for claim, panels in PANELS.items()}
PICTURES["scaling"] = Picture("scaling", scaling.of_runs, scaling.draw)
