"""onset.theory.dynamics.flow: gradient flow of replicates against another solver at tight tolerance, its cost, and
where it ends."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from onset.theory.dynamics.adam_steps import adam_steps
from onset.theory.dynamics.flow import DENSE, SPARSE, SingleReplicate, curvatures, flow, flows, sharpness
from onset.theory.markov.priors import Dirichlet, DoublyStochastic
from onset.theory.mean_fields.linear import LinearMeanField
from onset.theory.mean_fields.predict import MEAN_FIELDS
from onset.theory.mean_fields.quadrature import rules
from onset.theory.mean_fields.softmax import SoftmaxMeanField
from onset.theory.setting import Setting


def ensemble(family: str, setting: Setting) -> LinearMeanField | SoftmaxMeanField:
    return MEAN_FIELDS[family].of(setting, rule=rules(MEAN_FIELDS[family], setting.task.prior, 6).each)


@pytest.mark.parametrize(
    ("family", "context", "replicates"), [("linear", 100, 2), ("linear", 1000, 1), ("softmax", 50, 1)]
)
def test_against_radau_at_tight_tolerance(family, context, replicates):
    """Every record lies on Radau's solution in steps, rtol 1e-9, within 20 of the solver's own
    errors in time."""
    setting = Setting.of(family, states=3, context=context)
    together = ensemble(family, setting)
    layout, rtol = together.layout, 1e-5
    speed = -layout.rates(setting.training) / layout.entries
    for r, computed in enumerate(flows(together, setting.training, rtol=rtol)[:replicates]):
        alone = MEAN_FIELDS[family].of(setting, rule=(together.transition[r], together.node_weights[r]))
        exact = solve_ivp(
            lambda _, point, alone=alone: speed * alone.gradient(point).derivative,
            (0, computed.steps[-1]),
            layout.start,
            "Radau",
            dense_output=True,
            rtol=1e-9,
            atol=1e-12,
        ).sol
        points = np.array([computed.parameters[name] for name in layout.names]).T
        # An error of the time shifts the path along itself; what is left is the solver's error of the point.
        late = 20 * rtol * computed.steps
        moved = np.abs(exact(computed.steps + late).T - exact(np.maximum(computed.steps - late, 0)).T)
        size = np.where(np.array(layout.groups) == "lag_logits", 1.0, 1 / context if family == "linear" else 1.0)
        off = np.abs(points - exact(computed.steps).T) / (moved + 20 * rtol * (size + np.abs(points)))
        print(
            f"{family} T={context} replicate {r}: {len(computed.steps)} records, error over tolerance {off.max():.2f}"
        )
        assert off.max() < 1


def test_gradients_hardly_depend_on_the_context():
    """Evaluations counted, not timed: from T = 10² to 10⁶ they grow by less than the number of e-folds ln T of lag 1, a
    factor 3."""
    counts = []
    for context in (10**2, 10**4, 10**6):
        setting = Setting.of("linear", states=3, context=context, initialization={"match": 1 / context})
        together, calls = ensemble("linear", setting), []
        evaluate = together.derivatives
        together.derivatives = lambda points, evaluate=evaluate, calls=calls: (calls.append(1), evaluate(points))[1]
        formed = [one.transitions()[1].step for one in flows(together, setting.training)]
        assert None not in formed
        counts.append(len(calls))
    print("gradients", counts)
    assert max(counts) <= np.log(10**6) / np.log(10**2) * 2 * counts[0]
    assert max(counts) < 800


@pytest.mark.parametrize("family", MEAN_FIELDS)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_sparse_records_give_the_same_transitions(family, optimizer):
    """Records left out where nothing happens move no transition nor its interval, and are about half; a run ends when
    its last transition is well past."""
    setting = Setting.of(family, states=2, context=50, optimizer=optimizer)
    together, follow = ensemble(family, setting), flows if optimizer == "sgd" else adam_steps
    (sparse,), (dense,) = (follow(together, setting.training, sampling=watch) for watch in (SPARSE, DENSE))
    read = [[(t.step, t.low, t.high) for t in (*run.transitions()[0], run.transitions()[1])] for run in (sparse, dense)]
    assert read[0] == read[1]
    formation, transition = sparse.transitions()[1], sparse.transitions()[0][-1]
    assert formation.step is not None
    assert transition.step is not None
    if optimizer == "adam":  # whose clock is the steps
        assert sparse.steps[-1] > SPARSE.margin * max(formation.low, transition.low)
    until = dense.steps <= sparse.steps[-1]
    print(family, optimizer, len(sparse.steps), "records of", until.sum())
    assert np.isin(sparse.steps, dense.steps).all()
    assert len(sparse.steps) < 0.75 * until.sum()


def test_replicates_together_are_replicates_alone():
    """Transitions of two replicates solved together and one by one agree within the solver's tolerance."""
    setting = Setting.of("linear", states=3, context=100)
    together = ensemble("linear", setting)
    for r, computed in enumerate(flows(together, setting.training, rtol=1e-5)[:2]):
        alone = LinearMeanField.of(setting, rule=(together.transition[r], together.node_weights[r]))
        (_, transition), formation = flow(alone, setting.training, rtol=1e-5).transitions()
        (_, other), formed = computed.transitions()
        assert formed.step == pytest.approx(formation.step, rel=1e-3)
        assert other.step == pytest.approx(transition.step, rel=1e-3)


def test_ends_at_the_last_step_where_nothing_moves():
    """Doubly stochastic chains leave the softmax family at its start: recorded up to the last step, unmoved, and no
    transition."""
    setting = Setting.of("softmax", prior=DoublyStochastic(3), context=40)
    for computed in flows(ensemble("softmax", setting), setting.training):
        assert computed.steps[-1] == setting.training.steps
        assert np.all(np.diff(computed.steps) > 0)
        assert max(np.abs(values).max() for values in computed.parameters.values()) < 1e-6
        assert computed.transitions()[1].step is None


def test_sharpness_of_many_points_is_that_of_each():
    """Batches of points, cut to the size of a cache or not, give what single points give."""
    setting = Setting.of("linear", prior=Dirichlet(3), context=100)
    dynamics = LinearMeanField.of(setting, count=16)
    points = dynamics.layout.start + np.random.default_rng(0).normal(size=(1, 5, 8)) * 0.01
    together = sharpness(curvatures(dynamics, points), dynamics.layout, setting.training)[0]
    alone = [
        sharpness(curvatures(SingleReplicate(dynamics), points[:, n : n + 1]), dynamics.layout, setting.training)[0, 0]
        for n in range(5)
    ]
    np.testing.assert_allclose(together, alone, rtol=1e-9)
