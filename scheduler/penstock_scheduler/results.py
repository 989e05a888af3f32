"""What a handle gives for a call that has ended: read from its record, or made up where it never ran."""

from __future__ import annotations

from typing import Any

from penstock_broker_config.flow_traces import added, read_traces
from penstock_broker_config.ledger import JobRecord
from penstock_broker_config.value_references import is_reference
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import ConfigurationError, JobNotFoundError
from penstock_plugins.result import ResultMetadata, ToolFailure, ToolResult, from_record
from penstock_scheduler.flow import Effect, Flow, ask
from penstock_scheduler.ticket import Ticket

#: Why a call has no result, by the state in which its job ended.
UNRUN = {
    "cancelled": ToolFailure(
        code=ErrorCode.CANCELLED, message="The job was cancelled before this call had ended"
    ),
    "expired": ToolFailure(
        code=ErrorCode.TIMEOUT, message="The job's deadline passed before this call had ended"
    ),
}


def read_result(ticket: Ticket, index: int, record: bytes) -> Flow[ToolResult | None]:
    """The result of which this is the record, or the reference. None: it is lost."""
    whole: bytes | None = record
    if is_reference(record):
        whole = yield from ask(large_value(ticket.job_id, record))
    if whole is None:
        return None
    return from_record(
        whole,
        call_id=f"{ticket.job_id}.{index}",
        tool=ticket.tool,
        index=None if ticket.single else index,
        plugin_digest=ticket.digest,
    )


def unrun_result(
    ticket: Ticket, index: int, closed: str, trace: list[dict[str, Any]] | None = None
) -> ToolResult:
    """The result of a call that never ended.

    Args:
        ticket: the job.
        index: the call.
        closed: the state in which the job ended.
        trace: of an item of a pipeline.
    """
    return ToolResult(
        call_id=f"{ticket.job_id}.{index}",
        tool=ticket.tool,
        success=False,
        error=UNRUN.get(closed, UNRUN["cancelled"]),
        metadata=ResultMetadata(attempts=0, plugin_digest=ticket.digest),
        index=None if ticket.single else index,
        trace=trace,
        filtered=False if ticket.pipeline else None,
    )


def one_result(ticket: Ticket, index: int) -> Flow[ToolResult | None]:
    """The result of one call, or of one item of a pipeline, without waiting. None: it has not ended.

    Raises:
        ConfigurationError: the job has no such call.
        JobNotFoundError: the result has expired.
    """
    job: JobRecord = yield from ask(lambda wire: wire.ledger.job(ticket.job_id))
    if not 0 <= index < job.accepted:
        raise ConfigurationError(f"Job {job.id} has no item {index}: it has {job.accepted:,}, from 0 on")
    (record,) = yield from ask(lambda wire: wire.ledger.results(job.id, [index]))
    if record is not None:
        found = yield from read_result(ticket, index, record)
        if found is not None:
            return found
    if record is None and not job.state.final:
        return None
    if record is None and job.state.value in UNRUN:
        trace = (yield from _left_trace(job.id, index)) if job.pipeline else None
        return unrun_result(ticket, index, job.state.value, trace)
    raise JobNotFoundError(f"The result of item {index} of job {job.id} has expired (see `result_ttl_s`)")


def large_value(job_id: str, reference: bytes) -> Effect[bytes | None]:
    """Asks for the large value that a reference stands for; None when it is lost."""
    return lambda wire: wire.value(job_id, reference)


def _left_trace(run: str, index: int) -> Flow[list[dict[str, Any]] | None]:
    """What the finished tasks of a run had done with an item that never ended. None: one is being stopped."""
    if (yield from ask(lambda wire: wire.ledger.open_flows(run))) > 0:
        return None
    base, traces = yield from ask(lambda wire: wire.ledger.left_traces(run, index))
    kept: dict[bytes, bytes] = {}
    for raw in traces.values():
        if is_reference(raw):
            kept[raw] = (yield from ask(large_value(run, raw))) or b"{}"
    stages = read_traces(traces, kept.__getitem__)
    return [entry for entries in added(stages, index - base) for entry in entries]
