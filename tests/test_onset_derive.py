"""`onset derive` and `onset cite`: list, show, check, LaTeX, JSON, BibTeX, and what they say about bad input."""

from __future__ import annotations

import json
from contextlib import nullcontext

import pytest
import sympy as sp

from onset.paper.citation import USES
from onset.paper.prose import to_text
from onset.simulate import user_cache
from onset.theory import derivations
from onset.theory.derivations.derivation import Check, Derivation, Residual, Step
from onset.validate.checks import running as derivation_checks
from onset.validate.store import check_results

NAME = "two-state-chain"


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path_factory):
    """Results of checks are remembered in a folder of the test's own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(check_results, "_folder", lambda: folder)
    return folder


@pytest.fixture
def mine():
    """Register a derivation of one's own, with the check given, for the time of a test."""
    known: list[str] = []

    def register(check, name: str = "mine", **changes) -> None:
        x, y = sp.symbols("x y")
        parts = {
            "title": "A line",
            "statement": sp.Eq(y, 2 * x),
            "symbols": {x: "a number [in brackets]"},
            "assumptions": ("none",),
            "validity": "everywhere",
            "source": "derived here",
            "steps": (Step("double", label="double", expression=2 * x), Step("in words")),
            "checks": [Check("twice", "2x with x + x", check)],
        } | changes
        derivations.register(name)(lambda: Derivation(name=name, **parts))
        known.append(name)

    yield register
    for name in known:
        derivations._REGISTERED.pop(name, None)
    derivations.get.cache_clear()


def _good(statement, double) -> Residual:
    return Residual(0.0, 0.0, "exact [arithmetic]")


def test_the_list_shows_every_derivation(run):
    status, out, _ = run("derive")
    assert status == 0
    assert all(name in out for name in derivations.names())
    assert "not checked" in out


def test_a_derivation_is_shown_whole(run):
    """Statement in pretty print, symbols, assumptions, steps with reasons, validity, references and checks."""
    status, out, _ = run("derive", NAME)
    shown, text = derivations.get(NAME), " ".join(out.split())
    assert status == 0
    assert "─────" in out
    prose = (
        shown.title,
        *shown.symbols.values(),
        *shown.assumptions,
        shown.validity,
        shown.source,
        "Finite Markov Chains. Van Nostrand, 1960.",
    )
    checks = [f"– {check.name}: {check.compares}" for check in shown.checks]
    checks += [f"evaluated by {check.name} –" for check in shown.checks]
    for part in (*prose, *(f"{step.name}: {step.reason}" for step in shown.steps), *checks):
        assert to_text(part) in text
    assert "$" not in out


def test_check_prints_numbers_and_is_remembered(run):
    """Residual, tolerance, its origin; then the list says passed, and so does JSON."""
    status, out, err = run("derive", "--check", NAME)
    assert status == 0
    assert "exact arithmetic, 16 identities" in out
    assert "1e-14" in out
    assert f"{NAME}: recursion" in err
    count = len(derivations.get(NAME).checks)
    assert f"{count} passed" in run("derive")[1]
    (found,) = json.loads(run("derive", NAME, "--json")[1])["derivations"]
    assert found["passed"] is True
    assert [check["passed"] for check in found["checks"]] == [True] * count


def test_json_of_a_check_has_its_numbers(run):
    status, out, _ = run("derive", "--check", NAME, "--json")
    data = json.loads(out)
    assert status == 0
    assert set(data) == {"derivations", "skipped", "broken"}
    (found,) = data["derivations"]
    labels = {"statement", *(step["label"] for step in found["steps"])}
    assert {label for check in found["checks"] for label in check["evaluates"]} == labels
    for check in found["checks"]:
        assert {"check", "compares", "residual", "tolerance", "because", "seconds", "passed", "location"} <= set(check)
        assert check["residual"] <= check["tolerance"]


def test_an_equation_that_is_only_printed_is_refused(run, mine):
    """It is named with the mend; the other derivations are shown."""
    mine(lambda statement: Residual(0.0, 0.0, ""))
    status, out, err = run("derive")
    assert (status, NAME in out) == (1, True)
    assert "mine cannot be derived: ValueError: derivation mine: no check evaluates its equations ['double']" in err


def test_a_step_in_words_has_no_equation(run, mine):
    mine(_good)
    first, second = json.loads(run("derive", "mine", "--json")[1])["derivations"][0]["steps"]
    assert (first["label"], first["expression"]) == ("double", "2*x")
    assert (second["label"], second["expression"], second["latex"]) == (None, None, None)


