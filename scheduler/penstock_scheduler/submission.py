"""One submission as the ledger takes it: the header that its calls share, and the calls, signed. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from penstock_broker_config import queues
from penstock_broker_config.envelope import Signer
from penstock_broker_config.ledger import BatchHeader, CallEntry, JobRecord
from penstock_broker_config.waiting import WaitingRoom
from penstock_plugins.errors import ConfigurationError
from penstock_scheduler.context import plain, request_context
from penstock_scheduler.options import CallOptions
from penstock_scheduler.toolbox import ToolUse

#: Seconds for which signed calls without a deadline of their own may be run, from when they are sent.
EXPIRY_S = 7 * 86_400.0
#: Milliseconds for which a map's calls share one header: the ledger keeps each whose calls wait in buffers.
RENEW_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What all batches of one job have in common."""

    header: BatchHeader
    #: The header as it is signed.
    header_json: bytes
    signer: Signer
    #: Seconds from the job's creation to its deadline. None: no deadline, or the job exists.
    deadline_s: float | None
    #: The deadline by Redis's clock; None: no deadline.
    deadline_ms: int | None
    #: Where the calls wait, if they do.
    room: WaitingRoom = field(default_factory=WaitingRoom)
    #: Seconds from now before which none of them leaves. None: no delay.
    delay_s: float | None = None

    def entries(self, base: int, texts: Sequence[bytes]) -> list[CallEntry]:
        """The calls with these params, counted from `base`."""
        return self.signer.entries(self.header_json, base, [text.decode() for text in texts])

    def renewed(self, now_ms: int) -> Submission:
        """For calls that are sent now: to the deadline, or else for `EXPIRY_S`, less `RENEW_MS` at most."""
        if self.deadline_ms is not None:
            return self
        expires_ms = _expiry_ms(now_ms, self.delay_s)
        if expires_ms < self.header.expires_ms + RENEW_MS:
            return self
        header = replace(self.header, expires_ms=expires_ms)
        return replace(self, header=header, header_json=header.to_json())


def compose(
    use: ToolUse,
    options: CallOptions,
    *,
    job_id: str,
    tenant: str,
    signer: Signer,
    now_ms: int,
    resumed: JobRecord | None = None,
    keyed: bool = False,
) -> Submission:
    """The submission of a checked set of options.

    Args:
        use: the tool, with its plugin pinned.
        options: what the caller said.
        job_id: the job that the calls belong to.
        tenant: whose calls they are when the caller does not say.
        signer: signs the calls.
        now_ms: Redis's clock.
        resumed: the job, when it exists: its deadline and tenant are not moved by `options`.
        keyed: submitted under an idempotency key.

    Raises:
        ConfigurationError: an option that cannot be used.
        LoopLimitError: calls that submit calls went too deep.
    """
    deadline_s = options.get("deadline_s") if resumed is None else None
    deadline_ms = None if resumed is None else resumed.deadline_ms
    if deadline_s is not None:
        deadline_ms = now_ms + int(1000 * deadline_s)
    delay_s = options.get("eta_s")
    if delay_s is not None and deadline_s is not None and delay_s >= deadline_s:
        raise ConfigurationError(f"eta_s ({delay_s:g}) must be less than deadline_s ({deadline_s:g})")
    room = WaitingRoom(use.batching, use.limits, options.get("batch_key"), delay_s is not None)
    header = BatchHeader(
        job=job_id,
        tool=use.full_name,
        digest=use.digest,
        tenant=resumed.tenant if resumed is not None else options.get("tenant") or tenant,
        queue=choose_queue(options.get("queue"), use.pool),
        once=use.once,
        expires_ms=deadline_ms or _expiry_ms(now_ms, delay_s),
        timeout_s=_seconds(options.get("timeout_s")),
        keyed=keyed,
        session=_session(options.get("session")),
        request=request_context(options.get("request"), now_ms=now_ms),
    )
    return Submission(
        header=header,
        header_json=header.to_json(),
        signer=signer,
        deadline_s=deadline_s,
        deadline_ms=deadline_ms,
        room=room,
        delay_s=delay_s,
    )


def choose_queue(asked: str | None, pool: str | None) -> str:
    """The queue that the caller asked for; else that of the plugin's worker pool; else the default one.

    Raises:
        ConfigurationError: there is no such queue.
    """
    if asked is not None:
        return queues.queue_name(asked)
    return queues.DEFAULT if pool is None else queues.pool_queue(pool)


def params_digest(text: bytes) -> str:
    """What an idempotency key stands for; the same for params that are equal as JSON."""
    canonical = orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).hexdigest()


def _expiry_ms(now_ms: int, delay_s: float | None) -> int:
    return now_ms + int(1000 * (EXPIRY_S + (delay_s or 0.0)))


def _seconds(value: float | None) -> float | None:
    return None if value is None else float(value)


def _session(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if given is None else plain(given, "session")
