"""Makes the ids of jobs: sortable by time, and too many to guess or to meet twice."""

from __future__ import annotations

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_job_id(*, now_ms: int | None = None) -> str:
    """20 characters of Crockford's base 32: 9 of the time in milliseconds, 11 (55 bits) by chance."""
    moment = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    return _base32(moment, 9) + _base32(secrets.randbits(55), 11)


def _base32(number: int, digits: int) -> str:
    text = ""
    for _ in range(digits):
        text = _ALPHABET[number & 31] + text
        number >>= 5
    return text
