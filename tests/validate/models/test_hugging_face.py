"""onset.validate.models.hugging_face: models of many architectures, against their own parts and edited weights."""

from __future__ import annotations

import copy

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
from tiny_language_models import ARCHITECTURES, CONTEXT, OUTPUT_PROJECTIONS, VOCABULARY, tiny
from torch.nn import functional as F

from onset.validate.inspection.inspectable import Head, Inspectable, record
from onset.validate.inspection.interventions import ForcePattern, ReplaceStream, Zero, ZeroFeedForward, intervene
from onset.validate.models.hugging_face import HuggingFaceModel

TOKENS = torch.arange(24).reshape(2, 12) * 7 % VOCABULARY


@pytest.fixture(scope="module", params=ARCHITECTURES)
def architecture(request):
    return request.param


@pytest.fixture(scope="module")
def original(architecture):
    """The model as `transformers` makes it, with attention that returns patterns."""
    return tiny(architecture)


@pytest.fixture(scope="module")
def model(original):
    return HuggingFaceModel(copy.deepcopy(original))


@pytest.fixture(scope="module")
def recorded(model):
    return record(model, TOKENS, "streams", "scores", "patterns", "head_outputs", "logits")


def _close(value, expected):
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def _projection(architecture, model, layer):
    return model.get_submodule(OUTPUT_PROJECTIONS.get(architecture, "model.layers.{}.self_attn.o_proj").format(layer))


def test_it_is_inspectable(model):
    assert isinstance(model, Inspectable)
    assert (model.heads, model.vocabulary, model.context) == ((4, 4), VOCABULARY, CONTEXT)


def test_patterns_and_streams_are_those_of_transformers(original, recorded):
    """Patterns with eager attention, hidden states before each layer, logits."""
    with torch.no_grad():
        expected = original(input_ids=TOKENS, output_attentions=True, output_hidden_states=True, use_cache=False)
    _close(recorded.logits, expected.logits)
    for layer, pattern in enumerate(expected.attentions):
        _close(recorded.patterns[layer], pattern)
        _close(recorded.streams[layer], expected.hidden_states[layer])


def test_pattern_times_value_is_what_the_output_projection_is_given(architecture, model, recorded):
    """Read at the projection itself; for every head, also where keys are grouped or heads × width is not the width."""
    for layer in range(2):
        given = []
        hook = _projection(architecture, model.model, layer).register_forward_pre_hook(
            lambda module, args, given=given: given.append(args[0])
        )
        with torch.no_grad():
            value = model.queries_keys_values(recorded.streams[layer], layer)[2]
        hook.remove()
        outputs = torch.einsum("bhts,bshd->bthd", recorded.patterns[layer], value)
        _close(recorded.head_outputs[layer], outputs)
        _close(given[0].unflatten(-1, outputs.shape[2:]), outputs)


def test_scores_are_queries_times_keys(architecture, model, recorded):
    """Before the softmax; Gemma 2 caps them."""
    with torch.no_grad():
        query, key, _ = model.queries_keys_values(recorded.streams[1], 1)
    scores = torch.einsum("bthd,bshd->bhts", query, key)
    if architecture == "gemma2":
        scores = 50 * torch.tanh(scores / 50)
    visible = torch.isfinite(recorded.scores[1])
    _close(recorded.scores[1][visible], scores[visible])
    window = 4 if architecture in ("mistral", "gemma2", "gemma3", "gpt-neo") else 12
    hidden = [layer for layer in range(2) if not torch.isfinite(recorded.scores[layer][0, 0, -1, 0])]
    assert bool(hidden) == (window == 4)


def test_heads_add_up_to_what_attention_adds(architecture, model, recorded):
    """Σ_h o^h W_O^h, with output maps read off a basis, and the projection's bias."""
    for layer in range(2):
        output = model.output_weights(layer)
        projection = _projection(architecture, model.model, layer)
        with torch.no_grad():
            expected = projection(recorded.head_outputs[layer].flatten(-2))
            summed = torch.einsum("bthw,hwd->btd", recorded.head_outputs[layer], output)
        constant = torch.zeros(()) if projection.bias is None else projection.bias.detach()
        _close(summed + constant, expected)


def test_ablation_equals_editing_the_weights(architecture, original, model):
    """Zeroing a head is zeroing its rows of the output projection: not a slice of what has been projected."""
    edited = copy.deepcopy(original)
    weight = _projection(architecture, edited, 1).weight.data
    rows = weight if architecture == "gpt2" else weight.mT
    rows.unflatten(0, (4, -1))[2] = 0
    with torch.no_grad():
        expected, whole = edited(input_ids=TOKENS, use_cache=False).logits, model(TOKENS)
        with intervene(model, Zero(Head(1, 2))):
            ablated = model(TOKENS)
        again = model(TOKENS)
    _close(ablated, expected)
    assert (ablated - whole).abs().max() > 0.01 * whole.std()
    assert torch.equal(again, whole)


