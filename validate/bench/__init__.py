"""How fast the sampler, the strategies, the theory and the training step are, each beside what it replaces.

Ours and the baseline are timed in turns on the same data, after a warm-up and, except where both draw at random, a
check that they agree; a ratio is the median over rounds, so that load on the machine, which comes and goes, falls on
both. A baseline with several usual forms enters in the fastest, and with as many torch threads, one or all, as suit
it best.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numba
import numpy as np
import torch
from torch.nn import functional as F

from onset.simulate.finite_context.dynamics import loss_and_gradient
from onset.simulate.scan import grid, parse
from onset.simulate.strategies.ngrams import predict
from onset.simulate.tasks.markov_chains import next_rows, sample, tokens_from_uniforms
from onset.theory import arguments
from onset.theory.dynamics.layout import Layout
from onset.theory.laws.plateau_law import law
from onset.theory.laws.terms import terms
from onset.theory.markov.priors import Dirichlet, DoublyStochastic, Mixture, Unigram
from onset.theory.mean_fields.predict import mean_field
from onset.theory.mean_fields.quadrature import rules
from onset.theory.prediction import limit_plateaus
from onset.theory.setting import Setting
from onset.validate.bench import baselines
from onset.validate.bench import peer as released
from onset.validate.bench.timing import ROUNDS, SECONDS, Timing, Work, agree, compare, elapsed, fastest, summary
from onset.validate.models import build
from onset.validate.models.toy import Toy
from onset.validate.models.transformer import Transformer
from onset.validate.sweeps.scan import run as run_scan
from onset.validate.training import TrainingRun

__all__ = ["BENCHMARKS", "Timing", "as_table", "machine", "run"]

SIZES = ((64, 100, 3), (1024, 100, 3), (256, 400, 8))
"""Sequences B, context T, states k."""

SEEDS = 4
"""Of one setting, trained together or one by one."""

PREFIXED = 2
"""Sequences on which the loops over prefixes are timed."""

FIFTY = "limit: 50 milliseconds"

Progress = Callable[[int, int, str], None]


def run(
    names: Sequence[str] = (), *, peer: Path | None = None, progress: Progress = lambda done, total, what: None
) -> list[Timing]:
    """Measure the benchmarks called `names`, or all; or, beside those that are named, the released code in the folder `peer`.

    Parameters
    ----------
    names : sequence of str
        Of `BENCHMARKS`.
    peer : Path, optional
        A clone of it: see `onset.validate.bench.peer`.
    progress : callable
        Called with the number of measurements done and in total, and with what is measured next.

    Raises
    ------
    ValueError
        If a name is unknown, or `peer` is no such clone.
    ArithmeticError
        If a result differs from its baseline's.
    """
    chosen = [arguments.one_of("benchmark", name, BENCHMARKS) for name in names]
    if peer is None:
        chosen = chosen or list(BENCHMARKS)
    threads, compiled = torch.get_num_threads(), numba.get_num_threads()
    calls = [(name, measure, size) for name in chosen for measure, sizes in [BENCHMARKS[name]] for size in sizes]
    if peer is not None:
        calls.append(("released code", partial(released.timings, released.load(peer)), SIZES[0]))
    found: list[Timing] = []
    for done, (name, measure, size) in enumerate(calls):
        progress(done, len(calls), f"{name} at {', '.join(map(str, size))}")
        try:
            found.extend(measure(*size))
        finally:  # the next one finds as many threads as this one did
            torch.set_num_threads(threads)
            numba.set_num_threads(compiled)
    progress(len(calls), len(calls), "")
    return found


def as_table(data: Mapping[str, Any]) -> str:
    """Text of ``{"machine": machine(), "benchmarks": [timing.to_dict(), ...]}`` for a terminal."""
    verdict = {True: "met", False: "missed", None: ""}
    rows = [("what", "size", "seconds", "beside", "seconds", "ratio", "least to greatest", "target", "")]
    for row in data["benchmarks"]:
        low, high = row["spread"]
        measured = (
            f"{row['seconds']:.3g}",
            row["baseline"],
            f"{row['baseline_seconds']:.3g}",
            f"{row['ratio']:.3g}",
            f"{low:.3g} to {high:.3g}",
        )
        rows.append((row["name"], row["size"], *measured, row["target"], verdict[row["met"]]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([", ".join(f"{key} {value}" for key, value in data["machine"].items()), "", *lines])


def machine() -> dict[str, Any]:
    """What the numbers depend on: processor, cores, threads and versions."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "numba threads": numba.get_num_threads(),
        "torch threads": torch.get_num_threads(),
        "python": platform.python_version(),
    } | {package: version(package) for package in ("numpy", "numba", "torch")}


