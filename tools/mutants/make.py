"""Write the mutants of modules as JSON lines; runs in the environment of tools/mutants/setup.sh.

    python tools/mutants/make.py MODULE...

A line holds the module (`file`), the number of the first changed line (`line`), the lines that the mutant
changes (`before`, `after`), and its whole text (`source`). Cosmic Ray changes neither strings nor docstrings;
what lies in an annotation, a decorator, a `raise` statement or a warning is left out here, and so is the
`strict` of `zip`, which only tells of mistakes in the code.
"""

from __future__ import annotations

import ast
import itertools
import json
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cosmic_ray.ast import get_ast
from cosmic_ray.mutating import MutationVisitor
from cosmic_ray.plugins import get_operator

# One replacement of each operator by another that is easily taken for it, not all of them by all others.
OPERATORS = (
    "NumberReplacer",
    "AddNot",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
    "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak",
    "ExceptionReplacer",
    "ZeroIterationForLoop",
    "ReplaceUnaryOperator_Delete_Not",
    "ReplaceUnaryOperator_Delete_USub",
    "ReplaceUnaryOperator_Delete_Invert",
    "ReplaceComparisonOperator_Eq_NotEq",
    "ReplaceComparisonOperator_NotEq_Eq",
    "ReplaceComparisonOperator_Lt_LtE",
    "ReplaceComparisonOperator_LtE_Lt",
    "ReplaceComparisonOperator_Gt_GtE",
    "ReplaceComparisonOperator_GtE_Gt",
    "ReplaceComparisonOperator_Is_IsNot",
    "ReplaceComparisonOperator_IsNot_Is",
    "ReplaceBinaryOperator_Add_Sub",
    "ReplaceBinaryOperator_Sub_Add",
    "ReplaceBinaryOperator_Mul_Div",
    "ReplaceBinaryOperator_Div_Mul",
    "ReplaceBinaryOperator_FloorDiv_Div",
    "ReplaceBinaryOperator_Mod_FloorDiv",
    "ReplaceBinaryOperator_Pow_Mul",
    "ReplaceBinaryOperator_BitOr_BitAnd",
    "ReplaceBinaryOperator_BitAnd_BitOr",
    "ReplaceBinaryOperator_BitXor_BitOr",
    "ReplaceBinaryOperator_LShift_RShift",
    "ReplaceBinaryOperator_RShift_LShift",
)


def left_out(text: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return the parts of a module that are not mutated, as (line, column) of their beginning and end."""
    nodes: list[ast.AST | None] = []
    for node in ast.walk(ast.parse(text)):
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if isinstance(node, ast.Raise) or called in ("warnings.warn", "TypeVar"):
            nodes.append(node)
        elif isinstance(node, ast.keyword) and node.arg == "strict":
            nodes.append(node.value)
        elif isinstance(node, (ast.arg, ast.AnnAssign)):
            nodes.append(node.annotation)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            nodes.extend(node.decorator_list)
            nodes.append(getattr(node, "returns", None))
    return [
        ((node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0))
        for node in nodes
        if isinstance(node, (ast.expr, ast.stmt))
    ]


def changed(before: str, after: str) -> tuple[int, str, str]:
    """Return the number of the first line that differs, and the lines that differ, stripped."""
    old, new = before.splitlines(), after.splitlines()
    first = next(i for i, (a, b) in enumerate(itertools.zip_longest(old, new)) if a != b)
    last = next(i for i, (a, b) in enumerate(itertools.zip_longest(old[::-1], new[::-1])) if a != b)
    return (
        first + 1,
        "\n".join(line.strip() for line in old[first : len(old) - last]),
        "\n".join(line.strip() for line in new[first : len(new) - last]),
    )


class Places(MutationVisitor):
    """Finds where an operator changes something, and changes nothing."""

    def __init__(self, operator: Any) -> None:
        super().__init__(-1, operator)
        self.places: list[tuple[int, int]] = []

    def visit(self, node: Any) -> Any:
        """Note the places in a node."""
        self.places += [start for start, _ in self.operator.mutation_positions(node)]
        return node


def mutants(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the mutants of a module, each text once."""
    text = path.read_text(encoding="utf-8")
    lines, parts = text.splitlines(), left_out(text)
    tree = pickle.dumps(get_ast(text))
    seen = {ast.unparse(ast.parse(text))}
    for name in OPERATORS:
        operator = get_operator(f"core/{name}")()
        places = Places(operator)
        places.walk(pickle.loads(tree))  # noqa: S301 - made above
        for number, place in enumerate(places.places):
            bare_star = lines[place[0] - 1][place[1] :].startswith("*,")  # of keyword-only parameters
            if bare_star or any(start <= place < end for start, end in parts):
                continue
            try:
                mutated = MutationVisitor(number, operator).walk(pickle.loads(tree)).get_code()  # noqa: S301 - the same
                meaning = ast.unparse(ast.parse(mutated))
            # Forms that Cosmic Ray does not know: `except csv.Error`, `not in`.
            except (AttributeError, SyntaxError):
                continue
            if meaning not in seen:
                seen.add(meaning)
                line, before, after = changed(text, mutated)
                yield {"file": str(path), "line": line, "before": before, "after": after, "source": mutated}


if __name__ == "__main__":
    sys.setrecursionlimit(10_000)  # pickle goes as deep as the tree
    for given in sys.argv[1:]:
        for mutant in mutants(Path(given)):
            print(json.dumps(mutant))
