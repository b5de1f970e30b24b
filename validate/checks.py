"""Checks of derivations that need automatic differentiation or training; `attach_all` adds them to those of `theory`. One section per derivation."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import numpy as np

from theory.chains import Array, stationary
from theory.derivations import attach, get, signals, symmetry
from theory.derivations.derivation import Check, Outcome
from theory.setting import Setting
from theory.signals import correlations, repetitions

__all__ = ["attach_all"]

EPS = float(np.finfo(np.float64).eps)


def attach_all() -> None:
    """Add every check of this module to its derivation."""
    for name, checks in CHECKS.items():
        for check in checks:
            attach(name, check)


def _serial(check: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """Run a check on one thread: its tensors are small, and on a shared machine threads wait longer for each other than they work."""

    @wraps(check)
    def alone(*given: Any) -> Outcome:
        import torch

        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return check(*given)
        finally:
            torch.set_num_threads(before)

    return alone


def _loss(model: Any, parameters: dict[str, Any], tokens: Any, targets: Any) -> Any:
    """Sum over sequences of the loss per position, targets (n, T, k) weighing sequences and next tokens."""
    import torch

    logits = torch.func.functional_call(model, parameters, (tokens,))
    return -(targets * logits.log_softmax(dim=-1)).sum() / tokens.shape[1]


# symmetry -----------------------------------------------------------------------------------------------------------


def _batch(setting: Setting, count: int, *, closed: bool = True) -> tuple[Any, Any]:
    """Random tokens (n, T) and one-hot targets (n, T, k)/n; if `closed`, with all relabellings of every sequence."""
    import torch

    tokens = np.random.default_rng(11).integers(setting.states, size=(count, setting.context + 1))
    if closed:
        tokens = np.concatenate([np.array(order)[tokens] for order in itertools.permutations(range(setting.states))])
    targets = np.eye(setting.states)[tokens[:, 1:]] / len(tokens)
    return torch.from_numpy(tokens[:, :-1]), torch.from_numpy(targets)


def _start(setting: Setting, off: float = 0.0) -> Any:
    """A float64 model with matrices in span{I, 11ᵀ} and distinct lag logits; `off` moves one entry of each matrix off it."""
    import torch

    from validate.models.toy import Toy

    model = Toy(setting).double()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name == "lag_logits":
                value.copy_(torch.linspace(0.5, -0.5, len(value)))
            else:
                value.copy_(0.3 + 0.5 * torch.eye(setting.states))
                value[0, 1] += off
    return model


def _outside(matrix: Array) -> float:
    """Largest entry of what a matrix has outside a·11ᵀ + b·I, with a and b from the derivation's formula."""
    of_ones, of_eye = _decomposition()(np.trace(matrix), matrix.sum(), len(matrix)).ravel()
    return float(np.abs(matrix - of_ones - of_eye * np.eye(len(matrix))).max())


@cache
def _decomposition() -> Callable[..., Array]:
    return get("symmetry").function(symmetry.g_omega, symmetry.g_c, symmetry.k)


def _rounding(setting: Setting, count: int) -> float:
    """Of a gradient entry: as many additions as there are tokens, of terms up to a position's T sources (softmax: 1), averaged."""
    terms = setting.context if setting.family == "linear" else 1
    return EPS * count * setting.context * terms


CASES = tuple(itertools.product(("linear", "softmax"), (2, 3, 4)))


def _gradient_outside(setting: Setting, tokens: Any, targets: Any) -> tuple[float, float]:
    """Largest part of any matrix's gradient outside the subspace, and the rounding to expect."""
    parameters = dict(_start(setting).named_parameters())
    _loss(_start(setting), parameters, tokens, targets).backward()
    outside = max(_outside(np.asarray(p.grad)) for name, p in parameters.items() if name != "lag_logits")
    return outside, _rounding(setting, len(tokens))


@_serial
def _autodiff() -> Outcome:
    worst = 0.0
    for family, states in CASES:
        setting = Setting.of(family, states=states, context=6)
        outside, limit = _gradient_outside(setting, *_batch(setting, 3))
        worst = max(worst, outside / limit)
    return Outcome(worst, 1.0, "in units of one rounding per token and source")


