"""onset.validate.models.toy: the PyTorch toy families against the plain T × T form."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from onset.simulate.finite_context.dynamics import log_predictions  # noqa: E402
from onset.theory.dynamics.layout import Layout  # noqa: E402
from onset.theory.setting import Setting  # noqa: E402
from onset.validate.models.toy import Toy  # noqa: E402


def scattered(family: str, states: int, context: int, size: float = 1.0) -> Toy:
    """A float64 model whose every parameter is random."""
    model = Toy(Setting.of(family, states=states, context=context)).double()
    generator = torch.Generator().manual_seed(states)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(size * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


def tokens_of(states: int, shape: tuple[int, int]) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(states, size=shape))


CASES = [("linear", 2), ("linear", 4), ("softmax", 2), ("softmax", 3)]


@pytest.mark.parametrize("size", [1.0, 6.0])
@pytest.mark.parametrize(("family", "states"), CASES)
def test_forward_is_the_plain_quadratic_form(family, states, size, plain_logits):
    """Logits and gradients equal those of the T × T form, to 1e-10 of the largest, without any symmetry."""
    model, tokens = scattered(family, states, 11, size), tokens_of(states, (6, 11))
    logits = model(tokens)
    plain = torch.stack(
        [plain_logits(model.lag_logits, model.match, getattr(model, "readout", None), row) for row in tokens]
    )
    np.testing.assert_allclose(
        logits.detach(), plain.detach(), rtol=1e-10, atol=1e-10 * float(plain.detach().abs().max())
    )
    probe = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for gradient, expected in zip(
        *(torch.autograd.grad((f * probe).sum(), list(model.parameters())) for f in (logits, plain)), strict=True
    ):
        np.testing.assert_allclose(gradient, expected, rtol=1e-10, atol=1e-10 * float(expected.abs().max()))


@pytest.mark.parametrize(("family", "states"), CASES)
def test_no_position_sees_the_future(family, states):
    """Changing the last token changes no earlier logit; an early loss has no gradient by longer lags."""
    model, tokens = scattered(family, states, 9), tokens_of(states, (5, 9))
    changed = tokens.clone()
    changed[:, -1] = (changed[:, -1] + 1) % states
    before, after = model(tokens), model(changed)
    assert torch.equal(before[:, :-1], after[:, :-1])
    assert not torch.equal(before[:, -1], after[:, -1])
    (by_lag,) = torch.autograd.grad(before[:, 3].square().sum(), model.lag_logits)
    assert torch.all(by_lag[4:] == 0)
    assert torch.all(by_lag[:4] != 0)


@pytest.mark.parametrize(("family", "states"), CASES)
def test_a_shorter_context_is_a_prefix(family, states):
    """Logits of the first five tokens do not depend on how many follow."""
    model, tokens = scattered(family, states, 9), tokens_of(states, (4, 9))
    np.testing.assert_allclose(model(tokens[:, :5]).detach(), model(tokens)[:, :5].detach(), rtol=1e-12, atol=1e-12)


def test_first_layer_is_a_causal_softmax_over_its_own_past():
    """Row s holds e^{v_r}/Σ_{r<s} e^{v_r} at column s - r; rows sum to one; the last row, by lag, is lag_attention."""
    model = scattered("linear", 2, 6)
    pattern, weight = model.first_layer(6).detach().numpy(), np.exp(model.lag_logits.detach().numpy())
    for s in range(6):
        for column in range(6):
            expected = weight[s - column] / weight[: s + 1].sum() if column <= s else 0.0
            assert pattern[s, column] == pytest.approx(expected, rel=1e-14)
    np.testing.assert_allclose(model.lag_attention(tokens_of(2, (3, 6))), (weight / weight.sum())[None], rtol=1e-14)


@pytest.mark.parametrize(("family", "states"), CASES)
def test_the_toy_and_its_reduced_form_are_one_model(family, states):
    """On the orbits the module's predictions are onset.simulate.finite_context.dynamics's, to 1e-10."""
    setting = Setting.of(family, states=states, context=10)
    layout, model = Layout.of(setting.task, setting.model.initialization, 10), Toy(setting).double()
    point = np.random.default_rng(3).normal(size=len(layout.start))
    eye = torch.eye(states, dtype=torch.float64)
    with torch.no_grad():
        model.match.copy_(point[1] + (point[0] - point[1]) * eye)
        model.lag_logits.copy_(torch.from_numpy(point[layout.lags]))
        if family == "softmax":
            model.readout.copy_(point[3] + (point[2] - point[3]) * eye)
    tokens = tokens_of(states, (5, 11))
    log_probabilities = torch.log_softmax(model(tokens[:, :-1]), dim=-1).detach()
    np.testing.assert_allclose(
        log_probabilities, log_predictions(setting, point, tokens.numpy().astype(np.uint8)), rtol=1e-10, atol=1e-10
    )


def test_raw_bigram_counts():
    """W = I with all attention on lag 1 counts moves x_t → j, as constructed in arXiv 2402.11004."""
    model, tokens = Toy(Setting.of("linear", states=3, context=20)).double(), tokens_of(3, (4, 20))
    with torch.no_grad():
        model.match.copy_(torch.eye(3))
        model.lag_logits.copy_(torch.full((20,), -800.0, dtype=torch.float64).index_fill(0, torch.tensor([1]), 0.0))
    for row, logits in zip(tokens.tolist(), model(tokens).tolist(), strict=True):
        for t in range(20):
            moves = [row[0]] * (row[t] == row[0]) + [b for a, b in itertools.pairwise(row[: t + 1]) if a == row[t]]
            assert logits[t] == [moves.count(j) for j in range(3)]


def test_parameters_start_where_the_setting_says():
    """Every entry of a group starts at its initialization; groups are the optimiser's."""
    setting = Setting.of(
        "softmax", states=3, context=7, initialization={"match": 0.25, "readout": -0.5, "lag_logits": 0.125}
    )
    model = Toy(setting)
    assert {
        model.group(name): (tuple(p.shape), float(p.detach().min()), float(p.detach().max()))
        for name, p in model.named_parameters()
    } == {"match": ((3, 3), 0.25, 0.25), "readout": ((3, 3), -0.5, -0.5), "lag_logits": ((7,), 0.125, 0.125)}
    assert {name for name, _ in model.named_parameters()} == set(setting.training.optimizer.learning_rate)
    assert "readout" not in dict(Toy(Setting.of("linear")).named_parameters())
