"""Executable derivations, one module per result; this is where they are found by name and where new ones register.

    >>> from onset.theory.derivations import get
    >>> get("two-state-chain").latex()  # doctest: +SKIP
    >>> get("two-state-chain").check()  # doctest: +SKIP

A module is imported, and its sympy work done, when its derivation is first asked for. A derivation of your own is a
function that returns a `Derivation`, decorated with ``register("its-name")``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from onset.theory import arguments

if TYPE_CHECKING:
    from onset.theory.derivations.derivation import Check, Derivation

__all__ = ["attach", "get", "names", "register"]

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
}
"""Result by result, in reading order: name, and the module whose `derive` returns it."""

_OWN: dict[str, Callable[[], Derivation]] = {}
_ATTACHED: dict[str, list[Check]] = {}


def names() -> tuple[str, ...]:
    """Names of all derivations, in reading order."""
    return (*_MODULES, *_OWN)


@cache
def get(name: str) -> Derivation:
    """The derivation `name`, with the checks attached to it so far."""
    arguments.one_of("derivation", name, names())
    found = _OWN[name]() if name in _OWN else _ours(_MODULES[name])
    return replace(found, checks=[*found.checks, *_ATTACHED.get(name, [])])


def _ours(module: str) -> Derivation:
    """A derivation of ours, with those of its checks that need signals or laws: they stand above it, in `onset.theory.checks`."""
    found, above = import_module(f"onset.theory.derivations.{module}").derive(), f"onset.theory.checks.{module}"
    checks = import_module(above).CHECKS if find_spec(above) else ()
    return replace(found, checks=[*found.checks, *checks])


def register(name: str) -> Callable[[Callable[[], Derivation]], Callable[[], Derivation]]:
    """Decorator: make the derivation that a function returns known as `name`."""
    if name in names():
        raise ValueError(f"derivation = {name!r}: expected a name not yet taken; choose another.")

    def known(build: Callable[[], Derivation]) -> Callable[[], Derivation]:
        _OWN[name] = build
        return build

    return known


def attach(name: str, check: Check) -> None:
    """Add a check, such as one that needs simulation or training, to the derivation `name`; once, however often it is called."""
    arguments.one_of("derivation", name, names())
    attached = _ATTACHED.setdefault(name, [])
    if check.name not in {known.name for known in attached}:
        attached.append(check)
        get.cache_clear()
