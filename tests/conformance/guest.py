"""One guest of the isolation suite: what it tries, and what must come of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import orjson
import wasmtime

from penstock_plugins.bundle import Bundle, bundle_from
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.record import PluginRecord
from penstock_plugins.tool import Tool, Traits
from tests.conformance.wat import component

#: The time that a guest gets which would go on for ever.
SHORT_S = 0.2
_TOGETHER = ("[[tool]]", 'name = "run"', "idempotent = true", "batch_entry_point = true")
#: A body that goes round for ever.
LOOP = "(loop $l (br $l)) unreachable"


@dataclass(frozen=True)
class Guest:
    """One guest, and what must come of calling its tool `run`."""

    #: Name of its plugin, too.
    name: str
    wat: str
    #: The failure it ends with. None: it succeeds.
    code: ErrorCode | None = None
    #: What it must return, as JSON text. None: anything.
    content: bytes | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    #: `[wasm]` of its manifest: capabilities, and limits.
    capabilities: tuple[str, ...] = ("log", "env")
    limits: Mapping[str, float] = field(default_factory=dict)
    #: What the failure's message, or the problem that was found, says among other things.
    says: str = ""
    #: What its result's metadata must hold.
    metadata: Mapping[str, Any] = field(default_factory=dict)

    #: Whether its tool is idempotent and asks for the batch entry point.
    together: bool = False

    #: Another `plugin.toml` than the one that the fields above make.
    written: str = ""

    def with_manifest(self, text: str) -> Guest:
        """The same guest with another `plugin.toml`."""
        return replace(self, written=text)

    @property
    def manifest(self) -> str:
        """Its `plugin.toml`."""
        if self.written:
            return self.written
        limits = {"timeout_s": 30.0, **self.limits}
        return "\n".join(
            (
                f'name = "{self.name}"',
                'version = "1.0.0"',
                "[wasm]",
                f"capabilities = {orjson.dumps(self.capabilities).decode()}",
                "[wasm.env]",
                'allow = ["GREETING"]',
                "[wasm.limits]",
                *(f"{name} = {value}" for name, value in limits.items()),
                *(_TOGETHER if self.together else ()),
            )
        )

    @cached_property
    def wasm(self) -> bytes:
        """The component as a binary."""
        return bytes(wasmtime.wat2wasm(self.wat))

    @cached_property
    def bundle(self) -> Bundle:
        """What is published."""
        return self.bundle_with(self.manifest)

    def bundle_with(self, manifest: str, *, wasm: bytes | None = None) -> Bundle:
        """The same plugin with another manifest, or another artifact."""
        return bundle_from({"plugin.toml": manifest.encode(), "plugin.wasm": wasm or self.wasm})

    @property
    def tools(self) -> tuple[Tool, ...]:
        """What a catalog is told about it, whether or not it is true."""
        traits = Traits(idempotent=self.together)
        return (Tool(name="run", plugin=self.name, version="1.0.0", traits=traits),)

    @cached_property
    def record(self) -> PluginRecord:
        """What a catalog knows of it."""
        bundle = self.bundle
        return PluginRecord(
            digest=bundle.digest, manifest=bundle.manifest, tools=self.tools, files=bundle.entries
        )


def guest(
    name: str,
    code: ErrorCode | None = None,
    *,
    returns: bytes | None = None,
    says: str = "",
    params: Mapping[str, Any] | None = None,
    capabilities: tuple[str, ...] = ("log", "env"),
    limits: Mapping[str, float] | None = None,
    metadata: Mapping[str, Any] | None = None,
    together: bool = False,
    **parts: Any,
) -> Guest:
    """A guest whose component is made of these parts; see `wat.component`."""
    return Guest(
        name=name,
        wat=component(name=name, **parts),
        code=code,
        content=returns,
        says=says,
        params=params or {},
        capabilities=capabilities,
        limits=limits or {},
        metadata=metadata or {},
        together=together,
    )
