"""Changes of a setting's entries by name: what scans, sweeps and options of the command line have in common.

An entry has the dotted name that it has in a setting's file, or a shorter one of `SHORT_NAMES`. Entries that are left
out of the data that are changed take the family's defaults, which may depend on those that change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onset.theory import arguments
from onset.theory.markov.priors import Mixture, Unigram, prior_from_dict, prior_to_dict
from onset.theory.setting import Setting

__all__ = ["changed", "entry_name", "overlap", "setting_from"]

SHORT_NAMES = {name: f"prior.{name}" for name in ("states", "order", "concentration", "weight")} | {
    "learning_rate": "optimizer.learning_rate"
}
"""Entries of a setting by the shorter name of their axis; weight is that of a mixture's first component."""


def entry_name(axis: str) -> str:
    """Dotted name, in a setting's file, of the entry that an axis stands for."""
    head, dot, rest = axis.replace("-", "_").partition(".")
    return SHORT_NAMES.get(head, head) + dot + rest


def overlap(one: str, other: str) -> bool:
    """Whether two dotted names mean the same entry, or one of them a table that holds the other."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def changed(data: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Plain `data` of a setting with `changes` of its entries by dotted name.

    Raises
    ------
    ValueError
        If a table is needed where `data` hold something else.
    """
    result = dict(data)
    # The weight comes last: at 0 and 1 it leaves one component, which may have no concentration.
    for name, value in sorted(changes.items(), key=lambda change: change[0] == "prior.weight"):
        *tables, last = name.split(".")
        inner = result
        for table in tables:
            inner[table] = dict(arguments.table(table, inner.get(table, {})))
            inner = inner[table]
        if last == "weight" and tables == ["prior"]:
            result["prior"] = _with_weight(inner, value)
        elif last in ("states", "concentration") and tables == ["prior"] and inner.get("kind") == Mixture.kind:
            result["prior"] = _with_components(inner, last, value)
        else:
            inner[last] = value
    return result


def setting_from(data: Mapping[str, Any], changes: Mapping[str, Any]) -> Setting:
    """The setting that plain `data` describe, with `changes` of its entries by dotted name.

    Raises
    ------
    ValueError
        Naming the changes, if one of them is no entry of a setting or out of range.
    """
    try:
        return Setting.from_dict(changed(data, changes))
    except ValueError as problem:
        point = ", ".join(f"{name} = {arguments.shown(value)}" for name, value in changes.items())
        raise ValueError(f"at {point}: {problem}" if point else str(problem)) from problem


def _with_components(mixture: Mapping[str, Any], name: str, value: float) -> dict[str, Any]:
    """A mixture with another number of states, or another concentration of the components that have one."""
    normal = prior_to_dict(prior_from_dict(mixture))
    components = normal["components"]
    affected = [part for part in components if _has(part, name)] or components[:1]

    def changed_part(part: Mapping[str, Any]) -> Mapping[str, Any]:
        return _with_components(part, name, value) if part["kind"] == Mixture.kind else {**part, name: value}

    return normal | {"components": [changed_part(part) if part in affected else part for part in components]}


def _has(prior: Mapping[str, Any], name: str) -> bool:
    """Whether a prior, or a component of a mixture, has an entry of this name."""
    return name in prior or any(_has(part, name) for part in prior.get("components", ()))


def _with_weight(prior: Mapping[str, Any], weight: float) -> dict[str, Any]:
    """A mixture whose first component has this weight, the others sharing the rest in proportion.

    A prior that is no mixture is mixed with `Unigram`. Weights of 0 and 1 leave out one side.
    """
    if not 0 <= arguments.real("weight", weight) <= 1:
        raise ValueError(f"weight = {weight:g}: expected a share between 0 and 1; give for instance 0.5.")
    mixture = prior_from_dict(prior)
    if not isinstance(mixture, Mixture):
        mixture = Mixture((mixture, Unigram(mixture.states)), (0.5, 0.5))
    others = [(1 - weight) * other / sum(mixture.weights[1:]) for other in mixture.weights[1:]]
    pairs = [pair for pair in zip(mixture.components, (weight, *others), strict=True) if pair[1] > 0]
    components, weights = zip(*pairs, strict=True)
    return prior_to_dict(components[0] if len(pairs) == 1 else Mixture(components, weights))
