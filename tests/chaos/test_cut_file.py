"""Redis's append-only file is cut at any byte, as by a disk that lost power: what is left is whole (B-4).

A submit is one script, and a script is one transaction of the file: it is there, or it is not.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import (
    Buffer,
    BufferedCall,
    CallEntry,
    ClaimState,
    DeclaredLimit,
    DispatchTerms,
    Ledger,
    ReapTerms,
    Submitted,
)
from tests.chaos.verdict import read_recorded
from tests.support.ledger_values import GOOD, header, terms
from tests.support.redis_server import RedisServer, missing_redis

#: Cuts; `make chaos SCENARIO=cut_file` makes more.
CUTS = int(os.environ.get("CHAOS_RUNS", "20"))
SEED = int(os.environ.get("CHAOS_SEED", "7"))

PLAIN, WAITING, LIMITED = 10, 10, 10
NAMES = [f"{kind}{n}" for n in range(PLAIN) for kind in ("plain", "waiting", "limited")]


def submit(ledger: Ledger, name: str) -> Submitted:
    """One call with an idempotency key: plain, under a batch key, or under a limit."""
    job = header(f"{name}-job")
    entry = CallEntry(0, f'{{"name":"{name}"}}')
    idempotency = (name, "digest")
    if name.startswith("plain"):
        return ledger.submit(job, [entry], base=0, total=1, single=True, idempotency=idempotency)
    limits = (DeclaredLimit(key="api", concurrency=2),) if name.startswith("limited") else ()
    buffer = Buffer(key="k", max_size=3, max_wait_ms=0, limits=limits)
    return ledger.enqueue(
        job, [BufferedCall(entry)], [buffer], base=0, total=1, single=True, idempotency=idempotency
    )


def work(ledger: Ledger, client: redis.Redis, *, most: int) -> int:
    """Dispatch what waits, and run batches that are open: so many at most. Returns how many were."""
    ledger.dispatch(DispatchTerms(reserve_s=60.0))
    done = 0
    for raw in client.zrange(Keys().open, 0, most - 1):
        batch = raw.decode() if isinstance(raw, bytes) else str(raw)
        claim = ledger.claim(batch, terms("new:1:1#1", takeover="old:1:1#1"))
        if claim.state is ClaimState.GRANTED:
            left = claim.calls_in_batch - claim.recorded
            ledger.commit(
                batch,
                [GOOD] * left,
                fence=claim.fence,
                position=claim.recorded,
                lease_s=30,
                cost_field="",
                cost_us=None,
            )
            done += 1
    return done


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a Redis in which calls were submitted, dispatched, claimed and recorded, in turns."""
    if (missing := missing_redis()) is not None:
        pytest.skip(missing)
    folder = tmp_path_factory.mktemp("written")
    with RedisServer(folder, durability="always") as server, server.client() as client:
        ledger = Ledger(client, Keys())
        for number, name in enumerate(NAMES):
            submit(ledger, name)
            if number % 5 == 4:
                work(ledger, client, most=2)
                ledger.reap(ReapTerms(), deep_queues=[])
        for raw in client.zrange(Keys().open, 0, 1):
            claim = ledger.claim(raw.decode() if isinstance(raw, bytes) else str(raw), terms("old:1:1#1"))
            assert claim.state in (ClaimState.GRANTED, ClaimState.PARKED)
        server.stop()
    return folder


@contextmanager
def restarted_on_a_cut(written: Path, folder: Path, keep: int) -> Iterator[redis.Redis]:
    """A Redis on a copy of the files, of whose newest part only so many bytes are left."""
    server = RedisServer(folder, durability="always")
    (folder / "appendonlydir").mkdir(parents=True)
    for file in (written / "appendonlydir").iterdir():
        raw = file.read_bytes()
        name = folder / "appendonlydir" / file.name
        name.write_bytes(raw[:keep] if file.name.endswith(".incr.aof") else raw)
    with server, server.client() as client:
        yield client


def test_B4_after_a_cut_at_any_byte_nothing_is_half_recorded(written: Path, tmp_path: Path) -> None:
    """What was submitted before the cut is there with its results, what came after is safely sent again."""
    (newest,) = (written / "appendonlydir").glob("*.incr.aof")
    size = newest.stat().st_size
    dice = random.Random(SEED)
    for number in range(CUTS):
        keep = size - dice.randrange(1, 1000) if number % 4 == 0 else dice.randrange(size)
        with restarted_on_a_cut(written, tmp_path / str(number), keep) as client:
            look_and_go_on(client, f"seed {SEED}, {keep} of {size} bytes")


def look_and_go_on(client: redis.Redis, where: str) -> None:
    """Look at what is left, submit everything again, and run all of it to its end."""
    keys, ledger = Keys(), Ledger(client, Keys())
    there = [bool(client.exists(keys.job(f"{name}-job"))) for name in NAMES]
    assert there == sorted(there, reverse=True), f"{where}: a call is gone that was submitted before others"
    recorded_before = {}
    for name, known in zip(NAMES, there, strict=True):
        if known:
            recorded_before[name] = whole(client, f"{name}-job", where)

    again = [submit(ledger, name) for name in NAMES]
    assert [answer.accepted for answer in again] == [not known for known in there], where
    for _ in range(200):
        if not work(ledger, client, most=50) and client.zcard(keys.open) == 0:
            break

    for name in NAMES:
        found, wrong = read_recorded(client, f"{name}-job")
        assert wrong == [], where
        assert (found[0].results, found[0].named) == (1, 1), where
        if recorded_before.get(name):
            assert found[0] == recorded_before[name], where
    assert client.zcard(keys.jobs) == len(NAMES), where
    pending = client.hgetall(keys.pending)
    assert not any(map(int, pending.values())), f"{where}: {pending!r}"
    assert [state.running for state in ledger.limits()] == [0], where


def whole(client: redis.Redis, job: str, where: str) -> object:
    """The job's one result; falsy when it has none yet. Its record, its results and its stream must agree."""
    found, wrong = read_recorded(client, job)
    record = Ledger(client, Keys()).job(job)
    if record.state.final:
        assert wrong == [], where
        assert (found[0].results, found[0].named, record.done) == (1, 1, 1), where
        return found[0]
    assert found == {}, f"{where}: {job} has results, and has not ended"
    assert record.done + record.failed + record.expired == 0, where
    return None
