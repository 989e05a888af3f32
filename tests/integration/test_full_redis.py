"""A Redis that has no memory left refuses to take more, and loses nothing of what it has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import (
    Buffer,
    BufferedCall,
    CallEntry,
    DispatchTerms,
    JobState,
    Ledger,
    ReapTerms,
)
from tests.support.ledger_values import GOOD, calls, granted, header
from tests.support.redis_server import RedisServer


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """A client of the test's Redis, which is empty, and has its memory back afterwards."""
    with redis_server.client() as client:
        client.flushall()
        yield client
        client.config_set("maxmemory", "0")


@pytest.fixture
def ledger(client: redis.Redis) -> Ledger:
    """A ledger on the test's Redis."""
    return Ledger(client, Keys())


def test_B4_schedulers_of_a_full_redis_fail_nothing(client: redis.Redis, ledger: Ledger) -> None:
    """What is overdue is rung for, what is due leaves, and all of it ends when there is memory again."""
    ledger.submit(header("plain"), calls(0, 1), base=0, total=1, ring_after_s=0.0)
    waits = [BufferedCall(CallEntry(0, "{}"))]
    ledger.enqueue(header("waits"), waits, [Buffer(key="k")], base=0, total=1)

    client.config_set("maxmemory", "1mb")
    rung = [batch.batch_id for batch in ledger.reap(ReapTerms(backoff_s=0))]
    rung += [batch.batch_id for batch in ledger.dispatch(DispatchTerms()).batches]
    with pytest.raises(redis.OutOfMemoryError):
        ledger.submit(header("more"), calls(0, 1), base=0, total=1)
    client.config_set("maxmemory", "0")
    for batch in rung:
        held = granted(ledger, batch)
        ledger.commit(batch, [GOOD], fence=held.fence, position=0, lease_s=30)

    assert len(rung) == 2
    assert [ledger.job(name).state for name in ("plain", "waits")] == [JobState.SUCCEEDED] * 2
    assert client.exists(Keys().broken) == 0


def test_B4_a_redis_that_refuses_is_no_damaged_record(
    redis_server: RedisServer, client: redis.Redis, ledger: Ledger
) -> None:
    """Whoever may not write sets nothing aside."""
    ledger.submit(header("j"), calls(0, 1), base=0, total=1, ring_after_s=0.0)
    name, no_password = "poor", ""
    client.acl_setuser(
        name, enabled=True, nopass=True, keys="*", channels="*", categories=["+@all"], commands=["-hincrby"]
    )

    with redis_server.client(username=name, password=no_password) as poor, pytest.raises(redis.RedisError):
        Ledger(poor, Keys()).reap(ReapTerms())

    assert ledger.job("j").state is JobState.QUEUED
    assert client.exists(Keys().broken) == 0
