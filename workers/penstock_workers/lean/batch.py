"""The values of `call-tool-batch` on the lean path: a list of texts in, a list of tool-results out."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import addressof, c_char_p, c_void_p, cast, create_string_buffer

from penstock_workers.guest import Answer, BadValueError
from penstock_workers.lean.library import (
    BOOL,
    LIST,
    MEMORY,
    RECORD,
    RECORD_VALUE,
    RESULT_FIELDS,
    SEQUENCE_VALUE,
    STRING,
)

_VALUE_BYTES = SEQUENCE_VALUE.size


class BatchArguments:
    """A tool's name and the params of several calls. wasmtime copies them; they live as long as this."""

    __slots__ = ("_kept", "at")

    def __init__(self, name: bytes, args_json: Sequence[bytes]) -> None:
        texts = b"".join((name, *args_json))
        values = create_string_buffer((2 + len(args_json)) * _VALUE_BYTES)
        self._kept = (texts, values)
        #: Where the first of the two values is.
        self.at = addressof(values)
        place = cast(c_char_p(texts), c_void_p).value or 0
        SEQUENCE_VALUE.pack_into(values, 0, STRING, len(name), place)
        SEQUENCE_VALUE.pack_into(values, _VALUE_BYTES, LIST, len(args_json), self.at + 2 * _VALUE_BYTES)
        place += len(name)
        for k, text in enumerate(args_json, start=2):
            SEQUENCE_VALUE.pack_into(values, k * _VALUE_BYTES, STRING, len(text), place)
            place += len(text)


def read_answers(place: int, calls: int, max_bytes: int) -> list[Answer]:
    """What `call-tool-batch` returned. See `Guest.call_batch`.

    Args:
        place: where the result's value is.
        calls: how many answers there must be.
        max_bytes: of content that is read.
    """
    kind, count, at = SEQUENCE_VALUE.unpack_from(MEMORY, place)
    if kind != LIST:
        raise BadValueError("call-tool-batch returned no list")
    if count != calls:
        raise BadValueError(f"call-tool-batch answered {count} calls of {calls}")
    answers = []
    for record in range(at, at + count * _VALUE_BYTES, _VALUE_BYTES):
        kind, count, fields = RECORD_VALUE.unpack_from(MEMORY, record)
        if kind != RECORD or count != 2:
            raise BadValueError("call-tool-batch returned no tool-result")
        text, size, at, flag, is_error = RESULT_FIELDS.unpack_from(MEMORY, fields)
        if text != STRING or flag != BOOL:
            raise BadValueError("call-tool-batch returned another tool-result")
        content = MEMORY[at : at + size].tobytes() if size <= max_bytes else b""
        max_bytes -= len(content)
        answers.append(Answer(content, is_error, size))
    return answers
