"""onset.paper.latex: prose and formulas that always compile, long sums split, marks that follow the checks."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from onset.paper import latex
from onset.paper.citation import fields, readable
from onset.paper.latex_equations import LIMIT, display, inline, width
from onset.paper.latex_symbols import SYMBOLS
from onset.paper.latex_text import to_latex
from onset.theory.derivations import get, names
from onset.theory.derivations.derivation import Check, Derivation, Outcome, Step
from onset.theory.derivations.references import REFERENCES, USES
from onset.validate.derivation_checks import Result, Status

PDFLATEX = shutil.which("pdflatex")
needs_latex = pytest.mark.skipif(
    PDFLATEX is None, reason="pdflatex is not installed: apt-get install texlive-latex-recommended lmodern"
)

PROSE = {
    "solve πP = π": r"solve $\pi P = \pi$",
    "π_0 + π_1 = 1": r"$\pi_{0} + \pi_{1} = 1$",
    "Z = (I - P + 1π)^{-1}": r"$Z = (I - P + 1 \pi)^{- 1}$",
    "0 < a, b and a + b < 2": r"$0 < a$, $b$ and $a + b < 2$",
    "a projection, an order n, a T-token context": r"a projection, an order $n$, a $T$-token context",
    "P^{r+1} with P^r P": r"$P^{r + 1}$ with $P^{r} P$",
    "as T → ∞, up to 2e-16": r"as $T \to \infty$, up to $2 \times 10^{-16}$",
    "s_m, q_max and x̂_t": r"$s_{m}$, $q_{\mathrm{max}}$ and $\hat{x}_{t}$",
    "E Σ_i π_i² over ½ √T": r"$E \sum_{i} \pi_{i}^{2}$ over $\tfrac12 \sqrt{T}$",
    "W = ωI + c·11ᵀ": r"$W = \omega I + c \cdot \mathbf{1} \mathbf{1}^{\top}$",
    "ΠWΠᵀ = W; KL(p ‖ q)": r"$\Pi W \Pi^{\top} = W$; $\operatorname{KL} (p \,\|\, q)$",
    "x_π_r": r"$x_{\pi r}$",
    "|z| below ln 2": r"$|z|$ below $\ln 2$",
    "dt = dt_slow + κ dE'/(E'² h)": r"$dt = dt_{\mathrm{slow}} + \kappa dE^{\prime} / (E^{\prime2} h)$",
    "a and b, averaged over a. A chain": r"$a$ and $b$, averaged over $a$. A chain",
    "onset.theory.markov.chains.entropy_rate of `closed_form`": r"onset.theory.markov.chains.entropy\_rate of \texttt{closed\_form}",
    "5% of R&D #1_ {x} 10-20 two-state": r"5\% of $R$\&$D$ \#1\_ $\{x\}$ 10-20 two-state",
    "Student's t, e.g. café 中": r"Student's $t$, e.g. caf\'{e} [U+4E2D]",
    '^ ~ \\ $ "': r"\textasciicircum{} \textasciitilde{} \textbackslash{} \$ \textquotedbl{}",
}


@pytest.mark.parametrize(("text", "expected"), PROSE.items(), ids=list(PROSE))
def test_prose_becomes_prose_with_formulas(text, expected):
    assert to_latex(text) == expected


ALPHABET = "aAbkTP01 29_^{}()[]'′+-−/*=<>≤→∞√ΣΠ∫πραω²₁ᵀ½\u0302éß中😀#$%&~\\\"`|‖.,;:e\x00\n°" + "".join(SYMBOLS)
TEXTS = st.one_of(st.text(max_size=40), st.text(alphabet=ALPHABET, max_size=40))


def _is_sound(latex_text: str) -> bool:
    """Braces balance, dollars pair up, and no special character stands unescaped."""
    bare = re.sub(r"\\[#$%&_{}\\]", "", latex_text)
    depth = 0
    for char in bare:
        depth += (char == "{") - (char == "}")
        if depth < 0:
            return False
    outside = re.sub(r"\$[^$]*\$", "", re.sub(r"\\text\{\$[^$]*\$\}", "", bare))
    accents = re.sub(r"\\[`'^~\"=.uvrHck]\{", "{", outside)
    return depth == 0 and bare.count("$") % 2 == 0 and not set("#%&_^~$") & set(accents) and latex_text.isascii()


@settings(max_examples=400)
@given(TEXTS)
def test_any_text_gives_balanced_braces_and_no_unescaped_specials(text):
    assert _is_sound(to_latex(text))


@pytest.mark.parametrize("text", ["(" * 3000, "{" * 3000, "x_{" * 1000, "√" * 2000, "ln " * 1000 + "x", "-" * 3000])
def test_deep_nesting_is_prose_not_a_crash(text):
    assert _is_sound(to_latex(text))


def _compiles(folder, name: str) -> tuple[bool, str]:
    """Whether pdflatex is content, and its log."""
    call = [str(PDFLATEX), "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", name]
    done = [subprocess.run(call, check=False, cwd=folder, capture_output=True) for _ in range(2)][-1]
    return done.returncode == 0, done.stdout.decode(errors="replace")


@needs_latex
def test_generated_texts_compile(tmp_path):
    """A few hundred hostile texts, in one document."""
    made: list[str] = []

    @settings(max_examples=400)
    @given(TEXTS)
    def collect(text):
        made.append(to_latex(text))

    collect()
    head = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{lmodern,amsmath,amssymb}\begin{document}"
    lines = [f"{number}: {text}" for number, text in enumerate((*map(to_latex, PROSE), *made))]
    (tmp_path / "texts.tex").write_text("\n\n".join([head, *lines, r"\end{document}"]))
    compiled, log = _compiles(tmp_path, "texts.tex")
    assert compiled, log[-2000:]


def _status(derivation: Derivation, *passed: bool | None) -> Status:
    """Made-up results; True and False alternate with what is `passed`."""
    verdicts = [*passed, *[None] * (len(derivation.checks) - len(passed))]
    found = {"residual": 1.5e-9, "tolerance": 1e-8, "because": "1 - x", "error": None, "seconds": 0.0, "skipped": None}
    results = [
        Result(check, None if verdict is None else found | {"passed": verdict})
        for check, verdict in zip(derivation.checks, verdicts, strict=False)
    ]
    return Status(derivation, tuple(results))


@needs_latex
@pytest.mark.parametrize("name", names())
def test_every_derivation_compiles_within_its_margins(tmp_path, name):
    """No error, and no line wider than the page by more than a millimetre."""
    (path,) = latex.write([_status(get(name))], tmp_path, together=False)
    assert path.name == f"{name}.tex"
    compiled, log = _compiles(tmp_path, path.name)
    assert compiled, log[-2000:]
    assert not [w for w in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log) if float(w) > 2.85]
    assert "undefined" not in log


@needs_latex
def test_all_together_compile_and_the_bytes_repeat(tmp_path):
    statuses = [_status(get("two-state-chain"), True, False), _status(_awkward())]
    first, again = (latex.write(statuses, tmp_path / folder) for folder in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    assert {latex.ALL, latex.BIBLIOGRAPHY} <= {path.name for path in first}
    assert not list(tmp_path.rglob("*.part"))
    compiled, log = _compiles(tmp_path / "a", latex.ALL)
    assert compiled, log[-2000:]
    assert (tmp_path / "a" / latex.BIBLIOGRAPHY).read_text().startswith("@book{kemeny1960finite")


def _awkward() -> Derivation:
    """Symbols with Unicode and special names, no steps or references, texts full of what LaTeX takes amiss, a name with signs."""
    x, odd = sp.symbols("ω² π_0")
    long = sp.Add(*(sp.sin(sp.Symbol(f"x_{i}")) * i for i in range(1, 60)))
    return Derivation(
        name="50% _odd_ & é",
        title="100% {of} x_^",
        statement=sp.Eq(odd, x**2 * long + sp.Integral(long, (x, 0, 1)), evaluate=False),
        symbols={x: "a $ sign", odd: "é 中 #"},
        assumptions=(),
        validity="\\",
        source="~",
        steps=(Step("_", sp.true), Step("matrix", sp.ImmutableMatrix(1, 3, [long] * 3), "{")),
        checks=[Check("a_b&c", "100% x^", lambda: Outcome(0.0, 0.0, ""))],
    )


def test_marks_follow_the_checks():
    """Green only if all passed; red if one failed; neither if one was not run; a step has the mark of its own check."""
    derivation = get("two-state-chain")
    count = len(derivation.checks)
    for verdicts, mark in (([True] * count, "passed"), ([True, False], "failed"), ([True], "notrun"), ([], "notrun")):
        page = latex.document([_status(derivation, *verdicts)], "x")
        assert rf"\numbered{{\hyperlink{{checks.two-state-chain}}{{\{mark}}}}}{{P^{{r}}" in page
        assert all(check.name in page for check in derivation.checks)
    page = latex.document([_status(derivation, True, True, True, False)], "x")
    entropy = page[page.index("entropy rate") :]
    assert r"\failed" in entropy[: entropy.index(r"\tested")]


def test_a_failed_check_shows_its_numbers_and_an_error_its_message():
    derivation = get("two-state-chain")
    page = latex.document([_status(derivation, False)], "x")
    assert r"$1.5 \times 10^{-9}$" in page
    failed = Result(derivation.checks[0], {"passed": False, "skipped": None, "error": "ValueError: 50% off"})
    page = latex.document([Status(derivation, (failed, *_status(derivation).results[1:]))], "x")
    assert r"50\% off" in page


def test_long_sums_are_split_and_no_term_is_lost():
    """The lines of a sum hold every term of the sympy expression once, and each is about as wide as allowed."""
    terms = [sp.Symbol(f"x_{i}") * sp.Symbol(f"y_{i}") ** 2 * (-1) ** i for i in range(40)]
    shown = display(sp.Eq(sp.Symbol("S"), sp.Add(*terms), evaluate=False))
    assert shown.startswith(r"\begin{aligned}S & = ")
    assert all(shown.count(f"x_{{{i}}} ") == 1 for i in range(40))
    assert (shown.count("+ "), shown.count("- ")) == (19, 20)
    assert max(map(width, shown.split(r"\\"))) < LIMIT + 8
    assert r"\begin{aligned}" not in display(sp.Eq(sp.Symbol("S"), sp.Symbol("x")))


@pytest.mark.parametrize("inner", [sp.Integral, sp.Sum])
def test_long_products_and_integrals_keep_their_brackets(inner):
    x = sp.Symbol("x")
    long = sp.Add(*(sp.Symbol(f"c_{i}") * x**i for i in range(30)))
    for expression in (inner(long, (x, 0, 1)), 3 * inner(long, (x, 0, 1)), sp.Mul(sp.Symbol("A"), long)):
        shown = display(expression)
        assert shown.count(r"\Bigl(") == shown.count(r"\Bigr)") >= 1
        assert shown.count(r"\left") == shown.count(r"\right")


def test_long_quotients_are_split_and_no_factor_is_lost():
    """A product of thirty factors, above and below, on lines joined by ×."""
    parts = [sp.gamma(sp.Symbol(f"x_{i}") + 1) ** (-1) ** i for i in range(30)]
    shown = display(sp.Eq(sp.Symbol("S"), sp.Integral(sp.Mul(*parts), (sp.Symbol("x_0"), 0, 1)), evaluate=False))
    assert all(shown.count(f"x_{{{i}}} +") == 1 for i in range(30))
    assert shown.count(r"\times") == shown.count(r" \\ ") >= 2
    assert max(map(width, shown.split(r"\\"))) < LIMIT + 8


def test_symbols_named_in_unicode_are_printed_as_commands():
    assert inline(sp.Symbol("π") ** 2) == r"{\pi}^{2}"
    assert inline(sp.Symbol("T²") ** 2).isascii()
    assert inline(sp.polygamma(0, sp.Symbol("m"))) == r"\psi{\left(m\right)}"


@pytest.mark.parametrize("key", REFERENCES)
def test_references_are_whole(key):
    """Keys agree, braces balance, and each reads as a sentence with author, title and year."""
    entry = REFERENCES[key]
    known = fields(entry)
    assert known["key"] == key
    assert entry.count("{") == entry.count("}")
    assert {"author", "title", "year"} <= set(known)
    assert readable(entry).endswith(f"{known['year']}.")


def test_commands_use_references_that_exist():
    assert {key for keys in USES.values() for key in keys} <= set(REFERENCES)
