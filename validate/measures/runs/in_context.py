"""When the in-context-learning score of a toy makes half of its way, as a prediction of the toy has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from onset.theory.arrays import Array
from onset.theory.recording import Trajectory
from onset.theory.setting import Setting
from onset.validate.inspection.formation import halfway
from onset.validate.inspection.in_context import in_context_scores
from onset.validate.models import Model, build
from onset.validate.store.runs import Record
from onset.validate.training.held_out import HeldOutSequences

__all__ = ["measure", "predicted_scores"]

GROUPS = 8
"""Groups of held-out chains, whose spread is the error of a predicted score."""


def measure(run: Record) -> dict[str, Any]:
    """`halfway`: the step, for each predicted curve and group of chains."""
    curves = run.trajectories
    steps = [[halfway(c.steps, score) for score in predicted_scores(run.setting, c)] for c in curves]
    return {"halfway": steps}


def predicted_scores(setting: Setting, curve: Trajectory) -> Array:
    """In-context-learning scores of a toy at each record of a predicted curve, shape (groups, records), from its match,
    read-out and lag logits on groups of fresh chains, the next token averaged out."""
    sequences = HeldOutSequences(setting.task, np.random.default_rng(0), torch.device("cpu"))
    model, rows = build(setting), []
    for place in range(len(curve.steps)):
        _set_order_parameters(model, {name: float(values[place]) for name, values in curve.parameters.items()})
        with torch.no_grad():
            losses = sequences.cross_entropies(model)[-1].double().numpy()
        rows.append(losses.reshape(GROUPS, -1, losses.shape[-1]).mean(axis=1))
    return in_context_scores(np.stack(rows, axis=1))


def _set_order_parameters(model: Model, values: Mapping[str, float]) -> None:
    """Matrices with the given entries on and off their diagonals; lag logits that are not given are zero."""
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            given = [value for key, value in values.items() if key.startswith(f"{name}.")]
            entries = np.pad(given, (0, len(parameter) - len(given)))
        else:
            diagonal = np.eye(len(parameter), dtype=bool)
            entries = np.where(diagonal, values[f"{name}.diagonal"], values[f"{name}.off_diagonal"])
        parameter.data = torch.from_numpy(entries).to(parameter)
