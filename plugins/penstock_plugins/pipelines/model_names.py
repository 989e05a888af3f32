"""Names inside a pipeline: of steps and parallel branches, which expressions use, and of tools."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema

#: Names of steps and of parallel branches: usable in both expression languages without quotes.
STEP_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
#: Words that CEL keeps for itself.
_RESERVED = frozenset(
    {"as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let"}
    | {"loop", "namespace", "null", "package", "return", "true", "var", "void", "while"}
)


def check_name(name: str) -> str:
    """The name of a step or of a parallel branch.

    Raises:
        ValueError: it cannot be one.
    """
    if not STEP_NAME.fullmatch(name) or name in _RESERVED:
        raise ValueError(
            "a name begins with a letter, has letters, digits and _ only, 64 at most, and is no word of CEL's"
        )
    return name


ToolName = Annotated[str, Field(min_length=1, max_length=256)]
#: The same for editors.
NAME_SCHEMA: dict[str, Any] = {
    "type": "string",
    "pattern": f"^{STEP_NAME.pattern}$",
    "not": {"enum": sorted(_RESERVED)},
}
Name = Annotated[str, AfterValidator(check_name), WithJsonSchema(NAME_SCHEMA)]
