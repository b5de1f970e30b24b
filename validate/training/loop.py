"""The training loop: fresh sequences at every step, and regular records of what theory predicts.

Several seeds of a setting may train together as one batched model: every parameter has a leading dimension for the
seed, and one vectorised pass serves all. Each seed draws what it would draw alone, so its numbers equal those of a run
by itself within floating-point error.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import stack_module_state

from onset.simulate.threads import Threads, start_pool
from onset.theory import arguments
from onset.theory.recording import Progress, Recorder, Trajectory
from onset.theory.setting import Setting
from onset.validate.models import build
from onset.validate.models.model import cross_entropy
from onset.validate.training.batches import Batches, MaskBits, streams
from onset.validate.training.checkpoints import load_checkpoint, save_checkpoint
from onset.validate.training.held_out import HeldOut
from onset.validate.training.memory import require_memory
from onset.validate.training.optimizer import Optimizer

__all__ = ["DEVICES", "TrainingRun", "resolve_device", "train", "train_together"]

SECONDS_BETWEEN_CHECKPOINTS = 60.0

DEVICES = ("auto", "cpu", "cuda", "mps")
"""Names of devices; ``auto`` takes the fastest available."""


def resolve_device(name: str = "auto") -> torch.device:
    """The torch device called ``auto``, ``cpu``, ``cuda`` or ``mps``; a ``ValueError`` if it is not available."""
    arguments.one_of("device", name, DEVICES)
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if available[kind]))
    if not available[name]:
        raise ValueError(f"device = {name!r}: torch finds none on this machine; use device = 'auto' or 'cpu'.")
    return torch.device(name)


def train(
    setting: Setting,
    seed: int = 0,
    *,
    device: torch.device | None = None,
    progress: Progress = lambda step, steps: None,
    checkpoint: Path | None = None,
) -> Trajectory:
    """Train one model of a setting from a seed, and return its curves; parameters as in `train_together`."""
    return train_together(setting, [seed], device=device, progress=progress, checkpoint=checkpoint)[0]


def train_together(
    setting: Setting,
    seeds: Sequence[int],
    *,
    device: torch.device | None = None,
    progress: Progress = lambda step, steps: None,
    checkpoint: Path | None = None,
) -> list[Trajectory]:
    """Train one model of `setting` from each of `seeds`, all as one batched model.

    Every step draws a fresh batch of sequences for each seed; the loss is the cross-entropy of the next token, averaged
    over all scored positions. A seed stops as predictions do: a quarter past the last transition, or at
    `setting.training.steps`. The numbers of a seed do not depend on the number of cores.

    Parameters
    ----------
    setting : Setting
    seeds : sequence of int
    device : torch.device, optional
        By default the fastest available.
    progress : callable
        Called with the step and `setting.training.steps` at every record.
    checkpoint : Path, optional
        File for the state of training, written about once a minute. A later call with the same arguments resumes from
        it, on a CPU with the same numbers to the last bit. The caller removes it once the result is stored.

    Returns
    -------
    list of Trajectory
        One for each seed; if its loss stops being finite, `diverged` is set and earlier records are kept.
    """
    seeds = [arguments.seed("seed", seed) for seed in arguments.items("seeds", seeds, least=1)]
    device = resolve_device() if device is None else device
    run = TrainingRun(setting, seeds, device)
    state = None
    if checkpoint is not None and checkpoint.exists():
        state = load_checkpoint(checkpoint, setting, seeds)
    if state is None:
        run.record()
    else:
        run.restore(*state)
    last_save = time.monotonic()
    while run.running:
        run.advance()
        if not setting.training.records(run.step):
            continue
        run.record()
        progress(run.step, setting.training.steps)
        if checkpoint is not None and time.monotonic() - last_save > SECONDS_BETWEEN_CHECKPOINTS:
            save_checkpoint(checkpoint, setting, seeds, *run.state())
            last_save = time.monotonic()
    return run.trajectories()


class TrainingRun:
    """Models in training, with everything that their next step depends on."""

    def __init__(self, setting: Setting, seeds: Sequence[int], device: torch.device) -> None:
        require_memory(setting, len(seeds), device)
        if device.type == "cpu":
            start_pool()
            torch.set_num_threads(1)  # those of compiled kernels are chosen by measurement
        self.setting, self.device, self.step = setting, device, 0
        self._threads = Threads("training", setting, len(seeds))
        models = [build(setting, seed).to(device) for seed in seeds]
        generators = [streams(seed) for seed in seeds]
        self.batches = [Batches(setting, training, device) for training, _, _ in generators]
        self.mask_bits = [MaskBits(seed, device) for _, _, seed in generators]
        self.held_out = [
            HeldOut(setting, model, held_out, device)
            for model, (_, held_out, _) in zip(models, generators, strict=True)
        ]
        self.recorders = [Recorder(setting.task, setting.training) for _ in seeds]
        self.ended: list[int | None] = [None for _ in seeds]
        """Step at which a seed diverged, 0 if it ended otherwise, None while it trains."""
        self.weights: list[dict[str, np.ndarray]] = [{} for _ in seeds]
        """Parameters of a transformer that has ended, at its last record."""
        # A single seed trains its model itself; several train stacked parameters, which the first model is called with.
        self.model = models[0]
        self.alone = len(seeds) == 1
        self.parameters: dict[str, Tensor] = dict(self.model.named_parameters())
        if not self.alone:
            self.parameters = stack_module_state(models)[0]  # type: ignore[arg-type]
        self.sites = self.model.sites(setting.training.batch, setting.task.context)
        self.optimizer = Optimizer(self.model, self.parameters, setting)
        scored = setting.task.scored
        self.positions = None if scored.all() else torch.from_numpy(np.flatnonzero(scored)).to(device)

    @property
    def running(self) -> bool:
        return None in self.ended and self.step < self.setting.training.steps

    def advance(self) -> None:
        """One optimiser step of every seed; seeds that have ended continue unrecorded, since parameters are stacked."""
        with self._threads.turn():
            tokens = [batches.draw() for batches in self.batches]
            mask_bits = [stream.draw(self.sites) for stream in self.mask_bits]
            if self.alone:
                self._differentiate(tokens[0], mask_bits[0])
            else:
                self._differentiate(torch.stack(tokens), [torch.stack(site) for site in zip(*mask_bits, strict=True)])
            self.optimizer.step()
        self.step += 1

    def _differentiate(self, tokens: Tensor, mask_bits: list[Tensor]) -> None:
        """Set the gradients of each seed's loss on the parameters."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.setting.training.precision == "bfloat16"):
            if self.positions is None:
                compiled = self.model.loss_and_gradients(tokens, mask_bits, self.parameters)
                if compiled is not None:
                    for name, parameter in self.parameters.items():
                        parameter.grad = compiled[1][name] if parameter.requires_grad else None
                    return
            loss_of = partial(cross_entropy, self.model, positions=self.positions)
            if self.alone:
                loss = loss_of(tokens, mask_bits)
            else:
                loss = torch.vmap(loss_of)(tokens, mask_bits, self.parameters).sum()
        self.optimizer.clear_gradients()
        loss.backward()

    def record(self) -> None:
        """Measure every seed that still trains; end those that diverged or are well past their last transition."""
        for n, recorder in enumerate(self.recorders):
            if self.ended[n] is not None:
                continue
            if not self.alone:
                self.model.load_state_dict({name: values[n] for name, values in self.parameters.items()}, strict=False)
            measurement = self.held_out[n].measure(self.model)
            if self.step and recorder.diverges(measurement.loss):
                self.ended[n] = self.step
                continue
            parameters = self.model.order_parameters()
            recorder.add(self.step, measurement, tuple(parameters), np.array(list(parameters.values())))
            if self.step and recorder.settled:
                self.ended[n], self.weights[n] = 0, self._weights(n)

    def _weights(self, seed: int) -> dict[str, np.ndarray]:
        """Parameters of one of the seeds, none of a toy, whose order parameters say the same."""
        if self.setting.model.architecture is None:
            return {}
        own = self.parameters if self.alone else {name: values[seed] for name, values in self.parameters.items()}
        return {name: values.detach().float().cpu().numpy().copy() for name, values in own.items()}

    def trajectories(self) -> list[Trajectory]:
        curves = [
            recorder.trajectory(diverged=end or None) for recorder, end in zip(self.recorders, self.ended, strict=True)
        ]
        weights = [self._weights(n) if end is None else self.weights[n] for n, end in enumerate(self.ended)]
        return [replace(curve, weights=last) for curve, last in zip(curves, weights, strict=True)]

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors, and plain data, that `restore` continues from."""
        tensors = {f"parameter.{name}": values.detach() for name, values in self.parameters.items()}
        for i, moments in enumerate(self.optimizer.state):
            tensors |= {f"optimizer.{i}.{name}": values for name, values in moments.items()}
        for n, recorder in enumerate(self.recorders):
            tensors |= {f"record.{n}.{name}": torch.from_numpy(values) for name, values in recorder.arrays().items()}
            tensors |= {f"weights.{n}.{name}": torch.from_numpy(values) for name, values in self.weights[n].items()}
        return tensors, {
            "step": self.step,
            "ended": self.ended,
            "batches": [batches.state for batches in self.batches],
            "words": [stream.state for stream in self.mask_bits],
            "names": [list(recorder.names) for recorder in self.recorders],
        }

    def restore(self, tensors: dict[str, Tensor], data: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        records: list[dict[str, np.ndarray]] = [{} for _ in self.recorders]
        for key, values in tensors.items():
            kind, _, name = key.partition(".")
            if kind == "parameter":
                self.parameters[name].detach().copy_(values)
                continue
            index, _, name = name.partition(".")
            if kind == "optimizer":
                self.optimizer.state[int(index)][name].copy_(values)
            elif kind == "weights":
                self.weights[int(index)][name] = values.numpy()
            else:
                records[int(index)][name] = values.numpy()
        self.step, self.ended = data["step"], data["ended"]
        for recorder, arrays, names in zip(self.recorders, records, data["names"], strict=True):
            recorder.restore(arrays, tuple(names))
        generators = [*self.batches, *self.mask_bits]
        for generator, state in zip(generators, data["batches"] + data["words"], strict=True):
            generator.restore(state)
