"""Mutants of a source file: one operator or number changed in one place, by the operators of cosmic-ray.

Module constants are moved by one like other numbers, or, where that is asked for, by a factor of two.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast_from_path, is_number
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import OPERATOR_PROVIDERS, get_operator, operator_names
from parso.python.tree import Number

__all__ = [
    "CONSTANTS",
    "EQUIVALENT",
    "OPERATORS",
    "Mutant",
    "checking",
    "equivalents",
    "mutant_at",
    "outside_functions",
    "places",
]

EQUIVALENT = Path(__file__).parent / "equivalent.toml"
"""Mutants that change nothing, with the reason."""

ARITHMETIC = {("Add", "Sub"), ("Sub", "Add"), ("Mul", "Div"), ("Div", "Mul"), ("Pow", "Mul"), ("FloorDiv", "Div")}
COMPARISONS = {("Lt", "LtE"), ("LtE", "Lt"), ("Gt", "GtE"), ("GtE", "Gt"), ("Eq", "NotEq"), ("NotEq", "Eq")}
OTHERS = (
    "NumberReplacer",
    "ReplaceUnaryOperator_Delete_USub",
    "ReplaceUnaryOperator_Delete_Not",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "AddNot",
    "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak",
)
OPERATORS = (
    *(f"core/ReplaceBinaryOperator_{old}_{new}" for old, new in sorted(ARITHMETIC)),
    *(f"core/ReplaceComparisonOperator_{old}_{new}" for old, new in sorted(COMPARISONS)),
    *(f"core/{name}" for name in OTHERS),
)
"""Those of cosmic-ray that leave code which runs: bits of a float, for one, raise an error that any test would see."""

CONSTANTS = ("onset/FactorTwo",)
"""Operators of module constants alone."""


class FactorTwo(Operator):
    """Doubles or halves a number in a constant of the module: an assignment to a name in capitals."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        if is_number(node) and _in_constant(node) and float(ast.literal_eval(node.value)):
            yield from [(node.start_pos, node.end_pos)] * 2

    def mutate(self, node: Any, index: int) -> Number:
        value = ast.literal_eval(node.value)
        halved = value // 2 if isinstance(value, int) and value > 1 else value / 2
        return Number(f" {(2 * value, halved)[index]}", node.start_pos)

    @classmethod
    def examples(cls) -> tuple[()]:
        return ()


def _in_constant(node: Any) -> bool:
    """Whether a leaf stands in the value of a constant, outside any function or class; one letter is a symbol."""
    while node.parent is not None and node.type not in ("expr_stmt", "funcdef", "classdef", "lambdef"):
        node = node.parent
    at_top = node.type == "expr_stmt" and node.parent.parent.type == "file_input"
    return at_top and (name := node.get_first_leaf().value).isupper() and len(name) > 1


OPERATOR_PROVIDERS["onset"] = {FactorTwo.__name__: FactorTwo}


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Attributes
    ----------
    path : str
        Relative to the root of the repository.
    operator : str
        Name in cosmic-ray.
    occurrence : int
        Which of the places in the file that the operator can change.
    line : int
    before, after : str
        The line that is changed and what it becomes, without spaces around them.
    """

    path: str
    operator: str
    occurrence: int
    line: int
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.before}  →  {self.after}"

    @property
    def id(self) -> str:
        """Names the mutant as long as its file is unchanged."""
        return f"{self.path} {self.operator} {self.occurrence}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def places(root: Path, path: str, operators: tuple[str, ...] = OPERATORS) -> Iterator[tuple[str, str, int, int]]:
    """Path, operator, occurrence and line of all changes that the operators can make to a file.

    Checks of derivations are left out: they are tests themselves, of formulas that other tests corrupt on purpose. So
    are the marks ``*`` and ``/`` between parameters.
    """
    tree = get_ast_from_path(root / path)
    nodes, checks = list(ast_nodes(tree)), checking(path, (root / path).read_text(encoding="utf-8"))
    for name in operators:
        operator = get_operator(name)()
        found = (place for node in nodes for place in operator.mutation_positions(node))
        for occurrence, (start, _) in enumerate(found):
            if start[0] not in checks and tree.get_leaf_for_position(start).parent.type != "parameters":
                yield path, name, occurrence, start[0]


def checking(path: str, source: str) -> set[int]:
    """Lines of a module that only check formulas: of functions that `check` decorates, and of those they alone call."""
    if "/checks/" in path:
        return set(range(1, source.count("\n") + 2))
    tree = ast.parse(source)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    named = {
        name: {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and n.id in functions} - {name}
        for name, node in functions.items()
    }
    checks = {name for name, node in functions.items() if any(map(_is_check, node.decorator_list))}
    outside = [node for node in tree.body if not isinstance(node, ast.FunctionDef)]
    making, elsewhere = ([node for node in outside if any(map(_is_check, ast.walk(node))) == made] for made in (1, 0))
    used = {n.id for node in elsewhere for n in ast.walk(node) if isinstance(n, ast.Name)}
    exported = {n.value for node in elsewhere for n in ast.walk(node) if isinstance(n, ast.Constant)}
    made = {n.id for node in making for n in ast.walk(node) if isinstance(n, ast.Name) and n.id in functions}
    checks |= made - used - exported - {name for others in named.values() for name in others}
    while more := {
        name
        for name in functions.keys() - checks - used - exported
        if any(name in others for others in named.values())
        and all(caller in checks for caller, others in named.items() if name in others)
    }:
        checks |= more
    nodes = [*(functions[name] for name in checks), *making]
    return set().union(*(range(node.lineno, (node.end_lineno or 0) + 1) for node in nodes))


def _is_check(node: ast.AST) -> bool:
    """Whether a node makes a check of a derivation."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("check", "Check")


def mutant_at(root: Path, path: str, operator: str, occurrence: int, line: int) -> Mutant | None:
    """The mutant of a place; None if the operator leaves the code as it is."""
    source = (root / path).read_text(encoding="utf-8")
    wrong = mutate_code(source, get_operator(operator)(), occurrence)
    if wrong is None or wrong == source:
        return None
    before, after = (text.splitlines()[line - 1].strip() for text in (source, wrong))
    return Mutant(path, operator, occurrence, line, before, after)


@cache
def equivalents() -> dict[tuple[str, str, str], str]:
    """Reasons of the mutants in `EQUIVALENT`, by path, line before and line after."""
    entries = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8")).get("equivalent", [])
    return {(entry["path"], entry["before"], entry["after"]): entry["reason"] for entry in entries}


def outside_functions(source: str) -> set[int]:
    """Lines of a module that run when it is imported: all but the bodies of functions."""
    lines = set(range(1, source.count("\n") + 2))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines -= set(range(node.body[0].lineno, (node.end_lineno or node.lineno) + 1))
    return lines


assert {*OPERATORS, *CONSTANTS} <= set(operator_names())
