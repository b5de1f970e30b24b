"""onset.validate.models.transformer and attention against plain loops and published parameter counts."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from onset.theory.architecture import POSITIONS, PRESETS, Architecture
from onset.theory.setting import Setting
from onset.validate.inspection.inspectable import record
from onset.validate.models.attention import Attention
from onset.validate.models.compiled.layout import row_start
from onset.validate.models.dropout import drop, pair_count
from onset.validate.models.transformer import Transformer

KINDS = [Architecture(2, 8, 1, positions=positions) for positions in POSITIONS] + [
    Architecture(2, 8, (2, 1)),
    Architecture(1, 12, 3, norm=False),
    Architecture(2, 8, 2, feed_forward=4, tied=True),
    Architecture(2, 8, 2, smeared=True, positions="rotary"),
]


def make(shape: Architecture, context: int = 9, states: int = 3, seed: int = 0) -> Transformer:
    """A model with weights large enough for attention to be far from uniform."""
    torch.manual_seed(seed)
    setting = Setting.of("transformer", states=states, context=context, architecture=shape, initialization=0.7)
    model = Transformer(setting)
    for name, parameter in model.named_parameters():
        if name.endswith(("smear", "bias")):
            torch.nn.init.normal_(parameter)
    return model


def tokens_of(model: Transformer, shape: tuple[int, int]) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(model.embedding.num_embeddings, size=shape))


def mask_bits_of(model: Transformer, batch: int, length: int, seed: int = 1) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sites = model.sites(batch, length)
    return [torch.randint(-(2**15), 2**15, site, dtype=torch.int16, generator=generator) for site in sites]


class Plain:
    """One sequence at a time, in NumPy loops; `mask_bits` in the order of `Transformer.sites`, None without dropout."""

    def __init__(self, model: Transformer, p: float) -> None:
        self.weights = {name: value.detach().double().numpy() for name, value in model.named_parameters()}
        self.shape, self.p = model.shape, round(p * 2**16) / 2**16

    def drop(self, x: np.ndarray, mask_bits: np.ndarray | None) -> np.ndarray:
        if mask_bits is None:
            return x
        return np.where(mask_bits.astype(int) + 2**15 >= self.p * 2**16, x / (1 - self.p), 0.0)

    def norm(self, x: np.ndarray, prefix: str) -> np.ndarray:
        if not self.shape.norm:
            return x
        normal = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
        return normal * self.weights[f"{prefix}norm.weight"] + self.weights[f"{prefix}norm.bias"]

    def attention(self, x: np.ndarray, layer: int, offset_bits, pattern_bits) -> tuple[np.ndarray, np.ndarray]:
        w, prefix = self.weights, f"layers.{layer}.attention."
        length, width = x.shape
        heads = self.shape.heads_of[layer]
        d = width // heads
        qkv = self.norm(x, prefix) @ w[f"{prefix}query_key_value.weight"].T
        patterns, outputs = np.zeros((heads, length, length)), np.zeros((length, width))
        for h in range(heads):
            query, key, value = (qkv[:, n * width + h * d : n * width + (h + 1) * d].copy() for n in range(3))
            if self.shape.smeared:
                share = 1 / (1 + np.exp(-w[f"{prefix}smear"][h, 0]))
                key[1:] = share * key[1:] + (1 - share) * key[:-1].copy()
            if self.shape.positions == "rotary":
                for vectors in (query, key):
                    for t in range(length):
                        for c in range(d // 2):
                            turn = np.exp(1j * t * 1e4 ** (-2 * c / d))
                            z = (vectors[t, c] + 1j * vectors[t, c + d // 2]) * turn
                            vectors[t, c], vectors[t, c + d // 2] = z.real, z.imag
            for i in range(length):
                row, start = np.empty(i + 1), row_start(i)
                for j in range(i + 1):
                    row[j] = query[i] @ key[j] / math.sqrt(d)
                    if self.shape.positions == "relative":
                        r = w[f"{prefix}offsets"][h, i - j]
                        r = self.drop(r, None if offset_bits is None else offset_bits[h, start + j])
                        row[j] += query[i] @ r / math.sqrt(d)
                    if self.shape.positions == "bias":
                        row[j] += w[f"{prefix}bias"][h, i - j]
                pattern = np.exp(row - row.max())
                pattern /= pattern.sum()
                patterns[h, i, : i + 1] = pattern
                dropped = self.drop(pattern, None if pattern_bits is None else pattern_bits[h, start : start + i + 1])
                outputs[i, h * d : (h + 1) * d] = dropped @ value[: i + 1]
        return outputs @ w[f"{prefix}projection.weight"].T, patterns

    def __call__(self, tokens: np.ndarray, mask_bits: list[np.ndarray | None]) -> tuple[np.ndarray, list[np.ndarray]]:
        w, bits = self.weights, iter(mask_bits)
        x = w["embedding.weight"][tokens]
        if self.shape.positions == "learned":
            x = x + w["positions"][: len(tokens)]
        x, patterns = self.drop(x, next(bits)), []
        for layer in range(self.shape.layers):
            offset_bits = next(bits) if self.shape.positions == "relative" else None
            out, pattern = self.attention(x, layer, offset_bits, next(bits))
            x = x + self.drop(out, next(bits))
            patterns.append(pattern)
            if self.shape.feed_forward:
                prefix = f"layers.{layer}.feed_forward."
                up = np.maximum(self.norm(x, prefix) @ w[f"{prefix}up.weight"].T + w[f"{prefix}up.bias"], 0)
                down = up @ w[f"{prefix}projection.weight"].T + w[f"{prefix}projection.bias"]
                x = x + self.drop(down, next(bits))
        head = w["embedding.weight"] if self.shape.tied else w["head.weight"]
        return self.norm(x, "") @ head.T, patterns


@pytest.mark.parametrize("shape", KINDS, ids=str)
@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("length", [9, 4])
def test_the_transformer_is_the_plain_loop(shape, dropout, length):
    """Logits and patterns equal plain loops: torch in double precision, kernels in single precision."""
    model = make(shape)
    tokens, mask_bits = tokens_of(model, (3, length)), mask_bits_of(model, 3, length) if dropout else []
    plain, expected, patterns = Plain(model, shape.dropout), [], []
    for n, row in enumerate(tokens.numpy()):
        # Mask bits of r are shared by the sequences; all others differ between them.
        bits = [site.numpy() if site.shape[1] == pair_count(length) else site[n].numpy() for site in mask_bits]
        logits, pattern = plain(row, bits or [None] * 20)
        expected.append(logits)
        patterns.append(pattern)
    with torch.no_grad():
        single = model(tokens, mask_bits).numpy()
        np.testing.assert_allclose(model.double()(tokens, mask_bits), expected, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(single, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
        if not dropout:
            for layer, pattern in enumerate(record(model, tokens, "patterns").patterns):
                np.testing.assert_allclose(pattern, [sequence[layer] for sequence in patterns], rtol=1e-10, atol=1e-13)
            last = np.mean([sequence[0][:, -1, ::-1] for sequence in patterns], axis=0)
            np.testing.assert_allclose(model.lag_attention(tokens), last, rtol=1e-6)


def test_offsets_act_through_the_query():
    """Offsets matter through the query alone: not with queries at zero, but with keys at zero."""
    branch = Attention(Architecture(1, 8, 1), 1, 9).double()
    generator = torch.Generator().manual_seed(1)
    branch.offsets.data.normal_(generator=generator)
    qkv = torch.randn(2, 9, 3, 1, 8, generator=generator, dtype=torch.float64)
    uniform = torch.ones(9, 9, dtype=torch.float64).tril() / torch.arange(1, 10)[:, None]
    distances = []
    for part in (0, 1):
        without = qkv.clone()
        without[:, :, part] = 0
        distances.append(float((branch.scores(without).softmax(dim=-1) - uniform).detach().abs().max()))
    assert distances[0] < 1e-14
    assert distances[1] > 0.1


@pytest.mark.parametrize("shape", KINDS, ids=str)
def test_no_position_sees_the_future(shape):
    """Changing the last token moves no earlier logit, exactly."""
    model = make(shape)
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


def test_presets_match_their_names():
    """n - 1 heads of width 16 in layer 1 only; each head has vectors r of its own; the others differ as named."""
    for heads in (1, 2, 3):
        presets = {name: preset(heads) for name, preset in PRESETS.items()}
        assert presets["published"].heads_of == (heads, 1)
        assert presets["published"].width == 16 * heads
        assert presets["one-head"].heads_of == (1, 1)
        assert (presets["one-layer"].layers, presets["feed-forward"].feed_forward, presets["smeared"].smeared) == (
            1,
            4,
            True,
        )
        model = make(presets["published"])
        assert model.layers[0].attention.offsets.shape == (heads, 9, 16)
        assert model.layers[1].attention.offsets.shape == (1, 9, 16 * heads)
    assert Setting.of("transformer", order=3).model.architecture == PRESETS["published"](2)


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


def test_parameters_belong_to_parts_and_decay_acts_on_linear_maps_alone():
    """Neither embedding, offsets nor LayerNorm decay; each parameter belongs to a part that can be frozen."""
    for shape in KINDS:
        model = make(shape)
        names = [name for name, _ in model.named_parameters()]
        ends = ("query_key_value.weight", "projection.weight", "up.weight", "head.weight")
        assert model.decayed() == {name for name in names if name.endswith(ends)}
        setting = Setting.of("transformer", states=3, architecture=shape)
        assert {model.part(name) for name in names} == set(setting.model.parts)
        assert {model.group(name) for name in names} == set(setting.training.optimizer.learning_rate)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_dropout_keeps_the_mean(p, within):
    """A share p is dropped, the rest scaled by 1/(1-p) to 2⁻¹⁶; without mask bits nothing happens."""
    x = torch.ones(300, 333)
    mask_bits = torch.randint(-(2**15), 2**15, x.shape, dtype=torch.int16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(drop(x, None, p), x)
    dropped = drop(x, mask_bits, p).double().numpy()
    kept, count = dropped > 0, dropped.size
    np.testing.assert_allclose(dropped[kept], 1 / (1 - p), rtol=2**-16 / (1 - p))
    within("share", kept.mean(), 1 - p, np.sqrt(p * (1 - p) / count))


def test_a_toy_setting_has_no_transformer():
    """A setting without an architecture is refused by name."""
    with pytest.raises(ValueError, match="linear family has no architecture"):
        Transformer(Setting.of("linear"))
