"""Weights of transformers that we trained, from run files and from checkpoints of training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from onset.theory.setting import Setting
from onset.validate.store.runs import Damaged, read

__all__ = ["CHECKPOINT", "RUN", "weights_of"]

RUN, CHECKPOINT = ".nc", ".safetensors"
"""Endings of run files and of checkpoints."""

Weights = Mapping[str, NDArray[np.float32]]


def weights_of(path: Path) -> tuple[Setting, Weights, str]:
    """The setting, the weights, and what they are: seed and step.

    Raises
    ------
    ValueError
        If the file is damaged, of another tool, or holds no weights.
    """
    return _of_run(path) if path.suffix == RUN else _of_checkpoint(path)


def _of_run(path: Path) -> tuple[Setting, Weights, str]:
    try:
        record = read(path)
    except Damaged as problem:
        raise ValueError(f"model {path}: {problem}; expected a run file of onset train.") from problem
    curve = record.trajectories[0] if record.notes.get("kind") == "train" else None
    if curve is None:
        raise ValueError(f"model {path}: it holds a prediction; expected a trained transformer.")
    if not curve.weights:
        why = (
            f"it diverged at step {curve.diverged}"
            if curve.diverged is not None
            else "a toy model has order parameters alone"
            if record.setting.model.architecture is None
            else "an earlier release wrote it; train it again with --fresh"
        )
        raise ValueError(f"model {path}: it holds no weights ({why}); expected a trained transformer.")
    return record.setting, curve.weights, f"seed {record.notes['seed']}, step {curve.steps[-1]:g}"


def _of_checkpoint(path: Path) -> tuple[Setting, Weights, str]:
    try:
        with safe_open(path, framework="np") as file:
            header = file.metadata() or {}
            weights = {
                name.removeprefix("parameter."): file.get_tensor(name)
                for name in file.keys()  # noqa: SIM118
                if name.startswith("parameter.")
            }
            setting, seeds = Setting.from_dict(json.loads(header["description"])), json.loads(header["seeds"])
            step = json.loads(header["plain"])["step"]
    except (KeyError, OSError, SafetensorError, TypeError, ValueError) as problem:
        raise ValueError(
            f"model {path}: not a checkpoint of training of this release ({type(problem).__name__}: {problem}); "
            "expected one, a run file, or the folder of a model of transformers."
        ) from problem
    if len(seeds) > 1:  # stacked
        weights = {name: values[0] for name, values in weights.items()}
    return setting, weights, f"seed {seeds[0]}, step {step}"
