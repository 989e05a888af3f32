"""Guests whose output is not what it should be, or says what it should not."""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from penstock_plugins.error_codes import ErrorCode
from tests.conformance.guest import Guest, guest
from tests.conformance.wat import Data, content, init_error, utf16

_BAD = ErrorCode.INVALID_OUTPUT


def _string(at: int, size: int) -> str:
    """A body of `call-tool` that returns a string from wherever it says."""
    return f"""
      (i32.store (i32.const 16) (i32.const {at})) (i32.store (i32.const 20) (i32.const {size}))
      (i32.store (i32.const 24) (i32.const 0)) (i32.const 16)"""


def unreadable() -> Iterable[Guest]:
    """Values that are no values, and text that is no JSON."""
    for name, text, says in (
        ("bad-utf8", b'"\xff\xfe"', "utf-8"),
        ("no-json", b"{nope", "not JSON"),
        ("empty-output", b"", "not JSON"),
        ("two-values", b"1 2", "not JSON"),
        ("nan", b'{"x":NaN}', "not JSON"),
        ("beyond-any-number", b"1e999", "not JSON"),
        ("lone-surrogate", b'"\\ud800"', "not JSON"),
        ("deep-json", b"[" * 129 + b"]" * 129, "nested more than 128 levels deep"),
        ("bottomless-json", b"[" * 4000 + b"]" * 4000, "not JSON"),
    ):
        data = Data()
        yield guest(name, _BAD, call=content(data, text), data=data, says=says)
    yield guest("result-nowhere", _BAD, call="(i32.const -16)")
    yield guest("result-askew", _BAD, call="(i32.const 18)")
    yield guest("string-nowhere", _BAD, call=_string(-99, 99))
    yield guest("string-beyond-the-end", _BAD, call=_string(0, 4 * 65536 + 1))
    yield guest("args-nowhere", _BAD, realloc="(i32.const -8)")
    data = Data()
    words = data.words(*utf16(data, b"\x00\xd8"), 0)
    yield guest("unpaired-utf16", _BAD, call=f"(i32.const {words})", data=data, encoding="utf16")
    data = Data()
    words = data.words(*utf16(data, '"é"'.encode("utf-16-le")), 0)
    yield guest("utf16", call=f"(i32.const {words})", data=data, encoding="utf16", returns='"é"'.encode())
    # Latin-1 where that is enough: the transcoders have had more than their share of CVEs.
    for name, text, flag in (
        ("latin1", '"é"'.encode("latin-1"), 0),
        ("compact-utf16", "日".encode("utf-16-le"), 1),
    ):
        data = Data()
        at, size = data.string(text)
        words = data.words(at, (size // 2 | 1 << 31) if flag else size, 0)
        yield guest(
            name,
            _BAD if flag else None,  # "日" without quotes is no JSON
            call=f"(i32.const {words})",
            data=data,
            encoding="latin1+utf16",
            returns=None if flag else '"é"'.encode(),
            says="not JSON" if flag else "",
        )


def too_large() -> Iterable[Guest]:
    """More than anybody wants to read."""
    large = ErrorCode.OUTPUT_TOO_LARGE
    memory = '(memory (export "memory") 1000)'
    yield guest("giant-output", large, call=_string(4096, 60_000_000), memory=memory)
    data = Data()
    text = '"' + "x" * 100 + '"'
    at, size = data.string(text)
    limit = {"output_bytes": size}
    yield guest("output-at-its-limit", call=_string(at, size), data=data, limits=limit, returns=text.encode())
    limit = {"output_bytes": size - 1}
    yield guest("output-over-its-limit", large, call=_string(at, size), data=data, limits=limit)
    # Half a million lists in a megabyte: costs what it costs, and no more.
    lists = b"[" + b"[]," * 300_000 + b"1]"
    data = Data()
    yield guest(
        "many-lists",
        call=content(data, lists),
        data=data,
        memory='(memory (export "memory") 20)',
        returns=lists,
    )


def failures() -> Iterable[Guest]:
    """A guest's own failures: its words, as far as it may say them."""
    failed = ErrorCode.EXECUTION_ERROR
    for name, said, code, says in (
        ("reports-a-rate-limit", {"code": "RATE_LIMIT", "message": "slow"}, ErrorCode.RATE_LIMIT, "slow"),
        ("claims-a-timeout", {"code": "TIMEOUT", "message": "Timeout"}, failed, "Timeout"),
        ("claims-a-quarantine", {"code": "QUARANTINED", "message": "x"}, failed, "x"),
        ("forges-a-terminal", {"message": "x\r\n\x1b[2JERROR root"}, failed, "\\x1b[2J"),
        ("fails-at-length", {"message": "x" * 100_000}, failed, "xxx"),
        ("fails-in-strange-ways", {"code": 7, "message": [], "retry_after_s": "soon"}, failed, "failed"),
        ("fails-without-an-object", [1], failed, "[1]"),
    ):
        data = Data()
        body = content(data, orjson.dumps(said), is_error=True)
        yield guest(name, code, call=body, data=data, says=says)
    data = Data()
    yield guest(
        "init-fails",
        ErrorCode.INIT_FAILED,
        init=init_error(data, "no\nlicence"),
        data=data,
        says="plugin init failed: no\\nlicence",
    )
    data = Data()
    init = f"(i32.const {data.words(7, 0, 0, 0)})"
    yield guest("init-neither-way", ErrorCode.INIT_FAILED, init=init, data=data, says="discriminant")
