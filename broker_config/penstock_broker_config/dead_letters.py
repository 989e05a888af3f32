"""Dead letters: calls that were set aside because they lost their worker again and again (J-3).

CLAIM writes them, REAP forgets them with the retention of failures. Here they are read and dropped; both
clients share what is asked and how answers are read. A letter is in a Redis that others may write to: one
that cannot be believed is still listed, and can be dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import redis
import redis.asyncio

from penstock_broker_config.envelope_reading import read_header
from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import BatchHeader, run_of
from penstock_plugins.errors import DeadLetterNotFoundError, EnvelopeError

#: Letters of one reading at most; longer lists take several.
PAGE = 500
#: Calls that are dropped with one command.
_DROP_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """One call that was set aside, with what is needed to run it again."""

    #: `JOB.INDEX`.
    call_id: str
    #: When it was set aside; milliseconds of Redis's clock.
    at_ms: int
    #: Full name, `plugin.tool`.
    tool: str = ""
    job_id: str = ""
    index: int = 0
    #: The params as JSON text, as they were submitted; of a list of letters, a reference to them if large.
    params: str = ""
    #: What stood for them while they travelled, and what was signed, when `params` has them whole again.
    reference: str = ""
    #: Executions that it was charged with.
    attempts: int = 0
    #: The lease holder that was lost last: `host.boot.namespace:pid:start#claim`.
    holder: str = ""
    #: MAC over header, index and params; "" when no signing key was set.
    mac: str = ""
    #: The header of its batch as the producer wrote it (JSON).
    header_json: bytes = b""

    @property
    def plugin(self) -> str:
        """The plugin's name."""
        return self.tool.partition(".")[0]

    @cached_property
    def header(self) -> BatchHeader | None:
        """What the call shared with its batch: digest, tenant, queue, timeout. None: it cannot be read."""
        try:
            return read_header(self.header_json)
        except EnvelopeError:
            return None

    @property
    def digest(self) -> str:
        """sha256 of the plugin's bundle to which the call was pinned; "" when its header cannot be read."""
        return "" if self.header is None else self.header.digest

    @property
    def tenant(self) -> str:
        """Whose call it was; "" when its header cannot be read."""
        return "" if self.header is None else self.header.tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Which letters are meant. What is None does not count; a filter that says nothing means all."""

    #: `plugin.tool`, or a tool's own name.
    tool: str | None = None
    plugin: str | None = None
    tenant: str | None = None
    #: A job's id; that of a run of a pipeline means the calls of its steps.
    job: str | None = None
    #: sha256 of a plugin's bundle, or how it begins.
    digest: str | None = None
    #: Set aside at this moment or later; milliseconds of Redis's clock.
    since_ms: int | None = None

    def matches(self, letter: DeadLetter) -> bool:
        """Whether it is one of those."""
        return (
            (self.tool is None or self.tool in (letter.tool, letter.tool.partition(".")[2]))
            and (self.plugin is None or self.plugin == letter.plugin)
            and (self.tenant is None or self.tenant == letter.tenant)
            and (self.job is None or self.job in (letter.job_id, run_of(letter.job_id)))
            and (self.digest is None or letter.digest.startswith(self.digest))
            and (self.since_ms is None or letter.at_ms >= self.since_ms)
        )


class DeadLetters:
    """The dead letters of one system. Raises `redis.RedisError` when Redis does not answer."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._redis = client
        self._keys = keys

    def get(self, call_id: str) -> DeadLetter:
        """One letter.

        Raises:
            DeadLetterNotFoundError: there is none of that call.
        """
        answer = cast("dict[bytes, bytes]", self._redis.hgetall(self._keys.dead_letter(call_id)))
        return _found(call_id, answer)

    def page(self, wanted: LetterFilter, *, offset: int = 0) -> tuple[list[DeadLetter], int | None]:
        """Some of the letters that are meant, newest first, and where the next page begins (None: nowhere).

        A page may be empty and not the last. Letters that come or go meanwhile may be missed or seen twice.
        """
        found = cast(
            "list[tuple[bytes, float]]", self._redis.zrevrange(*_span(self._keys, offset), withscores=True)
        )
        with self._redis.pipeline(transaction=False) as pipe:
            for name, _ in found:
                pipe.hgetall(self._keys.dead_letter(_text(name)))
            answers = pipe.execute(raise_on_error=False)
        return _page(wanted, offset, found, answers)

    def drop(self, call_ids: Sequence[str]) -> int:
        """Forget these letters; returns how many there were."""
        dropped = 0
        for chunk in _chunks(call_ids):
            with self._redis.pipeline(transaction=True) as pipe:
                _ask_to_drop(pipe, self._keys, chunk)
                dropped += pipe.execute()[0]
        return dropped


