"""Commands about derivations: derive, cite."""

from __future__ import annotations

import sys
from pathlib import Path

from onset.command_line.application import Flag, Json, app
from onset.command_line.progress import progress
from onset.command_line.tables import print_json, show_derivations

__all__ = ["cite", "derive"]


@app.command
def derive(*names: str, check: Flag = False, latex: Path | None = None, json_: Json = False) -> None:
    """List derivations, show or check some, or write them as LaTeX. Exit status 1 if a check fails.

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
    from onset.theory import arguments, derivations
    from onset.validate.checks import running as checks

    chosen = [arguments.one_of("derivation", name, derivations.names()) for name in dict.fromkeys(names)]
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
    if broken or (check and any(derived.passed is False for derived in checked)):
        sys.exit(1)


@app.command
def cite(*names: str, json_: Json = False) -> None:
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