def test_feed_forward_blocks_are_found(architecture, original, model):
    """Without both blocks, and with the last weights of both zero, logits are the same."""
    edited = copy.deepcopy(original)
    for name, parameter in edited.named_parameters():
        if any(last in name for last in ("mlp.c_proj", "fc2", "dense_4h_to_h", "fc_out", "down_proj")):
            parameter.data.zero_()
    assert model.feed_forward_layers == (0, 1)
    with torch.no_grad():
        expected, whole = edited(input_ids=TOKENS, use_cache=False).logits, model(TOKENS)
        with intervene(model, ZeroFeedForward(0), ZeroFeedForward(1)):
            ablated = model(TOKENS)
    _close(ablated, expected)
    assert (ablated - whole).abs().max() > 0.01 * whole.std()


def test_parts_run_alone(model, recorded):
    """From the stream before each layer, and after the last."""
    with torch.no_grad():
        for layer in range(2):
            _close(model.run_from(recorded.streams[layer], layer), recorded.logits)
        _close(model.unembed(recorded.streams[2]), recorded.logits)
        with intervene(model, ReplaceStream(1, recorded.streams[1].flip(0))):
            _close(model(TOKENS), recorded.logits.flip(0))
        with intervene(model, ReplaceStream(2, recorded.streams[2].flip(0))):
            _close(model(TOKENS), recorded.logits.flip(0))
        _close(model(TOKENS), recorded.logits)


def test_the_norm_stands_between_the_last_stream_and_the_unembedding(architecture, model, recorded):
    """Logits are its product with the unembedding, and a bias; Gemma 2 caps them."""
    with torch.no_grad():
        normalised = model.normalise(recorded.streams[2])
        again = model(TOKENS)
    logits = normalised @ model.unembedding_matrix.detach().T
    if (bias := getattr(model.model.get_output_embeddings(), "bias", None)) is not None:
        logits = logits + bias.detach()
    _close(recorded.logits, 30 * torch.tanh(logits / 30) if architecture == "gemma2" else logits)
    assert torch.equal(again, recorded.logits)


def test_forced_patterns(model, recorded):
    """The patterns that a model makes change nothing when forced; others do."""
    with torch.no_grad():
        own = [ForcePattern(Head(1, h), recorded.patterns[1][:, h]) for h in range(4)]
        with intervene(model, *own):
            _close(model(TOKENS), recorded.logits)
        with intervene(model, ForcePattern(Head(1, 0), torch.eye(12))):
            assert (model(TOKENS) - recorded.logits).abs().max() > 0.01


def test_gradients_by_head_outputs_are_finite_differences(architecture, model):
    """The derivative of the loss by a number that scales one head's output, in double precision where that is there."""
    single = architecture in ("mixtral", "gpt-oss")  # their experts
    double = model if single else HuggingFaceModel(copy.deepcopy(model.model).double())

    def loss(factor):
        def scale(output):
            mask = torch.zeros(4, 1, dtype=output.dtype)
            mask[1] = 1
            return output * (1 + factor * mask)

        with double.hooked("head_outputs", 0, scale):
            logits = double(TOKENS[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1), TOKENS[:, 1:].flatten())

    factor, step = torch.zeros((), requires_grad=True), 1e-2 if single else 1e-4
    (slope,) = torch.autograd.grad(loss(factor), factor)
    with torch.no_grad():
        difference = (loss(step) - loss(-step)) / (2 * step)
    # The softmax is computed in single precision, and so is GPT-Neo: rounding of the losses, over the step.
    rounding = float(torch.finfo(torch.float32).eps) * float(loss(0.0).detach()) / step
    assert abs(float(slope - difference)) < 0.02 * abs(float(slope)) + rounding


