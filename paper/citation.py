"""BibTeX as plain fields, and the project's own entry from CITATION.cff."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from onset.theory import arguments
from onset.theory.derivations import get, names
from onset.theory.derivations.references import REFERENCES, USES

__all__ = ["OWN", "cited", "fields", "readable"]

OWN = "onset"
"""Key of the project's own entry."""

_CFF = Path(__file__).parent / "CITATION.cff"
_LINE = re.compile(r"^( *(?:- )?)([\w-]+):\s*(.*?)\s*$")


def cited(of: Iterable[str] = ()) -> dict[str, str]:
    """BibTeX by key of what the derivations and commands named `of` rest on; by default of all, the project's own first."""
    chosen = list(of)
    known = {*names(), *USES}
    for name in chosen:
        arguments.one_of("derivation or command", name, known)
    keys = [
        key for name in chosen or (*USES, *names()) for key in (USES[name] if name in USES else get(name).references)
    ]
    for key in keys:
        arguments.one_of("reference", key, REFERENCES)
    own = {} if chosen else {OWN: own_entry()}
    return own | {key: REFERENCES[key] for key in keys}


def own_entry(path: Path = _CFF) -> str:
    """BibTeX of the project, from its CITATION.cff.

    Raises
    ------
    ValueError
        If the file is missing or lacks what an entry needs.
    """
    try:
        top, authors = _parse(path.read_text(encoding="utf-8"))
        lines = [f"author = {{{' and '.join(_person(author) for author in authors)}}}", f"title = {{{top['title']}}}"]
        note = f"Version {top['version']}, {top['license']}"
    except OSError as problem:
        raise ValueError(
            f"{path}: cannot be read ({problem.strerror}); it stands beside pyproject.toml in the sources: run from a clone, or install with pip install -e."
        ) from problem
    except KeyError as problem:
        raise ValueError(
            f"{path}: expected title, version, license and authors on one line each, found no {problem}; add it."
        ) from problem
    lines.append(f"howpublished = {{Software, {note}}}")
    for key, field in (("repository-code", "url"), ("doi", "doi")):
        if key in top:
            lines.append(f"{field} = {{{top[key]}}}")
    if released := re.match(r"\d{4}", top.get("date-released", "")):
        lines.append(f"year = {{{released[0]}}}")
    return "@misc{" + OWN + ",\n  " + ",\n  ".join(lines) + "\n}"


def fields(entry: str) -> dict[str, str]:
    """The fields of a BibTeX entry, values in braces or quotes without them, and its ``key`` and ``type``."""
    head = re.match(r"\s*@(\w+)\s*\{\s*([^,\s]+)\s*,", entry)
    if head is None:
        raise ValueError(f"BibTeX entry = {entry[:40]!r}: expected @type{{key, field = {{value}}, …}}; write it so.")
    found, at = {"type": head[1], "key": head[2]}, head.end()
    while name := re.compile(r"[\s,]*([\w-]+)\s*=\s*").match(entry, at):
        end = _value_end(entry, name.end())
        found[name[1].lower()] = entry[name.end() : end].strip().strip('"').removeprefix("{").removesuffix("}")
        at = end
    return found


def readable(entry: str) -> str:
    """A BibTeX entry as one sentence of LaTeX."""
    known = fields(entry)
    authors = [_forename_first(author) for author in re.split(r"\s+and\s+", known.get("author", ""))]
    where = known.get("journal") or known.get("booktitle") or known.get("publisher") or known.get("howpublished") or ""
    if "volume" in known:
        where += f" {known['volume']}" + (f" ({known['number']})" if "number" in known else "")
    parts = [
        ", ".join(authors),
        f"\\emph{{{known.get('title', '')}}}",
        where,
        known.get("pages", ""),
        known.get("year", ""),
    ]
    return ", ".join(filter(None, parts)).replace(", et al.,", " et al.,") + "."


def _parse(text: str) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Top-level scalars and the top-level authors of a CITATION.cff, the part of YAML that such files use."""
    top: dict[str, str] = {}
    authors: list[dict[str, str]] = []
    section = ""
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        indent, key, value = match[1], match[2], match[3].strip("\"'")
        if not indent:
            section = key
            if value:
                top[key] = value
        elif section == "authors":
            if indent.endswith("- "):
                authors.append({})
            authors[-1][key] = value
    if not authors:
        raise KeyError("authors")
    return top, authors


def _person(author: dict[str, str]) -> str:
    return f"{{{author['name']}}}" if "name" in author else f"{author['family-names']}, {author['given-names']}"


def _forename_first(author: str) -> str:
    if author == "others":
        return "et al."
    family, _, given = author.partition(", ")
    return f"{given} {family}".strip()


def _value_end(text: str, at: int) -> int:
    """Where the value that begins at `at` ends: at the comma or brace that closes it."""
    depth, quoted = 0, False
    for here in range(at, len(text)):
        char = text[here]
        quoted ^= char == '"' and not depth
        if not quoted and not depth and char in ",}":
            return here
        depth += (char == "{") - (char == "}")
    return len(text)
