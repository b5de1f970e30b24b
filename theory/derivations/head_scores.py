r"""Scores of heads, and the in-context-learning score, as functions of lag logit, match and read-out.

A previous-token head and an induction head are read off repeated random tokens: $n$ distinct tokens, again and again.
With a share a of layer 1's attention on lag 1, the rest thin, a source whose previous token is the query's has score
ωa and all others have zero. So the attention p of a query with m earlier copies to what followed them is known, and
with the read-out μ so are the logits it writes and the loss. All three grow with ωa alone: whatever makes layer 1 form
makes prefix matching, copying and the fall of the loss from the first copy to later ones happen together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp

from onset.theory.arrays import Array
from onset.theory.derivations.derivation import Identities, Residual, check, numerical, worst
from onset.theory.derivations.text import Expressions, derives, equation

__all__ = ["derive", "in_context_score", "prefix_matching", "previous_token"]

V, n, m, t, T = sp.symbols("V n m t T", positive=True, integer=True)
a = sp.Symbol("a", positive=True)
v, omega, mu = sp.symbols("v omega mu", real=True)
p, S, R, A1 = sp.symbols("p S R A_1", real=True)

lag_share = sp.exp(v) / (T - 1) * (sp.digamma(T + sp.exp(v)) - sp.digamma(1 + sp.exp(v)))
"""Previous-token score of layer 1 when only lag 1 has a lag logit."""

matched = m * sp.exp(omega * a) / (m * sp.exp(omega * a) + t - m)
"""p of a query at t with m earlier copies."""

attributed = mu * (p - 1 / n)
"""Logit of the next token above the mean over the segment's."""

copied = sp.log(sp.exp(mu * p) + (n - 1) * sp.exp(mu * (1 - p) / (n - 1)) + V - n) - mu * p
"""Loss where the segment's other tokens share what attention is left."""

fall = copied - copied.subs(p, 0)
"""S."""


@derives("head-scores")
def derive() -> Expressions:
    r"""Scores of a previous-token head and of an induction head, and what is learned in context

    Symbols
    -------
    S : in-context-learning score: loss at the last token of a later copy less that at the last token of the first, nats
    p : attention of a query to what followed its token in the earlier copies: its prefix-matching score
    A_1 : previous-token score: mean attention to lag 1 over the sources from the second on
    R : logit attribution: logit of the next token above the mean over the segment's tokens, natural logits
    V : tokens of the vocabulary
    n : distinct tokens of the segment that is repeated
    m : earlier copies
    a : share of layer 1's attention on lag 1
    v, omega, mu, s, t, T

    Assumptions
    -----------
    - softmax family: read-out $\mu I$, match $\omega I$
    - layer 1 attends to lag 1 with a share $a$, and so thinly to all other lags that these change no score

    Steps
    -----
    - layer 1: with a lag logit $v$ of lag 1 and none of others, source $s$ attends to lag 1 with
      $e^v/(e^v + s - 1)$; the mean over $s = 2 \dots T$ [previous]
    - layer 2: the $m$ sources whose previous token is the query's have the score $\omega a$, the other $t - m$ have
      none [score]
    - what is written: all attention is on tokens of the segment, whose logits have the mean $\mu/n$ [attribution]
    - loss at the last token of a copy: there the other tokens of the segment have been seen equally often, and share
      $1 - p$; before the first repeat $p = 0$ [loss]

    Validity
    --------
    Exact for the model of the assumptions. Lag 0 with a share $a_0$ gives the $m + 1$ sources that hold the query's
    own token the score $\omega a_0$, which lowers $p$; so does the first token, which has only itself to attend to, for
    later queries that hold it.

    Source
    ------
    derived here; the scores are those of Olsson et al. and Elhage et al.

    References
    ----------
    olsson2022context
    """
    return {
        "statement": equation(S, fall),
        "previous": equation(A1, lag_share),
        "score": equation(p, matched),
        "attribution": equation(R, attributed),
        "loss": copied,
    }


previous_token = numerical((v, T), lag_share, "scipy")
"""Previous-token score of a lag logit v of lag 1 and a context T."""

in_context_score = numerical((p, mu, n, V), fall)
"""S of a prefix-matching score p, a read-out μ, segments of n tokens and a vocabulary of V."""

