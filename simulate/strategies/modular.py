r"""Laws of the next answer by the ideal predictors of modular arithmetic, on sampled examples.

Each is Bayes' predictor of z = f(u) + noise under a prior on the function f, as `onset.theory.modular.task.STRATEGIES`
says. Without noise an example rules functions out; the rules that are left are listed, p^D of them before the first
example and about p times fewer after each, so that a sequence costs O(p^D) for all its examples. With noise each rule
keeps the number of examples that it explains, and an example costs O(p^D).

Where p is composite, ratio matching knows the answers of multiples of earlier inputs, as for a prime; that a multiple
of the query has been answered, which then leaves only some answers, it does not use.
"""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from onset.simulate.compiling import njit
from onset.simulate.threads import start_pool
from onset.theory.arrays import Array
from onset.theory.modular.task import STRATEGIES

__all__ = ["answer_laws"]

GUESSING, COPY, RATIO_MATCHING, MEMORISING, MIXTURE, REGRESSION = range(len(STRATEGIES))
"""Places of the strategies' laws."""


def answer_laws(
    inputs: NDArray[np.int64], answers: NDArray[np.int64], listed: NDArray[np.int64], modulus: int, noise: float = 0.0
) -> Array:
    """Laws of answers.

    Parameters
    ----------
    inputs : integer array, shape (n, examples, D)
    answers : integer array, shape (n, examples)
    listed : integer array, shape (rules, D)
        Those that memorising knows.
    modulus : int
    noise : float

    Returns
    -------
    array, shape (6, n, examples, p)
        Of each of `onset.theory.modular.task.STRATEGIES`, before the example's own answer is known.
    """
    sequences, examples, variables = inputs.shape
    every = np.stack(np.unravel_index(np.arange(modulus**variables), (modulus,) * variables), axis=-1)
    is_listed = np.zeros(len(every), dtype=np.bool_)
    is_listed[np.ravel_multi_index(tuple(listed.T), (modulus,) * variables)] = True
    products = (np.arange(modulus)[:, None] * np.arange(modulus) % modulus).astype(np.int64)
    laws = np.empty((len(STRATEGIES), sequences, examples, modulus))
    start_pool()
    arguments = inputs.astype(np.int64), answers.astype(np.int64), every.astype(np.int64), is_listed, products
    if noise:
        _noisy(*arguments, noise, laws)
    else:
        _exact(*arguments, laws)
    return laws


@njit(cache=True)
def _answer(rule, vector, products):
    """rule · vector mod p."""
    total = 0
    for d in range(len(rule)):
        total += products[rule[d], vector[d]]
        if total >= len(products):
            total -= len(products)
    return total


@njit(cache=True)
def _number(vector, modulus):
    """Number of an input."""
    number = 0
    for d in range(len(vector)):
        number = number * modulus + vector[d]
    return number


@njit(cache=True)
def _fill(law, answer):
    """A law that knows an answer, or guesses if it is -1."""
    law[:] = 1 / len(law) if answer < 0 else 0.0
    if answer >= 0:
        law[answer] = 1.0


@njit(cache=True)
def _open(rules, count, vector, answer, products, votes):
    """Votes of the first `count` rules for the answers of an input; those with the right one move to the front."""
    votes[:] = 0
    left = 0
    for place in range(count):
        rule = rules[place]
        given = _answer(rule, vector, products)
        votes[given] += 1
        if given == answer:
            for d in range(len(rule)):
                rules[left, d] = rule[d]
            left += 1
    return left