@_serial
def _leaves() -> Outcome:
    worst = 0.0
    for family, states in CASES:
        setting = Setting.of(family, states=states, context=4)
        outside, limit = _gradient_outside(setting, *_every_sequence(states, 4)[:2])
        worst = max(worst, limit / outside)
    return Outcome(
        worst, EPS**0.5, "rounding over what lies outside: below √ε, half-way between rounding and order one"
    )


def _train(setting: Setting, off: float) -> tuple[list[float], float]:
    """50 steps on a closed batch: what lies outside the subspace after each, and the smallest entry of a matrix's gradient seen."""
    import torch

    model, (tokens, targets) = _start(setting, off), _batch(setting, 3)
    matrices = [p for name, p in model.named_parameters() if name != "lag_logits"]
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[setting.optimizer.name]
    stepper = kind(model.parameters(), lr=0.02)
    outside, smallest = [], np.inf
    for _ in range(50):
        stepper.zero_grad()
        _loss(model, dict(model.named_parameters()), tokens, targets).backward()
        smallest = min(smallest, *(float(p.grad.abs().min()) for p in matrices))  # pyright: ignore[reportOptionalMemberAccess]
        stepper.step()
        outside.append(max(_outside(p.detach().numpy()) for p in matrices))
    return outside, smallest


@_serial
def _trajectory() -> Outcome:
    worst = 0.0
    for (family, states), optimizer in itertools.product(CASES[:2] + CASES[3:5], ("sgd", "adam")):
        setting = Setting.of(family, states=states, context=6, optimizer=optimizer)
        stayed, smallest = _train(setting, 0.0)
        off = EPS**0.5
        strayed, _ = _train(setting, off)
        grown = max(1.0, max(strayed) / off)
        # Adam divides a gradient by its own size: its relative rounding becomes the update's. Parameters are of order one.
        rounding = _rounding(setting, 3 * len(list(itertools.permutations(range(states)))))
        per_step = 0.02 * rounding / (smallest if optimizer == "adam" else 1.0) + EPS
        worst = max(worst, max(stayed) / (50 * per_step * grown))
    return Outcome(worst, 1.0, "in units of 50 steps' rounding times the growth of a deviation of √ε, measured")


def _hessian(setting: Setting, point: Array, count: int) -> tuple[Array, Array, float]:
    """Second derivatives by the entries of all matrices on a closed sample: transverse block, mixed block, and rounding."""
    import torch

    from simulate.sequences import next_rows, sample
    from theory.dynamics import Layout
    from validate.models.toy import Toy

    k, drawn = setting.states, sample(setting, count, np.random.default_rng(5))
    orders = [np.array(order) for order in itertools.permutations(range(k))]
    tokens = torch.from_numpy(np.concatenate([order[drawn.tokens[:, :-1]] for order in orders]))
    rows = np.concatenate([next_rows(drawn)[:, :, np.argsort(order)] for order in orders])
    targets = torch.from_numpy(rows / len(rows))
    model, names = Toy(setting).double(), [g for g in ("match", "readout") if g in setting.initialization]
    lags = torch.from_numpy(point[Layout.of(setting, setting.context).lags].copy())

    def loss(flat: Any) -> Any:
        matrices = flat[: len(names) * k * k].reshape(len(names), k, k)
        return _loss(
            model, dict(zip(names, matrices, strict=True)) | {"lag_logits": flat[len(names) * k * k :]}, tokens, targets
        )

    matrices = [point[2 * n + 1] + (point[2 * n] - point[2 * n + 1]) * np.eye(k) for n in range(len(names))]
    start = torch.cat([torch.from_numpy(np.array(matrices)).ravel(), lags])
    full = np.asarray(torch.autograd.functional.hessian(loss, start))
    axes = np.linalg.svd(np.stack([np.eye(k).ravel(), np.ones(k * k)], axis=1))[0]
    inside, transverse = np.kron(np.eye(len(names)), axes[:, :2]), np.kron(np.eye(len(names)), axes[:, 2:])
    size = len(names) * k * k
    others = np.block(
        [[inside, np.zeros((size, len(lags)))], [np.zeros((len(lags), inside.shape[1])), np.eye(len(lags))]]
    )
    rounding = EPS * len(rows) * setting.context * float(np.abs(full).max())
    return transverse.T @ full[:size, :size] @ transverse, transverse.T @ full[:size] @ others, rounding


