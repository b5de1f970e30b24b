"""Scores of all heads of a language model: time and memory beside plain passes, and beside TransformerLens."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from onset.validate.bench.timing import Timing, agree, compare, memory
from onset.validate.inspection.measuring import attended
from onset.validate.inspection.scores.patterns import PREFIX_MATCHING, VARIANTS, shares_of
from onset.validate.inspection.sequences import Pool

__all__ = ["timings"]

(DETECTOR,) = (score for score in VARIANTS if score.name == "induction, detector")

SEQUENCES = 16

NEEDED = ("transformers", "tokenizers")

THEIRS = "transformer_lens"


def timings(layers: int, width: int) -> Iterator[Timing]:
    """Attention of every head to what followed earlier copies, on `SEQUENCES` sequences of two copies of 50 tokens."""
    if not all(map(find_spec, NEEDED)):
        return
    from onset.validate.models.hugging_face import HuggingFaceModel

    size = f"{layers} layers d={width}, {SEQUENCES} times 101 tokens"
    made = _model(layers, width)
    generator = np.random.default_rng(0)
    drawn = DETECTOR.recipe.batches(Pool(np.arange(1, 5000), first=0), SEQUENCES, generator, tokens=10**6)
    ((tokens, _),) = drawn
    plain = partial(_forward, made, tokens)
    with tempfile.TemporaryDirectory() as folder:
        others = dict(_transformer_lens(made, tokens, Path(folder))) if find_spec(THEIRS) else {}
        ours = HuggingFaceModel(made)
        shares = shares_of(tokens, DETECTOR)
        score = partial(attended, ours, tokens, shares)
        yield compare("scores of heads", size, score, "limit: a forward pass of the model", plain, target="<= 1.5")
        for name, work in others.items():
            agree(name, score().mean(dim=0).numpy(), work(), 1e-4)
            yield compare("scores of heads", size, score, name, work, target=">= 1")
            yield memory("scores of heads, memory", size, score, name, work, target=">= 1")


def _model(layers: int, width: int) -> Any:
    import transformers

    config = transformers.GPT2Config(
        vocab_size=5000,
        n_embd=width,
        n_layer=layers,
        n_head=width // 64,
        n_positions=256,
        bos_token_id=0,
        eos_token_id=0,
    )
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(config).eval()


@torch.no_grad()
def _forward(model: Any, tokens: Tensor) -> Tensor:
    return model(input_ids=tokens, use_cache=False).logits


def _transformer_lens(made: Any, tokens: Tensor, folder: Path) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """Their detector, sequence by sequence as it takes them, and their patterns of all sequences at once."""
    from transformer_lens.head_detector import detect_head  # pyright: ignore[reportMissingImports]
    from transformer_lens.model_bridge import TransformerBridge  # pyright: ignore[reportMissingImports]

    made.save_pretrained(folder)
    bridge = TransformerBridge.boot_transformers(str(folder), device="cpu")
    names = ("n_layers", "n_heads", "n_ctx", "device", "dtype")
    cfg = SimpleNamespace(**{name: getattr(bridge.cfg, name) for name in names})

    @torch.no_grad()
    def detected() -> Tensor:
        scores = []
        for row in tokens:
            _, cache = bridge.run_with_cache(row[None], remove_batch_dim=True)
            shown = SimpleNamespace(cfg=cfg, to_tokens=lambda seq, row=row: row[None])
            scores.append(detect_head(shown, "tokens", "induction_head", cache=cache))
        return torch.stack(scores).mean(dim=0)

    @torch.no_grad()
    def cached() -> Tensor:
        _, cache = bridge.run_with_cache(tokens, names_filter=lambda name: name.endswith("hook_pattern"))
        targets = PREFIX_MATCHING.targets(tokens).float() / tokens.shape[1]
        rows = [torch.einsum("bhts,bts->bh", cache["pattern", layer], targets) for layer in range(cfg.n_layers)]
        return torch.stack(rows, dim=1).mean(dim=0)

    yield "TransformerLens, detect_head", detected
    yield "TransformerLens, run_with_cache of the patterns", cached
