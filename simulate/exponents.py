r"""Exponents of a scan: how a time t goes with each scanned number x, and what the theory predicts.

Along every line of the grid, all other axes fixed, the regression of ln t on ln x gives the exponent and its standard
error from the residuals, which contain the curvature of the line as well as any noise. Where the theory states the
local exponent d ln t/d ln x, it is integrated along the line and the same regression taken of it, so that curvature
enters both alike; z is the difference in units of that standard error. The plateau law states the local exponents of
rates, the match's start and the batch (`onset.theory.laws.terms.elasticities`), and for formation those of the context
and the concentration (`onset.theory.laws.terms.leading_exponent`, `concentration_exponent`: the leading logarithmic
integral, which knows no delay). In the softmax family under SGD the closed form of its law states those of the rates
(`onset.theory.laws.softmax.exponents`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import cumulative_trapezoid

from onset.simulate.scan import Grid, Row
from onset.theory.arrays import Array
from onset.theory.laws.softmax import exponents
from onset.theory.laws.terms import TRANSITIONS, concentration_exponent, elasticities, leading_exponent
from onset.theory.setting import Setting

__all__ = ["Fit", "fits", "regression"]

ROUNDING = 1e-9
"""Standard errors below this are rounding errors, and z means nothing."""


class Fit(NamedTuple):
    """Exponent of one time along one line of the grid.

    Attributes
    ----------
    quantity, axis : str
    fixed : dict of axis to value
        Values of the other axes.
    points : int
        Number of points with a time and x > 0.
    exponent, error : float or None
        The exponent and its standard error, from three points on.
    local : list of (x, slope)
        Slopes between neighbours, at their geometric mean.
    predicted : float or None
        The theory's exponent.
    theory : str
        Source of `predicted`; empty if there is none.
    z : float or None
        (exponent - predicted)/error.
    law : float or None
        Exponent of the plateau law's own times along the line, if the scan is by another method.
    """

    quantity: str
    axis: str
    fixed: dict[str, float]
    points: int
    exponent: float
    error: float | None
    local: list[tuple[float, float]]
    predicted: float | None
    theory: str
    z: float | None
    law: float | None


def fits(grid: Grid, rows: Sequence[Row], method: str) -> list[Fit]:
    """Fitted exponents of both transitions along every line of at least two points."""
    result = []
    settings = [grid.setting(row.values) for row in rows]
    for quantity in TRANSITIONS:
        times = np.array([(getattr(row, quantity) or (np.nan,))[0] for row in rows]).reshape(grid.shape)
        law_times = np.array([row.terms[quantity].step if row.terms else np.nan for row in rows]).reshape(grid.shape)
        stated = _stated(grid, rows, settings, quantity)
        for n, (axis, values) in enumerate(grid.axes.items()):
            local, theory = stated.get(axis, (None, ""))
            for line, fixed in _lines(grid, n):
                x, t = np.array(values), times[line]
                usable = _usable(x, t)
                if usable.sum() < 2:
                    continue
                fit = _fit(x[usable], t[usable], None if local is None else local[line][usable])
                source = "" if fit["predicted"] is None else theory
                law = None if method == "law" else _exponent(x, law_times[line])
                result.append(Fit(quantity, axis, fixed, theory=source, law=law, **fit))
    return result


def regression(x: Array, y: Array) -> tuple[float, float | None]:
    """Slope of y against x, shapes (n,), n ≥ 2, and its standard error from the residuals (None for two points)."""
    off = x - x.sum() / len(x)
    spread = off @ off
    slope = off @ y / spread
    if len(x) < 3:
        return float(slope), None
    residuals = y - y.sum() / len(x) - slope * off
    return float(slope), math.sqrt(residuals @ residuals / (len(x) - 2) / spread)


def _lines(grid: Grid, n: int) -> Iterator[tuple[tuple[Any, ...], dict[str, float]]]:
    """Index and fixed values of every line along axis `n`."""
    axes = list(grid.axes.items())
    before, after = axes[:n], axes[n + 1 :]
    for index in itertools.product(*(range(len(values)) for _, values in (*before, *after))):
        fixed = {name: values[i] for (name, values), i in zip((*before, *after), index, strict=True)}
        yield (*index[:n], slice(None), *index[n:]), fixed


def _usable(x: Array, t: Array) -> NDArray[np.bool_]:
    return np.isfinite(t) & (t > 0) & (x > 0)


def _exponent(x: Array, t: Array) -> float | None:
    usable = _usable(x, t)
    return regression(np.log(x[usable]), np.log(t[usable]))[0] if usable.sum() >= 2 else None


def _fit(x: Array, t: Array, local_exponent: Array | None) -> dict[str, Any]:
    """The entries of a `Fit` that come from its line alone."""
    order = np.argsort(x)
    log_x, log_t = np.log(x[order]), np.log(t[order])
    slope, error = regression(log_x, log_t)
    middle, slopes = np.exp((log_x[1:] + log_x[:-1]) / 2), np.diff(log_t) / np.diff(log_x)
    predicted = z = None
    if local_exponent is not None and np.isfinite(local_exponent).all():
        predicted = regression(log_x, cumulative_trapezoid(local_exponent[order], log_x, initial=0))[0]
        if error is not None and error > ROUNDING:
            z = (slope - predicted) / error
    return {
        "points": len(x),
        "exponent": slope,
        "error": error,
        "local": list(zip(middle.tolist(), slopes.tolist(), strict=True)),
        "predicted": predicted,
        "z": z,
    }


def _stated(
    grid: Grid, rows: Sequence[Row], settings: Sequence[Setting], quantity: str
) -> dict[str, tuple[Array, str]]:
    """Local exponents that the theory states, by axis: (at every point, source); NaN where it states none."""
    terms = [row.terms[quantity] if row.terms else None for row in rows]
    if not any(terms):
        return _stated_by_softmax_law(grid, rows, settings) if quantity == "formation" else {}
    by_slow, by_delay, by_start, log_e = (
        np.array([getattr(t, name) if t else np.nan for t in terms])
        for name in ("by_slow", "by_delay", "by_start", "log_e")
    )
    result = {
        axis: (values.reshape(grid.shape), "plateau law, differentiated")
        for axis, values in elasticities(by_slow, by_delay, by_start).items()
    }
    for axis, exponent in (("context", leading_exponent), ("concentration", concentration_exponent)):
        if quantity != "formation" or axis not in grid.axes:
            continue
        leading = np.full(len(rows), np.nan)
        priors, contexts = [s.task.prior for s in settings], np.array([s.task.context for s in settings])
        for prior in {p for p, t in zip(priors, terms, strict=True) if t}:
            same = np.array([t is not None and p == prior for p, t in zip(priors, terms, strict=True)])
            leading[same] = exponent(prior, contexts[same], log_e[same])
        result[axis] = (leading.reshape(grid.shape), "leading logarithmic integral")
    return result


def _stated_by_softmax_law(
    grid: Grid, rows: Sequence[Row], settings: Sequence[Setting]
) -> dict[str, tuple[Array, str]]:
    """The closed form of the softmax law, differentiated by the rates; nothing for other families and optimisers."""
    if any(s.model.family != "softmax" or s.training.optimizer.name != "sgd" for s in settings):
        return {}
    by_row: list[dict[str, float]] = []
    for setting, row in zip(settings, rows, strict=True):
        try:
            by_row.append(exponents(setting) if row.formation else {})
        except ValueError:  # the row has the law's reason
            by_row.append({})
    return {
        axis: (np.array([e.get(axis, np.nan) for e in by_row]).reshape(grid.shape), "softmax law, frozen form")
        for axis in {name for e in by_row for name in e}
    }
