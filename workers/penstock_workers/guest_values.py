"""A guest's values, read from C within bounds.

wasmtime-py would turn a whole value into Python objects before anybody could measure it: 300,000 declared
tools hold the process for 15 seconds, where no epoch reaches. The values' shapes were compared with the
world's when the component was linked.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from wasmtime import _ffi

from penstock_workers.guest import ERROR_BYTES, Answer, BadValueError, PluginInfo, ToolDef


def read_text(value: Any, max_bytes: int) -> str:
    """A string, at most `max_bytes` of it."""
    raw = value.of.string
    return ctypes.string_at(raw.data, min(raw.size, max_bytes)).decode(errors="ignore")


def read_info(value: Any) -> PluginInfo | str:
    """What `init` returned: what the plugin is, or its error."""
    answer = value.of.result
    if not answer.is_ok:
        return read_text(answer.val.contents, ERROR_BYTES)
    fields = answer.val.contents.of.record.data
    name, version = (read_text(fields[k].val, ERROR_BYTES) for k in range(2))
    return PluginInfo(name=name, version=version)


def read_tools(value: Any, max_tools: int, max_bytes: int) -> list[ToolDef]:
    """What `list-tools` returned.

    Raises:
        BadValueError: more tools, or longer texts, than anybody may declare.
    """
    listed = value.of.list
    if listed.size > max_tools:
        raise BadValueError(f"list-tools declares {listed.size} tools; at most {max_tools} are allowed")
    defs = []
    left = max_bytes
    for i in range(listed.size):
        fields = listed.data[i].of.record.data
        texts = [fields[k].val for k in range(4)]
        left -= sum(text.of.string.size for text in texts)
        if left < 0:
            raise BadValueError(f"list-tools declares more than {max_bytes} bytes")
        name, label, description, parameters = (read_text(text, max_bytes) for text in texts)
        defs.append(ToolDef(name=name, label=label, description=description, parameters_json=parameters))
    return defs


def batch_arguments(name: bytes, args_json: Sequence[bytes]) -> tuple[Any, list[Any]]:
    """The arguments of `call-tool-batch` as two values, and what must live as long as they do."""
    values = (_ffi.wasmtime_component_val_t * 2)()
    texts = (_ffi.wasmtime_component_val_t * len(args_json))()
    for text, raw in zip((values[0], *texts), (name, *args_json), strict=True):
        text.kind = _ffi.WASMTIME_COMPONENT_STRING
        text.of.string.size = len(raw)
        text.of.string.data = ctypes.cast(ctypes.c_char_p(raw), ctypes.POINTER(ctypes.c_uint8))
    values[1].kind = _ffi.WASMTIME_COMPONENT_LIST
    values[1].of.list.size = len(args_json)
    values[1].of.list.data = texts
    return values, [name, args_json, texts]


def read_answers(value: Any, calls: int, max_bytes: int) -> list[Answer]:
    """What `call-tool-batch` returned.

    Raises:
        BadValueError: there are not as many answers as calls.
    """
    listed = value.of.list
    if listed.size != calls:
        raise BadValueError(f"call-tool-batch answered {listed.size} calls of {calls}")
    answers = []
    left = max_bytes
    for i in range(calls):
        fields = listed.data[i].of.record.data
        text = fields[0].val.of.string
        size = text.size
        content = ctypes.string_at(text.data, size) if size <= left else b""
        left -= len(content)
        answers.append(Answer(content, fields[1].val.of.boolean, size))
    return answers