def _size(batch: int, context: int, states: int) -> str:
    return f"B={batch} T={context} k={states}"


def _sampler(batch: int, context: int, states: int) -> Iterator[Timing]:
    generator = np.random.default_rng(0)
    chains = sample(Setting.of(states=states, context=context).task, batch, generator)
    transition, law = torch.from_numpy(chains.transition).float(), torch.from_numpy(chains.stationary).float()
    length = context + 1

    def ours() -> object:
        return tokens_from_uniforms(chains.transition, chains.stationary, generator.random((batch, length)))

    loops = {
        "torch loop over time, thresholds": lambda: baselines.tokens_by_threshold(transition, law, length),
        "torch loop over time, multinomial": lambda: baselines.tokens_by_multinomial(transition, law, length),
    }
    size = _size(batch, context, states)
    yield compare("sampler", size, ours, *fastest(loops), target=">= 50")
    yield compare(
        "sampler",
        size,
        ours,
        "limit: drawing the uniforms",
        lambda: generator.random((batch, length)),
        target="<= 4",
    )


def _prediction(batch: int, context: int, states: int) -> Iterator[Timing]:
    tokens = sample(Setting.of(states=states, context=context).task, batch, np.random.default_rng(0)).tokens
    inputs = torch.from_numpy(tokens[:, :-1]).long()
    few = inputs[:PREFIXED]
    lists = few.tolist()
    out = predict(tokens, states, "bigram", 1.0)
    room = np.empty_like(out)
    agree("bigram prediction", out[:PREFIXED], baselines.bigram_by_prefix(lists, states, 1.0), 1e-6)
    agree("bigram prediction", out, baselines.bigram_by_cumulative_sums(inputs, states, 1.0), 1e-6)

    def ours() -> object:
        return predict(tokens, states, "bigram", 1.0)

    size, share = _size(batch, context, states), len(few) / batch
    part = f"timed on {len(few)} of {batch} sequences"
    for label, loop, target in (
        ("tensors", lambda: baselines.bigram_by_prefix(few, states, 1.0), ">= 1000"),
        ("lists", lambda: baselines.bigram_by_prefix(lists, states, 1.0), ""),
    ):
        yield compare(
            "prediction", size, ours, f"loop over prefixes, {label} ({part})", loop, target=target, share=share
        )
    sums = {"torch one-hot cumulative sums": lambda: baselines.bigram_by_cumulative_sums(inputs, states, 1.0)}
    yield compare("prediction", size, ours, *fastest(sums), target=">= 5")
    yield compare("prediction", size, ours, "limit: copying the result", lambda: np.copyto(room, out), limit=True)


def _gradient(batch: int, context: int, states: int) -> Iterator[Timing]:
    for family in ("linear", "softmax"):
        yield _family_gradient(Setting.of(family, states=states, context=context), batch)


