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
        waiting += [(child, _place(node, where)) for child in ast.iter_child_nodes(node)]
    return sorted(found, key=lambda item: item["line"])


def _place(node: ast.AST, where: str) -> str:
    """Where the children of a node stand: at the top, in a condition or in a function."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return "function"
    if where == "function":
        return where
    if isinstance(node, ast.If):
        return "type checking" if "TYPE_CHECKING" in ast.unparse(node.test) else "condition"
    return "condition" if isinstance(node, ast.Try) and where == "module" else where
