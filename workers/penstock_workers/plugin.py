"""A plugin that is ready to run: compiled, linked once, its exports and its schemas looked up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock_plugins.errors import (
    ManifestError,
    PermissionDeniedError,
    ToolNotFoundError,
    ToolNotReadyError,
)
from penstock_plugins.schema import ParamsSchema
from penstock_workers.engine import PLAIN, EngineSettings
from penstock_workers.host import Host
from penstock_workers.text import MESSAGE_BYTES, clean, cut
from penstock_workers.world import HOST, export_problems, host_problems, imports_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wasmtime import Engine
    from wasmtime.component import Component, Linker

    from penstock_plugins.manifest import Manifest
    from penstock_plugins.record import PluginRecord
    from penstock_plugins.tool import Tool
    from penstock_workers.artifacts.source import OpenedArtifact
    from penstock_workers.guest import GuestPath
    from penstock_workers.paths import SandboxPath


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmTool:
    """One tool, and the compiled schema of its params."""

    tool: Tool
    schema: ParamsSchema


@dataclass(slots=True, kw_only=True, eq=False)
class WarmPlugin:
    """A plugin that only waits for a call. Belongs to one engine, and to one process or its copies."""

    record: PluginRecord
    engine: Engine
    #: Whether its engine counts instructions.
    metered: bool
    component: Component
    linker: Linker
    #: The way to fresh instances of it.
    path: GuestPath
    host: Host
    #: Whether it imports WASI, and so needs that capability to run at all.
    uses_wasi: bool
    #: Whether it exports `call-tool-batch`.
    has_batch_entry_point: bool
    tools: Mapping[str, WarmTool]
    #: Bytes of native code.
    size_bytes: int
    #: Callbacks that the linker calls; they live as long as it does.
    callbacks: list[object]

    @property
    def name(self) -> str:
        """The plugin's name."""
        return self.record.name

    @property
    def manifest(self) -> Manifest:
        """What the plugin's author wrote about it."""
        return self.record.manifest

    def tool(self, name: str) -> WarmTool:
        """One of its tools, by its name inside the plugin.

        Raises:
            ToolNotFoundError: it has no such tool.
        """
        tool = self.tools.get(name)
        if tool is None:
            raise ToolNotFoundError(
                f"Unknown tool: {self.name}.{name}", {"plugin": self.name, "known": sorted(self.tools)}
            )
        return tool

    def close(self) -> None:
        """Let go of the linker and the native code."""
        self.linker.close()
        self.component.close()
        self.callbacks.clear()


def link(
    engine: Engine,
    opened: OpenedArtifact,
    settings: EngineSettings = PLAIN,
    *,
    path: SandboxPath = "auto",
    tools: Mapping[str, WarmTool] | None = None,
) -> WarmPlugin:
    """Load native code that was authenticated, and link it. The caller closes `opened`.

    No code of the guest runs here. `tools` are those of its record; None: they are made here.

    Raises:
        PermissionDeniedError: it imports what no plugin may have; the message lists all of it.
        ToolNotReadyError: the native code does not load, or is not a component of our world.
    """
    from wasmtime import WasmtimeError
    from wasmtime.component import Component

    record = opened.record
    try:
        component = Component.deserialize_file(engine, opened.path)
    except WasmtimeError as error:
        raise ToolNotReadyError(f"The native code of {record.name} does not load: {error}") from error
    return link_component(
        engine, component, record, size_bytes=opened.size_bytes, settings=settings, path=path, tools=tools
    )


def link_component(
    engine: Engine,
    component: Component,
    record: PluginRecord,
    *,
    size_bytes: int,
    settings: EngineSettings = PLAIN,
    path: SandboxPath = "auto",
    tools: Mapping[str, WarmTool] | None = None,
) -> WarmPlugin:
    """Link a component of this engine. Raises as `link` does."""
    from wasmtime.component import Linker

    from penstock_workers import wasi
    from penstock_workers.guest import Exports
    from penstock_workers.paths import path_to

    imports = imports_of(component, engine)
    refuse_imports(record.name, imports)
    if problems := export_problems(component, engine):
        raise ToolNotReadyError(
            clean(f"{record.name} is no component of our world: {'; '.join(problems)}", MESSAGE_BYTES)
        )
    host = Host(record.name)
    linker = Linker(engine)
    callbacks: list[object] = []
    with linker.root() as root:
        if HOST in imports:
            with root.add_instance(HOST) as instance:
                callbacks += host.define_in(instance)
        callbacks += wasi.define_in(root, imports, host)
    exports = Exports(component)
    uses_wasi = any(wasi.is_wasi(name) for name in imports)
    if uses_wasi:
        linker.define_unknown_imports_as_traps(component)
    return WarmPlugin(
        record=record,
        engine=engine,
        metered=settings.fuel,
        component=component,
        linker=linker,
        path=path_to(engine, linker, component, exports, path),
        host=host,
        uses_wasi=uses_wasi,
        has_batch_entry_point=exports.call_batch is not None,
        tools=warm_tools(record) if tools is None else tools,
        size_bytes=size_bytes,
        callbacks=callbacks,
    )


def warm_tools(record: PluginRecord) -> dict[str, WarmTool]:
    """Its tools by name, with their schemas compiled.

    Raises:
        ToolNotReadyError: the catalog's record has a schema that is none.
    """
    try:
        return {tool.name: WarmTool(tool=tool, schema=ParamsSchema(tool.parameters)) for tool in record.tools}
    except ManifestError as error:
        raise ToolNotReadyError(f"The catalog's record of {record.name} cannot be used: {error}") from error


def refuse_imports(plugin: str, imports: Mapping[str, Mapping[str, str]]) -> None:
    """Refuse a component that imports what no grant could give it.

    Raises:
        PermissionDeniedError: with everything that is too much.
    """
    refused = [clean(problem, 500) for problem in import_problems(imports)]
    if refused:
        raise PermissionDeniedError(
            cut(f"{plugin} imports what it may not have: {'; '.join(refused)}", MESSAGE_BYTES),
            {"imports": refused},
        )


def import_problems(imports: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What a component imports beyond the host's interface and harmless WASI, one text each."""
    from penstock_workers import wasi

    problems: list[str] = []
    for name, functions in imports.items():
        if name == HOST:
            problems += host_problems(functions)
        elif wasi.is_wasi(name):
            problems += wasi.problems(name, functions)
        else:
            problems.append(name)
    return problems
