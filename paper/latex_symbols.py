r"""Which LaTeX a Unicode character becomes: in mathematics, in prose, and as a script or an accent."""

from __future__ import annotations

import unicodedata

__all__ = [
    "ACCENTS",
    "BINARY",
    "FUNCTIONS",
    "RELATIONS",
    "SUBSCRIPTS",
    "SUPERSCRIPTS",
    "SYMBOLS",
    "in_text",
    "math_only",
]

_GREEK = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi o pi rho - sigma tau upsilon phi chi psi omega"
_CAPITALS = {"Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "sum", "Υ": "Upsilon"}
_CAPITALS |= {"Φ": "Phi", "Ψ": "Psi", "Ω": "Omega"}
_LOOK_LATIN = dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧ", "ABEZHIKMNOPTX", strict=True))

SYMBOLS: dict[str, str] = {
    **{chr(0x3B1 + i): f"\\{name}" for i, name in enumerate(_GREEK.split()) if name not in "o-"},
    **{letter: f"\\{name}" for letter, name in _CAPITALS.items()},
    **{letter: f"\\mathrm{{{latin}}}" for letter, latin in _LOOK_LATIN.items()},
    **{
        "ο": "o",
        "ς": r"\varsigma",
        "ϑ": r"\vartheta",
        "ϕ": r"\phi",
        "φ": r"\varphi",
        "ϵ": r"\epsilon",
        "ε": r"\varepsilon",
    },
    **{"µ": r"\mu", "∞": r"\infty", "ℓ": r"\ell", "∅": r"\emptyset", "ℏ": r"\hbar", "∂": r"\partial", "∇": r"\nabla"},
    **{"∑": r"\sum", "∏": r"\prod", "∫": r"\int", "∮": r"\oint", "∀": r"\forall", "∃": r"\exists", "√": r"\surd"},
    **{letter: f"\\mathbb{{{plain}}}" for letter, plain in zip("ℝℕℤℚℂℙ𝔼𝟙", "RNZQCPE1", strict=True)},
    **{"½": r"\tfrac12", "⅓": r"\tfrac13", "⅔": r"\tfrac23", "¼": r"\tfrac14", "¾": r"\tfrac34", "⅛": r"\tfrac18"},
    **{"𝟏": r"\mathbf{1}", "…": r"\ldots", "⋯": r"\cdots", "⊤": r"\top", "°": r"{{}^{\circ}}"},
}
"""Operands: letters, signs that stand for a number, and operators that stand before what they act on."""
SYMBOLS["𝟙"] = r"\mathbf{1}"

RELATIONS: dict[str, str] = {
    **{":=": r"\mathrel{:=}", "->": r"\to", "<=": r"\le", ">=": r"\ge", "!=": r"\ne", "=": "=", "<": "<", ">": ">"},
    **{"≤": r"\le", "≥": r"\ge", "⩽": r"\le", "⩾": r"\ge", "≠": r"\ne", "≈": r"\approx", "≃": r"\simeq", "≅": r"\cong"},
    **{"≡": r"\equiv", "∼": r"\sim", "~": r"\sim", "∝": r"\propto", "≪": r"\ll", "≫": r"\gg", "≲": r"\lesssim"},
    **{
        "≳": r"\gtrsim",
        "∈": r"\in",
        "∉": r"\notin",
        "⊂": r"\subset",
        "⊆": r"\subseteq",
        "→": r"\to",
        "←": r"\leftarrow",
    },
    **{
        "↔": r"\leftrightarrow",
        "↦": r"\mapsto",
        "⇒": r"\Rightarrow",
        "⇔": r"\Leftrightarrow",
        "⟶": r"\to",
        "↑": r"\uparrow",
    },
    **{"↓": r"\downarrow", "≻": r"\succ", "≺": r"\prec", "≔": r"\mathrel{:=}", "≜": r"\triangleq"},
}

BINARY: dict[str, str] = {
    **{"+": "+", "-": "-", "−": "-", "/": "/", "*": "*", "·": r"\cdot", "⋅": r"\cdot", "×": r"\times", "÷": r"\div"},
    **{"±": r"\pm", "∓": r"\mp", "∘": r"\circ", "⊗": r"\otimes", "⊙": r"\odot", "⊕": r"\oplus", "|": r"\mid"},
    **{"‖": r"\,\|\,", "∥": r"\,\|\,", "∩": r"\cap", "∪": r"\cup", "∧": r"\wedge", "∨": r"\vee", "∖": r"\setminus"},
    **{"⊥": r"\perp"},
}

_NAMED = "ln log exp max min sup inf lim det sin cos tan sinh cosh tanh arg"
_OTHER = "KL li Li Ei tr diag rank softmax sgn erf Var Cov argmax argmin"

FUNCTIONS: dict[str, str] = {
    **{name: f"\\{name}" for name in _NAMED.split()},
    **{name: f"\\operatorname{{{name}}}" for name in _OTHER.split()},
}

_SUPER = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱᵃᵇᶜᵈᵉᶠᵍʰʲᵏˡᵐᵒᵖʳˢᵗᵘᵛʷˣʸᶻ", "0123456789+-=()niabcdefghjklmoprstuvwxyz", strict=True))
SUPERSCRIPTS: dict[str, str] = {
    **_SUPER,
    "ᵀ": r"\top",
    "′": r"\prime",
    "″": r"\prime\prime",
    "‴": r"\prime\prime\prime",
}
SUBSCRIPTS: dict[str, str] = dict(
    zip("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", "0123456789+-=()aehijklmnoprstuvx", strict=True)
)

ACCENTS: dict[str, str] = {
    **{"\u0302": r"\hat", "\u0304": r"\bar", "\u0305": r"\bar", "\u0303": r"\tilde", "\u0307": r"\dot"},
    **{"\u0308": r"\ddot", "\u20d7": r"\vec", "\u030c": r"\check", "\u0306": r"\breve"},
}
"""Combining marks over a letter of a formula."""

_TEXT_ACCENTS = dict(
    zip("\u0300\u0301\u0302\u0303\u0308\u0304\u0306\u030c\u030a\u030b\u0307", "`'^~\"=uvrH.", strict=True)
) | {"\u0327": "c", "\u0328": "k"}

_TEXT: dict[str, str] = {
    **{c: f"\\{c}" for c in "#$%&_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", '"': r"\textquotedbl{}"},
    **{"`": r"\textasciigrave{}", "'": "'", "“": "``", "”": "''", "‘": "`", "’": "'", "–": "--", "—": "---", "‐": "-"},
    **{
        "‑": "-",
        "„": r"\quotedblbase{}",
        "«": r"\guillemotleft{}",
        "»": r"\guillemotright{}",
        "\u00a0": "~",
        "§": r"\S{}",
    },
    **{
        "ß": r"\ss{}",
        "æ": r"\ae{}",
        "Æ": r"\AE{}",
        "ø": r"\o{}",
        "Ø": r"\O{}",
        "œ": r"\oe{}",
        "Œ": r"\OE{}",
        "ł": r"\l{}",
    },
    **{
        "Ł": r"\L{}",
        "đ": r"\dj{}",
        "Đ": r"\DJ{}",
        "ı": r"\i{}",
        "©": r"\copyright{}",
        "•": r"\textbullet{}",
        "ﬁ": "fi",
    },
    **{"✓": r"$\checkmark$", "✗": r"$\times$", "\u200b": "", "\u2009": r"\,", "\u202f": r"\,", "\ufeff": ""},
}


def in_text(char: str) -> str:
    """One character of prose; what LaTeX cannot print becomes its code point in brackets, never an error."""
    if char in _TEXT:
        return _TEXT[char]
    if char.isspace():
        return " "
    if " " <= char <= "~":
        return f"${char}$" if char in "<>|" else char
    for table in (SYMBOLS, RELATIONS, BINARY):
        if char in table:
            return f"${table[char]}$"
    for table, script in ((SUPERSCRIPTS, "^"), (SUBSCRIPTS, "_")):
        if char in table:
            return f"${{}}{script}{{{table[char]}}}$"
    base, *marks = unicodedata.normalize("NFD", char)
    if base.isascii() and base.isalpha() and len(marks) == 1 and marks[0] in _TEXT_ACCENTS:
        return f"\\{_TEXT_ACCENTS[marks[0]]}{{{base}}}"
    return f"[U+{ord(char):04X}]"


def math_only(latex: str) -> str:
    """LaTeX of a formula, such as sympy prints, with the Unicode characters of its symbols' names replaced."""
    return "".join(char if char.isascii() else _in_math(char) for char in latex)


def _in_math(char: str) -> str:
    for table in (SYMBOLS, RELATIONS, BINARY):
        if char in table:
            return f"{{{table[char]}}}"
    for table, script in ((SUPERSCRIPTS, "^"), (SUBSCRIPTS, "_")):
        if char in table:
            return f"{{{{}}{script}{{{table[char]}}}}}"
    return f"\\text{{{in_text(char)}}}"
