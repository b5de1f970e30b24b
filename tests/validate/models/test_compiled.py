"""onset.validate.models.compiled against NumPy and against plain torch in double precision."""

from __future__ import annotations

import numba
import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from onset.theory.architecture import Architecture
from onset.theory.setting import Setting
from onset.validate.models.compiled import network
from onset.validate.models.compiled.elementwise import exponentiate, softmax
from onset.validate.models.compiled.layout import CHUNK, LANES, padded, row_start
from onset.validate.models.compiled.matrix_product import FULL, LOWER, UPPER, multiply
from onset.validate.models.model import cross_entropy
from onset.validate.models.transformer import Transformer

SHAPES = [
    Architecture(),
    Architecture(2, 8, (2, 1)),
    Architecture(2, 24, positions="bias", dropout=0.4),
    Architecture(1, 12, 3, norm=False, positions="learned"),
    Architecture(1, 40, 2, tied=True),
]
ROUNDING = 2.0**-24
"""Relative rounding error of single precision."""


def example(shape: Architecture, length: int, dropout: bool, context: int = 21, batch: int = CHUNK + 3):
    """A model with attention far from uniform, tokens of more than one chunk, and dropout mask bits."""
    torch.manual_seed(0)
    model = Transformer(Setting.of("transformer", states=3, context=context, architecture=shape, initialization=0.5))
    for name, parameter in model.named_parameters():
        if "norm" in name or name.endswith("bias"):
            torch.nn.init.normal_(parameter, mean=1.0, std=0.3)
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(3, (batch, length + 1), generator=generator)
    sites = model.sites(batch, length) if dropout else []
    draw = {"dtype": torch.int16, "generator": generator}
    return model, tokens, [torch.randint(-(2**15), 2**15, site, **draw) for site in sites]


def compiled(model: Transformer, tokens: torch.Tensor, mask_bits: list[torch.Tensor]) -> list[torch.Tensor]:
    """The loss and its gradients by compiled kernels."""
    parameters = dict(model.named_parameters())
    loss, gradients = network.loss_and_gradients(model.shape, parameters, tokens, mask_bits)
    return [loss, *gradients.values()]


def plain(model: Transformer, tokens: torch.Tensor, mask_bits: list[torch.Tensor]) -> list[torch.Tensor]:
    """The same by torch."""
    loss = cross_entropy(model, tokens, mask_bits)
    return [loss, *torch.autograd.grad(loss, list(model.parameters()))]


@pytest.mark.parametrize("form", [FULL, LOWER, UPPER])
@pytest.mark.parametrize("diagonal", [0, 16])
@pytest.mark.parametrize("rows", [16, 7])
def test_a_product_is_numpys(form, diagonal, rows):
    """Full and triangular, any number of rows, both memory orders, added to `out`: equal up to the rounding of sums."""
    generator = np.random.default_rng(0)
    depth, columns = 29, 3 * LANES
    i, n = np.arange(rows)[:, None], np.arange(depth)
    nonzero = {FULL: n >= 0, LOWER: n <= diagonal + i, UPPER: n >= i - diagonal}[form]
    a = np.where(nonzero, generator.standard_normal((rows, depth)), 0).astype(np.float32)
    b = generator.standard_normal((depth, columns)).astype(np.float32)
    out = generator.standard_normal((rows, columns)).astype(np.float32)
    expected = out + a.astype(float) @ b
    bound = (depth + 1) * ROUNDING * (np.abs(out) + np.abs(a).astype(float) @ np.abs(b))
    for left in (a, np.asfortranarray(a)):
        result = out.copy()
        multiply(result, left, b, form, diagonal)
        assert np.all(np.abs(result - expected) <= bound)


@pytest.mark.parametrize("length", [1, 16, 17, 53])
def test_rows_of_a_packed_pattern_follow_one_another(length):
    """Each row starts where the padded row before it ends."""
    ends = np.cumsum([padded(i + 1) for i in range(length)])
    assert [row_start(i) for i in range(length + 1)] == [0, *ends]


