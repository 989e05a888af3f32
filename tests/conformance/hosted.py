"""Guests that try the host's functions, or try to leave something behind."""

from __future__ import annotations

from collections.abc import Iterable

from penstock_plugins.error_codes import ErrorCode
from tests.conformance.guest import Guest, guest
from tests.conformance.wat import Data, content

_LARGE = '(memory (export "memory") 1000)'


def _counter(name: str, declarations: str, count: str, add: str) -> Guest:
    """A guest that returns how often it was called, as far as it can remember."""
    return guest(
        name,
        declarations=declarations,
        call=f"""
          {add}
          (i32.store8 (i32.const 512) (i32.add (i32.const 48) {count}))
          (i32.store (i32.const 16) (i32.const 512)) (i32.store (i32.const 20) (i32.const 1))
          (i32.store (i32.const 24) (i32.const 0)) (i32.const 16)""",
        returns=b"1",
    )


def forgetful() -> Iterable[Guest]:
    """Whatever a guest writes, the next call is the first again."""
    yield _counter(
        "counter-in-a-global",
        "(global $n (mut i32) (i32.const 0))",
        "(global.get $n)",
        "(global.set $n (i32.add (global.get $n) (i32.const 1)))",
    )
    yield _counter(
        "counter-in-memory",
        "",
        "(i32.load (i32.const 800))",
        "(i32.store (i32.const 800) (i32.add (i32.load (i32.const 800)) (i32.const 1)))",
    )
    yield _counter(
        "counter-in-a-table",
        "(table $t 0 funcref)",
        "(table.size $t)",
        "(drop (table.grow $t (ref.null func) (i32.const 1)))",
    )
    yield _counter(
        "counter-in-the-size-of-memory",
        "",
        "(i32.sub (memory.size) (i32.const 4))",
        "(drop (memory.grow (i32.const 1)))",
    )


def loggers() -> Iterable[Guest]:
    """Log lines are kept within their caps, on one line each, and only with leave."""
    text = "a\nCRITICAL root: \x1b[31mb\u2028c\u202ed\x85"
    plain = "a\\nCRITICAL root: \\x1b[31mb\\u2028c\\u202ed\\x85"
    yield _logs("log-that-forges-lines", text, metadata={"logs": [{"level": "info", "message": plain}]})
    yield _logs("log-of-bad-utf8", b"\xc3\x28", ErrorCode.TRAP)
    yield _logs("log-at-no-level", "x", ErrorCode.TRAP, level=9)
    yield _logs("log-without-leave", "secret", capabilities=(), metadata={"denied": ["log"], "logs": []})
    data = Data()
    at, size = data.string("started")
    start = f"(func $begin (call $log (i32.const 1) (i32.const {at}) (i32.const {size}))) (start $begin)"
    yield guest(
        "log-in-start",
        declarations=start,
        data=data,
        host=["log"],
        metadata={"logs": [{"level": "info", "message": "started"}]},
    )
    data = Data()
    giant = "(call $log (i32.const 3) (i32.const 4096) (i32.const 60000000))"
    yield guest(
        "giant-log",
        call=giant + giant + content(data, "true"),
        data=data,
        host=["log"],
        memory=_LARGE,
        returns=b"true",
        limits={"log_bytes": 1000},
        metadata={"truncated": True, "logs_dropped": 1},
    )


def _logs(
    name: str,
    text: str | bytes,
    code: ErrorCode | None = None,
    *,
    level: int = 1,
    capabilities: tuple[str, ...] = ("log",),
    metadata: dict[str, object] | None = None,
) -> Guest:
    data = Data()
    at, size = data.string(text)
    call = f"(call $log (i32.const {level}) (i32.const {at}) (i32.const {size}))"
    return guest(
        name,
        code,
        call=call + content(data, "true"),
        data=data,
        host=["log"],
        returns=None if code else b"true",
        capabilities=capabilities,
        metadata=metadata,
    )


#: Traps unless the answer at 64 says: no such variable.
_NONE_OR_TRAP = "(if (i32.load8_u (i32.const 64)) (then unreachable))"
#: Traps unless the answer at 64 is an error.
_ERROR_OR_TRAP = "(if (i32.ne (i32.load8_u (i32.const 64)) (i32.const 1)) (then unreachable))"


def askers() -> Iterable[Guest]:
    """What is not granted is refused, and written down."""
    data = Data()
    asks = "".join(
        f"(call $env-get (i32.const {at}) (i32.const {size}) (i32.const 64)) {_NONE_OR_TRAP}"
        for at, size in map(data.string, ("PATH", "HOME", "PENSTOCK_SIGNING_KEY", "x" * 5000))
    )
    yield guest(
        "reads-the-environment",
        call=asks + content(data, "true"),
        data=data,
        host=["env-get"],
        returns=b"true",
        metadata={
            "denied": [
                "env-get PATH",
                "env-get HOME",
                "env-get PENSTOCK_SIGNING_KEY",
                "env-get " + "x" * 192,
            ]
        },
    )
    data = Data()
    # Names of eight bytes that count up: ten thousand different refusals.
    count = """
      (local $i i32)
      (loop $l
        (i64.store (i32.const 512) (i64.or (i64.const 0x4141414141414141)
          (i64.shl (i64.extend_i32_u (local.get $i)) (i64.const 8))))
        (i32.store8 (i32.const 512) (i32.const 65))
        (i32.store8 (i32.const 513) (i32.add (i32.const 32) (i32.rem_u (local.get $i) (i32.const 90))))
        (i32.store8 (i32.const 514)
          (i32.add (i32.const 32) (i32.rem_u (i32.div_u (local.get $i) (i32.const 90)) (i32.const 90))))
        (i32.store8 (i32.const 515) (i32.const 66)) (i32.store (i32.const 516) (i32.const 0x43434343))
        (call $env-get (i32.const 512) (i32.const 8) (i32.const 64))
        (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 8000))))"""
    yield guest(
        "asks-for-everything",
        call=count + content(data, "true"),
        data=data,
        host=["env-get"],
        metadata={"denied": [f"env-get A{chr(32 + i)} BCCCC" for i in range(32)]},
    )
    data = Data()
    at, size = data.string("http://169.254.169.254/latest")
    get = f"(call $http-get (i32.const {at}) (i32.const {size}) (i32.const 0) (i32.const 0) (i32.const 64))"
    yield guest(
        "fetches",
        call=get + _ERROR_OR_TRAP + content(data, "true"),
        data=data,
        host=["http-get"],
        returns=b"true",
        capabilities=("http",),
        metadata={"denied": ["http http://169.254.169.254/latest"]},
    )
    data = Data()
    at, size = data.string("http://x/")
    for name, number, code in (
        # Read as wasmtime-py would read them, these would take half a minute.
        ("many-headers", 400_000, None),
        ("millions-of-headers", 3_000_000, ErrorCode.TRAP),
    ):
        headers = f"(i32.const 131072) (i32.const {number})"
        get = f"(call $http-get (i32.const {at}) (i32.const {size}) {headers} (i32.const 64))"
        yield guest(
            name,
            code,
            call=get + _ERROR_OR_TRAP + content(data, "true"),
            data=data,
            host=["http-get"],
            memory=_LARGE,
            limits={"timeout_s": 5},
        )
