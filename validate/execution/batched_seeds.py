"""Whether seeds of a setting train faster as one batched model than one after the other: measured, on the device that trains."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from onset.theory.setting import Setting

if TYPE_CHECKING:
    import torch

__all__ = ["LARGEST", "pays"]

LARGEST = 16
"""Seeds that are at most trained together."""

WARM, STEPS = 3, 10
"""Steps that are not timed, for kernels to be chosen, and steps that are."""


def pays(setting: Setting, seeds: int, device: torch.device) -> bool:
    """Whether `seeds` models train faster together. On a CPU they do not: seeds run side by side there, one per core."""
    if seeds == 1 or device.type == "cpu":
        return False
    return _seconds(setting, seeds, device) < seeds * _seconds(setting, 1, device)


def _seconds(setting: Setting, seeds: int, device: torch.device) -> float:
    """Seconds of `STEPS` optimiser steps."""
    import torch

    from onset.validate.training import TrainingRun

    run = TrainingRun(setting, range(seeds), device)
    wait = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}.get(device.type, lambda: None)
    for count in (WARM, STEPS):
        started = time.perf_counter()
        for _ in range(count):
            run.advance()
        wait()
    return time.perf_counter() - started
