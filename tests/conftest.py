"""What several test modules share: z-scores with a stated false-alarm rate, and plain forms of the toy families."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import settings
from scipy.stats import norm

import onset
from onset.theory.arrays import Array
from onset.theory.dynamics.layout import Gradient, Layout
from onset.theory.recording import Measurement
from onset.theory.setting import Setting

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=40)
settings.load_profile("repeatable")

FALSE_ALARM = 1e-4
"""Probability that a whole comparison fails by chance, however many numbers it holds (Bonferroni)."""


def _within(name: str, observed: object, expected: object, error: object) -> None:
    """Print z = (found - expected)/error and fail if it is larger than chance allows, given standard errors `error`."""
    z = np.abs((np.asarray(observed, float) - np.asarray(expected, float)) / np.asarray(error, float))
    limit = float(norm.isf(FALSE_ALARM / 2 / z.size))
    print(f"{name}: largest |z| = {z.max():.2f} of {z.size} (limit {limit:.2f})")
    assert np.all(z < limit), f"{name}: |z| = {z.max():.2f} exceeds {limit:.2f}"


@pytest.fixture(scope="session")
def within() -> Callable[..., None]:
    return _within


def _slope(x: object, y: object) -> float:
    """Slope of ln|y| against ln x."""
    return float(np.polyfit(np.log(np.asarray(x, float)), np.log(np.abs(np.asarray(y, float))), 1)[0])


@pytest.fixture(scope="session")
def slope() -> Callable[..., float]:
    return _slope


def _plain_logits(lag_logits, match, readout, tokens):
    """Logits (T, k) of one sequence, by the letter: T × T scores e_tᵀ W z_s; linear family if `readout` is None. In
    torch, differentiable.
    """
    torch = pytest.importorskip("torch")
    length, states = len(tokens), len(match)
    symbols = torch.eye(states, dtype=match.dtype)[torch.as_tensor(tokens, dtype=torch.long)]
    z = torch.stack(
        [(torch.softmax(lag_logits[: s + 1], 0)[:, None] * symbols[: s + 1].flip(0)).sum(0) for s in range(length)]
    )
    scores = symbols @ match @ z.T
    past = torch.ones(length, length).tril().bool()
    if readout is None:
        return (scores * past) @ symbols
    return torch.softmax(scores.masked_fill(~past, -torch.inf), dim=1) @ symbols @ readout


@pytest.fixture(scope="session")
def plain_logits() -> Callable[..., object]:
    return _plain_logits


class Quadratic:
    """The stub L(θ) = Σ_n λ_n θ_n² / 2 on the coordinates of `setting`'s family, whose dynamics are known in closed
    form.
    """

    def __init__(self, setting: Setting, curvature: Array, lags: int = 2) -> None:
        self.layout = Layout.of(setting.task, setting.model.initialization, lags)
        self.curvature = np.broadcast_to(curvature, self.layout.start.shape)

    def gradient(self, point: Array, step: int = 0) -> Gradient:
        return Gradient(float(self.curvature @ point**2) / 2, self.curvature * point)

    def measure(self, point: Array) -> Measurement:
        return Measurement(
            float(self.curvature @ point**2) / 2,
            {"uniform": 0.0, "unigram": 1.0, "bigram": 2.0},
            np.array([[1.0, 0.0]]),
        )


@pytest.fixture(scope="session")
def quadratic() -> type[Quadratic]:
    return Quadratic


@pytest.fixture(scope="session", autouse=True)
def coarse_figures():
    """Pictures have few pixels and fonts that embed quickly: they are looked at elsewhere."""
    from onset.paper.style import STYLE

    STYLE.append({"pdf.fonttype": 3, "savefig.dpi": 50})
    yield
    STYLE.pop()


@pytest.fixture(scope="session")
def tiny_suite(tmp_path_factory: pytest.TempPathFactory):
    """A suite of seconds, registered as "tiny" for the session, and the folder with its finished runs: a toy and a
    transformer too short to pass.

    Processes of one session share the runs.
    """
    pytest.importorskip("torch")
    from onset.theory.architecture import Architecture
    from onset.validate import suite
    from onset.validate.store.runs import Store
    from onset.validate.suite.settings import QUICK

    def tiny() -> tuple[suite.Case, ...]:
        toy = Setting.of("linear", states=2, context=16, learning_rate={"match": 0.4})
        transformer = Setting.of(
            "transformer", states=2, context=16, steps=60, architecture=Architecture(width=8, dropout=0.0)
        )
        surrogate = Setting.of("softmax", states=2, context=16, optimizer="adam", steps=400)
        return suite.Case(toy, 2, methods=QUICK), suite.Case(transformer, 2, surrogate, "transformer")

    suite.SUITES["tiny"] = tiny
    shared, folder = tmp_path_factory.getbasetemp(), tmp_path_factory.mktemp("tiny")
    shared = (shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared) / "tiny-runs"
    suite.run_jobs("tiny", Store(shared), workers=1)
    shutil.copytree(shared, folder / "runs")
    store = Store(folder / "runs")
    results = suite.collect("tiny", store)
    yield folder, results
    del suite.SUITES["tiny"]


@pytest.fixture
def run(capsys):
    """Run the command line in this process; return exit status, stdout and stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()  # what a call wrote that something else ended
        try:
            onset.main(arguments)
            status = 0
        except SystemExit as stop:
            status = int(stop.code or 0)
        written = capsys.readouterr()
        return status, written.out, written.err

    return call


@pytest.fixture
def refused(run, monkeypatch, tmp_path):
    """Assert that a call ends in one sentence with `text` and exit status 2, no output, traceback or files."""

    def check(arguments: list[str], text: str) -> None:
        monkeypatch.chdir(tmp_path)
        status, out, err = run(*arguments)
        assert (status, out) == (2, "")
        assert text in err
        assert err.startswith("onset: ")
        assert err.count("\n") == 1
        assert "Traceback" not in err
        assert list(tmp_path.iterdir()) == []

    return check


@pytest.fixture(scope="session")
def comparison():
    """Make up a comparison of a setting: intervals of ± 1%, judged in all pairs that have both sides."""
    pytest.importorskip("torch")
    from onset.theory.estimates import SEEDS, StandardError
    from onset.validate.judging.intervals import Interval
    from onset.validate.judging.verdicts import judge
    from onset.validate.suite import TRAINED, Comparison, PairVerdict
    from onset.validate.suite.tolerances import PAIRS

    def make(setting: Setting, predicted: dict[str, float], trained: float, quantity: str = "formation") -> Comparison:
        sides = {
            name: Interval.around(t, StandardError(0.01 * t / 1.96), SEEDS)
            for name, t in (predicted | {TRAINED: trained}).items()
        }
        judged = tuple(
            PairVerdict(
                pair.lower,
                pair.upper,
                judge(sides[pair.lower], sides[pair.upper], pair.tolerance(setting)),
                pair.promised(setting),
                pair.next_rung,
            )
            for pair in PAIRS
            if pair.lower in sides and pair.upper in sides and pair.applies(setting)
        )
        observed = sides.pop(TRAINED)
        return Comparison(setting.label, "linear", quantity, "steps", sides, observed, judged)

    return make
