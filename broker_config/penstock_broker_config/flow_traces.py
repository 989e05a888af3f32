"""What each stage of a flow has added to the traces of its items, as it is kept beside them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from penstock_broker_config.value_references import is_reference
from penstock_plugins.errors import EnvelopeError

#: Of one stage: position of the item → entries.
Added = dict[str, list[dict[str, Any]]]


def read_traces(traces: Mapping[str, bytes], get: Callable[[bytes], bytes]) -> list[Added]:
    """What each stage has added, in their order.

    Args:
        traces: by stage.
        get: the value that a reference stands for; what it raises goes through.

    Raises:
        EnvelopeError: these are no traces.
    """
    try:
        in_order = sorted(traces.items(), key=lambda pair: _rank(pair[0]))
        found = [orjson.loads(get(raw) if is_reference(raw) else raw) for _, raw in in_order]
    except ValueError as error:  # a stage that is none, or no JSON
        raise EnvelopeError("What is kept of the items' traces is damaged") from error
    if not all(isinstance(stage, dict) for stage in found):
        raise EnvelopeError("What is kept of the items' traces is damaged: it is no table")
    return found


def added(traces: Iterable[Added], position: int) -> list[list[dict[str, Any]]]:
    """What each of these stages added to one item."""
    return [trace for stage in traces if (trace := stage.get(str(position)))]


def _rank(stage: str) -> tuple[bool, int]:
    """Stages in order; those of undoing come last."""
    return (True, int(stage[1:])) if stage.startswith("u") else (False, int(stage))
