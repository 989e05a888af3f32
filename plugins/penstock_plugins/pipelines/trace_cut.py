"""Traces as they are kept: no entry is larger than it may be, and what was cut says so."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson

from penstock_plugins.pipelines.trace import Trace
from penstock_plugins.printable import printable

#: Bytes of an entry as JSON at most, what it has of members aside: each entry of theirs may have as many.
MAX_ENTRY_BYTES = 16 * 1024
#: What may be large, as the ways to it.
_LARGE = (("params",), ("result", "data"), ("result", "error", "details"), ("error", "details"))
#: The traces of members, which are cut where members run.
_OF_MEMBERS = ("members", "branches")
_MESSAGE_CHARS = 1000
_NO_JSON = "it cannot be written as JSON"


def trace_json(trace: Trace) -> bytes:
    """A trace as JSON. Of entries that are too large or cannot be written, what is in the way is left out."""
    try:
        written = orjson.dumps(trace)
    except orjson.JSONEncodeError:
        written = b""
    return written if 0 < len(written) <= MAX_ENTRY_BYTES else large_trace_json(trace)


def large_trace_json(trace: Trace) -> bytes:
    """The same, entry by entry: quicker for a trace that is likely to be too large to be written at once."""
    return b"[%b]" % b",".join(map(_entry_json, trace))


def cut(trace: Trace) -> Trace:
    """The same for traces that stay values."""
    try:
        small = len(orjson.dumps(trace)) <= MAX_ENTRY_BYTES
    except orjson.JSONEncodeError:
        small = False
    if small:
        return trace
    found: Trace = orjson.loads(trace_json(trace))
    return found


def _entry_json(entry: dict[str, Any]) -> bytes:
    if not any(name in entry for name in _OF_MEMBERS):
        with suppress(orjson.JSONEncodeError):
            written = orjson.dumps(entry)
            if len(written) <= MAX_ENTRY_BYTES:
                return written
    small = _cut_entry(entry)
    try:
        return orjson.dumps(small)
    except orjson.JSONEncodeError:  # values of members, which are deeper here than where the members ran
        return orjson.dumps(_without_values(small))


def _cut_entry(entry: dict[str, Any]) -> dict[str, Any]:
    own = {name: value for name, value in entry.items() if name not in _OF_MEMBERS}
    of_members = {name: entry[name] for name in _OF_MEMBERS if name in entry}
    try:
        size = len(orjson.dumps(own))
        if size <= MAX_ENTRY_BYTES:
            return entry
        sizes = {way: len(orjson.dumps(found)) for way in _LARGE if (found := _at(own, way)) is not None}
    except orjson.JSONEncodeError:
        return _without_values(own) | of_members
    missing: dict[str, int] = {}
    for way, part_size in sorted(sizes.items(), key=lambda pair: -pair[1]):
        if size <= MAX_ENTRY_BYTES:
            break
        own = _without(own, way)
        missing[".".join(way)] = part_size
        size -= part_size
    if size > MAX_ENTRY_BYTES:  # a message, or a path
        own = {name: _in_short(value) for name, value in own.items()}
    return {**own, "cut": missing, **of_members} if missing else {**own, **of_members}


def _without_values(entry: dict[str, Any]) -> dict[str, Any]:
    """What became of a step and of its members, without params and results."""
    kept: dict[str, Any] = {
        name: value for name, value in entry.items() if isinstance(value, str | bool | float)
    }
    if isinstance(success := _at(entry, ("result", "success")), bool):
        kept["result"] = {"success": success}
    if isinstance(members := entry.get("members"), list):
        kept["members"] = [[_without_values(one) for one in trace] for trace in members]
    if isinstance(branches := entry.get("branches"), dict):
        kept["branches"] = {name: [_without_values(one) for one in trace] for name, trace in branches.items()}
    return kept | {"left_out": _NO_JSON}


def _at(value: Any, way: tuple[str, ...]) -> Any:
    for part in way:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _without(value: dict[str, Any], way: tuple[str, ...]) -> dict[str, Any]:
    first, *rest = way
    if rest:
        return {**value, first: _without(value[first], tuple(rest))}
    return {name: part for name, part in value.items() if name != first}


def _in_short(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value, _MESSAGE_CHARS)
    return {name: _in_short(part) for name, part in value.items()} if isinstance(value, dict) else value
