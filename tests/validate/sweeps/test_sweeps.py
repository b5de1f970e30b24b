"""onset.validate.sweeps: settings of a file's grid and runs, and results for each."""

from __future__ import annotations

import csv
import itertools
import tomllib

import pytest

pytest.importorskip("xarray")

from onset.simulate.scan import grid
from onset.theory.markov.priors import Dirichlet, DoublyStochastic
from onset.theory.setting import Setting
from onset.validate.store.jobs import Job
from onset.validate.store.runs import Record, Store
from onset.validate.sweeps.plan import MOST_SETTINGS, load, read
from onset.validate.sweeps.results import collect, write


def settings(text: str) -> list[Setting]:
    return [point.setting for point in read(tomllib.loads(text)).points]


WAYS = [
    "grid.context = [25, 50]\ngrid.prior.concentration = [0.5, 1]\ngrid.optimizer.learning_rate.match = [0.01]",
    '[grid]\ncontext = [25, 50]\n"prior.concentration" = [0.5, 1]\n"optimizer.learning_rate.match" = [0.01]',
    "[grid]\ncontext = [25, 50, 25]\nconcentration = [0.5, 1]\nlearning-rate.match = [0.01]",
    '[grid]\ncontext = "25:50:2"\nconcentration = "0.5:1:2:lin"\nlearning_rate = { match = [0.01] }',
]


@pytest.mark.parametrize("way", WAYS)
def test_a_grid_is_what_its_names_spell_out(way):
    """Dotted, quoted, nested, or by short names and ranges: the same settings, last axis fastest, as those of a
    scan.
    """
    expected = [
        Setting.of("linear", prior=Dirichlet(2, c), context=t, learning_rate={"match": 0.01})
        for t, c in itertools.product((25, 50), (0.5, 1))
    ]
    assert settings(way) == expected
    base = grid(Setting.of("linear"), ["context=25,50", "concentration=0.5,1", "learning-rate.match=0.01"])
    assert [base.setting(point) for point in base.points()] == expected


def test_what_is_left_at_its_default_follows_the_grid():
    """The rate of the match goes as 1/T² unless the file says otherwise."""
    free = settings("grid.context = [25, 100]\n[setting]\nfamily = 'linear'")
    assert free == [Setting.of("linear", context=t) for t in (25, 100)]
    fixed = settings("grid.context = [25, 100]\n[setting]\noptimizer = { learning_rate = { match = 0.02 } }")
    assert [s.training.optimizer.learning_rate["match"] for s in fixed] == [0.02, 0.02]


def test_every_run_goes_over_the_grid():
    """Runs are changes of the setting; equal settings are taken once."""
    text = """
        [setting]
        context = 30
        [[runs]]
        family = "softmax"
        [[runs]]
        prior = { kind = "doubly-stochastic", states = 3 }
        [grid]
        batch = [32, 64]
    """
    expected = [Setting.of("softmax", context=30, batch=b) for b in (32, 64)]
    expected += [Setting.of("linear", prior=DoublyStochastic(3), context=30, batch=b) for b in (32, 64)]
    assert settings(text) == expected
    assert settings(text + "[[runs]]\nfamily = 'softmax'\n".replace("[[runs]]", "\n[[runs]]")) == expected
    assert settings("") == [Setting.of("linear")]


def test_jobs_are_seeds_of_training_and_one_of_each_prediction(tmp_path):
    """A number of seeds or a list of them; the command line's number goes before the file's."""
    file = tmp_path / "night.toml"
    file.write_text('seeds = [3, 5]\nkinds = ["train", "law", "basin"]\ngrid.context = [20, 30]\n')
    sweep = load(file)
    assert sweep.jobs() == [
        Job(Setting.of("linear", context=t), kind, seed)
        for t in (20, 30)
        for kind, seed in (("train", 3), ("train", 5), ("law", 0), ("basin", 0))
    ]
    assert load(file, seeds=1).seeds == (0,)


BAD = [
    ("sedes = 3", "sweep has no entry 'sedes'.*did you mean 'seeds'"),
    ("seeds = 0", "seeds = 0"),
    ("seeds = [-1]", "seed = -1"),
    ("seeds = []", "a list of 1 or more"),
    ("kinds = ['trian']", "did you mean 'train'"),
    ("kinds = 'train'", "expected a list"),
    ("setting = 3", "expected a table"),
    ("grid.contxt = [50]", r"at contxt = 50: setting has no entry 'contxt'.*did you mean 'context'"),
    ("grid.prior.concentraton = [1]", "did you mean 'concentration'"),
    ("grid.learning-rate.mtach = [1]", "did you mean 'match'"),
    ("grid.optimizer.nme = ['sgd']", "did you mean 'name'"),
    ("grid.context = 50", "grid has context = 50: expected a list of values"),
    ("grid.context = []", "expected a list of values"),
    ("grid.context = '9:3:4'", "it is empty"),
    ("grid.context = [50, 1]", r"at context = 1: context = 1"),
    ("grid.states = [2]\ngrid.prior.states = [3]", "prior.states twice"),
    ("grid.context = [50]\n[[runs]]\ncontext = 60", "in grid and in runs"),
    ("runs = []", "a list of 1 or more"),
    (
        "setting.optimizer.learning_rate = 1\ngrid.learning-rate.match = [1]",
        "learning_rate = 1: expected a table",
    ),
    ("grid.batch = '1:100000:20000:lin'", f"at most {MOST_SETTINGS}"),
    ("a = [", "cannot be read.*TOML"),
]


@pytest.mark.parametrize(("text", "names"), BAD, ids=[text for text, _ in BAD])
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path, text, names):
    """One sentence: the file, the point of the sweep, the entry and the nearest known one."""
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=rf"sweep file .*bad\.toml.*{names}"):
        load(file)


def test_results_hold_every_job(tmp_path):
    """A refusal with its reason, missing jobs with theirs, and a line of the CSV for each."""
    sweep = read(tomllib.loads("kinds = ['law', 'basin']\ngrid.context = [20, 30]"))
    store = Store(tmp_path / "runs")
    store.save(sweep.jobs()[0].name, Record(sweep.points[0].setting, (), {"refused": "outside its range"}))
    (store.folder / f"{sweep.jobs()[1].name}.failed.json").write_text(
        f'{{"name": "{sweep.jobs()[1].name}", "label": "", "reason": "out of luck", "details": ""}}'
    )
    data = collect(sweep, store)
    assert not data["complete"]
    assert [row["answers"]["law"] for row in data["rows"]] == [{"refused": "outside its range"}, None]
    assert [one["reason"] for one in data["missing"]] == ["out of luck", "not computed", "not computed"]
    write(tmp_path, data)
    with (tmp_path / "sweep.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [(row["context"], row["kind"], row["reason"]) for row in rows] == [
        ("20", "law", "outside its range"),
        ("20", "basin", "not computed"),
        ("30", "law", "not computed"),
        ("30", "basin", "not computed"),
    ]
