"""onset.validate.inspection.measuring: scores on ideal heads and by naive loops, whatever the batches."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from onset.theory.architecture import Architecture
from onset.theory.setting import Setting
from onset.validate.inspection import measuring
from onset.validate.inspection.inspectable import record
from onset.validate.inspection.measuring import measure
from onset.validate.inspection.scores.outputs import OUTPUT_SCORES, logit_gradients
from onset.validate.inspection.scores.patterns import (
    DUPLICATE_TOKEN,
    PREFIX_MATCHING,
    PREVIOUS_TOKEN,
    VARIANTS,
    PatternScore,
    shares_of,
)
from onset.validate.inspection.sequences import Pool, Recipe
from onset.validate.models.transformer import Transformer

VOCABULARY = 40
POOL = Pool(np.arange(1, VOCABULARY), first=0)
SHORT = Recipe(4, 3, first=True)
PATTERNS = (PREVIOUS_TOKEN, PREFIX_MATCHING, DUPLICATE_TOKEN, *VARIANTS)


class Ideal:
    """Three heads in one layer that attend to the previous token, to successors of earlier copies, and to copies."""

    heads = (3,)
    unembedding_matrix = torch.eye(VOCABULARY)

    def __init__(self):
        self._functions = []

    @contextmanager
    def hooked(self, activation, layer, function):
        self._functions.append((activation, function))
        try:
            yield
        finally:
            self._functions.remove((activation, function))

    def __call__(self, tokens):
        pattern = torch.zeros(len(tokens), 3, tokens.shape[1], tokens.shape[1])
        for b, row in enumerate(tokens.tolist()):
            for t in range(len(row)):
                copies = [s for s in range(t) if row[s] == row[t]]
                for head, sources in enumerate(([t - 1] if t else [0], [s + 1 for s in copies] or [0], copies or [0])):
                    for s in sources:
                        pattern[b, head, t, s] = 1 / len(sources)
        for activation, function in self._functions:
            function(pattern if activation == "patterns" else torch.zeros(*tokens.shape, 2))


def _model(layers=2):
    torch.manual_seed(0)
    shape = Architecture(layers, 12, (3, 2)[:layers], dropout=0.0)
    setting = Setting.of("transformer", states=VOCABULARY, context=30, architecture=shape, initialization=0.7)
    return Transformer(setting).double()


def test_ideal_heads():
    """Prefix matching tells the induction head, and its control has nothing to match; the previous-token head has no
    control by content.
    """
    chosen = [PREVIOUS_TOKEN, PREFIX_MATCHING, DUPLICATE_TOKEN]
    chosen = [PatternScore(s.name, "", "", s.targets, SHORT, by_content=s.by_content) for s in chosen]
    previous, prefix, duplicate = measure(Ideal(), POOL, chosen, sequences=5)
    np.testing.assert_allclose(previous.values[:, 0, 0], 1, rtol=1e-6)
    np.testing.assert_allclose(prefix.values[:, 0, 1], 1, rtol=1e-6)
    np.testing.assert_allclose(duplicate.values[:, 0, 2], 1, rtol=1e-6)
    np.testing.assert_allclose(prefix.control[:, 0, 1], 0)
    np.testing.assert_allclose(duplicate.control[:, 0, 2], 0)
    np.testing.assert_allclose(previous.control, previous.chance, rtol=1e-6)
    assert previous.chance == pytest.approx(np.mean([1 / (t + 1) for t in range(1, 13)]))
    # Queries of copies 2 and 3 have one and two targets among t + 1 positions.
    assert prefix.chance == pytest.approx(np.mean([(1 if t < 9 else 2) / (t + 1) for t in range(5, 13)]))


@pytest.mark.parametrize("score", PATTERNS, ids=lambda score: score.name)
def test_weights_by_the_letter(score):
    """Each definition written out as a loop over queries and earlier copies, on one short sequence of its kind."""
    copies, first = score.recipe.copies, score.recipe.first
    length, body = 5, list(range(7, 12))
    row = [0] * first + body * copies
    T = len(row)
    pattern = torch.from_numpy(np.random.default_rng(0).dirichlet(np.ones(T), size=T)).tril()
    if score.name == "previous-token":
        total, queries = sum(pattern[t, t - 1] for t in range(1, T)), T - 1
    elif score.name == "duplicate-token":
        total = sum(pattern[t, s] for t in range(T) for s in range(t) if row[s] == row[t])
        queries = (copies - 1) * length
    elif score.name == "induction stripe":
        queries = range(length - 1, T)
        total, queries = sum(pattern[t, t - length + 1] for t in queries), len(queries)
    else:
        total = sum(pattern[t, s] for t in range(T) for s in range(1, t + 1) if row[s - 1] == row[t])
        queries = T if score.name == "induction, detector" else (copies - 1) * length
        if score.name.endswith("released"):
            # As released: for j from L + 1 to 4 L, positions num·L + (j mod L) + 1 for num below ⌊j/L⌋.
            total = sum(
                pattern[j, num * length + j % length + 1]
                for j in range(length + 1, 4 * length + 1)
                for num in range(j // length)
            )
            queries = 3 * length
    value = float((shares_of(torch.tensor([row]), score)[0] * pattern).sum())
    assert value == pytest.approx(float(total / queries), rel=1e-6)


def test_scores_of_a_model_are_those_of_its_recorded_patterns(monkeypatch):
    """Values and controls from patterns that were kept; the same numbers in small batches, and beside other scores."""
    model = _model()
    scores = [PatternScore(s.name, "", "", s.targets, SHORT, s.all_queries, s.by_content) for s in PATTERNS[:3]]
    together = measure(model, POOL, scores, sequences=7, seed=3)
    ((tokens, control),) = SHORT.batches(POOL, 7, np.random.default_rng(3), tokens=10**6)
    for measured in together:
        shares = shares_of(tokens, measured.score)
        for layer, heads in enumerate(model.heads):
            for values, sequences in ((measured.values, tokens), (measured.control, control)):
                if values is measured.control and not measured.score.by_content:
                    continue
                pattern = record(model, sequences, "patterns").patterns[layer]
                expected = torch.einsum("bhts,bts->bh", pattern, shares.double())
                np.testing.assert_allclose(values[:, layer, :heads], expected, rtol=1e-5)
    assert np.isnan(together[0].values[:, 1, 2]).all()
    monkeypatch.setattr(measuring, "BATCH_TOKENS", 30)
    for alone, measured in zip(
        (measure(model, POOL, [s], sequences=7, seed=3)[0] for s in scores), together, strict=True
    ):
        np.testing.assert_allclose(alone.values, measured.values, rtol=1e-5)
        np.testing.assert_allclose(alone.control, measured.control, rtol=1e-5)


def test_derivatives_of_logits_are_finite_differences():
    model, tokens = _model(), torch.arange(12).reshape(2, 6)
    stream = record(model, tokens, "streams").streams[-1]
    chosen = torch.tensor([[3, 5, 7], [1, 0, 30]])
    gradients = logit_gradients(model, stream, chosen)
    direction = torch.randn(stream.shape, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        difference = (model.unembed(stream + 1e-6 * direction) - model.unembed(stream - 1e-6 * direction)) / 2e-6
    expected = difference.gather(-1, chosen[:, None].expand(-1, 6, -1))
    torch.testing.assert_close(torch.einsum("btd,btnd->btn", direction, gradients), expected, rtol=1e-6, atol=1e-8)


def test_output_scores_by_the_letter():
    """Loops over sequences, heads and queries, with matrices of the model's weights."""
    model, recipe = _model(), Recipe(5, 2, first=True)
    scores = [type(s)(s.name, "", "", s.measure, s.chance, recipe, by_content=s.by_content) for s in OUTPUT_SCORES]
    measured = dict(zip((s.name for s in scores), measure(model, POOL, scores, sequences=3, seed=1), strict=True))
    ((tokens, _),) = recipe.batches(POOL, 3, np.random.default_rng(1), tokens=10**6)
    recorded = record(model, tokens, "streams", "patterns", "head_outputs")
    unembedding = model.unembedding_matrix.detach()
    for layer, heads in enumerate(model.heads):
        weights = model.output_weights(layer).detach()
        values = model.queries_keys_values(recorded.streams[layer], layer)[2].detach()
        for b, row in enumerate(tokens.tolist()):
            distinct = sorted(set(row))
            gradients = logit_gradients(model, recorded.streams[-1][b : b + 1], torch.tensor([distinct]))[0]
            for head in range(heads):
                pattern = recorded.patterns[layer][b, head]
                copying, attribution, stated, released = [], [], [], []
                for t in range(len(row)):
                    added = recorded.head_outputs[layer][b, t, head] @ weights[head]
                    raised = gradients[t] @ added
                    above = raised - raised.mean()
                    positive = above.clamp(min=0)
                    share = sum(pattern[t, s] * positive[distinct.index(row[s])] for s in range(t + 1)) / positive.sum()
                    copying.append(2 * share - 1)
                    if t + 1 < len(row) and row[t] in row[:t]:
                        attribution.append(above[distinct.index(row[t + 1])])
                    if t:
                        seen = sorted(set(row[: t + 1]))
                        for vector, shares in ((added, stated), (values[b, t, head] @ weights[head], released)):
                            probability = (unembedding[seen] @ vector).softmax(dim=0)
                            kept = (probability - probability.mean()).clamp(min=0)
                            shares.append(kept[seen.index(row[int(pattern[t].argmax())])] / kept.sum())
                expected = dict(zip(measured, (copying, attribution, stated, released), strict=True))
                for name, numbers in expected.items():
                    value = measured[name].values[b, layer, head]
                    assert value == pytest.approx(float(torch.stack(list(numbers)).mean()), rel=1e-4), name
    assert measured["copying, outputs"].chance == pytest.approx(2 / 6 - 1)


def test_measuring_outputs_leaves_the_model_as_it_is():
    model, tokens = _model(), torch.arange(10)[None]
    before = model(tokens)
    measure(model, POOL, [OUTPUT_SCORES[0]], sequences=2, context=30)
    assert torch.equal(model(tokens), before)
    assert not any(module._forward_hooks for module in model.modules())


def test_patterns_that_are_not_numbers_are_named():
    class Broken(Ideal):
        def __call__(self, tokens):
            for _, function in self._functions:
                function(torch.full((len(tokens), 3, tokens.shape[1], tokens.shape[1]), torch.nan))

    with pytest.raises(ValueError, match="the patterns of layer 0 hold NaN"):
        measure(Broken(), POOL, [PatternScore("p", "", "", PREFIX_MATCHING.targets, SHORT)], sequences=2)


def test_progress_counts_sequences_of_all_recipes():
    calls = []
    scores = [PatternScore("a", "", "", PREFIX_MATCHING.targets, SHORT)]
    scores += [PatternScore("b", "", "", PREFIX_MATCHING.targets, Recipe(5, 2))]
    measure(Ideal(), POOL, scores, sequences=3, progress=lambda *call: calls.append(call))
    assert calls[-1] == (6, 6)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
