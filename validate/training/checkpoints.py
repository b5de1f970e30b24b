"""Checkpoints of training: a safetensors file, written atomically, with plain data and a checksum in its header."""

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
"""Version of the file format; version 1 drew other mask bits."""


class Checkpoint:
    """The file `path`, of the training of `setting` from `seeds`.

    A file that is damaged, or of another run or another version of torch, is renamed with a warning, and training
    starts again. A file of a newer release is refused and stays where it is.
    """

    def __init__(self, path: Path, setting: Setting, seeds: Sequence[int]) -> None:
        self.path = path
        self._run = {
            "setting": setting.id,
            "seeds": json.dumps(list(seeds)),
            "torch": str(torch.__version__),
        }

    def save(self, tensors: dict[str, Tensor], data: dict[str, Any]) -> None:
        """Replace the content of the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}
        text = json.dumps(data)
        header = {"format": str(FORMAT), "release": RELEASE, "plain": text, "sha256": _checksum(tensors, text)}
        with replacing(self.path) as temporary:
            save_file(tensors, temporary, metadata=self._run | header)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and plain data, or None if there is no checkpoint to resume from.

        Raises
        ------
        ValueError
            If a newer release wrote the file.
        """
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                header = file.metadata() or {}
                newer = int(header.get("format", 0)) > FORMAT
                tensors = {} if newer else {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if not newer:
                return self._checked(header, tensors)
        except (KeyError, OSError, SafetensorError, TypeError, ValueError) as problem:
            renamed = set_aside(self.path)
            warnings.warn(
                f"checkpoint {self.path} is not resumed from ({type(problem).__name__}: {problem}); set aside as "
                f"{renamed.name}, and training starts again",
                UnreadableRun,
                stacklevel=2,
            )
            return None
        raise ValueError(
            f"checkpoint {self.path} has format {header['format']}, of Onset {header.get('release')}: expected at most "
            f"{FORMAT}, the format of Onset {RELEASE}; resume with the release that wrote it, or move the file."
        )

    def _checked(self, header: dict[str, str], tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Any]]:
        for name, value in (self._run | {"format": str(FORMAT)}).items():
            if header.get(name) != value:
                raise ValueError(f"its {name} is {header.get(name)}, not {value}")
        if header.get("sha256", "") not in ("", _checksum(tensors, header["plain"])):
            raise ValueError("its checksum does not match its content")
        return tensors, json.loads(header["plain"])


def _checksum(tensors: dict[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {list(tensors[name].shape)}".encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
