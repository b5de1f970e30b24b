r"""The linear family's logits as T → ∞: `onset.theory.mean_fields.linear.logit`, from one expectation.

A source s holds symbol j with probability π_j, and the symbol r before it is then i with probability π_i (P^r)_ij / π_j. So

    E (ω z_s[i] + c) 1[x_s = j] = c π_j + ω π_i Σ_r a_{s,r} (P^r)_ij,

exactly, with a query i that is independent of the sources. Summed over s ≤ t = uT with C = Tc, Ω = Tω and Σ_r a_{s,r} = 1,
that is the logit; sums become integrals over u' = s/T, and counts equal their expectations, as T → ∞.
"""

from __future__ import annotations

import itertools

import numpy as np
import sympy as sp

from onset.theory.derivations.derivation import Check, Derivation, Outcome, Step
from onset.theory.derivations.two_state_chain import stationary, transition
from onset.theory.mean_fields import linear

__all__ = ["derive"]

f = sp.Symbol("f_j")
LAGS = (2, 5, 1)
"""e^{v_r} of three lags, for the enumeration."""


def derive() -> Derivation:
    """f_j = u (C π_j + Ω π_i (π_j + X))."""
    share = sp.Symbol("p_r")
    return Derivation(
        name="linear-mean-field",
        title="Logits of the linear family as T → ∞",
        statement=sp.Eq(f, linear.logit(), evaluate=False),
        symbols={
            f: "logit of symbol j for the query i at position uT",
            linear.u: "position t/T",
            linear.C: "T c, with W = ωI + c·11ᵀ",
            linear.Omega: "T ω",
            linear.pi_i: "stationary probability of the query",
            linear.pi_j: "stationary probability of symbol j",
            linear.excess: "Σ_r p_r(u) ((P^r)_ij - π_j), what the tracked lags add to the background",
        },
        assumptions=(
            "stationary chains, W in span{I, 11ᵀ} (derivation symmetry)",
            "T → ∞ at fixed C, Ω and q_r = e^{v_r}/T: counts equal their expectations",
            "the query is independent of its sources; their correlation is of relative order 1/T",
        ),
        validity="Relative corrections of order 1/T from fluctuations of counts, of order ln T/T from untracked lags.",
        source="derived here; model: arXiv 2402.11004, first version",
        references=("edelman2024evolution",),
        steps=(
            Step(
                "layer 1",
                sp.Eq(sp.Symbol("a_r"), linear.layer1_weight(), evaluate=False),
                "softmax over the s lags of source s = u'T, of which all but a few keep v = 0; Q = Σ (e^{v_r} - 1)/T",
            ),
            Step(
                "average over sources",
                sp.Eq(share, linear.lag_share(), evaluate=False),
                "p_r = (1/u) ∫₀^u a_r du'",
                checks=("lag-share",),
            ),
            Step(
                "one source",
                sp.Eq(
                    sp.Symbol("E"),
                    linear.C * linear.pi_j + linear.Omega * linear.pi_i * sp.Symbol("P^r_ij"),
                    evaluate=False,
                ),
                "the symbol r before a source that holds j is i with probability π_i (P^r)_ij / π_j; times T",
                checks=("enumeration",),
            ),
        ),
        checks=[
            Check("lag-share", "derivative of u p_r(u) with a_r(u), symbolically", _share),
            Check(
                "enumeration", "logit with the sum over all sequences of two states, T = 3, symbolic P", _enumeration
            ),
            Check("sources", "sum over sources of a_r with the integral, T = 10² … 10⁵: falls like 1/T", _sources),
        ],
    )


def _share() -> Outcome:
    slope = sp.diff(linear.u * linear.lag_share(), linear.u) - linear.layer1_weight().subs(linear.source, linear.u)
    return Outcome.identity(slope, sp.limit(linear.u * linear.lag_share(), linear.u, 0))


def _enumeration() -> Outcome:
    context, c, omega = len(LAGS), sp.Symbol("c"), sp.Symbol("omega")
    attention = [[sp.Rational(w, sum(LAGS[:s])) for w in LAGS[:s]] for s in range(1, context + 1)]
    left = []
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
        left.append(expected - linear.logit().subs(values | law))
    return Outcome.identity(*left)


def _sources() -> Outcome:
    """Lag 1 at q_1 = 0.2, u = 1: T p_1 by sums over sources against the integral, error × T constant."""
    q, contexts, errors = 0.2, 10 ** np.arange(2, 6), []
    closed = float(linear.lag_share().subs({linear.q: q, linear.Q: q, linear.u: 1}))
    for context in contexts:
        weight = 1 + q * context
        found = (weight / (np.arange(2, context + 1) - 1 + weight)).sum() / context
        errors.append(abs(found - closed))
    slope = np.polyfit(np.log(contexts), np.log(errors), 1)[0]
    return Outcome(float(abs(slope + 1)), 0.05, "slope -1; the next order, 1/T, changes it by at most 1/10² × a few")
