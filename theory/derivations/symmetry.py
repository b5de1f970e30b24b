r"""Why two numbers stand for a matrix: exchangeable training keeps W and U in span{I, 11ᵀ}.

Let Π be a permutation matrix. If prior and initialisation do not change when states are relabelled, L(ΠWΠᵀ) = L(W),
hence ∇L(ΠWΠᵀ) = Π ∇L(W) Πᵀ, and at a W that every Π fixes the gradient is fixed by every Π. Relabelling acts on the
positions (i, j) of a matrix with two orbits, i = j and i ≠ j: the fixed matrices are a·11ᵀ + b·I.

An optimiser that acts entry by entry commutes with permutations of entries, and relabelling is one. So Adam on the
population gradient stays as well: its state is constant on each orbit.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import sympy as sp

from onset.theory.derivations.derivation import Identities, check
from onset.theory.derivations.text import Expressions, derives, equation

__all__ = ["decomposition", "derive", "fixed_matrices", "relabellings"]

k = sp.Symbol("k", integer=True, positive=True)
g_omega, g_c = sp.symbols("g_omega g_c", real=True)
a, b = sp.symbols("a b", real=True)


def decomposition() -> Any:
    """(a, b) of G = a·11ᵀ + b·I from g_ω = ⟨G, I⟩ = ka + kb and g_c = ⟨G, 11ᵀ⟩ = k²a + kb."""
    solution = sp.solve([k * a + k * b - g_omega, k**2 * a + k * b - g_c], [a, b])
    return sp.Matrix([sp.factor(solution[a]), sp.factor(solution[b])])


def relabellings(states: int) -> Iterator[sp.Matrix]:
    """Permutation matrices that generate all relabellings: exchanges of neighbouring states."""
    for i in range(states - 1):
        yield sp.eye(states).permute([[i, i + 1]])


def _generic(states: int) -> Any:
    return sp.Matrix(states, states, sp.symbols(f"w:{states}:{states}"))


def fixed_matrices(states: int) -> Any:
    """The general solution W of ΠWΠᵀ = W for every relabelling Π."""
    matrix = _generic(states)
    conditions = [entry for p in relabellings(states) for entry in p * matrix * p.T - matrix]
    (solution,) = sp.linsolve([condition for condition in conditions if condition != 0], list(matrix))
    return sp.Matrix(states, states, solution)


@derives("symmetry")
def derive() -> Expressions:
    r"""Exchangeable training keeps two numbers per matrix

    Symbols
    -------
    G : gradient by $W$, $a\,\mathbf{1}\mathbf{1}^\top + b\,I$
    a : coefficient of $\mathbf{1}\mathbf{1}^\top$ in it
    b : coefficient of $I$
    g_omega : $\langle G, I\rangle$, the derivative of $L$ by $\omega$, nats per token
    g_c : $\langle G, \mathbf{1}\mathbf{1}^\top\rangle$, the derivative by $c$
    w_0 : entry on the diagonal of a fixed matrix
    w_1 : entry off the diagonal
    phi(a) : what an optimiser makes of an entry of the gradient
    Pi : permutation matrix, a relabelling of states
    k, W, omega, c, U, mu, v, L, T, B
    g : entry of the gradient
    sigma : standard deviation of one sequence's $g$

    Assumptions
    -----------
    - the law of transition matrices does not change when states are relabelled
    - $W$ (and $U$) start in $\operatorname{span}\{I, \mathbf{1}\mathbf{1}^\top\}$
    - population gradient, or batches closed under relabelling
    - gradient flow, gradient descent, or an optimiser that acts on each entry alike (Adam, any betas and epsilon,
      weight decay)

    Steps
    -----
    - matrices fixed by relabelling, $k = 3$: $\Pi W \Pi^\top = W$ for the generators leaves two entries free; so for
      any $k \ge 2$, because relabelling moves any $(i, i)$ to any other and any $(i, j \ne i)$ to any other [fixed]
    - partials of $G = a\,\mathbf{1}\mathbf{1}^\top + b\,I$: $\langle \mathbf{1}\mathbf{1}^\top, I\rangle = k$, $\langle
      I, I\rangle = k$, $\langle \mathbf{1}\mathbf{1}^\top, \mathbf{1}\mathbf{1}^\top\rangle = k^2$ [partials]
    - solve for $a$ and $b$: $b = (g_\omega - g_c/k)/(k-1)$, $a = (g_c/k - b)/k$
    - an optimiser that acts entry by entry: $\phi$ of every entry of $a\,\mathbf{1}\mathbf{1}^\top + b\,I$ gives the
      coefficients of $\mathbf{1}\mathbf{1}^\top$ and $I$ [entrywise]

    Validity
    --------
    Exact for $k \ge 2$. Adam needs a symmetry that permutes entries: under one that rotates them its update is not
    equivariant, so that in a basis other than the states' the invariant subspace is lost. Lag logits are tied by no
    symmetry: each is an orbit of its own. With mini-batches the gradient leaves the subspace by noise of variance
    $\sigma^2/B$, alike for the entries of an orbit in law only; Adam divides each entry by its own noisy second moment,
    whose expectation $g^2 + \sigma^2/B$ alone is common to an orbit. Priors or initialisations that are not
    exchangeable leave the subspace at once. To second order the transverse part of $W$ and $U$ couples neither to the
    subspace nor to the lag logits (other representations of the relabellings). The linear family's loss is convex in
    $W$ at fixed $v$, so there transverse noise never grows. In the softmax family at $U = W = 0$ the second derivatives
    by $W$ alone vanish and the mixed ones by $U$ and $W$ do not: a saddle, transversely as within the subspace. On the
    plateau ($k = 3$, $T = 25$) the transverse block has no negative eigenvalue (check transverse).

    Source
    ------
    derived here

    References
    ----------
    kingma2014adam
    """
    phi, (diagonal, other) = sp.Function("phi"), sp.symbols("w_0 w_1")
    fixed = fixed_matrices(3)
    return {
        "statement": equation(sp.ImmutableMatrix([a, b]), decomposition()),
        "fixed": fixed.subs({fixed[0, 0]: diagonal, fixed[0, 1]: other}),
        "partials": sp.Tuple(sp.Eq(g_omega, k * a + k * b), sp.Eq(g_c, k**2 * a + k * b)),
        "entrywise": sp.Tuple(phi(a), phi(a + b) - phi(a)),
    }


@check(
    r"solutions of $\Pi W \Pi^\top = W$ with $\operatorname{span}\{I, \mathbf{1}\mathbf{1}^\top\}$, symbolically, "
    r"$k = 2, \dots, 5$"
)
def _fixed(fixed: Any) -> Identities:
    solutions = [fixed, *map(fixed_matrices, range(2, 6))]
    for matrix in solutions:
        states = len(matrix.row(0))
        yield sp.Integer(len(matrix.free_symbols) - 2)
        spanned = matrix[0, 1] * sp.ones(states, states) + (matrix[0, 0] - matrix[0, 1]) * sp.eye(states)
        yield from matrix - spanned


@check(
    r"$a\,\mathbf{1}\mathbf{1}^\top + b\,I$ from its partials with itself, symbolically, $k = 2, \dots, 6$, and the "
    "formula of the text"
)
def _decomposition(statement: Any, partials: Any) -> Identities:
    text_b = (g_omega - g_c / k) / (k - 1)
    yield from statement.rhs - sp.Matrix([(g_c / k - text_b) / k, text_b])
    for states in range(2, 7):
        matrix = a * sp.ones(states, states) + b * sp.eye(states)
        known = {g_omega: matrix.trace(), g_c: sum(matrix), k: states}
        yield from statement.rhs.subs(known) - sp.Matrix([a, b])
        yield from ((part.lhs - part.rhs).subs(known) for part in partials)


@check(
    r"gradient of a symmetrised generic cubic in $W$ at $W = \omega I + c\,\mathbf{1}\mathbf{1}^\top$ with its "
    "decomposition, $k = 2$, 3"
)
def _gradient(statement: Any) -> Identities:
    """A loss with random whole coefficients, made exchangeable by adding up all relabellings."""
    omega, c = sp.symbols("omega c", real=True)
    for states in (2, 3):
        generator = np.random.default_rng(states)
        matrix = _generic(states)
        loss = sp.Integer(0)
        coefficients = generator.integers(-9, 10, size=(3, states, states)).tolist()
        for order in map(list, itertools.permutations(range(states))):
            first, second, third = (
                sum(sp.Matrix(part).multiply_elementwise(matrix.extract(order, order))) for part in coefficients
            )
            loss += first * second * third + first * second + third
        symmetric: Any = omega * sp.eye(states) + c * sp.ones(states, states)
        at = dict(zip(matrix, symmetric, strict=True))
        gradient = sp.Matrix(states, states, [sp.diff(loss, entry).subs(at) for entry in matrix])
        along = loss.subs(at)
        partials = {g_omega: sp.diff(along, omega), g_c: sp.diff(along, c), k: states}
        of_ones, of_eye = statement.rhs.subs(partials)
        yield from gradient - of_ones * sp.ones(states, states) - of_eye * sp.eye(states)
        yield sp.Integer(gradient.is_zero_matrix is True)


@check(
    r"$\phi$ applied entry by entry with its coefficients, and with $\Pi$ before and after, $k = 2, \dots, 4$; and "
    "that a rotation does not commute"
)
def _entrywise(entrywise: Any) -> Identities:
    phi = sp.Function("phi")
    for states in range(2, 5):
        matrix, ones, eye = _generic(states), sp.ones(states, states), sp.eye(states)
        of_ones, of_eye = entrywise
        yield from (a * ones + b * eye).applyfunc(phi) - of_ones * ones - of_eye * eye
        for p in relabellings(states):
            yield from (p * matrix * p.T).applyfunc(phi) - p * matrix.applyfunc(phi) * p.T
    turn = sp.Matrix([[1, -1], [1, 1]]) / sp.sqrt(2)
    gradient = sp.Matrix([[2, 0], [0, -1]])
    turned = (turn * gradient * turn.T).applyfunc(sp.sign) - turn * gradient.applyfunc(sp.sign) * turn.T
    yield sp.Integer(turned.is_zero_matrix is True)
