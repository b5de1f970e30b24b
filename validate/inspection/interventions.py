r"""Interventions on activations: replace, zero or average a head's output, force its pattern, replace a stream.

    with intervene(model, Zero(Head(1, 0)), ForcePattern(Head(0, 0), pattern)):
        logits = model(tokens)

A head is ablated before the output projection, so that biases and other heads keep their contributions. Interventions
act in the order given; those of a nested context act after those around it, so that the innermost prevails. The model
is restored when the context ends, by an exception too. Gradients flow through everything that is not replaced.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from onset.theory import arguments
from onset.validate.inspection.inspectable import Activations, Head, Inspectable

__all__ = ["ForcePattern", "Intervention", "Mean", "Replace", "ReplaceStream", "Zero", "intervene"]


class Intervention(Protocol):
    """A change of one activation of one layer."""

    activation: ClassVar[str]

    def layer_in(self, model: Inspectable) -> int:
        """The layer; ``ValueError`` if the model lacks the layer or the head."""
        ...

    def edit(self, value: Tensor) -> Tensor:
        """The activation that takes the place of `value`."""
        ...


@contextmanager
def intervene(model: Inspectable, *interventions: Intervention) -> Iterator[None]:
    """Every forward pass of the model has the interventions in force while the context is open."""
    with ExitStack() as hooks:
        for intervention in interventions:
            layer = intervention.layer_in(model)
            hooks.enter_context(model.hooked(intervention.activation, layer, intervention.edit))
        yield


@dataclass(frozen=True)
class HeadIntervention:
    """A change of one head's output, or of its pattern."""

    head: Head
    activation: ClassVar[str] = "head_outputs"
    axis: ClassVar[int] = -2

    def layer_in(self, model: Inspectable) -> int:
        layer = arguments.integer("layer", self.head.layer, least=0, most=len(model.heads) - 1)
        arguments.integer("head", self.head.head, least=0, most=model.heads[layer] - 1)
        return layer

    def edit(self, value: Tensor) -> Tensor:
        current = value.select(self.axis, self.head.head)
        return value.select_scatter(self.replacement(current), self.axis, self.head.head)

    def replacement(self, current: Tensor) -> Tensor:
        """The tensor that replaces `current`, the head's activation."""
        raise NotImplementedError


@dataclass(frozen=True)
class Zero(HeadIntervention):
    """The output of a head becomes zero."""

    def replacement(self, current: Tensor) -> Tensor:
        return torch.zeros_like(current)


@dataclass(frozen=True)
class Replace(HeadIntervention):
    """The output of a head becomes `value`, of a shape that broadcasts to (B, T, width of a head)."""

    value: Tensor

    def replacement(self, current: Tensor) -> Tensor:
        return _broadcast("value", self.value, current)


@dataclass(frozen=True)
class Mean(HeadIntervention):
    """The output of a head becomes its mean over the sequences and positions of `reference`.

    The reference holds recorded head outputs; a mean over the sequence at hand would tell about its later tokens.
    """

    reference: Activations

    def replacement(self, current: Tensor) -> Tensor:
        outputs = self.reference.head_outputs[self.head.layer]
        return _broadcast("mean", outputs[:, :, self.head.head].mean(dim=(0, 1)), current)


@dataclass(frozen=True)
class ForcePattern(HeadIntervention):
    """The attention pattern of a head becomes `pattern`, shape (T, T) or (B, T, T), zero above the diagonal."""

    pattern: Tensor
    activation: ClassVar[str] = "patterns"
    axis: ClassVar[int] = -3

    def __post_init__(self) -> None:
        if self.pattern.triu(1).any():
            raise ValueError(
                "pattern attends to later positions: expected zeros above its diagonal; give pattern.tril()."
            )

    def replacement(self, current: Tensor) -> Tensor:
        return _broadcast("pattern", self.pattern, current)


@dataclass(frozen=True)
class ReplaceStream:
    """The residual stream before a layer (after the last, for `layer` = number of layers) becomes `value` (B, T, d)."""

    layer: int
    value: Tensor
    activation: ClassVar[str] = "streams"

    def layer_in(self, model: Inspectable) -> int:
        return arguments.integer("layer", self.layer, least=0, most=len(model.heads))

    def edit(self, value: Tensor) -> Tensor:
        return _broadcast("value", self.value, value)


def _broadcast(name: str, value: Tensor, like: Tensor) -> Tensor:
    """`value` in the shape, type and place of `like`."""
    try:
        return value.to(like).expand_as(like)
    except RuntimeError:
        raise ValueError(
            f"{name} of shape {tuple(value.shape)}: expected a shape that broadcasts to {tuple(like.shape)}, as the "
            "model's has on these tokens."
        ) from None
