r"""Positions u = t/T that stand for 1 … T, and sums over the sources s ≤ t of what layer 1 gives tracked lags.

Near an uninformed start q_r is of order 1/T, and averages of a_r are q_r ln(T/r): how the first few sources are counted
is then a relative effect of 1/ln T, larger than the 1/T that the limit T → ∞ neglects elsewhere. So the first R
positions and sources are summed one by one and integrals start after them; otherwise the answer would depend on R.

`PositionGrid` sums any function of each source's a_r; the linear family needs only the sum of a_r itself, which
`onset.theory.mean_fields.linear.LagShares` has in closed form. The nodes are Gauss-Legendre in ln(Q + u'), in which a_r
is a single exponential: one grid resolves early and late positions, with a number of nodes that grows like ln T.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.polynomial import legendre

from onset.theory.arrays import Array

__all__ = ["PositionGrid"]

NODES_PER_E_FOLD, EXTRA_NODES = 0.75, 3
"""Nodes of `PositionGrid` per unit of ln T, and in addition.

Transitions of both families are then right to 2e-4 at T = 10⁶, to 1e-6 at T = 100.
"""


@lru_cache(maxsize=256)
def _grid_constants(lags: int, context: int, nodes: int) -> tuple[Array, Array, Array, Array, Array]:
    """What `PositionGrid` has that does not depend on lag logits.

    Late nodes plus 1 (nodes,); quadrature weights (g,); running sums and the last half of a sum (g, g); and which lags
    exist at each source (R, g).
    """
    first = min(lags, context)
    x, w = legendre.leggauss(nodes)
    # Running integrals ∫₋₁^{x_n} of the polynomials through values at the nodes.
    integrals = np.stack([legendre.legval(x, legendre.legint(unit, lbnd=-1)) for unit in np.eye(nodes)], axis=-1)
    running = np.concatenate([np.tri(first + nodes, first), np.zeros((first + nodes, nodes))], axis=1)
    running[first:, first:] = integrals @ np.linalg.inv(legendre.legvander(x, nodes - 1))
    # A sum over sources up to t is an integral up to t + 1/2: the last half is the integrand there.
    last = np.diag(np.repeat([0.0, 1 / (2 * context)], [first, nodes]))
    exists = np.concatenate([np.tri(first, lags).T, np.ones((lags, nodes))], axis=1)
    return 1 + x, np.concatenate([np.ones(first), w]), running, last, exists


class PositionGrid:
    """Positions u = t/T that stand for 1 … T: the first R one by one, quadrature nodes for the rest.

    Parameters
    ----------
    lag_logits : array, shape (..., R)
    context : int
    nodes : int, optional
        Nodes beyond the first R positions; by default `NODES_PER_E_FOLD` ln T + `EXTRA_NODES`, rounded up.
    shared : bool
        Whether the axis before the last holds heads that share one grid, resolved for the head whose lags have grown
        least.

    Attributes
    ----------
    u : array, shape (..., g), without the axis of heads that share the grid
    weights : array, shape (..., g), likewise
        ``weights @ f`` is the mean of f over positions.
    cumulative : array, shape (..., g, g), likewise
        ``(cumulative @ f)[n]`` is the sum of f over sources up to u_n, divided by T.
    attention : array, shape (..., R, g)
        a_r: layer-1 weight of lag r at each source.
    """

    def __init__(self, lag_logits: Array, context: int, nodes: int | None = None, *, shared: bool = False) -> None:
        lags, first = lag_logits.shape[-1], min(lag_logits.shape[-1], context)
        nodes = int(np.ceil(NODES_PER_E_FOLD * np.log(context))) + EXTRA_NODES if nodes is None else nodes
        from_start, quadrature, running, last, exists = _grid_constants(lags, context, nodes)
        weight = np.exp(lag_logits)
        total = weight.cumsum(axis=-1)
        excess = total[..., -1:] - lags
        least = excess.min(axis=-2) if shared else excess
        start, stop = lags + 0.5 + least, context + 0.5 + least
        half = np.log(np.maximum(stop / start, 1.0)) / 2
        beyond = start * np.expm1(half * from_start)
        self.u, stretch = np.empty((2, *least.shape[:-1], first + nodes))
        self.u[..., :first], stretch[..., :first] = np.arange(1, first + 1) / context, 1 / context
        self.u[..., first:] = (lags + 0.5 + beyond) / context
        stretch[..., first:] = (start + beyond) * (half / context)
        self.weights = quadrature * stretch
        self.cumulative = running * stretch[..., None, :] + last
        # Normalisers of the lag weights: Σ_{r<s} e^{v_r} at an early source s, s + Σ_r (e^{v_r} - 1) at a late one.
        late = lags + 0.5 + (beyond[..., None, :] if shared else beyond) + excess
        normaliser = np.concatenate([total[..., :first], late], axis=-1)
        self.attention = weight[..., None] * (exists / normaliser[..., None, :])

    def by_lag_logits(self, by_attention: Array) -> Array:
        """∂L/∂v from ∂L/∂a, both summed over sources: layer 1 is a softmax, ∂a_r/∂v_s = a_r (δ_rs - a_s)."""
        flow = self.attention * by_attention
        return flow.sum(axis=-1) - (self.attention @ flow.sum(axis=-2)[..., None])[..., 0]
