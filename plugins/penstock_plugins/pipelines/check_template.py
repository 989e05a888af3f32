"""What is known of the value that a template will make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock_plugins.pipelines.check_shapes import UNKNOWN, Shape, Some
from penstock_plugins.pipelines.expressions_jmespath import Reference
from penstock_plugins.pipelines.expressions_paths import Path
from penstock_plugins.pipelines.expressions_template import pieces


def shape_of(value: Any, find: Callable[[Path], Shape]) -> Shape:
    """The shape of what a template, which compiles, will make.

    Args:
        value: the template.
        find: what is known at a path.
    """
    if isinstance(value, dict):
        return {key: shape_of(item, find) for key, item in value.items()}
    if isinstance(value, list):
        return [shape_of(item, find) for item in value]
    if not isinstance(value, str) or "{{" not in value:
        return value
    found = pieces(value)
    if len(found) > 1 or not found[0].is_hole:
        return Some("string")
    return shape_of_reference(found[0].text, find)


def shape_of_reference(text: str, find: Callable[[Path], Shape]) -> Shape:
    """The shape of what an expression, which compiles, will give."""
    plain = Reference(text).plain
    return UNKNOWN if plain is None else find(plain)
