"""Training of models on fresh sequences of a task, with measurements on held-out ones."""

from __future__ import annotations

from onset.validate.training.held_out import HELD_OUT
from onset.validate.training.loop import DEVICES, TrainingRun, resolve_device, train, train_together

__all__ = ["DEVICES", "HELD_OUT", "TrainingRun", "resolve_device", "train", "train_together"]
