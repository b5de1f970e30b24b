"""Checkpoints of training: one safetensors file each, written atomically, with plain data and a SHA-256 of all in its header."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from onset.theory.setting import Setting
from onset.validate.files import replacing, set_aside
from onset.validate.provenance import RELEASE
from onset.validate.runs import UnreadableRun

__all__ = ["Checkpoint"]

FORMAT = 2
"""Format 1 knew another stream of words of dropout."""


class Checkpoint:
    """The file `path`, of the training of `setting` from `seeds`.

    What is damaged, or of another run or another torch, is not gone on from: it is set aside, and training starts anew, with a warning that
    names the file. What a newer release wrote is refused and stays where it is.
    """

    def __init__(self, path: Path, setting: Setting, seeds: Sequence[int]) -> None:
        self.path = path
        self._run = {
            "setting": setting.id,
            "seeds": json.dumps(list(seeds)),
            "torch": str(torch.__version__),
        }

    def save(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Replace what the file holds."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = {name: one.contiguous().cpu() for name, one in tensors.items()}
        told = json.dumps(plain)
        head = {"format": str(FORMAT), "release": RELEASE, "plain": told, "sha256": _digest(whole, told)}
        with replacing(self.path) as temporary:
            save_file(whole, temporary, metadata=self._run | head)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and plain data, or None if there is nothing to go on from.

        Raises
        ------
        ValueError
            If a newer release wrote the file.
        """
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as held:
                head = held.metadata() or {}
                newer = int(head.get("format", 0)) > FORMAT
                tensors = {} if newer else {name: held.get_tensor(name) for name in held.keys()}  # noqa: SIM118
            if not newer:
                return self._checked(head, tensors)
        except (KeyError, OSError, SafetensorError, TypeError, ValueError) as problem:
            aside = set_aside(self.path)
            warnings.warn(
                f"checkpoint {self.path} is not gone on from ({type(problem).__name__}: {problem}); set aside as {aside.name}, and training starts anew",
                UnreadableRun,
                stacklevel=2,
            )
            return None
        raise ValueError(
            f"checkpoint {self.path} has format {head['format']}, of Onset {head.get('release')}: expected at most {FORMAT}, that of this one, {RELEASE}; go on with the release that wrote it, or move the file away."
        )

    def _checked(self, head: dict[str, str], tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Any]]:
        for name, value in (self._run | {"format": str(FORMAT)}).items():
            if head.get(name) != value:
                raise ValueError(f"its {name} is {head.get(name)}, not {value}")
        if head.get("sha256", "") not in ("", _digest(tensors, head["plain"])):
            raise ValueError("its checksum does not match its content")
        return tensors, json.loads(head["plain"])


def _digest(tensors: dict[str, Tensor], plain: str) -> str:
    found = hashlib.sha256(plain.encode())
    for name in sorted(tensors):
        found.update(f"{name} {tensors[name].dtype} {list(tensors[name].shape)}".encode())
        found.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
