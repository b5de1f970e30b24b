"""Checks of "symmetry": gradients and training stay in span{I, 11ᵀ}, if the prior is exchangeable."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import sympy as sp

from onset.theory.arrays import Array
from onset.theory.derivations import symmetry
from onset.theory.derivations.derivation import Residual, check, worst
from onset.theory.setting import Setting
from onset.validate.checks.small_models import (
    CASES,
    EPS,
    distinct_model,
    every_sequence,
    gradient_rounding,
    one_thread,
    random_batch,
    weighted_loss,
)

__all__ = ["CHECKS"]


def _outside(matrix: Array, statement: Any) -> float:
    """Largest entry of a matrix less a·11ᵀ + b·I, with a and b from the statement."""
    of_ones, of_eye = _compiled(statement.rhs)(np.trace(matrix), matrix.sum(), len(matrix)).ravel()
    return float(np.abs(matrix - of_ones - of_eye * np.eye(len(matrix))).max())


@cache
def _compiled(decomposition: Any) -> Callable[..., Array]:
    return sp.lambdify((symmetry.g_omega, symmetry.g_c, symmetry.k), decomposition)


def _gradient_outside(statement: Any, setting: Setting, tokens: Any, targets: Any) -> tuple[float, float]:
    """Largest part of any matrix's gradient outside the subspace, and the rounding to expect."""
    parameters = dict(distinct_model(setting).named_parameters())
    weighted_loss(distinct_model(setting), parameters, tokens, targets).backward()
    outside = worst(
        *(_outside(np.asarray(p.grad), statement) for name, p in parameters.items() if name != "lag_logits")
    )
    return outside, gradient_rounding(setting, len(tokens))


@check(
    "gradients of the toy modules on batches closed under relabelling with "
    r"$\operatorname{span}\{I, \mathbf{1}\mathbf{1}^\top\}$, $k = 2, \dots, 4$"
)
@one_thread
def _autodiff(statement: Any) -> Residual:
    settings = [Setting.of(family, states=states, context=6) for family, states in CASES]
    parts = (_gradient_outside(statement, setting, *random_batch(setting, 3)) for setting in settings)
    return Residual(
        worst(*(outside / limit for outside, limit in parts)), 1.0, "in units of one rounding per token and source"
    )


@check(
    "population gradients under a prior that is not exchangeable, eight random chains: they must leave "
    r"$\operatorname{span}\{I, \mathbf{1}\mathbf{1}^\top\}$"
)
@one_thread
def _leaves(statement: Any) -> Residual:
    largest = 0.0
    for family, states in CASES:
        setting = Setting.of(family, states=states, context=4)
        outside, limit = _gradient_outside(statement, setting, *every_sequence(states, 4)[:2])
        largest = worst(largest, limit / outside)
    because = r"rounding over what lies outside: below $\sqrt{\epsilon}$, half-way between rounding and order one"
    return Residual(largest, EPS**0.5, because)


def _train(statement: Any, setting: Setting, off: float) -> tuple[list[float], float]:
    """50 steps on a closed batch: distances from the subspace, and the smallest entry of a matrix's gradient."""
    import torch

    model, (tokens, targets) = distinct_model(setting, off), random_batch(setting, 3)
    matrices = [p for name, p in model.named_parameters() if name != "lag_logits"]
    optimizer = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[setting.training.optimizer.name](
        model.parameters(), lr=0.02
    )
    outside, smallest = [], np.inf
    for _ in range(50):
        optimizer.zero_grad()
        weighted_loss(model, dict(model.named_parameters()), tokens, targets).backward()
        smallest = min(smallest, *(float(p.grad.abs().min()) for p in matrices))  # pyright: ignore[reportOptionalMemberAccess]
        optimizer.step()
        outside.append(worst(*(_outside(p.detach().numpy(), statement) for p in matrices)))
    return outside, smallest


