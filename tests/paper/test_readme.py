"""onset.paper.readme: the section holds the results' numbers, between marks, and nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from onset.paper import corrections
from onset.paper.readme import BEGIN, CORRECTED, END, section, update


@pytest.fixture
def data(tiny_suite):
    return json.loads(json.dumps(tiny_suite[1].to_dict()))


def test_only_what_is_between_the_marks_changes(tmp_path, data):
    readme = tmp_path / "README.md"
    readme.write_text(f"# Before\n\n{BEGIN}\nold 12%\n{END}\n\nAfter.\n")
    update(readme, data)
    text = readme.read_text()
    assert text.startswith(
        f"# Before\n\n{BEGIN}\n\n`onset validate --suite tiny`: 1 toy settings, 2 seeds each, and 1 transformer, 2 seeds; "
    )
    assert text.endswith(f"\n{END}\n\nAfter.\n")
    assert "old 12%" not in text
    update(readme, data)
    assert readme.read_text() == text


def test_the_numbers_are_those_of_the_results(data):
    """Median and largest error of every pair, and what is promised."""
    text = section(data)
    for e in data["findings"]["errors"]:
        if not e["group"] and e["lower"] in ("law", "mean-field", "finite-context"):
            assert f"| {e['numbers']} | {100 * e['median']:.1f}% | " in text
    assert "something that it promises does not hold" in text
    label = next(s["label"] for s in data["settings"] if s["group"] == "transformer")
    assert f"Transformer ({label}):" in text


@pytest.mark.parametrize("text", ["no marks", f"{END}\n{BEGIN}\n", f"{BEGIN}\n", f"{BEGIN}\n{BEGIN}\n{END}\n"])
def test_a_file_without_the_marks_is_left_alone(tmp_path, data, text):
    readme = tmp_path / "README.md"
    readme.write_text(text)
    with pytest.raises(ValueError, match="once each and in this order"):
        update(readme, data)
    assert readme.read_text() == text
    with pytest.raises(ValueError, match="cannot be read"):
        update(tmp_path / "absent.md", data)


def test_the_readme_shows_the_kept_results():
    """What stands between the marks is what `paper/results/standard.json` gives: no number there is typed by hand."""
    root = Path(__file__).parents[2]
    kept = json.loads((root / "paper" / "results" / "standard.json").read_text(encoding="utf-8"))
    text = (root / "README.md").read_text(encoding="utf-8")
    assert text.partition(BEGIN)[2].partition(END)[0].strip() == section(kept).strip()
    kept = json.loads((root / "paper" / "results" / "corrections.json").read_text(encoding="utf-8"))
    first, last = CORRECTED
    assert text.partition(first)[2].partition(last)[0].strip() == corrections.section(kept).strip()


def interval(value: float | None, *, refused: bool = False) -> dict[str, object]:
    return {"value": value, "refused": refused}


def test_cells_of_the_corrections(tmp_path):
    """Within the target or not, refused, never by both and by one; written between marks of their own."""
    told = {"a": (104.0, 100.0), "b": (106.0, 100.0), "c": (None, None), "d": (None, 100.0), "e": (90.5, 100.0)}
    setting = {"family": "linear", "optimizer": {"name": "sgd"}}
    data = {
        "suite": "corrections",
        "missing": [],
        "settings": [
            {"label": f"linear sgd {name}", "setting": setting | {"context": 50 if name == "e" else 100}}
            for name in told
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
            for name, (value, exact) in told.items()
        ],
    }
    found = {(c.method, c.name[0]): (c.agrees, c.refused) for c in corrections.cells(data)}
    assert {name: found["mean-field-corrected", name][0] for name in told} == dict(
        a=True, b=False, c=True, d=False, e=True
    )
    assert all(found["law-corrected", name] == (False, True) for name in told)
    text = corrections.section(data)
    assert (
        "| corrected mean field, linear, sgd, T = 100 | 5% | 2 of 4 | 0 | d, formation by one of the two never; b, formation +6.0% |"
        in text
    )
    first, last = CORRECTED
    readme = tmp_path / "README.md"
    readme.write_text(f"{BEGIN}\n{END}\n{first}\n{last}\n")
    update(readme, data)
    assert readme.read_text() == f"{BEGIN}\n{END}\n{first}\n\n{text}\n{last}\n"
