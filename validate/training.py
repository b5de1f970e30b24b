"""Train models on fresh sequences and record, along training, what theory predicts of them.

Several seeds of a setting may train together, as one batched model: every parameter has one leading dimension more, one vectorised pass
serves all, and each seed draws what it would draw alone, so that its numbers are those of its solo run within floating-point error.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numba
import numpy as np
import torch
from torch import Tensor, nn
from torch.func import stack_module_state

from onset.theory import arguments
from onset.theory.dynamics import Progress, Recorder, Trajectory
from onset.theory.setting import Setting
from onset.validate.batches import Batches, Words, streams
from onset.validate.checkpoints import Checkpoint
from onset.validate.held_out import HELD_OUT, HeldOut
from onset.validate.models import as_model, build, order_parameters
from onset.validate.models.likelihood import cross_entropy

__all__ = ["DEVICES", "HELD_OUT", "TrainingRun", "resolve_device", "train", "train_together"]

SECONDS_BETWEEN_CHECKPOINTS = 60.0

DEVICES = ("auto", "cpu", "cuda", "mps")
"""Names that a device goes by."""


def resolve_device(name: str = "auto") -> torch.device:
    """The torch device for ``auto``, ``cpu``, ``cuda`` or ``mps``; a ``ValueError`` if it is not there."""
    arguments.one_of("device", name, DEVICES)
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if there[kind]))
    if not there[name]:
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
    """Train one model of `setting` from `seed`; see `train_together`."""
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

    Every step draws `setting.batch` fresh sequences for each seed; the loss is the cross-entropy of the next token, averaged over all
    positions. A seed stops as predictions do: a quarter past the last transition, or at `setting.steps`. On a CPU torch has one thread, and the
    compiled kernels as many of theirs as cores are idle, so that a seed gives the same numbers however many cores there are.

    Parameters
    ----------
    setting : Setting
    seeds : sequence of int
    device : torch.device, optional
        By default the fastest there is.
    progress : callable
        Called with the step and the longest run's last step whenever the models are recorded.
    checkpoint : Path, optional
        Where to keep the state of training, about once a minute. A later call with the same arguments goes on from it, on a CPU to the same
        numbers to the last bit. It is left to who keeps the result to remove it.

    Returns
    -------
    list of Trajectory
        One for each seed; with `diverged` set, and what came before it kept, if its loss stops being finite.
    """
    device = resolve_device("auto") if device is None else device
    with _threads(device):
        run = TrainingRun(setting, seeds, device)
        kept = None if checkpoint is None else Checkpoint(checkpoint, setting, seeds)
        if kept is None or not run.resume(kept):
            run.record()
        saved = time.monotonic()
        while run.running:
            run.advance()
            if run.due:
                run.record()
                progress(run.step, setting.steps)
                if kept is not None and time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS:
                    run.save(kept)
                    saved = time.monotonic()
        return run.trajectories()


@contextmanager
def _threads(device: torch.device) -> Iterator[None]:
    """On a CPU one thread for torch; for the kernels those of numba, but no more than cores are idle: they wait for one another."""
    if device.type != "cpu":
        yield
        return
    torch.set_num_threads(1)
    given = numba.get_num_threads()
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    try:
        # This process is itself one of those that keep cores busy.
        numba.set_num_threads(min(given, max(1, round((os.cpu_count() or 1) - busy + 1))))
        yield
    finally:
        numba.set_num_threads(given)


