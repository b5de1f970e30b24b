"""Every block of Python in the README and in docs/ runs and prints what the page shows; every command line is valid."""

from __future__ import annotations

import pkgutil
import re
import shlex
import sys
import types
from contextlib import ExitStack
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import pytest

pytest.importorskip("torch")

from pages import PAGES, ROOT, Block, blocks, difference, execute

from onset.command_line.application import app
from onset.simulate.tasks import SAMPLERS
from onset.theory import derivations
from onset.theory.markov.priors import PRIORS
from onset.theory.tasks import TASKS
from onset.validate.claims import CLAIMS

PYTHON = [page for page in PAGES if any(block.language == "python" for block in blocks(page))]
INLINE = re.compile(r"`(onset [a-z]+\s[^`]*)`")
"""A call of onset within a sentence or table."""


def name(page):
    return str(page.relative_to(ROOT))


@pytest.fixture
def registries():
    """What a page registers is forgotten after it."""
    with ExitStack() as stack:
        for registry in (CLAIMS, PRIORS, SAMPLERS, TASKS, derivations._REGISTERED):
            stack.enter_context(patch.dict(registry))
        yield
    derivations.get.cache_clear()


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize("page", PYTHON, ids=name)
def test_python_prints_what_the_page_shows(page, tmp_path, monkeypatch):
    """Blocks of a page share a namespace and an empty folder; a page says which package it needs besides."""
    for package in re.findall(r"<!-- needs: (\w+) -->", page.read_text(encoding="utf-8")):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setitem(sys.modules, "page", module := types.ModuleType("page"))
    for block in blocks(page):
        if block.language == "python":
            printed = execute(block, page, vars(module))
            if block.output is not None:
                assert (problem := difference(block.output, printed)) is None, f"{page}:{block.line}: {problem}"


def commands(page):
    """Calls of onset in the shell blocks of a page and within its text, as lists of words."""
    shell = [block.text.replace("\\\n", " ") for block in blocks(page) if block.language == "sh"]
    inline = [call.replace("\n", " ") for call in INLINE.findall(page.read_text(encoding="utf-8"))]
    for line in "\n".join(shell + inline).splitlines():
        words = [word for word in shlex.split(line, comments=True) if word != "&"]
        if words and words[0].removeprefix(".venv/bin/") == "onset":
            yield words[1:]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_are_valid(page, tmp_path, monkeypatch):
    """The application parses each call: the command and all its options exist and have values of their type.

    The files that a call reads are there, and so are claims that the page registers.
    """
    monkeypatch.chdir(tmp_path)
    for claim in re.findall(r'\bid="([\w-]+)"', page.read_text(encoding="utf-8")):
        monkeypatch.setitem(CLAIMS, claim, None)
    for words in commands(page):
        for option, value in pairwise(words):
            if option in ("--setting", "--results", "--readme", "--peer", "--text", "--over"):
                Path(value).parent.mkdir(parents=True, exist_ok=True)
                Path(value).touch()
        if words != ["--version"]:
            app.parse_args(words, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_names_and_files_exist(page):
    """Modules, functions and files of the project that a page names in its text."""
    text = page.read_text(encoding="utf-8")
    for dotted in re.findall(r"`(onset(?:\.\w+)+)`", text):
        pkgutil.resolve_name(dotted)
    for file in re.findall(r"`((?:theory|simulate|validate|paper|onset|tests|docs)/[\w/.]*)`", text):
        assert (ROOT / file).exists(), f"{page} names {file}"


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
