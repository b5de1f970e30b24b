r"""Exact expected losses of unigram, bigram and the true Bayes predictor for two states, position by position.

A stationary first token says something about P, so that the bigram strategy, which ignores it, is not quite Bayes. A
sequence from x_1 = 0 with n_ij moves i → j has, with a = P_01, b = P_10 and π_0 = b/(a+b), the probability (*evidence*)

    Z = E[ (1-a)^n00 a^n01 b^n10 (1-b)^n11 b/(a+b) ],

and the Bayes predictor is a ratio of two of them, Z(one token more)/Z. Sequences with equal x_1 and counts are a
*class*. As the two kinds of moves between states alternate, n_10 is n_01 or one less, according to whether the last
token is 0 or 1, and a class holds (Whittle 1955; here each run of 0s or 1s takes its share of the n_00 or n_11
repetitions)

    last token 0:  C(n00 + m, m) C(n11 + m-1, m-1)        last token 1:  C(n00 + m-1, m-1) C(n11 + m-1, m-1)

sequences, m = n_01. Every sum over the 2^T sequences is one over the O(T²) classes of each length. Evidence is
evaluated for the longest sequences alone; for shorter ones Z = Z(0 next) + Z(1 next), a sum of positive terms. Where
the prior is exchangeable, x_1 = 1 doubles the sum. See ``onset.theory.derivations.get("ideal-finite-losses")``; beyond
two states `onset.theory.markov.ideal.finite_loss` has unigram and bigram, and the total loss of Bayes is below bigram's
by less than ln k - E H(π).

References
----------
Whittle, "Some distribution and moment formulae for the Markov chain", J. R. Stat. Soc. B 17 (1955), 235-242.
Trefethen, Weideman, "The exponentially convergent trapezoidal rule", SIAM Review 56 (2014), 385-458.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, binom, gammaln, loggamma, xlogy

from onset.theory import arguments
from onset.theory.arrays import Array
from onset.theory.markov.priors import Dirichlet, DoublyStochastic, Mixture, Prior, Unigram

__all__ = ["MOST_TOKENS", "PositionLosses", "class_evidence", "class_sizes", "position_losses"]

MOST_TOKENS = 900
"""Longest context.

