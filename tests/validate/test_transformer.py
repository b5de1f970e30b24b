"""validate.models.transformer: the published attention-only transformer, against plain loops and published counts."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from theory.setting import Architecture, Setting  # noqa: E402
from validate.models.transformer import Dropout, Transformer  # noqa: E402


def make(heads: int = 1, layers: int = 2, context: int = 9, states: int = 3) -> Transformer:
    """A float64 model in evaluation mode with weights large enough for attention to be far from uniform."""
    torch.manual_seed(0)
    setting = Setting.of(
        "transformer",
        states=states,
        context=context,
        architecture=Architecture(layers, 8 * heads, heads, 0.1),
        initialization=0.7,
    )
    return Transformer(setting).double().eval()


def tokens_of(model: Transformer, shape: tuple[int, int]) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(model.embedding.num_embeddings, size=shape))


def plain_layer(layer: torch.nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """One sequence (T, width) through one layer, by the letter: output (T, width) and pattern (heads, T, T)."""
    length, width = x.shape
    d = width // layer.heads
    normal = (x - x.mean(dim=1, keepdim=True)) / torch.sqrt(x.var(dim=1, keepdim=True, unbiased=False) + layer.norm.eps)
    normal = normal * layer.norm.weight + layer.norm.bias
    query, key, value = (normal @ layer.query_key_value.weight.T).split(width, dim=1)
    pattern, mixed = torch.zeros(layer.heads, length, length, dtype=x.dtype), torch.zeros(length, width, dtype=x.dtype)
    for h in range(layer.heads):
        part = slice(h * d, (h + 1) * d)
        for i in range(length):
            scores = torch.stack(
                [
                    (query[i, part] @ key[j, part] + query[i, part] @ layer.offsets[i - j]) / math.sqrt(d)
                    for j in range(i + 1)
                ]
            )
            pattern[h, i, : i + 1] = torch.softmax(scores, dim=0)
            mixed[i, part] = pattern[h, i, : i + 1] @ value[: i + 1, part]
    return x + mixed @ layer.projection.weight.T, pattern


@pytest.mark.parametrize(("heads", "length"), [(1, 9), (1, 4), (2, 9), (3, 6)])
def test_attention_is_the_plain_double_loop(heads, length):
    """A_ij = (q_i·k_j + q_i·r_{i-j})/√d: pattern, logits and the recorded lag attention equal a plain loop's, so r meets the query and no other vector."""
    model = make(heads)
    tokens = tokens_of(model, (3, length))
    with torch.no_grad():
        logits, firsts = model(tokens), []
        for row, found in zip(tokens, logits, strict=True):
            x = model.embedding.weight[row]
            for n, layer in enumerate(model.layers):
                query, key, _ = layer.split(x[None])
                pattern = layer.pattern(query, key)
                x, expected = plain_layer(layer, x)
                np.testing.assert_allclose(pattern, expected, rtol=1e-11, atol=1e-13)
                if n == 0:
                    firsts.append(expected[:, -1].flip(-1))
            np.testing.assert_allclose(found, model.norm(x) @ model.head.weight.T, rtol=1e-10, atol=1e-12)
        mean = torch.stack(firsts).mean(dim=0)
        np.testing.assert_allclose(model.lag_attention(tokens), mean, rtol=1e-11)


def test_offsets_meet_the_query():
    """The pattern moves with r through q alone: with queries at zero offsets do not matter, with keys at zero they do."""
    model = make()
    layer, x = model.layers[0], torch.randn(2, 9, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    query, key, _ = layer.split(x)
    uniform = torch.ones(9, 9, dtype=torch.float64).tril() / torch.arange(1, 10)[:, None]
    with torch.no_grad():
        np.testing.assert_allclose(layer.pattern(0 * query, key), uniform.expand(2, 9, 9), rtol=1e-14)
        assert float((layer.pattern(query, 0 * key) - uniform).abs().max()) > 0.1


def test_no_position_sees_the_future():
    """Changing the last token moves no earlier logit, exactly, in evaluation."""
    model = make(heads=2)
    tokens = tokens_of(model, (4, 9))
    changed = tokens.clone()
    changed[:, -1] = (changed[:, -1] + 1) % 3
    with torch.no_grad():
        before, after = model(tokens), model(changed)
    assert torch.equal(before[:, :-1], after[:, :-1])
    assert not torch.equal(before[:, -1], after[:, -1])


@pytest.mark.parametrize(("states", "published"), [(2, 5440), (3, 5472)])
def test_parameter_count_is_the_published_one(states, published):
    """5,440 (k = 2) and 5,472 (k = 3), less the 16 entries of the one unreachable offset in each of 2 layers."""
    model = Transformer(Setting.of("transformer", states=states, context=100))
    assert sum(p.numel() for p in model.parameters()) == published - 32


def test_initial_weights_have_the_stated_spread(within):
    """Weights N(0, .02²), output projections N(0, (.02/√(2·2))²), LayerNorm at one and zero."""
    torch.manual_seed(3)
    model = Transformer(Setting.of("transformer", context=200, architecture=Architecture(2, 64, 2)))
    for name, parameter in model.named_parameters():
        if "norm" in name:
            assert torch.all(parameter == float(name.endswith("weight")))
            continue
        std, values = 0.01 if "projection" in name else 0.02, parameter.detach().double().numpy()
        within(
            name, [values.std(), values.mean()], [std, 0], [std / np.sqrt(2 * values.size), std / np.sqrt(values.size)]
        )


def test_decay_acts_on_linear_maps_alone():
    """Weight decay takes the Linear weights: neither embedding, offsets nor LayerNorm; one optimiser group holds everything once."""
    model = make()
    decayed, names = {id(p) for p in model.decayed()}, dict(model.named_parameters())
    expected = {n for n in names if n.endswith(("query_key_value.weight", "projection.weight", "head.weight"))}
    assert {n for n, p in names.items() if id(p) in decayed} == expected
    assert sorted(map(id, model.groups()["weights"])) == sorted(map(id, model.parameters()))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.0])
def test_dropout_keeps_the_mean(p, within):
    """In training a share p is dropped, the rest scaled by 1/(1-p) to 2⁻¹⁶; neighbours independently; in evaluation nothing happens."""
    torch.manual_seed(0)
    layer, x = Dropout(p), torch.ones(300, 333)
    assert torch.equal(layer.eval()(x), x)
    found = layer.train()(x).double().numpy()
    kept, count = found > 0, found.size
    np.testing.assert_allclose(found[kept], 1 / (1 - p), rtol=2**-16 / (1 - p))
    if p == 0:
        assert kept.all()
        return
    within("share", kept.mean(), 1 - p, np.sqrt(p * (1 - p) / count))
    pairs = np.corrcoef(kept.ravel()[:-1], kept.ravel()[1:])[0, 1]
    within("neighbours", pairs, 0, 1 / np.sqrt(count))
    assert not np.array_equal(found, layer(x).double().numpy())


def test_a_toy_setting_has_no_transformer():
    """A setting without an architecture is refused by name."""
    with pytest.raises(ValueError, match="linear family has no architecture"):
        Transformer(Setting.of("linear"))
