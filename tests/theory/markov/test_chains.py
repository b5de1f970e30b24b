"""onset.theory.markov.chains: stationary law, lag matrices, entropies."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
import quantecon as qe
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from onset.theory.markov.chains import check_transition, entropy, entropy_rate, lag_matrices, stationary

EPS = np.finfo(float).eps


def gth_bound(k: int) -> float:
    """Entrywise relative error of elimination without subtractions: about 2k³ roundings (O'Cinneide, Numer. Math. 65,
    1993)."""
    return 2 * k**3 * EPS


def kmr(n: int, mutation: float) -> np.ndarray:
    """Kandori-Mailath-Rob chain of n players, p = 1/3: nearly reducible as `mutation` → 0 (quantecon's hard case)."""
    chain = np.zeros((n + 1, n + 1))
    for x in range(n + 1):
        up = (n - x) / n * (mutation / 2 + (1 - mutation) * ((x / (n - 1) > 1 / 3) if x < n else 0))
        down = x / n * (mutation / 2 + (1 - mutation) * (((x - 1) / (n - 1) < 1 / 3) if x > 0 else 0))
        for y, p in ((x + 1, up), (x - 1, down)):
            if p:
                chain[x, y] = p
        chain[x, x] = 1 - chain[x].sum()
    return chain


AWKWARD = {
    "asymmetric": np.array([[0.9, 0.05, 0.05], [0.6, 0.3, 0.1], [0.25, 0.25, 0.5]]),
    "swap": np.array([[0.0, 1.0], [1.0, 0.0]]),
    "cycle": np.roll(np.eye(5), 1, axis=1),
    "birth and death": np.array([[0, 1, 0, 0], [0.2, 0, 0.8, 0], [0, 0.7, 0, 0.3], [0, 0, 1, 0]]),
    "nearly reducible": np.array([[1 - 1e-14, 1e-14], [2e-14, 1 - 2e-14]]),
    "nearly reducible, 6 players": kmr(6, 1e-14),
}


def exact(matrix: np.ndarray) -> np.ndarray:
    """Stationary law in rational arithmetic from the off-diagonal doubles as they are."""
    rational = sp.Matrix(len(matrix), len(matrix), lambda i, j: sp.Rational(float(matrix[i, j])) if i != j else 0)
    for i in range(len(matrix)):
        rational[i, i] = 1 - sum(rational[i, :])
    (kernel,) = (rational.T - sp.eye(len(matrix))).nullspace()
    return np.array([float(x / sum(kernel)) for x in kernel])


def test_two_states_in_closed_form():
    """π = (b, a)/(a + b) solves πP = π identically, and the code returns it to a few roundings, however small a and b
    are."""
    a, b = sp.symbols("a b", positive=True)
    chain, law = sp.Matrix([[1 - a, a], [b, 1 - b]]), sp.Matrix([[b, a]]) / (a + b)
    assert sp.simplify(law * chain - law) == sp.zeros(1, 2)
    for x, y in itertools.product((0.3, 0.999, 1.0, 1e-3, 1e-14, 1e-300), repeat=2):
        computed = stationary([[1 - x, x], [y, 1 - y]])
        np.testing.assert_allclose(computed, np.array([y, x]) / (x + y), rtol=gth_bound(2))


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_chains_against_rational_arithmetic_and_quantecon(name):
    """Asymmetric, periodic and nearly reducible chains: every entry keeps its relative accuracy."""
    chain = AWKWARD[name]
    computed = stationary(chain)
    np.testing.assert_allclose(computed, exact(chain), rtol=gth_bound(len(chain)))
    np.testing.assert_allclose(
        computed, qe.MarkovChain(chain).stationary_distributions[0], rtol=2 * gth_bound(len(chain))
    )


def test_the_right_axis_is_solved():
    """On an asymmetric chain πP = π and πPᵀ ≠ π: the released code's uniform answer would fail both ways."""
    chain = AWKWARD["asymmetric"]
    law = stationary(chain)
    np.testing.assert_allclose(law @ chain, law, rtol=gth_bound(3))
    assert np.abs(chain @ law - law).max() > 0.1
    assert np.abs(law - 1 / 3).max() > 0.1


weights = st.integers(2, 6).flatmap(lambda k: hnp.arrays(float, (3, k, k), elements=st.floats(1e-12, 1)))


@given(weights)
def test_invariants_of_random_chains(matrices):
    """πP = π, Σπ = 1, π > 0; a stack of chains gives what each gives alone."""
    chains = matrices / matrices.sum(axis=-1, keepdims=True)
    law, k = stationary(chains), matrices.shape[-1]
    assert np.all(law > 0)
    np.testing.assert_allclose(law.sum(axis=-1), 1, atol=k * EPS)
    np.testing.assert_allclose(np.einsum("ni,nij->nj", law, chains), law, rtol=2 * gth_bound(k))
    assert np.array_equal(law, np.stack([stationary(chain) for chain in chains]))


def eliminated(matrix: np.ndarray) -> list[float]:
    """Stationary law by elimination in rational arithmetic, from the off-diagonal doubles as they are."""
    rows = [[Fraction(float(p)) for p in row] for row in matrix]
    for last in range(len(rows) - 1, 0, -1):
        leaving = sum(rows[last][:last])
        for i, j in itertools.product(range(last), repeat=2):
            rows[i][j] += rows[i][last] * rows[last][j] / leaving
        for i in range(last):
            rows[i][last] /= leaving
    law = [Fraction(1)]
    for state in range(1, len(rows)):
        law.append(sum((law[i] * rows[i][state] for i in range(state)), Fraction(0)))
    return [float(share / sum(law)) for share in law]


@st.composite
def sparse_chains(draw):
    """Off-diagonal entries between the least double and 1/k, many of them zero, that form at least a cycle."""
    k = draw(st.integers(2, 5))
    powers = draw(hnp.arrays(float, (k, k), elements=st.one_of(st.just(np.inf), st.floats(0, 323.3))))
    order = draw(st.permutations(range(k)))
    powers[order, np.roll(order, 1)] = draw(hnp.arrays(float, k, elements=st.floats(0, 323.3)))
    chain = np.minimum(10.0**-powers, 1 / k)
    np.fill_diagonal(chain, 0)
    np.fill_diagonal(chain, 1 - chain.sum(axis=1))
    return chain


@given(sparse_chains())
def test_probabilities_down_to_the_least_double_have_their_stationary_law(chain):
    """Subnormal entries too, against rational arithmetic: to 1e-12, the rounding of logarithms up to some 1000 a
    state."""
    with np.errstate(all="raise", under="ignore"):
        computed = stationary(chain)
    np.testing.assert_allclose(computed, eliminated(chain), rtol=1e-12, atol=1e-300)


def test_a_ratio_beyond_doubles_is_no_obstacle():
    """The least double against one, on either side; three states that only rare moves connect."""
    least = 5e-324
    assert stationary([[0, 1], [least, 1]]).tolist() == pytest.approx([0, 1], abs=1e-300)
    assert stationary([[1, least], [1, 0]]).tolist() == pytest.approx([1, 0], abs=1e-300)
    rare = np.eye(3) + 1e-200 * np.roll(np.eye(3), 1, axis=1)
    np.testing.assert_allclose(stationary(rare), np.full(3, 1 / 3), rtol=1e-12)


@given(st.permutations(range(5)), st.integers(1, 4))
def test_reducible_chains_are_refused(order, cut):
    """Two closed classes have no unique stationary law, whatever the states are called."""
    chain = np.zeros((5, 5))
    chain[:cut, :cut], chain[cut:, cut:] = 1 / cut, 1 / (5 - cut)
    with pytest.raises(ValueError, match="2 closed classes"):
        stationary(chain[np.ix_(order, order)])


@given(st.permutations(range(4)))
def test_transient_states_get_no_mass(order):
    """States that are left for good have π = 0; the one recurrent class keeps its own law (2/3, 1/3)."""
    chain = np.array([[0.5, 0.5, 0, 0], [1, 0, 0, 0], [0.1, 0, 0.9, 0], [0, 0.2, 0.3, 0.5]])[np.ix_(order, order)]
    np.testing.assert_allclose(stationary(chain), np.array([2 / 3, 1 / 3, 0, 0])[list(order)], rtol=gth_bound(4))


def test_an_absorbing_state_holds_everything():
    """One absorbing state: π is a point mass, exactly."""
    assert stationary([[1, 0, 0], [0.5, 0.25, 0.25], [0, 0.5, 0.5]]).tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    "bad",
    [
        np.ones(3),
        np.ones((2, 3)) / 3,
        [[1.0]],
        [[1.5, -0.5], [0.5, 0.5]],
        [[np.nan, 1], [0.5, 0.5]],
        [[0.5, 0.5 + 1e-12], [0.5, 0.5]],
    ],
)
def test_bad_matrices_are_named(bad):
    """Wrong shapes, negative or missing entries and rows that do not sum to one are refused."""
    with pytest.raises(ValueError, match=r"transition has .*expected.*;"):
        check_transition(bad)


