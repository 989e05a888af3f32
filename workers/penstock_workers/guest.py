"""One fresh instance of a component, and the functions that it exports: the seam to wasmtime.

The sandbox knows what is here and no more. There are two ways behind it: `public_path`, which is wasmtime's
own Python API, and `lean`, which calls the same library with less Python in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from wasmtime.component import Component, ExportIndex

from penstock_workers.world import BATCH, PLUGIN

if TYPE_CHECKING:
    from penstock_plugins.limits import Limits

#: Bytes of an error of `init` that are read.
ERROR_BYTES = 4096


class BadValueError(Exception):
    """The guest returned a value that cannot be read. Its text is ours."""


class Answer(NamedTuple):
    """What `call-tool` returned, unread."""

    #: UTF-8. Empty when it is longer than the caller wanted to read.
    content: bytes
    is_error: bool
    #: How long it is.
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginInfo:
    """What `init` says about the plugin."""

    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDef:
    """One tool as `list-tools` declares it."""

    name: str
    label: str
    description: str
    parameters_json: str


class StoreLimits(NamedTuple):
    """What a store refuses to give, in the order in which wasmtime takes it."""

    memory_bytes: int
    table_elements: int
    instances: int
    tables: int
    memories: int

    @classmethod
    def of(cls, limits: Limits) -> StoreLimits:
        """Those of a call's limits that the store watches over."""
        return cls(
            limits.memory_bytes, limits.table_elements, limits.instances, limits.tables, limits.memories
        )


class Exports:
    """Where a component keeps its functions, looked up once."""

    __slots__ = ("call_batch", "call_tool", "init", "list_tools")

    def __init__(self, component: Component) -> None:
        plugin = component.get_export_index(PLUGIN)
        self.init = _index(component, "init", plugin)
        self.list_tools = _index(component, "list-tools", plugin)
        self.call_tool = _index(component, "call-tool", plugin)
        batch = component.get_export_index(BATCH)
        #: None: it has no batch entry point.
        self.call_batch = None if batch is None else _index(component, "call-tool-batch", batch)


class Guest(Protocol):
    """One instance in a store of its own, from the first instruction to the end of its memory.

    Nothing runs before `start`; whatever may stop the guest is set by then. Each method but `close` and
    `fuel_left` runs the guest and raises `WasmtimeError` when it traps.
    """

    def start(self) -> None:
        """Instantiate, which runs the guest's start functions, or fails on the store's limits."""
        ...

    def init(self) -> str | None:
        """Initialise the plugin; returns its error."""
        ...

    def info(self) -> PluginInfo | str:
        """Initialise the plugin; returns what it says it is, or its error."""
        ...

    def call_tool(self, name: bytes, args_json: bytes, max_bytes: int) -> Answer:
        """Call a tool. Both texts are UTF-8; content beyond `max_bytes` is not read."""
        ...

    def call_batch(self, name: bytes, args_json: Sequence[bytes], max_bytes: int) -> list[Answer]:
        """Call a tool several times through the batch entry point, which must be there.

        Content is read up to `max_bytes` in all; what is beyond comes back empty.

        Raises:
            BadValueError: there are not as many answers as calls.
        """
        ...

    def list_tools(self, max_tools: int, max_bytes: int) -> list[ToolDef]:
        """The tools that the guest declares.

        Raises:
            BadValueError: more tools, or longer texts, than anybody may declare.
        """
        ...

    def fuel_left(self) -> int:
        """Fuel that was not used; only in a store that was given some."""
        ...

    def close(self) -> None:
        """Give everything back. To be called once, whatever happened."""
        ...


class GuestPath(Protocol):
    """One linked plugin's way to fresh instances. One instance at a time."""

    def enter(self, limits: StoreLimits, fuel: int | None) -> Guest:
        """A store with these limits, one step away from its epoch deadline; the caller closes it."""
        ...


def _index(component: Component, name: str, within: ExportIndex | None) -> ExportIndex:
    index = component.get_export_index(name, within)
    if index is None:
        raise BadValueError(f"{PLUGIN} has no {name}")
    return index
