"""The page of a language model's heads: maps of scores, attention over a text, losses, pruning, definitions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

__all__ = ["render"]

HERE = Path(__file__).parent

SHOWN = 30
"""Most heads of a table."""


def render(data: dict[str, Any]) -> str:
    """The page as text, in one file.

    Parameters
    ----------
    data : dict
        What `onset.validate.heads.study.study` gives, as plain data. Texts of tokens are escaped wherever they stand.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    files = {name: (HERE / name).read_text(encoding="utf-8") for name in ("page.css", "heads.css", "heads.js")}
    induction = next((score for score in data["scores"] if score["name"].startswith("prefix-matching")), None)
    return environment.get_template("heads.html.jinja").render(
        data=data,
        css=files["page.css"] + files["heads.css"],
        js=files["heads.js"],
        induction=[] if induction is None else _above(induction),
        induction_score=None if induction is None else induction["name"],
        heads=len(data["scores"][0]["heads"]),
        rows=[(score, _above(score)[:SHOWN], len(_above(score))) for score in data["scores"]],
        most=lambda heads, number: sorted(heads, key=lambda head: -abs(head["value"]))[:number],
        name=lambda head: f"L{head['layer']}H{head['head']}",
        given=lambda value, form: "" if value is None else f"{value:{form}}",
    )


def _above(score: dict[str, Any]) -> list[dict[str, Any]]:
    return sorted((head for head in score["heads"] if head["exceeds"]), key=lambda head: -head["mean"])
