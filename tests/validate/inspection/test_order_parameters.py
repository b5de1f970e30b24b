"""onset.validate.inspection.order_parameters: a toy built as a transformer returns its own, scores their coefficients."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch.nn import functional as F

from onset.theory.architecture import Architecture
from onset.theory.setting import Setting
from onset.validate.inspection.inspectable import Activations, Inspectable, inspectable, record
from onset.validate.inspection.order_parameters import contrast, effective_order_parameters, lag_logits, score_contrasts
from onset.validate.inspection.scores import head_scores, targets_on
from onset.validate.models.toy import Toy
from onset.validate.models.transformer import Transformer

STATES, CONTEXT = 3, 40
TOKENS = torch.from_numpy(np.random.default_rng(0).integers(STATES, size=(16, CONTEXT)))
SYMBOLS = F.one_hot(TOKENS, STATES).double()


def activations_of(model: Inspectable) -> Activations:
    return record(model, TOKENS, "streams", "scores", "patterns")


def toy() -> Toy:
    """Of the softmax family with v on short lags, W and U without any symmetry."""
    model = Toy(Setting.of("softmax", states=STATES, context=CONTEXT)).double()
    random = np.random.default_rng(1)
    with torch.no_grad():
        model.lag_logits[:5] = torch.tensor([0.3, 2.0, -0.5, 1.0, 0.2])
        model.match.copy_(torch.from_numpy(random.normal(size=(STATES, STATES)) + 2 * np.eye(STATES)))
        model.readout.copy_(torch.from_numpy(random.normal(size=(STATES, STATES)) + 3 * np.eye(STATES)))
    return model


def built(model: Toy, heads: int = 1) -> Transformer:
    """The same as a transformer: symbols in the stream's first k entries, what layer 1 shows in the next, what layer 2 reads in the last."""
    width = 3 * STATES * heads
    shape = Architecture(2, width, (heads, 1), dropout=0.0, positions="bias", norm=False)
    made = Transformer(Setting.of("transformer", states=STATES, context=CONTEXT, architecture=shape)).double()
    own, shown, read = (slice(n * STATES, (n + 1) * STATES) for n in range(3))
    for parameter in made.parameters():
        parameter.detach().zero_()
    first, second = (layer.attention for layer in made.layers)
    identity = torch.eye(STATES, dtype=torch.float64)
    with torch.no_grad():
        made.embedding.weight[:, own] = identity
        # The last of the heads is the toy's; the others attend evenly and show nothing.
        first.bias[-1] = model.lag_logits
        value = slice(2 * width + (heads - 1) * 3 * STATES, 2 * width + (heads - 1) * 3 * STATES + STATES)
        first.query_key_value.weight[value, own] = identity
        first.projection.weight[shown, (heads - 1) * 3 * STATES : (heads - 1) * 3 * STATES + STATES] = identity
        second.query_key_value.weight[:STATES, own] = model.match.T * width**0.5
        second.query_key_value.weight[width : width + STATES, shown] = identity
        second.query_key_value.weight[2 * width : 2 * width + STATES, own] = identity
        second.projection.weight[read, :STATES] = identity
        made.head.weight[:, read] = model.readout.T
    return made


@pytest.mark.parametrize("heads", [1, 2])
def test_a_toy_built_as_a_transformer_returns_its_order_parameters(heads):
    """First that it is the toy: the same logits. Then v less its far mean (zero here), ω and μ to rounding, and NaN or zero where there is nothing."""
    model = toy()
    made = built(model, heads)
    with torch.no_grad():
        torch.testing.assert_close(made(TOKENS), model(TOKENS), rtol=0, atol=1e-10)
    found = effective_order_parameters(made, activations_of(made))
    np.testing.assert_allclose(found["lag_logit"][-1], model.lag_logits.detach(), atol=1e-12)
    assert float(found["match"][-1, 1, 0]) == pytest.approx(float(contrast(model.match.detach())), abs=1e-6)
    assert float(found["readout"][1, 0]) == pytest.approx(float(contrast(model.readout.detach())), abs=1e-6)
    assert torch.isnan(found["match"][:, 0]).all()
    assert float(found["readout"][0, -1]) == 0
    assert found["contrast"].shape == (2, 2, heads)
    if heads > 1:
        assert float(found["match"][0, 1, 0]) == 0
        assert torch.isnan(found["readout"][1, 1])


def test_with_all_attention_on_lag_1_the_contrast_on_the_previous_symbol_is_the_match():
    """Layer 1 shows the symbol before: the scores are W at (x_t, x_{s-1}), and nothing depends on the source's own symbol."""
    model = toy()
    with torch.no_grad():
        model.lag_logits[:] = 0
        model.lag_logits[1] = 60.0
    made = built(model)
    previous, same = effective_order_parameters(made, activations_of(made))["contrast"][:, 1, 0]
    assert float(previous) == pytest.approx(float(contrast(model.match.detach())), abs=1e-6)
    assert float(same) == pytest.approx(0, abs=1e-6)


