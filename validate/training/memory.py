"""Memory that training needs, estimated from its sizes before it starts.

Bytes below are measured: of a pair of positions, of a number that is held out, of an entry of a parameter, with what is
temporary while it is computed.
"""

from __future__ import annotations

import torch

from onset.theory import costs
from onset.theory.markov.task import MarkovChains
from onset.theory.setting import Setting
from onset.validate.training.batches import STEPS_AHEAD_ON_HOST
from onset.validate.training.held_out import FORWARD_BATCH, HELD_OUT, LARGEST_VOCABULARY

__all__ = ["memory", "require_memory"]

PER_HELD_OUT_NUMBER = 24
"""Of each probability that a strategy, or the truth, gives on held-out sequences, while they are drawn."""

KEPT_OF_HELD_OUT = 6
"""The same, afterwards."""

PER_PARAMETER = 16
"""A parameter, its gradient and two moments, in single precision."""

PER_DRAWN_TOKEN, PER_DRAWN_ENTRY = 10, 32
"""A token and its uniform; an entry of a transition matrix."""

PER_TARGET_PAIR = 20
"""Of each pair of positions of `FORWARD_BATCH` sequences: the targets of the pattern scores."""

PER_RECORDED_PAIR = 24
"""The same, of each head whose patterns and scores a measurement records."""

PER_COMPILED_PAIR, PER_TORCH_PAIR = 4, 18
"""Of each pair of positions of a sequence, and head, in a step: by compiled kernels, and by plain torch."""

PER_CHANNEL = 40.0
"""Of each channel of a layer at each token."""

PER_TOY_PAIR, PER_TOY_ENTRY = 40, 48
"""In a step of the toy models: of each pair of positions, whatever the batch; of each token and pair of symbols."""

PER_HEAD_PAIR = 9
"""In a step of the toy models of order n > 2: of each pair of positions of a sequence."""


def require_memory(setting: Setting, seeds: int, device: torch.device) -> None:
    """Raise ``ValueError`` unless a CPU has the memory that `seeds` models of `setting`, trained together, need."""
    if device.type == "cpu":
        costs.require_memory(
            "training",
            lambda batch, context: memory(setting, seeds, batch, context),
            batch=setting.training.batch,
            context=setting.task.context,
        )


def memory(setting: Setting, seeds: int, batch: int, context: int) -> float:
    """Bytes that `seeds` models trained together on a CPU need, at another `batch` and `context`."""
    task, shape = setting.task, setting.model.architecture
    vocabulary, pairs = task.vocabulary, float(context) ** 2
    laws = (len(task.strategies) + 1) * min(vocabulary, LARGEST_VOCABULARY) * (1 + len(task.variants))
    held_out = float(HELD_OUT) * context * laws
    entries = vocabulary**task.order if isinstance(task, MarkovChains) else 0
    drawn = float(STEPS_AHEAD_ON_HOST) * batch * (PER_DRAWN_TOKEN * (context + 1) + PER_DRAWN_ENTRY * entries)
    if shape is None:
        heads = max(1, len(task.lags))
        parameters = heads * (context + vocabulary**2) + vocabulary**2
        step = PER_TOY_PAIR * pairs * heads + float(PER_TOY_ENTRY) * batch * context * vocabulary**2
        if heads > 1:
            step += PER_HEAD_PAIR * pairs * max(batch, FORWARD_BATCH)
        targets = measured = 0.0
    else:
        heads = sum(shape.heads_of)
        parameters = shape.layers * (4 + 2 * shape.feed_forward) * shape.width**2 + 2 * vocabulary * shape.width
        parameters += (shape.layers + 1) * context * shape.width
        plain = shape.smeared or shape.previous or shape.feed_forward or shape.positions == "rotary"
        per_pair = PER_TORCH_PAIR if plain or setting.training.precision == "bfloat16" else PER_COMPILED_PAIR
        step = float(per_pair) * heads * pairs * batch + PER_CHANNEL * shape.layers * shape.width * context * batch
        targets, measured = (FORWARD_BATCH * pairs * n for n in (PER_TARGET_PAIR, PER_RECORDED_PAIR * heads))
    built, running = PER_HELD_OUT_NUMBER * held_out, KEPT_OF_HELD_OUT * held_out + targets + max(step, measured)
    return seeds * (drawn + PER_PARAMETER * float(parameters) + max(built, running))
