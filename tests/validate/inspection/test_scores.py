"""onset.validate.inspection.scores: ideal heads score one, and the controls are what chance gives."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from onset.theory.architecture import Architecture
from onset.theory.setting import Setting
from onset.validate.inspection.inspectable import record
from onset.validate.inspection.scores import HEAD_SCORES, head_scores, targets_on
from onset.validate.inspection.scores.copying import COPYING
from onset.validate.inspection.scores.patterns import PatternScore, pattern_scores
from onset.validate.models.transformer import Transformer
from onset.validate.store.probes import SCORES

TOKENS = torch.from_numpy(np.random.default_rng(0).integers(4, size=(5, 20)))


def ideal(name: str) -> torch.Tensor:
    """The pattern (5, 1, 20, 20) with even attention over the targets of the score, or on itself without targets."""
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


def test_a_token_is_not_a_copy_of_itself():
    """On 0 1 1 2, the copies of each token are earlier ones; attention to the query position scores as no copy does."""
    tokens = torch.tensor([[0, 1, 1, 2]])
    targets = targets_on(tokens)
    counted = {name: (targets.shares[n, 0] > 0).nonzero().tolist() for n, name in enumerate(targets.names)}
    assert counted["previous-token"] == [[1, 0], [2, 1], [3, 2]]
    assert counted["duplicate-token"] == [[2, 1]]
    # Position 2 follows the earlier copy at position 1; no position counts because it holds the query's own token.
    assert counted["prefix-matching"] == [[2, 2]]
    scores = dict(zip(targets.names, pattern_scores(torch.eye(4).expand(1, 1, 4, 4), targets)[:, 0], strict=True))
    assert scores["previous-token"] == scores["duplicate-token"] == 0
    distinct = torch.tensor([[0, 1, 2, 3]])
    assert targets_on(distinct, where_any=True).names == ("previous-token",)


@pytest.mark.parametrize("name", SCORES[:3])
def test_an_ideal_head_scores_one_on_its_score_alone(name):
    """Its score is one; the other two are smaller."""
    scores = dict(zip(SCORES, pattern_scores(ideal(name), targets_on(TOKENS))[:, 0].tolist(), strict=False))
    assert scores.pop(name) == pytest.approx(1, abs=1e-6)
    assert max(scores.values()) < 0.9


def test_uniform_attention_scores_its_control(within):
    """Score and control of uniform patterns are equal; prefix matching of long random sequences is near chance, 1/k."""
    uniform = torch.ones(20, 20).tril()
    uniform = (uniform / uniform.sum(1, keepdim=True)).expand(5, 2, 20, 20)
    targets = targets_on(TOKENS)
    np.testing.assert_allclose(pattern_scores(uniform, targets), targets.control[:, None].expand(3, 2), rtol=1e-5)
    tokens = torch.from_numpy(np.random.default_rng(1).integers(4, size=(20, 200)))
    late = float(targets_on(tokens).control[SCORES.index("prefix-matching")])
    # Each of 20 sequences holds 200 tokens, half of whose pairs are independent of each other.
    within("prefix matching by chance", late, 1 / 4, np.sqrt(3 / 16 / (20 * 100)))


def test_copying_is_one_for_the_identity_and_its_opposite_for_the_negative():
    """A head that raises what it attends to scores 1, one that lowers it -1, whatever the scale of its weights."""
    setting = Setting.of("transformer", states=4, context=8, architecture=Architecture(1, 4))
    model = Transformer(setting)
    branch = model.layers[0].attention
    with torch.no_grad():
        for weight in (model.embedding.weight, model.head.weight, branch.projection.weight):
            weight.copy_(torch.eye(4))
        for sign, expected in ((3.0, 1.0), (0.1, 1.0), (-1.0, -1.0)):
            branch.query_key_value.weight[8:].copy_(sign * torch.eye(4))
            assert float(COPYING.measure(model)[0]) == pytest.approx(expected, abs=1e-6)


def test_random_weights_copy_as_their_control_says(within):
    """k of the k² identically distributed entries of a random effect are on the diagonal: the mean score is 2/k - 1."""
    setting = Setting.of("transformer", states=4, context=2, architecture=Architecture(1, 6), initialization=1.0)
    torch.manual_seed(0)
    models = [Transformer(setting) for _ in range(400)]
    scores = np.array([float(COPYING.measure(model)[0]) for model in models])
    assert COPYING.control(models[0]) == -0.5
    within("copying by chance", scores.mean(), -0.5, scores.std() / np.sqrt(len(scores)))


def test_a_score_is_one_entry_of_the_registry(monkeypatch):
    """Attention to the first token, registered here, is measured with the others, less its control."""
    first = PatternScore("first", "attention to s = 0", "", lambda tokens: torch.eye(20)[0].bool().expand(5, 20, 20))
    monkeypatch.setitem(HEAD_SCORES, "first", first)
    model = Transformer(Setting.of("transformer", states=4, context=20, initialization=0.5))
    recorded = record(model, TOKENS, "patterns")
    score = head_scores(model, recorded, targets_on(TOKENS))["first"]
    expected = [pattern[..., 0].mean() - (1 / torch.arange(1, 21)).mean() for pattern in recorded.patterns]
    np.testing.assert_allclose(score[:, 0], expected, rtol=1e-5)


def test_heads_that_a_layer_lacks_are_missing():
    """Two heads in layer 1 and one in layer 2: the fourth place holds NaN in every score, the others numbers."""
    model = Transformer(Setting.of("transformer", states=4, context=20, architecture=Architecture(2, 8, (2, 1))))
    scores = head_scores(model, record(model, TOKENS, "patterns"), targets_on(TOKENS))
    assert set(scores) == set(HEAD_SCORES)
    stacked = torch.stack([scores[name] for name in SCORES])
    assert stacked.shape == (4, 2, 2)
    assert torch.isnan(stacked[:, 1, 1]).all()
    assert torch.isfinite(stacked[:, 0]).all()
    assert torch.isfinite(stacked[:, 1, 0]).all()


def test_tokens_must_belong_to_the_pattern():
    """Another number of sequences is refused with both shapes."""
    with pytest.raises(ValueError, match=r"tokens of shape \(4, 20\) with a pattern of shape \(5, 1, 20, 20\)"):
        pattern_scores(ideal("previous-token"), targets_on(TOKENS[:4]))


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (torch.tensor([[0, 1, 2, 3]]), r"tokens of shape \(1, 4\) have no target of the prefix-matching score"),
        (torch.tensor([[3]]), "no target of the previous-token score, attention to s = t - 1: expected at least one"),
        (torch.empty((0, 5), dtype=torch.long), "no target of the previous-token score"),
        (torch.tensor([0, 1]), "expected whole numbers of shape"),
        (torch.rand(2, 3), "expected whole numbers of shape"),
    ],
)
def test_tokens_without_a_target_are_refused(tokens, message):
    """A mean over no query is no number."""
    with pytest.raises(ValueError, match=message):
        targets_on(tokens)


def test_a_task_whose_tokens_never_repeat_has_the_other_scores():
    """Left out where asked for, and NaN beside the others then."""
    tokens = torch.arange(12).reshape(2, 6)
    model = Transformer(Setting.of("transformer", states=12, context=6, architecture=Architecture(width=8)))
    scores = head_scores(model, record(model, tokens, "patterns"), targets_on(tokens, where_any=True))
    assert set(scores) == set(HEAD_SCORES)
    unknown = {name for name, score in scores.items() if score.isnan().any()}
    assert unknown == {"prefix-matching", "duplicate-token"}


def test_a_head_that_raises_no_logit_copies_nothing():
    model = Transformer(Setting.of("transformer", states=4, context=6, initialization=0.0))
    assert [score.tolist() for score in COPYING.measure(model)] == [[-1.0], [-1.0]]
