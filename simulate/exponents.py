r"""Exponents of a scan: how a time t goes with each scanned number x, beside what the theory says.

Along every line of the grid, all other axes fixed, the regression of ln t on ln x gives the exponent and its standard error from
the residuals, which hold the curvature of the line as well as any noise. Where the theory states the local exponent
d ln t/d ln x, it is integrated along the line and the same regression taken of it, so that curvature enters both alike; z is
the difference in units of that standard error. Stated are, from the plateau law: rates, the match's start and the batch
(`onset.theory.laws.terms.elasticities`), and for formation the context and the concentration (`onset.theory.laws.terms.leading_exponent`, `concentration_exponent`: the leading
logarithmic integral, which knows no delay). In the softmax family under SGD the rates, from the closed form of its law (`onset.theory.laws.softmax.exponents`).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from onset.simulate.scan import Grid, Row
from onset.theory.arrays import Array
from onset.theory.laws.softmax import exponents
from onset.theory.laws.terms import TRANSITIONS, concentration_exponent, elasticities, leading_exponent
from onset.theory.setting import Setting

__all__ = ["Fit", "fits", "regression"]

ROUNDING = 1e-9
"""A standard error below this is rounding, and z means nothing."""


class Fit(NamedTuple):
    """Exponent of one time along one line of the grid.

    Attributes
    ----------
    quantity, axis : str
    fixed : dict of axis to value
        Of the other axes.
    points : int
        With a time and x > 0.
    exponent, error : float or None
        With its standard error, from three points on.
    local : list of (x, slope)
        Between neighbours, at their geometric mean.
    predicted : float or None
    theory : str
        What predicts it; empty if nothing does.
    z : float or None
        (exponent - predicted)/error.
    law : float or None
        What the plateau law's own times give along the line, if the scan is by another method.
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


def fits(chosen: Grid, rows: Sequence[Row], method: str) -> list[Fit]:
    """Fitted exponents of formation and passage along every line of at least two points."""
    found = []
    settings = [chosen.setting(row.values) for row in rows]
    for quantity in TRANSITIONS:
        times = np.array([(getattr(row, quantity) or (np.nan,))[0] for row in rows]).reshape(chosen.shape)
        by_law = np.array([row.terms[quantity].step if row.terms else np.nan for row in rows]).reshape(chosen.shape)
        local = _stated(chosen, rows, settings, quantity)
        for n, (axis, values) in enumerate(chosen.axes.items()):
            stated, theory = local.get(axis, (None, ""))
            for line, fixed in _lines(chosen, n):
                fit = _fit(np.array(values), times[line], None if stated is None else stated[line])
                if fit is not None:
                    law = None if method == "law" else _exponent(np.array(values), by_law[line])
                    source = "" if fit["predicted"] is None else theory
                    found.append(Fit(quantity, axis, fixed, theory=source, law=law, **fit))
    return found


def _lines(chosen: Grid, n: int) -> list[tuple[tuple[Any, ...], dict[str, float]]]:
    """Index and fixed values of every line along axis `n`."""
    names, values = list(chosen.axes), list(chosen.axes.values())
    others = [m for m in range(len(names)) if m != n]
    lines = []
    for index in itertools.product(*(range(chosen.shape[m]) for m in others)):
        fixed = {names[m]: values[m][i] for m, i in zip(others, index, strict=True)}
        lines.append(((*index[:n], slice(None), *index[n:]), fixed))
    return lines


def _usable(x: Array, t: Array) -> Any:
    return np.isfinite(t) & (t > 0) & (x > 0)


def _exponent(x: Array, t: Array) -> float | None:
    keep = _usable(x, t)
    if keep.sum() < 2:
        return None
    return regression(np.log(x[keep]), np.log(t[keep]))[0]


def regression(x: Array, y: Array) -> tuple[float, float | None]:
    """Slope of y against x, shapes (n,), n ≥ 2, and its standard error from the residuals (None for two points)."""
    off = x - x.mean()
    spread = float(off @ off)
    slope = float(off @ y) / spread
    if len(x) < 3:
        return slope, None
    residual = y - y.mean() - slope * off
    return slope, float(np.sqrt(residual @ residual / (len(x) - 2) / spread))


def _fit(x: Array, t: Array, stated: Array | None) -> dict[str, Any] | None:
    keep = _usable(x, t)
    if keep.sum() < 2:
        return None
    order = np.argsort(x[keep])
    log_x, log_t = np.log(x[keep][order]), np.log(t[keep][order])
    slope, error = regression(log_x, log_t)
    steps = np.diff(log_t) / np.diff(log_x)
    local = list(zip(np.exp((log_x[1:] + log_x[:-1]) / 2).tolist(), steps.tolist(), strict=True))
    predicted = z = None
    if stated is not None and np.isfinite(stated[keep]).all():
        at = stated[keep][order]
        curve = np.concatenate([[0.0], np.cumsum((at[1:] + at[:-1]) / 2 * np.diff(log_x))])
        predicted = regression(log_x, curve)[0]
        if error is not None and error > ROUNDING:
            z = (slope - predicted) / error
    return {
        "points": int(keep.sum()),
        "exponent": slope,
        "error": error,
        "local": local,
        "predicted": predicted,
        "z": z,
    }


def _stated(
    chosen: Grid, rows: Sequence[Row], settings: Sequence[Setting], quantity: str
) -> dict[str, tuple[Array, str]]:
    """Local exponents that the theory states, by axis: (at every point, source); NaN where it says nothing."""
    told = [row.terms[quantity] if row.terms else None for row in rows]
    if not any(told):
        return _frozen(chosen, rows, settings) if quantity == "formation" else {}
    start = np.array([setting.model.initialization["match"] for setting in settings])
    columns = [
        np.array([getattr(t, name) if t else np.nan for t in told]) for name in ("slow", "delay", "per_start", "log_e")
    ]
    slow, delay, per_start, log_e = columns
    found = {
        axis: (values.reshape(chosen.shape), "plateau law, differentiated")
        for axis, values in elasticities(slow, delay, per_start * start).items()
    }
    for axis, exponent in (("context", leading_exponent), ("concentration", concentration_exponent)):
        if quantity != "formation" or axis not in chosen.axes:
            continue
        leading = np.full(len(rows), np.nan)
        for prior in {s.task.prior for s, t in zip(settings, told, strict=True) if t}:
            here = np.array([t is not None and s.task.prior == prior for s, t in zip(settings, told, strict=True)])
            context = np.array([s.task.context for s in settings])[here]
            leading[here] = exponent(prior, context, log_e[here])
        found[axis] = (leading.reshape(chosen.shape), "leading logarithmic integral")
    return found


def _frozen(chosen: Grid, rows: Sequence[Row], settings: Sequence[Setting]) -> dict[str, tuple[Array, str]]:
    """Of the softmax family under SGD: the closed form of its law, differentiated by the rates."""
    if any(s.model.family != "softmax" or s.training.optimizer.name != "sgd" for s in settings):
        return {}
    local: list[dict[str, float]] = []
    for setting, row in zip(settings, rows, strict=True):
        try:
            local.append(exponents(setting) if row.formation else {})
        except ValueError:  # the row has the law's reason; its exponent is not a number
            local.append({})
    return {
        axis: (np.array([one.get(axis, np.nan) for one in local]).reshape(chosen.shape), "softmax law, frozen form")
        for axis in {name for one in local for name in one}
    }
