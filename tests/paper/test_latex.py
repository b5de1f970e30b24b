"""onset.paper.latex: prose that always compiles, long equations broken into lines, marks that follow the checks."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from onset.paper import latex
from onset.paper.citation import USES, bibliography, entry, references
from onset.paper.prose import escape, to_ascii, to_latex, to_text
from onset.theory.derivations import get, names, printing
from onset.theory.derivations.derivation import Check, CheckResult, Derivation, Residual, Step
from onset.validate.checks.running import CheckedDerivation

PDFLATEX = shutil.which("pdflatex")
needs_latex = pytest.mark.skipif(
    PDFLATEX is None, reason="pdflatex is not installed: apt-get install texlive-latex-recommended lmodern"
)

PROSE = {
    r"solve $\pi P = \pi$": (r"solve $\pi P = \pi$", "solve π P = π"),
    r"$\pi_0 + \pi_1 = 1$": (r"$\pi_0 + \pi_1 = 1$", "π_0 + π_1 = 1"),
    "a projection, an order $n$, a $T$-token context": (
        "a projection, an order $n$, a $T$-token context",
        "a projection, an order n, a T-token context",
    ),
    "$P^{r+1}$ with $P^r P$": ("$P^{r+1}$ with $P^r P$", "P^{r+1} with P^r P"),
    r"as $T \to \infty$, up to $2 \times 10^{-16}$": (
        r"as $T \to \infty$, up to $2 \times 10^{-16}$",
        "as T → ∞, up to 2 × 10⁻¹⁶",
    ),
    r"$\mathbb{E} \sum_i \pi_i^2$ over $\sqrt{T}$": (
        r"$\mathbb{E} \sum_i \pi_i^2$ over $\sqrt{T}$",
        "𝔼 ∑_i π_i² over √(T)",
    ),
    r"$\Pi W \Pi^\top = W$": (r"$\Pi W \Pi^\top = W$", "Π W Πᵀ = W"),
    r"$k(k-1)/2\,\ln T$, $\tfrac{a}{b+c}$": (
        r"$k(k-1)/2\,\ln T$, $\tfrac{a}{b+c}$",
        "k(k-1)/2 ln T, (a)/(b+c)",
    ),
    "`onset.theory.markov.chains` of `closed_form`": (
        r"\nolinkurl{onset.theory.markov.chains} of \nolinkurl{closed_form}",
        "`onset.theory.markov.chains` of `closed_form`",
    ),
    "5% of R&D #1_ {x} 10-20 two-state": (
        r"5\% of R\&D \#1\_ \{x\} 10-20 two-state",
        "5% of R&D #1_ {x} 10-20 two-state",
    ),
    "Student's $t$, e.g. café 中": (
        r"Student's $t$, e.g. caf\'e {\bfseries ?}",
        "Student's t, e.g. café 中",
    ),
    '^ ~ \\ $ "': (r"{\textasciicircum} {\textasciitilde} {\textbackslash} \$ ''", '^ ~ \\ $ "'),
}


@pytest.mark.parametrize("text", PROSE)
def test_prose_becomes_latex_and_unicode(text):
    expected_latex, expected_text = PROSE[text]
    assert to_latex(text) == expected_latex
    assert to_text(text) == expected_text


ALPHABET = "aAbkTP01 29_^{}()[]'′+-−/*=<>≤→∞√ΣΠ∫πραω²₁ᵀ½\u0302éß中😀#%&~\\\"|‖.,;:e\x00\n°§–—ŁØﬁ"
TEXTS = st.one_of(st.text(max_size=40), st.text(alphabet=ALPHABET, max_size=40)).map(lambda t: t.replace("$", ""))


def _is_sound(latex_text: str) -> bool:
    """ASCII, balanced braces, paired dollars, and no special character unescaped."""
    bare = re.sub(r"\\[#$%&_{}\\]", "", latex_text)
    depth = 0
    for char in bare:
        depth += (char == "{") - (char == "}")
        if depth < 0:
            return False
    without = re.compile(r"\$[^$]*\$|\\ensuremath\{([^{}]|\{[^{}]*\})*\}|\\nolinkurl\{[^}]*\}")
    outside = without.sub("", bare)
    accents = re.sub(r"\\[`'^~\"=.uvrHck]", "", outside)
    return depth == 0 and bare.count("$") % 2 == 0 and not set("#%&_^~$") & set(accents) and latex_text.isascii()


@settings(max_examples=400)
@given(TEXTS)
def test_any_text_gives_balanced_braces_and_no_unescaped_specials(text):
    assert _is_sound(to_latex(text))


def _compiles(folder, name: str) -> tuple[bool, str]:
    """Success of pdflatex, and its log."""
    call = [str(PDFLATEX), "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", name]
    done = [subprocess.run(call, check=False, cwd=folder, capture_output=True) for _ in range(2)][-1]
    return done.returncode == 0, done.stdout.decode(errors="replace")


def _too_wide(log: str) -> list[str]:
    """Lines wider than the page by more than a millimetre, in points."""
    return [width for width in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log) if float(width) > 2.85]


@needs_latex
def test_generated_texts_compile(tmp_path):
    """A few hundred hostile texts, in one document."""
    made: list[str] = []

    @settings(max_examples=400)
    @given(TEXTS)
    def collect(text):
        made.append(to_latex(text))

    collect()
    packages = (r"[T1]{fontenc}", "[utf8]{inputenc}", "{lmodern,amsmath,amssymb,hyperref}")
    head = "".join([r"\documentclass{article}", *(f"\\usepackage{one}" for one in packages), r"\begin{document}"])
    lines = [f"{number}: {text}" for number, text in enumerate((*map(to_latex, PROSE), *made))]
    (tmp_path / "texts.tex").write_text("\n\n".join([head, *lines, r"\end{document}"]))
    compiled, log = _compiles(tmp_path, "texts.tex")
    assert compiled, log[-2000:]


def _checked(derivation: Derivation, *passed: bool | None) -> CheckedDerivation:
    """Made-up results, those that `passed` gives and then none."""
    states = [*passed, *[None] * (len(derivation.checks) - len(passed))]
    residuals = {True: Residual(1.5e-9, 1e-8, "1 - x"), False: Residual(1.5e-9, 1e-10, "1 - x"), None: None}
    results = [CheckResult(check, residuals[state]) for check, state in zip(derivation.checks, states, strict=True)]
    return CheckedDerivation(derivation, tuple(results))


@needs_latex
@pytest.mark.parametrize("together", [names(), ["two-state-chain"]], ids=["all", "one"])
def test_derivations_compile_within_their_margins(tmp_path, together):
    """No error, and no line wider than the page by more than a millimetre: all in one document, and one by itself."""
    paths = latex.write([_checked(get(name)) for name in together], tmp_path, together=len(together) > 1)
    assert {f"{name}.tex" for name in together} <= {path.name for path in paths}
    compiled, log = _compiles(tmp_path, latex.ALL if len(together) > 1 else paths[0].name)
    assert compiled, log[-2000:]
    assert not _too_wide(log)
    assert "undefined" not in log


@needs_latex
def test_all_together_compile_and_the_bytes_repeat(tmp_path):
    checked = [_checked(get("two-state-chain"), True, False), _checked(_awkward())]
    first, again = (latex.write(checked, tmp_path / folder) for folder in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    assert {latex.ALL, latex.BIBLIOGRAPHY} <= {path.name for path in first}
    assert not list(tmp_path.rglob("*.part"))
    compiled, log = _compiles(tmp_path / "a", latex.ALL)
    assert compiled, log[-2000:]
    assert (tmp_path / "a" / latex.BIBLIOGRAPHY).read_text().startswith("@book{kemeny1960finite")


X = sp.Symbol("x")
LONG = sp.Add(*(sp.sin(sp.Symbol(f"x_{i}")) * i for i in range(1, 60)))


def _awkward(**changes) -> Derivation:
    """Symbols named in Unicode, no steps or references, texts full of special characters of LaTeX."""
    square, odd = sp.symbols("ω² π_0")
    parts = {
        "name": "awkward",
        "title": "100% {of} x_^",
        "statement": sp.Eq(odd, square**2 * LONG + sp.Integral(LONG, (X, 0, 1)), evaluate=False),
        "symbols": {square: "a $ sign", odd: "é 中 #"},
        "assumptions": (),
        "validity": "\\",
        "source": "~",
        "steps": (
            Step("_", label="odd", expression=sp.true),
            Step("matrix", "{", "matrix", sp.ImmutableMatrix(1, 3, [X, X, 1])),
            Step("~ words"),
        ),
        "checks": [Check("a_b&c", "100% x^", lambda statement: Residual(0.0, 0.0, ""))],
    }
    return Derivation(**parts | changes)


@needs_latex
@pytest.mark.parametrize(
    "expression",
    [
        sp.Eq(
            X, sp.Add(*(sp.Symbol(f"x_{i}") * sp.Symbol(f"y_{i}") ** 2 * (-1) ** i for i in range(40))), evaluate=False
        ),
        sp.Eq(X, sp.Integral(sp.Add(*(sp.Symbol(f"c_{i}") * X**i for i in range(30))), (X, 0, 1)), evaluate=False),
        sp.Eq(X, 3 * sp.Sum(sp.Add(*(sp.Symbol(f"c_{i}") * X**i for i in range(30))), (X, 0, 1)), evaluate=False),
        sp.Eq(X, sp.Mul(sp.Symbol("A"), LONG), evaluate=False),
    ],
    ids=["sum", "integral", "multiple of a sum", "product"],
)
def test_long_equations_are_broken_into_lines(tmp_path, expression):
    """The equation is sympy's own, whole; LaTeX finds places to break it."""
    (path,) = latex.write([_checked(_awkward(statement=expression))], tmp_path, together=False)
    assert to_ascii(printing.latex(expression)) in path.read_text()
    compiled, log = _compiles(tmp_path, path.name)
    assert compiled, log[-2000:]
    assert not _too_wide(log)