A class holds up to 2^T sequences of probability down to about 2^-T / T², both within a double's range.
"""

Counts = NDArray[np.int_]

Evidence = Callable[[int, int, Counts, Counts], Array]
"""Z by the numbers of moves 0 → 1 and 1 → 0 (integers) and of repetitions n_00 and n_11 (arrays)."""


class PositionLosses(NamedTuple):
    """Expected loss at positions 1 … T of each strategy, arrays (T,), in nats per token."""

    unigram: Array
    bigram: Array
    bayes: Array


def position_losses(prior: Prior, context: int, *, pseudo_count: float | None = None) -> PositionLosses:
    r"""Exact expected losses of unigram, bigram and Bayes at every position, for two states and stationary starts.

    Parameters
    ----------
    prior : Prior
        Of two states.
    context : int
        T, up to `MOST_TOKENS`.
    pseudo_count : float, optional
        Of unigram and bigram; by default the prior's. Bayes has none.

    Returns
    -------
    PositionLosses
        Arrays (T,), nats per token; entry t-1 is the loss with t tokens seen. Relative error about 1e-12 at T = 200:
        each evidence carries the rounding of log-Gamma functions of size T ln T. Cost O(T³).

    Raises
    ------
    ValueError
        If the prior is not one of two states known here, or an argument is out of range.
    """
    context = _length("context", context, MOST_TOKENS)
    alpha = prior.pseudo_count if pseudo_count is None else arguments.scale("pseudo_count", pseudo_count)
    following = class_evidence(prior, context + 1)
    losses = np.empty((3, context))
    for t in range(context, 0, -1):
        sizes = class_sizes(t)
        moves = _with_next(t, *following)
        losses[:, t - 1] = _losses_at(t, moves, sizes, alpha)
        following = [(stay + leave) * (size > 0) for (stay, leave), size in zip(moves, sizes, strict=True)]
    return PositionLosses(*losses)


def class_evidence(prior: Prior, length: int) -> tuple[Array, Array]:
    """Evidence Z of one sequence of `length` tokens from x_1 = 0, by class.

    Returns
    -------
    same, other : arrays (length//2 + 1, length)
        Indexed [n_01, n_00] for last token 0 and 1; zero where there is no such class.
    """
    length = _length("length", length, MOST_TOKENS + 1)
    return _fill(length, _evidence(prior, length))


def class_sizes(length: int) -> tuple[Array, Array]:
    """Number of sequences in each class, laid out as in `class_evidence`."""
    length = _length("length", length, MOST_TOKENS + 1)
    return _fill(length, lambda out, back, n00, n11: _runs(n00, back + 1) * _runs(n11, out))


def _runs(repetitions: Counts, runs: int) -> Array:
    """Ways to share `repetitions` among `runs` runs."""
    return binom(repetitions + runs - 1, runs - 1) if runs else 1.0 * (repetitions == 0)


def _length(name: str, value: int, most: int) -> int:
    length = arguments.integer(name, value, least=1)
    if length > most:
        raise ValueError(
            f"{name} = {length}: expected at most {most}, beyond which probabilities leave a double's range; "
            "take a shorter one or onset.theory.markov.ideal.finite_loss."
        )
    return length


def _fill(length: int, evaluate: Evidence) -> tuple[Array, Array]:
    """Lay out `evaluate` over all classes of `length` tokens."""
    same, other = (np.zeros((length // 2 + 1, length)) for _ in range(2))
    for m in range(length // 2 + 1):
        for values, back in ((same, m), (other, m - 1)):
            rest = length - 1 - m - back
            if back >= 0 and rest >= 0:
                n00 = np.arange(rest + 1) if m else np.array([rest])
                values[m, n00] = evaluate(m, back, n00, rest - n00)
    return same, other


def _with_next(t: int, same: Array, other: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Evidence with the next token (equal, different) by class of t tokens, ending in 0, then in 1."""
    rows = t // 2 + 1
    again, leave = same[:rows, 1:], np.pad(other, ((0, 1), (0, 0)))[1 : rows + 1, :-1]
    return (again, leave), (other[:rows, :-1], same[:rows, :-1])


def _losses_at(t: int, moves: tuple[tuple[Array, Array], ...], sizes: tuple[Array, Array], alpha: float) -> Array:
    """Losses (3,) with t tokens seen, from what `_with_next` and `class_sizes` return."""
    m, n00 = np.ogrid[: t // 2 + 1, :t]
    total = np.zeros(3)
    for last, (stay, leave), size in zip((0, 1), moves, sizes, strict=True):
        n11, back = np.maximum(t - 1 + last - 2 * m - n00, 0), np.maximum(m - last, 0)
        repeats, leaves, count = (n11, back, m + n11) if last else (n00, m, back + n00 + 1)
        evidence = np.where(size > 0, stay + leave, 1.0)
        predictions = (
            ((count + alpha) / (t + 2 * alpha), (t - count + alpha) / (t + 2 * alpha)),
            ((n + alpha) / (repeats + leaves + 2 * alpha) for n in (repeats, leaves)),
            (stay / evidence, leave / evidence),
        )
        total -= [2 * np.sum(size * (xlogy(stay, p) + xlogy(leave, q))) for p, q in predictions]
    return total


def _evidence(prior: Prior, length: int) -> Evidence:
    if prior.states != 2:
        raise ValueError(
            f"prior has {prior.states} states: expected 2; for more, onset.theory.markov.ideal.finite_loss has unigram "
            "and bigram."
        )
    match prior:
        case Mixture():
            parts = [(weight, _evidence(component, length)) for weight, component in prior.parts]
            return lambda *counts: sum((weight * part(*counts) for weight, part in parts), np.zeros(()))
        case Dirichlet():
            return _of_rows(prior.concentration, length)
        case Unigram():
            alpha = prior.concentration
            return lambda out, back, n00, n11: np.exp(
                betaln(1 + back + n00 + alpha, out + n11 + alpha) - betaln(alpha, alpha)
            )
        case DoublyStochastic():
            return lambda out, back, n00, n11: np.exp(betaln(out + back + 1, n00 + n11 + 1)) / 2
        case _:
            raise ValueError(
                f"prior = {prior}: expected Dirichlet, DoublyStochastic, Unigram or a Mixture of them; "
                "others have onset.theory.markov.ideal.finite_loss."
            )


def _of_rows(alpha: float, length: int) -> Evidence:
    r"""Evidence under independent Dirichlet(α, α) rows, by products of Beta functions.

    1/(a+b) is written as a Mellin-Barnes integral.

    1/(a+b) = (1/2πi) ∫ Γ(z) Γ(1-z) a^{-z} b^{z-1} dz over Re z = c, 0 < c < 1. The trapezoidal rule of spacing h errs
    by e^{-2πd/h} where the nearest poles, z = 0 and min(1, α), are d away (c lies in the middle), and by e^{-πL} for
    ending at |Im z| = L; both are set to a rounding error over the largest ratio of a residue to Z, which is of order
    T.
    """
    c = min(1.0, alpha) / 2
    digits = np.log(length + 2) - np.log(np.finfo(np.float64).eps)
    h = 2 * np.pi * c / digits
    w = h * np.arange(int(digits / np.pi / h) + 2)
    z = c + 1j * w
    kernel = loggamma(z) + loggamma(1 - z) + np.log(h / np.pi * np.where(w > 0, 1.0, 0.5)) - 2 * betaln(alpha, alpha)
    n = np.arange(length + 2)
    down, up = loggamma(n[:, None] + alpha - z), loggamma(n[:, None] + alpha + z)
    down_all, up_all = loggamma(n[:, None] + 2 * alpha - z), loggamma(n[:, None] + 2 * alpha + z)
    real = gammaln(n + alpha)

    def evidence(out: int, back: int, n00: Counts, n11: Counts) -> Array:
        moves = kernel + down[out] + up[back]
        exponent = moves - down_all[out + n00] - up_all[back + n11] + (real[n00] + real[n11])[:, None]
        return np.exp(exponent).real.sum(axis=1)

    return evidence
