"""Compares all that Redis holds with the model, after each step."""

from __future__ import annotations

from typing import Any

import redis

from tests.integration.ledger_model.parts import Batch, Line, Ref
from tests.integration.ledger_model.running_model import RunningModel
from tests.integration.ledger_model.virtual_time import VirtualLedger

#: What a ledger may hold when nothing is pending, by the beginnings of names; a job's own keys beside these.
REMAINS = ("jobs", "pend", "costs", "limits", "set", "weights", "dead", "i:", "fv:", "l:", "next:")


def owners(client: redis.Redis, ledger: VirtualLedger, batch_id: str) -> list[Ref]:
    """The calls of a batch that was formed."""
    found: Any = client.hget(ledger.keys.batch(batch_id), "o")
    words = found.decode().split()
    return [Ref(job, int(index)) for job, index in zip(words[::2], words[1::2], strict=True)]


def left_in(client: redis.Redis, ledger: VirtualLedger, names: list[str]) -> list[int]:
    """How many calls are in each of these buffers."""
    with client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.llen(f"{ledger.keys.prefix}q:{name}")
        return pipe.execute()


def look_of(client: redis.Redis, ledger: VirtualLedger, batch_id: str) -> int:
    """When somebody looks at a batch next."""
    score: Any = client.zscore(ledger.keys.open, batch_id)
    return int(score)


def audit(client: redis.Redis, ledger: VirtualLedger, model: RunningModel) -> None:
    """Everything that the ledger keeps is what it should be."""
    with client.pipeline(transaction=False) as pipe:
        _ask(pipe, ledger, model)
        answers = iter(pipe.execute())
    seen: dict[Ref, int] = {}
    _check_jobs(answers, model, seen)
    _check_lines(answers, model, seen)
    _check_batches(answers, model, seen)
    _check_limits(answers, model, ledger.now_ms)
    for ref, times in seen.items():
        assert times == 1, f"{ref} is in {times} places"
    for job in model.jobs.values():
        if not job.final:
            lost = [index for index in range(job.accepted) if Ref(job.id, index) not in seen]
            assert not lost, f"calls {lost} of {job.id} are nowhere"


def _ask(pipe: Any, ledger: VirtualLedger, model: RunningModel) -> None:
    keys = ledger.keys
    for job in model.jobs:
        pipe.hgetall(keys.job(job))
        pipe.hgetall(keys.successes(job))
        pipe.hgetall(keys.failures(job))
    pipe.zrange(keys.buffers, 0, -1)
    for line in model.lines:
        pipe.lrange(f"{keys.prefix}q:{line}", 0, -1)
        pipe.hmget(f"{keys.prefix}qs:{line}", "n", "sz")
    pipe.zrange(keys.open, 0, -1, withscores=True)
    for batch in model.batches:
        pipe.hmget(keys.batch(batch), "d", "f", "l", "w", "x", "a", "careful", "lk")
    pipe.hmget(keys.pending, "calls", "bytes")
    for key in model.limits.of:
        pipe.zrange(keys.limit_slots(key), 0, -1, withscores=True)
        pipe.hget(keys.limit(key), "t")


def _see(seen: dict[Ref, int], ref: Ref) -> None:
    seen[ref] = seen.get(ref, 0) + 1


def _check_jobs(answers: Any, model: RunningModel, seen: dict[Ref, int]) -> None:
    for job in model.jobs.values():
        fields = {name.decode(): value.decode() for name, value in next(answers).items()}
        ok = {int(index): record for index, record in next(answers).items()}
        err = {int(index): record for index, record in next(answers).items()}
        assert fields["state"] == job.state, job.id
        counts = [int(fields[name]) for name in ("accepted", "done", "failed", "expired")]
        assert counts == [job.accepted, len(job.ok), len(job.err), len(job.expired)], job.id
        assert fields["total"] == ("" if job.total is None else str(job.total))
        assert ok == job.ok, "a result was lost, overwritten or made up"
        said = {index: model.by_ledger.get(Ref(job.id, index)) for index in job.err}
        assert err.keys() == job.err.keys()
        for index, record in err.items():
            word = said[index]
            assert record == job.err[index] if word is None else word.encode() in record
        for index in (*ok, *err, *(job.expired if not job.final else ())):
            _see(seen, Ref(job.id, index))


