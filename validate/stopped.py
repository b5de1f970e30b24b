"""What keeps a call from going on although nothing is wrong with its input: a full disk, a scheduler that is gone."""

from __future__ import annotations

__all__ = ["Stopped"]


class Stopped(Exception):
    """Work cannot go on. The message says in one sentence why, what is kept and how to go on; the command line prints it and exits with status 1."""