@check(
    "$W$ and $U$ along 50 steps of SGD and Adam on such batches with "
    r"$\operatorname{span}\{I, \mathbf{1}\mathbf{1}^\top\}$, $k = 2$, 3"
)
@one_thread
def _trajectory(statement: Any) -> Residual:
    largest = 0.0
    for (family, states), optimizer in itertools.product(CASES[:2] + CASES[3:5], ("sgd", "adam")):
        setting = Setting.of(family, states=states, context=6, optimizer=optimizer)
        distances, smallest = _train(statement, setting, 0.0)
        off = EPS**0.5
        growth = worst(1.0, *(distance / off for distance in _train(statement, setting, off)[0]))
        # Adam divides a gradient by its size: its relative rounding becomes the update's. Parameters are of order one.
        rounding = gradient_rounding(setting, 3 * len(list(itertools.permutations(range(states)))))
        per_step = 0.02 * rounding / (smallest if optimizer == "adam" else 1.0) + EPS
        largest = worst(largest, worst(*distances) / (50 * per_step * growth))
    return Residual(
        largest, 1.0, r"in units of 50 steps' rounding times the measured growth of a deviation of $\sqrt{\epsilon}$"
    )


def _hessian(setting: Setting, point: Array, count: int) -> tuple[Array, Array, float]:
    """Second derivatives by the entries of all matrices on a closed sample.

    Returns the transverse block, the block that mixes transverse and other directions, and the rounding error.
    """
    import torch

    from onset.simulate.tasks.markov_chains import next_rows, sample
    from onset.theory.dynamics.layout import Layout
    from onset.validate.models.toy import Toy

    k, chosen = setting.task.states, sample(setting.task, count, np.random.default_rng(5))
    orders = [np.array(order) for order in itertools.permutations(range(k))]
    tokens = torch.from_numpy(np.concatenate([order[chosen.tokens[:, :-1]] for order in orders]))
    rows = np.concatenate([next_rows(chosen)[:, :, np.argsort(order)] for order in orders])
    targets = torch.from_numpy(rows / len(rows))
    model, names = Toy(setting).double(), [g for g in ("match", "readout") if g in setting.model.initialization]
    lags = torch.from_numpy(
        point[Layout.of(setting.task, setting.model.initialization, setting.task.context).lags].copy()
    )

    def loss(flat: Any) -> Any:
        matrices = flat[: len(names) * k * k].reshape(len(names), k, k)
        return weighted_loss(
            model, dict(zip(names, matrices, strict=True)) | {"lag_logits": flat[len(names) * k * k :]}, tokens, targets
        )

    matrices = [point[2 * n + 1] + (point[2 * n] - point[2 * n + 1]) * np.eye(k) for n in range(len(names))]
    start = torch.cat([torch.from_numpy(np.array(matrices)).ravel(), lags])
    full = np.asarray(torch.autograd.functional.hessian(loss, start))
    axes = np.linalg.svd(np.stack([np.eye(k).ravel(), np.ones(k * k)], axis=1))[0]
    inside, transverse = np.kron(np.eye(len(names)), axes[:, :2]), np.kron(np.eye(len(names)), axes[:, 2:])
    size = len(names) * k * k
    others = np.block(
        [[inside, np.zeros((size, len(lags)))], [np.zeros((len(lags), inside.shape[1])), np.eye(len(lags))]]
    )
    rounding = EPS * len(rows) * setting.task.context * float(np.abs(full).max())
    return transverse.T @ full[:size, :size] @ transverse, transverse.T @ full[:size] @ others, rounding


def _plateau(family: str, states: int, context: int, steps: int) -> tuple[Setting, Array]:
    """A setting, and the parameters of its finite-context prediction after `steps`."""
    from onset.simulate.finite_context.dynamics import FiniteContext
    from onset.theory.dynamics.descent import descend

    setting = Setting.of(family, states=states, context=context, optimizer="sgd", steps=steps, record_every=steps)
    predicted = descend(FiniteContext(setting, count=128, held_out=16), setting.training)
    return setting, np.array([curve[-1] for curve in predicted.parameters.values()])


@check(
    "on the plateau, $k = 3$, $T = 25$: transverse second derivatives not negative; none mixes with the subspace or "
    "the lag logits"
)
@one_thread
def _transverse() -> Residual:
    largest = 0.0
    for family, steps in (("linear", 40), ("softmax", 250)):
        setting, point = _plateau(family, 3, 25, steps)
        transverse, mixed, rounding = _hessian(setting, point, 24)
        largest = worst(
            largest, -float(np.linalg.eigvalsh(transverse)[0]) / rounding, float(np.abs(mixed).max()) / rounding
        )
    return Residual(largest, 1.0, "in units of one rounding per token of the largest second derivative")


CHECKS = (_autodiff, _trajectory, _leaves, _transverse)
