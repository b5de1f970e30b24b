"""The released code of arXiv 2402.11004 beside ours, from a clone of github.com/EzraEdelman/Evolution-of-Statistical-Induction-Heads that the user names.

Its modules are imported as they are, and forgotten again; no notebook is run, nothing is stubbed and nothing is written. What is called of it:

    datasets.ngrams.__getitems__                           a batch of chains and sequences
    utils.statistical                                      bigram predictions, prefix by prefix, as its evaluation does
    training_pipeline.get_default_config                   the published configuration
    mingpt.model_rpe.Relative_Transformer                  the model, and what its `configure_optimizers` makes
    mingpt.trainer.Trainer.get_default_config              the optimiser's configuration

A step of its training is what its `Trainer.run` does with a batch: forward, zero_grad, backward, optimiser. Its data loader, which works in processes
of its own, counts as free, whereas our step draws its sequences. It may take one thread or all, whichever is faster.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, cast

import numba
import numpy as np
import torch
from torch import Tensor

from onset.simulate.strategies.ngrams import predict
from onset.simulate.tasks.markov_chains import sample
from onset.theory.setting import Setting
from onset.validate.bench.timing import Timing, Work, agree, compare, fastest
from onset.validate.models import build
from onset.validate.training import TrainingRun

__all__ = ["Peer", "load", "timings"]

NEEDED = ("datasets", "utils", "training_pipeline", "mingpt.model_rpe", "mingpt.trainer")
PREFIXED = 2
"""Sequences on which its loop over prefixes is timed."""


class Peer(NamedTuple):
    """Its modules."""

    datasets: ModuleType
    utils: ModuleType
    training_pipeline: ModuleType
    model_rpe: ModuleType
    trainer: ModuleType


def load(folder: Path) -> Peer:
    """Import its modules from `folder`.

    Raises
    ------
    ValueError
        If `folder` is not a clone of it, or what it imports is not installed.
    """
    missing = [name for name in NEEDED if not folder.joinpath(*name.split(".")).with_suffix(".py").is_file()]
    if missing:
        files = ", ".join(f"{name.replace('.', '/')}.py" for name in missing)
        raise ValueError(
            f"peer = '{folder}' holds no {files}: expected a clone of github.com/EzraEdelman/Evolution-of-Statistical-Induction-Heads; give its folder."
        )
    own = {name.partition(".")[0] for name in NEEDED}
    ours = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in own}
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path.insert(0, str(folder.resolve()))
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return Peer(*map(importlib.import_module, NEEDED))
    except ImportError as problem:
        raise ValueError(
            f"peer = '{folder}' cannot be imported ({problem}): expected what it imports to be installed; install it beside onset."
        ) from problem
    finally:
        sys.path.remove(str(folder.resolve()))
        sys.dont_write_bytecode = written
        for name in [name for name in sys.modules if name.partition(".")[0] in own]:
            del sys.modules[name]
        sys.modules.update(ours)


def timings(peer: Peer, batch: int, context: int, states: int) -> Iterator[Timing]:
    """Sampler, strategy evaluation and training step of `peer` beside ours.

    Raises
    ------
    ArithmeticError
        If its predictions or its model's logits differ from ours.
    """
    setting = Setting.of("transformer", states=states, context=context, batch=batch)
    size = f"B={batch} T={context} k={states}"
    yield _sampler(peer, setting, size)
    yield _prediction(peer, setting, size)
    yield from _training(peer, setting, size)


def _sampler(peer: Peer, setting: Setting, size: str) -> Timing:
    generator = np.random.default_rng(0)
    source = peer.datasets.ngrams("train", 2, setting.task.context + 1, setting.task.states)
    label, theirs = fastest({"released ngrams": lambda: source.__getitems__(range(setting.training.batch))})
    return compare(
        "sampler", size, lambda: sample(setting.task, setting.training.batch, generator), label, theirs, target=">= 4"
    )


def _prediction(peer: Peer, setting: Setting, size: str) -> Timing:
    tokens = sample(setting.task, setting.training.batch, np.random.default_rng(0)).tokens
    few = torch.from_numpy(tokens[:PREFIXED, :-1]).long()

    def theirs() -> Tensor:
        each = [
            [peer.utils.statistical(row[: t + 1], setting.task.states) for t in range(setting.task.context)]
            for row in few
        ]
        return torch.stack([torch.stack(row) for row in each])

    agree(
        "the released bigram strategy", predict(tokens, setting.task.states, "bigram", 1.0)[:PREFIXED], theirs(), 1e-6
    )
    label, theirs_fastest = fastest({"released statistical": theirs})
    return compare(
        "strategy evaluation",
        size,
        lambda: predict(tokens, setting.task.states, "bigram", 1.0),
        f"{label}, timed on {PREFIXED} of {setting.training.batch} sequences",
        theirs_fastest,
        target=">= 4",
        share=PREFIXED / setting.training.batch,
    )


def _training(peer: Peer, setting: Setting, size: str) -> Iterator[Timing]:
    """Ours with one thread, as runs are trained side by side, and with all, as a single one is."""
    model = _model(peer, setting)
    drawn = sample(setting.task, setting.training.batch, np.random.default_rng(0))
    tokens = torch.from_numpy(drawn.tokens).long()
    agree(
        "the released transformer", _with_its_weights(setting, model, tokens), model(tokens[:, :-1])[0].detach(), 1e-5
    )
    inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
    optimizer = model.train().configure_optimizers(peer.trainer.Trainer.get_default_config())

    def theirs() -> None:
        _, loss = model(inputs, targets)
        model.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    label, theirs_fastest = fastest({"released trainer": theirs})
    threads, every = torch.get_num_threads(), numba.get_num_threads()
    for own in sorted({1, every}):
        ours = _in(1, own, TrainingRun(setting, [0], torch.device("cpu")).advance)
        name = f"training step ({own} thread{'s' * (own > 1)})"
        try:
            yield compare(name, size, ours, label, _in(threads, every, theirs_fastest), target=">= 4")
        finally:
            numba.set_num_threads(every)


def _in(torch_threads: int, numba_threads: int, work: Work) -> Work:
    """`work` with so many threads of each."""

    def done() -> None:
        torch.set_num_threads(torch_threads)
        numba.set_num_threads(numba_threads)
        work()

    return done


def _model(peer: Peer, setting: Setting) -> Any:
    """Its model in the published configuration, which drops nothing until it is told to train."""
    with contextlib.redirect_stdout(io.StringIO()):
        config = peer.training_pipeline.get_default_config()
        config.block_size, config.vocab_size, config.device = (
            setting.task.context,
            setting.task.states,
            torch.device("cpu"),
        )
        return peer.model_rpe.Relative_Transformer(config).eval()


@torch.no_grad()
def _with_its_weights(setting: Setting, model: Any, tokens: Tensor) -> np.ndarray:
    """Logits of our model with the weights of theirs."""
    ours = cast("Any", build(setting))
    copies: list[tuple[Tensor, Tensor]] = [
        (ours.embedding.weight, model.wte.weight),
        (ours.norm.weight, model.ln_f.weight),
        (ours.norm.bias, model.ln_f.bias),
        (ours.head.weight, model.lm_head.weight),
    ]
    for layer, theirs in zip(ours.layers, model.layers, strict=True):
        branch = layer.attention
        copies += [
            (branch.norm.weight, theirs.ln.weight),
            (branch.norm.bias, theirs.ln.bias),
            (branch.query_key_value.weight, torch.cat([theirs.Q.weight, theirs.K.weight, theirs.V.weight])),
            (branch.projection.weight, theirs.c_proj.weight),
            (
                branch.offsets,
                theirs.wpe.weight[: setting.task.context].unflatten(1, (branch.heads, -1)).transpose(0, 1),
            ),
        ]
    for one, other in copies:
        one.copy_(other)
    return ours(tokens[:, :-1]).numpy()
