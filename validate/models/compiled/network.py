"""The transformer's loss with its derivatives, and its logits, by compiled kernels: on a CPU, in single precision.

Channels of each head and of the model are filled up with zeros to whole tiles on the way to the kernels, and cut off on the way back. A loss is found
together with its derivatives, so that nothing is kept from one call to the next but the room in which it is done.
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
from onset.validate.models.compiled import attention, ends
from onset.validate.models.compiled.attention import PARTS, Drop, Kept, Weights
from onset.validate.models.compiled.ends import Head
from onset.validate.models.compiled.tiles import chunks_of, filled, start
from onset.validate.models.dropout import scale, threshold

__all__ = ["logits", "loss_and_gradients"]


def loss_and_gradients(
    shape: Architecture, parameters: Mapping[str, Tensor], tokens: Tensor, words: Sequence[Tensor] = ()
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean cross-entropy of the next token, and its derivatives by name; of S models, if tensors have one leading dimension more.

    Parameters
    ----------
    shape : Architecture
    parameters : mapping of str to tensor
        Those of `onset.validate.models.transformer.Transformer`, by name.
    tokens : tensor, shape (B, T + 1)
    words : sequence of tensor
        Of dropout, in the order of ``Transformer.sites``; none if nothing is dropped.
    """
    found, by = _Pass(shape, parameters, tokens, words).loss()
    first = 0 if tokens.ndim == 2 else slice(None)
    return torch.from_numpy(found)[first], {
        name: torch.from_numpy(np.ascontiguousarray(by[name]))[first] for name in parameters
    }


def logits(
    shape: Architecture, parameters: Mapping[str, Tensor], tokens: Tensor, words: Sequence[Tensor] = ()
) -> Tensor:
    """Next-token logits (B, T, k) of tokens (B, T); arguments as in `loss`."""
    return torch.from_numpy(_Pass(shape, parameters, tokens, words).logits()[0])


class _Room(NamedTuple):
    """Where a pass is done: x before each layer and after the last, what the way back needs of each, two derivatives by x."""

    x: list[np.ndarray]
    kept: list[Kept]
    by_kept: list[Kept]
    by_x: list[np.ndarray]


