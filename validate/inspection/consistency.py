"""Whether a model offers what `Inspectable` says: its parts are run on some tokens and have to fit together."""

from __future__ import annotations

import torch
from torch import Tensor

from onset.validate.inspection.inspectable import Inspectable, PassEnded, last_stream, record

__all__ = ["require_consistent", "rounding"]


def rounding(value: Tensor) -> float:
    """Largest relative difference of what should be equal, after some ten operations in the tensor's number type."""
    return max(1e-3, 16 * torch.finfo(value.dtype).eps)


@torch.no_grad()
def require_consistent(model: Inspectable, tokens: Tensor) -> None:
    """Raise ``ValueError`` with what does not fit together in a model on tokens (B, T), T > 1.

    Logits do not depend on later tokens; patterns are shares of earlier positions; head outputs are patterns times
    values; the last stream gives the logits, and so does the stream before each layer when the rest is run from there.
    A pass that a function ends leaves nothing behind.
    """
    recorded = record(model, tokens, "streams", "patterns", "head_outputs", "logits")
    logits = recorded.logits
    assert logits is not None
    name = f"model of type {type(getattr(model, 'model', model)).__name__}"
    if not torch.isfinite(logits).all():
        raise ValueError(f"{name}: its logits are not finite; expected numbers; load it in a wider type.")
    other = tokens.clone()
    other[:, -1] = (other[:, -1] + 1) % logits.shape[-1]
    if _differs(model(other)[:, :-1], logits[:, :-1]):
        raise ValueError(
            f"{name}: its logits change with tokens that come later; expected a causal language model, which predicts "
            "each token from those before it."
        )
    counts = tuple(pattern.shape[1] for pattern in recorded.patterns)
    if counts != tuple(model.heads):
        raise ValueError(f"{name}: `heads` = {tuple(model.heads)}, but its patterns have {counts} heads.")
    for layer, pattern in enumerate(recorded.patterns):
        sums = pattern.sum(dim=-1)
        if pattern.triu(1).abs().max() > 0:
            raise ValueError(
                f"{name}: layer {layer} attends to tokens that come later; expected a causal language model, which "
                "predicts each token from those before it."
            )
        if pattern.min() < 0 or sums.max() > 1 + rounding(pattern):
            raise ValueError(
                f"{name}: the patterns of layer {layer} are no shares of earlier positions; `hooked` has to give them "
                "after their softmax."
            )
        value = model.queries_keys_values(recorded.streams[layer], layer)[2]
        if _differs(torch.einsum("bhts,bshd->bthd", pattern, value), recorded.head_outputs[layer]):
            raise ValueError(
                f"{name}: the head outputs of layer {layer} are not its patterns times its values; `hooked` has to "
                "give them before the output projection."
            )
    for layer in sorted({0, len(counts) // 2, len(counts) - 1}):
        if _differs(model.run_from(recorded.streams[layer], layer), logits):
            raise ValueError(f"{name}: run from the stream before layer {layer}, it gives other logits.")
    if _differs(model.unembed(recorded.streams[-1]), logits):
        raise ValueError(f"{name}: `unembed` of the last stream gives other logits.")
    if _differs(last_stream(model, tokens), recorded.streams[-1]):
        raise ValueError(f"{name}: its last stream is another when the pass ends there.")
    try:
        model(tokens)
    except PassEnded:
        raise ValueError(
            f"{name}: functions of `hooked` are called after their context has ended with an exception; expected that "
            "it removes them; use try and finally."
        ) from None


def _differs(value: Tensor, expected: Tensor) -> bool:
    return not float((value - expected).abs().max()) <= rounding(expected) * float(expected.abs().max())
