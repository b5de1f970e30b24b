"""The benchmarks: a function for each that yields its timings, and the sizes at which it is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, cast

import numba
import numpy as np
import torch
from torch.nn import functional as F

from onset.simulate.finite_context.dynamics import loss_and_gradient
from onset.simulate.scan import grid
from onset.simulate.strategies.ngrams import predict
from onset.simulate.tasks.markov_chains import next_rows, sample, tokens_from_uniforms
from onset.theory.axes import parse
from onset.theory.dynamics.layout import Layout
from onset.theory.laws import law
from onset.theory.laws.terms import terms
from onset.theory.markov.ideal import limit_losses
from onset.theory.markov.priors import Dirichlet, DoublyStochastic, Mixture, Unigram
from onset.theory.mean_fields.predict import mean_field
from onset.theory.mean_fields.quadrature import rules
from onset.theory.setting import Setting
from onset.validate.bench import baselines, heads
from onset.validate.bench.timing import (
    ROUNDS,
    Timing,
    Work,
    agree,
    compare,
    elapsed,
    fastest,
    repeats_of,
    size_label,
    summary,
)
from onset.validate.models import build
from onset.validate.models.toy import Toy
from onset.validate.models.transformer import Transformer
from onset.validate.sweeps.scan import run as run_scan
from onset.validate.training import TrainingRun

__all__ = ["BENCHMARKS", "SIZES"]

SIZES = ((64, 100, 3), (1024, 100, 3), (256, 400, 8))
"""Sequences B, context T, states k."""

STATES = 3
"""States k of the benchmarks of the theory."""

SEEDS = 4
"""Seeds of one setting, trained together or one after another."""

PREFIXED = 2
"""Sequences on which the loops over prefixes are timed."""

CPU = torch.device("cpu")


def _sampler(batch: int, context: int, states: int) -> Iterator[Timing]:
    generator, size = np.random.default_rng(0), size_label(batch, context, states)
    chains = sample(Setting.of(states=states, context=context).task, batch, generator)
    transition, law = torch.from_numpy(chains.transition).float(), torch.from_numpy(chains.stationary).float()
    length = context + 1

    def ours() -> object:
        return tokens_from_uniforms(chains.transition, chains.stationary, generator.random((batch, length)))

    loops = {
        "torch loop over time, thresholds": lambda: baselines.tokens_by_threshold(transition, law, length),
        "torch loop over time, multinomial": lambda: baselines.tokens_by_multinomial(transition, law, length),
    }
    yield compare("sampler", size, ours, *fastest(loops), target=">= 50")
    uniforms = partial(generator.random, (batch, length))
    yield compare("sampler", size, ours, "limit: drawing the uniforms", uniforms, target="<= 4")


def _prediction(batch: int, context: int, states: int) -> Iterator[Timing]:
    tokens = sample(Setting.of(states=states, context=context).task, batch, np.random.default_rng(0)).tokens
    inputs, size = torch.from_numpy(tokens[:, :-1]).long(), size_label(batch, context, states)
    few = inputs[:PREFIXED]
    lists = few.tolist()
    ours = partial(predict, tokens, states, "bigram", 1.0)
    result = ours()
    copy = np.empty_like(result)
    by_sums = partial(baselines.bigram_by_cumulative_sums, inputs, states, 1.0)
    agree("bigram prediction", result[:PREFIXED], baselines.bigram_by_prefix(lists, states, 1.0), 1e-6)
    agree("bigram prediction", result, by_sums(), 1e-6)
    for kind, sequences, target in (("tensors", few, ">= 1000"), ("lists", lists, "")):
        label = f"loop over prefixes, {kind} (timed on {len(few)} of {batch} sequences)"
        loop = partial(baselines.bigram_by_prefix, sequences, states, 1.0)
        yield compare("prediction", size, ours, label, loop, target=target, share=len(few) / batch)
    yield compare("prediction", size, ours, *fastest({"torch one-hot cumulative sums": by_sums}), target=">= 5")
    yield compare("prediction", size, ours, "limit: copying the result", lambda: np.copyto(copy, result))


def _gradient(batch: int, context: int, states: int) -> Iterator[Timing]:
    """Both in double precision at the same point, with the law of the next token as the target."""
    for family in ("linear", "softmax"):
        setting = Setting.of(family, states=states, context=context)
        drawn = sample(setting.task, batch, np.random.default_rng(0))
        tokens, rows = torch.from_numpy(drawn.tokens[:, :-1]).long(), torch.from_numpy(next_rows(drawn))
        layout = Layout.of(setting.task, setting.model.initialization, context)
        point = layout.start + 0.1 * np.random.default_rng(1).standard_normal(len(layout.start))
        values = {"lag_logits": torch.from_numpy(point[layout.lags])}
        orbits = point[: layout.lags.start].reshape(-1, 2)
        for group, (diagonal, off_diagonal) in zip(("match", "readout"), orbits, strict=False):
            values[group] = off_diagonal + (diagonal - off_diagonal) * torch.eye(states, dtype=torch.float64)
        ours = partial(loss_and_gradient, setting, point, drawn)
        forms: dict[str, Work] = {}
        for label, model in (
            ("autograd, running sums", Toy(setting)),
            ("autograd, T × T attention", baselines.PlainToy(setting)),
        ):
            model.double().load_state_dict(values)
            forms[label] = partial(baselines.gradient_by_autograd, model, tokens, rows)
            gradient = cast("dict[str, torch.Tensor]", forms[label]())["lag_logits"]
            agree(f"the gradient of the {family} family", ours().derivative[layout.lags], gradient, 1e-10)
        size = size_label(batch, context, states)
        yield compare(f"{family} gradient", size, ours, *fastest(forms), target=">= 10")


def _by_context(
    name: str, work: Callable[[Setting], object], contexts: Sequence[int], prefix: str, limit: tuple[str, float]
) -> Iterator[Timing]:
    """A prediction at each context against a limit in seconds, and the longest against the shortest."""
    # At T = 100 the default start; beyond, the one that the limit T → ∞ keeps fixed.
    settings = [Setting.of("linear", states=STATES, context=t, initialization={"match": 1 / t}) for t in contexts]
    for setting in settings:
        work(setting)
    repeats = repeats_of(elapsed(partial(work, settings[0])))
    rounds = np.array([[elapsed(partial(work, s), repeats) for s in settings] for _ in range(ROUNDS)])
    label, seconds = limit
    for context, column in zip(contexts, rounds.T, strict=True):
        size = f"{prefix}T={context} k={STATES} W₀=1/T"
        yield summary(name, size, label, [(s, seconds) for s in column], "<= 1")
    size = f"T={min(contexts)} to {max(contexts)} k={STATES} W₀=1/T"
    slowest_and_fastest = zip(rounds.max(axis=1), rounds.min(axis=1), strict=True)
    yield summary(name, size, "longest beside shortest", slowest_and_fastest, "<= 2")


MEAN_FIELD_LIMIT = "limit: 50 milliseconds", 0.05


def _mean_field(*contexts: int) -> Iterator[Timing]:
    yield from _by_context("mean-field prediction", mean_field, contexts, "linear sgd ", MEAN_FIELD_LIMIT)


def _law(*contexts: int) -> Iterator[Timing]:
    """The two transitions with their terms, and the curve."""
    limit = "limit: one millisecond", 1e-3
    yield from _by_context("law, both transitions", terms, contexts, "", limit)
    yield from _by_context("law, whole curve", law, contexts, "", limit)


def _scan(points: int) -> Iterator[Timing]:
    """Predictions and fitted exponents over contexts and rates, and over contexts alone, new to every round.

    Only the tables at powers of two are computed beforehand.
    """
    base = Setting.of("linear", states=STATES, context=400, initialization={"match": 1e-4})
    side = round(points ** (1 / 4))
    rates = [f"learning-rate.{group}=0.01:1:{side}" for group in ("lag_logits", "match")]
    for size, count, axes in (
        (f"{side**2} contexts × {side} × {side} rates", side**2, rates),
        (f"{points} contexts", points, []),
    ):
        seconds = []
        for n in range(3):
            contexts = range(200 + n * count, 200 + (n + 1) * count)
            run_scan(grid(base, {"context": contexts[:: max(1, count // 8)]}))
            settings = grid(base, {"context": contexts} | dict(map(parse, axes)))
            seconds.append(elapsed(partial(run_scan, settings)))
        yield summary("scan by the law", size, "limit: ten seconds", [(s, 10.0) for s in seconds], "<= 1")


def _mean_field_kinds(context: int) -> Iterator[Timing]:
    """Every kind of setting once its prior is known, and the first setting of a prior, with its quadrature."""
    label, limit = MEAN_FIELD_LIMIT
    doubly = DoublyStochastic(4)
    priors = [*map(Dirichlet, (2, 3, 4, 8)), Mixture((doubly, Unigram(4)), (0.75, 0.25))]
    # The softmax family has no gradient at its start where there is no unigram signal.
    for family, more in (("linear", [doubly]), ("softmax", [])):
        for prior in [*priors, *more]:
            for optimizer in ("sgd", "adam"):
                setting = Setting.of(family, prior=prior, context=context, optimizer=optimizer)
                mean_field(setting)
                work = partial(_transitions, setting)
                rounds = [(elapsed(work), limit) for _ in range(ROUNDS)]
                yield summary("mean-field prediction", setting.label, label, rounds, "<= 1")
        first = Setting.of(family, states=STATES, context=context)
        rounds = [(elapsed(partial(_first_of_its_prior, first)), limit) for _ in range(3)]
        size = f"{family} sgd T={context} k={STATES}, first of its prior"
        yield summary("mean-field prediction", size, label, rounds)


def _transitions(setting: Setting) -> object:
    return mean_field(setting).transitions()


def _first_of_its_prior(setting: Setting) -> object:
    rules.cache_clear()
    limit_losses.cache_clear()
    return mean_field(setting)


def _transformer(batch: int, context: int, states: int) -> Iterator[Timing]:
    """A step of the published transformer against the same model written plainly, and against its matrix products.

    All have one thread, as when runs are trained side by side.
    """
    _one_thread()
    setting = Setting.of("transformer", states=states, context=context, batch=batch)
    tokens = torch.from_numpy(sample(setting.task, batch, np.random.default_rng(0)).tokens).long()
    model = cast("Transformer", build(setting))
    plain = baselines.PlainTransformer(model)
    with torch.no_grad():
        agree("the transformer", model(tokens[:, :-1]).numpy(), plain.eval()(tokens[:, :-1]), 1e-5)
    ours = TrainingRun(setting, [0], CPU).advance
    optimizer = torch.optim.AdamW(plain.train().parameters(), lr=setting.training.optimizer.learning_rate["weights"])

    def plain_step() -> None:
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(plain(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten()).backward()
        optimizer.step()

    name, size = "transformer step", size_label(batch, context, states)
    yield compare(name, size, ours, "the same model, plain (1 thread)", plain_step)
    products = baselines.floor_of_step(model, batch, context)
    yield compare(name, size, ours, "limit: its matrix products and exponentials", products, target="<= 2")


def _together(batch: int, context: int, states: int) -> Iterator[Timing]:
    """A step of several seeds as one batched model against their steps one after another."""
    _one_thread()
    for family in ("transformer", "linear", "softmax"):
        setting = Setting.of(family, states=states, context=context, batch=batch)
        together = TrainingRun(setting, range(SEEDS), CPU)
        runs = [TrainingRun(setting, [seed], CPU) for seed in range(SEEDS)]
        one_by_one = partial(_advance_all, runs)
        size = size_label(batch, context, states)
        yield compare(f"{SEEDS} seeds, {family}", size, together.advance, "one by one", one_by_one)


def _advance_all(runs: Sequence[TrainingRun]) -> None:
    for run in runs:
        run.advance()


def _one_thread() -> None:
    torch.set_num_threads(1)
    numba.set_num_threads(1)


CONTEXTS = (10**2, 10**4, 10**6)

BENCHMARKS: dict[str, tuple[Callable[..., Iterator[Timing]], tuple[tuple[Any, ...], ...]]] = {
    "sampler": (_sampler, SIZES),
    "prediction": (_prediction, SIZES),
    "gradient": (_gradient, SIZES),
    "mean-field": (_mean_field, (CONTEXTS,)),
    "law": (_law, (CONTEXTS,)),
    "scan": (_scan, ((10**4,),)),
    "mean-field-kinds": (_mean_field_kinds, ((100,),)),
    "transformer": (_transformer, SIZES[:1]),
    "together": (_together, SIZES[:1]),
    "heads": (heads.timings, ((12, 512),)),
}
"""The one place where a benchmark is registered: the function that yields its timings, and its arguments."""
