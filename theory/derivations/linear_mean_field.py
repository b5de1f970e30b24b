r"""The linear family's logits as T → ∞: `onset.theory.mean_fields.linear.logit`, from one expectation.

A source s holds symbol j with probability π_j, and the symbol r before it is then i with probability π_i (P^r)_ij /
π_j. So

    E (ω z_s[i] + c) 1[x_s = j] = c π_j + ω π_i Σ_r a_{s,r} (P^r)_ij,

exactly, with a query i that is independent of the sources. The sum over s ≤ t = uT with C = Tc, Ω = Tω and Σ_r a_{s,r}
= 1 is the logit; as T → ∞ sums become integrals over u' = s/T, and counts equal their expectations.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import sympy as sp

from onset.theory.derivations.derivation import Identities, Residual, check
from onset.theory.derivations.text import Expressions, derives, equation
from onset.theory.derivations.two_state_chain import stationary, transition
from onset.theory.mean_fields import linear

__all__ = ["derive"]

f, joint = sp.symbols("f_j P^r_ij")
LAG_WEIGHTS = (2, 5, 1)
"""e^{v_r} of three lags, for the enumeration."""


@derives("linear-mean-field")
def derive() -> Expressions:
    r"""Logits of the linear family as $T \to \infty$

    Symbols
    -------
    f_j : logit of symbol $j$ for the query $i$ at position $uT$
    u : position of the query over context
    u' : position of a source over context
    pi_i : stationary probability of the query
    pi_j : stationary probability of symbol $j$
    X : $\sum_r p_r(u) ((P^r)_{ij} - \pi_j)$, what the tracked lags add to the background
    p_r : attention to lag $r$, averaged over sources
    a_r : attention of one source to lag $r$
    v_r : logit of lag $r$ in layer 1
    q_r : $e^{v_r}/T$
    Q : $\sum_r (e^{v_r} - 1)/T$
    P^r_ij : entry of $P^r$, with the transition matrix $P$
    E : $T$ times what one source that holds $j$ adds to the logit, in expectation
    C, Omega, W, omega, c, T

    Assumptions
    -----------
    - stationary chains, $W$ in $\operatorname{span}\{I, \mathbf{1}\mathbf{1}^\top\}$ (derivation symmetry)
    - $T \to \infty$ at fixed $C$, $\Omega$ and $q_r$: counts equal their expectations
    - the query is independent of its sources; their correlation is of relative order $1/T$

    Steps
    -----
    - layer 1: softmax over the lags of source $u'T$, of which all but a few keep $v_r = 0$ [weight]
    - average over sources: $p_r = (1/u) \int_0^u a_r\,du'$ [share]
    - one source: the symbol $r$ before a source that holds $j$ is $i$ with probability $\pi_i (P^r)_{ij} / \pi_j$
      [source]

    Validity
    --------
    Relative corrections of order $1/T$ from fluctuations of counts, of order $\ln T/T$ from untracked lags.

    Source
    ------
    derived here; model: arXiv 2402.11004, first version

    References
    ----------
    edelman2024evolution
    """
    return {
        "statement": equation(f, linear.logit()),
        "weight": equation("a_r", linear.layer1_weight()),
        "share": equation("p_r", linear.lag_share()),
        "source": equation("E", linear.C * linear.pi_j + linear.Omega * linear.pi_i * joint),
    }


@check("derivative of $u\\,p_r(u)$ with $a_r(u)$, symbolically")
def _lag_share(weight: Any, share: Any) -> Identities:
    slope = sp.diff(linear.u * share.rhs, linear.u) - weight.rhs.subs(linear.source, linear.u)
    return (slope, sp.limit(linear.u * share.rhs, linear.u, 0))


@check("one source, which holds $j$, with the sum over all pairs of symbols $r$ apart, symbolic $P$, $r = 0$, 1, 2")
def _one_source(source: Any) -> Identities:
    """Attention is on lag r alone."""
    for r, i, j in itertools.product(range(3), (0, 1), (0, 1)):
        pairs = [(x, stationary[x] * (transition**r)[x, j]) for x in (0, 1)]
        expected = sum(probability * (linear.Omega * int(x == i) + linear.C) for x, probability in pairs)
        known = {linear.pi_i: stationary[i], linear.pi_j: stationary[j], joint: (transition**r)[i, j]}
        yield expected - source.rhs.subs(known)


@check("logit with the sum over all sequences of two states, $T = 3$, symbolic $P$")
def _enumeration(statement: Any) -> Identities:
    context, c, omega = len(LAG_WEIGHTS), sp.Symbol("c"), sp.Symbol("omega")
    attention = [[sp.Rational(w, sum(LAG_WEIGHTS[:s])) for w in LAG_WEIGHTS[:s]] for s in range(1, context + 1)]
    for t, i, j in itertools.product(range(1, context + 1), (0, 1), (0, 1)):
        expected = sp.Integer(0)
        for x in itertools.product((0, 1), repeat=t):
            probability = stationary[x[0]] * sp.prod([transition[p, q] for p, q in itertools.pairwise(x)])
            z = [sum(attention[s][r] * int(x[s - r] == i) for r in range(s + 1)) for s in range(t)]
            expected += probability * sum(omega * z[s] + c for s in range(t) if x[s] == j)
        shares = [sum(row[r] for row in attention[r:t]) / t for r in range(t)]
        lags = sum(share * ((transition**r)[i, j] - stationary[j]) for r, share in enumerate(shares))
        values = {linear.u: sp.Rational(t, context), linear.C: c * context, linear.Omega: omega * context}
        law = {linear.pi_i: stationary[i], linear.pi_j: stationary[j], linear.excess: lags}
        yield expected - statement.rhs.subs(values | law)


@check("$a_r$ with the softmax over the lags of a source, three of them tracked, symbolically")
def _softmax(weight: Any) -> Identities:
    context, position = sp.symbols("T s", positive=True)
    logits = sp.symbols("v_0:3", real=True)
    raised = [sp.exp(logit) for logit in logits]
    for own in raised:
        share = own / (sum(raised) + position - len(raised))
        known = {linear.q: own / context, linear.Q: sum(w - 1 for w in raised) / context}
        yield weight.rhs.subs(known).subs(linear.source, position / context) - share


@check(r"sum of $a_r$ over sources with the integral, $T = 10^2, \dots, 10^5$: error falls like $1/T$")
def _sources(share: Any) -> Residual:
    """Lag 1 at q_1 = 0.2, u = 1."""
    q, contexts = 0.2, 10 ** np.arange(2, 6)
    closed = float(share.rhs.subs({linear.q: q, linear.Q: q, linear.u: 1}))
    weights = 1 + q * contexts
    shares = [(w / (np.arange(2, t + 1) - 1 + w)).sum() / t for t, w in zip(contexts, weights, strict=True)]
    slope = np.polyfit(np.log(contexts), np.log(np.abs(np.subtract(shares, closed))), 1)[0]
    because = "slope $-1$; the next order, $1/T$, changes it by at most $1/10^2$ times a few"
    return Residual(float(abs(slope + 1)), 0.05, because)
