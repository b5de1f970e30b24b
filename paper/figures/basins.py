"""Which basin a model's plateau leads to: predicted by the sign of the match's first gradient, z above or below zero, and as trained. Discs: all
seeds formed a head; crosses: none did and lag 1 lost its attention; triangles: seeds went both ways. Red edge: not as predicted. Grey: a sign
within chance of zero.
"""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from scipy.stats import norm

from onset.paper.style import AMBER, BLUE, DARK, GREEN, RED, VIOLET
from onset.theory.laws.basins import FALSE_ALARM
from onset.validate.suite import Results
from onset.validate.suite.basins import ESCAPED, TRAPPED

__all__ = ["Point", "compute", "draw"]

MARKS = {ESCAPED: "o", TRAPPED: "X", "both ways": "^"}
COLOURS = (BLUE, AMBER, GREEN, VIOLET)


@dataclass(frozen=True)
class Point:
    """One setting: its panel, what it is in it, context, z of the predicted push, where the seeds went, and whether the prediction holds."""

    panel: str
    series: str
    context: int
    z: float
    trained: str
    holds: bool


def compute(results: Results) -> list[Point]:
    """Of every setting for which the theory of basins answers."""
    points = []
    for found in results.basins:
        if found.z is None:
            continue
        seeds = sum(found.trained.values())
        fate = next((name for name in (ESCAPED, TRAPPED) if found.trained[name] == seeds), "both ways")
        panel = f"{found.family}, {'SGD' if found.optimizer == 'sgd' else 'Adam'}"
        prior = found.setting.partition(f" T={found.context}")[2].partition("η(")[0].strip()
        rows = (
            ""
            if not prior
            else "doubly stochastic"
            if prior.startswith("doubly")
            else "mixture"
            if "+" in prior
            else ""
        )
        rows = rows or (f"α = {found.concentration:g}" if prior else "")
        series = f"k = {found.states}" + (f", {rows}" if rows else "")
        points.append(Point(panel, series, found.context, found.z, fate, found.verdict != "disagrees"))
    return points


def draw(points: list[Point]) -> Figure:
    """z against the context, a panel for each family and optimiser."""
    panels = list(dict.fromkeys(p.panel for p in points)) or [""]
    across = min(2, len(panels))
    down = -(-len(panels) // across)
    figure, axes = plt.subplots(
        down, across, figsize=(4.1 * across, 3.0 * down + 0.8), sharex=True, layout="constrained", squeeze=False
    )
    contexts = sorted({p.context for p in points}) or [25, 400]
    limit = float(norm.isf(FALSE_ALARM / 2))
    states = sorted({p.series.partition(",")[0] for p in points}, key=lambda name: int(name.rpartition(" ")[2]))
    colours = dict(zip(states, COLOURS, strict=False))
    for axis, panel in zip(axes.flat, panels, strict=False):
        axis.axhspan(-limit, limit, color="#cccccc", alpha=0.6, lw=0)
        axis.axhline(0, color=DARK, lw=0.8)
        here = [p for p in points if p.panel == panel]
        for p in here:
            colour = colours[p.series.partition(",")[0]]
            edge = RED if not p.holds else colour
            face = colour if p.series == p.series.partition(",")[0] else "white"
            face = colour if p.trained != ESCAPED else face
            axis.plot(
                p.context,
                p.z,
                MARKS[p.trained],
                color=colour,
                mec=edge,
                mfc=face,
                ms=7 if p.trained != ESCAPED else 5.5,
            )
        axis.set_xscale("log")
        axis.set_yscale("symlog", linthresh=10, linscale=0.8)
        most = max([abs(p.z) for p in here], default=10.0)
        axis.set_ylim(-1.6 * max(20, -min([p.z for p in here], default=0.0)), 1.6 * max(20, most))
        axis.yaxis.set_major_locator(FixedLocator([-100, -30, -10, -5, 0, 5, 10, 30, 100]))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
        axis.yaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_locator(
            FixedLocator([c for c in contexts if c in (12, 25, 50, 100, 200, 400)] or contexts)
        )
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_title(panel, loc="left")
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for axis in axes[-1]:
        axis.set_xlabel("context T")
    for row in axes:
        row[0].set_ylabel("z of the push (head above, trapped below)")
    handles = [Line2D([], [], marker="s", ls="", color=colour, label=name) for name, colour in colours.items()]
    names = {ESCAPED: "head formed", TRAPPED: "trapped", "both ways": "seeds differ"}
    handles += [Line2D([], [], marker=mark, ls="", color=DARK, label=names[fate]) for fate, mark in MARKS.items()]
    handles.append(Line2D([], [], marker="o", ls="", color=DARK, mfc="white", label="other rows than flat"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure
