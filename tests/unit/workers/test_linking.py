"""With which engine a plugin is linked: one with a pool where it fits, and never at the price of a limit."""

from __future__ import annotations

import logging
import os
from dataclasses import replace

import pytest
from wasmtime.component import Component

from penstock_plugins.errors import ToolNotReadyError
from penstock_plugins.limits import MIB, Limits
from penstock_workers.artifacts.source import OpenedArtifact
from penstock_workers.engine import METERED, PLAIN, EngineSettings, new_engine
from penstock_workers.guest import StoreLimits
from penstock_workers.known import know
from penstock_workers.linking import PluginLinker
from penstock_workers.pool import Pool
from tests.conformance.guest import Guest, guest
from tests.conformance.wat import ECHO

PLAIN_GUEST = guest("plain", call=ECHO)
#: More than the pool has: in its manifest, or in its module.
GREEDY = {
    "memories": guest("memories", limits={"memories": Pool().memories + 1}),
    "tables": guest("tables", limits={"tables": Pool().tables + 1}),
    "instances": guest("instances", limits={"instances": Pool().instances + 1}),
    "elements": guest("elements", limits={"table_elements": Pool().table_elements + 1}),
    "table": guest("table", declarations=f"(table {Pool().table_elements + 1} funcref)"),
}
LARGE = guest(
    "large",
    limits={"memory_bytes": 4096 * MIB},
    call="(if (i32.eq (memory.grow (i32.const 40000)) (i32.const -1)) (then unreachable))" + ECHO,
)


def opened(guest_: Guest, settings: EngineSettings = PLAIN) -> OpenedArtifact:
    """Its native code, compiled by an engine without a pool."""
    raw = bytes(Component(new_engine(settings), guest_.wasm).serialize())
    fd = os.memfd_create("guest")
    os.write(fd, raw)
    return OpenedArtifact(fd=fd, size_bytes=len(raw), settings=settings, record=guest_.record)


@pytest.mark.parametrize("settings", [PLAIN, METERED])
def test_plugin_that_fits_gets_the_pool(settings: EngineSettings) -> None:
    """Whether its fuel is counted or not: each kind of engine has a pool of its own."""
    linker = PluginLinker()

    plugin = linker.link(opened(PLAIN_GUEST, settings))

    assert plugin.engine is linker.engines.get(settings, pool=Pool())
    assert plugin.metered is settings.fuel


def test_tools_that_are_known_are_not_made_again() -> None:
    """Whoever knew them has compiled their schemas."""
    known = know([PLAIN_GUEST.record])

    plugin = PluginLinker(known=known).link(opened(PLAIN_GUEST))

    assert plugin.tools is known[PLAIN_GUEST.record.digest].tools
    assert plugin.tools.keys() == PluginLinker().link(opened(PLAIN_GUEST)).tools.keys()


def test_a_plugin_whose_schema_is_none_says_so_when_it_is_linked() -> None:
    """It keeps nobody else from being known."""
    record = PLAIN_GUEST.record
    bad = replace(record, digest="b" * 64, tools=(replace(record.tools[0], parameters={"type": "array"}),))

    known = know([bad, record])

    assert list(known) == [record.digest]
    with pytest.raises(ToolNotReadyError, match="catalog's record"):
        PluginLinker(known=known).link(replace(opened(PLAIN_GUEST), record=bad))


@pytest.mark.parametrize("greedy", GREEDY.values(), ids=list(GREEDY))
def test_plugin_that_may_have_more_than_the_pool_has_gets_none(greedy: Guest) -> None:
    """The pool must never be the limit."""
    linker = PluginLinker()

    assert linker.link(opened(greedy)).engine is linker.engines.get(PLAIN)


def test_memory_is_never_the_pools_limit() -> None:
    """A place in the pool has room for all that a 32-bit memory can have."""
    linker = PluginLinker()
    plugin = linker.link(opened(LARGE))
    limits = LARGE.bundle.manifest.limits()

    guest_ = plugin.path.enter(StoreLimits.of(limits), None)
    guest_.start()
    answer = guest_.call_tool(b"run", b"{}", 10)
    guest_.close()

    assert plugin.engine is linker.engines.get(PLAIN, pool=Pool())
    assert answer.content == b"{}"


@pytest.mark.parametrize("pool", [Pool(), None])
def test_public_path_takes_no_pool(pool: Pool | None) -> None:
    """The pool comes through the same door as the lean path: what does without one does without both."""
    linker = PluginLinker("public", pool=pool)

    assert linker.link(opened(PLAIN_GUEST)).engine is linker.engines.get(PLAIN)


def test_process_that_may_not_reserve_addresses_does_without_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """wasmtime would end the process."""
    too_large = Pool(memories=1_000_000)
    linker = PluginLinker(pool=too_large)

    with caplog.at_level(logging.WARNING):
        plugins = [linker.link(opened(PLAIN_GUEST)) for _ in range(2)]

    assert not too_large.can_be_had()
    assert all(plugin.engine is linker.engines.get(PLAIN) for plugin in plugins)
    assert len(caplog.records) == 1
    assert "may not reserve" in caplog.text


def test_pool_holds_what_calls_get_by_default() -> None:
    """Many times over, so that plugins keep their places."""
    limits = Limits()

    assert Pool().holds(limits)
    assert Pool().memories >= 16 * limits.memories
    assert Pool().can_be_had()
