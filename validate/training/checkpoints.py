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

__all__ = ["load_checkpoint", "save_checkpoint"]

FORMAT = 2
"""Version of the file format; version 1 drew other mask bits."""


def _identity(setting: Setting, seeds: Sequence[int]) -> dict[str, str]:
    """Header of the checkpoints that a run may resume from."""
    torch_version = str(torch.__version__)
    return {"setting": setting.id, "seeds": json.dumps(list(seeds)), "torch": torch_version, "format": str(FORMAT)}


def save_checkpoint(
    path: Path, setting: Setting, seeds: Sequence[int], tensors: dict[str, Tensor], data: dict[str, Any]
) -> None:
    """Replace the content of `path` by tensors and plain data of the training of `setting` from `seeds`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}
    text = json.dumps(data)
    content = {"release": RELEASE, "plain": text, "sha256": _checksum(tensors, text)}
    content["description"] = json.dumps(setting.to_dict())
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata=_identity(setting, seeds) | content)


def load_checkpoint(
    path: Path, setting: Setting, seeds: Sequence[int]
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and plain data of a checkpoint, or None if `setting` and `seeds` cannot resume from it.

    A file that is damaged, or of another run or another version of torch, is renamed with a warning.

    Raises
    ------
    ValueError
        If a newer release wrote the file, which stays where it is.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if int(header.get("format", 0)) <= FORMAT:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                for name, value in _identity(setting, seeds).items():
                    if header.get(name) != value:
                        raise ValueError(f"its {name} is {header.get(name)}, not {value}")
                if header.get("sha256", "") not in ("", _checksum(tensors, header["plain"])):
                    raise ValueError("its checksum does not match its content")
                return tensors, json.loads(header["plain"])
    except (KeyError, OSError, SafetensorError, TypeError, ValueError) as problem:
        renamed = set_aside(path)
        warnings.warn(
            f"checkpoint {path} is not resumed from ({type(problem).__name__}: {problem}); set aside as "
            f"{renamed.name}, and training starts again",
            UnreadableRun,
            stacklevel=2,
        )
        return None
    raise ValueError(
        f"checkpoint {path} has format {header['format']}, of Onset {header.get('release')}: expected at most "
        f"{FORMAT}, the format of Onset {RELEASE}; resume with the release that wrote it, or move the file."
    )


def _checksum(tensors: dict[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {list(tensors[name].shape)}".encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
