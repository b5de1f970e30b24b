"""Mutants of a source file: one operator or number changed in one place, by the operators of cosmic-ray."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

__all__ = ["EQUIVALENT", "Mutant", "equivalents", "mutant_at", "outside_functions", "places"]

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
    *(f"ReplaceBinaryOperator_{old}_{new}" for old, new in sorted(ARITHMETIC)),
    *(f"ReplaceComparisonOperator_{old}_{new}" for old, new in sorted(COMPARISONS)),
    *OTHERS,
)
"""Those of cosmic-ray that leave code which runs: bits of a float, for one, raise an error that any test would see."""


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


def places(root: Path, path: str) -> Iterator[tuple[str, str, int, int]]:
    """Path, operator, occurrence and line of all changes that the operators can make to a file."""
    nodes = list(ast_nodes(get_ast_from_path(root / path)))
    for name in (f"core/{operator}" for operator in OPERATORS):
        operator = get_operator(name)()
        found = (place for node in nodes for place in operator.mutation_positions(node))
        yield from ((path, name, occurrence, line) for occurrence, ((line, _), _) in enumerate(found))


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


assert {f"core/{operator}" for operator in OPERATORS} <= set(operator_names())
