"""Looks at a plugin before anybody may call it: what it imports, what it declares, and what is wrong with it.

Publishing takes the tools from here into the bundle's record (W-1, I-5), so that neither producers nor
workers have to ask the guest again; `penstock plugin check` prints it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from penstock_plugins.composites import composites_in
from penstock_plugins.errors import CompileError, ManifestError, PermissionDeniedError
from penstock_plugins.policy import KNOWN_CAPABILITIES, OperatorPolicy, narrow
from penstock_plugins.record import PluginRecord
from penstock_plugins.requirements import check_host, host_version
from penstock_plugins.result import ToolFailure
from penstock_plugins.tool import Tool
from penstock_workers.artifacts.compiler import PREAMBLES, compile_wasm
from penstock_workers.artifacts.identity import ArtifactIdentity
from penstock_workers.batch_check import check_batch_entry_point
from penstock_workers.composite_check import check_composites
from penstock_workers.declared_tools import check_info, read_tools
from penstock_workers.engine import METERED, PLAIN, EngineSettings, new_engine
from penstock_workers.guard import CallGuard
from penstock_workers.host import CallNotes
from penstock_workers.import_check import check_grants, check_imports
from penstock_workers.plugin import link_component
from penstock_workers.surroundings import RealSurroundings
from penstock_workers.text import clean
from penstock_workers.world import export_problems, imports_of

if TYPE_CHECKING:
    from wasmtime import Engine

    from penstock_plugins.bundle import Bundle
    from penstock_plugins.index import ToolIndex
    from penstock_workers.artifacts.store import ArtifactStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that is wrong with a plugin."""

    message: str
    #: What its author can do about it.
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.message}. {self.advice}" if self.advice else self.message


@dataclass(slots=True, kw_only=True)
class Inspection:
    """What was found."""

    bundle: Bundle
    #: Imported interfaces, and the functions of each.
    imports: dict[str, list[str]] = field(default_factory=dict)
    #: The tools, as they will be called. Empty when they could not be asked for.
    tools: list[Tool] = field(default_factory=list)
    #: Whether it exports a batch entry point.
    batch_entry_point: bool = False
    #: Why it must not be published. Empty: it is fine.
    problems: list[Problem] = field(default_factory=list)
    #: What its author may want to know.
    warnings: list[str] = field(default_factory=list)

    def add(self, message: str, advice: str = "") -> None:
        """Write down a problem."""
        self.problems.append(Problem(message=message, advice=advice))

    @property
    def capabilities(self) -> list[str]:
        """What the manifest asks for."""
        manifest = self.bundle.manifest
        return sorted(manifest.wasm.capabilities) if manifest.composite is None else []

    def record(self) -> PluginRecord:
        """What a catalog would know of it."""
        return PluginRecord(
            digest=self.bundle.digest,
            manifest=self.bundle.manifest,
            tools=tuple(self.tools),
            files=self.bundle.entries,
            imports=tuple(self.imports),
            pipelines={tool: pipeline.to_dict() for tool, pipeline in composites_in(self.bundle)[0].items()},
        )

    @property
    def ok(self) -> bool:
        """Whether it may be published."""
        return not self.problems


def inspect_plugin(
    bundle: Bundle,
    *,
    operator_policy: Callable[[str], OperatorPolicy] = lambda _: OperatorPolicy(),
    guard: CallGuard | None = None,
    store: ArtifactStore | None = None,
    others: ToolIndex | None = None,
) -> Inspection:
    """Compile a plugin in a process of its own, run its `init` and `list-tools` in a sandbox, and check both.

    Args:
        bundle: the plugin.
        operator_policy: what the operator allows a plugin, by its name.
        guard: stops the guest.
        store: keeps the native code for the workers of this host, which then do not compile it again. It is
            of no use afterwards: its key is forgotten before the guest runs. None: nothing is kept.
        others: the tools that there are, for composites that call them, and for what a plugin requires. None:
            they are not known.

    Raises:
        ArtifactError: this installation cannot compile.
    """
    found = Inspection(bundle=bundle)
    if bundle.manifest.composite is not None:
        _check_host(found)
        check_composites(found, others)
        return found
    if (problem := unreadable(bundle)) is not None:
        found.problems.append(problem)
        return found
    if bundle.manifest.requires and others is None:
        found.warnings.append("Whether there are the tools that it requires is checked when it is published")
    settings = METERED if bundle.manifest.limits().fuel is not None else PLAIN
    try:
        fd = _compile(bundle, settings, store)
    except CompileError as error:
        found.add(clean(error.message), "Build the module again")
        return found
    try:
        operator = operator_policy(bundle.manifest.name)
        look_at(found, new_engine(settings), f"/proc/self/fd/{fd}", settings, operator, guard or CallGuard())
    finally:
        os.close(fd)
    return found


