"""From where the items of a run that goes on with another came. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Where a plan's context has it.
_KEY = "resumes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The run that another goes on with, and which of its items."""

    #: The id of that run.
    job: str
    #: By index in the run that goes on: the item's index in that run.
    indexes: tuple[int, ...]

    def added_to(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """A plan's context that says so, too."""
        return {**context, _KEY: {"job": self.job, "indexes": list(self.indexes)}}


def origin_in(context: Mapping[str, Any]) -> Origin | None:
    """What a plan's context says. None: its run goes on with no other."""
    found = context.get(_KEY)
    return None if found is None else Origin(job=found["job"], indexes=tuple(found["indexes"]))
