"""The way into an instance: what is read from C values is what wasmtime's own API would give."""

from __future__ import annotations

import pytest
import wasmtime
from wasmtime.component import Component, Linker

from penstock_plugins.limits import Limits
from penstock_workers.engine import METERED, new_engine
from penstock_workers.guest import (
    Answer,
    BadValueError,
    Exports,
    Guest,
    GuestPath,
    PluginInfo,
    StoreLimits,
    ToolDef,
)
from penstock_workers.lean.guest import LeanPath
from penstock_workers.public_path import PublicPath
from tests.conformance.wat import ECHO, Data, ToolText, component, content, init_error, tools
from tests.support.guests import CompiledPlugin

LIMITS = StoreLimits.of(Limits())
FUEL = 1_000_000


@pytest.fixture(params=[LeanPath, PublicPath])
def way(request: pytest.FixtureRequest) -> type[LeanPath | PublicPath]:
    """Both ways into wasmtime keep the same promises."""
    chosen: type[LeanPath | PublicPath] = request.param
    return chosen


def path_of(way: type[LeanPath | PublicPath], wat: str) -> GuestPath:
    """A component's path, in an engine of its own."""
    engine = new_engine(METERED)
    made = Component(engine, wat)
    return way(engine, Linker(engine), made, Exports(made))


def fresh(way: type[LeanPath | PublicPath], wat: str) -> Guest:
    """A fresh instance. The store goes with the process."""
    guest = path_of(way, wat).enter(LIMITS, FUEL)
    guest.start()
    return guest


@pytest.mark.parametrize("text", ["{}", '{"a":"日本 🙂"}', '"' + "x" * 100_000 + '"'])
def test_content_is_what_the_public_api_reads(way: type[LeanPath | PublicPath], text: str) -> None:
    """Of any length, in any script."""
    wat = component(call=ECHO, memory='(memory (export "memory") 10)')
    public = CompiledPlugin(bytes(wasmtime.wat2wasm(wat)))

    guest = fresh(way, wat)
    assert guest.init() is None
    answer = guest.call_tool(b"run", text.encode(), 1 << 20)

    assert answer.content.decode() == public._run("call-tool", "run", text).__dict__["content-json"]
    assert answer.size_bytes == len(text.encode())
    assert not answer.is_error


def test_content_beyond_the_limit_is_measured_and_not_read(way: type[LeanPath | PublicPath]) -> None:
    """So that 60 MB need not be copied to be refused."""
    data = Data()

    answer = fresh(way, component(call=content(data, "12345", is_error=True), data=data)).call_tool(
        b"run", b"{}", 4
    )

    assert answer == Answer(content=b"", is_error=True, size_bytes=5)


def test_init_tells_its_name_or_its_error(way: type[LeanPath | PublicPath]) -> None:
    """Either way it is text."""
    data = Data()
    failing = component(init=init_error(data, "nö"), data=data)

    assert fresh(way, component(name="text")).info() == PluginInfo(name="text", version="1.0.0")
    assert fresh(way, failing).info() == "nö"
    assert fresh(way, failing).init() == "nö"


def test_tools_are_listed_within_bounds(way: type[LeanPath | PublicPath]) -> None:
    """More tools or more text than allowed is an error, and is not read."""
    data = Data()
    listed = [ToolText(name="one", label="One", description="é", parameters="{}"), ToolText(name="two")]
    wat = component(listed=tools(data, listed), data=data)

    assert fresh(way, wat).list_tools(2, 1000)[0] == ToolDef(
        name="one", label="One", description="é", parameters_json="{}"
    )
    with pytest.raises(BadValueError, match="declares 2 tools; at most 1"):
        fresh(way, wat).list_tools(1, 1000)
    with pytest.raises(BadValueError, match="more than 20 bytes"):
        fresh(way, wat).list_tools(2, 20)


def test_trap_is_wasmtimes_own_error(way: type[LeanPath | PublicPath]) -> None:
    """Its text says what it was."""
    with pytest.raises(wasmtime.WasmtimeError, match="unreachable"):
        fresh(way, component(call="unreachable")).call_tool(b"run", b"{}", 100)


def test_component_without_the_exports_is_refused() -> None:
    """Looking for what is not there is an error of ours, in words."""
    with pytest.raises(BadValueError, match="has no init"):
        Exports(Component(new_engine(METERED), "(component)"))


def test_store_refuses_what_is_beyond_its_limits(way: type[LeanPath | PublicPath]) -> None:
    """Memory is not there to begin with, or does not grow."""
    path = path_of(way, component(memory='(memory (export "memory") 4)'))
    guest = path.enter(LIMITS._replace(memory_bytes=3 * 65536), FUEL)

    with pytest.raises(wasmtime.WasmtimeError, match="exceeds memory limits"):
        guest.start()
    guest.close()


def test_fuel_is_counted_alike(way: type[LeanPath | PublicPath]) -> None:
    """What is left is what wasmtime says is left."""
    other = PublicPath if way is LeanPath else LeanPath
    guest, reference = fresh(way, component(call=ECHO)), fresh(other, component(call=ECHO))
    for each in (guest, reference):
        each.call_tool(b"run", b"{}", 100)

    assert 0 < guest.fuel_left() == reference.fuel_left() < FUEL


def test_engine_that_does_not_count_takes_no_fuel(way: type[LeanPath | PublicPath]) -> None:
    """It is refused, and nothing is left behind."""
    engine = new_engine()
    made = Component(engine, component())
    path = way(engine, Linker(engine), made, Exports(made))

    with pytest.raises(wasmtime.WasmtimeError, match="fuel is not configured"):
        path.enter(LIMITS, 1)
