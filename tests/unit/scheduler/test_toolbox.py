"""The catalog is read when it must be, and a change of it is noticed."""

from __future__ import annotations

from typing import Any

import pytest

from penstock_plugins.errors import CatalogError, ParamsError, ToolNotFoundError
from penstock_plugins.manifest import read_manifest
from penstock_plugins.record import PluginRecord
from penstock_plugins.tool import Tool, Traits
from penstock_scheduler.toolbox import LOOK_AGAIN_S, Toolbox
from tests.unit.scheduler.wires import ScriptedWire


def plugin(
    name: str, version: str, *tools: str, wasm: str = "", traits: Traits | None = None
) -> PluginRecord:
    """A published plugin."""
    manifest = read_manifest(f'name = "{name}"\nversion = "{version}"\n[wasm]\n{wasm}\n'.encode())
    return PluginRecord(
        digest=(name + version).encode().hex().ljust(64, "0"),
        manifest=manifest,
        tools=tuple(
            Tool(name=tool, plugin=name, version=version, traits=traits or Traits(idempotent=True))
            for tool in tools
        ),
        files=(),
    )


def wire_with(*records: PluginRecord) -> ScriptedWire:
    """A wire with a catalog."""
    wire = ScriptedWire()
    wire.records = list(records)
    return wire


def test_the_catalog_is_read_once() -> None:
    """However many calls follow."""
    wire, toolbox = wire_with(plugin("text", "1.0.0", "stats")), Toolbox()

    uses = [wire.run(toolbox.find(name)) for name in ("text.stats", "stats", "text@1.0.0.stats")]

    assert [use.full_name for use in uses] == ["text.stats"] * 3
    assert wire.reads == 1


@pytest.mark.parametrize("name", [{"name": "p", "steps": []}, 5, None, b"text.stats"])
def test_what_is_no_name_is_refused_in_words(name: Any) -> None:
    """Programs without types give all kinds of things; nothing is asked for."""
    wire = wire_with(plugin("text", "1.0.0", "stats"))

    with pytest.raises(TypeError, match=r"plugin\.tool.* or give a penstock\.Pipeline"):
        wire.run(Toolbox().find(name))

    assert wire.reads == 0


def test_what_the_manifest_says_of_a_tool_comes_with_it() -> None:
    """Pool, limits, and whether a call may be started twice."""
    wire = wire_with(
        plugin(
            "text", "1.0.0", "stats", wasm='pool = "gpu"\n[wasm.limits]\nparams_bytes = 77', traits=Traits()
        )
    )

    use = wire.run(Toolbox().find("text.stats"))

    assert (use.pool, use.params_bytes, use.once) == ("gpu", 77, True)
    with pytest.raises(ParamsError):
        use.schema.check([])


def test_a_publish_that_the_ledger_tells_of_is_read_before_the_next_call() -> None:
    """No submit goes to the old release for long."""
    wire, toolbox = wire_with(plugin("text", "1.0.0", "stats")), Toolbox()
    old = wire.run(toolbox.find("text.stats"))
    wire.records.append(plugin("text", "1.1.0", "stats"))
    wire.version = 2

    assert wire.run(toolbox.find("text.stats")) is old
    toolbox.notice(2)

    assert wire.run(toolbox.find("text.stats")).digest != old.digest


def test_the_same_version_told_again_reads_nothing() -> None:
    """Every answer to a submit tells it."""
    wire, toolbox = wire_with(plugin("text", "1.0.0", "stats")), Toolbox()
    wire.run(toolbox.find("text.stats"))

    toolbox.notice(wire.version)
    wire.run(toolbox.find("text.stats"))

    assert wire.reads == 1


def test_without_submits_the_counter_is_looked_at_now_and_then() -> None:
    """One small question, and the catalog only when it has changed."""
    now = [0.0]
    wire, toolbox = wire_with(plugin("text", "1.0.0", "stats")), Toolbox(clock=lambda: now[0])
    wire.run(toolbox.find("text.stats"))

    now[0] += LOOK_AGAIN_S + 1
    wire.run(toolbox.find("text.stats"))
    assert wire.reads == 1

    wire.version = 2
    now[0] += LOOK_AGAIN_S + 1
    wire.run(toolbox.find("text.stats"))
    assert wire.reads == 2


def test_an_unknown_tool_makes_it_look_once_more() -> None:
    """It may have been published a moment ago."""
    wire, toolbox = wire_with(plugin("text", "1.0.0", "stats")), Toolbox()
    wire.run(toolbox.find("text.stats"))
    wire.records.append(plugin("more", "1.0.0", "slug"))

    assert wire.run(toolbox.find("slug")).full_name == "more.slug"

    with pytest.raises(ToolNotFoundError, match="Unknown tool: nosuch"):
        wire.run(toolbox.find("nosuch"))


def test_a_short_name_of_two_plugins_names_both() -> None:
    """T-1."""
    wire = wire_with(plugin("a", "1.0.0", "stats"), plugin("b", "1.0.0", "stats"))

    with pytest.raises(ToolNotFoundError, match=r"a\.stats, b\.stats"):
        wire.run(Toolbox().find("stats"))


def test_a_pinned_plugin_is_found_whatever_was_published_since() -> None:
    """A resumed map goes on with the plugin that it began with."""
    old, new = plugin("text", "1.0.0", "stats"), plugin("text", "2.0.0", "stats")
    wire, toolbox = wire_with(old, new), Toolbox()

    assert wire.run(toolbox.find("text.stats")).digest == new.digest
    assert wire.run(toolbox.pinned("text.stats", old.digest)).digest == old.digest
    with pytest.raises(CatalogError, match="any more"):
        wire.run(toolbox.pinned("text.stats", "f" * 64))


def test_tools_are_read_anew_each_time() -> None:
    """Somebody wants to see what is there now."""
    wire, toolbox = wire_with(plugin("text", "1.0.0", "stats", "slug")), Toolbox()

    assert [tool.full_name for tool in wire.run(toolbox.tools())] == ["text.slug", "text.stats"]
    wire.records.append(plugin("more", "1.0.0", "x"))
    assert [tool.full_name for tool in wire.run(toolbox.tools())] == ["more.x", "text.slug", "text.stats"]
