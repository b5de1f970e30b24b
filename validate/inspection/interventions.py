r"""Interventions on activations: replace, zero, average or resample a head's output, force patterns, replace a stream.

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

__all__ = [
    "ForcePattern",
    "ForcePatterns",
    "Intervention",
    "Mean",
    "Replace",
    "ReplaceScores",
    "ReplaceStream",
    "Resample",
    "Zero",
    "ZeroFeedForward",
    "intervene",
    "preserved_patterns",
]


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
class Resample(HeadIntervention):
    """The output of a head becomes what it is on other sequences of the same shape, recorded in `other`."""

    other: Activations

    def replacement(self, current: Tensor) -> Tensor:
        return _broadcast("output", self.other.head_outputs[self.head.layer][:, :, self.head.head], current)


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
class ReplaceScores(HeadIntervention):
    """The attention scores of a head become `scores`, shape (T, T) or (B, T, T); later positions stay hidden."""

    scores: Tensor
    activation: ClassVar[str] = "scores"
    axis: ClassVar[int] = -3

    def replacement(self, current: Tensor) -> Tensor:
        return _broadcast("scores", self.scores, current).masked_fill(_later(current), -torch.inf)


@dataclass(frozen=True)
class LayerIntervention:
    """An activation of a whole layer becomes `value`."""

    layer: int
    value: Tensor
    activation: ClassVar[str]

    def layer_in(self, model: Inspectable) -> int:
        return arguments.integer("layer", self.layer, least=0, most=len(model.heads) - 1)

    def edit(self, value: Tensor) -> Tensor:
        return _broadcast("value", self.value, value)


@dataclass(frozen=True)
class ForcePatterns(LayerIntervention):
    """The attention patterns of all heads of a layer become `value`, shape (B, H, T, T)."""

    activation: ClassVar[str] = "patterns"


@dataclass(frozen=True)
class ReplaceStream(LayerIntervention):
    """The residual stream before a layer (after the last, for `layer` = number of layers) becomes `value` (B, T, d)."""

    activation: ClassVar[str] = "streams"

    def layer_in(self, model: Inspectable) -> int:
        return arguments.integer("layer", self.layer, least=0, most=len(model.heads))


@dataclass(frozen=True)
class ZeroFeedForward:
    """What a layer's feed-forward block adds to the residual stream becomes zero."""

    layer: int
    activation: ClassVar[str] = "feed_forwards"

    def layer_in(self, model: Inspectable) -> int:
        if self.layer not in model.feed_forward_layers:
            raise ValueError(
                f"layer = {arguments.shown(self.layer)}: expected one with a feed-forward block, of "
                f"{arguments.shown(list(model.feed_forward_layers))}."
            )
        return self.layer

    def edit(self, value: Tensor) -> Tensor:
        return torch.zeros_like(value)


def preserved_patterns(activations: Activations) -> tuple[ForcePatterns, ...]:
    """Interventions that force all patterns as recorded, so that others change values alone."""
    return tuple(ForcePatterns(layer, pattern) for layer, pattern in enumerate(activations.patterns))


def _later(scores: Tensor) -> Tensor:
    """Which sources (T, T) a query may not attend to."""
    return torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)


def _broadcast(name: str, value: Tensor, like: Tensor) -> Tensor:
    """`value` in the shape, type and place of `like`."""
    try:
        return value.to(like).expand_as(like)
    except RuntimeError:
        raise ValueError(
            f"{name} of shape {tuple(value.shape)}: expected a shape that broadcasts to {tuple(like.shape)}, as the "
            "model's has on these tokens."
        ) from None
