"""Mutation testing: small random errors in theory/ and simulate/, and whether a test notices each of them.

A mutant changes one operator or number. The tests that run the changed line are run, the quickest first, until one
fails; a mutant that none notices survives. The score is the share of mutants that do not survive.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from covering import COVERAGE, Covering, record
from mutants import CONSTANTS, OPERATORS, Mutant, equivalents, mutant_at, places
from running import enter, failing, try_mutant
from scipy.stats import binomtest

ROOT = Path(__file__).parents[2]
OUT = ROOT / "out" / "mutation"
TESTS = ["tests/theory", "tests/simulate"]


def main() -> None:
    options = _options()
    if options.record or not (OUT / COVERAGE).exists():
        record(ROOT, OUT, options.tests, options.workers)
    covering = Covering(ROOT, OUT)
    constants = options.constants is not None
    operators = CONSTANTS if constants else OPERATORS
    chosen, skipped = _sample(
        options.paths, options.number, options.seed, options.since, operators, options.constants or []
    )
    file = OUT / f"{'constants' if constants else 'seed'}-{options.seed}.json"
    sources, tests = _fingerprint("theory", "simulate", "validate"), _fingerprint("tests", str(OUT / COVERAGE))
    results = _earlier(file, chosen, sources, tests)
    jobs = [(mutant, covering.tests(mutant.path, mutant.line)) for mutant in chosen if mutant.id not in results]
    print(
        f"{len(chosen)} mutants, {len(chosen) - len(jobs)} tried before; results in {file.relative_to(ROOT)}",
        flush=True,
    )
    for mutant, result in _tried(jobs, options.workers, options.limit):
        results[mutant.id] = mutant.to_dict() | result
        print(
            f"{len(results):4} of {len(chosen)} {result['outcome']:8} {result['seconds']:5.0f} s  {mutant}", flush=True
        )
        entries = [results[m.id] for m in chosen if m.id in results]
        _write(file, {"sources": sources, "tests": tests} | _score(entries) | {"mutants": entries})
    _report(chosen, results, skipped)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutate", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--number", type=int, default=100, help="mutants in the sample (100)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (0); a sample is resumed where it ended")
    parser.add_argument("--paths", nargs="+", default=["theory", "simulate"], help="files or folders (theory simulate)")
    parser.add_argument("--since", metavar="REVISION", help="mutants of files changed since this revision come first")
    parser.add_argument(
        "--constants",
        nargs="*",
        metavar="NAME",
        help="double and halve module constants, these or all, in place of all other changes",
    )
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes, each in a copy (all cores)"
    )
    parser.add_argument("--limit", type=float, default=120.0, help="seconds of tests per mutant, as recorded (120)")
    parser.add_argument("--tests", nargs="+", default=TESTS, help="tests to record (tests/theory tests/simulate)")
    parser.add_argument(
        "--record", action="store_true", help="record which lines --tests run, and keep what is known of others"
    )
    return parser.parse_args()


def _sample(
    paths: list[str], number: int, seed: int, since: str | None, operators: tuple[str, ...], names: list[str]
) -> tuple[list[Mutant], list[Mutant]]:
    """Mutants in the order in which they are tried, and the equivalent ones among those drawn.

    Where there are `names`, only lines that begin with one of them are changed.
    """
    files = sorted({str(file.relative_to(ROOT)) for path in paths for file in _python_files(ROOT / path)})
    if not files:
        raise SystemExit(f"--paths = {' '.join(paths)}: expected files or folders with Python files.")
    changed = set()
    if since is not None:
        command = ["git", "diff", "--name-only", since, "--", *paths]
        changed = set(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split())
    found = [place for file in files for place in places(ROOT, file, operators)]
    order = np.random.default_rng(seed).permutation(len(found))
    drawn = sorted((found[place] for place in order), key=lambda place: place[0] not in changed)
    known, chosen, skipped = equivalents(), [], []
    for place in drawn:
        if len(chosen) == number:
            break
        mutant = mutant_at(ROOT, *place)
        if mutant is not None and (not names or re.split(r"\W", mutant.before)[0] in names):
            (skipped if (mutant.path, mutant.before, mutant.after) in known else chosen).append(mutant)
    return chosen, skipped


def _python_files(path: Path) -> Iterator[Path]:
    return iter([path]) if path.suffix == ".py" else path.rglob("*.py")


def _fingerprint(*paths: str) -> str:
    """Of files, and of the Python files below folders."""
    digest = hashlib.sha256()
    for path in paths:
        for file in [ROOT / path] if (ROOT / path).is_file() else sorted((ROOT / path).rglob("*.py")):
            digest.update(str(file).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _earlier(file: Path, chosen: list[Mutant], sources: str, tests: str) -> dict[str, dict[str, Any]]:
    """Results of an earlier run on the same sources; survivors are tried again with other tests."""
    if not file.exists() or (stored := json.loads(file.read_text(encoding="utf-8")))["sources"] != sources:
        return {}
    found = {f"{entry['path']} {entry['operator']} {entry['occurrence']}": entry for entry in stored["mutants"]}
    kept = {name for name, entry in found.items() if entry["outcome"] == "killed" or stored["tests"] == tests}
    return {mutant.id: found[mutant.id] for mutant in chosen if mutant.id in kept}


def _tried(jobs: list[Any], workers: int, limit: float) -> Iterator[tuple[Mutant, dict[str, Any]]]:
    """Results as they come; each process works in a copy of the repository."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        copies = get_context("spawn").Queue()
        ignore = shutil.ignore_patterns(".git", ".venv", "out", "build", "__pycache__", "*.egg-info", ".*_cache")
        for worker in range(workers):
            copy = Path(folder) / str(worker) / "repository"
            shutil.copytree(ROOT, copy, symlinks=True, ignore=ignore)
            copies.put(str(copy))
        context = get_context("spawn")
        with ProcessPoolExecutor(workers, context, initializer=enter, initargs=(copies,)) as pool:
            pending = {pool.submit(try_mutant, mutant, tests, limit): mutant for mutant, tests in jobs}
            found = set()
            for done in as_completed(pending):
                found.add(done.result()["by"])
                yield pending[done], done.result()
            if wrong := pool.submit(failing, sorted(test for test in found if test and "::" in test)).result():
                raise SystemExit(f"these tests fail in a copy without any mutant, so that they show nothing: {wrong}")


