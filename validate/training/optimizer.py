"""Optimiser steps, by the functions behind `torch.optim`, whose classes take a second to import torch's compiler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from onset.theory.setting import Setting
from onset.validate.models import Model

__all__ = ["Optimizer"]


class _Group(NamedTuple):
    """Parameters with one learning rate and one weight decay, and Adam's moments of each."""

    parameters: list[Tensor]
    learning_rate: float
    weight_decay: float
    moments: list[dict[str, Tensor]]


class Optimizer:
    """The optimiser of a setting on the parameters of a model, which may be stacked; frozen parts get no gradients.

    Attributes
    ----------
    parameters : list of tensor
        Those that are trained.
    state : list of dict of str to tensor
        Adam's moments and steps of each of `parameters`, named as `torch.optim` names them; empty for SGD.
    """

    def __init__(self, model: Model, parameters: Mapping[str, Tensor], setting: Setting) -> None:
        self._choice = choice = setting.training.optimizer
        decayed = model.decayed() if choice.weight_decay else set()
        groups: dict[tuple[str, bool], list[Tensor]] = {}
        for name, parameter in parameters.items():
            frozen = model.part(name) in setting.training.frozen
            parameter.requires_grad_(not frozen)
            if not frozen:
                groups.setdefault((model.group(name), name in decayed), []).append(parameter)
        self._groups = [
            _Group(
                group,
                choice.learning_rate[rate],
                choice.weight_decay if decays else 0.0,
                [] if choice.name == "sgd" else list(map(self._moments, group)),
            )
            for (rate, decays), group in groups.items()
        ]
        self.parameters = [parameter for group in self._groups for parameter in group.parameters]
        self.state = [moments for group in self._groups for moments in group.moments]

    @staticmethod
    def _moments(parameter: Tensor) -> dict[str, Tensor]:
        step = torch.zeros((), dtype=torch.float32, device=parameter.device)
        return {"step": step, "exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}

    def clear_gradients(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Take one step along the gradients."""
        choice = self._choice
        for group in self._groups:
            gradients = [cast(Tensor, parameter.grad) for parameter in group.parameters]
            common = {"lr": group.learning_rate, "weight_decay": group.weight_decay, "maximize": False, "fused": True}
            if choice.name == "sgd":
                plain = {"momentum": 0.0, "dampening": 0.0, "nesterov": False}
                sgd(group.parameters, gradients, [None for _ in gradients], **common, **plain)
                continue
            averages, squares, steps = (
                [moments[name] for moments in group.moments] for name in ("exp_avg", "exp_avg_sq", "step")
            )
            rates = {"beta1": choice.betas[0], "beta2": choice.betas[1], "eps": choice.epsilon, "amsgrad": False}
            update = adamw if choice.name == "adamw" else adam
            update(group.parameters, gradients, averages, squares, [], steps, **common, **rates)
