"""How items and traces of flows are kept in the ledger: sealed, and large ones beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from penstock_broker_config.envelope import flow_context
from penstock_broker_config.flow_items import pack_items, unpack_items
from penstock_broker_config.flow_traces import Added, read_traces
from penstock_broker_config.ledger import FlowClaim, run_of
from penstock_broker_config.value_references import INLINE_BYTES
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import EnvelopeError
from penstock_plugins.pipelines.item import ItemState, ItemStatus, UndoCall
from penstock_plugins.pipelines.machine_undoing import undoing_ended
from penstock_plugins.pipelines.trace import Trace
from penstock_plugins.pipelines.trace_cut import trace_json
from penstock_plugins.result import ToolFailure
from penstock_workers.bench import Bench
from penstock_workers.patience import patiently

#: Bytes of one item with all that it remembers, as JSON, at most.
MAX_ITEM_BYTES = 64 * 1024 * 1024


class States:
    """Reads and writes what flows carry."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def read(self, flow: str, stage: str, claim: FlowClaim) -> list[ItemState | None]:
        """The items of a flow that was entered; None at positions that have ended.

        Raises:
            EnvelopeError: they are damaged, or not sealed for this place.
            ValueLostError: a large one is gone.
        """
        packed = self._bench.signer.unseal(flow_context(flow, stage, claim.program), claim.items)
        shapes = unpack_items(packed, lambda reference: self._get(flow, reference))
        if len(shapes) != claim.count:
            raise EnvelopeError("The flow's items belong to another flow")
        return [
            None if k in claim.ended or shape is None else ItemState.from_json(shape)
            for k, shape in enumerate(shapes)
        ]

    def seal(self, flow: str, stage: str, program: int, states: Sequence[bytes]) -> bytes:
        """States that are JSON already."""
        packed = pack_items(states, lambda state: self._put(flow, state))
        return self._bench.signer.seal(flow_context(flow, stage, program), packed)

    def unseal(self, flow: str, stage: str, program: int, sealed: bytes) -> list[Any]:
        """What `seal` sealed, as JSON values.

        Raises:
            EnvelopeError, ValueLostError: as for `read`.
        """
        packed = self._bench.signer.unseal(flow_context(flow, stage, program), sealed)
        return unpack_items(packed, lambda reference: self._get(flow, reference))

    def write_traces(self, flow: str, traces: Mapping[int, Trace]) -> bytes:
        """What a stage adds, by position; empty when that is nothing."""
        written = {str(position): orjson.Fragment(trace_json(one)) for position, one in traces.items() if one}
        return self.beside(flow, orjson.dumps(written)) if written else b""

    def read_traces(self, flow: str, traces: Mapping[str, bytes]) -> list[Added]:
        """What each stage has added, in their order, by position."""
        return read_traces(traces, lambda reference: self._get(flow, reference))

    def beside(self, flow: str, value: bytes) -> bytes:
        """A value, or its reference when it is large."""
        return value if len(value) <= INLINE_BYTES else self._put(flow, value)

    def _put(self, flow: str, value: bytes) -> bytes:
        return patiently(lambda: self._bench.values.put(run_of(flow), value))

    def _get(self, flow: str, reference: bytes) -> bytes:
        return patiently(lambda: self._bench.values.get(run_of(flow), reference))


def encoded(item: ItemState, *, member: bool) -> bytes:
    """An item as JSON. One that cannot be written, or is too large, has failed then."""
    try:
        state = orjson.dumps(item.to_json())
    except orjson.JSONEncodeError as error:
        why = f"it cannot be written as JSON: {error}"
    else:
        if len(state) <= MAX_ITEM_BYTES:
            return state
        why = f"it has grown to {len(state)} bytes; {MAX_ITEM_BYTES} are allowed"
    item.failure = ToolFailure(code=ErrorCode.PIPELINE_ERROR, message=f"The item cannot be kept: {why}")
    item.data, item.slots, item.errors = None, {}, {}
    item.frames = []  # nobody goes on with it
    lost = [call for call in item.undo if not _can_be_kept(call)]
    item.undo = [call for call in item.undo if call not in lost]
    item.not_undone += [{"step": call.step, "message": f"its params cannot be kept: {why}"} for call in lost]
    item.status = ItemStatus.UNDOING if item.undo and not member else ItemStatus.FAILED
    if item.status is ItemStatus.FAILED and item.not_undone and not member:
        undoing_ended(item)
    return orjson.dumps(item.to_json())


def _can_be_kept(call: UndoCall) -> bool:
    """Whether a call that undoes a step can be written with its item."""
    try:
        return len(orjson.dumps({"u": [[call.tool, call.params, call.step]]})) <= MAX_ITEM_BYTES
    except orjson.JSONEncodeError:
        return False
