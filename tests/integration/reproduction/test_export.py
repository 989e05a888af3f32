"""From a worker that a call has killed to its replay elsewhere: real workers, Redis and command line."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import redis

from penstock_broker_config.hosts import HostRecord, find_host
from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import ClaimTerms, Ledger
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_plugins.error_codes import ErrorCode
from penstock_scheduler import Producer
from penstock_workers.identity import host_tag
from penstock_workers.inspection import inspect_plugin
from penstock_workers.reproduction.file import read_reproduction
from tests.conformance.worker_killer import killer_bundle
from tests.support.brokers import Broker
from tests.support.command_line import CommandLine
from tests.support.penstock_processes import Scheduler, Worker
from tests.support.publishing import publish_shipped
from tests.support.redis_server import RedisServer

KEYS = Keys()
PASSWORD = "only the operator knows this"  # noqa: S105 - it must not be found in a file


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """Of an empty Redis."""
    with redis_server.client() as client:
        yield client


@pytest.mark.timeout(600)
def test_J3_a_call_that_kills_its_workers_is_quarantined_and_kills_a_replay_too(
    redis_server: RedisServer, client: redis.Redis, tmp_path: Path
) -> None:
    """Its worker ends with it, for real; what is exported ends a process here in the same way, no other."""
    inspection = inspect_plugin(killer_bundle())
    assert inspection.ok, inspection.problems
    RedisCatalog(client, KEYS).publish(killer_bundle(), inspection.tools)
    broker = Broker(server=redis_server, url=redis_server.url, redis=redis_server)
    environment = {
        "PENSTOCK_CACHE_DIR": str(tmp_path / "cache"),
        "PENSTOCK_MAX_ATTEMPTS": "1",
        "PENSTOCK_RING_AFTER_S": "0.5",
        "PENSTOCK_RING_CAP_S": "1",
        "PENSTOCK_SIGNING_KEY": PASSWORD,
    }
    worker = Worker(broker=broker, folder=tmp_path / "w", environment=environment)
    scheduler = Scheduler(broker=broker, folder=tmp_path / "s", environment=environment)
    cli = CommandLine(tmp_path, {**broker.environment, **environment})
    laptop = CommandLine(tmp_path, {"PENSTOCK_CACHE_DIR": str(tmp_path / "laptop")})

    with worker, scheduler, Producer.connect(broker.url, signing_key=PASSWORD) as producer:
        # A map sends what it did not check: a check here would hold this process up for years.
        killed, good = producer.map("killer.run", [{"boom": True}, {"boom": False}]).result(wait_s=240)
        letters = producer.dead_letters()
        exported = cli("dead-letters", "export", killed.call_id, "-o", "crash.zip")
        again = cli("dead-letters", "export", killed.call_id, "-o", "crash.zip")
    replayed = laptop("replay", "crash.zip", "--json")

    content = (tmp_path / "crash.zip").read_bytes()
    case = read_reproduction(content).case
    assert killed.error is not None
    assert killed.error.code is ErrorCode.QUARANTINED
    assert good.data == {"boom": False}
    assert [letter.call_id for letter in letters] == [killed.call_id]
    assert (exported.code, again.code) == (0, 2), exported.err
    assert (case.host, case.timeout_s, case.capabilities, case.attempts) == ("worker", 5.0, ("log",), 1)
    assert (tmp_path / "crash.zip").stat().st_mode & 0o077 == 0
    assert (replayed.code, replayed.json["outcome"], replayed.json["signal"]) == (1, "died", 24)
    assert replayed.json["differences"] == []


def test_J3_an_export_has_the_rules_of_the_host_that_ran_it_and_no_secret(
    redis_server: RedisServer, client: redis.Redis, tmp_path: Path
) -> None:
    """Limits as its operator narrowed them; names of variables without values; nothing signed."""
    publish_shipped(redis_server, "text")
    broker = Broker(server=redis_server, url=redis_server.url, redis=redis_server)
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "penstock.toml").write_text(
        f'[limits]\nmemory_bytes = 1048576\n[plugins.text.env]\nTOKEN = "{PASSWORD}"\n'
    )
    secrets = {"PENSTOCK_SIGNING_KEY": PASSWORD, "PENSTOCK_CACHE_DIR": str(tmp_path / "cache")}
    with Worker(broker=broker, folder=tmp_path / "w", environment=secrets):
        record = find_host(client, KEYS, host_tag())
    with Producer.connect(broker.url, signing_key=PASSWORD) as producer:
        job = producer.submit("text.slug", {"text": "Hi"}, timeout_s=0.5, session={"user": PASSWORD})
    ledger = Ledger(client, KEYS)
    holders = ("", f"{host_tag()}:1:1#1", f"{host_tag()}:1:1#2")
    for before, holder in pairwise(holders):
        ledger.claim(f"{job.id}.0", ClaimTerms(holder=holder, lease_s=30, max_attempts=1, takeover=before))
    cli = CommandLine(tmp_path, {**broker.environment, **secrets})

    done = cli("dead-letters", "export", f"{job.id}.0")

    content = (tmp_path / f"{job.id}.0.zip").read_bytes()
    reproduction = read_reproduction(content)
    assert isinstance(record, HostRecord)
    assert (record.limits, record.plugins["text"].env) == ({"memory_bytes": 1048576}, ("TOKEN",))
    assert done.code == 0, done.err
    assert reproduction.params == b'{"text":"Hi"}'
    assert (reproduction.case.timeout_s, reproduction.case.limits["memory_bytes"]) == (0.5, 1048576)
    assert reproduction.case.host == "worker"
    for text in (reproduction.case.model_dump_json(), str(client.get(KEYS.host(host_tag())))):
        assert PASSWORD not in text
