r"""Plain Unicode English with formulas in it, as derivations write it, to LaTeX.

    >>> to_latex("solve πP = π for P^{r+1}, 5% of runs")
    'solve $\\pi P = \\pi$ for $P^{r + 1}$, 5\\% of runs'

A formula is found by what surrounds it: Greek letters and signs, letters that stand alone, whatever carries a script, and
operators, numbers and brackets between such. An article "a" is told from a letter a. Whatever comes in, braces balance,
special characters are escaped, and what has no LaTeX here is printed as its code point.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import reduce

from onset.paper.latex_symbols import ACCENTS, BINARY, FUNCTIONS, RELATIONS, SUBSCRIPTS, SUPERSCRIPTS, SYMBOLS, in_text

__all__ = ["escape", "to_latex"]

_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?(?:e([+-]?\d+))?(?![A-Za-z]{2})", re.ASCII)
_LETTERS = re.compile(r"[A-Za-z]+")
_IDENTIFIER = re.compile(r"[A-Za-z]\w*(?:\.\w+)*", re.ASCII)
_NAMED = re.compile(r"(?!d[A-Za-z]_)[A-Za-z]{2,}(?:_[A-Za-z0-9]{2,})+", re.ASCII)
_CODE = re.compile(r"`+([^`]+)`+")
_INITIAL = re.compile(r"[A-Z]\.(?:,| [a-z]| ?[A-Z]\.)")
_ONES = re.compile(r"([A-Za-z]?)11(?:ᵀ|\^T\b)")
_SHORT = " am an as at be by do if in is it no of on or so to up us we "
_NO_NOUN = re.compile(r" (?:and|or|is|are|in|to|from|with|as|at|by|of|for|over|tends)\b")
_DIFFERENTIAL = re.compile(r"d[A-Za-z](?= ?=)")
_STAR = re.compile(r"\*(?=[\s,.;:)\]=/∫ΣΠ∂}]|$)")
_SCRIPT = re.compile(r"[-+−]?[0-9]+(?:\.[0-9]+)?|[A-Za-z0-9]+|[-+*]|[^\W_]|[∞⊤′]")
_CLOSING = {"|": "|", "(": ")]", "[": ")]", "{": "}", "⟨": "⟩", "⌊": "⌋", "⌈": "⌉"}
_BRACKETS = {"{": r"\{", "}": r"\}", "⟨": r"\langle ", "⟩": r"\rangle ", "⌊": r"\lfloor ", "⌋": r"\rfloor "}
_BRACKETS |= {"⌈": r"\lceil ", "⌉": r"\rceil "}
_COMMAND = re.compile(r"\\[A-Za-z]+$")
_DEEPEST = 12


@dataclass(frozen=True)
class _Piece:
    """A part of a formula: its LaTeX, where it ends, whether it can only be mathematics, whether it may be an article."""

    latex: str
    end: int
    sure: bool = True
    article: bool = False


def to_latex(text: str) -> str:
    """Prose with its formulas set as inline mathematics."""
    return _Reader(" ".join(text.split())).prose()


def escape(text: str) -> str:
    """Prose as it stands, without looking for formulas."""
    return "".join(map(in_text, text))


class _Reader:
    """Reads one text from left to right; `depth` counts how deep in scripts and brackets it is, `level` in arguments."""

    def __init__(self, text: str, depth: int = 0) -> None:
        self.text, self.depth, self.level = text, depth, 0

    def prose(self) -> str:
        out, at = [], 0
        while at < len(self.text):
            found = self.formula(at)
            if found and found.sure and not found.article:
                out.append(f"${found.latex}$")
            else:
                found = self.plain(at)
                out.append(found.latex)
            at = found.end
        return "".join(out).replace("$$", "$ $")

    def mathematics(self) -> str:
        """The whole text as a formula; words are set upright."""
        out, at = [], 0
        while at < len(self.text):
            found = self.formula(at) or self.operator(at)
            if found is None:
                word = _LETTERS.match(self.text, at)
                end = word.end() if word else at + 1
                found = _Piece(self._letters(word[0]) if word else _set(self.text[at]), end)
            out.append(found.latex)
            at = found.end
        return " ".join(filter(None, out))

    def plain(self, at: int) -> _Piece:
        """One word or character of prose."""
        if code := _CODE.match(self.text, at):
            return _Piece(f"\\texttt{{{escape(code[1])}}}", code.end())
        word = _IDENTIFIER.match(self.text, at) or _NUMBER.match(self.text, at)
        end = word.end() if word else at + 1
        return _Piece(escape(self.text[at:end]), end)

    def formula(self, at: int) -> _Piece | None:
        """The longest run of operands and operators from `at`."""
        if at >= len(self.text):
            return None
        sign = self.operator(at) if self._prefix(at) else None
        first = self.operand(self._skip(sign.end) if sign else at)
        if first is None:
            return None
        latex, sure, end = first.latex, first.sure, first.end
        if sign:
            latex, sure = f"{sign.latex} {latex}", sure or self.text[at] not in "-"
        article = first.article and not sign and not self._punctuated(end)
        while more := self._next(at, end, article):
            latex, sure, end, article = f"{latex} {more.latex}", sure or more.sure, more.end, False
        return _Piece(latex, end, sure, article)

    def _next(self, start: int, end: int, article: bool) -> _Piece | None:
        """What goes on with the formula at `end`: an operator and an operand, or an operand that multiplies."""
        after = self._skip(end)
        if sign := self.operator(after):
            spaced = (after > end, self._skip(sign.end) > sign.end)
            operand = self.operand(self._skip(sign.end), inside=True) if spaced[0] == spaced[1] else None
            if operand is None:
                return None
            known = sign.latex not in ("-", "/", "*", r"\mid")
            return _Piece(f"{sign.latex} {operand.latex}", operand.end, known or operand.sure)
        operand = self.operand(after, inside="∫" in self.text[start:end])
        if operand is None or (after > end and (article or operand.article or not operand.sure)):
            return None
        return operand

    def operator(self, at: int) -> _Piece | None:
        for length in (2, 1):
            sign = self.text[at : at + length]
            for table in (RELATIONS, BINARY):
                if sign in table:
                    return _Piece(table[sign], at + length)
        return None

    def operand(self, at: int, *, inside: bool = False) -> _Piece | None:
        """A number, letter, function or bracket with its scripts; `inside` a formula, a lone a is no article and dx a differential."""
        if at >= len(self.text) or self.depth > _DEEPEST:
            return None
        char = self.text[at]
        if char == "√" and (root := self._argument(at + 1, inside=True)):
            return _Piece(f"\\sqrt{{{root.latex}}}", root.end)
        if char == "Π" and re.match(r"[_₀-₉ᵢⱼ]| ?[a-z]", self.text[at + 1 :]):
            return self._scripted(r"\prod", at + 1, sure=True)
        if char in SYMBOLS:
            return self._scripted(SYMBOLS[char], at + 1, sure=True)
        if ones := _ONES.match(self.text, at):
            return _Piece(ones[1] + r"\mathbf{1} \mathbf{1}^{\top}", ones.end())
        if number := _NUMBER.match(self.text, at):
            return self._number(number, at)
        if char in _CLOSING:
            return self._group(at)
        if inside and char in "-−±" and (negated := self._argument(at + 1, inside=True)):
            return _Piece(f"{BINARY[char]} {negated.latex}", negated.end, negated.sure)
        return self._word(at, inside) if char.isascii() and char.isalpha() else None

    def _argument(self, at: int, *, inside: bool) -> _Piece | None:
        """The operand that a sign, root or function before it acts on."""
        self.level += 1
        found = self.operand(at, inside=inside) if self.level <= _DEEPEST else None
        self.level -= 1
        return found

    def _number(self, number: re.Match[str], at: int) -> _Piece | None:
        if at and (self.text[at - 1].isalpha() and self.text[at - 1].isascii()):
            return None
        digits = number[0].partition("e")[0].replace(",", "{,}")
        latex = digits if number[1] is None else f"{digits} \\times 10^{{{int(number[1])}}}"
        if number[1] is not None:
            return _Piece(latex.removeprefix("1 \\times "), number.end())
        return self._scripted(latex, number.end(), sure=False)

    def _word(self, at: int, inside: bool) -> _Piece | None:
        letters, before = _LETTERS.match(self.text, at), self.text[at - 1 : at]
        if (
            letters is None
            or (before.isalnum() and before.isascii() and not before.isdigit())
            or before in (".", "'", "_")
        ):
            return None
        word, end = letters[0], letters.end()
        if _NAMED.match(self.text, at) or (self.text[end : end + 1].isdigit() and self.text[end].isascii()):
            return None
        scripted = self._scripted(self._letters(word), end, sure=True)
        if word in FUNCTIONS:
            return self._function(scripted)
        if scripted.end > end:
            return scripted
        if len(word) > 1:
            known = (inside and f" {word} " not in _SHORT) or _DIFFERENTIAL.match(self.text, at)
            return scripted if known and len(word) == 2 else None
        if _INITIAL.match(self.text, at) or re.match(r"\.\w|’\w|'\w", self.text[end : end + 2]):
            return None
        article = word == "a" or (word == "A" and self.text[:at].rstrip()[-1:] in ("", "."))
        article = article and not (inside or self.depth or _NO_NOUN.match(self.text, end))
        return _Piece(word, end, True, article)

    def _function(self, name: _Piece) -> _Piece | None:
        argument = self._argument(self._skip(name.end), inside=False)
        if argument is None or argument.article:
            return None
        return _Piece(f"{name.latex} {argument.latex}", argument.end)

    def _group(self, at: int) -> _Piece | None:
        """Brackets around formulas, separated by commas, and nothing else."""
        inner = _Reader(self.text, self.depth + 1)
        out, sure, here = [], False, self._skip(at + 1)
        while found := inner.formula(here):
            out.append(found.latex)
            sure = sure or (found.sure and found.latex != "a")
            here = self._skip(found.end)
            if self.text[here : here + 1] not in (",", ";", ":") or not self.text[here : here + 1]:
                break
            out.append(self.text[here] + " ")
            here = self._skip(here + 1)
        if not out or self.text[here : here + 1] not in tuple(_CLOSING[self.text[at]]):
            return None
        opening, closing = (_BRACKETS.get(char, char) for char in (self.text[at], self.text[here]))
        return self._scripted(f"{opening}{''.join(out)}{closing}", here + 1, sure=sure)

    def _scripted(self, base: str, end: int, *, sure: bool) -> _Piece:
        """`base` with the accents, subscripts, superscripts and primes that follow it, each kind once."""
        start, below, above = end, "", ""
        while end < len(self.text):
            char = self.text[end]
            if char in ACCENTS and not (below or above):
                base, end = f"{ACCENTS[char]}{{{base}}}", end + 1
            elif char in SUBSCRIPTS:
                below, end = _joined(below, SUBSCRIPTS[char]), end + 1
            elif char in SUPERSCRIPTS:
                above, end = _joined(above, SUPERSCRIPTS[char]), end + 1
            elif char == "'" and sure and not self.text[end + 1 : end + 2].isalpha() and self._single(start):
                above, end = _joined(above, r"\prime"), end + 1
            elif sure and not above and _STAR.match(self.text, end):
                above, end = "*", end + 1
            elif char in "_^" and (script := self._script(end + 1)):
                end = script.end
                if char == "_":
                    below = _joined(below, script.latex)
                else:
                    above = _joined(above, script.latex)
            else:
                break
        latex = base + (f"_{{{below}}}" if below else "") + (f"^{{{above}}}" if above else "")
        return _Piece(latex, end, sure or end > start)

    def _script(self, at: int) -> _Piece | None:
        """What stands after ``_`` or ``^``: braces, brackets, or a number, letters or sign."""
        if self.text[at : at + 1] in ("{", "("):
            end = _matching(self.text, at)
            if end is None or end == at + 1 or self.depth >= _DEEPEST:
                return None
            body = self.text[at + 1 : end] if self.text[at] == "{" else self.text[at : end + 1]
            latex = _Reader(body.strip(), self.depth + 1).mathematics()
            return _Piece(latex, end + 1) if latex else None
        match = _SCRIPT.match(self.text, at)
        if match is None:
            return None
        found = match[0]
        if found.isascii() and found[:1].isalpha():
            return _Piece(found if len(found) < 3 or not found.isalpha() else f"\\mathrm{{{found}}}", match.end())
        return _Piece(reduce(_joined, map(_set, found)), match.end())

    def _letters(self, word: str) -> str:
        return FUNCTIONS.get(word) or (word if len(word) < 3 else f"\\mathrm{{{word}}}")

    def _single(self, end: int) -> bool:
        """Whether the base that ends at `end` is one character, or d and one, and not quoted."""
        before = self.text[max(0, end - 3) : max(0, end - 1)]
        return re.search(r"(?:^|[^\w'])d?$", before) is not None

    def _prefix(self, at: int) -> bool:
        """Whether an operator may begin a formula at `at`: a relation or sign before what it acts on."""
        char, before = self.text[at], self.text[at - 1 : at]
        if char in "-+":
            return not (before.isalnum() or before in (")", "]", "}", "-", "+")) and self.text[at + 1 : at + 2] not in (
                " ",
                "-",
            )
        return char in RELATIONS or char in "−±∓"

    def _punctuated(self, end: int) -> bool:
        return self.text[end : end + 1] in ("", ",", ";", ":", ".", ")", "]")

    def _skip(self, at: int) -> int:
        while self.text[at : at + 1] == " ":
            at += 1
        return at


def _joined(first: str, second: str) -> str:
    """Both, with a space where a command would otherwise run into a letter."""
    return f"{first} {second}" if _COMMAND.search(first) and second[:1].isalpha() else first + second


def _matching(text: str, at: int) -> int | None:
    """Where the bracket that opens at `at` closes."""
    opening, closing, depth = text[at], {"{": "}", "(": ")"}[text[at]], 0
    for here in range(at, len(text)):
        depth += (text[here] == opening) - (text[here] == closing)
        if not depth:
            return here
    return None


def _set(char: str) -> str:
    """One character inside a formula."""
    for table in (SYMBOLS, RELATIONS, BINARY, SUPERSCRIPTS, SUBSCRIPTS):
        if char in table:
            return table[char]
    if char.isdigit() and char.isascii():
        return char
    return "" if char.isspace() else char if char in "(),;:.[]!" else f"\\text{{{in_text(char)}}}"