def test_marks_follow_the_checks_that_evaluate_an_equation():
    """Green only if these passed; red if one failed; neither if one was not run or there is none."""
    derivation = get("two-state-chain")
    assert [check.labels for check in derivation.checks[:2]] == [("stationary",), ("statement",)]
    for states, stationary, statement in (
        ([True, True], "passed", "passed"),
        ([True, False], "passed", "failed"),
        ([False, True], "failed", "passed"),
        ([True], "passed", "notrun"),
        ([], "notrun", "notrun"),
    ):
        page = latex.document([_checked(derivation, *states)], "x")
        printed = page[: page.index("P^{r} = ")], page[page.index(r"solve $\pi P") :]
        assert printed[0].rstrip().endswith(rf"\linked{{checks.two-state-chain}}{{\{statement}}}}}]")
        assert rf"{{\{stationary}}}}}]" in printed[1][: printed[1].index(r"\par}")]
        assert all(check.name in page for check in derivation.checks)
    page = latex.document([_checked(_awkward(), True)], "x")
    assert page.count(r"{\notrun}}]") == 2


def test_a_failed_check_shows_its_numbers_and_an_error_its_message():
    derivation = get("two-state-chain")
    page = latex.document([_checked(derivation, False)], "x")
    assert r"$1.5 \times 10^{-9}$" in page
    failed = CheckResult(derivation.checks[0], error="ValueError: 50% off")
    page = latex.document([CheckedDerivation(derivation, (failed, *_checked(derivation).results[1:]))], "x")
    assert r"50\% off" in page
    infinite = CheckResult(derivation.checks[0], Residual(float("nan"), 1.0, ""))
    page = latex.document([CheckedDerivation(derivation, (infinite, *_checked(derivation).results[1:]))], "x")
    assert "not finite" in page


