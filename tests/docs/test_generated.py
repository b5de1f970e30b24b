"""What docs/hooks.py adds to the pages: mathematics, the help of commands, the interface."""

from __future__ import annotations

import importlib.util
from html import unescape

import pytest
from pages import ROOT

pytest.importorskip("torch")
pytest.importorskip("mkdocs")
pytest.importorskip("latex2mathml")

import onset
from onset.command_line.application import app


@pytest.fixture(scope="module")
def hooks():
    specification = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    assert specification
    assert specification.loader
    specification.loader.exec_module(module := importlib.util.module_from_spec(specification))
    return module


def test_mathematics_becomes_mathml(hooks):
    """Inline and display; entities of HTML are read; other text is left alone."""
    page = (
        '<p>a <span class="arithmatex">\\(x &lt; y\\)</span> b</p><div class="arithmatex">\\[\n\\frac{a}{b}\n\\]</div>'
    )
    html = unescape(hooks.on_page_content(page))
    assert html.startswith("<p>a <math")
    assert "<mo><</mo>" in html
    assert "<mfrac><mi>a</mi><mi>b</mi></mfrac>" in html.replace("<mrow>", "").replace("</mrow>", "")
    assert 'display="block"' in html
    assert "arithmatex" not in html


def test_every_command_and_option_has_a_place(hooks):
    """Options that commands share stand once."""
    text = hooks.on_page_markdown("Before.\n\n<!-- insert: command-line -->\n")
    for command in app:
        if not command.startswith("-"):
            assert f"## onset {command}\n" in text
    assert text.count("`--learning-rate STR...`") == 1
    assert text.count("`--scheduler STR`") == 1
    assert text.count("`--formation-level FLOAT`") == 3
    assert text.count("(#options-of-setting)") == 5


def test_the_interface_lists_modules_and_names(hooks):
    """Modules that export something, each once, by package; every name of the facade."""
    modules = [module for package in hooks.PACKAGES for room in hooks._rooms(package).values() for module in room]
    assert len(modules) == len(set(modules))
    assert {"onset.theory.setting", "onset.theory.markov.priors", "onset.validate.training"} <= set(modules)
    text = hooks.on_page_markdown("<!-- insert: facade -->")
    assert all(f"`{name}`" in text for name in onset.__all__)


def test_pages_fetch_nothing(hooks):
    """A script or picture from elsewhere stops the build; a link to elsewhere does not."""

    class Page:
        class file:
            src_uri = "page.md"

    hooks.on_post_page('<a href="https://arxiv.org/abs/2402.11004">', page=Page)
    with pytest.raises(hooks.PluginError, match=r"page\.md fetches //cdn"):
        hooks.on_post_page('<script defer src="//cdn.example/x.js">', page=Page)
