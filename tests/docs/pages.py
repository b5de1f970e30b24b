"""Code blocks of the README and of the pages in docs/."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import NamedTuple

__all__ = ["PAGES", "ROOT", "Block", "blocks", "difference", "execute"]

ROOT = Path(__file__).parents[2]

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

FENCE = re.compile(r"^( *)```(\w+)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)

NUMBER = re.compile(r"(?<![\w.])[-+−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")

TOLERANCE = 0.03
"""Relative difference of printed numbers that other processors and library versions may cause."""


class Block(NamedTuple):
    """A fenced block: language, text, line in the page, and the text block that follows it directly, if any."""

    language: str
    text: str
    line: int
    output: str | None


def blocks(page: Path) -> list[Block]:
    """Fenced blocks of a page, in order; a text block after another one is its expected output."""
    text = page.read_text(encoding="utf-8")
    fences = list(FENCE.finditer(text))
    found = []
    for fence, following in zip(fences, [*fences[1:], None], strict=False):
        output = None
        if following and following[2] == "text" and not text[fence.end() : following.start()].strip():
            output = following[3]
        found.append(Block(fence[2], fence[3], text.count("\n", 0, fence.start()) + 1, output))
    return found


def execute(block: Block, page: Path, namespace: dict[str, object]) -> str:
    """Run a block of Python in `namespace`; return what it prints. An error names the page's line."""
    source = "\n" * block.line + block.text
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(source, str(page), "exec"), namespace)
    return printed.getvalue()


def difference(expected: str, printed: str) -> str | None:
    """What differs between two outputs, None if nothing: words exactly, numbers by more than `TOLERANCE`."""
    words = [[NUMBER.sub("#", line).split() for line in text.strip().splitlines()] for text in (expected, printed)]
    if words[0] != words[1]:
        return f"the page shows\n{expected}\nbut the code prints\n{printed}"
    numbers = [[float(n.replace("−", "-")) for n in NUMBER.findall(text)] for text in (expected, printed)]
    for shown, new in zip(*numbers, strict=True):
        if abs(shown - new) > TOLERANCE * max(abs(shown), abs(new)):
            return f"the page shows {shown:g}, the code prints {new:g}, in\n{printed}"
    return None
