"""What the terminal can show: other characters where its encoding lacks one, and an end where it has been closed."""

from __future__ import annotations

import codecs
import io
import logging
import os
import re
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

__all__ = ["adapted", "close_quietly", "fit", "log_shown", "shows"]

REPLACE = "onset.replace"
"""Name of the error handler that `codecs` knows."""

PLAIN = {
    "→": "->",
    "←": "<-",
    "↔": "<->",
    "±": "+/-",
    "×": "x",
    "·": "*",
    "•": "*",
    "−": "-",
    "–": "-",
    "—": "-",
    "…": "...",
    "⋯": "...",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "≈": "~",
    "≪": "<<",
    "∝": "~",
    "∞": "inf",
    "∈": "in",
    "√": "sqrt",
    "∂": "d",
    "∇": "grad",
    "∫": "integral",
    "∑": "sum",
    "‖": "||",
    "⟨": "<",
    "⟩": ">",
    "✓": "ok",
    "✗": "failed",
    "⁄": "/",
    "─": "-",
    "━": "-",
    "│": "|",
}
"""ASCII for characters that have no better name."""


def _plain(character: str) -> str:
    """ASCII for a character: of a table, by its decomposition, or the name of a Greek letter; else a question mark."""
    if character in PLAIN:
        return PLAIN[character]
    if 0xDC80 <= ord(character) <= 0xDCFF:  # a byte of a file name that is no text
        return f"\\x{ord(character) - 0xDC00:02x}"
    name = unicodedata.name(character, "").split()
    if name[:1] == ["GREEK"] and "LETTER" in name:
        letter = name[name.index("LETTER") + 1].replace("LAMDA", "LAMBDA")
        return letter.capitalize() if "CAPITAL" in name else letter.lower()
    kind, *codes = unicodedata.decomposition(character).split() or [""]
    if not kind.startswith("<"):
        codes = [kind, *codes] if kind else []
    parts = "".join(_plain(part) if ord(part) > 127 else part for part in (chr(int(code, 16)) for code in codes))
    return {"<super>": "^", "<sub>": "_"}.get(kind, "") + parts if parts else "" if "COMBINING" in name else "?"


def _replace(problem: UnicodeError) -> tuple[str, int]:
    if not isinstance(problem, UnicodeEncodeError):
        raise problem
    text = ""
    for character in problem.object[problem.start : problem.end]:
        plain = _plain(character)
        # One mark for all of an exponent or an index: ^-1.
        raised = plain[:1] in ("^", "_") and re.search(r"([\^_])[-\w]+$", text)
        text += plain[1:] if raised and raised[1] == plain[0] else plain
    return text, problem.end


codecs.register_error(REPLACE, _replace)


def fit(text: str) -> str:
    """`text` as standard output shows it."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, REPLACE).decode(encoding)


def shows(characters: str) -> bool:
    """Whether standard output can show these characters."""
    return fit(characters) == characters


class _Lines(logging.Handler):
    """What the library says while it works, as lines on stderr; the stream may change while a bar is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"onset: {record.getMessage()}", file=sys.stderr)


@contextmanager
def log_shown() -> Iterator[None]:
    """Show what the library logs where somebody sees it: on a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    logger, lines = logging.getLogger("onset"), _Lines()
    level = logger.level
    logger.addHandler(lines)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(lines)
        logger.setLevel(level)


@contextmanager
def adapted() -> Iterator[None]:
    """Standard output and error take any character inside, and are flushed at the end, so that errors come to light."""
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, io.TextIOWrapper)]
    before = [(stream, stream.errors) for stream in streams]
    if sys.stdout is None:  # closed by the caller
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    try:
        for stream in streams:
            stream.reconfigure(errors=REPLACE)
        yield
    finally:
        try:
            sys.stdout.flush()
        finally:
            for stream, errors in before:
                with suppress(OSError, ValueError):
                    stream.reconfigure(errors=errors)


def close_quietly(stream: TextIO) -> None:
    """Send what is left in a stream that cannot be written to nowhere, so that Python's end does not complain."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
