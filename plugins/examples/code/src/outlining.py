"""Classes and functions of a syntax tree, and how many paths lead through them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

# It imports what it needs when it is first called, which would be too late in a call.
ast.unparse(ast.parse("x"))

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Scope = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)

#: Each of these adds one path.
_BRANCHES = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.IfExp, ast.ExceptHandler, ast.Assert)


def outline_of(module: ast.Module, *, whole_docstrings: bool) -> dict[str, Any]:
    """What there is in a module."""
    items = [_item(node, whole_docstrings) for node in _scopes(module)]
    everything = list(_flat(items))
    functions = [item for item in everything if item["kind"] != "class"]
    return {
        "docstring": _docstring(module, whole_docstrings),
        "items": items,
        "classes": len(everything) - len(functions),
        "functions": len(functions),
        "complexity": complexity(module),
        "max_complexity": max((item["complexity"] for item in functions), default=0),
    }


def complexity(scope: ast.AST) -> int:
    """McCabe's number: one, and one for each decision. What is defined inside counts for itself."""
    paths = 1
    for node in _own(scope):
        if isinstance(node, _BRANCHES):
            paths += 1
        elif isinstance(node, ast.BoolOp):
            paths += len(node.values) - 1
        elif isinstance(node, ast.comprehension):
            paths += 1 + len(node.ifs)
        elif isinstance(node, ast.Match):
            paths += sum(1 for case in node.cases if not _is_catch_all(case))
    return paths


def _item(node: _Function | ast.ClassDef, whole_docstrings: bool) -> dict[str, Any]:
    item: dict[str, Any] = {
        "kind": "class",
        "name": node.name,
        "line": node.lineno,
        "end_line": node.end_lineno,
        "docstring": _docstring(node, whole_docstrings),
        "decorators": [_text(decorator) for decorator in node.decorator_list],
    }
    if isinstance(node, ast.ClassDef):
        item["bases"] = [_text(base) for base in node.bases]
    else:
        item["kind"] = "async function" if isinstance(node, ast.AsyncFunctionDef) else "function"
        item["params"] = _params(node.args)
        item["complexity"] = complexity(node)
    item["items"] = [_item(inner, whole_docstrings) for inner in _scopes(node)]
    return item


def _scopes(scope: ast.AST) -> list[Any]:
    """The classes and functions that are defined in a scope, wherever in it, and not in one of them."""
    return sorted((node for node in _own(scope) if isinstance(node, _Scope)), key=lambda node: node.lineno)


def _own(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope without those of the scopes in it. A list, not recursion: trees may be deep."""
    waiting = list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, _Scope):
            waiting.extend(ast.iter_child_nodes(node))


def _flat(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for item in items:
        yield item
        yield from _flat(item["items"])


def _params(arguments: ast.arguments) -> list[str]:
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    if arguments.vararg:
        names.append(f"*{arguments.vararg.arg}")
    names += [argument.arg for argument in arguments.kwonlyargs]
    if arguments.kwarg:
        names.append(f"**{arguments.kwarg.arg}")
    return names


def _docstring(node: Any, whole: bool) -> str | None:
    text = ast.get_docstring(node)
    return text if text is None or whole else text.partition("\n")[0]


def _is_catch_all(case: ast.match_case) -> bool:
    return case.guard is None and isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None


def _text(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 200 else f"{text[:200]}…"
