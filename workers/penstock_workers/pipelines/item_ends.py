"""What is kept of an item of a run that has ended: its record, and from where another run may go on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from penstock_broker_config.flow_items import item_context, pack_items
from penstock_broker_config.flow_traces import Added, added
from penstock_broker_config.ledger import ItemRecord, RecordKind
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.pipelines.item import ItemState, ItemStatus
from penstock_plugins.pipelines.trace import Trace
from penstock_plugins.pipelines.trace_cut import MAX_ENTRY_BYTES, large_trace_json, trace_json
from penstock_plugins.result import ToolFailure, rounded_ms, to_record
from penstock_workers.bench import Bench
from penstock_workers.patience import patiently
from penstock_workers.pipelines.counting import count_steps
from penstock_workers.pipelines.states import States, encoded
from penstock_workers.pipelines.work import FlowWork, Settled


class ItemEnds:
    """Writes the ends of items."""

    def __init__(self, bench: Bench, states: States) -> None:
        self._bench = bench
        self._states = states

    def settle(self, work: FlowWork, positions: Iterable[int]) -> None:
        """Write down what has become of items, as far as they have ended and nothing can change that, and let
        go of how they came there: what is used again soon is still near the processor.

        Of members nothing is recorded: what they give goes to what gathers them.
        """
        if not work.is_member:
            self._settle(work, [k for k in positions if (item := work.items[k]) and not item.undo])

    def settle_rest(self, work: FlowWork) -> None:
        """The same for all that have ended, when it is known that they can be kept as they are."""
        if not work.is_member:
            self._settle(work, range(len(work.items)))
        rest = [k for k in range(len(work.items)) if k not in work.settled]
        work.counters.update(count_steps([work.traces[k] for k in rest], [work.items[k] for k in rest]))

    def _settle(self, work: FlowWork, positions: Iterable[int]) -> None:
        ended = [
            (k, item)
            for k in positions
            if k not in work.settled and (item := work.items[k]) is not None and item.status.ended
        ]
        if not ended:
            return
        earlier = self.earlier(work)
        work.counters.update(count_steps([work.traces[k] for k, _ in ended], [item for _, item in ended]))
        for k, item in ended:
            record = self.record(work, k, item, [*added(earlier, k), work.traces[k]])
            failed = item.status is ItemStatus.FAILED
            work.settled[k] = Settled(record, self.resumable(work, k, item) if failed else b"")
            work.traces[k] = []
            item.data, item.slots = None, {}

    def earlier(self, work: FlowWork) -> list[Added]:
        """What the stages before have added to the traces."""
        if work.earlier is None:
            first = work.stage == work.program.steps[0].stage
            kept = work.claim.traces
            if not (first or kept):
                kept = patiently(lambda: self._bench.ledger.traces(work.flow))
            work.earlier = self._states.read_traces(work.flow, kept)
        return work.earlier

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
