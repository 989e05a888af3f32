"""What is wrong with a manifest, in words: where, what, and what to write instead."""

from __future__ import annotations

import difflib
from typing import Any, get_args

from pydantic import BaseModel

from penstock_plugins.printable import printable

#: What to write, by pydantic's name of the problem.
_ADVICE = {
    "string_type": 'write a text, in quotes: "…"',
    "int_type": "write a whole number",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "bool_type": "write true or false",
    "dict_type": "write a table",
    "model_type": "write a table",
}


def describe(item: Any, model: type[BaseModel]) -> str:
    """One of pydantic's errors of a manifest.

    Args:
        item: the error, without its input: that may be anything.
        model: what the whole manifest is read as.
    """
    where = ".".join(printable(part, 80) for part in item["loc"]) or "it"
    message = printable(str(item["msg"]).removeprefix("Value error, "), 400)
    if item["type"] == "missing":
        message = f"{where} is required"
        return message if where in {"name", "version"} else f"Invalid manifest: {message}"
    if item["type"] == "extra_forbidden":
        return f"Invalid manifest: {where}: no such key{_other_keys(item['loc'], model)}"
    if message == f"{where} is required":
        return message
    if (advice := _ADVICE.get(item["type"])) is not None:
        message = f"{message.replace('Input should be', 'must be')}: {advice}"
    return f"Invalid manifest: {where}: {message}" if item["loc"] else f"Invalid manifest: {message}"


def _other_keys(location: tuple[int | str, ...], model: type[BaseModel]) -> str:
    """Which key may have been meant, or which there are."""
    table: type[BaseModel] | None = model
    for part in location[:-1]:
        if isinstance(part, str) and table is not None:
            fields = table.model_fields.items()
            field = next((field for name, field in fields if part in (name, field.alias)), None)
            table = None if field is None else _table_in(field.annotation)
    if table is None:
        return ""
    keys = [field.alias or name for name, field in table.model_fields.items()]
    if close := difflib.get_close_matches(printable(location[-1], 80), keys, n=1):
        return f"; did you mean {close[0]}?"
    return f"; there are {', '.join(keys)}"


def _table_in(annotation: Any) -> type[BaseModel] | None:
    """The table that a field's type has inside, such as that of `tuple[ToolTable, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_table_in, get_args(annotation))), None)
