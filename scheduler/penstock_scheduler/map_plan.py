"""A map that is ready to be fed, whatever its rows go through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from penstock_plugins.errors import ConfigurationError
from penstock_scheduler.feeder import Feeder
from penstock_scheduler.ticket import Ticket


def check_inputs(inputs: object) -> None:
    """Refuse one input where many are meant: to iterate over its keys or characters is never meant.

    Raises:
        ConfigurationError: it is a mapping or a text.
    """
    if isinstance(inputs, Mapping | str | bytes | bytearray):
        raise ConfigurationError(
            f"map takes a list or the like of inputs, not one {type(inputs).__name__}: submit takes one"
        )


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
