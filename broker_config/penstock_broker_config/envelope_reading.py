"""Reads what a producer wrote of a batch, its header and its calls, without trusting a byte of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from penstock_broker_config.ledger.batch_records import SCHEMA_VERSION, BatchHeader, CallEntry
from penstock_plugins.errors import EnvelopeError

_FIELDS = frozenset(BatchHeader.__slots__)
_TEXT = ("job", "tool", "digest", "tenant", "queue")
#: No figure of a retry rule is larger: an hour in milliseconds.
_MAX_RETRY = 3_600_000


def read_header(raw: bytes) -> BatchHeader:
    """The header that a producer wrote.

    Raises:
        EnvelopeError: it is not one, or of a version that this release does not read.
    """
    shape = _loads(raw)
    if not isinstance(shape, dict):
        raise EnvelopeError("The batch header is no JSON object")
    if shape.get("v") != SCHEMA_VERSION:
        raise EnvelopeError(
            f"The batch header has version {shape.get('v')!r}; this release reads {SCHEMA_VERSION}"
        )
    unknown, missing = set(shape) - _FIELDS, {*_TEXT, "once", "expires_ms"} - set(shape)
    if unknown or missing:
        raise EnvelopeError(
            f"The batch header has unknown fields {sorted(unknown)} or lacks {sorted(missing)}"
        )
    good = (
        all(isinstance(shape[name], str) for name in _TEXT)
        and isinstance(shape["once"], bool)
        and isinstance(shape.get("keyed", False), bool)
        and _is_int(shape["expires_ms"])
        and (shape.get("timeout_s") is None or _is_positive(shape["timeout_s"]))
        and all(shape.get(name) is None or isinstance(shape[name], dict) for name in ("session", "request"))
        and _is_retry(shape.get("retry"))
    )
    if not good:
        raise EnvelopeError("The batch header has a field of a wrong type")
    return BatchHeader(**shape)


def read_calls(raw: bytes) -> list[CallEntry]:
    """The calls that a producer wrote.

    Raises:
        EnvelopeError: they are not calls.
    """
    shape = _loads(raw)
    if not isinstance(shape, list):
        raise EnvelopeError("The batch's calls are no JSON array")
    calls = []
    for item in shape:
        if not (
            isinstance(item, list)
            and len(item) == 3
            and _is_int(item[0])
            and isinstance(item[1], str)
            and isinstance(item[2], str)
        ):
            raise EnvelopeError("A call of the batch is not [index, params, mac]")
        calls.append(CallEntry(*item))
    return calls


class OwnTerms(NamedTuple):
    """What the header of one call of a formed batch says of this call only."""

    job: str
    #: See `BatchHeader`.
    expires_ms: int
    keyed: bool


def read_own_terms(raw: bytes, common: BatchHeader) -> OwnTerms:
    """The header of a call of a formed batch, which must agree with the batch's in all that they share.

    Raises:
        EnvelopeError: it is no header, or that of a call that does not belong into this batch.
    """
    shape = _loads(raw)
    try:
        alike = (
            shape["v"] == SCHEMA_VERSION
            and shape["tool"] == common.tool
            and shape["digest"] == common.digest
            and shape["tenant"] == common.tenant
            and shape["queue"] == common.queue
            and shape["once"] is common.once
            and shape.get("timeout_s") == common.timeout_s
            and shape.get("retry") == common.retry
        )
        job, expires_ms, keyed = shape["job"], shape["expires_ms"], shape.get("keyed", False)
    except (KeyError, TypeError, AttributeError) as error:
        raise EnvelopeError("The call's header cannot be read") from error
    if not alike:
        raise EnvelopeError("The call does not belong into this batch")
    good = isinstance(job, str) and _is_int(expires_ms) and isinstance(keyed, bool)
    if not good or not shape.keys() <= _FIELDS:
        raise EnvelopeError("The call's header has a field of a wrong type, or one too many")
    return OwnTerms(job, expires_ms, keyed)


def read_formed_calls(raw: bytes) -> list[tuple[int, int, int, CallEntry]]:
    """The calls of a batch that was formed: number of its header, attempts, accepted at, and the call.

    Raises:
        EnvelopeError: they are not calls.
    """
    shape = _loads(raw)
    if not isinstance(shape, list) or not all(map(_is_formed_call, shape)):
        raise EnvelopeError("A call of the batch is not [header, index, attempts, accepted, params, mac]")
    return [
        (number, attempts, accepted, CallEntry(index, params, mac))
        for number, index, attempts, accepted, params, mac in shape
    ]


def _is_formed_call(item: object) -> bool:
    if not isinstance(item, list) or len(item) != 6:
        return False
    number, index, attempts, accepted, params, mac = item
    # Exactly int: a bool is none, and JSON gives no other kinds.
    return (
        type(number) is type(index) is type(attempts) is type(accepted) is int
        and type(params) is type(mac) is str
        and min(number, index, attempts, accepted) >= 0
    )


def _loads(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise EnvelopeError(f"The batch is not JSON: {error}") from error


def _is_retry(value: object) -> bool:
    if value is None:
        return True
    if not isinstance(value, dict) or set(value) != {"max_attempts", "base_ms", "cap_ms"}:
        return False
    return all(_is_int(figure) and 0 < figure <= _MAX_RETRY for figure in value.values())


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