def _plateau(family: str, states: int, context: int, steps: int) -> tuple[Setting, Array]:
    """A setting and where its finite-context prediction stands after `steps`."""
    from simulate.reduced import FiniteContext
    from theory.dynamics import descend

    setting = Setting.of(family, states=states, context=context, optimizer="sgd", steps=steps, record_every=steps)
    found = descend(FiniteContext(setting, count=128, held_out=16), setting)
    return setting, np.array([curve[-1] for curve in found.parameters.values()])


@_serial
def _transverse() -> Outcome:
    worst = 0.0
    for family, steps in (("linear", 40), ("softmax", 250)):
        setting, point = _plateau(family, 3, 25, steps)
        transverse, mixed, rounding = _hessian(setting, point, 24)
        worst = max(worst, -float(np.linalg.eigvalsh(transverse)[0]) / rounding, float(np.abs(mixed).max()) / rounding)
    return Outcome(worst, 1.0, "in units of one rounding per token of the largest second derivative")


# signals ------------------------------------------------------------------------------------------------------------


def _every_sequence(states: int, context: int) -> tuple[Any, Any, Array, Array]:
    """All tokens (k^T, T); targets with each sequence's probability and next row, averaged over eight chains; those chains."""
    import torch

    generator = np.random.default_rng(states)
    chains, weights = generator.dirichlet(np.ones(states), size=(8, states)), generator.dirichlet(np.ones(8))
    tokens = np.array(list(itertools.product(range(states), repeat=context)))
    chance = stationary(chains)[:, tokens[:, 0]] * np.prod(chains[:, tokens[:, :-1], tokens[:, 1:]], axis=-1)
    targets = np.einsum("c,cn,cntj->ntj", weights, chance, chains[:, tokens])
    return torch.from_numpy(tokens), torch.from_numpy(targets), chains, weights


def _reduced_loss(setting: Setting, tokens: Any, targets: Any) -> tuple[Callable[..., Any], list[Any]]:
    """Loss as a function of ω, c, μ, d and v, and those at an uninformed start."""
    import torch

    from validate.models.toy import Toy

    model, k = Toy(setting).double(), setting.states
    eye, ones = torch.eye(k, dtype=torch.float64), torch.ones(k, k, dtype=torch.float64)

    def loss(omega: Any, c: Any, mu: Any, d: Any, v: Any) -> Any:
        matrices = {"match": omega * eye + c * ones, "readout": mu * eye + d * ones, "lag_logits": v}
        return _loss(model, {name: matrices[name] for name in setting.initialization}, tokens, targets)

    start = [torch.zeros((), dtype=torch.float64, requires_grad=True) for _ in range(4)]
    return loss, [*start, torch.zeros(setting.context, dtype=torch.float64, requires_grad=True)]


def _derivative(value: Any, *by: Any) -> Array:
    """Repeated derivative; each but the last by a number."""
    import torch

    for variable in by:
        (value,) = torch.autograd.grad(value, variable, create_graph=True)
    return value.detach().numpy()


@_serial
def _enumerated(family: str) -> Outcome:
    worst, linear = 0.0, family == "linear"
    for states, context in ((2, 5), (3, 4)):
        tokens, targets, chains, weights = _every_sequence(states, context)
        loss, start = _reduced_loss(Setting.of(family, states=states, context=context), tokens, targets)
        omega, c, mu, d, v = start
        value = loss(*start)
        at: dict[str, Any] = {"T": context, "C": correlations(chains, weights, context)}
        often: dict[str, Any] = {"T": context, "u": repetitions(chains, weights, context)}
        kernels = [signals.kernel(context, lag) for lag in range(context)]
        inner, mean = signals.kernel(context)
        if linear:
            pairs = [
                (_derivative(value, omega), signals.evaluate(signals.linear, K=inner, **at)),
                (_derivative(value, c), signals.evaluate(signals.by_scale, **often)),
                (_derivative(value, omega, v), [signals.evaluate(signals.linear, K=each, **at) for each, _ in kernels]),
            ]
        else:
            form = {"mu": 1.0, **at}
            by_lag = [signals.evaluate(signals.softmax, K=each, M=own, **form) for each, own in kernels]
            pairs = [
                (_derivative(value, mu), signals.evaluate(signals.by_readout, **often)),
                (_derivative(value, d), 0.0),
                (_derivative(value, mu, omega), signals.evaluate(signals.softmax, K=inner, M=mean, **form)),
                (_derivative(value, mu, omega, v), by_lag),
            ]
        rounding = EPS * len(tokens) * len(chains) * context**2
        worst = max(worst, *(float(np.abs(found - np.asarray(expected)).max()) / rounding for found, expected in pairs))
    return Outcome(worst, 1.0, "in units of one rounding per sequence, chain, source and query")


