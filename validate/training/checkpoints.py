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
from onset.validate.store.files import replacing, set_aside
from onset.validate.store.provenance import RELEASE
from onset.validate.store.runs import UnreadableRun

__all__ = ["Checkpoint"]

FORMAT = 2
"""Version of the file format; version 1 had another stream of mask bits."""


class Checkpoint:
    """The file `path`, of the training of `setting` from `seeds`.

    A file that is damaged, or of another run or another torch, is set aside with a warning that names it, and training starts
    anew. A file of a newer release is refused and stays where it is.
    """

    def __init__(self, path: Path, setting: Setting, seeds: Sequence[int]) -> None:
        self.path = path
        self._run = {
            "setting": setting.id,
            "seeds": json.dumps(list(seeds)),
            "torch": str(torch.__version__),
        }

    def save(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Replace the content of the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = {name: one.contiguous().cpu() for name, one in tensors.items()}
        text = json.dumps(plain)
        head = {"format": str(FORMAT), "release": RELEASE, "plain": text, "sha256": _digest(whole, text)}
        with replacing(self.path) as temporary:
            save_file(whole, temporary, metadata=self._run | head)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and plain data, or None if there is nothing to resume from.

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
                f"checkpoint {self.path} is not resumed from ({type(problem).__name__}: {problem}); set aside as "
                f"{aside.name}, and training starts anew",
                UnreadableRun,
                stacklevel=2,
            )
            return None
        raise ValueError(
            f"checkpoint {self.path} has format {head['format']}, of Onset {head.get('release')}: expected at most "
            f"{FORMAT}, that of this one, {RELEASE}; resume with the release that wrote it, or move the file away."
        )

    def _checked(self, head: dict[str, str], tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Any]]:
        for name, value in (self._run | {"format": str(FORMAT)}).items():
            if head.get(name) != value:
                raise ValueError(f"its {name} is {head.get(name)}, not {value}")
        if head.get("sha256", "") not in ("", _digest(tensors, head["plain"])):
            raise ValueError("its checksum does not match its content")
        return tensors, json.loads(head["plain"])


def _digest(tensors: dict[str, Tensor], plain: str) -> str:
    digest = hashlib.sha256(plain.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {list(tensors[name].shape)}".encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
