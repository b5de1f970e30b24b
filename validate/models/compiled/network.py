"""The transformer's loss with its gradients, and its logits, by compiled kernels: on a CPU, in single precision.

Channels of each head and of the model are padded with zeros to whole tiles for the kernels, and cut off afterwards.
Nothing but the buffers is kept from one call to the next.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from onset.theory.architecture import Architecture
from onset.validate.models.compiled import attention, embedding_and_head
from onset.validate.models.compiled.attention import POSITION_GROUPS, DropoutBits, LayerActivations, LayerWeights
from onset.validate.models.compiled.embedding_and_head import OutputLayer
from onset.validate.models.compiled.layout import chunk_count, padded, row_start
from onset.validate.models.dropout import scale, threshold

__all__ = ["logits", "loss_and_gradients"]


def loss_and_gradients(
    shape: Architecture, parameters: Mapping[str, Tensor], tokens: Tensor, mask_bits: Sequence[Tensor] = ()
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean cross-entropy of the next token and its gradients by name.

    Tensors may have a leading dimension for S models.

    Parameters
    ----------
    shape : Architecture
    parameters : mapping of str to tensor
        Of `onset.validate.models.transformer.Transformer`, by name.
    tokens : tensor, shape (B, T + 1)
    mask_bits : sequence of tensor
        Dropout mask bits in the order of ``Transformer.sites``; empty without dropout.
    """
    loss, gradients = _Network(shape, parameters, tokens, mask_bits).loss()
    first = 0 if tokens.ndim == 2 else slice(None)
    return torch.from_numpy(loss)[first], {
        name: torch.from_numpy(np.ascontiguousarray(gradients[name]))[first] for name in parameters
    }


def logits(
    shape: Architecture, parameters: Mapping[str, Tensor], tokens: Tensor, mask_bits: Sequence[Tensor] = ()
) -> Tensor:
    """Next-token logits (B, T, k) of tokens (B, T); other arguments as in `loss_and_gradients`."""
    return torch.from_numpy(_Network(shape, parameters, tokens, mask_bits).logits()[0])


class _Buffers(NamedTuple):
    """Residual streams before each layer and after the last, activations, and the gradients of both."""

    streams: list[np.ndarray]
    saved: list[LayerActivations]
    grad_saved: list[LayerActivations]
    grad_streams: list[np.ndarray]


