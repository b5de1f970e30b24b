r"""Causal language models of `transformers`, as models whose activations can be read and replaced.

No architecture is described here. A model's attention modules are those that call `eager_attention.attend` during a
forward pass; its layers, the entries of the list of modules that holds one of them each. A part of the model runs in
the model's own forward pass, in which the other layers pass on what they are given, so that masks, positions, norms and
caps are the model's. Linear maps from a stream to keys, say, are read off a basis.

Needs the extra ``lm``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from onset.validate.inspection.consistency import require_consistent, rounding
from onset.validate.inspection.inspectable import HeadWeights
from onset.validate.models import eager_attention
from onset.validate.models.eager_attention import ADAPTORS, NAME, calling_modules, site_of

__all__ = ["HuggingFaceModel"]

PROBED = 8
"""Tokens of the forward passes that find the parts of a model and compare it with the original."""

REGISTER = "see docs/guides/own-model.md for how to register its attention"


class HuggingFaceModel(nn.Module):
    """A causal language model of `transformers`; it is an `Inspectable`.

    The model is put into evaluation mode, and its attention is replaced by an equal one that can be observed.

    Parameters
    ----------
    model : transformers.PreTrainedModel

    Attributes
    ----------
    model : transformers.PreTrainedModel
    heads : tuple of int
        Query heads of each layer, whatever the number of key-value heads.
    context : int or None
        Longest sequence, where the model has one.
    vocabulary : int
        Number of token embeddings.
    width : int
        d, of the residual stream.

    Raises
    ------
    ValueError
        If it is no causal language model whose every layer has attention, or its attention is not understood.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        _require_causal(model)
        self.model = model.eval()
        self.context = _context(model)
        self.vocabulary = int(model.get_input_embeddings().weight.shape[0])
        tokens = torch.arange(min(PROBED, self.context or PROBED), device=self.device)[None] % self.vocabulary
        with torch.no_grad():
            original = _original_logits(model, tokens)
            _open(model)
            self._attention, self._layers = _parts(model, tokens)
            self._sites = [site_of(module) for module in self._attention]
            self._feed_forwards = _feed_forwards(model, self._layers, self._attention, tokens)
            self._tuples, self.heads, self.width, ours = self._measured(tokens)
        if not torch.isfinite(original).all():
            raise ValueError(
                f"{_named(model)}: expected numbers, but its logits are not finite; load it in a wider type."
            )
        difference = float((ours - original).abs().max() / original.std())
        if not difference < rounding(original):
            raise ValueError(
                f"{_named(model)}: expected attention of the kind that onset computes, but with that logits differ by "
                f"{difference:.2g} of their standard deviation from the model's own; {REGISTER}."
            )
        require_consistent(self, tokens)

    @property
    def _like(self) -> Tensor:
        """A tensor of the model's type and device."""
        return next(self.model.parameters())

    @property
    def device(self) -> torch.device:
        return self._like.device

    def forward(self, tokens: Tensor) -> Tensor:
        """Next-token logits (B, T, vocabulary) of tokens (B, T).

        Raises
        ------
        ValueError
            If tokens lie outside the vocabulary, or are more than the model's context.
        """
        if self.context is not None and tokens.shape[-1] > self.context:
            raise ValueError(
                f"tokens of shape {tuple(tokens.shape)}: expected at most {self.context} in a sequence, the context of "
                "the model; give shorter sequences."
            )
        if tokens.numel() and not (int(tokens.min()) >= 0 and int(tokens.max()) < self.vocabulary):
            raise ValueError(
                f"tokens from {int(tokens.min())} to {int(tokens.max())}: expected 0 to {self.vocabulary - 1}, the "
                "vocabulary of the model; use its own tokenizer."
            )
        return self.model(input_ids=tokens, use_cache=False).logits

    @property
    def feed_forward_layers(self) -> tuple[int, ...]:
        return tuple(self._feed_forwards)

    @property
    @torch.no_grad()
    def embedding_matrix(self) -> Tensor:
        """What each token adds to the first stream, shape (vocabulary, d): less what is there without its embedding."""
        tokens = torch.arange(self.vocabulary, device=self.device)[:, None]
        with_tokens = self._first_stream(tokens)
        handle = self.model.get_input_embeddings().register_forward_hook(
            lambda _, args, output: torch.zeros_like(output)
        )
        try:
            return (with_tokens - self._first_stream(tokens[:1]))[:, 0]
        finally:
            handle.remove()

    def _first_stream(self, tokens: Tensor) -> Tensor:
        streams: list[Tensor] = []
        with self._part(0, 0, None), self.hooked("streams", 0, streams.append):
            self.model.base_model(input_ids=tokens, use_cache=False)
        return streams[0]

    @property
    def unembedding_matrix(self) -> Tensor:
        return self.model.get_output_embeddings().weight

    def unembed(self, stream: Tensor) -> Tensor:
        return self.run_from(stream, len(self.heads))

    def normalise(self, stream: Tensor) -> Tensor:
        head, given = self.model.get_output_embeddings(), []

        def forward(value: Tensor) -> Tensor:
            given.append(value)
            return value.new_zeros((*value.shape[:-1], len(head.weight)))

        head.forward = forward
        try:
            self.unembed(stream)
        finally:
            del head.forward
        return given[0]

    def run_from(self, stream: Tensor, layer: int) -> Tensor:
        with self._part(layer, len(self.heads), stream):
            return self.model(input_ids=_any_tokens(stream), use_cache=False).logits

    def queries_keys_values(self, stream: Tensor, layer: int) -> tuple[Tensor, Tensor, Tensor]:
        captured: list[tuple[Tensor, Tensor, Tensor]] = []
        with self._sites[layer].calling("queries_keys_values", captured.append):
            self._run_layer(stream, layer)
        query, key, value = (tensor.transpose(1, 2) for tensor in captured[0])
        return query, key, value

    @torch.no_grad()
    def output_weights(self, layer: int) -> Tensor:
        """Linear maps (H, width, d) from head outputs to the stream, read off a basis; biases are left out."""
        module, site, stream = self._attention[layer], self._sites[layer], torch.zeros(1, 1, self.width).to(self._like)
        added: list[Tensor] = []
        shapes: list[torch.Size] = []
        with site.calling("head_outputs", lambda output: shapes.append(output.shape[2:])):
            self._run_layer(stream, layer)
        size = shapes[0].numel()
        given = torch.cat([torch.zeros(1, size), torch.eye(size)]).to(stream).unflatten(1, shapes[0])[:, None]
        handle = module.register_forward_hook(_on_output(added.append))
        try:
            with site.calling("head_outputs", lambda output: given):
                self._run_layer(stream.expand(len(given), -1, -1), layer)
        finally:
            handle.remove()
        return (added[0][1:, 0] - added[0][0, 0]).unflatten(0, shapes[0])

    @torch.no_grad()
    def head_weights(self, layer: int) -> HeadWeights:
        """Linear maps of a layer's heads, read off a basis at the first position, where nothing is rotated.

        Raises
        ------
        ValueError
            If queries, keys or values are not linear in the normalised stream, as where they are normalised themselves.
        """
        return HeadWeights(*self._input_maps(layer), self.output_weights(layer))

    @contextmanager
    def hooked(self, activation: str, layer: int, function: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
        if activation in ("streams", "feed_forwards"):
            hook = self._hook_stream if activation == "streams" else self._hook_feed_forward
            with ExitStack() as stack:
                for handle in hook(layer, function):
                    stack.callback(handle.remove)
                yield
            return
        used = self.model.config._attn_implementation
        if used != NAME and type(self._attention[layer]).__name__ not in ADAPTORS:
            raise ValueError(
                f"the attention of the model has been set to {used!r}: expected {NAME!r}, which can be observed; do "
                "not call set_attn_implementation on a model that is inspected."
            )
        with self._sites[layer].calling(activation, function):
            yield

    def _hook_stream(self, layer: int, function: Callable[[Tensor], Tensor | None]) -> list[RemovableHandle]:
        if layer < len(self._layers):
            return [self._layers[layer].register_forward_pre_hook(_on_input(function), with_kwargs=True)]
        return [self._layers[-1].register_forward_hook(_on_output(function))]

    def _hook_feed_forward(self, layer: int, function: Callable[[Tensor], Tensor | None]) -> list[RemovableHandle]:
        shape: list[int] = []

        def note(stream: Tensor) -> None:
            shape[:] = stream.shape

        def in_batches(added: Tensor) -> Tensor | None:
            # Some architectures join sequences and positions.
            replaced = function(added.view(shape))
            return None if replaced is None else replaced.view_as(added)

        return [
            *self._hook_stream(layer, note),
            self._feed_forwards[layer].register_forward_hook(_on_output(in_batches)),
        ]

    @contextmanager
    def _part(self, first: int, last: int, stream: Tensor | None) -> Iterator[None]:
        """Only layers from `first` to before `last` compute; the stream before them becomes `stream`, if given."""
        with ExitStack() as stack:
            for number, (layer, tuples) in enumerate(zip(self._layers, self._tuples, strict=True)):
                if not first <= number < last:
                    stack.enter_context(_passing(layer, tuples))
            for handle in self._hook_stream(first, lambda _: stream):
                stack.callback(handle.remove)
            yield

    def _run_layer(self, stream: Tensor, layer: int) -> None:
        with self._part(layer, layer + 1, stream):
            self.model.base_model(input_ids=_any_tokens(stream), use_cache=False)

    def _measured(self, tokens: Tensor) -> tuple[list[bool], tuple[int, ...], int, Tensor]:
        """Whether each layer returns a tuple, its heads, the width of the stream, and the logits."""
        tuples: list[bool] = []
        heads: list[int] = []
        widths: list[int] = []
        with ExitStack() as stack:
            for handle in self._hook_stream(0, lambda stream: widths.append(stream.shape[-1])):
                stack.callback(handle.remove)
            for layer, site in zip(self._layers, self._sites, strict=True):
                handle = layer.register_forward_hook(lambda _, args, output: tuples.append(isinstance(output, tuple)))
                stack.callback(handle.remove)
                stack.enter_context(site.calling("patterns", lambda pattern: heads.append(pattern.shape[1])))
            logits = self(tokens)
        return tuples, tuple(heads), widths[0], logits

    def _input_maps(self, layer: int) -> tuple[Tensor, Tensor, Tensor]:
        """Maps (H, d, width) from what the attention module is given to unscaled queries, to keys and to values."""
        width = self.width
        # Zero, the basis, and twice its mean: linear if that gives twice the mean of the basis.
        given = torch.cat([torch.zeros(1, width), torch.eye(width), torch.full((1, width), 2 / width)]).to(self._like)[
            :, None
        ]
        handle = self._attention[layer].register_forward_pre_hook(_on_input(lambda _: given), with_kwargs=True)
        try:
            values = self.queries_keys_values(torch.zeros_like(given), layer)
        finally:
            handle.remove()
        maps = []
        for name, value in zip(("queries", "keys", "values"), values, strict=True):
            linear = value[1:, 0] - value[0, 0]
            scale = float(linear[:-1].abs().max())
            if (linear[-1] - 2 * linear[:-1].mean(dim=0)).abs().max() > rounding(value) * scale:
                raise ValueError(
                    f"{_named(self.model)}: its {name} are not linear in the normalised stream, as where they are "
                    "normalised themselves; there are no weights from the stream to them; use scores of patterns."
                )
            maps.append(linear[:-1].transpose(0, 1))
        return maps[0] / self._sites[layer].scaling, maps[1], maps[2]


def _named(model: Any) -> str:
    return f"model of type {type(model).__name__}"


def _context(model: Any) -> int | None:
    config = model.config.get_text_config()
    names = ("max_position_embeddings", "n_positions", "max_seq_len")
    return next((value for name in names if isinstance(value := getattr(config, name, None), int)), None)


def _require_causal(model: Any) -> None:
    from transformers import PreTrainedModel

    if not isinstance(model, PreTrainedModel):
        raise ValueError(f"{_named(model)}: expected a transformers.PreTrainedModel.")
    if model.config.is_encoder_decoder or model.get_output_embeddings() is None or not model.can_generate():
        raise ValueError(
            f"{_named(model)}: expected a causal language model, which predicts each token from those before it; load "
            "it with AutoModelForCausalLM if it is one."
        )


def _original_logits(model: Any, tokens: Tensor) -> Tensor:
    """Logits with the model's own attention."""
    if model._can_set_attn_implementation():
        model.set_attn_implementation("eager")
    return model(input_ids=tokens, use_cache=False).logits


def _open(model: Any) -> None:
    """Make the model's attention one that can be observed."""
    eager_attention.install()
    if model._can_set_attn_implementation():
        model.set_attn_implementation(NAME)
        return
    known = [module for module in model.modules() if type(module).__name__ in ADAPTORS]
    for module in known:
        ADAPTORS[type(module).__name__](module)
    if not known:
        kinds = sorted({type(m).__name__ for m in model.modules() if "attention" in type(m).__name__.lower()})
        what = (
            f"its attention, {' or '.join(kinds)}, cannot be observed; {REGISTER}" if kinds else "it has no attention"
        )
        raise ValueError(f"{_named(model)}: expected a model whose attention can be observed, but {what}.")


def _parts(model: Any, tokens: Tensor) -> tuple[list[nn.Module], list[nn.Module]]:
    """Attention modules and layers."""
    with calling_modules() as called:
        model(input_ids=tokens, use_cache=False)
    if not called:
        raise ValueError(f"{_named(model)}: expected a model with attention heads, but it has none.")
    for entries in (list(module) for module in model.modules() if isinstance(module, nn.ModuleList)):
        inside = [[module for module in called if module in set(entry.modules())] for entry in entries]
        if all(len(found) == 1 for found in inside) and [found[0] for found in inside] == called:
            return called, entries
    raise ValueError(
        f"{_named(model)}: expected one attention in each of its layers, but {len(called)} are called that do not "
        "stand one in each entry of a list of modules; models with other layers between are not supported."
    )


def _feed_forwards(
    model: Any, layers: list[nn.Module], attention: list[nn.Module], tokens: Tensor
) -> dict[int, nn.Module]:
    """Feed-forward block of each layer that has one: the last part with weight matrices that is called beside its
    attention."""
    called: dict[int, nn.Module] = {}

    def note(number: int) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            called[number] = module

        return hook

    with ExitStack() as stack:
        for number, (layer, inside) in enumerate(zip(layers, attention, strict=True)):
            for part in layer.children():
                if inside not in set(part.modules()) and any(p.ndim > 1 for p in part.parameters()):
                    stack.callback(part.register_forward_hook(note(number)).remove)
        model(input_ids=tokens, use_cache=False)
    return dict(sorted(called.items()))


def _any_tokens(stream: Tensor) -> Tensor:
    """Tokens that a stream of this shape could belong to; what the model makes of them is replaced."""
    return torch.zeros(stream.shape[:2], dtype=torch.long, device=stream.device)


@contextmanager
def _passing(layer: nn.Module, as_tuple: bool) -> Iterator[None]:
    """The layer returns the stream that it is given."""

    def forward(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        return (hidden_states, None) if as_tuple else hidden_states

    layer.forward = forward
    try:
        yield
    finally:
        del layer.forward


def _on_input(function: Callable[[Tensor], Tensor | None]) -> Callable[..., Any]:
    """Hook that calls `function` on the stream that a module is given."""

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        replaced = function(args[0] if args else kwargs["hidden_states"])
        if replaced is None:
            return None
        return ((replaced, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": replaced})

    return hook


def _on_output(function: Callable[[Tensor], Tensor | None]) -> Callable[..., Any]:
    """Hook that calls `function` on the stream that a module returns."""

    def hook(module: nn.Module, args: Any, output: Any) -> Any:
        replaced = function(output[0] if isinstance(output, tuple) else output)
        if replaced is None:
            return None
        return (replaced, *output[1:]) if isinstance(output, tuple) else replaced

    return hook
