"""onset.validate.scores: heads that are what they are called score one, and the controls are what chance gives."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from onset.theory.architecture import Architecture
from onset.theory.setting import Setting
from onset.validate.models.transformer import Transformer
from onset.validate.probes import SCORES
from onset.validate.scores import Targets, copying, head_scores, pattern_scores

TOKENS = torch.from_numpy(np.random.default_rng(0).integers(4, size=(5, 20)))


def ideal(name: str) -> torch.Tensor:
    """The pattern (5, 1, 20, 20) that spreads attention evenly over what the score counts, and falls back on itself."""
    pattern = torch.zeros(5, 1, 20, 20, dtype=torch.float64)
    for b, row in enumerate(TOKENS.tolist()):
        for t in range(20):
            sources = {
                "previous-token": [t - 1] if t else [],
                "prefix-matching": [s for s in range(1, t + 1) if row[s - 1] == row[t]],
                "duplicate-token": [s for s in range(t) if row[s] == row[t]],
            }[name]
            for s in sources or [t]:
                pattern[b, 0, t, s] = 1 / len(sources or [t])
    return pattern


@pytest.mark.parametrize("name", SCORES[:3])
def test_a_head_that_does_one_thing_scores_one_on_it_and_less_on_the_others(name):
    """Its own score is one exactly; the other two lie below."""
    found = dict(zip(SCORES, pattern_scores(ideal(name), Targets.of(TOKENS))[:, 0].tolist(), strict=False))
    assert found.pop(name) == pytest.approx(1, abs=1e-6)
    assert max(found.values()) < 0.9


def test_uniform_attention_scores_its_control(within):
    """On uniform patterns score and control are equal; for duplicate tokens of a long uniform sequence both are near the chance 1/k of a match."""
    uniform = torch.ones(20, 20).tril()
    uniform = (uniform / uniform.sum(1, keepdim=True)).expand(5, 2, 20, 20)
    targets = Targets.of(TOKENS)
    np.testing.assert_allclose(pattern_scores(uniform, targets), targets.control[:, None].expand(3, 2), rtol=1e-5)
    tokens = torch.from_numpy(np.random.default_rng(1).integers(4, size=(20, 200)))
    late = float(Targets.of(tokens).control[SCORES.index("prefix-matching")])
    # Each of 20 sequences holds 200 tokens, half of whose pairs are independent of each other.
    within("prefix matching by chance", late, 1 / 4, np.sqrt(3 / 16 / (20 * 100)))


def test_copying_is_one_for_the_identity_and_its_opposite_for_the_negative():
    """A head that raises what it attends to scores 1, one that lowers it -1, and the score does not depend on the scale."""
    setting = Setting.of("transformer", states=4, context=8, architecture=Architecture(1, 4))
    model = Transformer(setting)
    branch = model.layers[0].attention
    with torch.no_grad():
        for weight in (model.embedding.weight, model.head.weight, branch.projection.weight):
            weight.copy_(torch.eye(4))
        for sign, expected in ((3.0, 1.0), (0.1, 1.0), (-1.0, -1.0)):
            branch.query_key_value.weight[8:].copy_(sign * torch.eye(4))
            assert float(copying(model)[0]) == pytest.approx(expected, abs=1e-6)


def test_heads_that_a_layer_lacks_are_missing():
    """Two heads in layer 1 and one in layer 2: the fourth place holds NaN in every score, the others numbers."""
    model = Transformer(Setting.of("transformer", states=4, context=20, architecture=Architecture(2, 8, (2, 1))))
    found = head_scores(model, model.activations(TOKENS), Targets.of(TOKENS))
    assert found.shape == (4, 2, 2)
    assert torch.isnan(found[:, 1, 1]).all()
    assert torch.isfinite(found[:, 0]).all()


def test_tokens_must_belong_to_the_pattern():
    """Another number of sequences is refused with both shapes."""
    with pytest.raises(ValueError, match=r"tokens of shape \(4, 20\) with a pattern of shape \(5, 1, 20, 20\)"):
        pattern_scores(ideal("previous-token"), Targets.of(TOKENS[:4]))