@lru_cache(maxsize=4)
def _room(thread: int, seeds: int, batch: int, length: int, width: int, heads: tuple[int, ...]) -> _Room:
    """The same room for each pass of one shape: fresh memory costs as much as what is done in it."""

    def kept(number: int) -> Kept:
        inner = number * filled(width // number)
        sizes = (length, width), (length,), (length, 3 * inner), (number, start(length)), (length, inner)
        return Kept(*(np.empty((seeds, batch, *size), np.float32) for size in sizes))

    x = [np.empty((seeds, batch, length, width), np.float32) for _ in range(len(heads) + 3)]
    back = {number: kept(number) for number in set(heads)}
    return _Room(x[:-2], [kept(number) for number in heads], [back[number] for number in heads], x[-2:])


class _Pass:
    """One pass through the network, of S seeds if tensors have that leading dimension, or of one."""

    def __init__(
        self, shape: Architecture, parameters: Mapping[str, Tensor], tokens: Tensor, words: Sequence[Tensor]
    ) -> None:
        whole = None if tokens.ndim == 2 else slice(None)

        def array(one: Tensor) -> np.ndarray:
            return one.detach().contiguous().numpy()[whole]

        self.shape, self.tokens = shape, array(tokens)
        self.given = {name: array(one) for name, one in parameters.items()}
        self.words = map(array, words)

    def forward(self, tokens: np.ndarray) -> None:
        """Up to the head."""
        shape, given = self.shape, self.given
        seeds, batch, length = tokens.shape
        states, width = given["embedding.weight"].shape[1:]
        self.room = room = _room(threading.get_ident(), seeds, batch, length, width, shape.heads_of)
        self.rule = np.int16(threshold(shape.dropout)), np.float32(scale(shape.dropout))

        def words(*lead: int) -> np.ndarray:
            return next(self.words, np.empty((*lead, 0), np.int16))

        self.on_embedding = words(seeds, batch, length)
        self.positions = np.ascontiguousarray(
            given.get("positions", np.empty((seeds, length, 0), np.float32))[:, :length]
        )
        ends.embed(tokens, given["embedding.weight"], self.positions, self.on_embedding, *self.rule, room.x[0])
        self.layers = []
        for n, heads in enumerate(shape.heads_of):
            weights, back = self._weights(n, heads, length)
            on_offsets = (
                words(seeds, heads, start(length))
                if weights.offsets.size
                else np.empty((seeds, heads, start(length), 0), np.int16)
            )
            drop = Drop(on_offsets, words(seeds, batch, heads), words(seeds, batch, length), *self.rule)
            attention.forward(room.x[n], weights, drop, room.kept[n], room.x[n + 1])
            self.layers.append((weights, back, drop))
        out = np.zeros((seeds, states, filled(width)), np.float32)
        out[..., :width] = given.get("head.weight", given["embedding.weight"])
        self.head = Head(self._norm(""), out)

    def logits(self) -> np.ndarray:
        self.forward(self.tokens)
        found = np.empty((*self.tokens.shape, self.head.out.shape[1]), np.float32)
        ends.logits(self.room.x[-1], self.head, found)
        return found

    def loss(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The loss of each seed, and its derivatives by name."""
        tokens, targets = (np.ascontiguousarray(self.tokens[..., some]) for some in (slice(-1), slice(1, None)))
        self.forward(tokens)
        seeds, batch, length = tokens.shape
        chunks = seeds * chunks_of(batch)

        def shares(one: np.ndarray, count: int = chunks) -> np.ndarray:
            return np.zeros((count, *one.shape[1:]), np.float32)

        def total(one: np.ndarray) -> np.ndarray:
            return one.reshape(seeds, len(one) // seeds, *one.shape[1:]).sum(axis=1)

        room, given = self.room, self.given
        sums, (by_y, by_x) = np.zeros(chunks), room.by_x
        by_head = Head(*map(shares, self.head))
        ends.losses(room.x[-1], targets, self.head, sums, by_y, by_head)
        width = by_y.shape[-1]
        found = self._by_norm("", total(by_head.norm))
        for n in reversed(range(len(self.layers))):
            weights, back, drop = self.layers[n]
            by = Weights(*(shares(one, seeds * PARTS if one is weights.offsets else chunks) for one in back))
            attention.backward(room.x[n], weights, back, drop, room.kept[n], by_y, room.by_kept[n], by_x, by)
            found |= self._by_weights(n, Weights(*map(total, by)))
            by_y, by_x = by_x, by_y
        by_embedding, by_positions = shares(given["embedding.weight"]), shares(self.positions)
        ends.embed_back(tokens, self.on_embedding, *self.rule, by_y, by_embedding, by_positions)
        found["embedding.weight"] = total(by_embedding)
        by_out = total(by_head.out)[..., :width]
        if "head.weight" in given:
            found["head.weight"] = by_out
        else:
            found["embedding.weight"] += by_out
        if "positions" in given:
            found["positions"] = _beyond(total(by_positions), given["positions"])
        return (total(sums) / (batch * length)).astype(np.float32), found

    def _norm(self, where: str) -> np.ndarray:
        """Scale and shift, or nothing."""
        if f"{where}norm.weight" not in self.given:
            return np.empty((len(self.tokens), 2, 0), np.float32)
        return np.stack([self.given[f"{where}norm.weight"], self.given[f"{where}norm.bias"]], axis=1)

    @staticmethod
    def _by_norm(where: str, by: np.ndarray) -> dict[str, np.ndarray]:
        return {f"{where}norm.weight": by[:, 0], f"{where}norm.bias": by[:, 1]} if by.size else {}

    def _weights(self, n: int, heads: int, length: int) -> tuple[Weights, Weights]:
        """Of layer n, as the kernels take them, and turned."""
        given, where = self.given, f"layers.{n}.attention."
        seeds, _, width = given[f"{where}projection.weight"].shape
        own = width // heads
        inner, wide = filled(own), filled(width)
        into = np.zeros((seeds, 3, heads, inner, wide), np.float32)
        into[..., :own, :width] = given[f"{where}query_key_value.weight"].reshape(seeds, 3, heads, own, width)
        into[:, 0] /= np.float32(math.sqrt(own))
        into = into.reshape(seeds, -1, wide)
        onto = np.zeros((seeds, width, heads, inner), np.float32)
        onto[..., :own] = given[f"{where}projection.weight"].reshape(seeds, width, heads, own)
        onto = onto.reshape(seeds, width, -1)
        turned = np.zeros((seeds, heads * inner, wide), np.float32)
        turned[..., :width] = onto.transpose(0, 2, 1)
        offsets = np.empty((seeds, heads, length, 0), np.float32)
        if f"{where}offsets" in given:
            offsets = np.zeros((seeds, heads, length, inner), np.float32)
            offsets[..., :own] = given[f"{where}offsets"][:, :, :length]
        bias = given.get(f"{where}bias", np.empty((seeds, heads, 0), np.float32))
        back = Weights(self._norm(where), into, onto, offsets, np.ascontiguousarray(bias[:, :, :length]))
        return back._replace(into=np.ascontiguousarray(into[..., :width].transpose(0, 2, 1)), onto=turned), back

    def _by_weights(self, n: int, by: Weights) -> dict[str, np.ndarray]:
        """Derivatives by the parameters of layer n."""
        given, where = self.given, f"layers.{n}.attention."
        seeds, _, width = given[f"{where}projection.weight"].shape
        heads = self.shape.heads_of[n]
        own = width // heads
        into = by.into.reshape(seeds, 3, heads, -1, by.into.shape[-1])[..., :own, :width]
        into[:, 0] /= np.float32(math.sqrt(own))
        found = self._by_norm(where, by.norm) | {
            f"{where}query_key_value.weight": into.reshape(seeds, -1, width),
            f"{where}projection.weight": by.onto.reshape(seeds, width, heads, -1)[..., :own].reshape(seeds, width, -1),
        }
        for name, one in (("offsets", by.offsets[..., :own]), ("bias", by.bias)):
            if f"{where}{name}" in given:
                found[f"{where}{name}"] = _beyond(one, given[f"{where}{name}"])
        return found


def _beyond(by_one: np.ndarray, one: np.ndarray) -> np.ndarray:
    """The derivative by what has rows for more positions than there were."""
    axis = next((n for n, (a, b) in enumerate(zip(by_one.shape, one.shape, strict=True)) if a != b), None)
    if axis is None:
        return by_one
    whole = np.zeros_like(one)
    whole[(slice(None),) * axis + (slice(by_one.shape[axis]),)] = by_one
    return whole
