"""The functions of JMESPath here: the standard's, and two that group (JMESPath Community spells them so).

group_by(list, &expression)   an object: the elements by a text that each of them gives
items(object)                 a list of [key, value]
"""

from __future__ import annotations

from typing import Any

from jmespath.exceptions import JMESPathTypeError
from jmespath.functions import Functions, signature


class PipelineFunctions(Functions):
    """The functions that an expression may call."""

    @signature({"types": ["array"]}, {"types": ["expref"]})
    def _func_group_by(self, array: list[Any], expref: Any) -> dict[str, list[Any]]:
        groups: dict[str, list[Any]] = {}
        for element in array:
            key = expref.visit(expref.expression, element)
            if not isinstance(key, str):
                raise JMESPathTypeError("group_by", "a key", type(key).__name__, ["string"])
            groups.setdefault(key, []).append(element)
        return groups

    @signature({"types": ["object"]})
    def _func_items(self, table: dict[str, Any]) -> list[list[Any]]:
        return [[key, value] for key, value in table.items()]
