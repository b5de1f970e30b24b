"""onset.paper.markdown: derivations as Markdown for the documentation."""

from __future__ import annotations

import re

import pytest

from onset.paper.markdown import derivation
from onset.theory.derivations import get, names


@pytest.mark.parametrize("name", names())
def test_a_derivation_as_markdown_has_all_its_parts(name):
    """Title, the equations with the checks that evaluate them, a row for each symbol and check; tables keep columns."""
    text, expected = derivation(name, level=3), get(name)
    assert text.startswith(f"### {expected.title}\n")
    assert text.count("\n$$\n") == 2 * len(expected.equations)
    assert text.count("Evaluated by ") == len(expected.equations)
    for label in expected.equations:
        marks = (f"{check.name} –" for check in expected.checks if label in check.labels)
        assert f"Evaluated by {', '.join(marks)}\n" in re.sub("[✓✗]", "–", text)
    widths = [line.count("|") for line in text.splitlines() if line.startswith("| ")]
    assert widths == [3] * (2 + len(expected.symbols)) + [5] * (2 + len(expected.checks))
    assert re.findall(r"^#+ (.*)", text, re.MULTILINE)[1:] == ["Assumptions", "Steps", "Validity", "Source", "Checks"]
    assert all(line.count("$") % 2 == 0 for line in text.splitlines())
