"""The models that are trained: the two toy families and the transformer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from onset.theory import arguments
from onset.theory.setting import Setting
from onset.validate.models.model import Model
from onset.validate.models.ngram_toy import NgramToy
from onset.validate.models.toy import Toy
from onset.validate.models.transformer import Transformer

__all__ = ["Model", "build", "trained"]

MODELS: dict[str, type[Model]] = {"linear": Toy, "softmax": Toy, "transformer": Transformer}
"""The one place where a trained family is registered."""

HIGHER_ORDER: dict[str, type[Model]] = {"linear": NgramToy, "softmax": NgramToy}
"""Models that replace those of `MODELS` for tasks whose last strategy needs several heads."""


def build(setting: Setting, seed: int = 0) -> Model:
    """A freshly initialised model of the setting's family."""
    torch.manual_seed(arguments.seed("seed", seed))
    models = MODELS if len(setting.task.lags) <= 1 else MODELS | HIGHER_ORDER
    return models[setting.model.family](setting)


def trained(setting: Setting, weights: Mapping[str, NDArray[np.float32]]) -> Model:
    """The model of a setting with the weights that a run file holds (`onset.theory.recording.Trajectory.weights`)."""
    model = build(setting)
    model.load_state_dict({name: torch.from_numpy(values.copy()) for name, values in weights.items()}, strict=False)
    return model
