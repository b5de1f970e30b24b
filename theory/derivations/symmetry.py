r"""Why two numbers stand for a matrix: exchangeable training keeps W and U in span{I, 11ᵀ}.

Let Π be a permutation matrix. If prior and initialisation do not change when states are relabelled, L(ΠWΠᵀ) = L(W), hence
∇L(ΠWΠᵀ) = Π ∇L(W) Πᵀ, and at a W that every Π fixes the gradient is fixed by every Π. Relabelling acts on the positions (i, j) of a
matrix with two orbits, i = j and i ≠ j: the fixed matrices are a·11ᵀ + b·I.

An optimiser that acts entry by entry commutes with permutations of entries, and relabelling is one. So Adam on the population gradient
stays as well: its state is constant on each orbit.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import sympy as sp

from onset.theory.derivations.derivation import Check, Derivation, Outcome, Step

__all__ = ["decomposition", "derive", "fixed_matrices", "relabellings"]

k = sp.Symbol("k", integer=True, positive=True)
g_omega, g_c = sp.symbols("g_omega g_c", real=True)
a, b = sp.symbols("a b", real=True)


def decomposition() -> Any:
    """(a, b) of G = a·11ᵀ + b·I from g_ω = ⟨G, I⟩ = ka + kb and g_c = ⟨G, 11ᵀ⟩ = k²a + kb."""
    found = sp.solve([k * a + k * b - g_omega, k**2 * a + k * b - g_c], [a, b])
    return sp.Matrix([sp.factor(found[a]), sp.factor(found[b])])


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


def derive() -> Derivation:
    """The gradient in span{I, 11ᵀ} from its two partials."""
    phi = sp.Function("phi")
    found = decomposition()
    return Derivation(
        name="symmetry",
        title="Exchangeable training keeps two numbers per matrix",
        statement=sp.Eq(sp.ImmutableMatrix([a, b]), sp.ImmutableMatrix(found), evaluate=False),
        symbols={
            a: "coefficient of 11ᵀ in the gradient G = a·11ᵀ + b·I",
            b: "coefficient of I",
            g_omega: "⟨G, I⟩, the derivative of L by ω in W = ωI + c·11ᵀ (nats per token)",
            g_c: "⟨G, 11ᵀ⟩, the derivative by c",
            k: "number of states",
        },
        assumptions=(
            "the law of transition matrices does not change when states are relabelled",
            "W (and U) start in span{I, 11ᵀ}",
            "population gradient, or batches closed under relabelling",
            "gradient flow, gradient descent, or an optimiser that acts on each entry alike (Adam, any betas and epsilon, weight decay)",
        ),
        validity=(
            "Exact for k ≥ 2. Adam needs a symmetry that permutes entries: under one that rotates them its update is not "
            "equivariant, so that in a basis other than the states' the invariant subspace is lost. Lag logits are tied by no symmetry: each is an orbit of "
            "its own. With mini-batches of size B the gradient leaves the subspace by noise of variance Var/B, alike for the entries of an orbit in law only; "
            "Adam divides each entry by its own noisy second moment, whose expectation g² + Var/B alone is common to an orbit. "
            "Priors or initialisations that are not exchangeable leave the subspace at once. Transverse noise: to second order the transverse part of W "
            "and U couples neither to the subspace nor to the lag logits (other representations of the relabellings). The linear family's loss is convex in W "
            "at fixed v, so there transverse noise never grows. In the softmax family the second derivatives by U and W at U = W = 0 are "
            "[[A, B], [Bᵀ, 0]], a saddle wherever B is not zero, transversely as within the subspace; on the plateau (k = 3, T = 25) the transverse "
            "block has no negative eigenvalue (check attached by `validate`)."
        ),
        source="derived here",
        references=("kingma2014adam",),
        steps=(
            Step(
                "matrices fixed by relabelling, k = 3",
                sp.ImmutableMatrix(fixed_matrices(3)),
                "ΠWΠᵀ = W for the generators: two free entries; for any k ≥ 2 because relabelling moves any (i, i) to any other and any (i, j ≠ i) to any other",
            ),
            Step(
                "partials of G = a·11ᵀ + b·I",
                sp.Tuple(sp.Eq(g_omega, k * a + k * b), sp.Eq(g_c, k**2 * a + k * b)),
                "⟨11ᵀ, I⟩ = k, ⟨I, I⟩ = k, ⟨11ᵀ, 11ᵀ⟩ = k²",
            ),
            Step("solve for a and b", sp.ImmutableMatrix(found), "b = (g_ω - g_c/k)/(k-1), a = (g_c/k - b)/k"),
            Step(
                "an optimiser that acts entry by entry",
                sp.Tuple(phi(a), phi(a + b) - phi(a)),
                "φ of every entry of a·11ᵀ + b·I is φ(a)·11ᵀ + (φ(a+b) - φ(a))·I",
            ),
        ),
        checks=[
            Check("fixed", "solutions of ΠWΠᵀ = W with span{I, 11ᵀ}, symbolically, k = 2 … 5", _fixed),
            Check(
                "decomposition",
                "a·11ᵀ + b·I from its partials with itself, symbolically, k = 2 … 6, and the formula of the text",
                _decomposition,
            ),
            Check(
                "gradient",
                "gradient of a symmetrised generic cubic in W at W = ωI + c·11ᵀ with its decomposition, k = 2, 3",
                _gradient,
            ),
            Check(
                "entrywise",
                "φ applied entry by entry with Π before and after, k = 2 … 4; and that a rotation does not commute",
                _entrywise,
            ),
        ],
    )


def _fixed() -> Outcome:
    differences = []
    for states in range(2, 6):
        found = fixed_matrices(states)
        differences.append(sp.Integer(len(found.free_symbols) - 2))
        spanned = found[0, 1] * sp.ones(states, states) + (found[0, 0] - found[0, 1]) * sp.eye(states)
        differences.extend(found - spanned)
    return Outcome.identity(*differences)


def _decomposition() -> Outcome:
    text_b = (g_omega - g_c / k) / (k - 1)
    differences = list(decomposition() - sp.Matrix([(g_c / k - text_b) / k, text_b]))
    for states in range(2, 7):
        matrix = a * sp.ones(states, states) + b * sp.eye(states)
        partials = {g_omega: matrix.trace(), g_c: sum(matrix), k: states}
        differences.extend(decomposition().subs(partials) - sp.Matrix([a, b]))
    return Outcome.identity(*differences)


def _gradient() -> Outcome:
    """A loss with random whole coefficients, made exchangeable by adding up all relabellings."""
    differences, omega, c = [], *sp.symbols("omega c", real=True)
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
        of_ones, of_eye = decomposition().subs(partials)
        differences.extend(gradient - of_ones * sp.ones(states, states) - of_eye * sp.eye(states))
        differences.append(sp.Integer(gradient.is_zero_matrix is True))
    return Outcome.identity(*differences)


def _entrywise() -> Outcome:
    phi, differences = sp.Function("phi"), []
    for states in range(2, 5):
        matrix = _generic(states)
        for p in relabellings(states):
            differences.extend((p * matrix * p.T).applyfunc(phi) - p * matrix.applyfunc(phi) * p.T)
    turn = sp.Matrix([[1, -1], [1, 1]]) / sp.sqrt(2)
    gradient = sp.Matrix([[2, 0], [0, -1]])
    turned = (turn * gradient * turn.T).applyfunc(sp.sign) - turn * gradient.applyfunc(sp.sign) * turn.T
    differences.append(sp.Integer(turned.is_zero_matrix is True))
    return Outcome.identity(*differences)
