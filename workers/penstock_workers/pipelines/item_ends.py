"""What is kept of an item of a run that has ended: its record, and from where another run may go on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from penstock_broker_config.flow_items import item_context, pack_items
from penstock_broker_config.ledger import ItemRecord, RecordKind
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.pipelines.item import ItemState, ItemStatus
from penstock_plugins.pipelines.trace import Trace
from penstock_plugins.pipelines.trace_cut import MAX_ENTRY_BYTES, large_trace_json, trace_json
from penstock_plugins.result import ToolFailure, rounded_ms, to_record
from penstock_workers.bench import Bench
from penstock_workers.pipelines.states import States, encoded
from penstock_workers.pipelines.work import FlowWork


class ItemEnds:
    """Writes the ends of items."""

    def __init__(self, bench: Bench, states: States) -> None:
        self._bench = bench
        self._states = states

    def record(self, work: FlowWork, position: int, item: ItemState, traces: Sequence[Trace]) -> ItemRecord:
        """What is recorded of an item that has ended; `traces` is what each of its stages added."""
        trace = traces[0] if len(traces) == 1 else [entry for one in traces for entry in one]
        took_ms = sum([entry["duration_ms"] for entry in trace])
        waited_ms = max(0.0, work.now_ms() - work.claim.created_ms - took_ms)
        metadata = {
            "execution_ms": rounded_ms(took_ms),
            "queued_ms": rounded_ms(waited_ms),
            "worker": self._bench.worker,
        }
        failure, filtered = item.failure, item.status is ItemStatus.FILTERED
        if failure is None:
            record = _small_record(item.data, metadata, trace, filtered=filtered)
            if record is not None:
                return ItemRecord(position, RecordKind.SUCCESS, record)
        written = large_trace_json(trace) if failure is None else trace_json(trace)
        content = b"null"
        if failure is None:
            try:
                content = orjson.dumps(item.data)
            except orjson.JSONEncodeError as error:
                failure = ToolFailure(
                    code=ErrorCode.PIPELINE_ERROR, message=f"The result cannot be written as JSON: {error}"
                )
        kind = RecordKind.SUCCESS if failure is None else RecordKind.FAILURE
        record = to_record(
            content=content,
            error=failure,
            metadata=metadata,
            trace=written,
            filtered=filtered,
        )
        return ItemRecord(position, kind, self._states.beside(work.flow, record))

    def resumable(self, work: FlowWork, position: int, item: ItemState) -> bytes:
        """The state of a failed item, from which another run may go on."""
        packed = pack_items([encoded(item, member=True)], lambda state: self._states.beside(work.flow, state))
        context = item_context(work.run, work.claim.base + position)
        return self._bench.signer.seal(context, packed)


def _small_record(data: Any, metadata: dict[str, Any], trace: Trace, *, filtered: bool) -> bytes | None:
    """The record of a success, written at once. None: of its trace something may have to be left out."""
    try:
        record = to_record(
            content=None, data=data, error=None, metadata=metadata, trace=trace, filtered=filtered
        )
    except orjson.JSONEncodeError:
        return None
    return record if len(record) <= MAX_ENTRY_BYTES else None
