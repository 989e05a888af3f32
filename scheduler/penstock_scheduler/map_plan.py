"""A map that is ready to be fed, whatever its rows go through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from penstock_scheduler.feeder import Feeder
from penstock_scheduler.ticket import Ticket


@dataclass(frozen=True, slots=True, kw_only=True)
class MapPlan:
    """What feeding needs."""

    ticket: Ticket
    #: Makes the JSON text of one row.
    encode: Callable[[Any], bytes]
    #: Inputs that the job has accepted before.
    skip: int
    #: None: the job's input has ended already, nothing is to be fed.
    feeder: Feeder | None