def _family_gradient(setting: Setting, batch: int) -> Timing:
    """Both in double precision at the same point, with the law of the next token as the target."""
    drawn = sample(setting.task, batch, np.random.default_rng(0))
    tokens, rows = torch.from_numpy(drawn.tokens[:, :-1]).long(), torch.from_numpy(next_rows(drawn))
    layout = Layout.of(setting, setting.task.context)
    point = layout.start + 0.1 * np.random.default_rng(1).standard_normal(len(layout.start))
    values = {"lag_logits": torch.from_numpy(point[layout.lags])}
    for group, (diagonal, off_diagonal) in zip(
        ("match", "readout"), point[: layout.lags.start].reshape(-1, 2), strict=False
    ):
        values[group] = off_diagonal + (diagonal - off_diagonal) * torch.eye(setting.task.states, dtype=torch.float64)

    def autograd(model: Toy) -> Work:
        model.double().load_state_dict(values)
        by_lag = baselines.gradient_by_autograd(model, tokens, rows)["lag_logits"]
        ours = loss_and_gradient(setting, point, drawn).derivative[layout.lags]
        agree(f"the gradient of the {setting.model.family} family", ours, by_lag, 1e-10)
        return lambda: baselines.gradient_by_autograd(model, tokens, rows)

    forms = {
        "autograd, running sums": autograd(Toy(setting)),
        "autograd, T × T attention": autograd(baselines.PlainToy(setting)),
    }
    label, other = fastest(forms)
    name, size = f"{setting.model.family} gradient", _size(batch, setting.task.context, setting.task.states)
    return compare(name, size, lambda: loss_and_gradient(setting, point, drawn), label, other, target=">= 10")


def _mean_field(*contexts: int) -> Iterator[Timing]:
    name, states = "mean-field prediction", SIZES[0][2]
    # At T = 100 the default start; beyond, the one the limit T → ∞ keeps fixed.
    settings = [
        Setting.of("linear", states=states, context=context, initialization={"match": 1 / context})
        for context in contexts
    ]
    mean_field(settings[0])
    rounds = np.array(
        [[elapsed(lambda setting=setting: mean_field(setting)) for setting in settings] for _ in range(ROUNDS)]
    )
    for context, column in zip(contexts, rounds.T, strict=True):
        size = f"linear sgd T={context} k={states} W₀=1/T"
        yield summary(name, size, FIFTY, [(s, 0.05) for s in column], "<= 1")
    flat = list(zip(rounds.max(axis=1), rounds.min(axis=1), strict=True))
    size = f"T={min(contexts)} to {max(contexts)} k={states} W₀=1/T"
    yield summary(name, size, "longest beside shortest", flat, "<= 2")


def _law(*contexts: int) -> Iterator[Timing]:
    """The two transitions with their terms, and the whole curve; each once warm."""
    states = SIZES[0][2]
    settings = [Setting.of("linear", states=states, context=t, initialization={"match": 1 / t}) for t in contexts]
    for name, work in (("law, both transitions", terms), ("law, whole curve", law)):
        for setting in settings:
            work(setting)
        repeats = max(1, round(SECONDS / elapsed(lambda work=work: work(settings[0]))))
        rounds = np.array([[elapsed(lambda s=s, work=work: work(s), repeats) for s in settings] for _ in range(ROUNDS)])
        for context, column in zip(contexts, rounds.T, strict=True):
            size = f"T={context} k={states} W₀=1/T"
            yield summary(name, size, "limit: one millisecond", [(s, 1e-3) for s in column], "<= 1")
        flat = list(zip(rounds.max(axis=1), rounds.min(axis=1), strict=True))
        size = f"T={min(contexts)} to {max(contexts)} k={states} W₀=1/T"
        yield summary(name, size, "longest beside shortest", flat, "<= 2")


