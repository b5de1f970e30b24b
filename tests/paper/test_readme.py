"""onset.paper.readme: generated blocks hold the results' numbers, and nothing else in a file changes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from onset.paper import corrections
from onset.paper.readme import BLOCKS, block, claims, disagreements, heads, marks, section, update
from onset.validate.report import load_all

ROOT = Path(__file__).parents[2]
BEGIN, END = marks("results")


@pytest.fixture
def data(tiny_suite):
    return json.loads(json.dumps(tiny_suite[1].to_dict()))


def test_only_the_blocks_change(tmp_path, data):
    """All blocks of the suite are rewritten, those of other suites and all other text are kept; twice is the same."""
    path, short, other = tmp_path / "README.md", marks("disagreements"), marks("corrections")
    path.write_text(
        f"# Before\n\n{BEGIN}\nold 12%\n{END}\n\n{short[0]}{short[1]}\n{other[0]}kept{other[1]}\n\nAfter.\n"
    )
    update(path, data)
    text = path.read_text()
    assert text.startswith(f"# Before\n\n{BEGIN}\n\n`onset validate --suite tiny`: 1 toy settings, 2 seeds each, and")
    assert text.endswith(f"\n{other[0]}kept{other[1]}\n\nAfter.\n")
    assert "old 12%" not in text
    assert block(text, "results").strip() == section(data)
    assert block(text, "disagreements").strip() == disagreements(data)
    update(path, data)
    assert path.read_text() == text


def test_the_numbers_are_those_of_the_results(data):
    """Median and largest error of every pair, and whether what the suite promises holds."""
    text = section(data)
    for e in data["findings"]["errors"]:
        if not e["group"] and e["lower"] in ("law", "mean-field", "finite-context"):
            assert f"| {e['numbers']} | {100 * e['median']:.1f}% | " in text
    assert "something that it promises does not hold" in text
    label = next(s["label"] for s in data["settings"] if s["group"] == "transformer")
    assert f"Transformer ({label}):" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no marks", "has no block of the suite 'tiny'"),
        (f"{END}\n{BEGIN}\n", "once each and in this order"),
        (f"{BEGIN}\n", "once each and in this order"),
        (f"{BEGIN}\n{BEGIN}\n{END}\n", "once each and in this order"),
    ],
)
def test_a_file_with_wrong_marks_is_left_alone(tmp_path, data, text, message):
    path = tmp_path / "README.md"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        update(path, data)
    assert path.read_text() == text
    with pytest.raises(ValueError, match="cannot be read"):
        update(tmp_path / "absent.md", data)


@pytest.mark.parametrize("file", ["README.md", "docs/results.md"])
def test_generated_blocks_are_current(file):
    """README and docs show what `paper/results` gives: no number there is typed by hand."""
    text = (ROOT / file).read_text(encoding="utf-8")
    contents = {name: block(text, name) for name in BLOCKS}
    assert contents["disagreements"] is not None
    assert file == "README.md" or None not in contents.values()
    for name, content in contents.items():
        if content is not None:
            suite = name if name in ("corrections", "heads") else "standard"
            results = json.loads((ROOT / "paper" / "results" / f"{suite}.json").read_text(encoding="utf-8"))
            assert content.strip() == BLOCKS[name](results).strip()


def test_the_table_of_claims_is_that_of_all_stored_results():
    results = load_all(ROOT / "paper" / "results")
    assert len(results) > 2
    content = block((ROOT / "README.md").read_text(encoding="utf-8"), "claims")
    assert content is not None
    assert content.strip() == claims(results)


def test_the_short_table_is_short():
    """Rows of at most 120 characters, one for each claim that disagrees."""
    results = json.loads((ROOT / "paper" / "results" / "standard.json").read_text(encoding="utf-8"))
    rows = disagreements(results).split("\n")
    assert max(map(len, rows)) <= 120
    titles = {c["title"] for c in results["claims"] if any(f["verdict"]["kind"] == "disagrees" for f in c["findings"])}
    assert titles <= {row.split(" | ")[0].removeprefix("| ") for row in rows}


def interval(value: float | None, *, refused: bool = False) -> dict[str, object]:
    return {"value": value, "refused": refused}


def test_cells_of_the_corrections():
    """Within the target or not; refused; no step in both theories, and in one of them."""
    values = {"a": (104.0, 100.0), "b": (106.0, 100.0), "c": (None, None), "d": (None, 100.0), "e": (90.5, 100.0)}
    setting = {"family": "linear", "optimizer": {"name": "sgd"}}
    data = {
        "suite": "corrections",
        "missing": [],
        "settings": [
            {"label": f"linear sgd {name}", "setting": setting | {"context": 50 if name == "e" else 100}}
            for name in values
        ],
        "comparisons": [
            {
                "setting": f"linear sgd {name}",
                "quantity": "formation",
                "predicted": {
                    "law-corrected": interval(None, refused=True),
                    "mean-field-corrected": interval(value),
                    "finite-context": interval(exact),
                },
            }
            for name, (value, exact) in values.items()
        ],
    }
    cells = {(c.method, c.name[0]): (c.agrees, c.refused) for c in corrections.cells(data)}
    agrees = {name: cells["mean-field-corrected", name][0] for name in values}
    assert agrees == {"a": True, "b": False, "c": True, "d": False, "e": True}
    assert all(cells["law-corrected", name] == (False, True) for name in values)
    assert (
        "| corrected mean field, linear, sgd, T = 100 | 5% | 2 of 4 | 0 "
        "| d, formation in one of the two never; b, formation +6.0% |"
    ) in corrections.section(data)


def finding(quantity: str, kind: str, observed: float | None = 0.5) -> dict[str, object]:
    values = {"value": observed, "low": None, "high": None, "reason": "above zero"}
    verdict = {"kind": kind, "because": "half of it"}
    return {"quantity": quantity, "verdict": verdict, "observed": values, "predicted": values | {"value": None}}


def suite(name: str, **kinds: list[str]) -> dict[str, object]:
    entries = [
        {
            "id": claim,
            "title": f"title of {claim}",
            "source": "a paper",
            "verdict": verdicts[0] if verdicts else "inconclusive",
            "decides": "more",
            "findings": [finding(f"finding {n}", kind) for n, kind in enumerate(verdicts)],
            "absent": [] if verdicts else ["a model is not installed"],
        }
        for claim, verdicts in kinds.items()
    ]
    return {"suite": name, "claims": entries}


def test_claims_of_all_suites_stand_where_they_have_most_findings(tmp_path):
    small = suite("quick", a=["agrees"], b=["disagrees"])
    large = suite("heads", a=["agrees", "inconclusive", "disagrees"], c=[])
    rows = claims([small, large]).split("\n")[2:]
    assert rows == ["| title of a | 1 of 3 | 1 | `heads` |", "| title of b | 0 of 1 | 1 | `quick` |"]
    path = tmp_path / "README.md"
    begin, end = marks("claims")
    own = marks("heads")
    path.write_text(f"{begin}{end}\n{own[0]}{own[1]}\n")
    update(path, large)
    assert block(path.read_text(), "claims") == ""
    assert block(path.read_text(), "heads").strip() == heads(large)
    update(path, large | {"claims": []}, large)
    assert "title of a" in (block(path.read_text(), "claims") or "")


def test_every_finding_about_heads_is_shown():
    text = heads(suite("heads", a=["agrees", "disagrees"], c=[]))
    assert "| finding 1 | 0.500 | above zero | disagrees |" in text
    assert "**title of c** (a paper)\n\nNot measured: a model is not installed." in text
