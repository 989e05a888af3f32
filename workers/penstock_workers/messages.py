"""Reads a Celery message before Celery does: what is no doorbell of ours is dropped, and ends nobody.

Celery believes most of what a message says of itself. A `timelimit` that is no number ends the worker, one of
a tenth of a second ends the pool process of whoever is named, and the message goes back to the queue for the
next worker. A doorbell needs none of that: the ledger says what is to be done, and how long it may take.
What is nested deeper than pickle can follow ends Celery's loop on its way to a pool process, and comes again.
"""

from __future__ import annotations

from typing import Any

import orjson

from penstock_broker_config.foreign import CALL_TASK, PIPELINE_TASK
from penstock_plugins.nesting import nests_deeper

#: Longer ids than this have nothing to do with us.
_ID_LENGTH = 200
#: Parts that a chord may have.
_MOST_PARTS = 1 << 31
#: Lists and tables inside each other in a body, at most. Pickle fails at some 480; what comes before a
#: signature of ours is told in words that 128 are allowed.
_MOST_LEVELS = 400
#: What a message may not decide, and what Celery takes for "not said".
_NOT_ITS_BUSINESS: dict[str, Any] = {
    "timelimit": [None, None],
    "eta": None,
    "expires": None,
    "retries": 0,
    "group_index": None,
    "replaced_task_nesting": 0,
    "stamps": {},
    "stamped_headers": None,
}


class BadMessageError(Exception):
    """The message is none that this worker reads; its text says why."""


def check_message(message: Any) -> None:
    """Refuse a message that Celery would stumble over, and take from the others what they may not decide.

    Args:
        message: kombu's.

    Raises:
        BadMessageError: it is to be dropped.
    """
    headers = message.headers
    if not isinstance(headers, dict):
        raise BadMessageError("its headers are no table")
    for name in ("task", "id"):
        text = headers.get(name)
        if not isinstance(text, str) or not 0 < len(text) <= _ID_LENGTH:
            raise BadMessageError(f"its {name} is no short text")
    for name in ("root_id", "parent_id", "group", "shadow", "argsrepr", "kwargsrepr", "origin"):
        if not isinstance(headers.get(name), str | None):
            raise BadMessageError(f"its {name} is no text")
    try:
        body = message.decode()
    except Exception as error:  # decoders and decompressors have no common root
        raise BadMessageError(f"its body cannot be read ({type(error).__name__})") from error
    match body:
        case [list() | tuple(), dict(), dict() as embed]:
            _check_what_follows(embed)
        case _:
            raise BadMessageError("its body is not [args, kwargs, embed]")
    part = _part_of_chord(headers)
    headers.update(_NOT_ITS_BUSINESS)
    headers["group_index"] = part
    try:
        # The quickest way to see that nothing in them is nested deep.
        orjson.dumps([headers, message.properties], default=str)
    except orjson.JSONEncodeError as error:
        raise BadMessageError(f"its headers cannot be passed on ({error})") from error
    if _may_be_deep(message) and nests_deeper(body, _MOST_LEVELS):
        raise BadMessageError(f"its body is nested more than {_MOST_LEVELS} deep")


def _check_what_follows(embed: dict[str, Any]) -> None:
    """Of what Celery cannot send on, a signature's canvas would be taken up again and again."""
    for name in ("chain", "callbacks"):
        sent = embed.get(name)
        if sent and not (isinstance(sent, list) and all(_is_signature(one) for one in sent)):
            raise BadMessageError(f"its {name} has something that is no signature")
    if (chord := embed.get("chord")) and not _is_signature(chord):
        raise BadMessageError("its chord is no signature")


def _is_signature(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("task"), str)


def _may_be_deep(message: Any) -> bool:
    """Whether a body has as many brackets, as far as they can be counted without reading it."""
    if message.content_encoding != "utf-8":
        return True
    text = message.body
    if isinstance(text, str):
        return text.count("[") + text.count("{") > _MOST_LEVELS
    return bytes(text).count(b"[") + bytes(text).count(b"{") > _MOST_LEVELS


def _part_of_chord(headers: dict[str, Any]) -> int | None:
    """Which part of somebody's chord a signature's task is: its body gets results in that order."""
    part = headers.get("group_index")
    if headers["task"] not in {CALL_TASK, PIPELINE_TASK} or type(part) is not int:
        return None
    return part if 0 <= part < _MOST_PARTS else None


def batch_of(message: Any) -> str:
    """The batch that a checked message names, or "" when it names none."""
    match message.decode():
        case [[str() as batch_id] | (str() as batch_id,), *_]:
            return batch_id
    return ""