def test_lag_matrices_are_powers():
    """lag_matrices returns P⁰ … P⁴, stacked first."""
    chains = np.stack([AWKWARD["asymmetric"], np.roll(np.eye(3), 1, axis=1)])
    computed = lag_matrices(chains, 5)
    assert computed.shape == (5, 2, 3, 3)
    for r in range(5):
        np.testing.assert_allclose(computed[r], np.linalg.matrix_power(chains, r), rtol=0, atol=8 * EPS)


def test_entropies_of_known_chains():
    """ln k for uniform rows, 0 for a permutation, the row's entropy without memory; -Σ p ln p by
    the letter otherwise."""
    assert entropy(np.full(4, 0.25)) == pytest.approx(np.log(4), rel=4 * EPS)
    assert entropy_rate(AWKWARD["cycle"]) == 0
    row = np.array([0.2, 0.3, 0.5])
    assert entropy_rate(np.tile(row, (3, 1))) == pytest.approx(entropy(row), rel=8 * EPS)
    chain = AWKWARD["asymmetric"]
    by_hand = -sum(exact(chain)[i] * chain[i, j] * np.log(chain[i, j]) for i in range(3) for j in range(3))
    assert entropy_rate(chain) == pytest.approx(by_hand, rel=2 * gth_bound(3))


def test_an_absorbing_state_has_all_of_the_law():
    assert stationary([[1.0, 0.0], [0.25, 0.75]]).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("law", [0.5, [1.1, -0.1], [np.inf, 0.0], [np.nan, 1.0]])
def test_entropy_of_what_is_no_law_is_refused(law):
    with pytest.raises(ValueError, match="expected probabilities along the last axis"):
        entropy(law)
