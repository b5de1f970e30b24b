"""Checkpoints of training: one safetensors file each, written atomically, with plain data in its header."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from theory.setting import Setting
from validate.files import replacing
from validate.runs import UnreadableRun

__all__ = ["Checkpoint"]

FORMAT = "2"


class Checkpoint:
    """The file `path`, of the training of `setting` from `seeds`.

    What cannot be read, or is of another run or an older torch, is not gone on from: training starts anew, with a warning that names the file.
    """

    def __init__(self, path: Path, setting: Setting, seeds: Sequence[int]) -> None:
        self.path = path
        self._run = {
            "format": FORMAT,
            "setting": setting.id,
            "seeds": json.dumps(list(seeds)),
            "torch": str(torch.__version__),
        }

    def save(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Replace what the file holds."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = {name: one.contiguous().cpu() for name, one in tensors.items()}
        with replacing(self.path) as temporary:
            save_file(whole, temporary, metadata=self._run | {"plain": json.dumps(plain)})

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and plain data, or None if there is nothing to go on from."""
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as held:
                head = held.metadata() or {}
                for name, value in self._run.items():
                    if head.get(name) != value:
                        raise ValueError(f"its {name} is {head.get(name)}, not {value}")
                return {name: held.get_tensor(name) for name in held.keys()}, json.loads(head["plain"])  # noqa: SIM118
        except Exception as problem:  # whatever a damaged file makes the reader raise
            warnings.warn(
                f"checkpoint {self.path} is not gone on from ({type(problem).__name__}: {problem}); training starts anew",
                UnreadableRun,
                stacklevel=2,
            )
            return None

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