class AsyncDeadLetters:
    """`DeadLetters`, awaitable."""

    def __init__(self, client: redis.asyncio.Redis, keys: Keys) -> None:
        self._redis: Any = client
        self._keys = keys

    async def get(self, call_id: str) -> DeadLetter:
        """See `DeadLetters.get`."""
        return _found(call_id, await self._redis.hgetall(self._keys.dead_letter(call_id)))

    async def page(self, wanted: LetterFilter, *, offset: int = 0) -> tuple[list[DeadLetter], int | None]:
        """See `DeadLetters.page`."""
        found = await self._redis.zrevrange(*_span(self._keys, offset), withscores=True)
        async with self._redis.pipeline(transaction=False) as pipe:
            for name, _ in found:
                pipe.hgetall(self._keys.dead_letter(_text(name)))
            answers = await pipe.execute(raise_on_error=False)
        return _page(wanted, offset, found, answers)

    async def drop(self, call_ids: Sequence[str]) -> int:
        """See `DeadLetters.drop`."""
        dropped = 0
        for chunk in _chunks(call_ids):
            async with self._redis.pipeline(transaction=True) as pipe:
                _ask_to_drop(pipe, self._keys, chunk)
                dropped += (await pipe.execute())[0]
        return dropped


def _span(keys: Keys, offset: int) -> tuple[str, int, int]:
    return keys.dead, offset, offset + PAGE - 1


def _page(
    wanted: LetterFilter, offset: int, found: Sequence[tuple[bytes, float]], answers: Sequence[Any]
) -> tuple[list[DeadLetter], int | None]:
    letters = [
        # One whose hash is no hash, or has expired before REAP came by, is named all the same.
        read_letter(_text(name), answer if isinstance(answer, dict) else {}, at_ms=int(score))
        for (name, score), answer in zip(found, answers, strict=True)
    ]
    return [letter for letter in letters if wanted.matches(letter)], offset + PAGE if len(
        found
    ) == PAGE else None


def _found(call_id: str, answer: Any) -> DeadLetter:
    if not answer:
        raise DeadLetterNotFoundError(
            f"There is no dead letter of call {call_id}: it was dropped, replayed or expired"
        )
    return read_letter(call_id, answer)


def read_letter(call_id: str, fields: Mapping[bytes, bytes], *, at_ms: int = 0) -> DeadLetter:
    """The letter in a hash; what cannot be read of it is left out."""

    def number(name: bytes, default: int) -> int:
        text = fields.get(name, b"")
        return int(text) if text.isdigit() and len(text) < 16 else default

    return DeadLetter(
        call_id=call_id,
        at_ms=number(b"at", at_ms),
        tool=_text(fields.get(b"tool", b"")),
        job_id=_text(fields.get(b"job", b"")),
        index=number(b"index", 0),
        params=_text(fields.get(b"params", b"")),
        attempts=number(b"attempts", 0),
        holder=_text(fields.get(b"holder", b"")),
        mac=_text(fields.get(b"mac", b"")),
        header_json=fields.get(b"header", b""),
    )


def _ask_to_drop(pipe: Any, keys: Keys, call_ids: Sequence[str]) -> None:
    pipe.zrem(keys.dead, *call_ids)
    pipe.unlink(*(keys.dead_letter(call_id) for call_id in call_ids))


def _chunks(call_ids: Sequence[str]) -> list[Sequence[str]]:
    return [call_ids[at : at + _DROP_AT_ONCE] for at in range(0, len(call_ids), _DROP_AT_ONCE)]


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
