"""What the claims about induction heads read from a trained transformer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from onset.simulate.tasks import sampler
from onset.theory.arrays import Array
from onset.theory.recording import Trajectory
from onset.theory.setting import Setting
from onset.theory.transitions import FORMATION_LEVEL
from onset.validate.heads.training import RecordedRun
from onset.validate.inspection import in_context
from onset.validate.inspection.formation import find_formations
from onset.validate.store.jobs import Observation
from onset.validate.store.probes import SCORES

if TYPE_CHECKING:
    from torch import Tensor

    from onset.validate.inspection.inspectable import Head, Inspectable
    from onset.validate.models import Model

__all__ = ["Trained", "best_scores", "formed", "halfway", "of_seeds", "predicted_scores"]

GROUPS = 8
"""Groups of held-out chains, whose spread is the error of a predicted score."""

SEQUENCES = 256
"""Fresh sequences on which a trained model is measured: a loss of about a nat is then known to a few percent."""


def best_scores(run: Trajectory, score: str = "prefix-matching") -> Array:
    """The largest score of any head above its control at each record."""
    return np.nanmax(run.probes["head_score"][:, SCORES.index(score)], axis=(1, 2))


def predicted_scores(setting: Setting, curve: Trajectory) -> Array:
    """In-context-learning scores of a toy at each record of a predicted curve, shape (groups, records), from its match,
    read-out and lag logits on groups of fresh chains, the next token averaged out."""
    import torch

    from onset.validate.models import build
    from onset.validate.training.held_out import HeldOutSequences

    sequences = HeldOutSequences(setting.task, np.random.default_rng(0), torch.device("cpu"))
    model, rows = build(setting), []
    for place in range(len(curve.steps)):
        _set_order_parameters(model, {name: float(values[place]) for name, values in curve.parameters.items()})
        with torch.no_grad():
            losses = sequences.cross_entropies(model)[-1].double().numpy()
        rows.append(losses.reshape(GROUPS, -1, losses.shape[-1]).mean(axis=1))
    return in_context.in_context_scores(np.stack(rows, axis=1))


def _set_order_parameters(model: Model, values: Mapping[str, float]) -> None:
    """Matrices with the given entries on and off their diagonals; lag logits that are not given are zero."""
    import torch

    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            given = [value for key, value in values.items() if key.startswith(f"{name}.")]
            entries = np.pad(given, (0, len(parameter) - len(given)))
        else:
            diagonal = np.eye(len(parameter), dtype=bool)
            entries = np.where(diagonal, values[f"{name}.diagonal"], values[f"{name}.off_diagonal"])
        parameter.data = torch.from_numpy(entries).to(parameter)


def formed(setting: Setting, run: Trajectory, kind: str = "induction head") -> float | None:
    """The step at which the first head of a kind forms in any layer."""
    steps = [t.step for (_, name), t in find_formations(setting, run).items() if name == kind and t.step is not None]
    return min(steps, default=None)


def halfway(steps: Array, values: Array) -> float:
    """The first step at which a curve has made half of its way from its first to its last value, interpolated."""
    share = (values - values[0]) / (values[-1] - values[0])
    after = int(np.argmax(share >= 0.5))
    return float(np.interp(0.5, share[after - 1 : after + 1], steps[after - 1 : after + 1]))


class Trained(RecordedRun):
    """A trained transformer with its recorded scores, and fresh sequences of its task on which it is measured."""

    @cached_property
    def model(self) -> Inspectable:
        from onset.validate.models import trained

        return trained(self.setting, self.curve.weights).eval()  # type: ignore[return-value]

    @cached_property
    def untrained(self) -> Inspectable:
        """As it was before training."""
        from onset.validate.models import build

        return build(self.setting, self.seed).eval()  # type: ignore[return-value]

    def tokens(self, part: int = 0) -> Tensor:
        """Fresh sequences (n, T) with the token that is only predicted left out; other ones for another part."""
        import torch

        generator = np.random.default_rng((self.seed, part))
        drawn = sampler(self.setting.task).held_out(SEQUENCES, generator).tokens[:, :-1]
        return torch.from_numpy(drawn.astype(np.int64))

    def heads(self, score: str, level: float = FORMATION_LEVEL) -> list[Head]:
        """Heads whose last recorded score exceeds its control by a level, the largest first."""
        from onset.validate.inspection.inspectable import Head

        last = self.curve.probes["head_score"][-1, SCORES.index(score)]
        places = [Head(int(layer), int(head)) for layer, head in zip(*np.nonzero(last > level), strict=True)]
        return sorted(places, key=lambda place: -last[place])


def of_seeds(observed: Observation) -> list[Trained]:
    """The trained models of a setting."""
    pairs = zip(observed.seeds, observed.trajectories, strict=True)
    return [Trained(observed.setting, seed, run) for seed, run in pairs]
