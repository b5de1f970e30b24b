"""Whether seeds of a setting train faster as one batched model than one by one, measured on the training device."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from onset.theory.setting import Setting

if TYPE_CHECKING:
    import torch

__all__ = ["MOST_SEEDS", "pays"]

MOST_SEEDS = 16
"""Most seeds trained together."""

WARM_UP, TIMED = 3, 10
"""Optimiser steps before the measurement, in which kernels are chosen, and steps that are timed."""


def pays(setting: Setting, seeds: int, device: torch.device) -> bool:
    """Whether `seeds` models train faster together; never on a CPU, where seeds run side by side, one per core."""
    if seeds == 1 or device.type == "cpu":
        return False
    return _seconds(setting, seeds, device) < seeds * _seconds(setting, 1, device)


def _seconds(setting: Setting, seeds: int, device: torch.device) -> float:
    """Seconds of `TIMED` optimiser steps."""
    import torch

    from onset.validate.training import TrainingRun

    run = TrainingRun(setting, range(seeds), device)
    wait = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}.get(device.type, lambda: None)
    for count in (WARM_UP, TIMED):
        started = time.perf_counter()
        for _ in range(count):
            run.advance()
        wait()
    return time.perf_counter() - started
