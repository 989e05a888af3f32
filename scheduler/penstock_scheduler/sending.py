"""Sends calls: the ledger accepts them, then their doorbell rings. Accepting alone makes them safe.

Calls that wait (for others with their key, for a limit, for a moment) go into buffers; the dispatchers ring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from penstock_broker_config import crash
from penstock_broker_config.ledger import BufferedCall, Submitted
from penstock_broker_config.value_references import INLINE_BYTES
from penstock_scheduler.chunking import OF_CALLS, ChunkBounds
from penstock_scheduler.flow import Effect, Flow, ask
from penstock_scheduler.submission import Submission


@dataclass(slots=True)
class CallSender:
    """Sends the calls of one map, which may be fed for longer than calls are kept; a `Sender`."""

    submission: Submission
    #: Seconds after which the reaper rings, should a doorbell get lost.
    ring_after_s: float

    @property
    def job_id(self) -> str:
        """See `Sender`."""
        return self.submission.header.job

    @property
    def deadline_ms(self) -> int | None:
        """See `Sender`."""
        return self.submission.deadline_ms

    @property
    def chunks(self) -> ChunkBounds:
        """See `Sender`."""
        return OF_CALLS

    def send(self, texts: Sequence[bytes], base: int) -> Flow[Submitted]:
        """See `Sender`."""
        now_ms = yield from ask(lambda wire: wire.now_ms())
        self.submission = self.submission.renewed(now_ms)
        return (yield from send(self.submission, texts, base=base, ring_after_s=self.ring_after_s))


def send(
    submission: Submission,
    texts: Sequence[bytes],
    *,
    base: int,
    ring_after_s: float,
    single: bool = False,
    idempotency: tuple[str, str] | None = None,
) -> Flow[Submitted]:
    """Send the calls with these params.

    Args:
        submission: what they share.
        texts: the params as JSON texts.
        base: index of the first call.
        ring_after_s: seconds after which the reaper rings, should the doorbell get lost.
        single: this one call is the whole job.
        idempotency: the key and the digest of the params that it stands for.

    Raises:
        ParamsError: params that a single call's key names are missing.
        OverloadedError: too much is waiting; nothing was accepted.
        ConflictError: the idempotency key was used before with other params.
        JobNotFoundError: the job has not accepted as many calls as `base` says, or has expired.
    """
    if submission.room.needed:
        return (yield from _enqueue(submission, texts, base=base, single=single, idempotency=idempotency))
    header = submission.header
    entries = submission.entries(base, (yield from _put_aside(header.job, texts)))
    crash.reach("producer.before_submit")
    submitted = yield from ask(
        lambda wire: wire.ledger.submit(
            header,
            entries,
            base=base,
            total=1 if single else None,
            single=single,
            deadline_s=submission.deadline_s,
            idempotency=idempotency,
            ring_after_s=ring_after_s,
        )
    )
    crash.reach("producer.after_submit")
    if submitted.limited:
        return (yield from _enqueue(submission, texts, base=base, single=single, idempotency=idempotency))
    # Neither for what an idempotency key found, nor for what a repeated submit finds finished.
    if submitted.job_id == header.job and not submitted.state.final:
        yield from ask(
            lambda wire: wire.ring(
                f"{header.job}.{base}", queue=header.queue, tool=header.tool, calls=len(entries)
            )
        )
        crash.reach("producer.after_ring")
    return submitted


def _enqueue(
    submission: Submission,
    texts: Sequence[bytes],
    *,
    base: int,
    single: bool,
    idempotency: tuple[str, str] | None,
) -> Flow[Submitted]:
    header = submission.header
    placed = submission.room.place(texts, header, refuse=single)
    entries = submission.entries(base, (yield from _put_aside(header.job, placed.texts)))
    calls = [BufferedCall(entry, number) for entry, number in zip(entries, placed.numbers, strict=True)]
    crash.reach("producer.before_enqueue")
    submitted = yield from ask(
        lambda wire: wire.ledger.enqueue(
            header,
            calls,
            placed.buffers,
            base=base,
            total=1 if single else None,
            single=single,
            deadline_s=submission.deadline_s,
            idempotency=idempotency,
            delay_s=submission.delay_s,
        )
    )
    crash.reach("producer.after_enqueue")
    return submitted


def _put_aside(job_id: str, texts: Sequence[bytes]) -> Flow[Sequence[bytes]]:
    """Large params are kept beside the ledger; their references travel instead."""
    if all(len(text) <= INLINE_BYTES for text in texts):
        return texts
    sent = list(texts)
    for number, text in enumerate(texts):
        if len(text) > INLINE_BYTES:
            sent[number] = yield from ask(_put(job_id, text))
    return sent


def _put(job_id: str, value: bytes) -> Effect[bytes]:
    return lambda wire: wire.put_value(job_id, value)