def test_a_failing_check_fails_the_command(run, mine):
    """Exit status 1; a NaN counts as failed and JSON survives it."""
    for residual in (1.0, float("nan"), float("inf")):
        mine(lambda statement, double, residual=residual: Residual(residual, 0.5, "chosen"), name=f"mine-{residual}")
        status, out, _ = run("derive", "--check", f"mine-{residual}")
        assert status == 1
        assert "✗" in out
        assert json.loads(run("derive", f"mine-{residual}", "--json")[1])["derivations"][0]["passed"] is False
        assert "1 failed" in run("derive")[1]


def test_a_check_that_raises_fails_and_the_others_run(run, mine):
    def broken(statement) -> Residual:
        raise ZeroDivisionError("by [nought]")

    mine(broken, checks=[Check("broken", "a", broken), Check("twice", "b", _good)])
    status, out, err = run("derive", "--check", "mine")
    assert status == 1
    assert "ZeroDivisionError: by [nought]" in out
    assert "✓" in out
    assert "Traceback" not in err


def test_a_check_that_lacks_torch_is_skipped(run, mine):
    """It neither passes nor fails, and says why; where nothing else was checked, the exit status is 1."""

    def needs_torch(statement, double) -> Residual:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    mine(needs_torch)
    mine(needs_torch, name="both", checks=[Check("needs torch", "a", needs_torch), Check("good", "b", _good)])
    assert run("derive", "--check", "both")[0] == 0
    status, out, _ = run("derive", "--check", "mine")
    assert status == 1
    assert "skipped: torch is not installed" in out
    assert json.loads(run("derive", "mine", "--json")[1])["derivations"][0]["passed"] is None


def test_modules_of_checks_that_cannot_be_attached_are_named(run, monkeypatch):
    """One that lacks torch is skipped with the mend; one that raises makes exit status 1."""

    def load(name: str):
        raise ModuleNotFoundError("No module named 'torch'", name="torch") if "validate" in name else OSError("gone")

    monkeypatch.setattr(derivation_checks, "find_spec", lambda name: name)
    monkeypatch.setattr(derivation_checks, "import_module", load)
    found = derivation_checks.attach_all()
    assert "pip install 'icl-onset[train]'" in found.skipped[0]
    assert "onset.simulate.checks cannot be attached: OSError: gone" in found.broken[0]


def test_ones_own_derivation_shows_up_everywhere(run, mine, tmp_path):
    mine(_good)
    assert "A line" in run("derive")[1]
    assert "a number [in brackets]" in run("derive", "mine")[1]
    status, out, _ = run("derive", "--check", "mine")
    assert (status, "exact [arithmetic]" in out) == (0, True)
    assert run("derive", "mine", "--latex", str(tmp_path))[0] == 0
    assert r"\passed" in (tmp_path / "mine.tex").read_text()


def test_a_changed_derivation_counts_as_not_checked(run, mine):
    """The same name and check, another statement."""
    mine(_good)
    run("derive", "--check", "mine")
    assert derivation_checks.recall("mine").passed is True
    derivations._REGISTERED.pop("mine")
    derivations.get.cache_clear()
    x, y = sp.symbols("x y")
    mine(_good, statement=sp.Eq(y, 3 * x))
    assert derivation_checks.recall("mine").passed is None


def test_changed_sources_count_as_not_checked(run, monkeypatch):
    """An edit anywhere in a package that the checks reach; also in the list, which derives nothing."""
    run("derive", "--check", NAME)
    assert derivation_checks.recall(NAME).passed is True
    assert check_results.recalled_status(NAME) == derivation_checks.recall(NAME).summary == "5 passed"
    monkeypatch.setattr(check_results, "_sources", lambda package: "edited")
    assert derivation_checks.recall(NAME).passed is None
    assert check_results.recalled_status(NAME) == "not checked"


def test_the_list_trusts_no_check_from_elsewhere(run, monkeypatch):
    """One that was attached to a derivation of the library: its own content counts, so the derivation is asked."""
    monkeypatch.setattr(derivations, "_ATTACHED", {})
    derivations.attach(NAME, [Check("mine", "a with b", lambda statement: _good(statement, None))])
    run("derive", "--check", NAME)
    assert check_results.recalled_status(NAME) is None
    assert "6 passed" in run("derive")[1]
    derivations.get.cache_clear()


def test_titles_are_those_of_the_derivations():
    """Read from the sources, or asked of the derivation."""
    assert {name: derivations.title(name) for name in derivations.names()} == {
        name: derivations.get(name).title for name in derivations.names()
    }


def test_a_derivation_that_cannot_be_built_does_not_hide_the_others(run, mine):
    mine(_good)
    derivations._REGISTERED["mine"] = lambda: 1 / 0  # type: ignore[assignment]
    derivations.get.cache_clear()
    status, out, err = run("derive")
    assert status == 1
    assert NAME in out
    assert "mine cannot be derived: ZeroDivisionError" in err