@_serial
def _silent() -> Outcome:
    import torch

    worst = 0.0
    for (family, states), level in itertools.product(CASES, (0.0, 0.01)):
        setting = Setting.of(family, states=states, context=8)
        model, (tokens, targets) = _start(setting), _batch(setting, 5, closed=False)
        with torch.no_grad():
            model.match.fill_(level)
        _loss(model, dict(model.named_parameters()), tokens, targets).backward()
        first = float(model.lag_logits.grad.abs().max())
        second = float(model.match.grad.abs().max())
        worst = max(worst, first / second / _rounding(setting, len(tokens)))
    return Outcome(worst, 1.0, "layer 1's gradient over layer 2's, in units of one rounding per token and source")


# trapped-basin -------------------------------------------------------------------------------------------------------

BASINS = (("sgd", 25, 500), ("adam", 25, 120), ("adam", 12, 200))
"""Optimiser, context and steps of softmax models with two states: trapped, escaping, trapped."""


@_serial
def _trained_basins() -> Outcome:
    """Trained models whose match or lag 1 went another way than predicted; both signs must be among the predictions."""
    from theory.basins import escapes
    from validate.training import train

    wrong, signs = 0, set()
    for optimizer, context, steps in BASINS:
        setting = Setting.of(
            "softmax", states=2, context=context, optimizer=optimizer, steps=steps, record_every=steps // 4
        )
        predicted = escapes(setting)
        signs.add(predicted.sign)
        for seed in range(2):
            found = train(setting, seed)
            match = found.parameters["match.diagonal"][-1] - found.parameters["match.off_diagonal"][-1]
            gained = found.attention[-1, 0, 1] - found.attention[0, 0, 1]
            wrong += int(np.sign(match) != predicted.sign) + int(np.sign(gained) != predicted.sign)
    return Outcome(
        wrong + len({-1, 1} - signs),
        0.0,
        "signs of six trained models, two each; the training noise at these is smaller",
    )


@_serial
def _enumerated_push() -> Outcome:
    """∂L/∂ω at μ ≠ 0 by autograd over all sequences of two states, with the recursion over counts."""
    from theory.derivations import trapped

    context, level = 6, 1.3
    tokens, targets, chains, weights = _every_sequence(2, context)
    loss, start = _reduced_loss(Setting.of("softmax", states=2, context=context), tokens, targets)
    start[2].data.fill_(level)
    found = -_derivative(loss(*start), start[0])
    expected = level * trapped.exact_two_states(chains, weights, level, context)[0][-1]
    rounding = EPS * len(tokens) * len(chains) * context**2
    return Outcome(
        float(abs(found - expected)) / rounding, 1.0, "in units of one rounding per sequence, chain, source and query"
    )


# third-order --------------------------------------------------------------------------------------------------------

GROUPS, EACH = 32, 48
"""Groups of sequences behind a standard error, and sequences of each chain in one."""

FALSE_ALARM = 1e-4
"""Probability that the check fails by chance, over all lags."""


