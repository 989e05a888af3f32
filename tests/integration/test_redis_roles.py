"""The users of `compose/`: each role does its work with what it is given, and can do nothing else."""

from __future__ import annotations

import importlib.util
import re
import stat
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest
import redis
from redis.exceptions import NoPermissionError

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import scripts as ledger_scripts
from penstock_broker_config.redis_artifacts import RedisArtifacts
from penstock_broker_config.removal import Removal
from penstock_broker_config.settings import load_settings
from penstock_broker_config.values import UrlValues
from penstock_scheduler import AsyncProducer, Producer
from penstock_scheduler.collecting import Collecting
from tests.support.commands import output_of
from tests.support.penstock_processes import PENSTOCK, Scheduler, Worker
from tests.support.ports import LOOPBACK, free_port
from tests.support.processes import Process
from tests.support.publishing import publish_shipped
from tests.support.roles import COMPOSE, RolesRedisServer, initialise

WAIT_S = 60.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RolesRedisServer]:
    """A Redis with the roles of `compose/`."""
    with RolesRedisServer(tmp_path_factory.mktemp("roles"), shared=True) as server:
        yield server


async def test_every_role_does_its_work_and_is_refused_nothing(
    server: RolesRedisServer, tmp_path: Path
) -> None:
    """Publishing, both producers, batches by key, a failure, a cancelled job, Flower: nothing is denied."""
    for plugin in ("text", "hostile"):
        publish_shipped(server, plugin)
    broker = server.broker()
    port = free_port()
    flower = Process(
        [
            *(sys.executable, "-m", "celery", "-A", "penstock_broker_config.flower", "flower"),
            *(f"--address={LOOPBACK}", f"--port={port}", "--basic_auth=operator:of-a-test"),
        ],
        name="flower",
        folder=tmp_path / "flower",
        environment=server.environment_of("flower"),
        ready="Connected to",
    )
    worker = Worker(broker=broker, folder=tmp_path / "w1", environment=server.environment_of("worker"))
    scheduler = Scheduler(
        broker=broker, folder=tmp_path / "s1", environment=server.environment_of("scheduler")
    )
    settings = load_settings(redis_url=server.url_of("producer"))
    with flower, worker, scheduler:
        with Producer(settings) as producer:
            one = producer.submit("text.slug", {"text": "One Call"}).result(wait_s=WAIT_S)
            rows = producer.map("text.slug", ({"text": f"Row {n}"} for n in range(300))).result(wait_s=WAIT_S)
            keyed = producer.submit("text.slug", {"text": "Keyed"}, batch_key="k").result(wait_s=WAIT_S)
            failed = producer.submit("hostile.trap", {}).result(wait_s=WAIT_S)
            producer.submit("hostile.loop", {}).cancel()
        async with AsyncProducer(settings) as asking:
            job = await asking.submit("text.slug", {"text": "Asked"})
            asked = await job.result(wait_s=WAIT_S)
        _run(server, "operator", "schedule", "list")
        _run(server, "operator", "limits", "set", "k", "--concurrency", "2")
        _run(server, "operator", "plugin", "remove", "hostile@1.0.0", "--force")

    assert [one.success, keyed.success, asked.success, failed.success] == [True, True, True, False]
    assert all(row.success for row in rows)
    assert server.denials() == []


def test_a_scheduler_collects_all_that_nothing_refers_to(server: RolesRedisServer, tmp_path: Path) -> None:
    """Files, native code, costs and large values: nothing is denied. It looks once a minute, the test now."""
    keys, gone = Keys(), "a" * 64
    record = publish_shipped(server, "text")
    values = UrlValues(f"file://{tmp_path}")
    with (
        server.client() as operator,
        redis.Redis.from_url(server.url_of("worker")) as worker,
        redis.Redis.from_url(server.url_of("scheduler")) as client,
    ):
        RedisArtifacts(worker, keys).offer(f"{gone[:16]}-{'0' * 32}", b"code")
        operator.hset(keys.costs, f"{gone}:a.b", 1)
        Removal(operator, keys).remove("text", record.version)
        operator.hset(keys.catalog_removed, record.digest, f"1 {record.to_json()}")  # long ago
        values.put("gone", b"value")
        for _ in range(2):
            operator.delete(keys.catalog_collected)
            assert Collecting(client, keys, values=values).step()

        assert operator.exists(keys.artifacts, keys.costs, keys.catalog_removed) == 0
        assert not list(operator.scan_iter(f"{keys.prefix}catalog:{record.digest}*"))
        assert not list(tmp_path.iterdir())
    assert server.denials() == []


