"""What an examination finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    #: It works; something is not as safe or as quick as it could be.
    WARNING = "warning"
    #: It does not work, or loses what it promised to keep.
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    about: str
    level: Level
    message: str
    #: What to do. Empty: nothing.
    advice: str = ""
