"""Transformers of every kind, and their forward pass written out with T × T matrices."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from onset.theory.architecture import POSITIONS, Architecture  # noqa: E402
from onset.theory.setting import Setting  # noqa: E402
from onset.validate.models.transformer import Transformer  # noqa: E402

STATES, CONTEXT = 4, 11

KINDS = [
    *(Architecture(2, 8, 2, positions=positions, norm=norm) for positions in POSITIONS for norm in (True, False)),
    Architecture(3, 12, (3, 1, 2), tied=True),
    Architecture(2, 8, 2, smeared=True, positions="rotary"),
    Architecture(2, 8, (1, 4), feed_forward=2, positions="bias", tied=True),
    Architecture(2, 8, 2, smeared=True, even=True),
    Architecture(2, 8, 2, previous=True),
]


@pytest.fixture(autouse=True)
def one_thread():
    """A second thread only slows tensors this small down."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=KINDS, ids=str)
def model(request) -> Transformer:
    """In double precision, with attention far from uniform."""
    torch.manual_seed(0)
    setting = Setting.of("transformer", states=STATES, context=CONTEXT, architecture=request.param, initialization=0.7)
    model = Transformer(setting).double()
    for name, parameter in model.named_parameters():
        if name.endswith(("smear", "bias")) or "norm" in name:
            torch.nn.init.normal_(parameter, mean=float(name.endswith("norm.weight")), std=0.5)
    return model


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(STATES, (3, CONTEXT), generator=torch.Generator().manual_seed(1))


def unchanged(name: str, layer: int, value: Tensor) -> Tensor:
    return value


Edit = Callable[[str, int, Tensor], Tensor]


def _plain(model: Transformer, tokens: Tensor, edit: Edit = unchanged) -> dict[str, list[Tensor]]:
    """Every activation by name and layer, from the parameters alone; `edit` may replace each."""
    weights, shape = {name: value.detach() for name, value in model.named_parameters()}, model.shape
    length, position = tokens.shape[1], torch.arange(tokens.shape[1])
    lag = position[:, None] - position
    activations: dict[str, list[Tensor]] = {
        "streams": [],
        "scores": [],
        "patterns": [],
        "head_outputs": [],
        "feed_forwards": [],
        "branch": [],
    }

    def keep(name: str, layer: int, value: Tensor) -> Tensor:
        activations[name].append(edit(name, layer, value))
        return activations[name][-1]

    def norm(x: Tensor, prefix: str) -> Tensor:
        if not shape.norm:
            return x
        x = (x - x.mean(dim=-1, keepdim=True)) / (x.var(dim=-1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        return x * weights[f"{prefix}norm.weight"] + weights[f"{prefix}norm.bias"]

    def rotate(x: Tensor) -> Tensor:
        half = x.shape[-1] // 2
        angle = position[:, None] * 1e4 ** -(torch.arange(half).double() / half)
        turn = torch.polar(torch.ones_like(angle), angle)
        z = torch.complex(x[..., :half], x[..., half:]) * turn
        return torch.cat([z.real, z.imag], dim=-1)

    x = weights["embedding.weight"][tokens]
    if shape.positions == "learned":
        x = x + weights["positions"][:length]
    for layer, heads in enumerate(shape.heads_of):
        prefix, d = f"layers.{layer}.attention.", shape.width // heads
        x = keep("streams", layer, x)
        normalized, scores, values = norm(x, prefix), [], []
        for head in range(heads):
            rows = [slice(n * shape.width + head * d, n * shape.width + (head + 1) * d) for n in range(3)]
            q, k, v = (normalized @ weights[f"{prefix}query_key_value.weight"][row].T for row in rows)
            if shape.smeared:
                share = weights[f"{prefix}smear"][head].sigmoid() if not shape.even else 0.5
                k = torch.cat([k[:, :1], share * k[:, 1:] + (1 - share) * k[:, :-1]], dim=1)
            if shape.positions == "rotary":
                q, k = rotate(q), rotate(k)
            score = q @ k.mT / math.sqrt(d)
            if shape.previous and layer == 0:
                score = torch.full_like(score, -torch.inf)
                for t in range(length):
                    score[:, t, max(t - 1, 0)] = 0
            elif shape.positions == "relative":
                r = weights[f"{prefix}offsets"][head][lag.clamp(min=0)]
                score = score + (q[:, :, None] * r).sum(dim=-1) / math.sqrt(d)
            if shape.positions == "bias":
                score = score + weights[f"{prefix}bias"][head][lag.clamp(min=0)]
            scores.append(torch.where(lag < 0, -torch.inf, score))
            values.append(v)
        score = keep("scores", layer, torch.stack(scores, dim=1))
        pattern = score.exp() / score.exp().sum(dim=-1, keepdim=True)
        pattern = keep("patterns", layer, pattern)
        outputs = torch.stack([pattern[:, head] @ values[head] for head in range(heads)], dim=2)
        outputs = keep("head_outputs", layer, outputs)
        activations["branch"].append(
            torch.cat(list(outputs.unbind(2)), dim=-1) @ weights[f"{prefix}projection.weight"].T
        )
        x = x + activations["branch"][-1]
        if shape.feed_forward:
            prefix = f"layers.{layer}.feed_forward."
            up = (norm(x, prefix) @ weights[f"{prefix}up.weight"].T + weights[f"{prefix}up.bias"]).clamp(min=0)
            added = up @ weights[f"{prefix}projection.weight"].T + weights[f"{prefix}projection.bias"]
            x = x + keep("feed_forwards", layer, added)
    x = keep("streams", shape.layers, x)
    head = weights["embedding.weight"] if shape.tied else weights["head.weight"]
    return activations | {"logits": [F.linear(norm(x, ""), head)]}


@pytest.fixture
def plain() -> Callable[..., dict[str, list[Tensor]]]:
    return _plain
