"""onset.validate.measures: what is measured of public models, on a model whose heads are known."""

from __future__ import annotations

import numpy as np
import pytest
from built_transformers import induction_transformer

pytest.importorskip("torch")

from onset.validate.inspection.sequences import Pool
from onset.validate.measures import measure
from onset.validate.measures.public import ablation, circuits, generality, pruning, specificity
from onset.validate.models.loading import LanguageModel
from onset.validate.store import public_models
from onset.validate.store.public_models import SMOLLM2

VOCABULARY, CONTEXT = 420, 200


class Words:
    """A tokenizer of whole words, each one token, given in the order in which they are first seen."""

    def __init__(self):
        self.known: dict[str, int] = {}

    def encode(self, text, add_special_tokens):
        assert text.startswith(" ")
        assert not add_special_tokens
        return [self.known.setdefault(text, len(self.known))]


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    made = induction_transformer(VOCABULARY, CONTEXT)
    return LanguageModel("made", made, Words(), Pool.of(VOCABULARY), "made by hand")


def test_ablation_of_the_induction_head(model):
    result = ablation.measure(model, 0, lambda done, total: None)
    assert [(head["layer"], head["head"]) for head in result["heads"]] == [(1, 1)]
    assert result["heads"][0]["score"] > 0.9
    losses = {loss["ablated"]: loss["second copy"]["loss"] for loss in result["losses"]}
    assert losses["these"] > losses["none"] + 2
    assert losses["others"] == pytest.approx(losses["none"], abs=0.1)


def test_a_model_without_induction_heads_is_refused(model):
    flat = induction_transformer(VOCABULARY, CONTEXT)
    flat.layers[1].attention.query_key_value.weight.data.zero_()
    with pytest.raises(ValueError, match=r"no head has a prefix-matching score above 0\.4"):
        ablation.measure(LanguageModel("flat", flat, None, model.pool, ""), 0, lambda done, total: None)


def test_weights_tell_the_induction_head(model):
    result = circuits.measure(model, 0, lambda done, total: None)
    assert result["strong among the largest traces"] == 1
    assert result["chance"] == pytest.approx(1 / 2)
    assert result["traces and prefix matching"] == pytest.approx(1)


def test_a_head_that_matches_equal_tokens_alone_is_not_general(model, monkeypatch):
    """Nothing repeats on any of these sequences."""
    monkeypatch.setattr(generality, "SEQUENCES", 4)
    result = generality.measure(model, 0, lambda done, total: None)
    assert [(head["layer"], head["head"]) for head in result["heads"]] == [(1, 1)]
    for kind in generality.KINDS:
        assert np.abs(result["scores"][kind]["excess"]).max() < 0.05, kind


@pytest.mark.parametrize("kind", generality.KINDS)
def test_targets_are_what_followed_the_like_and_controls_hold_nothing_alike(model, kind):
    for seed in range(5):
        drawn = generality.KINDS[kind](model, np.random.default_rng(seed))
        words = {token: word.strip() for word, token in model.tokenizer.known.items()}
        assert len(set(drawn.tokens.tolist())) == len(drawn.tokens) or kind == "inexact prefixes"
        assert len(set(drawn.control.tolist())) == len(drawn.control)
        assert len(drawn.control) == len(drawn.tokens)
        queries, sources = np.nonzero(drawn.targets)
        assert len(queries) > 10
        assert (sources < queries).all()
        for query, source in zip(queries, sources, strict=True):
            now, before = drawn.tokens[query], drawn.tokens[source - 1]
            if kind == "translation":
                assert words[now] == words[before].capitalize() != words[drawn.control[query]]
            elif kind == "categories":
                category = {word: name for name, listed in generality.CATEGORIES.items() for word in listed.split()}
                assert category[words[now]] == category[words[before]]
                assert category[words[drawn.tokens[source]]] == generality.FOLLOWS[category[words[now]]]
            else:
                assert now not in drawn.tokens[:query]
                assert drawn.tokens[query - 1] == drawn.tokens[source - 2]
                assert drawn.tokens[query + 1] == drawn.tokens[source]


def test_a_tokenizer_is_needed_for_words():
    bare = LanguageModel("bare", induction_transformer(VOCABULARY, CONTEXT), None, Pool.of(VOCABULARY), "")
    with pytest.raises(ValueError, match="model bare: it has no tokenizer"):
        generality.KINDS["translation"](bare, np.random.default_rng(0))


def test_pruning_keeps_the_induction_head_to_the_end(model, monkeypatch):
    """Of four heads one writes nothing that matters to either task; half of them can go, and the capacity stays."""
    monkeypatch.setattr(pruning, "EXAMPLES", 4)
    monkeypatch.setattr(pruning, "PERCENT", (0, 25, 50, 75))
    result = pruning.measure(model, 0, lambda done, total: None)
    for task in pruning.TASKS:
        accuracy = result["tasks"][task]["accuracy"]["importance"]
        assert accuracy[0] > 0.8
        assert accuracy[2] == accuracy[0]
        assert result["tasks"][task]["capacity"] == pytest.approx([1, 1, 1, 1], abs=0.05)
        assert accuracy[3] < accuracy[0] / 2  # the previous-token head is gone


def test_a_public_model_is_measured_by_name_or_the_reason_is_said(model, monkeypatch):
    monkeypatch.setattr("onset.validate.models.loading.load", lambda path, device: model)
    monkeypatch.setattr("onset.validate.measures._loaded", lambda given, device: model)
    assert [head["layer"] for head in measure(SMOLLM2, "ablation")["heads"]] == [1]
    with pytest.raises(ValueError, match="measure = 'ablations': expected one of"):
        measure(SMOLLM2, "ablations")
    monkeypatch.undo()
    monkeypatch.setattr(public_models, "folders_of", lambda package: [])
    with pytest.raises(ValueError, match="SmolLM2-135M is not installed"):
        measure(SMOLLM2, "ablation")


def test_the_induction_head_alone_exceeds_chance_and_one_layer_has_none(model):
    """In no draw is another head taken for one, nor any of a model whose second layer attends evenly."""
    flat = induction_transformer(40, 30)
    flat.layers[1].attention.query_key_value.weight.data.zero_()
    for seed in range(20):
        result = specificity.measure(model, seed, lambda done, total: None)
        assert (result["heads"], result["largest"] > 0.5) == (1, True)
        assert specificity.exceeding_heads(flat, Pool.of(40), seed)[0] == 0
