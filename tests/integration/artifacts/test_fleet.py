"""Native code that one host made and others take: with the fleet's key, and never without."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast
from unittest.mock import Mock

import pytest
import redis

from penstock_broker_config.keys import Keys
from penstock_broker_config.redis_artifacts import MAKER_TTL_S, RedisArtifacts
from penstock_broker_config.redis_catalog import CHUNK_BYTES
from penstock_broker_config.settings import load_settings
from penstock_broker_config.store import connect_impatiently
from penstock_plugins.errors import CompileError
from penstock_plugins.folder_catalog import FolderCatalog
from penstock_plugins.record import PluginRecord
from penstock_workers.artifacts import compiler
from penstock_workers.artifacts.fleet import PAUSE_S, Fleet, FleetCounts
from penstock_workers.artifacts.identity import ArtifactIdentity, host_cpu, wasmtime_version
from penstock_workers.artifacts.mac import owned_name
from penstock_workers.artifacts.memfd import is_sealed, sealed_bytes
from penstock_workers.artifacts.shelf import Shelf
from penstock_workers.artifacts.source import Origin
from penstock_workers.artifacts.store import ArtifactStore
from penstock_workers.engine import PLAIN
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

KEYS = Keys("test:")
SECRET = b"the fleet's key, 16 bytes at least"
IDENTITY = ArtifactIdentity(
    digest="ab" * 32,
    module_sha256="cd" * 32,
    kind="component",
    engine=PLAIN.fingerprint,
    wasmtime=wasmtime_version(),
    cpu=host_cpu(),
)
#: Two chunks. Nobody runs it.
CODE = bytes(range(256)) * 3000

Publish = Callable[..., PluginRecord]


@dataclass
class Host:
    """A host: a disk and a key of its own, and perhaps the fleet's key."""

    folder: Path
    fleet: Fleet | None
    #: How often it compiled.
    runs: int = 0
    code: bytes = CODE
    #: Called by each compile.
    compiling: Callable[[], object] = lambda: None
    store: ArtifactStore = field(init=False)

    def __post_init__(self) -> None:
        self.store = ArtifactStore(self.folder, fleet=self.fleet)

    def obtain(self, identity: ArtifactIdentity = IDENTITY) -> Origin:
        """Have the artifact; returns where it came from."""

        def compile_it() -> int:
            self.runs += 1
            self.compiling()
            return sealed_bytes("test", self.code)

        obtained = self.store.obtain(identity, compile_it)
        assert is_sealed(obtained.fd)
        assert os.pread(obtained.fd, 10_000_000, 0) == self.code
        os.close(obtained.fd)
        return obtained.origin

    @property
    def counts(self) -> FleetCounts:
        """Of its exchange."""
        assert self.fleet is not None
        return self.fleet.counts

    def wait_until_offered(self) -> None:
        """What it made has been sent, and nobody waits for it any more."""
        fleet = self.fleet
        assert fleet is not None
        wait_until(lambda: not fleet._offering and not fleet._claims, 60, "it is offered")


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """Of an empty Redis."""
    with redis_server.client() as client:
        yield client


class NewHost:
    """Makes hosts with one Redis."""

    def __init__(self, client: redis.Redis, folder: Path) -> None:
        self._client = client
        self._folder = folder
        self._made: list[Host] = []

    def __call__(
        self, *, secret: bytes | None = SECRET, pause: Callable[[float], object] | None = None
    ) -> Host:
        fleet = None
        if secret is not None:
            exchange = RedisArtifacts(self._client, KEYS)
            fleet = Fleet(exchange, secret, **({"pause": pause} if pause else {}))  # type: ignore[arg-type]
        self._made.append(Host(self._folder / f"host{len(self._made)}", fleet))
        return self._made[-1]

    def wait_until_idle(self) -> None:
        """No thread of a host uses the client any more."""
        for host in self._made:
            if host.fleet is not None:
                host.wait_until_offered()


@pytest.fixture
def new_host(client: redis.Redis, tmp_path: Path) -> Iterator[NewHost]:
    """Makes hosts of this test."""
    new_host = NewHost(client, tmp_path)
    yield new_host
    new_host.wait_until_idle()


@pytest.fixture
def name(new_host: NewHost) -> str:
    """Under which the artifact is exchanged; one host has offered it."""
    host = new_host()
    host.obtain()
    host.wait_until_offered()
    assert host.fleet is not None
    return owned_name(IDENTITY, host.fleet._key)