def _drives(context: int, chains: Array, readout: float, generator: np.random.Generator) -> Array:
    """-T ∂²L/∂ω_2∂v²_r of the last position, the first head on lag 1 with a strong match, lags 0 … 4, on fresh sequences."""
    import torch

    from simulate.sequences import Sample, next_rows, tokens_from_uniforms
    from theory.chains import history_law
    from validate.models.ngram_toy import NgramToy

    transition = np.repeat(chains, EACH, axis=0)
    law = history_law(transition)
    tokens = tokens_from_uniforms(transition, law, generator.random((len(transition), context + 1)))
    rows = torch.from_numpy(next_rows(Sample(tokens, transition, law))[:, -1])
    model, eye = NgramToy(Setting.of("softmax", order=3, context=context)).double(), torch.eye(2, dtype=torch.float64)
    lags = torch.zeros(2, context, dtype=torch.float64)
    lags[0, 1] = 40.0
    lags.requires_grad_()
    second = torch.zeros((), dtype=torch.float64, requires_grad=True)
    values = {"match": torch.stack([20 * eye, second * eye]), "lag_logits": lags, "readout": readout * eye}
    logits = torch.func.functional_call(model, values, (torch.from_numpy(tokens[:, :-1]).long(),))[:, -1]
    loss = -(rows * logits.log_softmax(dim=-1)).sum() / len(tokens)
    (slope,) = torch.autograd.grad(loss, second, create_graph=True)
    (mixed,) = torch.autograd.grad(slope, lags)
    return -context * mixed[1, :5].numpy()


@_serial
def _second_head() -> Outcome:
    """T × drive is μ S_r (ln T + const) + O(ln T / T): its growth over a doubling of T with μ S_r ln 2."""
    from scipy.stats import t as student

    from theory.chains import block_law
    from theory.derivations import third_order

    readout, chains = 2.0, np.random.default_rng(5).dirichlet(np.full(2, 2.0), size=(4, 4))
    model = np.exp(readout * block_law(chains, 3).sum(axis=1) / block_law(chains, 2).sum(axis=1)[:, :, None])
    model /= model.sum(axis=2, keepdims=True)
    expected = readout * third_order.signals(chains, np.full(4, 0.25), model, 5) * np.log(2)
    pairs = [
        [_drives(context, chains, readout, generator) for context in (64, 128)]
        for generator in np.random.default_rng(7).spawn(GROUPS)
    ]
    grown = np.diff(np.array(pairs), axis=1)[:, 0]
    z = (grown.mean(axis=0) - expected) / (grown.std(axis=0, ddof=1) / np.sqrt(GROUPS))
    limit = float(student.isf(FALSE_ALARM / 2 / len(z), GROUPS - 1))
    return Outcome(
        float(np.abs(z).max()), limit, f"|z| of five lags over {GROUPS} groups, false alarms {FALSE_ALARM:g}"
    )


CHECKS = {
    "symmetry": (
        Check(
            "autodiff",
            "gradients of the toy modules on batches closed under relabelling with span{I, 11ᵀ}, k = 2 … 4",
            _autodiff,
        ),
        Check(
            "trajectory",
            "W and U along 50 steps of SGD and Adam on such batches with span{I, 11ᵀ}, k = 2, 3",
            _trajectory,
        ),
        Check(
            "leaves",
            "population gradients under a prior that is not exchangeable, eight random chains: they must leave span{I, 11ᵀ}",
            _leaves,
        ),
        Check(
            "transverse",
            "on the plateau, k = 3, T = 25: transverse second derivatives not negative; none mixes with the subspace or the lag logits",
            _transverse,
        ),
    ),
    "signals": (
        Check(
            "enumerated-linear",
            "first gradients with autograd over all sequences, k = 2, T = 5 and k = 3, T = 4",
            lambda: _enumerated("linear"),
        ),
        Check(
            "enumerated-softmax",
            "first gradients, up to third derivatives, with autograd over all sequences",
            lambda: _enumerated("softmax"),
        ),
        Check(
            "silent",
            "gradient of the lag logits at W = 0 and at .01 in every entry with 0, that of W not, any sequences",
            _silent,
        ),
    ),
    "third-order": (
        Check(
            "second-head",
            "S_r with the growth over T = 64 … 128 of the trained model's own mixed derivative by ω_2 and v²_r, autograd, four chains",
            _second_head,
        ),
    ),
    "trapped-basin": (
        Check(
            "enumerated",
            "the exact push of two states at μ = 1.3 with autograd over all sequences, T = 6",
            _enumerated_push,
        ),
        Check(
            "training",
            "sign of theory.basins.escapes with where match and lag 1 of trained softmax models go, k = 2: SGD and Adam at T = 25, Adam at T = 12",
            _trained_basins,
        ),
    ),
}
