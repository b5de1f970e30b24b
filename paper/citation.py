"""References as BibTeX: ``references.bib``, and the project's own entry from CITATION.cff."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pybtex import PybtexEngine
from pybtex.database import BibliographyData, Entry, Person, parse_file

from onset.theory import arguments
from onset.theory.derivations import get, names

__all__ = ["OWN", "USES", "bibliography", "citable", "cited", "entry", "own_entry", "plain_references", "references"]

OWN = "onset"
"""Key of the project's own entry."""

_MODEL = ("edelman2024evolution", "olsson2022context")
_CHAINS = ("grassmann1985regenerative", "chan1999volume")
_EXPECTATIONS = ("owen1998scrambling", "deville1992calibration")
_OPTIMISERS = ("kingma2014adam", "loshchilov2017decoupled")
_ALL = (*_MODEL, *_CHAINS, *_EXPECTATIONS, *_OPTIMISERS, "hesterberg2015teachers")

USES: dict[str, tuple[str, ...]] = {
    "predict": (*_MODEL, *_CHAINS, *_EXPECTATIONS, "kingma2014adam"),
    "simulate": (*_MODEL, *_CHAINS),
    "train": (*_MODEL, *_CHAINS, *_OPTIMISERS, "hesterberg2015teachers"),
    **dict.fromkeys(("validate", "figures", "report"), _ALL),
}
"""References of each command, some only for certain priors and optimisers. A derivation names its own."""


@cache
def references() -> BibliographyData:
    """All entries of ``references.bib``."""
    return parse_file(str(Path(__file__).parent / "references.bib"))


def entry(key: str) -> str:
    """BibTeX of the reference `key`."""
    known = references().entries
    return BibliographyData({key: known[arguments.one_of("reference", key, known)]}).to_string("bibtex").strip()


def citable() -> set[str]:
    """Derivations and commands that cite something."""
    return {*names(), *USES}


def cited(by: Iterable[str] = ()) -> dict[str, str]:
    """BibTeX by key that the derivations and commands `by` cite; by default all, the project's own entry first."""
    chosen = list(by)
    for name in chosen:
        arguments.one_of("derivation or command", name, citable())
    keys = [key for name in chosen or (*USES, *names()) for key in (USES.get(name) or get(name).references)]
    return ({} if chosen else {OWN: own_entry()}) | {key: entry(key) for key in keys}


def bibliography(keys: Sequence[str]) -> str:
    """LaTeX's environment `thebibliography` with the references `keys`, in that order; empty without any."""
    return _formatted(keys, "latex")


def plain_references(keys: Sequence[str]) -> list[str]:
    """The references `keys` as plain text, one string each: authors, title, where published."""
    return [line.partition("] ")[2] for line in _formatted(keys, "plaintext").splitlines()]


def _formatted(keys: Sequence[str], backend: str) -> str:
    text = "\n\n".join(entry(key) for key in keys)
    return PybtexEngine().format_from_string(text, "unsrt", keys, output_backend=backend) if keys else ""


def own_entry(path: Path = Path(__file__).parent / "CITATION.cff") -> str:
    """BibTeX of the project, from its CITATION.cff.

    Raises
    ------
    ValueError
        If the file is missing or lacks what an entry needs.
    """
    try:
        data: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # all strings
        authors = [Person(_person(author)) for author in data["authors"]]
        fields = {"title": data["title"], "howpublished": f"Software, Version {data['version']}, {data['license']}"}
    except OSError as problem:
        raise ValueError(
            f"{path}: cannot be read ({problem.strerror}); it stands beside pyproject.toml in the sources: "
            "run from a clone, or install with pip install -e."
        ) from problem
    except (KeyError, TypeError, yaml.YAMLError) as problem:
        raise ValueError(
            f"{path}: expected YAML with title, version, license and authors ({problem}); add what is missing."
        ) from problem
    fields |= {name: data[key] for key, name in (("repository-code", "url"), ("doi", "doi")) if key in data}
    if "date-released" in data:
        fields["year"] = data["date-released"][:4]
    return BibliographyData({OWN: Entry("misc", fields, {"author": authors})}).to_string("bibtex").strip()


def _person(author: dict[str, str]) -> str:
    return f"{{{author['name']}}}" if "name" in author else f"{author['family-names']}, {author['given-names']}"
