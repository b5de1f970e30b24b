"""Every block of Python in the README and in docs/ runs and prints what the page shows; every command line is valid."""

from __future__ import annotations

import shlex
import sys
import types

import pytest

pytest.importorskip("torch")

from pages import PAGES, ROOT, Block, blocks, difference, execute

from onset.command_line.application import app

PYTHON = [page for page in PAGES if any(block.language == "python" for block in blocks(page))]
SHELL = [page for page in PAGES if any(block.language == "sh" for block in blocks(page))]


def name(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PYTHON, ids=name)
def test_python_prints_what_the_page_shows(page, tmp_path, monkeypatch):
    """Blocks of a page share a namespace and an empty folder; files that a page shows under a name are written to it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setitem(sys.modules, "page", module := types.ModuleType("page"))
    for block in blocks(page):
        if block.language == "python":
            printed = execute(block, page, vars(module))
            if block.output is not None:
                assert (problem := difference(block.output, printed)) is None, f"{page}:{block.line}: {problem}"


def commands(page):
    """Calls of onset in the shell blocks of a page, as lists of words."""
    for block in blocks(page):
        if block.language == "sh":
            for line in block.text.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words and words[0].removeprefix(".venv/bin/") == "onset":
                    yield words[1:]


@pytest.mark.parametrize("page", SHELL, ids=name)
def test_commands_are_valid(page):
    """The application parses each call of onset: the command and all its options exist and have values of their type."""
    for words in commands(page):
        if words != ["--version"]:
            app.parse_args([word for word in words if word != "&"], exit_on_error=False, print_error=False)


def test_outputs_are_compared():
    """Other words and other numbers are seen, rounding is not."""
    assert difference("at step 192\n", "at step 193\n") is None
    assert "the code prints 250" in str(difference("at step 192\n", "at step 250\n"))
    assert "the page shows" in str(difference("at step 192\n", "at stage 192\n"))
    assert "the page shows" in str(difference("at step 192\n", "at step 192\nand more\n"))


def test_blocks_are_found(tmp_path):
    """Language, text, line and output; a text block elsewhere is no output."""
    page = tmp_path / "page.md"
    page.write_text(
        "Text.\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n\nMore.\n\n```sh\nls\n```\n\nAnd\n\n```text\n2\n```\n"
    )
    first, second, third, last = blocks(page)
    assert first == Block("python", "print(1)\n", 3, "1\n")
    assert (second.language, third.language, third.output, last.text) == ("text", "sh", None, "2\n")