@lru_cache(maxsize=4)
def _buffers(thread: int, seeds: int, batch: int, length: int, width: int, heads: tuple[int, ...]) -> _Buffers:
    """Buffers of passes of one shape, reused within a thread: allocating them takes as long as computing."""

    def activations(number: int) -> LayerActivations:
        inner = number * padded(width // number)
        sizes = (length, width), (length,), (length, 3 * inner), (number, row_start(length)), (length, inner)
        return LayerActivations(*(np.empty((seeds, batch, *size), np.float32) for size in sizes))

    x = [np.empty((seeds, batch, length, width), np.float32) for _ in range(len(heads) + 3)]
    shared = {number: activations(number) for number in set(heads)}
    return _Buffers(x[:-2], [activations(number) for number in heads], [shared[number] for number in heads], x[-2:])


class _Network:
    """One pass through the network, of S seeds if tensors have that leading dimension, or of one."""

    def __init__(
        self, shape: Architecture, parameters: Mapping[str, Tensor], tokens: Tensor, mask_bits: Sequence[Tensor]
    ) -> None:
        leading = None if tokens.ndim == 2 else slice(None)

        def array(tensor: Tensor) -> np.ndarray:
            return tensor.detach().contiguous().numpy()[leading]

        self.shape, self.tokens = shape, array(tokens)
        self.parameters = {name: array(parameter) for name, parameter in parameters.items()}
        self.mask_bits = map(array, mask_bits)
        self.dropout = np.int16(threshold(shape.dropout)), np.float32(scale(shape.dropout))

    def forward(self, tokens: np.ndarray) -> None:
        """All but the head."""
        parameters, (seeds, batch, length) = self.parameters, tokens.shape
        embedding = parameters["embedding.weight"]
        states, width = embedding.shape[1:]
        self.buffers = _buffers(threading.get_ident(), seeds, batch, length, width, self.shape.heads_of)
        streams = self.buffers.streams

        def next_bits(*shape: int) -> np.ndarray:
            return next(self.mask_bits, np.empty((*shape, 0), np.int16))

        self.embedding_bits = next_bits(seeds, batch, length)
        positions = parameters.get("positions", np.empty((seeds, length, 0), np.float32))
        self.positions = np.ascontiguousarray(positions[:, :length])
        embedding_and_head.embed(tokens, embedding, self.positions, self.embedding_bits, *self.dropout, streams[0])
        self.layers = []
        for n, heads in enumerate(self.shape.heads_of):
            weights, transposed = self._layer_weights(n, heads, length)
            packed = seeds, heads, row_start(length)
            offset_bits = next_bits(*packed) if weights.offsets.size else np.empty((*packed, 0), np.int16)
            bits = DropoutBits(
                offset_bits, next_bits(seeds, batch, heads), next_bits(seeds, batch, length), *self.dropout
            )
            attention.forward(streams[n], weights, bits, self.buffers.saved[n], streams[n + 1])
            self.layers.append((weights, transposed, bits))
        output = _zero_padded(parameters.get("head.weight", embedding), (seeds, states, padded(width)))
        self.head = OutputLayer(self._norm(""), output)

    def logits(self) -> np.ndarray:
        self.forward(self.tokens)
        out = np.empty((*self.tokens.shape, self.head.weights.shape[1]), np.float32)
        embedding_and_head.logits(self.buffers.streams[-1], self.head, out)
        return out

    def loss(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Loss of each seed and its gradients by name."""
        tokens, targets = (np.ascontiguousarray(self.tokens[..., part]) for part in (slice(-1), slice(1, None)))
        self.forward(tokens)
        seeds, batch, length = tokens.shape
        chunks = seeds * chunk_count(batch)

        def zeros_like(array: np.ndarray, count: int = chunks) -> np.ndarray:
            return np.zeros((count, *array.shape[1:]), np.float32)

        def total(array: np.ndarray) -> np.ndarray:
            return array.reshape(seeds, len(array) // seeds, *array.shape[1:]).sum(axis=1)

        buffers, parameters = self.buffers, self.parameters
        sums, (grad_y, grad_x) = np.zeros(chunks), buffers.grad_streams
        grad_head = OutputLayer(*map(zeros_like, self.head))
        embedding_and_head.losses(buffers.streams[-1], targets, self.head, sums, grad_y, grad_head)
        width = grad_y.shape[-1]
        gradients = self._norm_gradients("", total(grad_head.norm))
        for n in reversed(range(len(self.layers))):
            weights, transposed, bits = self.layers[n]
            saved, grad_saved = buffers.saved[n], buffers.grad_saved[n]
            grads = LayerWeights(*map(zeros_like, transposed))
            grads = grads._replace(offsets=zeros_like(weights.offsets, seeds * POSITION_GROUPS))
            attention.backward(buffers.streams[n], weights, transposed, bits, saved, grad_y, grad_saved, grad_x, grads)
            gradients |= self._layer_gradients(n, LayerWeights(*map(total, grads)))
            grad_y, grad_x = grad_x, grad_y
        grad_embedding, grad_positions = zeros_like(parameters["embedding.weight"]), zeros_like(self.positions)
        embedding_and_head.embed_backward(
            tokens, self.embedding_bits, *self.dropout, grad_y, grad_embedding, grad_positions
        )
        gradients["embedding.weight"] = total(grad_embedding)
        grad_output = total(grad_head.weights)[..., :width]
        if "head.weight" in parameters:
            gradients["head.weight"] = grad_output
        else:
            gradients["embedding.weight"] += grad_output
        if "positions" in parameters:
            gradients["positions"] = _zero_padded(total(grad_positions), parameters["positions"].shape)
        return (total(sums) / (batch * length)).astype(np.float32), gradients

    def _norm(self, prefix: str) -> np.ndarray:
        """Scale and shift (S, 2, D), empty without a norm."""
        if f"{prefix}norm.weight" not in self.parameters:
            return np.empty((len(self.tokens), 2, 0), np.float32)
        return np.stack([self.parameters[f"{prefix}norm.weight"], self.parameters[f"{prefix}norm.bias"]], axis=1)

    @staticmethod
    def _norm_gradients(prefix: str, grad: np.ndarray) -> dict[str, np.ndarray]:
        return {f"{prefix}norm.weight": grad[:, 0], f"{prefix}norm.bias": grad[:, 1]} if grad.size else {}

    def _layer_weights(self, n: int, heads: int, length: int) -> tuple[LayerWeights, LayerWeights]:
        """Weights of layer n for the forward pass, and with `qkv` and `projection` transposed for the backward pass."""
        parameters, prefix = self.parameters, f"layers.{n}.attention."
        projection = parameters[f"{prefix}projection.weight"]
        seeds, _, width = projection.shape
        head_width = width // heads
        inner, wide = padded(head_width), padded(width)
        qkv = parameters[f"{prefix}query_key_value.weight"].reshape(seeds, 3, heads, head_width, width)
        qkv = _zero_padded(qkv, (seeds, 3, heads, inner, wide))
        qkv[:, 0] /= np.float32(math.sqrt(head_width))
        qkv = qkv.reshape(seeds, -1, wide)
        by_head = projection.reshape(seeds, width, heads, head_width)
        transposed_projection = _zero_padded(by_head, (seeds, width, heads, inner)).reshape(seeds, width, -1)
        offsets = parameters.get(f"{prefix}offsets", np.empty((seeds, heads, length, 0), np.float32))[:, :, :length]
        if offsets.size:
            offsets = _zero_padded(offsets, (seeds, heads, length, inner))
        bias = parameters.get(f"{prefix}bias", np.empty((seeds, heads, 0), np.float32))[:, :, :length]
        transposed = LayerWeights(self._norm(prefix), qkv, transposed_projection, offsets, np.ascontiguousarray(bias))
        weights = transposed._replace(
            qkv=np.ascontiguousarray(qkv[..., :width].transpose(0, 2, 1)),
            projection=_zero_padded(transposed_projection.transpose(0, 2, 1), (seeds, heads * inner, wide)),
        )
        return weights, transposed

    def _layer_gradients(self, n: int, grads: LayerWeights) -> dict[str, np.ndarray]:
        """Gradients of the parameters of layer n."""
        parameters, prefix = self.parameters, f"layers.{n}.attention."
        seeds, _, width = parameters[f"{prefix}projection.weight"].shape
        heads = self.shape.heads_of[n]
        head_width = width // heads
        qkv = grads.qkv.reshape(seeds, 3, heads, -1, grads.qkv.shape[-1])[..., :head_width, :width]
        qkv[:, 0] /= np.float32(math.sqrt(head_width))
        projection = grads.projection.reshape(seeds, width, heads, -1)[..., :head_width]
        gradients = self._norm_gradients(prefix, grads.norm) | {
            f"{prefix}query_key_value.weight": qkv.reshape(seeds, -1, width),
            f"{prefix}projection.weight": projection.reshape(seeds, width, -1),
        }
        for name, gradient in (("offsets", grads.offsets[..., :head_width]), ("bias", grads.bias)):
            if f"{prefix}{name}" in parameters:
                gradients[f"{prefix}{name}"] = _zero_padded(gradient, parameters[f"{prefix}{name}"].shape)
        return gradients


def _zero_padded(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """`array` in the first entries of zeros of `shape`."""
    out = np.zeros(shape, np.float32)
    out[tuple(map(slice, array.shape))] = array
    return out