@pytest.mark.parametrize("content", ["", "{", "[]", '{"twice": 1}', '{"twice": {"passed": true}}'])
def test_a_damaged_cache_counts_as_not_run(run, mine, cache, content):
    """With a warning that names it; of one written by another version nothing is believed."""
    mine(_good)
    run("derive", "--check", "mine")
    (file,) = cache.glob("mine*.json")
    file.write_text(content)
    with nullcontext() if "passed" in content else pytest.warns(UserWarning, match="count as not run"):
        status, out, _ = run("derive", "mine", "--json")
    assert status == 0
    assert json.loads(out)["derivations"][0]["passed"] is None


@pytest.mark.parametrize("folder", [None, "file"])
def test_a_cache_that_cannot_be_written_is_a_warning(run, mine, monkeypatch, cache, folder):
    """No home folder, or a file in its place: checks run, and what was never kept reads as not run."""
    (cache / "file").touch()
    monkeypatch.setattr(check_results, "_folder", lambda: folder and cache / folder)
    user_cache.warn.cache_clear()
    mine(_good)
    with pytest.warns(user_cache.NothingKept) as shown:
        status, out, _ = run("derive", "--check", "mine")
    assert (status, "✓" in out, len(shown)) == (0, True, 1)
    assert derivation_checks.recall("mine").passed is None


def test_latex_says_where(run, tmp_path):
    """Names given: their files only, so that what holds all is not overwritten. Files left alone are whole."""
    status, out, _ = run("derive", "--latex", str(tmp_path / "new"), NAME)
    assert status == 0
    assert str(tmp_path / "new" / f"{NAME}.tex") in out
    assert [path.name for path in (tmp_path / "new").iterdir()] == [f"{NAME}.tex"]
    _, out, _ = run("derive", "--latex", str(tmp_path / "new"), "--json")
    assert {"derivations.tex", "references.bib"} <= {path.rpartition("/")[2] for path in json.loads(out)["files"]}


def test_cite_derivations_and_commands(run):
    """What was asked for, each entry once; without names all of it, the project's own first."""
    assert run("cite", NAME)[1].startswith("@book{kemeny1960finite")
    status, out, _ = run("cite", "predict", "train", "predict")
    assert status == 0
    assert out.count("@article{edelman2024evolution") == 1
    assert "1711.05101" in out
    assert "1711.05101" not in run("cite", "predict")[1]
    entries = json.loads(run("cite", "--json")[1])["entries"]
    assert entries[0]["key"] == "onset"
    assert {key for keys in USES.values() for key in keys} <= {entry["key"] for entry in entries}


def test_the_projects_entry_is_read_from_its_citation_file(tmp_path):
    """Persons, version and year follow the file; one that lacks them or is missing is said so."""
    from onset.paper.citation import own_entry

    file = tmp_path / "CITATION.cff"
    head = "title: \"T: of x\"\nversion: 3.10\nlicense: MIT\ndate-released: '2031-01-02'\n"
    people = "authors:\n  - family-names: Roe\n    given-names: Jane\n  - name: The Team\n"
    file.write_text(head + people + "references:\n  - title: Other\n    authors:\n      - name: Not me\n")
    entry = own_entry(file)
    for part in ('author = "Roe, Jane and {The Team}"', 'title = "T: of x"', "Version 3.10, MIT", 'year = "2031"'):
        assert part in entry
    assert "Not me" not in entry
    file.write_text(head)
    with pytest.raises(ValueError, match="authors"):
        own_entry(file)
    with pytest.raises(ValueError, match="cannot be read"):
        own_entry(tmp_path / "absent")


BAD = [
    (["derive", "two-stat-chain"], "did you mean 'two-state-chain'"),
    (["derive", "--check", "twostatechain"], "did you mean 'two-state-chain'"),
    (["derive", NAME, "nonsense", "--json"], "derivation = 'nonsense'"),
    (["derive", "--latex", "/dev/null/x", NAME], "cannot be written"),
    (["derive", "--latex"], "--latex"),
    (["derive", "--chek"], "--check"),
    (["cite", "prdict"], "did you mean 'predict'"),
    (["cite", NAME, "2"], "derivation or command = '2'"),
    (["cite", ""], "derivation or command = ''"),
]


@pytest.mark.parametrize(("arguments", "names"), BAD, ids=[" ".join(a) for a, _ in BAD])
def test_bad_input_is_one_sentence_and_exit_status_two(refused, arguments, names):
    refused(arguments, names)
