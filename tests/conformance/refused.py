"""Guests that are not run at all: what they import, export or declare is refused."""

from __future__ import annotations

from collections.abc import Iterable

from penstock_plugins.error_codes import ErrorCode
from tests.conformance.guest import LOOP, SHORT_S, Guest, guest
from tests.conformance.wat import Data, ToolText, component, init_ok, tools

_SOCKETS = '(import "wasi:sockets/tcp@0.2.0" (instance)) (import "wasi:http/types@0.2.0" (instance))'
_POLL = """
  (import "wasi:io/poll@0.2.0" (instance (export "pollable" (type $p (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $p))))))"""
_CLOCK = '(import "wasi:clocks/monotonic-clock@0.2.0" (instance (export "now" (func (result u64)))))'
_WRONG_CLOCK = '(import "wasi:clocks/monotonic-clock@0.2.0" (instance (export "now" (func (result u8)))))'
_NEW_CLOCK = '(import "wasi:clocks/monotonic-clock@0.3.0" (instance (export "now" (func (result u64)))))'
_HOST_LOG = """
  (import "grain:plugin/host" (instance (export "log" (func (param "level" u8) (param "msg" string)))))"""
_HOST_MORE = '(import "grain:plugin/host" (instance (export "exec" (func (param "command" string)))))'


def by_their_types() -> Iterable[Guest]:
    """Refused when they are linked, and so when they are inspected."""
    denied, wasi = ErrorCode.PERMISSION_DENIED, ("wasi",)
    yield guest("imports-sockets", denied, before=_SOCKETS, says="wasi:sockets/tcp@0.2.0; wasi:http")
    yield guest("imports-poll", denied, before=_POLL, capabilities=wasi, says="it waits")
    yield guest("imports-wasi", denied, before=_CLOCK, says="WASI")
    yield guest("imports-another-clock", denied, before=_WRONG_CLOCK, capabilities=wasi, says="must be")
    yield guest("imports-a-new-clock", denied, before=_NEW_CLOCK, capabilities=wasi, says="@0.3.0")
    yield guest("imports-an-interface", denied, before='(import "a:b/c" (instance))', says="a:b/c")
    yield guest("imports-a-function", denied, before='(import "f" (func))', says="f")
    yield guest("imports-another-log", denied, before=_HOST_LOG, says="grain:plugin/host#log must be")
    yield guest("imports-more-of-the-host", denied, before=_HOST_MORE, says="no function exec")
    unusable = ErrorCode.TOOL_NOT_READY
    yield Guest("exports-nothing", "(component)", unusable, says="does not export grain:plugin/plugin")
    wrong = component(name="exports-another-type").replace('"is-error" bool', '"is-error" u8')
    yield Guest("exports-another-type", wrong, unusable, says="call-tool must be func(")


def by_what_they_say() -> Iterable[Guest]:
    """Refused when they are asked what they are; only an inspection asks."""
    for name, schema, says in (
        ("schema-no-json", "{", "parameters of run"),
        ("schema-no-schema", '{"type":"object","required":7}', "no JSON Schema"),
        ("schema-no-object", '{"type":"string"}', "object"),
        ("schema-elsewhere", '{"type":"object","$ref":"http://127.0.0.1/x"}', "other documents"),
        ("schema-too-long", '{"type":"object","title":"' + "x" * 70_000 + '"}', "longer than"),
    ):
        data = Data()
        yield guest(name, listed=tools(data, [ToolText(parameters=schema)]), data=data, says=says)
    for name, texts, says in (
        ("no-tools", [], "declares no tools"),
        ("tool-twice", [ToolText(), ToolText()], "declared twice"),
        ("tool-with-a-path", [ToolText(name="../run")], "no name for a tool"),
        ("many-tools", [ToolText(name=f"t{i}") for i in range(65)], "65 tools"),
        ("long-tools", [ToolText(name=f"t{i}", label="x" * 40_000) for i in range(30)], "more than"),
    ):
        data = Data()
        memory = '(memory (export "memory") 40)'
        yield guest(name, listed=tools(data, texts), data=data, memory=memory, says=says)
    for name, count, says in (
        # Read as wasmtime-py would read them, these would take five seconds.
        ("many-many-tools", 100_000, "100000 tools"),
        ("a-million-tools", 1_000_000, "larger than any limit"),
    ):
        listed = f"""
          (i32.store (i32.const 16) (i32.const 131072)) (i32.store (i32.const 20) (i32.const {count}))
          (i32.const 16)"""
        yield guest(name, listed=listed, memory='(memory (export "memory") 900)', says=says)
    data = Data()
    yield guest("another-name", init=init_ok(data, "somebody"), data=data, says="the name is 'somebody'")
    data = Data()
    init = init_ok(data, "another-version", "2.0.0")
    yield guest("another-version", init=init, data=data, says="the version is '2.0.0'")
    yield guest("loop-in-list", listed=LOOP, limits={"timeout_s": SHORT_S}, says="was stopped after")
    yield guest("trap-in-list", listed="unreachable", says="trapped")
