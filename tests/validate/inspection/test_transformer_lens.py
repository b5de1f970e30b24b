"""Scores of heads as TransformerLens gives them for the same models and tokens, where it is installed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformer_lens", exc_type=ImportError)

import tiny_language_models
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformer_lens.head_detector import detect_head
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedTokenizerFast

from onset.validate.inspection.inspectable import record
from onset.validate.inspection.measuring import measure
from onset.validate.inspection.scores.patterns import DUPLICATE_TOKEN, PREVIOUS_TOKEN, VARIANTS, PatternScore
from onset.validate.inspection.sequences import Pool, Recipe
from onset.validate.models.hugging_face import HuggingFaceModel

(DETECTOR,) = (score for score in VARIANTS if score.name == "induction, detector")

NAMES = {
    "induction_head": DETECTOR.targets,
    "previous_token_head": PREVIOUS_TOKEN.targets,
    "duplicate_token_head": DUPLICATE_TOKEN.targets,
}
"""Their names, and our targets."""

SEQUENCES = 3


@pytest.fixture(params=["gpt2", "llama", "gpt-neox"])
def models(request, tmp_path):
    """The same model in both packages."""
    made = tiny_language_models.tiny(request.param)
    made.save_pretrained(tmp_path)
    words = Tokenizer(WordLevel({str(token): token for token in range(made.config.vocab_size)}, "0"))
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="0").save_pretrained(tmp_path)
    theirs = TransformerBridge.boot_transformers(str(tmp_path), device="cpu")
    return HuggingFaceModel(made), theirs


def detected(bridge, tokens: torch.Tensor, name: str, cache=None) -> np.ndarray:
    """Their scores (layers, heads) of one sequence."""
    cfg = SimpleNamespace(
        **{key: getattr(bridge.cfg, key) for key in ("n_layers", "n_heads", "n_ctx", "device", "dtype")}
    )
    if cache is None:
        _, cache = bridge.run_with_cache(tokens[None], remove_batch_dim=True)
    shown = SimpleNamespace(cfg=cfg, to_tokens=lambda seq: tokens[None])
    return detect_head(shown, "tokens", name, cache=cache).numpy()


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_theirs(models, name):
    """Under their definition, which counts queries without a target: on their patterns of the model, and on ours."""
    ours, theirs = models
    recipe, pool = Recipe(8, 2), Pool.of(ours.vocabulary)
    score = PatternScore(name, "", "", NAMES[name], recipe, all_queries=True)
    (measured,) = measure(ours, pool, [score], sequences=SEQUENCES)
    batches = recipe.batches(pool, SEQUENCES, np.random.default_rng(0), tokens=100)
    rows = [row for tokens, _ in batches for row in tokens]
    assert len(rows) == SEQUENCES
    for row, values in zip(rows, measured.values, strict=True):
        np.testing.assert_allclose(values, detected(theirs, row, name), atol=1e-5)
        patterns = record(ours, row[None], "patterns").patterns
        cache = {("pattern", layer, "attn"): pattern[0] for layer, pattern in enumerate(patterns)}
        np.testing.assert_allclose(values, detected(theirs, row, name, cache), atol=1e-6)
