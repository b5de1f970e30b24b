"""The command line: answers at once, says one sentence about bad input, and prints the JSON it promises."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest

import onset
from onset.theory.markov.priors import DoublyStochastic
from onset.theory.setting import Setting

ALWAYS = {"source", "target", "step", "low", "high", "reason"}
WHERE_KNOWN = {"interval", "standard_error", "degrees_of_freedom", "neglected"}


def promised(transition: dict) -> bool:
    """Whether these are the keys that the documentation names."""
    return ALWAYS <= set(transition) <= ALWAYS | WHERE_KNOWN and (
        transition["step"] is None or "interval" in transition
    )


def test_help_imports_nothing_heavy():
    """`onset --help` needs neither torch, numba, sympy, scipy, numpy nor matplotlib."""
    script = "import sys, onset\ntry: onset.main(['--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "predict" in shown
    assert not {"torch", "numba", "sympy", "scipy", "numpy", "matplotlib"} & set(shown.split("\n")[-2].split())


@pytest.mark.parametrize("method", ["mean-field", "finite-context"])
def test_predict_prints_the_promised_json(run, method):
    """Transitions, formation, method, assumptions and validity."""
    status, out, _ = run("predict", "--context", "16", "--learning-rate", "match=0.4", "--method", method, "--json")
    data = json.loads(out)
    assert status == 0
    assert [(t["source"], t["target"]) for t in data["transitions"]] == [("uniform", "unigram"), ("unigram", "bigram")]
    assert all(promised(t) for t in data["transitions"])
    assert {"step", "low", "high", "reason"} <= set(data["formations"][0])
    assert data["transitions"][1]["low"] <= data["transitions"][1]["step"] <= data["transitions"][1]["high"]
    assert data["method"] == method
    assert data["assumptions"]
    assert data["validity"]
    assert data["setting"]["optimizer"]["learning_rate"] == {"lag_logits": 1.0, "match": 0.4}


def test_the_formation_level_is_heeded(run):
    """A higher level is passed later; one above what is ever reached gives null and a reason."""
    steps = []
    for level in ("0.1", "0.2"):
        _, out, _ = run(
            "predict", "--context", "16", "--learning-rate", "match=0.4", "--formation-level", level, "--json"
        )
        steps.append(json.loads(out)["formations"][0]["step"])
    assert steps[0] < steps[1]
    _, out, _ = run("predict", "--context", "16", "--steps", "5", "--json")
    formation = json.loads(out)["formations"][0]
    assert formation["step"] is None
    assert "never" in formation["reason"]


def test_train_prints_the_promised_json_and_keeps_the_run(run, tmp_path):
    """One file per seed, which a second call reuses."""
    pytest.importorskip("torch")
    call = [
        "train",
        "--context",
        "16",
        "--learning-rate",
        "match=0.4",
        "--seeds",
        "2",
        "--workers",
        "1",
        "--out",
        str(tmp_path),
        "--json",
    ]
    status, out, _ = run(*call)
    data = json.loads(out)
    assert status == 0
    assert all(promised(t) for t in (*data["transitions"], *data["runs"][0]["transitions"]))
    assert len(list((tmp_path / "runs").glob("*.nc"))) == 2
    before = [path.stat().st_mtime_ns for path in sorted((tmp_path / "runs").glob("*.nc"))]
    assert json.loads(run(*call)[1]) == data
    assert [path.stat().st_mtime_ns for path in sorted((tmp_path / "runs").glob("*.nc"))] == before


def test_simulate_prints_losses_with_errors(run):
    """Uniform is ln k exactly; bigram is below unigram."""
    status, out, _ = run("simulate", "--states", "3", "--context", "50", "--sequences", "500", "--json")
    losses = json.loads(out)["losses"]
    assert status == 0
    assert losses["uniform"]["error"] == pytest.approx(0, abs=1e-9)
    assert losses["bigram"]["mean"] < losses["unigram"]["mean"]


def test_validate_reports_and_its_exit_status_follows_the_verdicts(run, tiny_suite, tmp_path):
    """The tiny suite's transformer is too short to pass, which the suite counts on: exit status 1, with table, page and
    figures written.
    """
    folder, _ = tiny_suite
    status, out, _ = run("validate", "--suite", "tiny", "--out", str(folder), "--workers", "1")
    assert status == 1
    assert "disagrees" in out
    assert (folder / "report.html").exists()
    status, out, _ = run("report", str(folder))
    assert (status, out.strip()) == (0, str(folder / "report.html"))
    status, out, _ = run("figures", "ladder", "--results", str(folder), "--out", str(tmp_path))
    assert status == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ladder.pdf", "ladder.png"]
    status, out, _ = run("figures", "ladder", "--results", str(folder), "--json")
    assert status == 0
    assert {point["rung"] for point in json.loads(out)["ladder"]} >= {"mean-field", "finite-context"}


def test_all_suites_run_one_after_the_other(run, tiny_suite, tmp_path, monkeypatch):
    """Each into a folder of its own; the exit status is that of the worst, and a README shows the claims of all."""
    from onset.paper.readme import marks
    from onset.validate.suite import SUITES

    folder, _ = tiny_suite
    made = {"tiny": SUITES["tiny"], "empty": lambda: ()}
    monkeypatch.setattr("onset.validate.suite.SUITES", made)
    monkeypatch.setattr("onset.validate.suite.settings.SUITES", made)
    for name in made:
        shutil.copytree(folder / "runs", tmp_path / name / "runs")
    status, out, _ = run("validate", "--suite", "all", "--out", str(tmp_path), "--workers", "1", "--json")
    assert status == 1
    assert [data["suite"] for data in json.loads(out)] == ["tiny", "empty"]
    assert [data["holds"] for data in json.loads(out)] == [False, True]
    assert (tmp_path / "empty" / "report.html").exists()
    begin, end = marks("claims")
    readme = tmp_path / "README.md"
    readme.write_text(f"{begin}{end}")
    assert run("report", str(tmp_path), "--readme", str(readme))[0] == 0
    assert "| claim | findings that agree | disagree | suite |" in readme.read_text()
    status, _, err = run("validate", "--suite", "everything")
    assert status == 2
    assert "expected one of" in err


def test_a_picture_that_cannot_be_drawn_costs_no_numbers(run, tiny_suite, tmp_path, monkeypatch):
    """The page and its results are there, without pictures; what went wrong is not hidden."""
    from onset.paper.figures import ladder

    folder, _ = tiny_suite
    shutil.copytree(folder / "runs", tmp_path / "runs", dirs_exist_ok=True)
    monkeypatch.setattr(ladder, "draw", lambda points: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("validate", "--suite", "tiny", "--out", str(tmp_path), "--workers", "1")
    assert json.loads((tmp_path / "results.json").read_text())["suite"] == "tiny"
    assert "<img" not in (tmp_path / "report.html").read_text()


def test_one_method_of_a_suite_is_computed_again(run, tiny_suite, tmp_path):
    """With --fresh and --methods only its files change, and progress says how far it is."""
    folder, _ = tiny_suite
    shutil.copytree(folder / "runs", tmp_path / "runs", dirs_exist_ok=True)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*.nc")}
    call = ("validate", "--suite", "tiny", "--out", str(tmp_path), "--workers", "1", "--methods", "law", "--fresh")
    _, _, err = run(*call)
    assert "1/1" in err
    changed = [path.name for path in (tmp_path / "runs").glob("*.nc") if path.stat().st_mtime_ns != before[path.name]]
    assert len(changed) == 1
    assert "-law-" in changed[0]


def test_a_readme_is_written_from_results_alone(run, tiny_suite, tmp_path):
    """Of a results.json without its runs; without marks it is refused."""
    from onset.paper.readme import marks
    from onset.validate import report

    _, results = tiny_suite
    report.write(results, tmp_path, {}, seeds=None)
    readme = tmp_path / "README.md"
    readme.write_text("\n".join(marks("results")))
    status, out, _ = run("report", str(tmp_path / "results.json"), "--readme", str(readme))
    assert (status, out.strip()) == (0, str(readme))
    assert "--suite tiny" in readme.read_text()
    readme.write_text("none")
    status, _, err = run("report", str(tmp_path), "--readme", str(readme))
    assert status == 2
    assert "marks" in err


BAD = [
    (["predict", "--states", "1"], "states = 1"),
    (["predict", "--context", "1"], "context = 1"),
    (["predict", "--learning-rate", "0"], "--learning-rate lag_logits = 0"),
    (["predict", "--learning-rate", "match=-1"], "--learning-rate match = -1"),
    (["predict", "--learning-rate", "fast"], "--learning-rate = 'fast'"),
    (["predict", "--learning-rate", "mtach=1"], "did you mean 'match'"),
    (["predict", "--concentration", "0"], "concentration = 0"),
    (["predict", "--prior", "doubly-stochastic", "--concentration", "2"], "has none"),
    (["predict", "--prior", "dirichlt"], "did you mean 'dirichlet'"),
    (["predict", "--prior", "mixture"], "--setting FILE"),
    (["predict", "--family", "sofmax"], "did you mean 'softmax'"),
    (["predict", "--family", "transformer"], "family of a finite-context prediction"),
    (["predict", "--optimizer", "adamw"], "optimizer of the linear family"),
    (["predict", "--method", "meanfield"], "did you mean 'mean-field'"),
    (["predict", "--formation-level", "1.5"], "--formation-level = 1.5"),
    (["predict", "--setting", "absent.toml"], "absent.toml"),
    (["predict", "--stats", "3"], "Did you mean --states"),
    (["predict", "--states", "three"], "three"),
    (["simulate", "--sequences", "1"], "sequences = 1"),
    (["simulate", "--pseudo-count", "-1"], "--pseudo-count = -1"),
    (["train", "--seeds", "0"], "seeds = 0"),
    (["train", "--device", "tpu"], "device = 'tpu'"),
    (["train", "--out", "/dev/null/x"], "cannot be written"),
    (["validate", "--suite", "quik"], "did you mean 'quick'"),
    (["validate", "--out", "/dev/null/x"], "cannot be written"),
    (["validate", "--methods", "trian"], "did you mean 'train'"),
    (["figures", "laddr"], "did you mean 'ladder'"),
    (["figures", "ladder", "--results", "nowhere"], "--results = 'nowhere': expected a file or a folder"),
    (["report", "nowhere"], "run onset validate"),
    (["bench", "sampelr"], "did you mean"),
    (["bench", "--peer", "."], "give its folder"),
    (["pridict"], "predict"),
]


@pytest.mark.parametrize(("arguments", "names"), BAD, ids=[" ".join(a) for a, _ in BAD])
def test_bad_input_is_one_sentence_and_exit_status_two(refused, arguments, names):
    pytest.importorskip("torch")
    refused(arguments, names)


def test_a_run_file_found_corrupt_is_named_and_computed_again(run, tmp_path):
    """The command says which file, and still answers."""
    pytest.importorskip("torch")
    from onset.validate.store.runs import UnreadableRun

    call = ["train", "--context", "16", "--steps", "20", "--seeds", "1", "--out", str(tmp_path), "--json"]
    first = run(*call)[1]
    (path,) = (tmp_path / "runs").glob("*.nc")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.warns(UnreadableRun, match=path.name):
        status, out, _ = run(*call)
    assert (status, out) == (0, first)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            ("--context", "100", "--method", "law"),
            r"^What law neglects may move a step by \d+%: --method",
        ),
        (("--family", "softmax", "--context", "50", "--method", "mean-field"), "^The method mean-field does not know"),
        (("--context", "20000", "--method", "law"), "^linear"),
        (
            (
                "--context",
                "16",
            ),
            "^linear .* predicted by finite-context",
        ),
    ],
)
def test_how_far_a_method_may_be_off_stands_above_its_table(run, call, says):
    """Where it is more than a tenth, or unknown; nothing beside what neglects nothing."""
    status, out, _ = run("predict", "--learning-rate", "match=0.4", *call) if "16" in call else run("predict", *call)
    assert status == 0
    assert re.match(says, out)


def test_the_default_method_neglects_nothing_where_that_takes_seconds():
    """Else it is the law, and where that has no answer the mean field."""
    from onset.simulate.predict import FEW_SECONDS, USUAL_SHARE, longest

    def method(**options) -> str:
        return onset.predict(Setting.of(**options)).method

    assert method(family="linear", context=16, learning_rate={"match": 0.4}) == "finite-context"
    long = Setting.of("linear", context=20_000)
    assert USUAL_SHARE * longest(long, "finite-context") > FEW_SECONDS
    assert onset.predict(long).method == "law"
    assert method(family="linear", prior=DoublyStochastic(2), context=20_000) == "mean-field"
