"""What must be true of calls: which wait, which are in a batch, which have ended, and how. Pure.

One operation of the ledger is one method here; what the ledger may choose (whose turn it is) comes in as what
it answered, and is checked.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from penstock_broker_config.ledger import BatchHeader, Bounds, Buffer
from tests.integration.ledger_model.limits_model import SLACK, Limits
from tests.integration.ledger_model.parts import RESERVE_MS, RING_AFTER_MS, Batch, Item, Job, Line, Ref


class Model:
    """Everything that was accepted."""

    def __init__(self, limits: Limits, bounds: Bounds) -> None:
        self.limits = limits
        self.bounds = bounds
        self.jobs: dict[str, Job] = {}
        self.lines: dict[str, Line] = {}
        self.batches: dict[str, Batch] = {}
        #: Records of calls that no worker reported, by what they say.
        self.by_ledger: dict[Ref, str] = {}

    # What producers do -----------------------------------------------------------------------------------

    def overloaded(self, sizes: Sequence[tuple[str, int]]) -> bool:
        """Whether calls (of a buffer, of a size) are too many."""
        waiting, size = self.pending
        more = sum(one for _, one in sizes)
        if waiting and (waiting + len(sizes) > self.bounds.calls or size + more > self.bounds.size_bytes):
            return True
        for name in {name for name, _ in sizes}:
            there = len(self.lines[name].items) if name in self.lines else 0
            if there and there + sum(n == name for n, _ in sizes) > self.bounds.key_calls:
                return True
        return False

    @property
    def pending(self) -> tuple[int, int]:
        """Calls and bytes that are accepted and not at their end, as they are counted."""
        items = [item for line in self.lines.values() for item in line.items]
        batches = self.batches.values()
        return (
            len(items) + sum(len(b.calls) for b in batches),
            sum(item.size for item in items) + sum(b.size for b in batches),
        )

    def accept(self, header: BatchHeader, count: int, total: int | None, deadline: int | None) -> Job:
        """Calls are accepted; their job is made with the first ones."""
        job = self.jobs.setdefault(header.job, Job(header.job, header, deadline, total))
        job.accepted += count
        return job

    def submit(self, header: BatchHeader, count: int, size: int, t: int) -> None:
        """A stretch of calls becomes a batch at once."""
        job = self.jobs[header.job]
        first = job.accepted - count
        look = min(t + RING_AFTER_MS, math.inf if job.deadline is None else job.deadline + 1)
        batch = Batch(
            f"{job.id}.{first}",
            header,
            [Ref(job.id, first + k) for k in range(count)],
            size,
            formed=False,
            keys=(),
            look=int(look),
            careful=header.once,
        )
        self.batches[batch.id] = batch

    def enqueue(self, header: BatchHeader, shape: Buffer, item: Item, delay: int | None, base: int) -> None:
        """A call waits in a buffer."""
        name = shape.name(header)
        keys = tuple(limit.key for limit in shape.limits)
        if delay is None:
            line = self.lines.setdefault(name, Line(name, header, shape, keys))
        else:
            due = item.accepted + delay
            late = f"{name}@{header.job}.{base}"
            line = self.lines.setdefault(late, Line(late, header, shape, keys, due, name))
        line.items.append(item)
        self.jobs[header.job].waiting.add(item.ref.index)

    def flush(self, header: BatchHeader, key: str) -> int:
        """What waits under a key leaves now."""
        count = 0
        for line in self.lines.values():
            same = (line.header.tenant, line.header.tool, line.shape.key) == (header.tenant, header.tool, key)
            if same and line.due is None and not line.name.startswith("~"):
                line.flushed = len(line.items)
                count += len(line.items)
        return count

    def seal(self, job: Job) -> None:
        """The input has ended."""
        if not job.final and job.total is None:
            job.total = job.accepted
        self._end_if_complete(job)

    # How calls end ---------------------------------------------------------------------------------------

    def _end_if_complete(self, job: Job) -> None:
        if job.final or job.total is None:
            return
        if len(job.ok) + len(job.err) + len(job.expired) < job.total:
            return
        job.state = "expired" if job.expired else "failed" if job.err else "succeeded"

    def expire_waiting(self, job: Job) -> None:
        """The deadline has passed: what waits in buffers ends."""
        if job.final or not job.waiting:
            return
        job.expired |= job.waiting
        job.waiting = set()
        self._end_if_complete(job)

    def expire(self, refs: Sequence[Ref]) -> None:
        """Calls of a batch end without having run."""
        for ref in refs:
            job = self.jobs[ref.job]
            job.expired.add(ref.index)
        for name in {ref.job for ref in refs}:
            self._end_if_complete(self.jobs[name])

    def forget(self, batch: Batch) -> None:
        """A batch has ended."""
        del self.batches[batch.id]
        self.limits.free(batch.keys, batch.id)

    def close(self, batch: Batch, t: int) -> set[int] | None:
        """Ends what cannot run any more; the positions to be passed over, or None when nothing is left."""
        if not batch.formed:
            job = self.jobs[batch.calls[0].job]
            if job.final:
                self.forget(batch)
                return None
            if job.late(t):
                self.forget(batch)
                self.expire(batch.calls[batch.done :])
                return None
            return set()
        over, live = set(batch.closed), 0
        for position in range(batch.done, len(batch.calls)):
            job = self.jobs[batch.calls[position].job]
            if position in over:
                continue
            if job.final:
                over.add(position)
            elif job.late(t):
                over.add(position)
                batch.closed.add(position)
                self.expire([batch.calls[position]])
            else:
                live += 1
        if not live:
            self.forget(batch)
            return None
        return over

    def record(self, ref: Ref, kind: str, text: bytes) -> None:
        """A result: recorded once, and never after the job's end."""
        job = self.jobs[ref.job]
        assert ref.index not in job.ok, "recorded twice"
        assert ref.index not in job.err, "recorded twice"
        (job.ok if kind == "s" else job.err)[ref.index] = text

    def end_jobs(self, refs: Sequence[Ref]) -> None:
        """Jobs of these calls end when nothing is left of them."""
        for name in {ref.job for ref in refs}:
            self._end_if_complete(self.jobs[name])

    # What schedulers do ----------------------------------------------------------------------------------

    def retry_line(self, batch: Batch, due: int) -> Line:
        """Where calls of a batch wait to be tried again."""
        head = batch.header
        once, policy = str(int(head.once)), head.policy
        parts = [head.tool, head.digest, head.tenant, head.queue, policy, once, "\n".join(batch.keys)]
        into = "~" + hashlib.sha1("\n".join(parts).encode(), usedforsecurity=False).hexdigest()
        name = f"{into}@{due}"
        return self.lines.setdefault(name, Line(name, head, Buffer(), batch.keys, due, into))

    def mature(self, t: int) -> None:
        """Calls whose delay is over join the others, in the order of their times."""
        due = [line for line in self.lines.values() if line.due is not None and line.due <= t]
        for line in sorted(due, key=lambda line: (line.due, line.name)):
            into = self.lines.setdefault(line.into, Line(line.into, line.header, line.shape, line.keys))
            into.items += [item._replace(accepted=t) for item in line.items]
            del self.lines[line.name]

    def alive(self, item: Item, t: int) -> bool:
        """Whether a call that waits may still run."""
        job = self.jobs[item.ref.job]
        return not job.final and item.ref.index in job.waiting and not job.late(t)

    def form(self, batch_id: str, line: Line, taken: Sequence[Ref], t: int) -> Batch:
        """The ledger formed a batch of a buffer's calls; checks that it might."""
        assert line.leaves(t), f"{line.name} was not due"
        head = line.header
        keys = self.limits.standing(line.keys, head.tool, head.tenant)
        allowed = min(line.shape.max_size, self.limits.may_start(keys, t, slack=SLACK))
        assert len(taken) <= allowed, f"{len(taken)} calls left, {allowed} may"
        dead: list[Item] = []
        items: list[Item] = []
        while len(items) < len(taken):
            item = line.items.pop(0)
            (items if self.alive(item, t) else dead).append(item)
        assert [item.ref for item in items] == list(taken), "not the oldest ones"
        size = sum(item.size for item in items)
        assert len(items) == 1 or size <= line.shape.max_bytes, f"{size} bytes"
        line.flushed = max(0, line.flushed - len(items) - len(dead))
        self._dropped(dead, t)
        for ref in taken:
            self.jobs[ref.job].waiting.discard(ref.index)
        soonest = min((self.jobs[ref.job].deadline or math.inf for ref in taken), default=math.inf)
        look = int(min(t + RING_AFTER_MS, soonest + 1))
        batch = Batch(batch_id, head, list(taken), size, True, keys, look, head.once)
        self.batches[batch_id] = batch
        self.limits.take(keys, batch_id, len(taken), t, t + RESERVE_MS)
        return batch

    def drop_dead(self, line: Line, left: int, t: int) -> None:
        """The ledger dropped calls from the front of a buffer; checks that none of them lived."""
        gone, line.items = line.items[: len(line.items) - left], line.items[len(line.items) - left :]
        assert not any(self.alive(item, t) for item in gone), "a call that waited is lost"
        line.flushed = max(0, line.flushed - len(gone))
        self._dropped(gone, t)

    def sweep(self, t: int) -> None:
        """Calls that wait and may not run any more leave their buffers, wherever they stand."""
        for line in list(self.lines.values()):
            kept = [self.alive(item, t) for item in line.items]
            line.flushed -= kept[: line.flushed].count(False)
            line.items = [item for item, stays in zip(line.items, kept, strict=True) if stays]
            if not line.items:
                del self.lines[line.name]

    def _dropped(self, items: Sequence[Item], t: int) -> None:
        for item in items:
            job = self.jobs[item.ref.job]
            if job.late(t):
                self.expire_waiting(job)
