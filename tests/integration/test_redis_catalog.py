"""The catalog in a real Redis."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
import redis
from redis.client import Pipeline

from penstock_broker_config.keys import Keys
from penstock_broker_config.redis_catalog import CHUNK_BYTES, UPLOAD_TTL_S, RedisCatalog
from penstock_plugins.catalog import Catalog
from penstock_plugins.errors import CatalogError
from tests.support.bundles import make_bundle, make_tool
from tests.support.catalog_rules import CatalogRules
from tests.support.redis_server import RedisServer

KEYS = Keys("test:")


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """Of an empty Redis."""
    with redis_server.client() as client:
        yield client


def all_keys(client: redis.Redis) -> set[str]:
    """Whatever there is."""
    return {key.decode() if isinstance(key, bytes) else key for key in client.scan_iter()}


class TestRedisCatalog(CatalogRules):
    """What every catalog must do."""

    @pytest.fixture(autouse=True)
    def _place(self, client: redis.Redis) -> None:
        self.client = client

    @pytest.fixture
    def catalog(self) -> Catalog:
        """In an empty Redis."""
        return RedisCatalog(self.client, KEYS)

    def reopened(self, catalog: Catalog) -> Catalog:
        """Another one on the same Redis; the client is safe to share."""
        return RedisCatalog(self.client, KEYS)

    def change_file(self, catalog: Catalog, digest: str, name: str, content: bytes | None) -> None:
        """In Redis."""
        key = KEYS.catalog_file(digest, name)
        self.client.delete(key)
        for number in range(0 if content is None else len(content) // CHUNK_BYTES + 1):
            assert content is not None
            self.client.hset(key, str(number), content[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES])

    def change_record(self, catalog: Catalog, digest: str, content: bytes) -> None:
        """In Redis."""
        self.client.hset(KEYS.catalog_records, digest, content)


@pytest.mark.parametrize("size_bytes", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_P7_files_travel_in_chunks_of_a_bounded_size(client: redis.Redis, size_bytes: int) -> None:
    """At and around the edges of chunks."""
    catalog = RedisCatalog(client, KEYS)
    bundle = make_bundle(module=os.urandom(size_bytes))

    catalog.publish(bundle, [])

    chunks = client.hvals(KEYS.catalog_file(bundle.digest, "plugin.wasm"))
    assert max(map(len, chunks)) <= CHUNK_BYTES
    assert sum(map(len, chunks)) == size_bytes
    assert catalog.fetch(bundle.digest) == bundle


def test_what_is_published_stays_and_nothing_else_is_left(client: redis.Redis) -> None:
    """No key of the upload remains, and none that remains expires."""
    catalog = RedisCatalog(client, KEYS)

    digest = catalog.publish(make_bundle(), [make_tool()]).digest

    keys = all_keys(client)
    assert keys == {
        KEYS.catalog_version,
        KEYS.catalog_records,
        KEYS.catalog_names,
        KEYS.catalog_file(digest, "plugin.toml"),
        KEYS.catalog_file(digest, "plugin.wasm"),
    }
    assert {client.ttl(key) for key in keys} == {-1}


class _KilledError(Exception):
    """The publisher's end."""


def test_a_publisher_that_is_killed_leaves_nothing_for_ever(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it sent is forgotten after a while; the name and version are free."""
    catalog = RedisCatalog(client, KEYS)

    def killed(*_: object) -> None:
        raise _KilledError

    with monkeypatch.context() as patched:
        patched.setattr(client, "transaction", killed)
        with pytest.raises(_KilledError):
            catalog.publish(make_bundle(module=b"one"), [])

    assert catalog.records() == []
    left = all_keys(client)
    assert left
    assert all(0 < client.ttl(key) <= UPLOAD_TTL_S for key in left)
    catalog.publish(make_bundle(module=b"two"), [])
    assert [record.name for record in catalog.records()] == ["text"]


def test_a_publish_whose_answer_was_lost_has_succeeded(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client makes the transaction again, and finds its files gone to their places."""
    catalog = RedisCatalog(client, KEYS)
    once = client.transaction

    def twice(work: Callable[[Pipeline], None], *watches: str) -> None:
        once(work, *watches)
        once(work, *watches)

    monkeypatch.setattr(client, "transaction", twice)

    record = catalog.publish(make_bundle(), [])

    assert catalog.fetch(record.digest) == make_bundle()
    assert catalog.version() == 1


def test_a_publish_whose_files_were_lost_on_the_way_says_so(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And makes nothing known."""
    catalog = RedisCatalog(client, KEYS)
    transaction = client.transaction

    def emptied(work: Callable[[Pipeline], None], *watches: str) -> None:
        client.flushall()
        transaction(work, *watches)

    monkeypatch.setattr(client, "transaction", emptied)

    with pytest.raises(CatalogError, match="lost on the way: publish it again"):
        catalog.publish(make_bundle(), [])

    assert all_keys(client) == set()


def test_a_record_that_claims_too_much_is_not_fetched(client: redis.Redis) -> None:
    """Whoever writes to Redis must not fill a worker's memory."""
    catalog = RedisCatalog(client, KEYS)
    record = catalog.publish(make_bundle(), [])
    key = KEYS.catalog_file(record.digest, "plugin.wasm")

    client.hset(key, "0", b"x" * (CHUNK_BYTES + 1))

    with pytest.raises(CatalogError, match="damaged: publish it again"):
        catalog.fetch(record.digest)


def test_two_prefixes_are_two_catalogs(client: redis.Redis) -> None:
    """Several systems share a Redis."""
    one, other = RedisCatalog(client, Keys("one:")), RedisCatalog(client, Keys("other:"))

    record = one.publish(make_bundle(), [])

    assert other.records() == []
    with pytest.raises(CatalogError, match="no plugin"):
        other.fetch(record.digest)
