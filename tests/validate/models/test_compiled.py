"""onset.validate.models.compiled: products, exponentials and softmax against NumPy, the loss and its derivatives against plain torch in double precision."""

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
from onset.validate.models.compiled.tiles import CHUNK, LANES, LOWER, UPPER, filled, multiply, start
from onset.validate.models.likelihood import cross_entropy
from onset.validate.models.transformer import Transformer

SHAPES = [
    Architecture(),
    Architecture(2, 8, (2, 1)),
    Architecture(2, 24, positions="bias", dropout=0.4),
    Architecture(1, 12, 3, norm=False, positions="learned"),
    Architecture(1, 40, 2, tied=True),
]
UNIT = 2.0**-24
"""Rounding error of single precision, relative."""


def made(shape: Architecture, length: int, dropping: bool, context: int = 21, batch: int = CHUNK + 3):
    """A model with attention far from uniform, tokens of more than one chunk, and words."""
    torch.manual_seed(0)
    model = Transformer(Setting.of("transformer", states=3, context=context, architecture=shape, initialization=0.5))
    for name, parameter in model.named_parameters():
        if "norm" in name or name.endswith("bias"):
            torch.nn.init.normal_(parameter, mean=1.0, std=0.3)
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(3, (batch, length + 1), generator=generator)
    sites = model.sites(batch, length) if dropping else []
    draw = {"dtype": torch.int16, "generator": generator}
    return model, tokens, [torch.randint(-(2**15), 2**15, site, **draw) for site in sites]


def compiled(model: Transformer, tokens: torch.Tensor, words: list[torch.Tensor]) -> list[torch.Tensor]:
    """The loss and its derivatives by every parameter."""
    loss, by = network.loss_and_gradients(model.shape, dict(model.named_parameters()), tokens, words)
    return [loss, *by.values()]


def plain(model: Transformer, tokens: torch.Tensor, words: list[torch.Tensor]) -> list[torch.Tensor]:
    """The same by torch."""
    loss = cross_entropy(model, tokens, words)
    return [loss, *torch.autograd.grad(loss, list(model.parameters()))]


@pytest.mark.parametrize("form", [0, LOWER, UPPER])
@pytest.mark.parametrize("base", [0, 16])
@pytest.mark.parametrize("rows", [16, 7])
def test_a_product_is_numpys(form, base, rows):
    """Whole and triangular, any number of rows, either factor turned: to the rounding of a sum of so many terms; `out` is added to."""
    generator = np.random.default_rng(0)
    depth, columns = 29, 3 * LANES
    i, n = np.arange(rows)[:, None], np.arange(depth)
    there = {0: n >= 0, LOWER: n <= base + i, UPPER: n >= i - base}[form]
    a = np.where(there, generator.standard_normal((rows, depth)), 0).astype(np.float32)
    b = generator.standard_normal((depth, columns)).astype(np.float32)
    out = generator.standard_normal((rows, columns)).astype(np.float32)
    expected = out + a.astype(float) @ b
    bound = (depth + 1) * UNIT * (np.abs(out) + np.abs(a).astype(float) @ np.abs(b))
    for left in (a, np.asfortranarray(a)):
        found = out.copy()
        multiply(found, left, b, form, base)
        assert np.all(np.abs(found - expected) <= bound)


@pytest.mark.parametrize("length", [1, 16, 17, 53])
def test_rows_of_a_pattern_stand_one_after_the_other(length):
    """Each starts where the one before, filled up to a multiple of the lanes, ends."""
    ends = np.cumsum([filled(i + 1) for i in range(length)])
    assert [start(i) for i in range(length + 1)] == [0, *ends]


def test_the_exponential_is_right_to_its_last_bits_and_vanishes_far_below():
    """To two roundings down to -87, and zero below; equal arguments give equal results wherever they stand."""
    x = np.linspace(-87, 0, 100_001, dtype=np.float32)
    found = x.copy()
    exponentiate(found, np.empty(len(x), np.int32))
    exact = np.exp(x.astype(float))
    assert np.all(np.abs(found - exact) <= 2 * 2 * UNIT * exact)
    below = np.array([-87.1, -1e30, -np.inf], np.float32)
    exponentiate(below, np.empty(3, np.int32))
    assert np.all(below == 0)


def test_a_softmax_sees_what_is_before_it_and_bears_scores_far_apart():
    """Rows of any scale, up to ±3·10⁴, one of equal scores and one below zero: sums of one, zeros beyond the diagonal, NumPy's values."""
    generator = np.random.default_rng(0)
    base, rows = LANES, LANES
    scores = generator.standard_normal((rows, base + LANES)) * np.logspace(-3, 4, rows)[:, None]
    scores[3], scores[5] = 7.0, -1e3 - np.abs(scores[5])
    block = scores.astype(np.float32)
    seen = np.arange(base + LANES) <= base + np.arange(rows)[:, None]
    exact = np.where(seen, block.astype(float), -np.inf)
    exact = np.exp(exact - exact.max(axis=1, keepdims=True))
    exact /= exact.sum(axis=1, keepdims=True)
    softmax(block, base, np.empty(block.size, np.int32))
    # The difference to the greatest score is rounded, which an exponential turns into a relative error of that size.
    bound = (np.abs(scores).max(axis=1, keepdims=True) * 2 + base + LANES + 8) * UNIT * exact + 2.0**-125
    assert np.all(np.abs(block - exact) <= bound)
    assert np.all(block[~seen] == 0)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("length", "dropping"), [(21, True), (18, False)])
def test_the_loss_and_its_derivatives_are_those_of_plain_torch(shape, length, dropping):
    """Of every parameter, dropping or not, at the context and below it, from plain torch in double precision: no farther than four times as far as plain
    torch in single precision is."""
    model, tokens, words = made(shape, length, dropping)
    assert model.compiled
    ours, single = compiled(model, tokens, words), plain(model, tokens, words)
    model.double()
    assert not model.compiled
    double = plain(model, tokens, words)

    def errors(found: list[torch.Tensor]) -> np.ndarray:
        return np.array(
            [float(((a - b).abs().max() / b.abs().max()).detach()) for a, b in zip(found, double, strict=True)]
        )

    print("errors", errors(ours).max(), errors(single).max())
    assert np.all(errors(ours) <= 4 * errors(single).max())


def test_numbers_do_not_depend_on_threads():
    """Loss and derivatives with one thread and with all equal each other to the last bit."""
    most = numba.get_num_threads()
    if most == 1:
        pytest.skip("one thread is all there is")
    model, tokens, words = made(SHAPES[0], 21, True)
    found = []
    try:
        for threads in (1, most):
            numba.set_num_threads(threads)
            found.append(compiled(model, tokens, words))
    finally:
        numba.set_num_threads(most)
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_what_kernels_do_not_do_is_done_by_plain_torch():
    """Kinds without kernels, half precision and logits that are differentiated go by torch."""
    model, tokens, _ = made(SHAPES[1], 21, False)
    for shape in (Architecture(positions="rotary"), Architecture(smeared=True), Architecture(feed_forward=2)):
        assert not made(shape, 21, False)[0].compiled
    with torch.autocast("cpu", torch.bfloat16):
        assert not model.compiled
    assert model(tokens[:, :-1]).requires_grad
    with torch.no_grad():
        found = model(tokens[:, :-1])
    error = 4 * UNIT * np.sqrt(tokens.numel() * model.shape.width)
    np.testing.assert_allclose(found, model(tokens[:, :-1]).detach(), rtol=0, atol=error * float(found.abs().max()))
