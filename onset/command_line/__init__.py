"""The command line. A module per group of commands; heavy packages are imported inside the command that needs them."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

import cyclopts

from onset.command_line import deriving, predicting, training, validating
from onset.command_line.application import app
from onset.validate.errors import ComputationStopped

__all__ = ["deriving", "main", "predicting", "training", "validating"]

OPTIONAL = {"torch": "train", "xarray": "train", "h5netcdf": "train", "h5py": "train", "jinja2": "train"}
"""Packages that may be missing, and the extra that installs each."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line on `arguments` (by default the process's own).

    Bad input prints one sentence on stderr and exits with status 2; a computation that failed or was interrupted exits
    with another non-zero status.
    """
    warnings.formatwarning = lambda message, *_, **__: f"onset: {message}\n"
    try:
        app(sys.argv[1:] if arguments is None else arguments, exit_on_error=False, print_error=False)
    except (ValueError, cyclopts.CycloptsError) as problem:
        _fail(" ".join(str(problem).split()))
    except ModuleNotFoundError as problem:
        if problem.name not in OPTIONAL:
            raise
        extra = OPTIONAL[problem.name]
        _fail(f"this command needs {problem.name}, which is not installed: pip install 'icl-onset[{extra}]'.")
    except MemoryError as problem:
        _fail(f"not enough memory ({problem or 'none left'}): lower the context, the states or the batch.")
    except BrokenPipeError:  # the reader of stdout, such as head, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        print("onset: interrupted; finished results are kept, and the same command resumes.", file=sys.stderr)
        sys.exit(130)
    except ComputationStopped as problem:
        print(f"onset: {problem}", file=sys.stderr)
        sys.exit(1)


def _fail(sentence: str) -> NoReturn:
    print(f"onset: {sentence}", file=sys.stderr)
    sys.exit(2)
