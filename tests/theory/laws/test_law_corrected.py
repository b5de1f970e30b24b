"""theory.laws.corrected: against the corrected mean field it reduces, and its limit for long contexts."""

from __future__ import annotations

import numpy as np
import pytest

from theory.flow import flow
from theory.laws.corrected import corrected_plane, law_corrected
from theory.laws.escape import Reduced
from theory.laws.plateau_law import law, plane
from theory.mean_fields.corrected.families import LinearCorrected
from theory.priors import Dirichlet
from theory.setting import Setting


@pytest.mark.parametrize("changes", [{}, {"match": 0.01}])
def test_law_agrees_with_the_integrated_corrected_mean_field(changes):
    """Formation at T = 32, at default rates and with a slow match, within twice the law's interval and the square of the correction, (ln T/T)²."""
    setting = Setting.of("linear", states=2, context=32, learning_rate=changes, steps=4000)
    integrated = (
        flow(Reduced(setting.prior, setting.context, field=LinearCorrected).dynamics, setting).transitions()[1].step
    )
    found = law_corrected(setting).transitions()[1]
    allowed = 2 * (found.high - found.step) + (np.log(32) / 32) ** 2 * found.step
    print(f"{found.step / integrated - 1:+.3f} of {allowed / integrated:.3f}")
    assert abs(found.step - integrated) < allowed
    uncorrected = law(setting).transitions()[1].step
    assert abs(found.step - integrated) < abs(uncorrected - integrated) / 2


def test_correction_falls_with_the_context(slope):
    """Relative change of the force at E = 1: of order ln T/T."""
    contexts, moved = (32, 64, 128), []
    for context in contexts:
        moved.append(corrected_plane(Dirichlet(2), context).force[0] / plane(Dirichlet(2), context).force[0] - 1)
    found = slope(contexts, np.array(moved) / np.log(contexts))
    print(np.round(moved, 3), found)
    # The constant beside the logarithm shifts the slope by about 1/ln T.
    assert abs(found + 1) < 1 / np.log(contexts[0])


def test_what_it_refuses():
    with pytest.raises(ValueError, match="optimizer"):
        law_corrected(Setting.of("linear", optimizer="adam"))
    with pytest.raises(ValueError, match="family"):
        law_corrected(Setting.of("transformer"))
