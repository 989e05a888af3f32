"""Native code in Redis, where the hosts of a fleet leave it for one another.

Redis is not believed: who takes native code from it authenticates it (`penstock_workers.artifacts.fleet`).
This module bounds what it costs: bytes, memory next to the ledger, and the seconds that somebody waits.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import redis

from penstock_broker_config.keys import Keys
from penstock_broker_config.redis_catalog import CHUNK_BYTES
from penstock_plugins.errors import CatalogError, UnreachableError
from penstock_plugins.limits import MIB

#: Bytes of one artifact. What componentize-py makes becomes 35 MB.
MAX_ARTIFACT_BYTES = 128 * MIB
#: Bytes of all artifacts, and at most this share of what Redis may use: the ledger needs the rest.
MAX_TOTAL_BYTES = 512 * MIB
_MEMORY_SHARE = 8
#: Seconds after which native code that no worker's start asked for is forgotten.
ARTIFACT_TTL_S = 30 * 86_400
#: Seconds after which Redis forgets the chunks of a sender that was killed.
_UPLOAD_TTL_S = 60
#: Seconds for which a maker is believed to be alive without a word from it.
MAKER_TTL_S = 6
#: Seconds that fetching or sending one artifact may take.
_TRANSFER_S = 15.0
_SIZE = "size"


class RedisArtifacts:
    """The `ArtifactExchange` of a fleet with one Redis.

    Give it a client that does not wait long and does not try again: nobody depends on the answer.
    All methods raise `UnreachableError` when Redis does not answer, or not in time.
    """

    def __init__(
        self,
        client: redis.Redis,
        keys: Keys,
        *,
        max_bytes: int = MAX_ARTIFACT_BYTES,
        max_total_bytes: int = MAX_TOTAL_BYTES,
        transfer_s: float = _TRANSFER_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = client
        self._keys = keys
        self.max_bytes = max_bytes
        self._max_total_bytes = max_total_bytes
        self._transfer_s = transfer_s
        self._clock = clock
        #: Names a claim of ours; another process's claim is not ours to renew or give back.
        self._token = secrets.token_hex(8)

    def fetch(self, name: str) -> bytes | None:
        """What some host offered under this name; None: nothing.

        Raises:
            CatalogError: it is not whole.
        """
        with _reachable():
            return self._load(name) if self._renew(name) else None

    def renew(self, name: str) -> bool:
        """Whether something is offered under this name; it has been used now."""
        with _reachable():
            return self._renew(name)

    def offer(self, name: str, content: bytes) -> bool:
        """Leave this for the others, unless something is there; False: it is too large."""
        if not 0 < len(content) <= self.max_bytes:
            return False
        with _reachable():
            if not self._make_room(len(content)):
                return False
            upload = self._keys.artifact_upload(name, secrets.token_hex(8))
            try:
                self._upload(upload, content)
                if self._redis.renamenx(upload, self._keys.artifact(name)):
                    self._renew(name)
            except redis.ResponseError as error:  # its memory is full, or the upload has expired
                raise UnreachableError(f"Redis does not take native code: {error}") from error
            finally:
                self._redis.unlink(upload)
        return True

    def drop(self, name: str) -> None:
        """Remove what cannot be believed, so that it is offered anew."""
        with _reachable():
            self._drop(name)

    def claim(self, name: str) -> bool:
        """Say that this process makes it now, and say so again before `MAKER_TTL_S` is over.

        False: another process does.
        """
        key = self._keys.artifact_maker(name)
        with _reachable():
            if self._redis.set(key, self._token, nx=True, ex=MAKER_TTL_S):
                return True
            return self._is_ours(key) and bool(self._redis.expire(key, MAKER_TTL_S))

    def release(self, name: str) -> None:
        """Stop saying so. A claim that changes hands between the look and the deletion costs a compile."""
        key = self._keys.artifact_maker(name)
        with _reachable():
            if self._is_ours(key):
                self._redis.delete(key)

    def _is_ours(self, key: str) -> bool:
        return cast("bytes | None", self._redis.get(key)) == self._token.encode()

    def _renew(self, name: str) -> bool:
        if not self._redis.expire(self._keys.artifact(name), ARTIFACT_TTL_S):
            return False
        seconds, micros = self._redis.time()
        self._redis.zadd(self._keys.artifacts, {name: seconds * 1000 + micros // 1000})
        return True

    def _drop(self, name: str) -> None:
        self._redis.unlink(self._keys.artifact(name))
        self._redis.zrem(self._keys.artifacts, name)

    def _load(self, name: str) -> bytes:
        key = self._keys.artifact(name)
        until = self._clock() + self._transfer_s
        size_bytes = _size(self._redis.hget(key, _SIZE))
        if not 0 < size_bytes <= self.max_bytes:
            raise _damaged(name)
        content = bytearray()
        for number in range(-(-size_bytes // CHUNK_BYTES)):
            self._check_time(until)
            chunk = cast("bytes | None", self._redis.hget(key, str(number)))
            if chunk is None or len(chunk) > CHUNK_BYTES:
                raise _damaged(name)
            content += chunk
        if len(content) != size_bytes:
            raise _damaged(name)
        return bytes(content)

    def _upload(self, key: str, content: bytes) -> None:
        until = self._clock() + self._transfer_s
        for number, start in enumerate(range(0, len(content), CHUNK_BYTES)):
            self._check_time(until)
            with self._redis.pipeline(transaction=True) as pipe:
                chunk = content[start : start + CHUNK_BYTES]
                pipe.hset(key, mapping={_SIZE: str(len(content)), str(number): chunk})
                pipe.expire(key, _UPLOAD_TTL_S)
                pipe.execute()

    def _make_room(self, size_bytes: int) -> bool:
        """Drop what was not used for longest until this fits. Two that do so at once may be one too many."""
        allowed = self._redis.info("memory").get("maxmemory", 0) // _MEMORY_SHARE
        room = min(self._max_total_bytes, allowed) if allowed else self._max_total_bytes
        if size_bytes > room:
            return False
        names = [n.decode() for n in cast("list[bytes]", self._redis.zrange(self._keys.artifacts, 0, -1))]
        sizes = [_size(self._redis.hget(self._keys.artifact(name), _SIZE)) for name in names]
        total = sum(sizes) + size_bytes
        for name, size in zip(names, sizes, strict=True):
            if total > room or not size:
                self._drop(name)
                total -= size
        return True

    def _check_time(self, until: float) -> None:
        if self._clock() > until:
            raise UnreachableError(f"Redis took longer than {self._transfer_s:g} s for native code")


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise UnreachableError(f"Redis did not answer: {error}") from error


def _size(text: Any) -> int:
    """0: there is none that could be one."""
    return int(text) if text is not None and text.isdigit() and len(text) < 12 else 0


def _damaged(name: str) -> CatalogError:
    return CatalogError(f"The native code {name} in Redis is not whole")
