"""The way into an instance: what is read from C values is what wasmtime's own API would give."""

from __future__ import annotations

import pytest
import wasmtime
from wasmtime.component import Component, Linker

from penstock_workers.engine import PLAIN, new_engine
from penstock_workers.guard import EPOCH_STEPS
from penstock_workers.guest import Answer, BadValueError, Exports, Guest, PluginInfo, ToolDef
from tests.conformance.wat import ECHO, Data, ToolText, component, content, init_error, tools
from tests.support.guests import CompiledPlugin


def fresh(wat: str) -> Guest:
    """A fresh instance, in an engine of its own."""
    engine = new_engine(PLAIN)
    made = Component(engine, wat)
    store = wasmtime.Store(engine)
    store.set_epoch_deadline(EPOCH_STEPS)
    return Guest(store, Linker(engine), made, Exports(made))


@pytest.mark.parametrize("text", ["{}", '{"a":"日本 🙂"}', '"' + "x" * 100_000 + '"'])
def test_content_is_what_the_public_api_reads(text: str) -> None:
    """Of any length, in any script."""
    wat = component(call=ECHO, memory='(memory (export "memory") 10)')
    public = CompiledPlugin(bytes(wasmtime.wat2wasm(wat)))

    guest = fresh(wat)
    assert guest.init() is None
    answer = guest.call_tool(b"run", text.encode(), 1 << 20)

    assert answer.content.decode() == public._run("call-tool", "run", text).__dict__["content-json"]
    assert answer.size_bytes == len(text.encode())
    assert not answer.is_error


def test_content_beyond_the_limit_is_measured_and_not_read() -> None:
    """So that 60 MB need not be copied to be refused."""
    data = Data()

    answer = fresh(component(call=content(data, "12345", is_error=True), data=data)).call_tool(
        b"run", b"{}", 4
    )

    assert answer == Answer(content=b"", is_error=True, size_bytes=5)


def test_init_tells_its_name_or_its_error() -> None:
    """Either way it is text."""
    data = Data()
    failing = component(init=init_error(data, "nö"), data=data)

    assert fresh(component(name="text")).info() == PluginInfo(name="text", version="1.0.0")
    assert fresh(failing).info() == "nö"
    assert fresh(failing).init() == "nö"


def test_tools_are_listed_within_bounds() -> None:
    """More tools or more text than allowed is an error, and is not read."""
    data = Data()
    listed = [ToolText(name="one", label="One", description="é", parameters="{}"), ToolText(name="two")]
    wat = component(listed=tools(data, listed), data=data)

    assert fresh(wat).list_tools(2, 1000)[0] == ToolDef(
        name="one", label="One", description="é", parameters_json="{}"
    )
    with pytest.raises(BadValueError, match="declares 2 tools; at most 1"):
        fresh(wat).list_tools(1, 1000)
    with pytest.raises(BadValueError, match="more than 20 bytes"):
        fresh(wat).list_tools(2, 20)


def test_trap_is_wasmtimes_own_error() -> None:
    """Its text says what it was."""
    with pytest.raises(wasmtime.WasmtimeError, match="unreachable"):
        fresh(component(call="unreachable")).call_tool(b"run", b"{}", 100)


def test_component_without_the_exports_is_refused() -> None:
    """Looking for what is not there is an error of ours, in words."""
    with pytest.raises(BadValueError, match="has no init"):
        Exports(Component(new_engine(PLAIN), "(component)"))
