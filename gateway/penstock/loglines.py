"""A line that one of our processes logged as JSON, read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

#: What structlog writes beside the fields of an event.
_OWN = frozenset({"event", "level", "timestamp", "action"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One event, or a line that is none."""

    text: str
    level: str = "info"
    #: What happened, as one word. Empty: a line that is no event of ours.
    action: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, line: str) -> LogLine:
        """The event of a line; a line that is no event is its own text."""
        if not line.startswith("{"):
            return cls(text=line)
        try:
            shape = orjson.loads(line)
            return cls(
                text=str(shape["event"]),
                level=str(shape.get("level", "info")),
                action=str(shape.get("action", "")),
                fields={name: value for name, value in shape.items() if name not in _OWN},
            )
        except (orjson.JSONDecodeError, KeyError):
            return cls(text=line)
