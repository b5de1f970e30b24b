"""Executable derivations, one module per result: found here by name, and new ones registered.

    >>> from onset.theory.derivations import get
    >>> get("two-state-chain").latex()  # doctest: +SKIP
    >>> get("two-state-chain").check()  # doctest: +SKIP

A module is imported, and its sympy operations done, when its derivation is first asked for. A derivation of your own is
a function decorated with ``register("its-name")`` that returns a `Derivation`, made by its constructor or, as those
of this package, by the decorator `onset.theory.derivations.text.derives`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from onset.theory import arguments

if TYPE_CHECKING:
    from onset.theory.derivations.derivation import Check, Derivation

__all__ = ["attach", "get", "is_own", "names", "register", "title"]

_MODULES: dict[str, str] = {
    "two-state-chain": "two_state_chain",
    "count-fluctuations": "count_fluctuations",
    "ratio-fluctuations": "ratio_fluctuations",
    "ideal-limit-losses": "ideal_limit_losses",
    "large-k-losses": "large_k_losses",
    "ideal-finite-losses": "ideal_finite_losses",
    "bigram-regret": "bigram_regret",
    "symmetry": "symmetry",
    "signals": "signals",
    "alternation": "alternation",
    "linear-mean-field": "linear_mean_field",
    "softmax-mean-field": "softmax_mean_field",
    "plateau": "plateau",
    "plateau-law": "plateau_law",
    "trapped-basin": "trapped",
    "softmax-law": "softmax_law",
    "adam-law": "adam_law",
    "ballistic-growth": "ballistic",
    "mixture-delay": "mixture",
    "third-order": "third_order",
    "transformer-escape": "transformer_escape",
    "head-scores": "head_scores",
    "modular-predictors": "modular_predictors",
}
"""Name of each result, in reading order, and the module whose `derive` returns it."""

_REGISTERED: dict[str, Callable[[], Derivation]] = {}
_ATTACHED: dict[str, dict[str, Check]] = {}


def names() -> tuple[str, ...]:
    """Names of all derivations, in reading order."""
    return (*_MODULES, *_REGISTERED)


@cache
def get(name: str) -> Derivation:
    """A derivation by its name: statement, steps, symbols, and all checks attached to it so far.

    Raises
    ------
    ValueError
        If there is none of that name, or if it prints an equation that no check evaluates.
    """
    arguments.one_of("derivation", name, names())
    derivation = _REGISTERED[name]() if name in _REGISTERED else _imported(_MODULES[name])
    derivation = replace(derivation, checks=[*derivation.checks, *_ATTACHED.get(name, {}).values()])
    if derivation.unevaluated:
        raise ValueError(
            f"derivation {name}: no check evaluates its equations {derivation.unevaluated}; give a check a parameter "
            "of each of these names, which is given the expression, or say it in words instead."
        )
    return derivation


def is_own(name: str) -> bool:
    """Whether a derivation was registered from elsewhere."""
    return name in _REGISTERED


def title(name: str) -> str:
    """Title of a derivation. That of a module here is read from its docstring, without deriving anything."""
    arguments.one_of("derivation", name, names())
    if is_own(name):
        return get(name).title
    source = Path(__file__).with_name(f"{_MODULES[name]}.py").read_text(encoding="utf-8")
    (derive,) = (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == "derive")
    return " ".join((ast.get_docstring(derive) or "").partition("\n\n")[0].split())


def _imported(module: str) -> Derivation:
    """The derivation of a module, with those of its checks that need signals or laws, from `onset.theory.checks`."""
    derivation = import_module(f"onset.theory.derivations.{module}").derive()
    more = f"onset.theory.checks.{module}"
    checks = import_module(more).CHECKS if find_spec(more) else ()
    return replace(derivation, checks=[*derivation.checks, *checks])


def register(name: str) -> Callable[[Callable[[], Derivation]], Callable[[], Derivation]]:
    """Decorator: make the derivation that a function returns known as `name`."""
    if name in names():
        raise ValueError(f"derivation = {name!r}: expected a name not yet taken; choose another.")

    def add(build: Callable[[], Derivation]) -> Callable[[], Derivation]:
        _REGISTERED[name] = build
        return build

    return add


def attach(name: str, checks: Iterable[Check]) -> None:
    """Add checks, such as those that need simulation or training, to the derivation `name`; each is added once."""
    arguments.one_of("derivation", name, names())
    known = _ATTACHED.setdefault(name, {})
    if new := {check.name: check for check in checks if check.name not in known}:
        known.update(new)
        get.cache_clear()
