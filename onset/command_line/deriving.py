"""Commands about derivations: derive, cite."""

from __future__ import annotations

import sys
from typing import Annotated

from onset.command_line.application import Flag, Json, app
from onset.command_line.checked import OptionalFolder, one_of, text
from onset.command_line.progress import progress
from onset.command_line.tables import list_derivations, print_json, show_derivations

__all__ = ["cite", "derive"]


@app.command
def derive(
    *names: Annotated[str, text(one_of("onset.theory.derivations:names"), called="derivation")],
    check: Flag = False,
    latex: OptionalFolder = None,
    json_: Json = False,
) -> None:
    """List derivations, show or check some, or write them as LaTeX. Exit status 1 if a check fails, or none has run.

    Parameters
    ----------
    names
        Which derivations; without names all are listed, checked or written.
    check
        Run their checks; results are remembered until the code changes.
    latex
        Write one .tex file per derivation into this folder; without names also derivations.tex with all
        and references.bib.
    json_
        Print JSON.
    """
    from onset.theory import derivations

    if not (names or check or json_) and latex is None:
        return _list()
    from onset.validate.checks import running as checks

    chosen = list(dict.fromkeys(names))
    attached = checks.attach_all()
    checked, broken = [], list(attached.broken)
    with progress("checking", quiet=json_ or not check) as advance:
        for name in chosen or derivations.names():
            try:
                checked.append(checks.run(name, advance) if check else checks.recall(name))
            except Exception as problem:  # one derivation that cannot be built leaves the others readable
                broken.append(f"{name} cannot be derived: {type(problem).__name__}: {problem}")
    files = []
    if latex is not None and checked:
        from onset.paper import latex as pages

        files = pages.write(checked, latex, together=not names)
    if json_:
        from onset.command_line.derivation_text import to_dict

        data = {"derivations": [to_dict(derived) for derived in checked], "skipped": attached.skipped, "broken": broken}
        print_json(data | ({} if latex is None else {"files": [str(file) for file in files]}))
    else:
        show_derivations(checked, ran=check, whole=bool(chosen) and latex is None)
        for file in files:
            print(file)
        for note in (*attached.skipped, *broken):
            print(f"onset: {' '.join(note.split())}", file=sys.stderr)
    ran = {result.passed for derived in checked for result in derived.results} - {None}
    if broken or (check and ran != {True}):
        sys.exit(1)
    return None


def _list() -> None:
    """Names, titles and remembered status of all derivations; only those from elsewhere are derived."""
    from onset.theory import derivations
    from onset.validate.store import check_results

    rows, broken = [], []
    for name in derivations.names():
        try:
            known = None if derivations.is_own(name) else check_results.recalled_status(name)
            rows.append((name, derivations.title(name), _status(name) if known is None else known))
        except Exception as problem:  # as above
            broken.append(f"{name} cannot be derived: {type(problem).__name__}: {problem}")
    list_derivations(rows)
    for note in broken:
        print(f"onset: {' '.join(note.split())}", file=sys.stderr)
    if broken:
        sys.exit(1)


def _status(name: str) -> str:
    from onset.validate.checks import running

    return running.recall(name).summary


@app.command
def cite(
    *names: Annotated[str, text(one_of("onset.paper.citation:citable"), called="derivation or command")],
    json_: Json = False,
) -> None:
    """Print the BibTeX entries behind derivations and commands.

    Parameters
    ----------
    names
        Derivations or commands; without names everything the project cites, its own entry first.
    json_
        Print JSON.
    """
    from onset.paper.citation import cited

    entries = cited(names)
    if json_:
        return print_json({"entries": [{"key": key, "bibtex": entry} for key, entry in entries.items()]})
    print("\n\n".join(entries.values()))
    return None