def test_the_ledgers_scripts_use_nothing_that_a_role_lacks() -> None:
    """Also where no test comes by: every command and every key that is spelled in a script."""
    spec = importlib.util.spec_from_file_location("roles", COMPOSE / "roles.py")
    assert spec is not None
    assert spec.loader is not None
    roles = importlib.util.module_from_spec(spec)
    sys.modules["roles"] = roles  # where a dataclass looks for its module
    try:
        spec.loader.exec_module(roles)
    finally:
        del sys.modules["roles"]
    scripts = "\n".join(file.read_text() for file in Path(ledger_scripts.__file__).parent.glob("*.lua"))
    commands = {name.lower() for name in re.findall(r"redis\.p?call\(\s*'(\w+)'", scripts)}
    keys = set(re.findall(r"prefix \.\. '([^']+)'", scripts)) - {"dispatch"}  # which is a channel

    for name in ("producer", "worker", "scheduler", "operator"):
        role = roles.ROLES[name]
        patterns = role.keys.split()
        assert commands <= set(role.commands.split())
        assert [key for key in keys if not any(fnmatch(key, pattern) for pattern in patterns)] == []


def _run(server: RolesRedisServer, role: str, *command: str) -> str:
    return output_of([*PENSTOCK, *command], environment=server.environment_of(role))


@pytest.mark.parametrize(
    "command",
    [
        "FLUSHALL",
        "FLUSHDB",
        "KEYS *",
        "SCAN 0",
        "CONFIG GET *",
        "CONFIG SET appendonly no",
        "SHUTDOWN NOSAVE",
        "ACL LIST",
        "FUNCTION FLUSH",
        "EVAL return(1) 0",
        "CLIENT LIST",
        "MONITOR",
        "REPLICAOF NO ONE",
        "GET elsewhere",
        "SET elsewhere 1",
        "SUBSCRIBE elsewhere",
        "HSET penstock:catalog:names text@1.0.0 forged",
        "SET penstock:artifact:x forged",
        "HSET penstock:periodic forged forged",
        "PUBLISH penstock:/0.celery.pidbox forged",
    ],
)
def test_a_producer_may_do_nothing_that_it_has_no_need_of(server: RolesRedisServer, command: str) -> None:
    """It can neither empty nor change the server, nor look at others' keys, nor publish what runs."""
    with redis.Redis.from_url(server.url_of("producer")) as client, pytest.raises(NoPermissionError):
        client.execute_command(*command.split())


@pytest.mark.parametrize("role", ["worker", "scheduler", "flower", "operator"])
def test_nobody_may_empty_or_change_the_server(server: RolesRedisServer, role: str) -> None:
    """The operator neither: that is for whoever has the machine."""
    with redis.Redis.from_url(server.url_of(role)) as client:
        for command in ("FLUSHALL", "CONFIG SET appendonly no", "SHUTDOWN NOSAVE", "ACL SETUSER x", "KEYS *"):
            with pytest.raises(NoPermissionError):
                client.execute_command(*command.split())


def test_a_restarted_server_has_everything_that_it_had(tmp_path: Path) -> None:
    """It reads its file back, transactions of scripts among it, whatever its users may do."""
    with RolesRedisServer(tmp_path / "redis") as server:
        publish_shipped(server, "text")
        with Producer(load_settings(redis_url=server.url_of("producer"))) as producer:
            job = producer.submit("text.slug", {"text": "Still Here"})
            before = _contents(server)

            server.kill()
            server.start()

            assert producer.job(job.id).progress().state == "queued"
        assert _contents(server) == before
        assert server.denials() == []


def _contents(server: RolesRedisServer) -> set[bytes]:
    with server.client() as client:
        return set(client.scan_iter(match="penstock:*", count=1000))


def test_nobody_comes_in_without_a_password(server: RolesRedisServer) -> None:
    """Redis's own default user is off."""
    with (
        redis.Redis(host=LOOPBACK, port=server.port) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_secrets_are_new_each_time_and_for_nobody_else(tmp_path: Path) -> None:
    """Two installations share no password; no file can be read by others."""
    initialise(tmp_path / "one")
    initialise(tmp_path / "two")

    for file in (tmp_path / "one/secrets").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.read_text() != (tmp_path / "two/secrets" / file.name).read_text()
    assert stat.S_IMODE((tmp_path / "one/.env").stat().st_mode) == 0o600
    with pytest.raises(AssertionError, match="is there already"):
        initialise(tmp_path / "one")
