"""Basin that a model's plateau leads to: predicted by the sign of z, the match's first gradient over its error, and as
trained. Discs: all seeds formed a head; crosses: none did and lag 1 lost its attention; triangles: seeds differ. Red
edge: the prediction failed. Grey band: signs within chance of zero.
"""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from scipy.stats import norm

from onset.paper.style import AMBER, BLUE, DARK, GREEN, GREY, RED, VIOLET, grid_of_axes, marker_handle, number_ticks
from onset.theory.laws.basins import FALSE_ALARM
from onset.validate.suite import Results
from onset.validate.suite.basins import ESCAPED, TRAPPED

__all__ = ["BasinPoint", "compute", "draw"]

BOTH = "both ways"
MARKS = {ESCAPED: "o", TRAPPED: "X", BOTH: "^"}
LABELS = {ESCAPED: "head formed", TRAPPED: "trapped", BOTH: "seeds differ"}
COLOURS = (BLUE, AMBER, GREEN, VIOLET)
BAND = "#e0e0e0"
"""Colour of signs that chance may make."""

CONTEXTS = (12, 25, 50, 100, 200, 400)
"""Contexts that are labelled."""


@dataclass(frozen=True)
class BasinPoint:
    """One setting: its panel and series, z of the predicted gradient, and the outcome of training."""

    panel: str
    series: str
    context: int
    z: float
    trained: str
    holds: bool


def compute(results: Results) -> list[BasinPoint]:
    """Every setting for which the theory of basins has an answer."""
    points = []
    for basin in results.basins:
        if basin.z is None:
            continue
        seeds = sum(basin.trained.values())
        fate = next((name for name in (ESCAPED, TRAPPED) if basin.trained[name] == seeds), BOTH)
        panel = f"{basin.family}, {'SGD' if basin.optimizer == 'sgd' else 'Adam'}"
        prior = basin.setting.partition(f" T={basin.context}")[2].partition("η(")[0].strip()
        series = ", ".join([f"k = {basin.states}", *([_rows(prior, basin.concentration)] if prior else [])])
        points.append(BasinPoint(panel, series, basin.context, basin.z, fate, basin.verdict != "disagrees"))
    return points


def _rows(prior: str, concentration: float | None) -> str:
    """Short label of the rows of the chains."""
    if prior.startswith("doubly"):
        return "doubly stochastic"
    return "mixture" if "+" in prior else f"α = {concentration:g}"


def _states(point: BasinPoint) -> str:
    return point.series.partition(",")[0]


def draw(points: list[BasinPoint]) -> Figure:
    """z against the context, a panel for each family and optimiser."""
    panels = list(dict.fromkeys(p.panel for p in points)) or [""]
    figure, axes = grid_of_axes(len(panels), 2, (4.1, 3.0), 0.8, sharex=True)
    contexts = sorted({p.context for p in points}) or [25, 400]
    labelled = [c for c in contexts if c in CONTEXTS] or contexts
    states = sorted({_states(p) for p in points}, key=lambda name: int(name.rpartition(" ")[2]))
    colours: dict[str, str] = dict(zip(states, COLOURS, strict=False))
    for axis, panel in zip(axes, panels, strict=False):
        _draw_panel(axis, [p for p in points if p.panel == panel], colours)
        axis.set_title(panel, loc="left")
        axis.set_xscale("log")
        number_ticks(axis.xaxis, labelled)
    for axis in axes[-2:]:
        axis.set_xlabel("context T")
    for axis in axes[::2]:
        axis.set_ylabel("z of the match's gradient")
    handles: list[Artist] = [marker_handle("s", name, colour) for name, colour in colours.items()]
    handles += [marker_handle(mark, LABELS[fate]) for fate, mark in MARKS.items()]
    handles.append(marker_handle("o", "other rows than flat", mfc="white"))
    if not all(p.holds for p in points):
        handles.append(marker_handle("o", "not as predicted", GREY, mec=RED))
    handles.append(Patch(color=BAND, lw=0, label="too close to zero to call"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def _draw_panel(axis: Axes, points: list[BasinPoint], colours: dict[str, str]) -> None:
    limit = float(norm.isf(FALSE_ALARM / 2))
    axis.axhspan(-limit, limit, color=BAND, lw=0)
    axis.axhline(0, color=DARK, lw=0.8)
    for p in points:
        colour = colours[_states(p)]
        filled = p.trained != ESCAPED or p.series == _states(p)
        size, edge, face = 5.5 if p.trained == ESCAPED else 7, colour if p.holds else RED, colour if filled else "white"
        axis.plot(p.context, p.z, MARKS[p.trained], ms=size, color=colour, mec=edge, mfc=face)
    axis.set_yscale("symlog", linthresh=10, linscale=0.8)
    highest = max([abs(p.z) for p in points], default=10.0)
    axis.set_ylim(-1.6 * max(20, -min([p.z for p in points], default=0.0)), 1.6 * max(20, highest))
    number_ticks(axis.yaxis, [-100, -30, -10, -5, 0, 5, 10, 30, 100])
