"""A trained transformer as measures use it: before and after training, with fresh sequences of its task."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch

from onset.simulate.tasks import sampler
from onset.theory.transitions import FORMATION_LEVEL
from onset.validate.heads.training import RecordedRun
from onset.validate.inspection.inspectable import Head, Inspectable
from onset.validate.models import build, trained
from onset.validate.store.probes import SCORES

__all__ = ["Trained"]

SEQUENCES = 256
"""Fresh sequences on which a trained model is measured: a loss of about a nat is then known to a few percent."""


class Trained(RecordedRun):
    """A trained transformer with its recorded scores, and fresh sequences of its task on which it is measured."""

    @cached_property
    def model(self) -> Inspectable:
        return trained(self.setting, self.curve.weights).eval()  # type: ignore[return-value]

    @cached_property
    def untrained(self) -> Inspectable:
        """As it was before training."""
        return build(self.setting, self.seed).eval()  # type: ignore[return-value]

    def tokens(self, part: int = 0) -> torch.Tensor:
        """Fresh sequences (n, T) with the token that is only predicted left out; other ones for another part."""
        generator = np.random.default_rng((self.seed, part))
        drawn = sampler(self.setting.task).held_out(SEQUENCES, generator).tokens[:, :-1]
        return torch.from_numpy(drawn.astype(np.int64))

    def heads(self, score: str, level: float = FORMATION_LEVEL) -> list[Head]:
        """Heads whose last recorded score exceeds its control by a level, the largest first."""
        last = self.curve.probes["head_score"][-1, SCORES.index(score)]
        places = [Head(int(layer), int(head)) for layer, head in zip(*np.nonzero(last > level), strict=True)]
        return sorted(places, key=lambda place: -last[place])
