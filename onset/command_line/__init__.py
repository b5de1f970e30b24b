"""The command line. A module per group of commands; heavy packages are imported inside the command that needs them."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

import cyclopts

from onset.command_line import deriving, inspecting, predicting, terminal, training, validating
from onset.command_line.application import app
from onset.validate.errors import ComputationStopped

__all__ = ["deriving", "inspecting", "main", "predicting", "training", "validating"]

OPTIONAL: dict[str | None, str] = dict.fromkeys(
    ("torch", "xarray", "h5netcdf", "h5py", "filelock", "safetensors"), "train"
)
OPTIONAL |= dict.fromkeys(("transformers", "tokenizers", "gguf", "accelerate"), "lm")
"""Packages that may be missing, and the extra that installs each."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line on `arguments` (by default the process's own).

    Bad input prints one sentence on stderr and exits with status 2; a computation that failed or was interrupted exits
    with another non-zero status.
    """
    warnings.formatwarning = lambda message, *_, **__: f"onset: {message}\n"
    try:
        with terminal.adapted(), terminal.log_shown():
            _run(sys.argv[1:] if arguments is None else arguments)
    except BrokenPipeError:  # the reader of stdout, such as head, has closed it
        terminal.close_quietly(sys.stdout)
        sys.exit(1)
    except OSError as problem:  # among others, stdout is on a full disk
        terminal.close_quietly(sys.stdout)
        print(f"onset: {problem.filename or 'output'} cannot be written or read ({problem.strerror}).", file=sys.stderr)
        sys.exit(1)


def _run(words: Sequence[str]) -> None:
    try:
        app(words, exit_on_error=False, print_error=False)
    except ValueError as problem:
        _fail(_as_given(problem, words))
    except cyclopts.CycloptsError as problem:  # of which a check's own sentence may be the cause
        _fail(_as_given(problem.__cause__ if isinstance(problem.__cause__, ValueError) else problem, words))
    except ModuleNotFoundError as problem:
        if problem.name not in OPTIONAL:
            raise
        extra = OPTIONAL[problem.name]
        _fail(f"this command needs {problem.name}, which is not installed: pip install 'icl-onset[{extra}]'.")
    except MemoryError as problem:
        _fail(f"not enough memory ({problem or 'none left'}): lower the context, the states or the batch.")
    except KeyboardInterrupt:
        print("onset: interrupted; finished results are kept, and the same command resumes.", file=sys.stderr)
        sys.exit(130)
    except ComputationStopped as problem:
        print(f"onset: {problem}", file=sys.stderr)
        sys.exit(1)


def _as_given(problem: BaseException, words: Sequence[str]) -> str:
    """The sentence of a problem with options named as they were given: ``--learning-rate`` for ``learning_rate``."""
    sentence = " ".join(str(problem).split())
    if sentence.startswith(("setting file", "sweep file")):  # it is about entries of the file
        return sentence
    for option in {word.partition("=")[0] for word in words if re.match("--[a-z]", word)}:
        name = re.sub("[-_]", "[-_]", option[2:])
        sentence = re.sub(rf"(?<![\w-]){name}\[(\w+)\]", rf"{option} \1", sentence)
        sentence = re.sub(rf"(?<![\w-]){name}(?=( \w+)?( of [^=:;]*)? = | has no | lacks )", option, sentence)
    return sentence


def _fail(sentence: str) -> NoReturn:
    print(f"onset: {sentence}", file=sys.stderr)
    sys.exit(2)
