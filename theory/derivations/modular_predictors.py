r"""What ideal predictors know of modular arithmetic from k examples: ranks, lines, and the rules that are left.

For a prime p the inputs u ∈ Z_p² other than zero fall into p + 1 *lines* {c d : c ≠ 0}. Examples tell a linear function
on their span alone; a homogeneous one, f(c u) = c f(u), on the lines that they lie on; any function, at the inputs
themselves. What a predictor does not know it has to guess among answers that its knowledge leaves equally likely, or,
where it holds some rules for likelier than others, among the rules that agree with the examples.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import sympy as sp

from onset.theory.arrays import Array
from onset.theory.derivations.derivation import Identities, Residual, check, numerical, worst
from onset.theory.derivations.text import Expressions, derives, equation

__all__ = ["derive", "inside", "inside_distinct", "of_line", "of_rule", "outside_span", "rank_share", "regression"]

p, k, D, r, m, n, j = sp.symbols("p k D r m n j", positive=True, integer=True)
i = sp.Symbol("i", integer=True)
n_c, s = sp.symbols("n_c s", nonnegative=True)
w = sp.Symbol("w", nonnegative=True)
A, L0, L1, U, F0, F_l, Phi = sp.symbols("A L_0 L_1 U F_0 F_l Phi", real=True)
P_r, F, F_d, N = sp.symbols("P_r F F_d N", real=True)

_rank = p ** (-k * D) * sp.Product((p**k - p**i) * (p**D - p**i) / (p**r - p**i), (i, 0, r - 1))

_inside = (j / m) ** k

_inside_distinct = sp.RisingFactorial(j - k + 1, k) / sp.RisingFactorial(m - k, k)

_outside = F0 + Phi - (F_l - F0)

_of_line = -sp.log(w * n_c / n + (1 - w) / p)

_of_rule = -sp.log(w * s / n + (1 - w) / p**2)

_occupied = p * (1 - sp.binomial(p**2 - p, n) / sp.binomial(p**2, n))


def _of_rank(number: int) -> sp.Expr:
    """P_r for D = 2."""
    return _rank.subs({D: 2, r: number}).doit()


_regression = _of_rank(2) + _of_rank(1) * (2 * p - 1) / p**2 + _of_rank(0) * (1 / p**2 + (1 - 1 / p**2) / p)


@derives("modular-predictors")
def derive() -> Expressions:
    r"""Modular arithmetic in context: what ideal predictors know from k examples

    Symbols
    -------
    A : accuracy of modular regression, inputs independent and uniform on $\mathbb{Z}_p^2$
    p : modulus, a prime
    k : examples before the query
    D : variables
    r : rank of the k inputs as vectors over $\mathbb{Z}_p$
    i : counts ranks
    P_r : probability of that rank
    m : inputs that sequences are drawn from
    j : inputs of a set among them, which does not hold the query
    F : probability that all k examples lie in that set, inputs drawn independently
    F_d : the same, inputs of a sequence distinct
    F_0 : F of the set that holds zero if zero is among the m inputs, else nothing
    F_l : F of that set with the inputs on the query's line
    Phi : sum of $F_l - F_0$ over all lines
    U : probability that the query lies outside the span of the examples
    n : rules that are trained on
    n_c : rules among them that give a line's direction the answer that the true rule gives it
    w : prior probability that the rule is one of these
    s : 1 if it is one of these, else 0
    L_0 : loss of a query on a line, after examples that are all zero; nats
    L_1 : loss of a query off the line of examples of rank one, nats
    N : expected number of answers that n random rules give one direction

    Assumptions
    -----------
    - the modulus is prime, so that every non-zero number has an inverse
    - answers are right

    Steps
    -----
    - rank: inputs independent and uniform on $\mathbb{Z}_p^D$; $k \times D$ matrices of rank $r$ are counted by their
      row space and the images of a basis [rank]
    - inputs from a set: all examples lie in a subset of it [inside]
    - distinct inputs: the same, without replacement; the query is one of the m, and none of the examples is
      [distinct]
    - outside the span: $D = 2$; the examples are all zero, or span one of the lines that the query does not lie on
      [outside]
    - one line left open: the answers of the query are those of the rules that the predictor allows; each of the $p$
      answers has $n_c$ of the $n$ rules and $p$ of all $p^2$ [line]
    - a rule left open: after examples of rank one, a query off their line tells the rule; with $L_0$ it makes up all
      that the rule is worth [rule]
    - a random set of rules: each of the $p$ answers is missing if all $n$ rules give others [occupied]

    Validity
    --------
    Exact. Where the modulus is composite, examples may tell multiples of an answer without telling it, and ranks do not
    say what is known; the predictors themselves are then exact still.

    Source
    ------
    derived here; the task is that of He et al.

    References
    ----------
    he2024learning
    """
    return {
        "statement": equation(A, _regression),
        "rank": equation(P_r, _rank),
        "inside": equation(F, _inside),
        "distinct": equation(F_d, _inside_distinct),
        "outside": equation(U, _outside),
        "line": equation(L0, _of_line),
        "rule": equation(L1, _of_rule - _of_line),
        "occupied": equation(N, _occupied),
    }


regression = numerical((p, k), _regression)
"""Accuracy of modular regression after k examples, inputs uniform on all of Z_p²."""

inside = numerical((j, k, m), _inside)
"""Probability that k independent inputs of m lie in a set of j."""

inside_distinct = numerical((j, k, m), _inside_distinct, "scipy")
"""Probability that k distinct inputs, of m less the query, lie in a set of j."""

outside_span = numerical((F0, F_l, Phi), _outside)
"""U of a query on a line."""

of_line = numerical((w, n_c, n, p), _of_line)
"""L₀, nats."""

of_rule = numerical((w, s, n, p), _of_rule)
"""L₀ + L₁, nats."""


def rank_share(modulus: int, examples: int, variables: int, rank: int) -> float:
    """P_r."""
    return float(_rank.subs({p: modulus, k: examples, D: variables, r: rank}).doit())


def _vectors(modulus: int, variables: int = 2) -> Array:
    """All of Z_p^D, shape (p^D, D)."""
    return np.array(list(itertools.product(range(modulus), repeat=variables)))


def _agreeing(contexts: Array, modulus: int) -> Array:
    """Rules that give every example of contexts (n, k, D) the answer zero, shape (n, p^D)."""
    answers = contexts @ _vectors(modulus, contexts.shape[-1]).T % modulus
    return (answers == 0).all(axis=1)


def _all_contexts(inputs: Array, examples: int, *, distinct: bool = False) -> Array:
    """Sequences of `examples` inputs, shape (n, k, D)."""
    every = itertools.permutations(inputs, examples) if distinct else itertools.product(inputs, repeat=examples)
    contexts = list(every)
    return np.array(contexts, dtype=int).reshape(len(contexts), examples, inputs.shape[-1])


@check("accuracy of the posterior over all rules, every context and query, $p$ = 2, 3, 5")
def _enumerated(statement: Any) -> Residual:
    closed, errors = sp.lambdify((p, k), statement.rhs), []
    for modulus, examples in ((2, 0), (2, 1), (2, 3), (3, 1), (3, 2), (3, 3), (5, 1), (5, 2)):
        vectors = _vectors(modulus)
        agreeing = _agreeing(_all_contexts(vectors, examples), modulus).astype(float)
        answers = (vectors @ vectors.T % modulus)[..., None] == np.arange(modulus)
        laws = np.einsum("nr,rqz->nqz", agreeing / agreeing.sum(axis=1, keepdims=True), answers.astype(float))
        errors.append(laws.max(axis=-1).mean() - closed(modulus, examples))
    return Residual(worst(*map(abs, errors)), 1e-13, "rounding of means of up to 15,625 probabilities")


@check("ranks of all matrices, $p$ = 2, 3 and $D$ = 1, 2, 3")
def _ranks(rank: Any) -> Residual:
    errors = []
    for modulus, variables, examples in ((2, 1, 3), (2, 2, 3), (2, 3, 3), (3, 2, 2), (3, 3, 2)):
        agreeing = _agreeing(_all_contexts(_vectors(modulus, variables), examples), modulus).sum(axis=1)
        ranks = variables - np.round(np.log(agreeing) / np.log(modulus)).astype(int)
        for number in range(variables + 1):
            share = rank.rhs.subs({p: modulus, k: examples, D: variables, r: number}).doit()
            errors.append(float(share) - np.mean(ranks == number))
    return Residual(worst(*map(abs, errors)), 1e-14, "rounding of a share")


def _lines(inputs: Array, modulus: int) -> list[Array]:
    """Which of the inputs lie on each line, as masks."""
    directions = [np.array([1, d]) for d in range(modulus)] + [np.array([0, 1])]
    multiples = [np.arange(1, modulus)[:, None] * direction % modulus for direction in directions]
    return [(inputs[:, None] == line).all(axis=-1).any(axis=-1) for line in multiples]


@check("queries outside the span, every context of 9 inputs of $\\mathbb{Z}_5^2$, independent and distinct")
def _outside_enumerated(inside: Any, distinct: Any, outside: Any) -> Residual:
    generator, modulus, errors = np.random.default_rng(0), 5, []
    vectors = _vectors(modulus)
    for zero in (True, False):
        inputs = vectors[np.append(np.zeros(int(zero), dtype=int), 1 + generator.permutation(24)[: 9 - zero])]
        lines = _lines(inputs, modulus)
        for law, alone, examples in ((inside, False, 2), (inside, False, 3), (distinct, True, 2), (distinct, True, 3)):
            share = sp.lambdify((j, k, m), law.rhs, "scipy")
            at_zero = float(share(int(zero), examples, 9))
            on_line = np.array([float(share(int(zero) + line.sum(), examples, 9)) for line in lines])
            for query, at in ((q, [line[q] for line in lines].index(True)) for q in range(9) if inputs[q].any()):
                others = np.delete(inputs, query, axis=0) if alone else inputs
                agreeing = _agreeing(_all_contexts(others, examples, distinct=alone), modulus)
                off = vectors @ inputs[query] % modulus != 0
                told = {F0: at_zero, F_l: on_line[at], Phi: (on_line - at_zero).sum()}
                if alone:  # the line's own set must not hold the query; it cancels
                    told[Phi] = (np.delete(on_line, at) - at_zero).sum() + on_line[at] - at_zero
                errors.append((agreeing & off).any(axis=1).mean() - float(outside.rhs.subs(told)))
    return Residual(worst(*map(abs, errors)), 1e-13, "rounding of sums of shares")


@check("the posterior over listed and over all rules, every query after examples of rank 0 and 1, $p$ = 3, 5")
def _left_open(line: Any, rule: Any) -> Residual:
    generator, errors = np.random.default_rng(0), []
    of_line_, of_rest = (sp.lambdify((w, n_c, s, n, p), equation_.rhs) for equation_ in (line, rule))
    for modulus, number, weight in ((3, 4, 0.0), (3, 4, 0.5), (3, 4, 1.0), (5, 7, 0.3), (5, 20, 1.0)):
        vectors = _vectors(modulus)
        listed = generator.permutation(modulus**2)[:number]
        prior = np.full(modulus**2, (1 - weight) / modulus**2)
        prior[listed] += weight / number
        truths = np.flatnonzero(prior)[:6]
        for truth, first, query in itertools.product(truths, vectors[1:], vectors[1:]):
            gives = vectors @ first % modulus
            agrees = gives == gives[truth]
            at = weight, agrees[listed].sum(), float(truth in listed), number, modulus
            errors.append(-np.log(prior[agrees].sum()) - of_line_(*at))
            if (first[0] * query[1] - first[1] * query[0]) % modulus:
                answers = vectors @ query % modulus
                law = prior[agrees & (answers == answers[truth])].sum() / prior[agrees].sum()
                errors.append(-np.log(law) - of_rest(*at))
    return Residual(worst(*map(abs, errors)), 1e-13, "rounding of logarithms of order one")


@check("answers that every set of $n$ rules gives a direction, $p$ = 2 and 3")
def _answers(occupied: Any) -> Residual:
    errors = []
    for modulus, number in ((2, 1), (2, 3), (3, 2), (3, 4)):
        answers = _vectors(modulus) @ np.array([1, 1]) % modulus
        counted = [len(set(answers[list(chosen)])) for chosen in itertools.combinations(range(modulus**2), number)]
        errors.append(np.mean(counted) - float(occupied.rhs.subs({p: modulus, n: number})))
    return Residual(worst(*map(abs, errors)), 1e-13, "rounding of a mean of counts")


@check("shares of ranks add up; one more example leaves no fewer known; many tell all")
def _consistent(statement: Any, rank: Any) -> Identities:
    in_plane: list[Any] = [sp.simplify(rank.rhs.subs({D: 2, r: number}).doit()) for number in range(3)]
    symbolic = statement.rhs - (1 - (1 - 1 / p) * (in_plane[0] * (1 - 1 / p**2) + in_plane[1] * (1 - 1 / p)))
    all_ranks: Any = in_plane[0] + in_plane[1] + in_plane[2] - 1
    return sp.simplify(all_ranks), sp.simplify(symbolic), sp.limit(statement.rhs.subs(p, 3), k, sp.oo) - 1