def _compile(bundle: Bundle, settings: EngineSettings, store: ArtifactStore | None) -> int:
    wasm, kind = bundle.files[bundle.manifest.wasm.module], bundle.manifest.wasm.kind
    if store is None:
        return compile_wasm(wasm, settings)
    identity = ArtifactIdentity.here(digest=bundle.digest, wasm=wasm, kind=kind, engine=settings.fingerprint)
    try:
        return store.obtain(identity, lambda: compile_wasm(wasm, settings)).fd
    finally:
        store.after_fork_child()


def unreadable(bundle: Bundle) -> Problem | None:
    """Why a plugin is none that can be looked at."""
    module = bundle.manifest.wasm.module
    match bundle.manifest.kind:
        case "component" if bundle.files[module].startswith(PREAMBLES["core"]):
            return Problem(
                message=f"{module} is a core module and no component",
                advice="Make one of it: `penstock plugin wrap`",
            )
        case "component":
            return None
        case "composite":
            return Problem(
                message="Its tools are pipelines: there is no code of its own to run",
                advice="Run one by its file: `penstock pipeline run FILE --local DIR`",
            )
        case "core":
            return Problem(
                message="Plugins of kind 'core' do not run yet",
                advice="`penstock plugin wrap` makes a component of it: leave out kind then",
            )
        case kind:
            return Problem(
                message=f"Plugins of kind '{kind}' do not run yet",
                advice="Build a component of the world grain-plugin",
            )


def look_at(
    found: Inspection,
    engine: Engine,
    path: str,
    settings: EngineSettings,
    operator: OperatorPolicy,
    guard: CallGuard,
) -> None:
    """Load native code that was just compiled, or authenticated, and write down what there is to say."""
    # Imported here: they load wasmtime, which programs that only read inspections may lack.
    from wasmtime.component import Component

    from penstock_workers.sandbox import Sandbox

    manifest = found.bundle.manifest
    _check_host(found)
    component = Component.deserialize_file(engine, path)
    try:
        imports = imports_of(component, engine)
    except PermissionDeniedError as error:
        found.add(clean(error.message), "Build it for the world grain-plugin")
        return
    found.imports = {name: sorted(functions) for name, functions in imports.items()}
    check_imports(found, imports)
    check_grants(found, operator)
    found.warnings += [f"The manifest says {key}, which has no effect yet" for key in manifest.future]
    for problem in export_problems(component, engine):
        found.add(f"It is no component of our world: {problem}", "Build it for the world grain-plugin")
    if not found.ok:
        return
    plugin = link_component(engine, component, found.record(), size_bytes=0, settings=settings)
    grants = narrow(manifest, operator)
    # What it asks for counts here: whether it gets that is decided where it runs.
    asked = replace(grants, capabilities=frozenset(manifest.wasm.capabilities) & KNOWN_CAPABILITIES)
    notes = CallNotes(asked, _Quiet(), RealSurroundings())
    loaded = Sandbox(plugin, grants.limits, guard).load(notes, timeout_s=grants.limits.timeout_s)
    if isinstance(loaded, ToolFailure):
        found.add(loaded.message, "Run `init` and `list-tools` on their own to see why")
    else:
        check_info(found, loaded.info)
        found.tools = read_tools(found, loaded.tools)
        check_batch_entry_point(found, plugin, asked)


class _Quiet:
    """Log lines of a plugin that is only looked at go nowhere."""

    def write(self, *, level: str, plugin: str, message: str) -> None:
        """Drop the line."""


def _check_host(found: Inspection) -> None:
    try:
        warning = check_host(found.bundle.manifest, host_version())
    except ManifestError as error:
        found.add(error.message)
    else:
        found.warnings += [warning] if warning else []