def _check_lines(answers: Any, model: RunningModel, seen: dict[Ref, int]) -> None:
    names = [name.decode() for name in next(answers)]
    assert sorted(names) == sorted(model.lines), "buffers"
    for line in model.lines.values():
        items = next(answers)
        counts = [int(value) for value in next(answers)]
        assert counts == [len(line.items), sum(item.size for item in line.items)], line.name
        assert [_item(raw) for raw in items] == [_expected(line, k) for k in range(len(line.items))]
        for item in line.items:
            job = model.jobs[item.ref.job]
            if not job.final and item.ref.index in job.waiting:
                _see(seen, item.ref)


def _item(raw: bytes) -> tuple[str, ...]:
    job, index, size, accepted, attempts = raw.decode().split(" ")[:5]
    return job, index, size, accepted, attempts


def _expected(line: Line, k: int) -> tuple[str, ...]:
    item = line.items[k]
    return item.ref.job, str(item.ref.index), str(item.size), str(item.accepted), str(item.attempts)


def _check_batches(answers: Any, model: RunningModel, seen: dict[Ref, int]) -> None:
    looks = {name.decode(): int(score) for name, score in next(answers)}
    expected = {b.id: b.look for b in model.batches.values()}
    assert looks == expected, f"batches that are open: {looks}, not {expected}"
    for batch in model.batches.values():
        found = [(value or b"").decode() for value in next(answers)]
        assert found == _batch_fields(batch), f"d f l w x a careful lk of {batch.id}"
        for position in range(batch.done, len(batch.calls)):
            ref = batch.calls[position]
            if position not in batch.closed and not model.jobs[ref.job].final:
                _see(seen, ref)


def _batch_fields(batch: Batch) -> list[str]:
    numbers = (batch.done, batch.fence, batch.lease)
    rest = (batch.losses, batch.charged, int(batch.careful))
    return [*map(str, numbers), batch.holder, *map(str, rest), "\n".join(batch.keys)]


def _check_limits(answers: Any, model: RunningModel, t: int) -> None:
    pending = tuple(int(value or 0) for value in next(answers))
    assert pending == model.pending, "what is counted as pending"
    for key, limit in model.limits.of.items():
        held = {name.decode(): int(until) for name, until in next(answers) if until > t}
        expected = {b: u for b, u in limit.held.items() if u > t}
        assert held == expected, f"slots of {key}: {held}, not {expected}"
        tokens = next(answers)
        assert tokens is None or float(tokens) <= limit.burst + 1e-3 or limit.own, f"tokens of {key}"


def check_remains(client: redis.Redis, ledger: VirtualLedger, model: RunningModel) -> None:
    """Nothing is pending: each call has one outcome, is told of once, and nothing else is left."""
    keys = ledger.keys
    for job in model.jobs.values():
        assert job.final, f"{job.id} is {job.state}"
        recorded = sorted((*job.ok, *job.err))
        told = [i for c in ledger.completions(job.id, count=10_000)[1] if c.closed is None for i in c.indexes]
        assert sorted(told) == recorded, f"what readers of {job.id} are told"
        if job.state != "cancelled":
            assert sorted((*recorded, *job.expired)) == list(range(job.accepted))
    left = set()
    for raw in client.scan_iter(f"{keys.prefix}*", count=1000):
        name = raw.decode().removeprefix(keys.prefix)
        if name.startswith("j:"):
            if name.endswith((":run", ":h")):
                left.add(name)
        elif not name.startswith(REMAINS):
            left.add(name)
    assert left == set(), "keys that nobody needs any more"
    counts: Any = client.hmget(keys.pending, "calls", "bytes")
    assert [int(count or 0) for count in counts] == [0, 0]