class TrainingRun:
    """Models in training, with all that their next step depends on."""

    def __init__(self, setting: Setting, seeds: Sequence[int], device: torch.device) -> None:
        self.setting, self.device, self.step = setting, device, 0
        models = [build(setting, seed).to(device) for seed in seeds]
        drawn = [streams(seed) for seed in seeds]
        self.batches = [Batches(setting, fresh, device) for fresh, _, _ in drawn]
        self.words = [Words(words, device) for _, _, words in drawn]
        self.held_out = [
            HeldOut(setting, model, fixed, device) for model, (_, fixed, _) in zip(models, drawn, strict=True)
        ]
        self.recorders = [Recorder(setting) for _ in seeds]
        self.ended: list[int | None] = [None for _ in seeds]
        """The step at which a seed diverged, 0 if it came to its end, None while it trains."""
        # One seed trains its model itself; several train stacked parameters, and the first model lends them its shape.
        self.model = models[0]
        self.alone = len(seeds) == 1
        self.parameters: dict[str, Tensor] = dict(self.model.named_parameters())
        if not self.alone:
            self.parameters = stack_module_state(models)[0]  # type: ignore[arg-type]
        self.sites = as_model(self.model).sites(setting.batch, setting.context)
        self.optimizer = _optimizer(self.model, self.parameters, setting)

    @property
    def running(self) -> bool:
        return None in self.ended and self.step < self.setting.steps

    @property
    def due(self) -> bool:
        return self.setting.records(self.step)

    def advance(self) -> None:
        """One optimiser step of every seed. Seeds that came to their end go on, unseen: what is stacked stays together."""
        tokens = [one.draw() for one in self.batches]
        noise = [one.draw(self.sites) for one in self.words]
        if self.alone:
            self._differentiate(tokens[0], noise[0])
        else:
            self._differentiate(torch.stack(tokens), [torch.stack(site) for site in zip(*noise, strict=True)])
        self.optimizer.step()
        self.step += 1

    def _differentiate(self, tokens: Tensor, noise: list[Tensor]) -> None:
        """Put the derivatives of each seed's loss where the optimiser looks for them."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.setting.precision == "bfloat16"):
            compiled = as_model(self.model).loss_and_gradients(tokens, noise, self.parameters)
            if compiled is not None:
                for name, parameter in self.parameters.items():
                    parameter.grad = compiled[1][name] if parameter.requires_grad else None
                return
            if self.alone:
                loss = cross_entropy(self.model, tokens, noise)
            else:
                loss = torch.vmap(partial(cross_entropy, self.model))(tokens, noise, self.parameters).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()

    def record(self) -> None:
        """Measure every seed that still trains, and see which of them has come to its end."""
        for n, recorder in enumerate(self.recorders):
            if self.ended[n] is not None:
                continue
            model = self._model_of(n)
            measured = self.held_out[n].measure(model)
            if self.step and recorder.diverges(measured.loss):
                self.ended[n] = self.step
                continue
            parameters = order_parameters(model)
            recorder.add(self.step, measured, tuple(parameters), np.array(list(parameters.values())))
            if self.step and recorder.settled:
                self.ended[n] = 0

    def _model_of(self, n: int) -> nn.Module:
        if not self.alone:
            self.model.load_state_dict({name: one[n] for name, one in self.parameters.items()}, strict=False)
        return self.model

    def trajectories(self) -> list[Trajectory]:
        return [
            recorder.trajectory(diverged=end or None) for recorder, end in zip(self.recorders, self.ended, strict=True)
        ]

    def save(self, checkpoint: Checkpoint) -> None:
        moments = self.optimizer.state_dict()["state"]
        tensors = {f"parameter.{name}": one.detach() for name, one in self.parameters.items()}
        tensors |= {f"optimizer.{i}.{name}": one for i, held in moments.items() for name, one in held.items()}
        for n, recorder in enumerate(self.recorders):
            tensors |= {f"record.{n}.{name}": torch.from_numpy(one) for name, one in recorder.arrays().items()}
        plain = {
            "step": self.step,
            "ended": self.ended,
            "batches": [one.state for one in self.batches],
            "words": [one.state for one in self.words],
            "names": [list(recorder.names) for recorder in self.recorders],
        }
        checkpoint.save(tensors, plain)

    def resume(self, checkpoint: Checkpoint) -> bool:
        """Go on from a checkpoint, if there is one of this very run."""
        found = checkpoint.load()
        if found is None:
            return False
        tensors, plain = found
        with torch.no_grad():
            for name, one in self.parameters.items():
                one.copy_(tensors[f"parameter.{name}"])
        state = self.optimizer.state_dict()
        for name, one in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "optimizer":
                index, _, moment = rest.partition(".")
                state["state"].setdefault(int(index), {})[moment] = one
        self.optimizer.load_state_dict(state)
        self.step, self.ended = plain["step"], plain["ended"]
        for n, recorder in enumerate(self.recorders):
            start = f"record.{n}."
            arrays = {name[len(start) :]: one.numpy() for name, one in tensors.items() if name.startswith(start)}
            recorder.restore(arrays, tuple(plain["names"][n]))
        for streams_of, states in ((self.batches, plain["batches"]), (self.words, plain["words"])):
            for one, held in zip(streams_of, states, strict=True):
                one.restore(held)
        return True


def _optimizer(model: nn.Module, parameters: dict[str, Tensor], setting: Setting) -> torch.optim.Optimizer:
    choice, described = setting.optimizer, as_model(model)
    decayed = described.decayed() if choice.weight_decay else set()
    groups: dict[tuple[str, bool], list[Tensor]] = {}
    for name, one in parameters.items():
        frozen = described.part(name) in setting.frozen
        one.requires_grad_(not frozen)
        if not frozen:
            groups.setdefault((described.group(name), name in decayed), []).append(one)
    options = [
        {"params": some, "lr": choice.learning_rate[group]} | ({"weight_decay": choice.weight_decay} if decays else {})
        for (group, decays), some in groups.items()
    ]
    if choice.name == "sgd":
        return torch.optim.SGD(options, fused=True)
    kind = torch.optim.AdamW if choice.name == "adamw" else torch.optim.Adam
    return kind(options, betas=choice.betas, eps=choice.epsilon, weight_decay=0.0, fused=True)
