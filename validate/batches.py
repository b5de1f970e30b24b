r"""What training draws: fresh sequences and the words of dropout, on the device that trains.

A seed has three streams, so that what one draws moves no other: sequences for training, held-out sequences, words. Sequences are drawn for many
steps at once: on a CPU by the compiled sampler; on another device by a loop over time, from chains that come from the host, and these sequences
differ from the CPU's though their law does not. Streams can be written down and taken up again.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from onset.simulate.sequences import sample
from onset.theory import priors
from onset.theory.chains import history_law
from onset.theory.setting import Setting

__all__ = ["Batches", "Words", "streams", "tokens_on_device"]

AHEAD = 64
"""Steps whose sequences are drawn at once where a kernel's start costs more than its work."""

AHEAD_COMPILED = 16
"""The same for the compiled sampler: a step's share of what it takes to start is small, and its chains still fit a cache."""


def streams(seed: int) -> tuple[np.random.Generator, np.random.Generator, np.random.SeedSequence]:
    """Generators of the training and of the held-out sequences, and the seed of the words."""
    fresh, held_out, words = np.random.SeedSequence(seed).spawn(3)
    return np.random.default_rng(fresh), np.random.default_rng(held_out), words


class Batches:
    """Fresh sequences of `setting`, one step after the other; `compiled` says by which sampler, by default the compiled one on a CPU."""

    def __init__(
        self, setting: Setting, generator: np.random.Generator, device: torch.device, *, compiled: bool | None = None
    ) -> None:
        self._setting, self._device = setting, device
        self._compiled = device.type == "cpu" if compiled is None else compiled
        self._host = generator
        self._at_device = torch.Generator(device)
        self._at_device.manual_seed(int(generator.bit_generator.seed_seq.generate_state(1)[0]))  # type: ignore[attr-defined]
        self._before: dict[str, Any] = {}
        self._ahead, self._left = torch.empty(0), 0

    def draw(self) -> Tensor:
        """Tokens of one step, shape (B, T + 1)."""
        if not self._left:
            self._fill()
        self._left -= 1
        return self._ahead[self._left].long()

    def _fill(self) -> None:
        self._before = self._generators()
        self._left = AHEAD_COMPILED if self._compiled else AHEAD
        self._ahead = self._many(self._left * self._setting.batch).unflatten(0, (self._left, -1))

    def _many(self, count: int) -> Tensor:
        if self._compiled:
            return torch.from_numpy(sample(self._setting, count, self._host).tokens)
        transition = priors.sample(self._setting.prior, self._host, count)
        chains, law = (
            torch.from_numpy(one).to(self._device, torch.float32) for one in (transition, history_law(transition))
        )
        uniforms = torch.rand(count, self._setting.context + 1, generator=self._at_device, device=self._device)
        return tokens_on_device(chains, law, uniforms)

    def _generators(self) -> dict[str, Any]:
        at_device = [] if self._compiled else self._at_device.get_state().tolist()
        return {"host": self._host.bit_generator.state, "device": at_device}

    @property
    def state(self) -> dict[str, Any]:
        """Where the stream stands: plain data, as JSON can hold it."""
        return (self._before if self._left else self._generators()) | {"ahead": self._left}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._host.bit_generator.state = state["host"]
        if state["device"]:
            self._at_device.set_state(torch.tensor(state["device"], dtype=torch.uint8))
        if state["ahead"]:
            self._fill()
        self._left = state["ahead"]


class Words:
    """Words of dropout, 16 random bits each: see `onset.validate.models.dropout`. On a CPU they are a function of the seed and of how many came before
    (SplitMix64: Steele, Lea, Flood, OOPSLA 2014), so that a processor makes several at once."""

    def __init__(self, seed: np.random.SeedSequence, device: torch.device) -> None:
        self._device = device
        self._key, self._drawn = seed.generate_state(1, np.uint64)[0], 0
        self._at_device = torch.Generator(device)
        self._at_device.manual_seed(int(seed.generate_state(1)[0]))
        self._room = np.empty(0, np.uint64)

    def draw(self, sites: list[tuple[int, ...]]) -> list[Tensor]:
        """One tensor of int16 for each shape; on a CPU, the next draw overwrites them."""
        if self._device.type != "cpu":
            whole = {"dtype": torch.int16, "device": self._device, "generator": self._at_device}
            return [torch.randint(-(2**15), 2**15, site, **whole) for site in sites]
        counts = [math.prod(site) for site in sites]
        total = -(-sum(counts) // 4)
        if len(self._room) != total:
            self._room = np.empty(total, np.uint64)
        _mix(self._key, np.uint64(self._drawn), self._room)
        self._drawn += total
        words = torch.from_numpy(self._room.view(np.int16)[: sum(counts)])
        return [some.view(site) for some, site in zip(words.split(counts), sites, strict=True)]

    @property
    def state(self) -> dict[str, Any]:
        """Where the stream stands: plain data, as JSON can hold it."""
        if self._device.type != "cpu":
            return {"device": self._at_device.get_state().tolist()}
        return {"key": int(self._key), "drawn": self._drawn}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        if "device" in state:
            self._at_device.set_state(torch.tensor(state["device"], dtype=torch.uint8))
        else:
            self._key, self._drawn = np.uint64(state["key"]), state["drawn"]


@njit(cache=True, nogil=True)
def _mix(key, first, out):
    """Entries first, first + 1, … of the sequence that starts at `key`."""
    for n in range(len(out)):
        z = key + (first + np.uint64(n) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        out[n] = z ^ (z >> np.uint64(31))


def tokens_on_device(transition: Tensor, law: Tensor, uniforms: Tensor) -> Tensor:
    """`onset.simulate.sequences.tokens_from_uniforms` in torch, one step of time after another: tokens (n, length) as int64 of chains `transition`
    (n, k^{order-1}, k) that start from `law` (n, k^{order-1}), given `uniforms` (n, length) in [0, 1)."""
    count, rows, states = transition.shape
    each = torch.arange(count, device=transition.device)
    edges = transition.cumsum(dim=-1)[..., :-1]
    history = (uniforms[:, :1] >= law.cumsum(dim=-1)[:, :-1]).sum(dim=-1)
    tokens = [history // states**place % states for place in reversed(range(round(np.log(rows) / np.log(states))))]
    for t in range(len(tokens), uniforms.shape[1]):
        symbol = (uniforms[:, t, None] >= edges[each, history]).sum(dim=-1)
        history = history * states % rows + symbol
        tokens.append(symbol)
    return torch.stack(tokens[: uniforms.shape[1]], dim=1)
