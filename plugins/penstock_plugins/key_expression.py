"""What stands in a hole of a key template: JMESPath, less all that could cost more than a look. Pure.

Every node that is allowed takes constant time: no projections, filters, slices or comparisons, and no
function that walks through a value. So what a plugin writes costs the producer no more than its length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

#: Reads a value out of params and context. None: there is none. Raises ValueError: it cannot be made.
Read = Callable[[Any, Mapping[str, Any]], Any]

#: Characters of an expression at most.
MAX_EXPRESSION_CHARS = 200
#: What `context` has.
CONTEXT_NAMES = ("tenant", "tool", "plugin", "session", "request")
#: Functions that take constant time, and how many arguments each takes at least and at most.
_FUNCTIONS = {
    "abs": (1, 1),
    "ceil": (1, 1),
    "floor": (1, 1),
    "length": (1, 1),
    "not_null": (1, 8),
    "type": (1, 1),
}
_OPERATORS = frozenset({"or_expression", "and_expression", "not_expression"})
_CHAINS = frozenset({"subexpression", "index_expression"})
_ALLOWED = f"a hole has names, [0], ||, &&, !, 'text', and the functions {', '.join(_FUNCTIONS)}"
_MAX_DEPTH = 16
_TOO_DEEP = "it is nested too deep"
_PLAIN_PATH = re.compile(r"(?:input|context)(?:\.[A-Za-z_][A-Za-z0-9_]*)+")


def compile_expression(text: str) -> Read:
    """Parse an expression once.

    Args:
        text: such as `input.host`, `input.hosts[0]` or `input.region || 'eu'`.

    Raises:
        ValueError: it is none, names nothing that there is, or could cost more than a look.
    """
    if not 0 < len(text) <= MAX_EXPRESSION_CHARS:
        raise ValueError(f"an expression has 1 to {MAX_EXPRESSION_CHARS} characters")
    if _PLAIN_PATH.fullmatch(text):
        names = text.split(".")
        _check_names(names)
        return _path(names)
    return _jmespath(text)


def _path(names: list[str]) -> Read:
    root, *inner = names
    of_params = root == "input"

    def read(params: Any, context: Mapping[str, Any]) -> Any:
        value = params if of_params else context
        for name in inner:
            if type(value) is not dict and not isinstance(value, Mapping):
                return None
            value = value.get(name)
        return value

    return read


def _jmespath(text: str) -> Read:
    # Imported here: most templates name plain paths.
    import jmespath
    from jmespath.exceptions import JMESPathError
    from jmespath.visitor import TreeInterpreter

    if "`" in text:
        # They hold any JSON, or with a warning what is none.
        raise ValueError("write literals as 'text'")
    try:
        compiled = jmespath.compile(text)
    except JMESPathError as error:
        raise ValueError(f"it is no JMESPath: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    if not _check(compiled.parsed):
        raise ValueError("it names nothing of input or context")
    # `compiled.search` would make an interpreter for each call, which is half of the time.
    visit = TreeInterpreter().visit

    def read(params: Any, context: Mapping[str, Any]) -> Any:
        try:
            return visit(compiled.parsed, {"input": params, "context": context})
        except JMESPathError as error:
            # Its own words hold the value, however large.
            raise ValueError("has a value that its function does not take") from error

    return read


def _check(node: Any, depth: int = 0) -> bool:
    """See that an expression may be used; whether it names anything.

    Raises:
        ValueError: it may not.
    """
    if depth > _MAX_DEPTH:
        raise ValueError(_TOO_DEEP)
    kind, children = node["type"], node["children"]
    if kind == "literal":
        return False
    if kind == "field" or kind in _CHAINS:
        return _check_chain(node, depth)
    if kind == "function_expression":
        least, most = _FUNCTIONS.get(node["value"], (0, 0))
        if not least <= len(children) <= most or not most:
            raise ValueError(f"{node['value']}() with {len(children)} arguments is not allowed; {_ALLOWED}")
    elif kind not in _OPERATORS:
        raise ValueError(f"{kind.replace('_', ' ')} is not allowed; {_ALLOWED}")
    named = [_check(child, depth + 1) for child in children]
    return any(named)


def _check_chain(node: Any, depth: int) -> bool:
    """As `_check`, of a chain as `input.a[0].b`: after its beginning, names and positions only."""
    first, *rest = _links(node)
    for link in rest:
        if link["type"] not in {"field", "index"}:
            raise ValueError(f"{link['type'].replace('_', ' ')} is not allowed; {_ALLOWED}")
    if first["type"] != "field":
        return _check(first, depth + 1)
    if rest and rest[0]["type"] == "index":
        raise ValueError(f"{first['value']} is no list")
    _check_names([str(link["value"]) for link in (first, *rest)])
    return True


def _links(node: Any) -> list[Any]:
    """The links of a chain, in their order."""
    if node["type"] not in _CHAINS:
        return [node]
    return [link for child in node["children"] for link in _links(child)]


def _check_names(names: list[str]) -> None:
    root, *inner = names
    if root not in {"input", "context"}:
        raise ValueError(f"a path begins with input (the params) or context, not with {root!r}")
    if not inner:
        raise ValueError(f"{root} is no single value: name one inside, as {root}.name")
    if root == "context" and inner[0] not in CONTEXT_NAMES:
        raise ValueError(f"context has {', '.join(CONTEXT_NAMES)}, not {inner[0]!r}")