def _write(file: Path, data: dict[str, Any]) -> None:
    part = file.with_suffix(".part")
    part.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    part.replace(file)


def _score(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Share of mutants that were noticed, with its 95% interval (Wilson)."""
    killed = sum(entry["outcome"] == "killed" for entry in entries)
    interval = binomtest(killed, len(entries)).proportion_ci(method="wilson")
    return {"killed": killed, "tried": len(entries), "score": killed / len(entries), "interval_95": list(interval)}


def _report(chosen: list[Mutant], results: dict[str, dict[str, Any]], skipped: list[Mutant]) -> None:
    entries = [results[mutant.id] for mutant in chosen]
    for entry in entries:
        if entry["outcome"] != "killed":
            names = [f"a/{entry['path']}", f"b/{entry['path']}"]
            lines = difflib.unified_diff([entry["before"]], [entry["after"]], *names, lineterm="", n=0)
            print(f"\nsurvived {entry['tests']} tests ({entry['left']} slower ones not run), line {entry['line']}")
            print("\n".join(lines))
    for mutant in skipped:
        print(f"\nequivalent: {mutant}\n  {equivalents()[mutant.path, mutant.before, mutant.after]}")
    for folder, group in sorted(Counter(str(Path(e["path"]).parent) for e in entries).items()):
        killed = sum(e["outcome"] == "killed" for e in entries if str(Path(e["path"]).parent) == folder)
        print(f"{folder:32} {killed:4} of {group}")
    score = _score(entries)
    low, high = (f"{100 * end:.0f}" for end in score["interval_95"])
    print(f"score {100 * score['score']:.0f}% [{low}, {high}] of {score['tried']} mutants")


if __name__ == "__main__":
    main()
