"""What workers ask of the ledger: a batch's lease, its results, the next batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger.batch_records import Claim, ClaimState, Commit, RecordKind
from penstock_broker_config.ledger.requests import Request, Retention, text
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.result import ToolFailure, to_record


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimTerms:
    """Under which conditions a worker takes a batch."""

    #: Who takes it: PROCESS#CLAIM, new for each claim.
    holder: str
    lease_s: float
    #: Executions that may be started before a call is set aside.
    max_attempts: int
    #: An earlier holder that is known to be dead. Its lease need not be waited for.
    takeover: str = ""


class WorkerRequests:
    """Builds the requests of workers."""

    def __init__(self, keys: Keys, retention: Retention) -> None:
        self._keys = keys
        self._keep = retention.args

    def claim(self, batch_id: str, terms: ClaimTerms) -> Request[Claim]:
        return Request(
            script="claim",
            keys=[self._keys.open, self._keys.dead],
            args=[
                self._keys.prefix,
                batch_id,
                terms.holder,
                int(terms.lease_s * 1000),
                terms.max_attempts,
                terms.takeover,
                *self._keep,
                *_lost_worker_records(terms.max_attempts),
            ],
            read=_read_claim,
        )

    def renew(self, batch_id: str, *, fence: int, lease_s: float, position: int | None) -> Request[Commit]:
        running = "" if position is None else position
        return Request(
            script="renew",
            keys=[self._keys.open],
            args=[self._keys.prefix, batch_id, fence, int(lease_s * 1000), running],
            read=_read_commit,
        )

    def commit(
        self,
        batch_id: str,
        records: Sequence[tuple[RecordKind, bytes]],
        *,
        fence: int,
        position: int,
        lease_s: float,
        cost_field: str,
        cost_us: float | None,
        turn_us: float | None,
        pause_s: float | None,
    ) -> Request[Commit]:
        return Request(
            script="commit",
            keys=[self._keys.open, self._keys.costs],
            args=[
                self._keys.prefix,
                batch_id,
                fence,
                position,
                int(lease_s * 1000),
                *self._keep,
                cost_field,
                _costs(cost_us, turn_us),
                "" if pause_s is None else int(pause_s * 1000),
                "".join(kind.value for kind, _ in records),
                *(record for _, record in records),
            ],
            read=_read_commit,
        )

    def release(self, batch_id: str, *, fence: int) -> Request[Commit]:
        return Request(
            script="release",
            keys=[self._keys.open],
            args=[self._keys.prefix, batch_id, fence],
            read=_read_commit,
        )


def _costs(cost_us: float | None, turn_us: float | None) -> str:
    if cost_us is None:
        return ""
    return f"{cost_us:.1f}" if turn_us is None else f"{cost_us:.1f} {turn_us:.1f}"


def _lost_worker_records(max_attempts: int) -> tuple[bytes, bytes]:
    interrupted = ToolFailure(
        code=ErrorCode.INTERRUPTED,
        message="The worker was lost while the call ran, and the tool may not be run twice",
    )
    quarantined = ToolFailure(
        code=ErrorCode.QUARANTINED,
        message=f"The call lost its worker {max_attempts} times and was set aside as a dead letter",
    )
    return (
        to_record(content=None, error=interrupted, metadata={}),
        to_record(content=None, error=quarantined, metadata={"attempts": max_attempts}),
    )


def _read_claim(answer: list[Any]) -> Claim:
    state = ClaimState(text(answer[0]))
    if state is ClaimState.HELD:
        return Claim(state=state, holder=text(answer[1]))
    if state is ClaimState.GONE:
        return Claim(state=state)
    if state is ClaimState.PARKED:
        return Claim(state=state)
    _, fence, header, calls, count, recorded, attempts, careful, now, created, deadline, *rest = answer
    formed, limited, closed = rest
    return Claim(
        state=state,
        fence=int(fence),
        header=header,
        calls=calls,
        calls_in_batch=int(count),
        recorded=int(recorded),
        attempts=int(attempts),
        careful=careful == b"1",
        now_ms=int(now),
        created_ms=int(created),
        deadline_ms=int(deadline) if deadline else None,
        formed=bool(formed),
        limited=bool(limited),
        closed=frozenset(int(position) for position in closed),
    )


def _read_commit(answer: bytes) -> Commit:
    return Commit(text(answer))
