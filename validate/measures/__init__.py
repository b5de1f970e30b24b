"""What is measured of models for the claims, one job each.

`public` holds measures of public models; `runs` those of a run in a store: of a model that was trained here, or of a
prediction. Each module holds one measure, whose `measure` gives plain data; it is imported when it is used.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from onset.theory import arguments
from onset.theory.plain_data import plain
from onset.theory.recording import Progress
from onset.validate.store.jobs import RUN_MEASURES
from onset.validate.store.public_models import PublicModel
from onset.validate.store.runs import Record

if TYPE_CHECKING:
    from onset.validate.models.loading import LanguageModel

__all__ = ["PUBLIC_MEASURES", "measure", "measure_run"]

PUBLIC_MEASURES = ("ablation", "circuits", "generality", "pruning", "specificity")
"""Measures of public models by name: modules of `public`."""


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
        Of `PUBLIC_MEASURES`.
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
    module = import_module(f"{__name__}.public.{arguments.one_of('measure', name, PUBLIC_MEASURES)}")
    return plain(module.measure(_loaded(model, device), arguments.seed("seed", seed), progress))


def measure_run(run: Record, name: str) -> dict[str, Any]:
    """Numbers of a run, of the kind that `onset.validate.store.jobs.RUN_MEASURES` says; raises as `measure` does."""
    module = import_module(f"{__name__}.runs.{arguments.one_of('measure', name, RUN_MEASURES).replace('-', '_')}")
    return plain(module.measure(run))


@lru_cache(maxsize=1)
def _loaded(model: PublicModel, device: str) -> LanguageModel:
    from onset.validate.models.loading import load

    if model.problem:
        raise ValueError(f"{model.problem}.")
    return load(model.path, device=device, pickled=model.pickled)