def _scan(points: int) -> Iterator[Timing]:
    """Predictions and fitted exponents over contexts and rates, and over contexts alone, which no round has met before;
    made beforehand are the tables at powers of two."""
    base = Setting.of("linear", states=SIZES[0][2], context=400, initialization={"match": 1e-4})
    side = round(points ** (1 / 4))
    rates = [f"learning-rate.{group}=0.01:1:{side}" for group in ("lag_logits", "match")]
    for size, count, more in (
        (f"{side**2} contexts × {side} × {side} rates", side**2, rates),
        (f"{points} contexts", points, []),
    ):
        rounds = []
        for n in range(3):
            first = 200 + n * count
            contexts = {"context": range(first, first + count)}
            run_scan(grid(base, {"context": contexts["context"][:: max(1, count // 8)]}))
            chosen = grid(base, contexts | dict(map(parse, more)))
            rounds.append((elapsed(lambda chosen=chosen: run_scan(chosen)), 10.0))
        yield summary("scan by the law", size, "limit: ten seconds", rounds, "<= 1")


def _mean_field_kinds(context: int) -> Iterator[Timing]:
    """Every kind of setting end to end, once its prior was met; and the first setting of a prior, which makes the rules for it."""
    doubly = DoublyStochastic(4)
    priors = [*map(Dirichlet, (2, 3, 4, 8)), Mixture((doubly, Unigram(4)), (0.75, 0.25))]
    # The softmax family has no gradient at its start where there is no unigram signal.
    for family, more in (("linear", [doubly]), ("softmax", [])):
        for prior in [*priors, *more]:
            for optimizer in ("sgd", "adam"):
                setting = Setting.of(family, prior=prior, context=context, optimizer=optimizer)
                mean_field(setting)
                rounds = [
                    (elapsed(lambda setting=setting: mean_field(setting).transitions()), 0.05) for _ in range(ROUNDS)
                ]
                yield summary("mean-field prediction", setting.label, FIFTY, rounds, "<= 1")

        def first(family: str = family) -> None:
            rules.cache_clear()
            limit_plateaus.cache_clear()
            mean_field(Setting.of(family, states=SIZES[0][2], context=context))

        rounds = [(elapsed(first), 0.05) for _ in range(3)]
        size = f"{family} sgd T={context} k={SIZES[0][2]}, first of its prior"
        yield summary("mean-field prediction", size, FIFTY, rounds, limit=True)


def _transformer(batch: int, context: int, states: int) -> Iterator[Timing]:
    """Steps of the published transformer, all with one thread, as when runs are trained side by side: beside the same model written plainly, and beside what
    its matrix products and exponentials alone take."""
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    setting = Setting.of("transformer", states=states, context=context, batch=batch)
    drawn = sample(setting.task, batch, np.random.default_rng(0))
    tokens = torch.from_numpy(drawn.tokens).long()
    model = cast("Transformer", build(setting))
    plain = baselines.PlainTransformer(model)
    with torch.no_grad():
        agree("the transformer", model(tokens[:, :-1]).numpy(), plain.eval()(tokens[:, :-1]), 1e-5)
    training = TrainingRun(setting, [0], torch.device("cpu"))
    optimizer = torch.optim.AdamW(plain.train().parameters(), lr=setting.training.optimizer.learning_rate["weights"])

    def plain_step() -> None:
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(plain(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten()).backward()
        optimizer.step()

    size = _size(batch, context, states)
    yield compare("transformer step", size, training.advance, "the same model, plain (1 thread)", plain_step)
    yield compare(
        "transformer step",
        size,
        training.advance,
        "limit: its matrix products and exponentials",
        baselines.floor_of_step(model, batch, context),
        target="<= 2",
    )


def _together(batch: int, context: int, states: int) -> Iterator[Timing]:
    """A step of several seeds as one batched model beside their steps one after the other."""
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    for family in ("transformer", "linear", "softmax"):
        setting = Setting.of(family, states=states, context=context, batch=batch)
        seeds = range(SEEDS)
        together = TrainingRun(setting, seeds, torch.device("cpu"))
        alone = [TrainingRun(setting, [seed], torch.device("cpu")) for seed in seeds]

        def one_by_one(runs: list[TrainingRun] = alone) -> None:
            for run in runs:
                run.advance()

        yield compare(
            f"{SEEDS} seeds, {family}", _size(batch, context, states), together.advance, "one by one", one_by_one
        )


BENCHMARKS: dict[str, tuple[Callable[..., Iterator[Timing]], tuple[tuple[int, ...], ...]]] = {
    "sampler": (_sampler, SIZES),
    "prediction": (_prediction, SIZES),
    "gradient": (_gradient, SIZES),
    "mean-field": (_mean_field, ((10**2, 10**4, 10**6),)),
    "law": (_law, ((10**2, 10**4, 10**6),)),
    "scan": (_scan, ((10**4,),)),
    "mean-field-kinds": (_mean_field_kinds, ((100,),)),
    "transformer": (_transformer, SIZES[:1]),
    "together": (_together, SIZES[:1]),
}
"""The one place where a benchmark is registered: what yields its timings, and the sizes it is called with."""
