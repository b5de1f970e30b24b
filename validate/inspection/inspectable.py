r"""The protocol of causal language models whose activations can be read and replaced, and their record.

With the residual stream x (B, T, d) before a layer, its head h computes, for s ≤ t,

    scores         S_ts = q_t·k_s + terms that do not depend on x_s, shape (B, H, T, T), -∞ where s > t
    pattern        A_ts, the softmax of S_ts over s, shape (B, H, T, T)
    head output    o_t = Σ_s A_ts v_s, shape (B, T, H, width of a head), before the output projection.

The heads of a layer together add Σ_h o^h W_O^h to the stream, up to a constant; its feed-forward block, if it has one,
adds its output (B, T, d). Layers and heads are counted from 0, as
in "L18H6" (`Head`); run files label them from 1.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from onset.theory import arguments

__all__ = [
    "ACTIVATIONS",
    "Activations",
    "Head",
    "HeadWeights",
    "Inspectable",
    "PassEnded",
    "by_layer",
    "last_stream",
    "record",
]

ACTIVATIONS = ("streams", "scores", "patterns", "head_outputs", "feed_forwards", "logits")
"""Activations that can be recorded; all but the logits can be replaced."""


class Head(NamedTuple):
    """An attention head; layer and head are counted from 0."""

    layer: int
    head: int

    def __str__(self) -> str:
        return f"L{self.layer}H{self.head}"


class HeadWeights(NamedTuple):
    """Linear maps of the H heads of a layer; grouped keys and values are repeated for each head.

    Attributes
    ----------
    query, key, value : tensor, shape (H, d, width of a head)
        Applied to the normalised residual stream from the right; biases and the scale of the scores are left out.
    output : tensor, shape (H, width of a head, d)
        Applied to the head output from the right.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    output: Tensor


@runtime_checkable
class Inspectable(Protocol):
    """A causal language model whose activations can be read and replaced."""

    @property
    def heads(self) -> tuple[int, ...]:
        """Number of heads of each layer."""
        ...

    @property
    def feed_forward_layers(self) -> tuple[int, ...]:
        """Layers that have a feed-forward block."""
        ...

    @property
    def embedding_matrix(self) -> Tensor:
        """Embedding of each token of the vocabulary, without positions, shape (vocabulary, d)."""
        ...

    @property
    def unembedding_matrix(self) -> Tensor:
        """Weights from the normalised residual stream to the logits, shape (vocabulary, d)."""
        ...

    def output_weights(self, layer: int) -> Tensor:
        """Linear maps (H, width of a head, d) from the head outputs of a layer to the residual stream."""
        ...

    def head_weights(self, layer: int) -> HeadWeights:
        """All linear maps of the heads of a layer; a ``ValueError`` if queries or keys are not linear in the stream."""
        ...

    def __call__(self, tokens: Tensor) -> Tensor:
        """Next-token logits (B, T, vocabulary) of tokens (B, T)."""
        ...

    def unembed(self, stream: Tensor) -> Tensor:
        """Logits of the residual stream (B, T, d) after the last layer: norm and unembedding."""
        ...

    def normalise(self, stream: Tensor) -> Tensor:
        """What `unembedding_matrix` is applied to, of the residual stream (B, T, d) after the last layer: its norm."""
        ...

    def run_from(self, stream: Tensor, layer: int) -> Tensor:
        """Logits of the residual stream (B, T, d) before a layer: that layer, those after it, and `unembed`."""
        ...

    def queries_keys_values(self, stream: Tensor, layer: int) -> tuple[Tensor, Tensor, Tensor]:
        """q, k and v, each (B, T, H, width of a head), of the residual stream (B, T, d) before the layer."""
        ...

    def hooked(
        self, activation: str, layer: int, function: Callable[[Tensor], Tensor | None]
    ) -> AbstractContextManager[None]:
        """Call `function` on an activation of each forward pass while the context is open.

        Parameters
        ----------
        activation : str
            One of `ACTIVATIONS` but the logits.
        layer : int
            "streams" have one entry more than there are layers: the residual stream after the last. "feed_forwards"
            are those of `feed_forward_layers`.
        function : callable
            Returns the tensor that replaces the activation, or None to leave it. Functions of nested contexts are
            called from the outermost to the innermost. Those that raise an exception end the pass, and the context.
        """
        ...


@dataclass(frozen=True)
class Activations:
    """Recorded activations of one forward pass; lists are empty and `logits` is None where not recorded.

    Attributes
    ----------
    tokens : tensor, shape (B, T)
    streams : list of tensor, shape (B, T, d)
        Residual stream before each layer and after the last.
    scores, patterns : list of tensor, shape (B, H, T, T)
        Attention of each layer before and after its softmax; scores are -∞ above the diagonal.
    head_outputs : list of tensor, shape (B, T, H, width of a head)
        Output of each layer's heads before the output projection.
    feed_forwards : list of tensor, shape (B, T, d)
        What each feed-forward block adds to the stream, in the order of `Inspectable.feed_forward_layers`.
    logits : tensor, shape (B, T, vocabulary), optional
    """

    tokens: Tensor
    streams: list[Tensor] = field(default_factory=list)
    scores: list[Tensor] = field(default_factory=list)
    patterns: list[Tensor] = field(default_factory=list)
    head_outputs: list[Tensor] = field(default_factory=list)
    feed_forwards: list[Tensor] = field(default_factory=list)
    logits: Tensor | None = None


@torch.no_grad()
def record(model: Inspectable, tokens: Tensor, *names: str) -> Activations:
    """Run the model on tokens (B, T) and return the activations `names`, which must be among `ACTIVATIONS`.

    Interventions that are in force act on what is recorded.
    """
    for name in names:
        arguments.one_of("activation", name, ACTIVATIONS)
    recorded: dict[str, list[Tensor]] = {name: [] for name in names if name != "logits"}
    logits: Tensor | None = None
    with ExitStack() as hooks:
        for name, tensors in recorded.items():
            layers = range(len(model.heads) + (name == "streams"))
            for layer in model.feed_forward_layers if name == "feed_forwards" else layers:
                hooks.enter_context(model.hooked(name, layer, tensors.append))
        if "logits" in names:
            logits = model(tokens)
        else:
            last_stream(model, tokens)
    return Activations(tokens, **recorded, logits=logits)


class PassEnded(Exception):
    """Ends a forward pass at its last stream."""


def last_stream(model: Inspectable, tokens: Tensor) -> Tensor:
    """Residual stream (B, T, d) after the last layer on tokens (B, T); no logits are computed."""

    def end(stream: Tensor) -> None:
        raise PassEnded(stream)

    try:
        with model.hooked("streams", len(model.heads), end):
            model(tokens)
    except PassEnded as last:
        return last.args[0]
    raise AssertionError("the model has no last stream")


def by_layer(heads: list[Tensor]) -> Tensor:
    """Tensors (H, …) of the heads of each layer as one, (layers, largest H, …), NaN where a layer has fewer heads."""
    return pad_sequence(heads, batch_first=True, padding_value=torch.nan)
