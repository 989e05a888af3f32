"""The imports of a syntax tree."""

from __future__ import annotations

import ast
from typing import Any


def imports_of(module: ast.Module) -> list[dict[str, Any]]:
    """Each import statement's modules, in the order of lines."""
    found: list[dict[str, Any]] = []
    waiting: list[tuple[ast.AST, str]] = [(module, "module")]
    while waiting:
        node, where = waiting.pop()
        if isinstance(node, ast.Import):
            found += [
                {"module": name.name, "names": [], "as": name.asname, "line": node.lineno, "where": where}
                for name in node.names
            ]
        elif isinstance(node, ast.ImportFrom):
            found.append(
                {
                    "module": "." * node.level + (node.module or ""),
                    "names": [name.name for name in node.names],
                    "as": None,
                    "line": node.lineno,
                    "where": where,
                }
            )
        waiting += [(child, _place(node, child, where)) for child in ast.iter_child_nodes(node)]
    return sorted(found, key=lambda item: item["line"])


def _place(node: ast.AST, child: ast.AST, where: str) -> str:
    """Where a node's child stands: in the module, a condition, a block for type checkers or a function."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return "function"
    if where in ("function", "type checking"):
        return where
    if isinstance(node, ast.If):
        return "type checking" if child in _for_checkers(node) else "condition"
    return "condition" if isinstance(node, ast.Try | ast.TryStar | ast.Match) else where


def _for_checkers(node: ast.If) -> list[ast.stmt]:
    """What of a condition type checkers alone read."""
    test, read = node.test, node.body
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        test, read = test.operand, node.orelse
    return read if "TYPE_CHECKING" in ast.unparse(test) else []
