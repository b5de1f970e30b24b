r"""Prose with mathematics between dollar signs and code between backquotes: as LaTeX, and as text for a terminal.

Examples
--------
>>> to_latex("5% of runs with $k \\ge 2$, `limit_loss`")
'5\\% of runs with $k \\ge 2$, \\nolinkurl{limit_loss}'
>>> to_text("5% of runs with $k \\ge 2$, `limit_loss`")
'5% of runs with k ≥ 2, `limit_loss`'
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from pylatexenc import latex2text, latexencode

__all__ = ["escape", "to_ascii", "to_latex", "to_text"]

_PART = re.compile(r"\$([^$]*)\$|`([^`]*)`")
_SIMPLER = (
    (r"\\operatorname\b", r"\\mathrm"),
    (r"\\[td]frac\b", r"\\frac"),
    (r"\^(\\top\b|\{\\top\})", "{}ᵀ"),
    (r"\\(left|right)\b\.?", ""),
    (r" (?=\\)", r"\\ "),
)
"""Macros that the converter lacks, and a space that it would drop."""

_EXPONENTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

_POLICY: dict[str, Any] = {"unknown_char_policy": "replace", "unknown_char_warning": False}
_ENCODER = latexencode.UnicodeToLatexEncoder(**_POLICY)
_NON_ASCII = latexencode.UnicodeToLatexEncoder(non_ascii_only=True, **_POLICY)


def to_latex(text: str) -> str:
    """LaTeX of `text`, in ASCII; what stands outside dollar signs is escaped, whatever it is."""
    parts, end = [], 0
    for part in _PART.finditer(text):
        parts += [escape(text[end : part.start()]), to_ascii(part[0]) if part[2] is None else _code(part[2])]
        end = part.end()
    return "".join([*parts, escape(text[end:])])


def to_ascii(mathematics: str) -> str:
    """LaTeX with the Unicode characters of a formula as commands."""
    return _NON_ASCII.unicode_to_latex(mathematics)


def _code(name: str) -> str:
    """A name as code, which may break at its dots."""
    return f"\\nolinkurl{{{name}}}" if re.fullmatch(r"[\w.]+", name, re.ASCII) else f"\\texttt{{{escape(name)}}}"


def escape(text: str) -> str:
    """LaTeX that prints `text` as it stands; characters that it cannot print become question marks."""
    return _ENCODER.unicode_to_latex("".join(char if char.isprintable() else " " for char in text))


def to_text(text: str) -> str:
    """`text` with its mathematics in Unicode."""
    return re.sub(r"\$([^$]*)\$", lambda part: _unicode(part[1]), text)


def _unicode(mathematics: str) -> str:
    for pattern, plain in _SIMPLER:
        mathematics = re.sub(pattern, plain, mathematics)
    text = _converter().latex_to_text(mathematics)
    return re.sub(r"\^\{?(-?\d+)(?:\}|(?![\d.]))", lambda power: power[1].translate(_EXPONENTS), text)


@cache
def _converter() -> latex2text.LatexNodes2Text:
    known = latex2text.get_default_latex_context_db()
    known.add_context_category("fractions", macros=[latex2text.MacroTextSpec("frac", "(%s)/(%s)")], prepend=True)
    return latex2text.LatexNodes2Text(
        latex_context=known, keep_braced_groups=True, keep_braced_groups_minlen=3, strict_latex_spaces="based-on-source"
    )