def test_what_one_host_compiled_the_next_one_takes(
    new_host: NewHost,
    client: redis.Redis,
    catalog: FolderCatalog,
    publish: Publish,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One compile process for both; afterwards it is on the second one's disk, under its own key."""
    process = Mock(wraps=compiler._run_process)
    monkeypatch.setattr(compiler, "_run_process", process)
    digest = publish().digest
    first, second = new_host(), new_host()

    with Shelf(catalog, first.store).take(digest) as made:
        first.wait_until_offered()
        with Shelf(catalog, second.store).take(digest) as taken:
            same = os.pread(made.fd, 10_000_000, 0) == os.pread(taken.fd, 10_000_000, 0)
    client.flushall()
    with Shelf(catalog, ArtifactStore(second.folder)).take(digest) as again:
        origins = [made.origin, taken.origin, again.origin]

    assert origins == [Origin.COMPILED, Origin.FLEET, Origin.DISK]
    assert same
    assert process.call_count == 1
    assert (first.counts.offered, second.counts.taken) == (1, 1)


def test_without_a_key_nothing_is_offered_and_nothing_taken(
    new_host: NewHost, client: redis.Redis, name: str
) -> None:
    """Each host compiles for itself, also when others offer."""
    before = client.dbsize()
    host = new_host(secret=None)

    assert host.obtain() is Origin.COMPILED

    assert client.dbsize() == before
    client.flushall()
    assert new_host(secret=None).obtain() is Origin.COMPILED
    assert client.dbsize() == 0


def test_hosts_with_another_key_are_another_fleet(new_host: NewHost, client: redis.Redis, name: str) -> None:
    """They see nothing of ours; put under their name, it is refused."""
    other = new_host(secret=b"another fleet's key, long enough")
    assert other.fleet is not None
    theirs = owned_name(IDENTITY, other.fleet._key)
    assert theirs != name
    client.copy(KEYS.artifact(name), KEYS.artifact(theirs))

    assert other.obtain() is Origin.COMPILED

    assert other.counts.refused == 1


@pytest.mark.parametrize("change", ["digest", "module_sha256", "kind", "engine", "wasmtime", "cpu"])
def test_native_code_does_not_pass_for_another(
    new_host: NewHost, client: redis.Redis, name: str, change: str
) -> None:
    """Of another plugin, wasmtime, engine or machine: it has another name, and is refused under ours."""
    other_identity = replace(IDENTITY, **{change: "another"})
    other = new_host()
    assert other.obtain(other_identity) is Origin.COMPILED
    other.wait_until_offered()
    assert other.fleet is not None
    others = KEYS.artifact(owned_name(other_identity, other.fleet._key))
    client.copy(others, KEYS.artifact(name), replace=True)
    host = new_host()

    assert host.obtain() is Origin.COMPILED

    assert host.counts.refused == 1


def flipped(client: redis.Redis, key: str, offset: int) -> None:
    """One bit of an entry."""
    chunk, at = str(offset // CHUNK_BYTES), offset % CHUNK_BYTES
    content = bytearray(cast("bytes", client.hget(key, chunk)))
    content[at] ^= 1 << offset % 8
    client.hset(key, chunk, bytes(content))


DAMAGES: dict[str, Callable[[redis.Redis, str], object]] = {
    **{
        f"bit in byte {offset}": lambda client, key, offset=offset: flipped(client, key, offset)  # type: ignore[misc]
        for offset in (0, 31, 32, 5000, CHUNK_BYTES - 1, CHUNK_BYTES, len(CODE) + 31)
    },
    "chunk missing": lambda client, key: client.hdel(key, "1"),
    "chunk cut": lambda client, key: client.hset(key, "1", (client.hget(key, "1") or b"")[:-1]),
    "chunk too large": lambda client, key: client.hset(key, "0", bytes(CHUNK_BYTES + 1)),
    "said to be shorter": lambda client, key: client.hset(key, "size", str(CHUNK_BYTES)),
    "said to be nothing": lambda client, key: client.hset(key, "size", "0"),
    "said to be huge": lambda client, key: client.hset(key, "size", "99999999999"),
    "size is no number": lambda client, key: client.hset(key, "size", "many"),
    "only its authentication": lambda client, key: client.hset(
        key, mapping={"size": "32", "0": (client.hget(key, "0") or b"")[:32]}
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_refused_and_made_anew(
    new_host: NewHost, client: redis.Redis, name: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is reported and compiled here, and the next host takes the good one."""
    DAMAGES[damage](client, KEYS.artifact(name))
    host, next_host = new_host(), new_host()

    assert host.obtain() is Origin.COMPILED
    host.wait_until_offered()
    assert next_host.obtain() is Origin.FLEET

    assert host.counts.refused == 1
    assert "Native code of the fleet is not used" in caplog.text


def test_another_type_in_its_place_is_not_fatal(new_host: NewHost, client: redis.Redis, name: str) -> None:
    """Redis says no, and this host compiles."""
    client.set(KEYS.artifact(name), "no hash")
    host = new_host()

    assert host.obtain() is Origin.COMPILED

    assert host.counts.unreachable >= 1


def test_what_is_on_disk_is_offered_once_there_is_a_key(new_host: NewHost, client: redis.Redis) -> None:
    """A fleet that gets its key later, or a Redis that has lost everything, is filled by the next starts."""
    before = new_host(secret=None)
    before.obtain()
    host = new_host()
    with_key = Host(before.folder, host.fleet)

    assert with_key.obtain() is Origin.DISK
    with_key.wait_until_offered()

    assert new_host().obtain() is Origin.FLEET


def test_hosts_that_start_together_compile_once(new_host: NewHost) -> None:
    """One compiles, the other waits for it."""
    waiting = threading.Event()

    def pause(_: float) -> None:
        waiting.set()
        threading.Event().wait(0.01)

    hosts = [new_host(pause=pause), new_host(pause=pause)]
    for host in hosts:
        host.compiling = lambda: waiting.wait(60)

    with ThreadPoolExecutor(2) as threads:
        origins = list(threads.map(Host.obtain, hosts))

    assert sorted(origins) == [Origin.COMPILED, Origin.FLEET]


def test_who_waits_for_a_compile_that_fails_tries_itself(new_host: NewHost) -> None:
    """The verdict of another host is not believed."""
    first = new_host()

    def fail() -> None:
        raise CompileError("no such instruction")

    first.compiling = fail
    with pytest.raises(CompileError):
        first.obtain()
    never = new_host(pause=lambda _: pytest.fail("it waits for somebody who gave up"))

    assert never.obtain() is Origin.COMPILED


def test_a_host_that_was_killed_while_it_compiled_is_not_waited_for(
    new_host: NewHost, client: redis.Redis, name: str
) -> None:
    """Its claim ends seconds after its last word."""
    client.delete(KEYS.artifact(name))
    assert RedisArtifacts(client, KEYS).claim(name)
    lives_s = client.ttl(KEYS.artifact_maker(name))
    host = new_host(pause=lambda _: client.delete(KEYS.artifact_maker(name)))  # as time does

    assert host.obtain() is Origin.COMPILED

    assert 0 < lives_s <= MAKER_TTL_S


def test_nobody_waits_for_ever_for_one_who_claims_and_never_offers(
    new_host: NewHost, client: redis.Redis, name: str
) -> None:
    """Somebody who can write to Redis can make a start slower, by a bounded time."""
    client.delete(KEYS.artifact(name))
    assert RedisArtifacts(client, KEYS).claim(name)
    now = [1000.0]

    def pause(wait_s: float) -> None:
        now[0] += wait_s
        client.expire(KEYS.artifact_maker(name), MAKER_TTL_S)

    host = new_host()
    host.fleet = Fleet(RedisArtifacts(client, KEYS), SECRET, clock=lambda: now[0], pause=pause)
    host.store = ArtifactStore(host.folder, fleet=host.fleet)

    assert host.obtain() is Origin.COMPILED


def test_a_redis_that_does_not_answer_is_left_alone_for_a_while(tmp_path: Path) -> None:
    """It is asked once, for a short time; this host compiles, and asks again later."""
    now = [1000.0]
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and says nothing
        settings = load_settings(redis_url=f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        with connect_impatiently(settings, timeout_s=0.2) as client:
            fleet = Fleet(RedisArtifacts(client, KEYS), SECRET, clock=lambda: now[0])
            host = Host(tmp_path / "host", fleet)

            origins = [host.obtain(replace(IDENTITY, digest=f"{n:064}")) for n in range(5)]
            host.wait_until_offered()
            asked = host.counts.unreachable
            now[0] += PAUSE_S
            host.obtain(replace(IDENTITY, digest="ef" * 32))
            host.wait_until_offered()

    assert origins == [Origin.COMPILED] * 5
    assert (asked, host.counts.unreachable) == (1, 2)


def test_a_forked_child_holds_neither_the_key_nor_what_is_to_be_sent(new_host: NewHost) -> None:
    """It is of no use there."""
    host = new_host()
    assert host.fleet is not None
    fd = sealed_bytes("test", CODE)
    host.fleet._offers["name"] = (IDENTITY, fd)

    host.store.after_fork_child()  # as in a child: no thread of this process works it off

    assert bytes(host.fleet._key) == bytes(32)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
