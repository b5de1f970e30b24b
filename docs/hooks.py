r"""What mkdocs does beyond Markdown: pages and blocks that are generated, and mathematics as MathML.

- A comment ``<!-- insert: NAME ARGUMENTS -->`` on a line of its own is replaced by what `INSERTS[NAME]` returns.
- Every derivation gets a page, and so does every package of the interface.
- ``$…$`` and ``$$…$$`` become MathML, which browsers show without a script, a font of ours, or the network.
"""

from __future__ import annotations

import ast
import html
import inspect
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]

PACKAGES = {
    "theory": "laws, mean fields, tasks, priors, derivations: numpy, scipy and sympy only",
    "simulate": "sampling, ideal strategies, exact dynamics at finite context: adds numba",
    "validate": "models, training, run files, claims, suites: adds torch",
    "paper": "figures, LaTeX, citations, reports",
}
"""Folders of the interface, in the order of their imports, and what is in them."""


def on_config(config: MkDocsConfig) -> None:
    """Add the generated pages to the navigation, under the headings that `mkdocs.yml` gives them."""
    sections = {title: pages for section in config.nav or [] for title, pages in section.items()}
    sections["Theory"].append({"Derivations": ["theory/derivations.md", *map(_derivation_page, _derivations())]})
    interface: list[Any] = ["reference/index.md", {"onset": "reference/onset.md"}]
    for package in PACKAGES:
        interface.append({package: [{room: _interface_page(room)} for room in _rooms(package)]})
    sections["Reference"].append({"Interface": interface})


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Make the generated pages, and copy the picture of the README."""
    picture = ROOT / "paper" / "ladder.png"
    files.append(File.generated(config, "images/ladder.png", abs_src_path=str(picture)))
    for name in _derivations():
        files.append(File.generated(config, _derivation_page(name), content=f"<!-- insert: derivation {name} -->\n"))
    for package in PACKAGES:
        for room, modules in _rooms(package).items():
            blocks = (f"::: {module}\n" for module in modules)
            files.append(File.generated(config, _interface_page(room), content=f"# {room}\n\n" + "\n".join(blocks)))


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the comments that ask for a generated block."""
    return re.sub(
        r"^<!-- insert: (\S+) ?(.*) -->$", lambda found: INSERTS[found[1]](*found[2].split()), markdown, flags=re.M
    )


def on_page_content(page_html: str, **_: Any) -> str:
    """Replace LaTeX by MathML."""
    return re.sub(
        r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>',
        lambda found: _mathml(html.unescape(found[2]), display=found[1] == "div"),
        page_html,
        flags=re.S,
    )


def on_post_page(output: str, *, page: Any, **_: Any) -> None:
    """Stop if a page would fetch something from elsewhere."""
    if fetched := re.search(r'<(?:script|img|iframe|link)\b[^>]*(?:src|href)="((?:https?:)?//[^"]*)"', output):
        raise PluginError(f"{page.file.src_uri} fetches {fetched[1]}: pages have to work without the network")


def _mathml(latex: str, *, display: bool) -> str:
    spaced = re.sub(r"(?<=[\w)}])\s*\\ln(?![A-Za-z])", r"\\,\\ln", latex.strip())
    mathml = convert(spaced, display="block" if display else "inline")
    return f'<div class="equation">{mathml}</div>' if display else mathml


# Pages of the interface


def _interface_page(room: str) -> str:
    return f"reference/{room}.md"


@cache
def _rooms(package: str) -> dict[str, list[str]]:
    """Packages within `package` by their path, such as ``theory.markov``, with the modules that export something."""
    rooms: dict[str, list[str]] = {}
    for file in sorted((ROOT / package).rglob("*.py"), key=lambda file: (file.parent, file.name)):
        parts = file.relative_to(ROOT).with_suffix("").parts
        if _exports(file):
            module = parts[:-1] if parts[-1] == "__init__" else parts
            rooms.setdefault(".".join(parts[:-1]), []).append(".".join(("onset", *module)))
    return rooms


def _exports(file: Path) -> list[str]:
    """Names in ``__all__``, read without importing the module."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return ast.literal_eval(node.value)
    return []


# Generated blocks


@cache
def _derivations() -> dict[str, str]:
    """Titles of the derivations by name; all checks are attached first, so that each is derived once."""
    from onset.theory.derivations import get, names
    from onset.validate.checks.running import attach_all

    attach_all()
    return {name: get(name).title for name in names()}


def _derivation_page(name: str) -> str:
    return f"theory/derivations/{name}.md"


def _derivation(name: str) -> str:
    """A derivation with its symbols, assumptions, steps, validity and checks."""
    from onset.paper.markdown import derivation

    return derivation(name, level=1)


def _statement(name: str) -> str:
    """The statement of a derivation with the meaning of its symbols, and a link to the rest."""
    from onset.theory.derivations import get
    from onset.theory.derivations.printing import latex

    derivation = get(name)
    symbols = {symbol: meaning for symbol, meaning in derivation.symbols.items() if derivation.statement.has(symbol)}
    where = "; ".join(f"${latex(symbol)}$: {meaning}" for symbol, meaning in symbols.items())
    link = f"Derivation: [{derivation.title}](derivations/{name}.md)."
    return f"$$\n{derivation.latex()}\n$$\n\n{where}. {link}\n{{ .where }}"


def _table_of_derivations() -> str:
    rows = (f"| [`{name}`](derivations/{name}.md) | {title} |" for name, title in _derivations().items())
    return "\n".join(("| name | result |", "|---|---|", *rows))


def _facade() -> str:
    """Names of the facade, the first sentence of each, and a link to where it is described."""
    import onset

    rows = ["| name | what it does |", "|---|---|"]
    for name in onset.__all__:
        value = getattr(onset, name)
        if inspect.isclass(value) or inspect.isfunction(inspect.unwrap(value)):
            target = f"[{value.__module__}.{value.__qualname__}]" if name != "main" else "(command-line.md)"
            summary = " ".join((inspect.getdoc(value) or "").partition("\n\n")[0].split())
            rows.append(f"| [`{name}`]{target} | {summary} |")
        else:
            rows.append(f"| `{name}` | {value} |")
    return "\n".join(rows)


def _claims() -> str:
    from onset.validate.claims import CLAIMS

    rows = (f"| `{claim.id}` | {claim.statement} | {claim.source} |" for claim in CLAIMS.values())
    return "\n".join(("| claim | statement | source |", "|---|---|---|", *rows))


def _command_line() -> str:
    """Help of every command; options of a setting and of computing, which many commands share, stand at the end."""
    from onset.command_line.application import app

    text = app.generate_docs(output_format="markdown")
    text = re.sub(r" \*\[default: (False|\(\))\]\*", "", text[text.index("**Commands**") :])
    shared: dict[str, str] = {}

    def link(found: re.Match[str]) -> str:
        shared[found[1]] = found[2].strip()
        return f"\nand [options of {found[1].lower()}](#options-of-{found[1].lower()}).\n"

    text = re.sub(r"\n\*\*(Setting|Computing)\*\*:\n\n((?:\w.*\n\n)?(?:[* ].*\n?)+)", link, text)
    groups = (f"## Options of {group.lower()}\n\n{options}" for group, options in sorted(shared.items()))
    return "\n\n".join((text, *groups))


def _changelog() -> str:
    return (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


INSERTS: dict[str, Callable[..., str]] = {
    "changelog": _changelog,
    "claims": _claims,
    "command-line": _command_line,
    "derivation": _derivation,
    "facade": _facade,
    "derivations": _table_of_derivations,
    "statement": _statement,
}
"""Generated blocks by the name that a page's comment gives."""
