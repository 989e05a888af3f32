"""Keys made of a call's params and context: `api/{{input.region}}/{{context.tenant}}`. Pure.

A hole names a value by its path: `input` is the params, `context` has `tenant`, `tool`, `session`, `request`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from penstock_plugins.errors import ParamsError

#: Characters of a key at most.
MAX_KEY_CHARS = 256
#: Characters of a template at most.
MAX_TEMPLATE_CHARS = 1024
_HOLE = re.compile(r"\{\{\s*((?:input|context)(?:\.[A-Za-z_][A-Za-z0-9_]*)+)\s*\}\}")


class KeyTemplate:
    """A text with holes, each of which names a value.

    Args:
        text: the template.

    Raises:
        ValueError: a hole that names nothing.
    """

    def __init__(self, text: str) -> None:
        if not 0 < len(text) <= MAX_TEMPLATE_CHARS:
            raise ValueError(f"a key template has 1 to {MAX_TEMPLATE_CHARS} characters")
        parts = _HOLE.split(text)
        if "{{" in "".join(parts[0::2]):
            raise ValueError(f"a hole must be like {{{{input.name}}}}: {text!r}")
        self._texts = parts[0::2]
        self._paths = [part.split(".") for part in parts[1::2]]

    def render(self, params: Any, context: Mapping[str, Any]) -> str:
        """The key of one call.

        Raises:
            ParamsError: a value is missing, or is none that a key can be made of.
        """
        made = [self._texts[0]]
        for path, text in zip(self._paths, self._texts[1:], strict=True):
            value: Any = {"input": params, "context": context}
            for name in path:
                value = value.get(name) if isinstance(value, Mapping) else None
            if value is None or not isinstance(value, str | int | float):
                raise _refused(".".join(path), "has no value that a key can be made of")
            made += [str(value) if not isinstance(value, bool) else str(value).lower(), text]
        key = "".join(made)
        if not 0 < len(key) <= MAX_KEY_CHARS:
            raise _refused("$", f"the key has {len(key)} characters; 1 to {MAX_KEY_CHARS} are allowed")
        return key


def _refused(path: str, why: str) -> ParamsError:
    message = f"{path}: {why}"
    return ParamsError(message, {"errors": [{"path": path, "message": why}]})
