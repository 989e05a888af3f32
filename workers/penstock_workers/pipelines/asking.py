"""What the items at a call ask for: params, as the machine makes them and as JSON text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.result import ToolFailure
from penstock_workers.pipelines.work import FlowWork


@dataclass(frozen=True, slots=True)
class Asked:
    """The calls that items of a flow ask for."""

    #: Position and params of each.
    calls: list[tuple[int, Any]]
    #: The params of each as JSON.
    texts: list[bytes]


def ask(work: FlowWork, positions: Sequence[int]) -> Asked:
    """The calls that these items ask for. Those whose params cannot be made have moved on."""
    asked = Asked([], [])
    make, items, traces = work.machine.params, work.items, work.traces
    for position in positions:
        params = make(items[position] or work.item(position), traces[position])
        if params is None:
            continue
        try:
            text = orjson.dumps(params)
        except orjson.JSONEncodeError as error:  # nested too deep, or a number too large
            failure = ToolFailure(
                code=ErrorCode.VALIDATION_ERROR, message=f"the params cannot be written as JSON: {error}"
            )
            end_call(work, position, params=None, data=None, failure=failure, duration_ms=0.0)
            continue
        asked.calls.append((position, params))
        asked.texts.append(text)
    return asked


def end_call(
    work: FlowWork, position: int, *, params: Any, data: Any, failure: ToolFailure | None, duration_ms: float
) -> None:
    """Tell the machine what came of the call that an item stands at."""
    work.machine.call_ended(
        work.item(position),
        params=params,
        data=data,
        failure=failure,
        duration_ms=duration_ms,
        trace=work.traces[position],
    )
