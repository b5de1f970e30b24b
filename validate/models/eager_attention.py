r"""Attention of Hugging Face models, computed in the open: `transformers` calls it in place of its own.

It is registered there under the name `NAME`. For queries q, keys k and values v it computes what "eager" does,

    scores        S = q·k · scaling, capped by c tanh(S/c) where the model asks for it, plus its mask
    pattern       A = softmax of S in single precision; learned sinks take their share of it and are then left out
    head output   o = A v,

and lets functions see and replace each of these on the way (`Site`). Fused kernels (sdpa, flash) never form S and A.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

__all__ = ["ADAPTORS", "NAME", "Site", "adapt", "attend", "calling_modules", "install", "site_of"]

NAME = "onset"
"""Name of this attention among those of `transformers`."""

Function = Callable[[Any], Any]


class Site:
    """An attention module, and the functions that are called on what it computes.

    Attributes
    ----------
    scaling : float
        Factor of the scores in the last forward pass.
    """

    def __init__(self) -> None:
        self.scaling = 1.0
        self._functions: dict[str, list[Function]] = {}

    @contextmanager
    def calling(self, activation: str, function: Function) -> Iterator[None]:
        """Call `function` on an activation: "queries_keys_values" (a triple), "scores", "patterns" or "head_outputs".

        It returns what takes the activation's place, or None to leave it.
        """
        functions = self._functions.setdefault(activation, [])
        functions.append(function)
        try:
            yield
        finally:
            functions.remove(function)

    def seen(self, activation: str, value: Any) -> Any:
        """The activation after all functions."""
        for function in self._functions.get(activation, ()):
            replaced = function(value)
            value = value if replaced is None else replaced
        return value


_SITES: WeakKeyDictionary[nn.Module, Site] = WeakKeyDictionary()
_CALLED: list[list[nn.Module]] = []


def site_of(module: nn.Module) -> Site:
    """The site of an attention module."""
    if module not in _SITES:
        _SITES[module] = Site()
    return _SITES[module]


@contextmanager
def calling_modules() -> Iterator[list[nn.Module]]:
    """The modules that call `attend` while the context is open, in the order of the calls."""
    called: list[nn.Module] = []
    _CALLED.append(called)
    try:
        yield called
    finally:
        _CALLED.remove(called)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """Output (B, T, H, width) and pattern (B, H, T, T) of an attention module; grouped keys are repeated for each head.

    Parameters
    ----------
    query, key, value : tensor, shape (B, H or groups, T, width)
    attention_mask : tensor, shape (B, 1, T, T), optional
        Added to the scores; by default causal, unless the module says that it is not.
    scaling, softcap, s_aux
        Factor of the scores, by default 1/√width; their cap c; the logit of each head's sink, shape (H,).
    """
    for called in _CALLED:
        called.append(module)
    site = site_of(module)
    site.scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    query, key, value = site.seen("queries_keys_values", (query * site.scaling, key, value))
    scores = query @ key.mT
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    length = scores.shape[-1]
    if attention_mask is None:
        hidden = torch.ones(length, length, dtype=torch.bool, device=scores.device).triu(1)
        hidden &= getattr(module, "is_causal", True)
    else:
        attention_mask = attention_mask[..., :length]
        hidden = attention_mask <= torch.finfo(attention_mask.dtype).min / 2
        scores = scores + attention_mask.masked_fill(hidden, 0.0)
    scores = site.seen("scores", scores.masked_fill(hidden, -torch.inf))
    logits = (
        scores if s_aux is None else torch.cat([scores, s_aux.reshape(1, -1, 1, 1).expand(*scores.shape[:3], 1)], -1)
    )
    pattern = logits.softmax(dim=-1, dtype=torch.float32)[..., :length].to(value.dtype)
    pattern = site.seen("patterns", pattern)
    return site.seen("head_outputs", (pattern @ value).transpose(1, 2).contiguous()), pattern


@cache
def install() -> None:
    """Make `attend` known to `transformers`, with masks in its additive form."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, eager_mask)


ADAPTORS: dict[str, Callable[[nn.Module], None]] = {}
"""Functions that make an attention module use `attend` where its architecture does not ask `transformers` for one, by
the name of the module's class."""


def adapt(name: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Decorator of a function that makes modules of the class called `name` use `attend`."""

    def register(function: Callable[[Any], None]) -> Callable[[Any], None]:
        ADAPTORS[name] = function
        return function

    return register


@adapt("GPTNeoSelfAttention")
def _gpt_neo(module: Any) -> None:
    """Scores are not scaled; a local layer hides what lies further back than its window."""

    def attention(query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None = None):
        length = query.shape[-2]
        hidden = ~module.bias[:, :, :length, :length]
        mask = torch.zeros(1, device=query.device) if attention_mask is None else attention_mask
        mask = mask.masked_fill(hidden, torch.finfo(mask.dtype).min)
        output, pattern = attend(module, query.float(), key.float(), value, mask, scaling=1.0)
        return output.transpose(1, 2), pattern

    module._attn = attention
