"""Errors that are neither bad input nor faults of the program."""

from __future__ import annotations

__all__ = ["ComputationStopped"]


class ComputationStopped(Exception):
    """A computation that cannot continue although its input is valid: a full disk, a scheduler that is gone.

    The message says in one sentence why, what is kept and how to resume. The command line prints it and exits with
    status 1.
    """