def test_scores_made_of_known_terms_return_them():
    """A matrix in (x_t, x_{s-1}), one in (x_t, x_s) and anything that depends on the query alone: contrasts of the two, to rounding."""
    random = np.random.default_rng(2)
    on_previous, on_same = torch.from_numpy(random.normal(size=(2, STATES, STATES)))
    scores = SYMBOLS @ on_same @ SYMBOLS.mT + torch.from_numpy(random.normal(size=(16, CONTEXT, 1)))
    scores[:, :, 1:] += SYMBOLS @ on_previous @ SYMBOLS[:, :-1].mT
    found = score_contrasts(scores[:, None], SYMBOLS)
    np.testing.assert_allclose(found[:, 0], [contrast(on_previous), contrast(on_same)], atol=1e-10)


def test_lag_logits_leave_out_what_depends_on_the_symbols_alone():
    """On chains that repeat, a score in (x_t, x_s) is correlated with the lag; v still comes out, less its mean over far lags."""
    tokens = TOKENS.repeat_interleave(2, dim=1)[:, :CONTEXT]
    symbols = F.one_hot(tokens, STATES).double()
    random = np.random.default_rng(3)
    position = torch.arange(CONTEXT)
    logits = torch.from_numpy(random.normal(size=CONTEXT))
    logits[CONTEXT // 2 :] = 0.7
    lag = (position[:, None] - position).clamp(min=0)
    scores = logits[lag] + symbols @ torch.from_numpy(random.normal(size=(STATES, STATES))) @ symbols.mT
    scores = scores.masked_fill(position > position[:, None], -torch.inf)
    np.testing.assert_allclose(lag_logits(scores[:, None], symbols)[0], logits - 0.7, atol=1e-10)


def test_with_norms_derivatives_are_those_of_finite_differences():
    """A transformer of any weights: moving the stream by what layer 1 shows of a symbol changes scores and logits by the match and the read-out."""
    torch.manual_seed(0)
    shape = Architecture(2, 8, 1, dropout=0.0)
    model = Transformer(
        Setting.of("transformer", states=STATES, context=CONTEXT, architecture=shape, initialization=0.5)
    ).double()
    activations = record(model, TOKENS, "streams", "scores")
    found = effective_order_parameters(model, activations)
    with torch.no_grad():
        start, middle, end = activations.streams
        first, second = (layer.attention for layer in model.layers)
        mean = [SYMBOLS[..., c, None] / SYMBOLS[..., c].sum() for c in range(STATES)]
        shown, read = (
            [first_or.projection((m * first_or.qkv(x)[:, :, 2, 0]).sum(dim=(0, 1))) for m in mean]
            for first_or, x in ((first, start), (second, middle))
        )
        causal, small = torch.ones(CONTEXT, CONTEXT, dtype=torch.bool).tril(), 1e-5
        match, readout = torch.zeros(2, STATES, STATES, dtype=torch.float64)
        for c in range(STATES):
            query = second.qkv(middle)[:, :, 0, 0]
            moved = (second.qkv(middle + small * shown[c]) - second.qkv(middle - small * shown[c]))[:, :, 1, 0]
            change = query @ moved.mT / (2 * small) / 8**0.5
            for a in range(STATES):
                match[a, c] = change[(causal & (TOKENS[:, :, None] == a))].mean()
            logits = (model.unembed(end + small * read[c]) - model.unembed(end - small * read[c])) / (2 * small)
            readout[c] = logits.mean(dim=(0, 1))
    assert float(found["match"][0, 1, 0]) == pytest.approx(float(contrast(match)), rel=1e-5)
    assert float(found["readout"][1, 0]) == pytest.approx(float(contrast(readout)), rel=1e-5)


class ProtocolOnly:
    """A model behind the protocol: nothing else of it can be reached."""

    def __init__(self, model: Transformer) -> None:
        self._model = model
        for name in ("heads", "embedding_matrix", "unembedding_matrix"):
            setattr(self, name, getattr(model, name))
        for name in ("head_weights", "unembed", "queries_keys_values", "hooked"):
            setattr(self, name, getattr(model, name))

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        return self._model(tokens)


@pytest.mark.parametrize("heads", [1, (2, 1)])
def test_scores_and_order_parameters_use_the_protocol_alone(heads):
    """A plain object with the members of the protocol gives what the transformer gives."""
    shape = Architecture(2, 8, heads, positions="rotary")
    model = Transformer(Setting.of("transformer", states=STATES, context=CONTEXT, architecture=shape))
    bare = inspectable(ProtocolOnly(model))
    ours, others = (
        effective_order_parameters(one, activations_of(one)) | head_scores(one, activations_of(one), targets_on(TOKENS))
        for one in (model, bare)
    )
    assert ours.keys() == others.keys()
    for name, value in ours.items():
        torch.testing.assert_close(others[name], value, rtol=0, atol=0, equal_nan=True)
