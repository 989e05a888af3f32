"""Values inside a pipeline: JSON and nothing else, so that what was written is what travels."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from penstock_plugins.printable import printable

#: Characters of an expression at most.
MAX_EXPRESSION_CHARS = 1000
#: How deep lists and tables may be inside each other in one value.
MAX_VALUE_NESTING = 32
#: Other whole numbers are none that JSON's writers agree on.
_WHOLE = range(-(1 << 63), 1 << 64)


def json_value(value: Any) -> Any:
    """A copy of a value that is JSON; tuples become lists.

    Raises:
        ValueError: it is none; says where inside.
    """
    return _copy(value, "", 0)


def can_travel(number: int) -> bool:
    """Whether JSON's writers take a whole number."""
    return number in _WHOLE


def _copy(value: Any, path: str, depth: int) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if depth > MAX_VALUE_NESTING:
        raise ValueError(f"nested more than {MAX_VALUE_NESTING} deep")
    if isinstance(value, int):
        if not can_travel(value):
            raise ValueError(f"{_at(path)}a whole number has at most 64 bits")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{_at(path)}JSON has no infinity and no NaN")
        return value
    if isinstance(value, dict):
        return {_key(key, path): _copy(item, f"{path}.{key}", depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copy(item, f"{path}[{number}]", depth + 1) for number, item in enumerate(value)]
    if callable(value):
        raise ValueError(  # noqa: TRY004 -- pydantic collects ValueErrors
            f"{_at(path)}a Python function cannot travel: a pipeline is data only; "
            'write an expression, as "{{data.name}}"'
        )
    raise ValueError(f"{_at(path)}{type(value).__name__} is no JSON value")


def _key(key: Any, path: str) -> str:
    if not isinstance(key, str):
        raise ValueError(f"{_at(path)}the key {printable(key, 40)} is no text")  # noqa: TRY004 -- pydantic collects ValueErrors
    return key


def _at(path: str) -> str:
    return f"{printable(path.lstrip('.'), 200)}: " if path else ""


#: Any JSON value, in which texts may have `{{ }}`.
TemplateValue = Annotated[Any, AfterValidator(json_value)]
#: The text of an expression.
Expression = Annotated[str, Field(min_length=1, max_length=MAX_EXPRESSION_CHARS)]
