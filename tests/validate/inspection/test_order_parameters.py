"""onset.validate.inspection.order_parameters against a toy built as a transformer, and known coefficients."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import built_transformers
import torch
from torch.nn import functional as F

from onset.theory.architecture import Architecture
from onset.theory.setting import Setting
from onset.validate.inspection.inspectable import Activations, Inspectable, record
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
    """A model of the softmax family with v on short lags, W and U without any symmetry."""
    model = Toy(Setting.of("softmax", states=STATES, context=CONTEXT)).double()
    random = np.random.default_rng(1)
    with torch.no_grad():
        model.lag_logits[:5] = torch.tensor([0.3, 2.0, -0.5, 1.0, 0.2])
        model.match.copy_(torch.from_numpy(random.normal(size=(STATES, STATES)) + 2 * np.eye(STATES)))
        model.readout.copy_(torch.from_numpy(random.normal(size=(STATES, STATES)) + 3 * np.eye(STATES)))
    return model


def built(model: Toy, heads: int = 1) -> Transformer:
    return built_transformers.built(model.lag_logits.detach(), model.match.detach(), model.readout.detach(), (heads, 1))


@pytest.mark.parametrize("heads", [1, 2])
def test_a_toy_built_as_a_transformer_returns_its_order_parameters(heads):
    """The logits of the toy, then its v, ω and μ, and NaN or zero where there is no head or no effect."""
    model = toy()
    transformer = built(model, heads)
    with torch.no_grad():
        torch.testing.assert_close(transformer(TOKENS), model(TOKENS), rtol=0, atol=1e-10)
    parameters = effective_order_parameters(transformer, activations_of(transformer))
    np.testing.assert_allclose(parameters["lag_logit"][-1], model.lag_logits.detach(), atol=1e-12)
    assert float(parameters["match"][-1, 1, 0]) == pytest.approx(float(contrast(model.match.detach())), abs=1e-6)
    assert float(parameters["readout"][1, 0]) == pytest.approx(float(contrast(model.readout.detach())), abs=1e-6)
    assert torch.isnan(parameters["match"][:, 0]).all()
    assert float(parameters["readout"][0, -1]) == 0
    assert parameters["contrast"].shape == (2, 2, heads)
    if heads > 1:
        assert float(parameters["match"][0, 1, 0]) == 0
        assert torch.isnan(parameters["readout"][1, 1])


def test_with_all_attention_on_lag_1_the_contrast_on_the_previous_symbol_is_the_match():
    """The scores are W at (x_t, x_{s-1}) and do not depend on x_s."""
    model = toy()
    with torch.no_grad():
        model.lag_logits[:] = 0
        model.lag_logits[1] = 60.0
    transformer = built(model)
    previous, same = effective_order_parameters(transformer, activations_of(transformer))["contrast"][:, 1, 0]
    assert float(previous) == pytest.approx(float(contrast(model.match.detach())), abs=1e-6)
    assert float(same) == pytest.approx(0, abs=1e-6)


def test_contrasts_of_known_terms():
    """A matrix in (x_t, x_{s-1}), one in (x_t, x_s) and terms of the query alone: the contrasts of the two matrices."""
    random = np.random.default_rng(2)
    on_previous, on_same = torch.from_numpy(random.normal(size=(2, STATES, STATES)))
    scores = SYMBOLS @ on_same @ SYMBOLS.mT + torch.from_numpy(random.normal(size=(16, CONTEXT, 1)))
    scores[:, :, 1:] += SYMBOLS @ on_previous @ SYMBOLS[:, :-1].mT
    contrasts = score_contrasts(scores[:, None], SYMBOLS)
    np.testing.assert_allclose(contrasts[:, 0], [contrast(on_previous), contrast(on_same)], atol=1e-10)


def test_lag_logits_do_not_depend_on_symbols():
    """On repeating chains a score in (x_t, x_s) is correlated with the lag; v is found nevertheless."""
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


def test_match_and_readout_are_finite_differences():
    """Scores and logits of a transformer with norms as the stream moves along the mean head output of a symbol."""
    torch.manual_seed(0)
    shape = Architecture(2, 8, 1, dropout=0.0)
    model = Transformer(
        Setting.of("transformer", states=STATES, context=CONTEXT, architecture=shape, initialization=0.5)
    ).double()
    activations = record(model, TOKENS, "streams", "scores")
    parameters = effective_order_parameters(model, activations)
    with torch.no_grad():
        start, middle, end = activations.streams
        first, second = (layer.attention for layer in model.layers)
        mean = [SYMBOLS[..., c, None] / SYMBOLS[..., c].sum() for c in range(STATES)]
        first_outputs, second_outputs = (
            [branch.projection((m * branch.qkv(x)[:, :, 2, 0]).sum(dim=(0, 1))) for m in mean]
            for branch, x in ((first, start), (second, middle))
        )
        causal, small = torch.ones(CONTEXT, CONTEXT, dtype=torch.bool).tril(), 1e-5
        match, readout = torch.zeros(2, STATES, STATES, dtype=torch.float64)
        for c in range(STATES):
            query = second.qkv(middle)[:, :, 0, 0]
            moved = (second.qkv(middle + small * first_outputs[c]) - second.qkv(middle - small * first_outputs[c]))[
                :, :, 1, 0
            ]
            change = query @ moved.mT / (2 * small) / 8**0.5
            for a in range(STATES):
                match[a, c] = change[(causal & (TOKENS[:, :, None] == a))].mean()
            logits = (
                model.unembed(end + small * second_outputs[c]) - model.unembed(end - small * second_outputs[c])
            ) / (2 * small)
            readout[c] = logits.mean(dim=(0, 1))
    assert float(parameters["match"][0, 1, 0]) == pytest.approx(float(contrast(match)), rel=1e-5)
    assert float(parameters["readout"][1, 0]) == pytest.approx(float(contrast(readout)), rel=1e-5)


class ProtocolOnly:
    """A model reduced to the members of the protocol."""

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
    results = []
    for inspected in (model, ProtocolOnly(model)):
        activations = activations_of(inspected)
        scores = head_scores(inspected, activations, targets_on(TOKENS))
        results.append(effective_order_parameters(inspected, activations) | scores)
    assert results[0].keys() == results[1].keys()
    for name, value in results[0].items():
        torch.testing.assert_close(results[1][name], value, rtol=0, atol=0, equal_nan=True)
