"""TLS and Sentinel by URL alone, with real servers: a worker, both producers, both brokers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from penstock_broker_config.app import create_app
from penstock_broker_config.doorbell import RING_ERRORS, Doorbell
from penstock_broker_config.queues import DEFAULT
from penstock_broker_config.settings import Settings, load_settings
from penstock_broker_config.store import connect_async_store, connect_store
from penstock_scheduler import AsyncProducer, Producer
from tests.support.brokers import Broker
from tests.support.certificates import Authority
from tests.support.penstock_processes import PENSTOCK, Scheduler, Worker
from tests.support.processes import Process
from tests.support.publishing import publish_shipped
from tests.support.rabbit_server import missing_rabbit
from tests.support.redis_server import RedisServer
from tests.support.sentinels import SentinelSet
from tests.support.tls_servers import TlsRabbitServer, TlsRedisServer, client_options
from tests.support.waiting import wait_until

WAIT_S = 60.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For the servers that these tests share."""
    return tmp_path_factory.mktemp("secure")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    """Whom the servers are certified by."""
    return Authority(folder / "authority")


@pytest.fixture(scope="module")
def secure_redis(authority: Authority, folder: Path) -> Iterator[TlsRedisServer]:
    """A Redis that speaks TLS only."""
    with TlsRedisServer(folder / "redis", authority, shared=True) as server:
        yield server


@pytest.fixture(scope="module", params=["rediss", "amqps"])
def secure_broker(
    request: pytest.FixtureRequest, secure_redis: TlsRedisServer, authority: Authority, folder: Path
) -> Iterator[Broker]:
    """The ledger behind TLS, and each kind of broker behind TLS."""
    if request.param == "rediss":
        yield Broker(server=secure_redis, url=secure_redis.url, redis=secure_redis)
        return
    if (missing := missing_rabbit()) is not None:
        pytest.skip(missing)
    with TlsRabbitServer(folder / "rabbitmq", authority, shared=True) as rabbit:
        yield Broker(server=rabbit, url=rabbit.tls_url, redis=secure_redis)


async def test_I6_tls_by_url(secure_broker: Broker, tmp_path: Path) -> None:
    """Worker, scheduler and both producers reach store and broker with nothing but their URLs."""
    publish_shipped(secure_broker.redis, "text")
    with (
        Worker(broker=secure_broker, folder=tmp_path / "w1"),
        Scheduler(broker=secure_broker, folder=tmp_path / "s1"),
    ):
        with Producer(secure_broker.settings()) as producer:
            blocking = producer.submit("text.slug", {"text": "By TLS"}).result(wait_s=WAIT_S)
        async with AsyncProducer(secure_broker.settings()) as producer:
            job = await producer.submit("text.slug", {"text": "By asyncio"})
            waiting = await job.result(wait_s=WAIT_S)

    assert (blocking.data, waiting.data) == ({"slug": "by-tls"}, {"slug": "by-asyncio"})


async def test_a_server_of_an_unknown_authority_is_refused(
    secure_broker: Broker, secure_redis: TlsRedisServer, tmp_path: Path
) -> None:
    """Store and broker alike: who is not certified by the URL's authority gets no command and no password."""
    other = client_options(Authority(tmp_path / "other"))
    url, redis_url = (f"{u.partition('?')[0]}?{other}" for u in (secure_broker.url, secure_redis.url))
    settings = load_settings(broker_url=url, redis_url=redis_url)

    with connect_store(settings) as client, pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY"):
        client.ping()
    async with connect_async_store(settings) as asking:
        with pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY"):
            await asking.ping()
    with pytest.raises(RING_ERRORS, match=r"(?i)certificate"):
        Doorbell(create_app(settings)).ring("b", queue=DEFAULT, tool="text.slug", calls=1)


def test_certificates_are_checked_when_the_url_says_nothing(secure_redis: TlsRedisServer) -> None:
    """kombu alone would take any; the system's authorities know nothing of the test's."""
    settings = load_settings(redis_url=secure_redis.bare_url)

    with pytest.raises(RING_ERRORS, match=r"(?i)certificate"):
        Doorbell(create_app(settings)).ring("b", queue=DEFAULT, tool="text.slug", calls=1)


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[SentinelSet]:
    """A master, its replica and those who watch them."""
    with SentinelSet(tmp_path / "sentinels") as servers:
        yield servers


async def test_calls_go_on_when_the_host_of_the_master_is_killed(
    sentinels: SentinelSet, tmp_path: Path
) -> None:
    """With the sentinel that is asked first; a worker and both producers find the new master and go on."""
    publish_shipped(sentinels.master, "text")
    environment = {"PENSTOCK_REDIS_URL": sentinels.url}
    settings = load_settings(redis_url=sentinels.url)
    worker = Process(
        [*PENSTOCK, "worker", "--name", "w1", "--processes", "1"],
        name="w1",
        folder=tmp_path / "w1",
        environment=environment,
        ready="Ready, warm: ",
    )
    scheduler = Process(
        [*PENSTOCK, "scheduler"], name="s1", folder=tmp_path / "s1", environment=environment, ready="Ready"
    )
    with worker, scheduler, Producer(settings) as producer:
        async with AsyncProducer(settings) as asking:
            before = producer.submit("text.slug", {"text": "Before"}).result(wait_s=WAIT_S)
            first = sentinels.master_port()
            with sentinels.replica.client() as replica:
                wait_until(lambda: _caught_up(settings, replica), WAIT_S, "the replica has it all")

            sentinels.kill_first_host()
            wait_until(lambda: sentinels.master_port() != first, WAIT_S, "there is a new master")

            after = producer.submit("text.slug", {"text": "After"}).result(wait_s=WAIT_S)
            job = await asking.submit("text.slug", {"text": "After, too"})
            later = await job.result(wait_s=WAIT_S)

    assert [result.data["slug"] for result in (before, after, later)] == ["before", "after", "after-too"]
    assert sentinels.replica.port != first


async def test_sentinels_and_their_servers_by_tls(authority: Authority, tmp_path: Path) -> None:
    """`sentinels://`: clients and broker follow the master; one with another authority cannot."""
    with SentinelSet(tmp_path / "sentinels", authority) as servers:
        settings = load_settings(redis_url=servers.url)
        doorbell = Doorbell(create_app(settings))
        with connect_store(settings) as client:
            client.set("written", "before")
            wait_until(lambda: _has(servers.replica), WAIT_S, "the replica has it")

            servers.kill_first_host()
            answer = wait_until(lambda: _asked(client), WAIT_S, "the new master answers")

        async with connect_async_store(settings) as asking:
            waited = await asking.get("written")
        doorbell.ring("b", queue=DEFAULT, tool="text.slug", calls=1)
        depths = doorbell.depths([DEFAULT])
        doorbell.close()

        other = servers.url.partition("&")[0] + f"&ssl_ca_certs={Authority(tmp_path / 'other').ca}"
        with connect_store(load_settings(redis_url=other)) as stranger, pytest.raises(redis.ConnectionError):
            stranger.ping()

    assert (answer, waited, depths) == (b"before", b"before", {DEFAULT: 1})


def _has(server: RedisServer) -> bool:
    with server.client() as client:
        return bool(client.exists("written"))


def _asked(client: redis.Redis) -> object:
    try:
        return client.get("written")
    except redis.ConnectionError:
        return None


def _caught_up(settings: Settings, replica: redis.Redis) -> bool:
    with connect_store(settings) as master:
        sent = master.info("replication")["master_repl_offset"]
    return bool(replica.info("replication")["slave_repl_offset"] >= sent)