def test_the_exponential_is_right_to_its_last_bits_and_vanishes_far_below():
    """To two roundings down to -87, and zero below; equal arguments give equal results wherever they stand."""
    x = np.linspace(-87, 0, 100_001, dtype=np.float32)
    result = x.copy()
    exponentiate(result, np.empty(len(x), np.int32))
    exact = np.exp(x.astype(float))
    assert np.all(np.abs(result - exact) <= 2 * 2 * ROUNDING * exact)
    below = np.array([-87.1, -1e30, -np.inf], np.float32)
    exponentiate(below, np.empty(3, np.int32))
    assert np.all(below == 0)


def test_a_softmax_is_causal_and_stable():
    """Rows of scales up to 3·10⁴, one of equal scores and one below zero: NumPy's values, zeros beyond the diagonal."""
    generator = np.random.default_rng(0)
    base, rows = LANES, LANES
    scores = generator.standard_normal((rows, base + LANES)) * np.logspace(-3, 4, rows)[:, None]
    scores[3], scores[5] = 7.0, -1e3 - np.abs(scores[5])
    block = scores.astype(np.float32)
    causal = np.arange(base + LANES) <= base + np.arange(rows)[:, None]
    exact = np.where(causal, block.astype(float), -np.inf)
    exact = np.exp(exact - exact.max(axis=1, keepdims=True))
    exact /= exact.sum(axis=1, keepdims=True)
    softmax(block, base, np.empty(block.size, np.int32))
    # The difference to the greatest score is rounded, which an exponential turns into a relative error of that size.
    bound = (np.abs(scores).max(axis=1, keepdims=True) * 2 + base + LANES + 8) * ROUNDING * exact + 2.0**-125
    assert np.all(np.abs(block - exact) <= bound)
    assert np.all(block[~causal] == 0)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("length", "dropout"), [(21, True), (18, False)])
def test_loss_and_gradients_are_those_of_plain_torch(shape, length, dropout):
    """Errors against double precision are at most four times those of plain torch in single precision."""
    model, tokens, mask_bits = example(shape, length, dropout)
    assert model.compiled
    ours, single = compiled(model, tokens, mask_bits), plain(model, tokens, mask_bits)
    model.double()
    assert not model.compiled
    double = plain(model, tokens, mask_bits)

    def errors(results: list[torch.Tensor]) -> np.ndarray:
        return np.array(
            [float(((a - b).abs().max() / b.abs().max()).detach()) for a, b in zip(results, double, strict=True)]
        )

    print("errors", errors(ours).max(), errors(single).max())
    assert np.all(errors(ours) <= 4 * errors(single).max())


def test_numbers_do_not_depend_on_threads():
    """Loss and gradients with one thread and with all are equal to the last bit."""
    most = numba.get_num_threads()
    if most == 1:
        pytest.skip("one thread is all there is")
    model, tokens, mask_bits = example(SHAPES[0], 21, True)
    results = []
    try:
        for threads in (1, most):
            numba.set_num_threads(threads)
            results.append(compiled(model, tokens, mask_bits))
    finally:
        numba.set_num_threads(most)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_plain_torch_does_what_kernels_do_not_support():
    """Other kinds of models, half precision, and logits that are differentiated."""
    model, tokens, _ = example(SHAPES[1], 21, False)
    for shape in (Architecture(positions="rotary"), Architecture(smeared=True), Architecture(feed_forward=2)):
        assert not example(shape, 21, False)[0].compiled
    with torch.autocast("cpu", torch.bfloat16):
        assert not model.compiled
    assert model(tokens[:, :-1]).requires_grad
    with torch.no_grad():
        logits = model(tokens[:, :-1])
    error = 4 * ROUNDING * np.sqrt(tokens.numel() * model.shape.width)
    np.testing.assert_allclose(logits, model(tokens[:, :-1]).detach(), rtol=0, atol=error * float(logits.abs().max()))
