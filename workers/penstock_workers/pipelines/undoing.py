"""Undoes what the steps of failed items did, the last one first: in rounds, each call in an inner job."""

from __future__ import annotations

import orjson

from penstock_plugins.pipelines.item import ItemStatus
from penstock_plugins.pipelines.machine_undoing import next_undo, undo_ended
from penstock_workers.pipelines.given_up import FlowWaitsError
from penstock_workers.pipelines.inner_calls import header_of, read_record
from penstock_workers.pipelines.inner_job import InnerJobs
from penstock_workers.pipelines.work import FlowWork


def undo_once(work: FlowWork, inner: InnerJobs) -> None:
    """Undo the last step of each item that has one left. Of one tool all calls are one inner job.

    Raises:
        FlowLostError: the work ends here.
        FlowWaitsError: not all of the calls have ended.
    """
    asked: dict[int, list[tuple[int, bytes]]] = {}
    for position, item in list(work.with_status(ItemStatus.UNDOING)):
        call = next_undo(item)
        if call is not None:
            asked.setdefault(call.tool, []).append((position, orjson.dumps(call.params)))
    for number, calls in sorted(asked.items()):
        header = header_of(work, number, name=str(number))
        room = work.compiled.rooms[number]
        records = inner.results(work.of, header, room, [text for _, text in calls], work.hold)
        if records is None:
            # One after the other: the ledger knows of one inner job that a flow waits for.
            raise FlowWaitsError
        work.check()
        for (position, _), record in zip(calls, records, strict=True):
            data, failure, duration_ms = read_record(record)
            undo_ended(
                work.item(position),
                data=data,
                failure=failure,
                tool=header.tool,
                duration_ms=duration_ms,
                trace=work.traces[position],
            )