_matched = numerical((omega, a, m, t), matched)


def prefix_matching(match: float, share: float, tokens: int, copies: int) -> float:
    """Mean of p over the queries of all copies but the first.

    Parameters
    ----------
    match : float
        ω.
    share : float
        a.
    tokens, copies : int
        n, and copies in all.
    """
    query = np.arange(tokens + 1, copies * tokens + 1)
    return float(np.mean(_matched(match, share, (query - 1) // tokens, query)))


def _model(tokens: int, copies: int, share: float, match: float, readout: float) -> tuple[Array, Array]:
    """Attention (T, T) and logits (T, n) of the model of the assumptions, source by source."""
    sequence = np.tile(np.arange(tokens), copies)
    attention = np.zeros((len(sequence), len(sequence)))
    for query, now in enumerate(sequence):
        for source in range(query + 1):
            attention[query, source] = np.exp(match * share * (source > 0 and sequence[source - 1] == now))
        attention[query] /= attention[query].sum()
    return attention, readout * attention @ np.eye(tokens)[sequence]


_CASES = ((5, 3, 0.7, 2.5, 4.0, 40), (9, 2, 0.2, 6.0, -1.5, 9), (3, 5, 1.0, 0.0, 7.0, 100))
"""n, copies, a, ω, μ, V."""


@check("the score with explicit attention of all queries to all sources, three models")
def _score(score: Any) -> Residual:
    errors = []
    for tokens, copies, share, match, readout, _ in _CASES:
        attention, _ = _model(tokens, copies, share, match, readout)
        closed = sp.lambdify((omega, a, m, t), score.rhs)
        for query in range(tokens, tokens * copies):
            targets = [s for s in range(1, query + 1) if (s - 1 - query) % tokens == 0 and s - 1 < query]
            errors.append(attention[query, targets].sum() - closed(match, share, query // tokens, query + 1))
    return Residual(worst(*map(abs, errors)), 1e-14, "rounding of sums of at most 18 terms")


@check("loss, in-context-learning score and attribution with explicit logits at the last tokens of copies")
def _losses(statement: Any, loss: Any, attribution: Any) -> Residual:
    errors = []
    for tokens, copies, share, match, readout, vocabulary in _CASES:
        attention, logits = _model(tokens, copies, share, match, readout)
        explicit = np.log(np.exp(logits).sum(axis=1) + vocabulary - tokens) - logits[:, -1]
        known = {mu: readout, n: tokens, V: vocabulary}
        for copy in range(1, copies):
            query = (copy + 1) * tokens - 2
            score = attention[query, np.arange(len(attention)) % tokens == tokens - 1].sum()
            at = known | {p: score}
            errors += [
                float(loss.subs(at)) - explicit[query],
                float(statement.rhs.subs(at)) - (explicit[query] - explicit[tokens - 2]),
                float(attribution.rhs.subs(at)) - (logits[query, -1] - logits[query].mean()),
            ]
    return Residual(worst(*map(abs, errors)), 1e-13, "rounding of logarithms of order one to ten")


@check("the mean of the attention to lag 1 over sources, by its sum")
def _previous(previous: Any) -> Residual:
    closed = sp.lambdify((v, T), previous.rhs, "scipy")
    cases = [(logit, context) for logit in (-1.0, 0.0, 3.0) for context in (2, 30, 400)]
    sums = [np.mean([np.exp(x) / (np.exp(x) + s - 1) for s in range(2, context + 1)]) for x, context in cases]
    errors = [abs(closed(*case) - total) for case, total in zip(cases, sums, strict=True)]
    return Residual(worst(*errors), 1e-12, "rounding of a difference of digammas of order ten times $e^v/(T - 1)$")


@check("limits of the score: none without a match, all with a large one, and its rise with $\\omega a$")
def _limits(score: Any) -> Identities:
    weight = sp.Symbol("q", positive=True)
    by_weight = score.rhs.subs(omega, sp.log(weight) / a)
    return (
        sp.simplify(score.rhs.subs(omega, 0) - m / t),
        sp.limit(sp.simplify(by_weight), weight, sp.oo) - 1,
        sp.simplify(sp.diff(by_weight, weight) - by_weight * (1 - by_weight) / weight),
    )
