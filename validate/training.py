"""Train a model on fresh sequences and record, along training, what theory predicts of it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from simulate.sequences import Sample, next_rows, sample
from simulate.strategies import predict
from theory import arguments
from theory.chains import entropy
from theory.dynamics import Measurement, Progress, Recorder, Trajectory
from theory.setting import Setting
from validate.models.ngram_toy import NgramToy
from validate.models.toy import Toy
from validate.models.transformer import Transformer

__all__ = ["HELD_OUT", "build", "resolve_device", "train"]

HELD_OUT = 512
"""Sequences on which a run is measured; each seed draws its own, so that intervals over seeds contain their sampling error."""

PART = 64
"""Of them at a time through the model, about as many as train: larger tensors would only grow the process."""

MODELS: dict[str, type[nn.Module]] = {"linear": Toy, "softmax": Toy, "transformer": Transformer}
"""The one place where a trained family is registered."""

OF_ORDER: dict[str, type[nn.Module]] = {"linear": NgramToy, "softmax": NgramToy}
"""The same for chains of order n > 2, where that takes another model."""


def resolve_device(name: str = "auto") -> torch.device:
    """The torch device for ``auto``, ``cpu``, ``cuda`` or ``mps``; a ``ValueError`` if it is not there."""
    arguments.one_of("device", name, ("auto", "cpu", "cuda", "mps"))
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if there[kind]))
    if not there[name]:
        raise ValueError(f"device = {name!r}: torch finds none on this machine; use device = 'auto' or 'cpu'.")
    return torch.device(name)


def build(setting: Setting, seed: int = 0) -> nn.Module:
    """A freshly initialised model of the setting's family."""
    torch.manual_seed(seed)
    models = MODELS if setting.order == 2 else MODELS | OF_ORDER
    return models[setting.family](setting)


class HeldOut:
    """The same held-out sequences for every measurement of a run, with the strategies' predictions on them."""

    def __init__(self, setting: Setting, generator: np.random.Generator, device: torch.device) -> None:
        drawn = sample(setting, HELD_OUT, generator)
        self.tokens = _inputs(drawn, device)[:, :-1]
        alpha = setting.prior.pseudo_count
        laws = {name: predict(drawn.tokens, setting.states, name, alpha) for name in setting.strategies}
        rows = next_rows(drawn)
        self._own = {name: float(entropy(law).mean()) for name, law in laws.items()}
        self._losses = {
            name: -np.einsum("ntj,ntj->n", rows, np.log(law)) / setting.context for name, law in laws.items()
        }
        self._laws = torch.stack([torch.from_numpy(law).to(device, torch.float32) for law in [*laws.values(), rows]])

    @torch.no_grad()
    def measure(self, model: nn.Module) -> Measurement:
        """Loss (next token averaged out), distances to the strategies, layer-1 attention, loss above each strategy's."""
        model.eval()
        log_model = torch.cat([F.log_softmax(model(part), dim=-1) for part in self.tokens.split(PART)])
        *crossed, losses = (
            (-torch.einsum("sntj,ntj->sn", self._laws, log_model) / log_model.shape[1]).double().cpu().numpy()
        )
        distances = {
            name: float(cross.mean()) - own for cross, (name, own) in zip(crossed, self._own.items(), strict=True)
        }
        attention = model.lag_attention(self.tokens).double().cpu().numpy()  # type: ignore[operator]
        model.train()
        above = {name: losses - other for name, other in self._losses.items()}
        excess = {name: (float(d.mean()), float(d.std(ddof=1) / np.sqrt(len(d)))) for name, d in above.items()}
        return Measurement(float(losses.mean()), distances, attention, excess)


def train(
    setting: Setting,
    seed: int = 0,
    *,
    device: torch.device | None = None,
    progress: Progress = lambda step, steps: None,
) -> Trajectory:
    """Train one model of `setting` from `seed`.

    Every step draws `setting.batch` fresh sequences; the loss is the cross-entropy of the next token, averaged over
    all positions. Stops as predictions do: a quarter past the last transition, or at `setting.steps`. On a CPU it
    uses one thread, so that a seed gives the same numbers however many cores there are; seeds run side by side instead.

    Returns
    -------
    Trajectory
        With `diverged` set, and what came before it kept, if the loss stops being finite.
    """
    device = resolve_device("auto") if device is None else device
    if device.type == "cpu":
        torch.set_num_threads(1)
    model = build(setting, seed).to(device)
    optimizer = _optimizer(model, setting)
    fresh, fixed = np.random.default_rng(seed).spawn(2)
    held_out = HeldOut(setting, fixed, device)
    recorder = Recorder(setting)

    def record(step: int) -> bool:
        """Record the model, unless it has diverged."""
        measured = held_out.measure(model)
        if step and recorder.diverges(measured.loss):
            return False
        parameters = _order_parameters(model)
        recorder.add(step, measured, tuple(parameters), np.array(list(parameters.values())))
        return True

    record(0)
    model.train()
    for step in range(1, setting.steps + 1):
        tokens = _inputs(sample(setting, setting.batch, fresh), device)
        loss = F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if recorder.due(step):
            if not record(step):
                return recorder.trajectory(diverged=step)
            progress(step, setting.steps)
            if recorder.settled:
                break
    return recorder.trajectory()


def _inputs(drawn: Sample, device: torch.device) -> Tensor:
    return torch.from_numpy(drawn.tokens).to(device, torch.int64)


def _order_parameters(model: nn.Module) -> dict[str, float]:
    """For the toy families: the mean of each orbit of entries, and the lag logits; named as `theory.dynamics.Layout` does."""
    found: dict[str, float] = {}
    if isinstance(model, Toy | NgramToy):
        for name, parameter in model.named_parameters():
            values = parameter.detach().double().cpu().numpy()
            by_head = isinstance(model, NgramToy) and name != "readout"
            for head, value in enumerate(values if by_head else values[None], start=1):
                whole = f"{name}_{head}" if by_head else name
                if value.ndim == 2:
                    found[f"{whole}.diagonal"] = float(np.diag(value).mean())
                    found[f"{whole}.off_diagonal"] = float(value[~np.eye(len(value), dtype=bool)].mean())
                else:
                    found |= {f"{whole}.{r}": float(v) for r, v in enumerate(value)}
    return found


def _optimizer(model: nn.Module, setting: Setting) -> torch.optim.Optimizer:
    choice = setting.optimizer
    groups = [{"params": parameters, "lr": choice.learning_rate[name]} for name, parameters in model.groups().items()]  # type: ignore[operator]
    if choice.name == "sgd":
        return torch.optim.SGD(groups)
    if choice.weight_decay:
        decayed = {id(p) for p in model.decayed()}  # type: ignore[operator]
        groups = [
            {
                "params": [p for p in group["params"] if (id(p) in decayed) == chosen],
                "lr": group["lr"],
                "weight_decay": decay,
            }
            for group in groups
            for chosen, decay in ((True, choice.weight_decay), (False, 0.0))
        ]
        return torch.optim.AdamW(groups, betas=choice.betas, eps=choice.epsilon)
    return torch.optim.Adam(groups, betas=choice.betas, eps=choice.epsilon)