def test_weights_of_known_modules():
    """Llama's linear maps with grouped keys, and GPT-2's fused ones, which stand the other way round."""
    llama = tiny("llama")
    attention = llama.model.layers[1].self_attn
    weights = HuggingFaceModel(llama).head_weights(1)
    _close(weights.query, attention.q_proj.weight.detach().unflatten(0, (4, 8)).mT)
    for name, ours in (("k_proj", weights.key), ("v_proj", weights.value)):
        groups = getattr(attention, name).weight.detach().unflatten(0, (2, 8)).mT
        _close(ours, groups.repeat_interleave(2, dim=0))
    _close(weights.output, attention.o_proj.weight.detach().T.unflatten(0, (4, 8)))
    gpt2 = tiny("gpt2")
    attention = gpt2.transformer.h[1].attn
    weights = HuggingFaceModel(gpt2).head_weights(1)
    fused = attention.c_attn.weight.detach().unflatten(1, (3, 4, 8)).permute(1, 2, 0, 3)
    for ours, expected in zip((weights.query, weights.key, weights.value), fused, strict=True):
        _close(ours, expected)
    _close(weights.output, attention.c_proj.weight.detach().unflatten(0, (4, 8)))


def test_normalised_queries_have_no_weights():
    with pytest.raises(ValueError, match="its queries are not linear in the normalised stream"):
        HuggingFaceModel(tiny("qwen3")).head_weights(0)


def test_embeddings_are_what_tokens_add_to_the_stream(architecture, model, recorded):
    """Through a projection, a scale, or beside a position, where the architecture has them."""
    embedding = model.embedding_matrix
    assert embedding.shape == (VOCABULARY, 32)
    position = recorded.streams[0] - embedding[TOKENS]
    _close(position[0], position[1])
    if architecture not in ("gpt2", "opt", "opt, narrow embedding", "gpt-neo"):  # those with learned positions
        assert position.abs().max() < 1e-5 * embedding.abs().max()


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_attention_set_to_another_is_named(implementation):
    """With sdpa, patterns would come back empty."""
    language_model = tiny("llama")
    language_model.set_attn_implementation("sdpa")
    model = HuggingFaceModel(language_model)
    assert record(model, TOKENS, "patterns").patterns[0].shape == (2, 4, 12, 12)
    language_model.set_attn_implementation(implementation)
    with pytest.raises(ValueError, match=f"set to '{implementation}': expected 'onset'"):
        record(model, TOKENS, "patterns")


def _bert():
    from transformers import BertConfig, BertLMHeadModel

    return BertLMHeadModel(
        BertConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=1, num_attention_heads=4)
    )


def _mamba():
    from transformers import MambaConfig, MambaForCausalLM

    return MambaForCausalLM(MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=1))


def _bloom():
    from transformers import BloomConfig, BloomForCausalLM

    return BloomForCausalLM(BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=1, n_head=4))


def _t5():
    from transformers import T5Config, T5ForConditionalGeneration

    return T5ForConditionalGeneration(T5Config(vocab_size=VOCABULARY, d_model=32, d_kv=8, d_ff=48, num_layers=1))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_bert, "model of type BertLMHeadModel: .*tokens that come later; expected a causal language model"),
        (_mamba, "model of type MambaForCausalLM: .*it has none|no attention"),
        (_bloom, "BloomAttention, cannot be observed; see docs/guides/own-model.md"),
        (_t5, "T5ForConditionalGeneration: expected a causal language model"),
        (lambda: torch.nn.Linear(2, 2), "model of type Linear: expected a transformers.PreTrainedModel"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_models_without_observable_attention_are_named(make, says):
    with pytest.raises(ValueError, match=says):
        HuggingFaceModel(make())


def test_attention_that_is_not_understood_is_named():
    """One whose scores have a part that our attention does not know."""
    language_model = tiny("llama")
    attention = language_model.model.layers[0].self_attn
    own = attention.forward

    def wider(hidden_states, *args, **kwargs):
        attention.scaling = 0.2 if attention.config._attn_implementation == "eager" else 0.3
        return own(hidden_states, *args, **kwargs)

    attention.forward = wider
    with pytest.raises(ValueError, match=r"logits differ by \S+ of their standard deviation from the model's own"):
        HuggingFaceModel(language_model)


def test_logits_that_are_not_numbers_are_named():
    language_model = tiny("llama")
    language_model.lm_head.weight.data[3, 3] = torch.nan
    with pytest.raises(ValueError, match="LlamaForCausalLM: expected numbers, but its logits are not finite"):
        HuggingFaceModel(language_model)


@pytest.mark.parametrize(
    ("tokens", "says"),
    [
        (torch.zeros(1, CONTEXT + 1, dtype=torch.long), f"expected at most {CONTEXT} in a sequence"),
        (torch.tensor([[0, VOCABULARY]]), f"tokens from 0 to {VOCABULARY}: expected 0 to {VOCABULARY - 1}"),
        (torch.tensor([[-1, 0]]), "tokens from -1 to 0"),
    ],
)
def test_tokens_that_the_model_cannot_take(tokens, says):
    with pytest.raises(ValueError, match=says):
        HuggingFaceModel(tiny("gpt2"))(tokens)
