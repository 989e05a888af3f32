"""Feeds a `map`: takes chunks of its input, waits for room, submits them, and seals the job at the end.

A feeder that dies leaves an unsealed job behind; feeding goes on with the first input that was not accepted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from penstock_broker_config import crash
from penstock_broker_config.ledger import JobRecord, Submitted
from penstock_broker_config.settings import Settings
from penstock_plugins.errors import JobFailedError, OverloadedError, PenstockError
from penstock_scheduler.chunking import ChunkBounds, ChunkSizer
from penstock_scheduler.flow import Effect, Flow, ask
from penstock_scheduler.hopper import Chunk
from penstock_scheduler.intake import Source
from penstock_scheduler.toolbox import Toolbox
from penstock_scheduler.window import Window

#: Seconds after which a feeder without room looks again, even when nothing was heard.
LOOK_AGAIN_S = 1.0
#: Seconds after which a feeder without input looks whether its job still wants any.
IDLE_S = 5.0
_ENTRIES = 1000
#: Characters of an input's error that the job keeps.
_ERROR_CHARS = 2000


class FeedEnd(StrEnum):
    """Why a feeder ended."""

    #: The input is over and the job knows it.
    SEALED = "sealed"
    #: The job ended before its input: it was cancelled, or its deadline passed.
    CLOSED = "closed"
    #: The producer was closed: the job can be resumed.
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fed:
    """What a feeder did."""

    end: FeedEnd
    #: Calls that the job has accepted in all.
    accepted: int
    #: Why the input failed; None when it did not.
    error: Exception | None = None


class Sender(Protocol):
    """Sends the chunks of one job, whatever they are: calls of a tool, items of a pipeline."""

    @property
    def job_id(self) -> str:
        """The job."""
        ...

    @property
    def deadline_ms(self) -> int | None:
        """The job's deadline by Redis's clock; None: it has none."""
        ...

    @property
    def chunks(self) -> ChunkBounds:
        """How large its chunks may become."""
        ...

    def send(self, texts: Sequence[bytes], base: int) -> Flow[Submitted]:
        """Send one chunk, of which the first has the index `base`.

        Raises:
            OverloadedError: too much is waiting; nothing was accepted.
            JobNotFoundError: the job has not accepted as many as `base` says, or has expired.
        """
        ...


class DeadlinePassedError(PenstockError):
    """The deadline passed before the input had ended."""


class Feeder:
    """Feeds one job.

    Args:
        sender: sends its chunks.
        toolbox: is told of the catalog's version.
        settings: how much may be in flight.
        resumed: the job, when it has accepted calls before.
    """

    def __init__(
        self,
        sender: Sender,
        toolbox: Toolbox,
        settings: Settings,
        *,
        resumed: JobRecord | None = None,
    ) -> None:
        self._sender = sender
        self._toolbox = toolbox
        self._job_id = sender.job_id
        self._window = Window(max_calls=settings.max_in_flight)
        # Two chunks fit into the window: one runs while the next one waits.
        self._largest_chunk = max(1, settings.max_in_flight // 2)
        self._cursor = "0"
        self._accepted = 0
        if resumed is not None:
            self._accepted = resumed.accepted
            self._window.submitted(resumed.accepted, 0)
            self._window.finished(resumed.done + resumed.failed + resumed.expired)

    def feed(self, source: Source) -> Flow[Fed]:
        """Feed until the input, the job or the producer ends.

        Raises:
            JobFailedError: somebody else feeds the same job.
            JobNotFoundError: the job has expired.
        """
        sizer = ChunkSizer(self._sender.chunks)
        while True:
            chunk = yield from ask(_take(source, min(sizer.count, self._largest_chunk)))
            wanted = yield from self._look() if chunk is None else self._wait_for_room(source, chunk)
            if source.stopped:
                return Fed(end=FeedEnd.STOPPED, accepted=self._accepted)
            if not wanted:
                return Fed(end=FeedEnd.CLOSED, accepted=self._accepted)
            if (chunk is None or chunk.texts) and (yield from self._deadline_passed()):
                return (yield from self._seal(DeadlinePassedError()))
            if chunk is None:
                continue
            if chunk.texts:
                submitted = yield from self._submit(chunk)
                if submitted.state.final:
                    return Fed(end=FeedEnd.CLOSED, accepted=self._accepted)
                sizer.sent(len(chunk.texts), submitted.cost_us)
            if chunk.ended:
                return (yield from self._seal(chunk.error))

    def _wait_for_room(self, source: Source, chunk: Chunk) -> Flow[bool]:
        """Wait until the chunk may be submitted; False when the job has ended instead."""
        while chunk.texts and not self._window.has_room(len(chunk.texts), chunk.size_bytes):
            self._cursor, _ = yield from ask(
                lambda wire: wire.completions(
                    self._job_id, cursor=self._cursor, wait_s=LOOK_AGAIN_S, count=_ENTRIES
                )
            )
            if not (yield from self._look()):
                return False
            if source.stopped:
                break
        return True

    def _look(self) -> Flow[bool]:
        """See how the job is doing; False when it has ended."""
        record = yield from ask(lambda wire: wire.ledger.job(self._job_id))
        self._window.finished(record.done + record.failed + record.expired)
        return not record.state.final

    def _submit(self, chunk: Chunk) -> Flow[Submitted]:
        base, calls = self._accepted, len(chunk.texts)
        while True:
            try:
                submitted = yield from self._sender.send(chunk.texts, base)
                break
            except OverloadedError as error:
                yield from self._wait_out(error)
        self._toolbox.notice(submitted.catalog_version)
        if not submitted.accepted:
            if submitted.state.final:
                return submitted
            yield from self._check_own(base + calls)
        self._accepted = base + calls
        self._window.submitted(calls, chunk.size_bytes)
        self._window.finished(submitted.finished)
        return submitted

    def _wait_out(self, error: OverloadedError) -> Flow[None]:
        """Too much waits, of this map or of others: wait, and try again."""
        wait_s = min(max(float(error.details.get("retry_after_s", LOOK_AGAIN_S)), 0.05), LOOK_AGAIN_S)
        self._cursor, _ = yield from ask(
            lambda wire: wire.completions(self._job_id, cursor=self._cursor, wait_s=wait_s, count=_ENTRIES)
        )

    def _check_own(self, accepted: int) -> Flow[None]:
        # Accepted before: this feeder's own submit, whose answer got lost; or that of another feeder.
        record = yield from ask(lambda wire: wire.ledger.job(self._job_id))
        if record.accepted != accepted:
            raise JobFailedError(
                f"Job {self._job_id} is fed by another process: stop that one, then resume the job"
            )

    def _deadline_passed(self) -> Flow[bool]:
        deadline_ms = self._sender.deadline_ms
        return deadline_ms is not None and (yield from ask(lambda wire: wire.now_ms())) > deadline_ms

    def _seal(self, error: Exception | None) -> Flow[Fed]:
        why = "" if error is None else f"{type(error).__name__}: {error}"[:_ERROR_CHARS]
        crash.reach("producer.before_seal")
        yield from ask(lambda wire: wire.ledger.seal(self._job_id, error=why))
        crash.reach("producer.after_seal")
        return Fed(end=FeedEnd.SEALED, accepted=self._accepted, error=error)


def _take(source: Source, calls: int) -> Effect[Chunk | None]:
    return lambda _: source.take(calls, wait_s=IDLE_S)
