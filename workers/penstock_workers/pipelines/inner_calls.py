"""Calls of a stage as inner jobs: of an impure or limited tool, or of one that is looked at more closely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import orjson

from penstock_broker_config.ledger import BatchHeader, inner_job
from penstock_plugins.delivery import RetryRule
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.pipelines.program import Instruction
from penstock_plugins.pipelines.stages import StageKind
from penstock_plugins.result import ToolFailure
from penstock_workers.pipelines.asking import ask, end_call
from penstock_workers.pipelines.given_up import FlowWaitsError
from penstock_workers.pipelines.inner_job import InnerJobs
from penstock_workers.pipelines.work import FlowWork

#: Milliseconds for which calls without a deadline may be run.
_EXPIRY_MS = 7 * 86_400_000


class InnerCalls:
    """Runs the calls of one stage as inner jobs, one after the other."""

    def __init__(self, inner: InnerJobs) -> None:
        self._inner = inner

    def run(self, work: FlowWork, instruction: Instruction, positions: Sequence[int]) -> None:
        """See `Calls.run`.

        Raises:
            FlowLostError, GiveBackError: the work ends here.
            FlowWaitsError: not all of the calls have ended.
        """
        asked = ask(work, positions)
        if not asked.calls:
            return
        alone = work.planned().kind is StageKind.CALL
        header = header_of(
            work,
            instruction.tool,
            name="" if alone else str(instruction.at),
            timeout_s=instruction.timeout_s,
            retry=instruction.retry,
        )
        room = work.compiled.rooms[instruction.tool]
        records = self._inner.results(work.of, header, room, asked.texts, work.hold)
        if records is None:
            raise FlowWaitsError
        work.check()
        for (position, params), record in zip(asked.calls, records, strict=True):
            data, failure, duration_ms = read_record(record)
            end_call(work, position, params=params, data=data, failure=failure, duration_ms=duration_ms)


def header_of(
    work: FlowWork,
    number: int,
    *,
    name: str,
    timeout_s: float | None = None,
    retry: dict[str, Any] | None = None,
) -> BatchHeader:
    """The header of an inner job.

    Args:
        work: whose stage.
        number: of the tool in the plan.
        name: of the inner job, when the stage has several.
        timeout_s: of one call, when that is less than the tool's.
        retry: the rule, when it is not the tool's.
    """
    plan, claim = work.compiled.plan, work.claim
    tool = plan.tools[number]
    return BatchHeader(
        job=inner_job(work.flow, work.stage, name),
        tool=tool.name,
        digest=tool.digest,
        tenant=claim.tenant,
        queue=tool.queue or plan.queue,
        once=tool.once,
        expires_ms=claim.deadline_ms or claim.now_ms + _EXPIRY_MS,
        timeout_s=timeout_s,
        session=plan.context.get("session"),
        request=plan.context.get("request"),
        retry=None if retry is None else asdict(RetryRule(**retry)),
    )


def read_record(record: bytes) -> tuple[Any, ToolFailure | None, float]:
    """What an inner call gave: its data, why it failed, and how long it took in milliseconds."""
    shape = orjson.loads(record)
    said = shape.get("e")
    failure = None
    if said is not None:
        failure = ToolFailure(
            code=ErrorCode(said["code"]), message=said["message"], details=said.get("details")
        )
    return shape.get("d"), failure, float((shape.get("m") or {}).get("execution_ms", 0.0))
