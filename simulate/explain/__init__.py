"""What sets the time of a setting, in numbers and in words: `explanation` by the plateau law, `softmax` by that of the softmax family, `asides` what else."""

from __future__ import annotations

from onset.simulate.explain.explanation import Explanation, Stage, explain

__all__ = ["Explanation", "Stage", "explain"]