@njit(cache=True, parallel=True)
def _exact(inputs, answers, every, is_listed, products, laws):
    sequences, examples, variables = inputs.shape
    p, number = len(products), len(every)
    trained = is_listed.sum()
    listed = every[is_listed]
    laws[GUESSING] = 1 / p
    for n in prange(sequences):
        rules, known_rules = every.copy(), listed.copy()
        of_input = np.full(number, -1, np.int64)
        of_line = np.full(number, -1, np.int64)
        of_line[0] = 0
        votes, listed_votes = np.empty(p, np.int64), np.empty(p, np.int64)
        multiple = np.empty(variables, np.int64)
        all_left, listed_left = number, trained
        for k in range(examples):
            vector, answer = inputs[n, k], answers[n, k]
            at = _number(vector, p)
            _fill(laws[COPY, n, k], of_input[at])
            _fill(laws[RATIO_MATCHING, n, k], of_line[at])
            before, listed_before = all_left, listed_left
            all_left = _open(rules, before, vector, answer, products, votes)
            listed_left = _open(known_rules, listed_before, vector, answer, products, listed_votes)
            share = (listed_before / trained) / (listed_before / trained + before / number)
            for z in range(p):
                laws[REGRESSION, n, k, z] = votes[z] / before
                laws[MEMORISING, n, k, z] = listed_votes[z] / listed_before if listed_before else 1 / p
                laws[MIXTURE, n, k, z] = share * laws[MEMORISING, n, k, z] + (1 - share) * laws[REGRESSION, n, k, z]
            of_input[at] = answer
            for c in range(p):
                for d in range(variables):
                    multiple[d] = products[c, vector[d]]
                of_line[_number(multiple, p)] = products[c, answer]


@njit(cache=True)
def _from_votes(law, votes, noise):
    """The law of an answer from posterior weights of the right one."""
    p, total, wrong = len(law), votes.sum(), noise / (len(law) - 1)
    for z in range(p):
        law[z] = (1 - noise - wrong) * votes[z] / total + wrong


@njit(cache=True)
def _multiplier(vector, query, products):
    """Least c with c · vector = query; -1 if there is none."""
    for c in range(len(products)):
        fits = True
        for d in range(len(vector)):
            fits &= products[c, vector[d]] == query[d]
        if fits:
            return c
    return -1


@njit(cache=True)
def _noisy(inputs, answers, every, is_listed, products, noise, laws):
    sequences, examples, _ = inputs.shape
    p, number, trained = len(products), len(every), is_listed.sum()
    odds = np.log((1 - noise) * (p - 1) / noise)
    fewer = np.exp(-odds * np.arange(examples + 1))
    laws[GUESSING] = 1 / p
    for n in range(sequences):
        explained = np.zeros(number, np.int64)
        votes, listed_votes = np.empty(p), np.empty(p)
        by_input, by_line = np.empty(p), np.empty(p)
        for k in range(examples):
            vector = inputs[n, k]
            by_input[:], by_line[:] = 0.0, 0.0
            zero = True
            for d in range(len(vector)):
                zero &= vector[d] == 0
            for before in range(k):
                c = _multiplier(inputs[n, before], vector, products)
                if c > 0:
                    by_line[products[c, answers[n, before]]] += odds
                if _number(inputs[n, before], p) == _number(vector, p):
                    by_input[answers[n, before]] += odds
            if zero:
                by_line[:] = -np.inf
                by_line[0] = 0.0
            _from_votes(laws[COPY, n, k], np.exp(by_input - by_input.max()), noise)
            _from_votes(laws[RATIO_MATCHING, n, k], np.exp(by_line - by_line.max()), noise)
            most, listed_most = 0, 0
            for r in range(number):
                most = max(most, explained[r])
                if is_listed[r]:
                    listed_most = max(listed_most, explained[r])
            votes[:], listed_votes[:] = 0.0, 0.0
            for r in range(number):
                given = _answer(every[r], vector, products)
                votes[given] += fewer[most - explained[r]]
                if is_listed[r]:
                    listed_votes[given] += fewer[listed_most - explained[r]]
                explained[r] += given == answers[n, k]
            _from_votes(laws[REGRESSION, n, k], votes, noise)
            _from_votes(laws[MEMORISING, n, k], listed_votes, noise)
            evidence = listed_votes.sum() / trained * fewer[most - listed_most]
            share = evidence / (evidence + votes.sum() / number)
            for z in range(p):
                laws[MIXTURE, n, k, z] = share * laws[MEMORISING, n, k, z] + (1 - share) * laws[REGRESSION, n, k, z]
