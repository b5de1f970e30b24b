"""What is measured of public models for the claims, one job each: a function from a model and a seed to numbers.

Each module holds one measure; its `measure` gives plain data. Measures are imported when they are used.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from onset.theory import arguments
from onset.theory.plain_data import plain
from onset.theory.recording import Progress
from onset.validate.store.public_models import PublicModel

if TYPE_CHECKING:
    from onset.validate.models.loading import LanguageModel

__all__ = ["MEASURES", "measure"]

MEASURES = ("ablation", "circuits", "generality", "pruning", "specificity")
"""Measures by name: modules of this package."""


def measure(
    model: PublicModel,
    name: str,
    seed: int = 0,
    *,
    device: str = "auto",
    progress: Progress = lambda step, steps: None,
) -> dict[str, Any]:
    """Numbers of a public model.

    Parameters
    ----------
    model : PublicModel
    name : str
        Of `MEASURES`.
    seed : int
        Of sequences, examples and random orders.
    device : str
        One of `onset.validate.training.DEVICES`.
    progress : callable
        Called with the parts done and in total.

    Raises
    ------
    ValueError
        If there is no such measure, or the model is not there.
    """
    module = import_module(f"{__name__}.{arguments.one_of('measure', name, MEASURES)}")
    return plain(module.measure(_loaded(model, device), arguments.seed("seed", seed), progress))


@lru_cache(maxsize=1)
def _loaded(model: PublicModel, device: str) -> LanguageModel:
    from onset.validate.models.loading import load

    if model.problem:
        raise ValueError(f"{model.problem}.")
    return load(model.path, device=device, pickled=model.pickled)