def test_symbols_are_printed_as_commands():
    """Unicode names too; special functions as the field writes them."""
    n = sp.Symbol("n")
    assert to_ascii(printing.latex(sp.Symbol("π") ** 2)) == r"\ensuremath{\pi}^{2}"
    assert to_ascii(printing.latex(sp.Symbol("T²") ** 2)).isascii()
    assert printing.latex(sp.polygamma(0, n)) == r"\psi\left(n\right)"
    assert printing.latex(sp.polygamma(1, n) ** 2) == r"{\psi^{(1)}\left(n\right)}^{2}"
    assert printing.latex(sp.loggamma(n)) == r"\ln\Gamma\left(n\right)"
    assert printing.latex(sp.harmonic(n)) == "H_{n}"
    assert printing.latex(sp.harmonic(n, 2)) == "H_{n}^{(2)}"
    assert printing.latex(sp.beta(sp.Symbol("alpha"), n)) == r"\operatorname{B}\left(\alpha, n\right)"
    assert printing.latex(sp.Function("E")(n)) == r"\mathbb{E}{\left(n \right)}"
    assert printing.latex(sp.Symbol("t_slow")) == r"t_{\mathrm{slow}}"


@pytest.mark.parametrize("key", references().entries)
def test_references_are_whole(key):
    """Braces balance, and each reads as a sentence with author, title and year."""
    known = references().entries[key]
    assert entry(key).count("{") == entry(key).count("}")
    assert {"title", "year"} <= set(known.fields)
    assert known.persons["author"]
    text = bibliography([key])
    assert rf"\bibitem[1]{{{key}}}" in text
    assert f"{known.fields['year']}." in text


def test_commands_use_references_that_exist():
    assert {key for keys in USES.values() for key in keys} <= set(references().entries)


def test_escaped_text_has_no_commands_of_its_own():
    assert escape("a_b{c}") == r"a\_b\{c\}"
