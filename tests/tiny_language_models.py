"""Tiny causal language models of many architectures, made from a configuration: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

__all__ = ["ARCHITECTURES", "OUTPUT_PROJECTIONS", "tiny"]

VOCABULARY, CONTEXT = 50, 64

OUR_NAMES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": CONTEXT,
}
GPT2_NAMES = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": CONTEXT}
OPT_NAMES = {key: value for key, value in OUR_NAMES.items() if key != "intermediate_size"} | {"ffn_dim": 48}


def _like_llama(name: str, groups: int = 2, **options: Any) -> Any:
    import transformers

    return getattr(transformers, name)(**OUR_NAMES, num_key_value_heads=groups, **options)


def _config(name: str, **options: Any) -> Any:
    import transformers

    return getattr(transformers, name)(**options)


ARCHITECTURES: dict[str, Callable[[], Any]] = {
    "gpt2": partial(_config, "GPT2Config", **GPT2_NAMES, scale_attn_by_inverse_layer_idx=True),
    "opt": partial(_config, "OPTConfig", **OPT_NAMES, word_embed_proj_dim=32),
    "opt, narrow embedding": partial(
        _config, "OPTConfig", **OPT_NAMES, word_embed_proj_dim=16, do_layer_norm_before=False
    ),
    "gpt-neox": partial(_config, "GPTNeoXConfig", **OUR_NAMES),
    "gpt-neo": partial(
        _config,
        "GPTNeoConfig",
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_layers=2,
        num_heads=4,
        attention_types=[[["global", "local"], 1]],
        window_size=4,
        max_position_embeddings=CONTEXT,
    ),
    "gpt-j": partial(_config, "GPTJConfig", **GPT2_NAMES, rotary_dim=4),
    "llama": partial(_like_llama, "LlamaConfig"),
    "mistral": partial(_like_llama, "MistralConfig", sliding_window=4),
    "mixtral": partial(_like_llama, "MixtralConfig"),
    "qwen2": partial(_like_llama, "Qwen2Config"),
    "qwen3": partial(_like_llama, "Qwen3Config", head_dim=16),
    "gemma": partial(_like_llama, "GemmaConfig", 1, head_dim=16),
    "gemma2": partial(_like_llama, "Gemma2Config", head_dim=16, sliding_window=4),
    "gemma3": partial(_like_llama, "Gemma3TextConfig", 1, head_dim=16, sliding_window=4),
    "smollm3": partial(_like_llama, "SmolLM3Config", pad_token_id=0),
    "phi": partial(_config, "PhiConfig", **OUR_NAMES),
    "gpt-oss": partial(_like_llama, "GptOssConfig", head_dim=16, num_local_experts=2, num_experts_per_tok=1),
}
"""Configurations by architecture: two layers of four heads, with grouped keys, windows, caps and sinks where they have
them."""

OUTPUT_PROJECTIONS = {
    "gpt2": "transformer.h.{}.attn.c_proj",
    "opt": "model.decoder.layers.{}.self_attn.out_proj",
    "opt, narrow embedding": "model.decoder.layers.{}.self_attn.out_proj",
    "gpt-neox": "gpt_neox.layers.{}.attention.dense",
    "gpt-neo": "transformer.h.{}.attn.attention.out_proj",
    "gpt-j": "transformer.h.{}.attn.out_proj",
    "phi": "model.layers.{}.self_attn.dense",
}
"""Output projections of attention; of other architectures, "model.layers.{}.self_attn.o_proj"."""


def tiny(name: str, seed: int = 0, **changes: Any) -> Any:
    """A model of an architecture with random weights, large enough that all of its parts matter; `changes` replace
    entries of its configuration."""
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    config = ARCHITECTURES[name]()
    config.update(changes)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
            else:  # biases and gains
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model
