"""The released code of arXiv 2402.11004 against ours, from a clone that the user names.

The repository is github.com/EzraEdelman/Evolution-of-Statistical-Induction-Heads. Its modules are imported unchanged
and then removed from `sys.modules`; nothing is written. Used of it:

    datasets.ngrams.__getitems__                           a batch of chains and sequences
    utils.statistical                                      bigram predictions, prefix by prefix, as in its evaluation
    training_pipeline.get_default_config                   the published configuration
    mingpt.model_rpe.Relative_Transformer                  the model, and the optimiser of `configure_optimizers`
    mingpt.trainer.Trainer.get_default_config              the optimiser's configuration

A step of its training is what its `Trainer.run` does with a batch: forward, zero_grad, backward, optimiser. Its data
loader, which works in other processes, counts as free, whereas our step draws its sequences. It runs with one thread or
all, whichever is faster.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
from collections.abc import Iterator
from functools import partial
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
from onset.validate.bench.timing import Timing, Work, agree, compare, fastest, size_label
from onset.validate.models import build
from onset.validate.training import TrainingRun

__all__ = ["Peer", "load", "timings"]

MODULES = ("datasets", "utils", "training_pipeline", "mingpt.model_rpe", "mingpt.trainer")
PREFIXED = 2
"""Sequences on which its loop over prefixes is timed."""


class Peer(NamedTuple):
    """Modules of the released code."""

    datasets: ModuleType
    utils: ModuleType
    training_pipeline: ModuleType
    model_rpe: ModuleType
    trainer: ModuleType


def load(folder: Path) -> Peer:
    """Import the modules from `folder`.

    Raises
    ------
    ValueError
        If `folder` is not a clone, or a package that the modules import is not installed.
    """
    files = [f"{name.replace('.', '/')}.py" for name in MODULES]
    missing = [file for file in files if not (folder / file).is_file()]
    if missing:
        raise ValueError(
            f"peer = '{folder}' holds no {', '.join(missing)}: expected a clone of "
            "github.com/EzraEdelman/Evolution-of-Statistical-Induction-Heads; give its folder."
        )
    packages = {name.partition(".")[0] for name in MODULES}

    def take() -> dict[str, ModuleType]:
        """Remove modules of these names from `sys.modules`, and return them."""
        return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in packages}

    same_names, writes_bytecode, path = take(), sys.dont_write_bytecode, str(folder.resolve())
    sys.dont_write_bytecode = True
    sys.path.insert(0, path)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return Peer(*map(importlib.import_module, MODULES))
    except ImportError as problem:
        raise ValueError(
            f"peer = '{folder}' cannot be imported ({problem}): expected its dependencies to be installed; "
            "install it beside onset."
        ) from problem
    finally:
        sys.path.remove(path)
        sys.dont_write_bytecode = writes_bytecode
        take()
        sys.modules.update(same_names)


def timings(peer: Peer, batch: int, context: int, states: int) -> Iterator[Timing]:
    """Sampler, strategy evaluation and training step of `peer` against ours.

    Raises
    ------
    ArithmeticError
        If its predictions or its model's logits differ from ours.
    """
    setting = Setting.of("transformer", states=states, context=context, batch=batch)
    drawn = sample(setting.task, batch, np.random.default_rng(0)).tokens
    size = size_label(batch, context, states)
    compare_sizes = partial(compare, size=size, target=">= 4")

    source = peer.datasets.ngrams("train", 2, context + 1, states)
    label, released = fastest({"released ngrams": lambda: source.__getitems__(range(batch))})
    ours: Work = partial(sample, setting.task, batch, np.random.default_rng(0))
    yield compare_sizes("sampler", ours=ours, baseline=label, other=released)

    few = torch.from_numpy(drawn[:PREFIXED, :-1]).long()

    def by_prefix() -> Tensor:
        rows = [[peer.utils.statistical(row[: t + 1], states) for t in range(context)] for row in few]
        return torch.stack([torch.stack(row) for row in rows])

    ours = partial(predict, drawn, states, "bigram", 1.0)
    agree("the released bigram strategy", ours()[:PREFIXED], by_prefix(), 1e-6)
    label, released = fastest({"released statistical": by_prefix})
    label = f"{label}, timed on {PREFIXED} of {batch} sequences"
    yield compare_sizes("strategy evaluation", ours=ours, baseline=label, other=released, share=PREFIXED / batch)

    tokens = torch.from_numpy(drawn).long()
    label, released = fastest({"released trainer": _training_step(peer, setting, tokens)})
    # Ours with one thread, as runs are trained side by side, and with all, as a single run is.
    torch_threads, all_threads = torch.get_num_threads(), numba.get_num_threads()
    for threads in sorted({1, all_threads}):
        step = _with_threads(1, threads, TrainingRun(setting, [0], torch.device("cpu")).advance)
        name = f"training step ({threads} thread{'s' * (threads > 1)})"
        try:
            other = _with_threads(torch_threads, all_threads, released)
            yield compare_sizes(name, ours=step, baseline=label, other=other)
        finally:
            numba.set_num_threads(all_threads)


def _with_threads(torch_threads: int, numba_threads: int, work: Work) -> Work:
    def run() -> None:
        torch.set_num_threads(torch_threads)
        numba.set_num_threads(numba_threads)
        work()

    return run


def _training_step(peer: Peer, setting: Setting, tokens: Tensor) -> Work:
    """A training step of the released model in the published configuration, after a check that its logits are ours."""
    with contextlib.redirect_stdout(io.StringIO()):
        config = peer.training_pipeline.get_default_config()
        config.block_size, config.vocab_size = setting.task.context, setting.task.states
        config.device = torch.device("cpu")
        model = peer.model_rpe.Relative_Transformer(config).eval()
    inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
    agree("the released transformer", _our_logits(setting, model, inputs), model(inputs)[0].detach(), 1e-5)
    optimizer = model.train().configure_optimizers(peer.trainer.Trainer.get_default_config())

    def step() -> None:
        _, loss = model(inputs, targets)
        model.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


@torch.no_grad()
def _our_logits(setting: Setting, released: Any, inputs: Tensor) -> np.ndarray:
    """Logits of our model with the weights of the released one."""
    model = cast("Any", build(setting))
    copies: list[tuple[Tensor, Tensor]] = [
        (model.embedding.weight, released.wte.weight),
        (model.norm.weight, released.ln_f.weight),
        (model.norm.bias, released.ln_f.bias),
        (model.head.weight, released.lm_head.weight),
    ]
    for layer, other in zip(model.layers, released.layers, strict=True):
        branch, offsets = layer.attention, other.wpe.weight[: setting.task.context]
        copies += [
            (branch.norm.weight, other.ln.weight),
            (branch.norm.bias, other.ln.bias),
            (branch.query_key_value.weight, torch.cat([other.Q.weight, other.K.weight, other.V.weight])),
            (branch.projection.weight, other.c_proj.weight),
            (branch.offsets, offsets.unflatten(1, (branch.heads, -1)).transpose(0, 1)),
        ]
    for parameter, value in copies:
        parameter.copy_(value)
    return model(inputs).numpy()
