r"""Effect of one head on a later one along the direct path between them, all else as in the intact model.

The sender's output o becomes o', so that the residual stream before the receiver's layer changes by (o' - o) W_O. The
receiver reads the changed stream through its pattern (queries and keys), its values, or both; everything else, the
layers between included, keeps what it computes in the intact model. After Wang et al. (arXiv 2211.00593).
"""

from __future__ import annotations

import torch
from torch import Tensor

from onset.theory import arguments
from onset.validate.inspection.consistency import rounding
from onset.validate.inspection.inspectable import Activations, Head, Inspectable, record
from onset.validate.inspection.interventions import Replace, intervene

__all__ = ["THROUGH", "patched_path"]

THROUGH = ("pattern", "values", "both")
"""What the receiver reads from the changed stream."""


@torch.no_grad()
def patched_path(
    model: Inspectable,
    tokens: Tensor,
    sender: Head,
    receiver: Head,
    *,
    through: str = "pattern",
    output: Tensor | None = None,
) -> Tensor:
    """Logits (B, T, vocabulary) of tokens (B, T) with the path from one head to another changed.

    Parameters
    ----------
    model : Inspectable
    tokens : tensor, shape (B, T)
    sender, receiver : Head
        The receiver in a later layer.
    through : str
        One of `THROUGH`.
    output : tensor, optional
        What the sender's output (B, T, width of a head) becomes on this path; zero by default.

    Raises
    ------
    ValueError
        If the receiver is not later, or heads do not add to the stream directly, as where a norm stands between.
    """
    arguments.one_of("through", through, THROUGH)
    layers = len(model.heads)
    arguments.integer("sender's layer", sender.layer, least=0, most=layers - 2)
    arguments.integer("receiver's layer", receiver.layer, least=sender.layer + 1, most=layers - 1)
    for name, head in (("sender's head", sender), ("receiver's head", receiver)):
        arguments.integer(name, head.head, least=0, most=model.heads[head.layer] - 1)
    recorded = record(model, tokens, "streams", "patterns", "head_outputs", "feed_forwards")
    _require_direct(model, recorded, sender.layer)
    before = recorded.head_outputs[sender.layer][:, :, sender.head]
    after = torch.zeros_like(before) if output is None else output.to(before).expand_as(before)
    intact = recorded.streams[receiver.layer]
    changed = intact + (after - before) @ model.output_weights(sender.layer)[sender.head]
    pattern = recorded.patterns[receiver.layer][:, receiver.head]
    if through != "values":
        patterns: list[Tensor] = []
        with model.hooked("patterns", receiver.layer, patterns.append):
            model.run_from(changed, receiver.layer)
        pattern = patterns[0][:, receiver.head]
    values = model.queries_keys_values(intact if through == "pattern" else changed, receiver.layer)[2]
    with intervene(model, Replace(receiver, pattern @ values[:, :, receiver.head])):
        return model.run_from(intact, receiver.layer)


def _require_direct(model: Inspectable, recorded: Activations, layer: int) -> None:
    """Raise ``ValueError`` unless the layer adds the outputs of its heads and of its feed-forward block, and no more
    than a constant besides."""
    streams, outputs = recorded.streams, recorded.head_outputs[layer]
    added = torch.einsum("bthw,hwd->btd", outputs, model.output_weights(layer))
    if layer in model.feed_forward_layers:
        added = added + recorded.feed_forwards[model.feed_forward_layers.index(layer)]
    rest = streams[layer + 1] - streams[layer] - added
    if (rest - rest[:1, :1]).abs().max() > rounding(rest) * streams[layer + 1].abs().max():
        raise ValueError(
            f"layer {layer} does not add the outputs of its heads to the residual stream as they are, as where a norm "
            "stands between: expected a model in which it does; the path of a head is not defined here."
        )
