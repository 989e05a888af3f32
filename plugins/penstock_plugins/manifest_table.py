"""What all tables of `plugin.toml` have in common: keys, types, names and lists are checked strictly."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from penstock_plugins.printable import printable

#: Names of plugins, capabilities and worker pools.
NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Table(BaseModel):
    """A table that refuses keys it does not know and values of another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def texts_like(value: Any, pattern: re.Pattern[str], what: str) -> Any:
    """The texts of a list, each like the pattern.

    Args:
        value: what stands in the file.
        pattern: that each matches as a whole.
        what: they are, for messages.

    Raises:
        ValueError: it is no list of texts, or some are not like that.
    """
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list of texts")  # noqa: TRY004 -- pydantic collects ValueErrors
    wrong = [item for item in value if not isinstance(item, str) or not pattern.fullmatch(item)]
    if wrong:
        named = ", ".join(repr(printable(item, 80)) for item in wrong[:5])
        raise ValueError(f"{named}{', …' if len(wrong) > 5 else ''}: not {what}")
    return tuple(value)
