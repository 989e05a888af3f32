"""What must be true of batches that run: leases, fences, losses, results, and what comes again. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from penstock_broker_config.ledger import BatchHeader
from tests.integration.ledger_model.limits_model import SLACK
from tests.integration.ledger_model.model import Model
from tests.integration.ledger_model.parts import (
    BACKOFF_CAP_MS,
    BACKOFF_MS,
    MAX_ATTEMPTS,
    RESERVE_MS,
    RING_AFTER_MS,
    Batch,
    Item,
    Ref,
)


class Report(NamedTuple):
    """What a worker says of a call: s, f, r (in `delay` ms, after so many attempts) or n."""

    kind: str
    text: bytes
    delay: int = 0
    attempts: int = 0
    #: Bytes of the call as it goes back.
    size: int = 0


@dataclass(slots=True)
class Granted:
    """What a worker was given."""

    batch: str
    fence: int
    holder: str
    calls: list[Ref]
    position: int
    keys: tuple[str, ...]
    careful: bool
    header: BatchHeader
    attempts: int
    closed: set[int] = field(default_factory=set)
    formed: bool = False
    #: Until when it runs, as far as it knows.
    until: int = 0


class RunningModel(Model):
    """Claims, commits and what follows from them."""

    def claim(
        self, batch_id: str, holder: str, lease: int, takeover: str, t: int, *, parked: bool = False
    ) -> str | Granted:
        """What comes of a claim: gone, held, parked, or what was granted.

        Whether it was `parked` is believed where that hangs on the last digit of a token.
        """
        batch = self.batches.get(batch_id)
        if batch is None:
            return "gone"
        if batch.lease > t and batch.holder not in {"", holder, takeover}:
            over = not batch.formed and self.jobs[batch.calls[0].job].final
            if batch.keys or not over:
                return "held"
        closed = self.close(batch, t)
        if closed is None:
            return "gone"
        if batch.holder not in {"", holder} and not self._charge(batch, closed):
            return "gone"
        while batch.done < len(batch.calls) - 1 and batch.done in closed:
            batch.done += 1
        begun, batch.holder = bool(batch.holder), ""
        known = len(batch.keys)
        batch.keys = self.limits.standing(batch.keys, batch.header.tool, batch.header.tenant)
        batch.unpaid += len(batch.keys) - known
        held = all(batch.id in self.limits.limit(key).slots_at(t) for key in batch.keys)
        if not (begun and held) and not self._may(batch, t, SLACK if not parked else -SLACK):
            self.limits.free(batch.keys, batch.id)
            batch.lease, batch.parked = 0, True
            batch.fence += 1
            return "parked"
        left = len(batch.calls) - batch.done if batch.unpaid else 0
        self.limits.take(batch.keys, batch.id, left, t, t + lease, batch.unpaid)
        batch.unpaid = 0
        batch.fence += 1
        batch.lease = batch.look = t + lease
        batch.holder, batch.parked = holder, False
        for name in {ref.job for ref in batch.calls}:
            if self.jobs[name].state == "queued":
                self.jobs[name].state = "running"
        return Granted(
            batch.id,
            batch.fence,
            holder,
            batch.calls,
            batch.done,
            batch.keys,
            batch.careful,
            batch.header,
            batch.losses + batch.charged,
            closed,
            batch.formed,
            t + lease,
        )

    def _may(self, batch: Batch, t: int, slack: float) -> bool:
        """Whether a batch that was formed or accepted before may begin."""
        return self.limits.may_start(batch.keys, t, own=batch.id, unpaid=batch.unpaid, slack=slack) > 0

    def soonest(self, batch: Batch) -> float:
        """The first deadline of what is left of a batch."""
        left = (ref for k, ref in enumerate(batch.calls) if k >= batch.done and k not in batch.closed)
        jobs = (self.jobs[ref.job] for ref in left)
        return min(
            (job.deadline for job in jobs if job.deadline is not None and not job.final), default=math.inf
        )

    def _charge(self, batch: Batch, closed: set[int]) -> bool:
        """A holder did not come back; False when that ended the batch."""
        if batch.done in closed:
            batch.charged = 0
            return True
        if batch.careful:
            batch.charged += 1
        else:
            batch.losses, batch.careful = batch.losses + 1, True
        ref = batch.calls[batch.done]
        if batch.header.once:
            self.by_ledger[ref] = "INTERRUPTED"
        elif batch.losses + batch.charged >= MAX_ATTEMPTS:
            self.by_ledger[ref] = "QUARANTINED"
        else:
            return True
        self.record(ref, "f", b"")
        batch.done, batch.charged = batch.done + 1, 0
        over = batch.done == len(batch.calls)
        if over:
            self.forget(batch)
        if over or batch.formed:
            self.end_jobs([ref])
        return not over

    def commit(
        self, mine: Granted, position: int, reports: Sequence[Report], lease: int, pause: int | None, t: int
    ) -> str:
        """What comes of a commit: ok, finished, stopped or lost."""
        batch, job = self.batches.get(mine.batch), self.jobs[mine.calls[0].job]
        stopped = not mine.formed and job.state in {"cancelled", "expired"}
        if batch is None:
            return "stopped" if stopped else "lost"
        if batch.fence != mine.fence:
            return "stopped" if stopped else "lost"
        if not batch.formed and job.final:
            self.forget(batch)
            return "stopped" if stopped else "lost"
        for k, report in enumerate(reports):
            if position + k >= batch.done:
                self._report(batch, position + k, report, t)
        batch.done = max(batch.done, position + len(reports))
        if pause is not None:
            self.limits.pause([key for key in batch.keys if not key.startswith("tenant:")], t + pause)
        if batch.done == len(batch.calls):
            self.forget(batch)
            self.end_jobs(batch.calls)
            return "finished"
        batch.charged = 0
        return self._go_on(batch, lease, t)

    def _report(self, batch: Batch, position: int, report: Report, t: int) -> None:
        ref = batch.calls[position]
        job = self.jobs[ref.job]
        if batch.formed and (job.final or position in batch.closed):
            return
        if report.kind == "r":
            due = -(-(t + report.delay) // 10) * 10
            line = self.retry_line(batch, due)
            line.items.append(Item(ref, report.size, t, report.attempts))
            job.waiting.add(ref.index)
        elif report.kind == "n":
            self.expire([ref])
        else:
            self.record(ref, report.kind, report.text)
            if batch.formed:
                self.end_jobs([ref])

    def _go_on(self, batch: Batch, lease: int, t: int) -> str:
        if not self.limits.keep(batch.keys, batch.id, t, t + lease):
            batch.fence += 1
            batch.lease, batch.holder, batch.look = 0, "", t
            return "lost"
        batch.lease = batch.look = t + lease
        return "ok"

    def renew(self, mine: Granted, position: int, lease: int, t: int) -> str:
        """What comes of a renewal."""
        batch, job = self.batches.get(mine.batch), self.jobs[mine.calls[0].job]
        if batch is None:
            return "stopped" if not mine.formed and job.state in {"cancelled", "expired"} else "lost"
        if batch.fence != mine.fence:
            return "lost"
        if not batch.formed and job.final:
            return "stopped"
        answer = self._go_on(batch, lease, t)
        if answer == "ok" and batch.formed and self.jobs[batch.calls[position].job].final:
            return "skip"
        return answer

    def release(self, mine: Granted, t: int) -> str:
        """What comes of giving a batch back."""
        batch = self.batches.get(mine.batch)
        if batch is None or batch.fence != mine.fence:
            return "lost"
        batch.lease, batch.holder, batch.look = 0, "", t
        batch.fence += 1
        self.limits.free(batch.keys, batch.id)
        return "ok"

    def readmit(self, batch: Batch, t: int) -> None:
        """A dispatcher rings for a batch that waited for a limit; checks that it might."""
        assert batch.lease <= t, f"{batch.id} runs"
        assert self._may(batch, t, SLACK), f"no slot is free for {batch.id}"
        self.limits.take(batch.keys, batch.id, 0, t, t + RESERVE_MS)
        batch.look, batch.parked = t + RING_AFTER_MS, False

    def reap(self, t: int) -> set[str]:
        """What is overdue ends or is rung again: those batches."""
        rings = set()
        for batch in sorted(self.batches.values(), key=lambda b: (b.look, b.id)):
            if batch.look > t:
                continue
            over = not batch.formed and self.jobs[batch.calls[0].job].final
            if batch.lease > t and (batch.keys or not over):
                batch.look = batch.lease
            elif self.close(batch, t) is not None:
                batch.rings += 1
                look = t + min(BACKOFF_CAP_MS, BACKOFF_MS * 2 ** min(batch.rings - 1, 10))
                batch.look = int(min(look, self.soonest(batch) + 1))
                rings.add(batch.id)
        for job in self.jobs.values():
            if job.late(t):
                self.expire_waiting(job)
        self.sweep(t)
        return rings

    def check_nothing_is_held_up(self, t: int) -> None:
        """After a dispatch that may form as many batches as it likes nothing is left that might leave."""
        for line in self.lines.values():
            head = line.header
            keys = self.limits.standing(line.keys, head.tool, head.tenant)
            assert line.due is None or line.due > t, f"{line.name} is delayed for too long"
            if line.leaves(t):
                assert not self.limits.may_start(keys, t, slack=-SLACK), f"{line.name} is held up"
        for batch in self.batches.values():
            if batch.parked:
                may = batch.lease <= t and self._may(batch, t, -SLACK)
                assert not may, f"{batch.id} is held up"
